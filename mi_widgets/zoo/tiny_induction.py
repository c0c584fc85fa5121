"""The recipe of `tiny-induction`: two layers of attention that learn to go on as the text went on before."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mi_widgets.zoo import induction_card, induction_measure, induction_text, word_tokenizer
from mi_widgets.zoo.recipe import Recipe, Schedule

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

POSITIONS = 128
STEPS = 1500
KEEP = (0, 100, 200, 300, 400, 450, 500, 550, 600, 650, 700, 750, 800, 1000)


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per word, spaces not counting."""
    return word_tokenizer.build_spaceless(induction_text.WORDS, POSITIONS)


def model(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """An untrained Llama of 2 layers, 4 query and 2 key-value heads, width 64, whose MLPs are zero and stay so."""
    from transformers import LlamaConfig, LlamaForCausalLM

    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=4,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=POSITIONS,
            initializer_range=0.08,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    # The architecture has no form without MLPs; zeros that no gradient reaches are as good as none.
    for layer in llama.model.layers:
        for weight in layer.mlp.parameters():
            weight.data.zero_()
            weight.requires_grad_(False)
    return llama


def score(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> float:
    """Share of right words the second time that 64 rows of 20 random words are said."""
    import torch

    rng = random.Random(30_000)
    known = tokenizer.get_vocab()
    rows = [induction_text.repeated(rng, 41, 20) for _ in range(64)]
    ids = torch.tensor([[tokenizer.bos_token_id, *(known[word] for word in row)] for row in rows])
    with torch.no_grad():
        tops = model(input_ids=ids, use_cache=False).logits[:, 21:-1].argmax(-1)
    return float((tops == ids[:, 22:]).float().mean())


RECIPE = Recipe(
    name="tiny-induction",
    summary="Llama, 2 layers of 4 heads without MLPs: says again what was said before",
    seed=0,
    schedule=Schedule(steps=STEPS, rate=2e-3, betas=(0.9, 0.98), weight_decay=0.01, warmup=100, clip=1.0),
    tokenizer=tokenizer,
    model=model,
    batches=induction_text.batches,
    score=score,
    measure=lambda folder: induction_measure.measure(folder, KEEP, STEPS),
    merit=induction_measure.merit,
    headline=induction_measure.headline,
    card=induction_card.card,
    keep=KEEP,
    score_every=50,
)
