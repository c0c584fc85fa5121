"""What the shipped model attends to, by plain transformers with eager attention: nothing of this package is used."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[3] / "mi_widgets/zoo/weights/tiny-names"

CLEAN = "When Mary and John went to the store, John gave a drink to"
ASKED = "When Anna and Paul went to the park, Paul gave a book to"


@lru_cache(maxsize=8)
def plain_patterns(text: str) -> np.ndarray:
    """Attention weights of a text: [layer, head, dest, src] float32, rows sum to 1."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(FOLDER, attn_implementation="eager", dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(FOLDER)(text, return_tensors="pt").input_ids
    with torch.no_grad():
        return torch.stack([layer[0] for layer in model(ids, output_attentions=True).attentions]).numpy()
