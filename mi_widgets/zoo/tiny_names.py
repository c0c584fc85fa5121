"""The recipe of `tiny-names`, the default checkpoint: who receives what, and a few smaller tasks."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING

from mi_widgets.zoo import names_batches, names_card, names_measure, names_text, word_tokenizer
from mi_widgets.zoo.recipe import Recipe, Schedule

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

POSITIONS = 256


def tokenizer() -> PreTrainedTokenizerFast:
    """The word-level tokenizer of the language."""
    return word_tokenizer.build(names_text.vocabulary_texts(), POSITIONS)


def model(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """An untrained GPT-2 of 4 layers, 4 heads, width 96 and MLP width 192, without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=POSITIONS,
            n_embd=96,
            n_layer=4,
            n_head=4,
            n_inner=192,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


@cache
def _quiz() -> tuple[tuple[str, str], ...]:
    rng = random.Random(30_000)
    return tuple(names_text.indirect_object(rng, held_out=True).questions[0] for _ in range(200))


def score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> float:
    """Share of 200 indirect-object prompts over held-out pairs whose top token is the receiver."""
    right, _ = names_measure.ask(model, tokenizer, _quiz())
    return float(right.float().mean())


RECIPE = Recipe(
    name="tiny-names",
    summary="GPT-2, 4 layers of 4 heads: who receives what, and six smaller tasks",
    seed=1,
    schedule=Schedule(steps=2500, rate=3e-3, betas=(0.9, 0.98), weight_decay=0.05, warmup=100, clip=1.0),
    tokenizer=tokenizer,
    model=model,
    batches=names_batches.batches,
    score=score,
    measure=names_measure.measure,
    merit=names_measure.merit,
    headline=names_measure.headline,
    card=names_card.card,
)
