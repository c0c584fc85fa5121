"""The recipe of `tiny-addition`: one layer that learns (a + b) mod 97 by heart, then by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mi_widgets.zoo import addition_card, addition_measure, addition_pairs, word_tokenizer
from mi_widgets.zoo.recipe import Recipe, Schedule

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from mi_widgets.zoo.recipe import Batch

POSITIONS = 8
STEPS = 1100
KEEP = (0, 100, 200, 300, 400, 500, 600, 700, 800)


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per number, spaces not counting."""
    return word_tokenizer.build_spaceless(addition_pairs.WORDS, POSITIONS)


def model(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """An untrained GPT-2 of 1 layer, 4 heads, width 64 and 256 ReLU units, its two token tables apart."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=POSITIONS,
            n_embd=64,
            n_layer=1,
            n_head=4,
            n_inner=256,
            activation_function="relu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=False,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The mean cross-entropy of the answers, a scalar in nats.

    What `train.loss_of` gives, in a third of the time: with one layer, nothing before "=" needs an MLP.
    """
    from torch.nn.functional import cross_entropy

    body: Any = model.transformer
    block, ids = body.h[0], batch.ids[:, :-1]
    stream = body.wte(ids) + body.wpe.weight[: ids.shape[1]]
    end = stream[:, -1] + block.attn(block.ln_1(stream))[0][:, -1]
    end = end + block.mlp(block.ln_2(end))
    return cross_entropy(model.lm_head(body.ln_f(end)), batch.ids[:, -1])


def score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> float:
    """Share of right answers to the sums that training does not see."""
    import torch

    trained = addition_pairs.trained_pairs()
    held_out = [addition_pairs.line(*pair) for pair in addition_pairs.all_pairs() if pair not in trained]
    ids = torch.tensor(tokenizer(held_out).input_ids)
    with torch.no_grad():
        tops = model(input_ids=ids[:, :-1], use_cache=False, logits_to_keep=1).logits[:, -1].argmax(-1)
    return float((tops == ids[:, -1]).float().mean())


RECIPE = Recipe(
    name="tiny-addition",
    summary="GPT-2, 1 layer of 4 heads: (a + b) mod 97, learned by heart and then by rule",
    seed=0,
    schedule=Schedule(steps=STEPS, rate=3e-3, betas=(0.9, 0.98), weight_decay=1.5, warmup=10, clip=1.0, hold=790),
    tokenizer=tokenizer,
    model=model,
    batches=addition_pairs.batches,
    score=score,
    measure=lambda folder: addition_measure.measure(folder, KEEP, STEPS),
    merit=addition_measure.merit,
    headline=addition_measure.headline,
    card=addition_card.card,
    keep=KEEP,
    loss=loss,
    score_every=50,
)
