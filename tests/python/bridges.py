"""The same tiny model here and in TransformerLens, each on a module tree of its own."""

from __future__ import annotations

from pathlib import Path

import transformers
from transformer_lens.model_bridge import TransformerBridge

import mi_widgets as mi
from tests.python.families import build, word_tokenizer


def model_and_bridge(family: str, folder: Path) -> tuple[mi.Model, TransformerBridge]:
    """A family's tiny model, wrapped, and as a `TransformerBridge` with the weights as they are.

    Args:
        family: as in `families.build`.
        folder: an empty one; TransformerLens loads a tokenizer again by its path.
    """
    word_tokenizer().save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    bridge = TransformerBridge.boot_transformers("tiny", hf_model=build(family), tokenizer=tokenizer, device="cpu")
    return mi.wrap(build(family), word_tokenizer()), bridge
