"""Edited runs of the small models, beside the same runs written out by hand."""

from __future__ import annotations

import torch

from tests.python.by_hand import changed
from tests.python.families import CORRUPTED, ids_of

OTHERS = (
    "When Anna and Paul went to the store , Kate gave a key to",
    "When Paul and John took to the home , Anna saw a drink to",
    "When Kate and Anna went to the book , John gave a key to",
)
LENGTH = 15


def edited(exp, *edits, base="corrupted"):
    """Logits [vocab] at the answer position."""
    return exp.snapshot(edits, base).answer_logits("edited")[0]


def by_hand(model, changes, text=CORRUPTED):
    """Logits [vocab] at the last position of a run in which `{(site, layer): function of the value}` is done."""
    return changed(model.hf, ids_of(model, text), {key: [one] for key, one in changes.items()})[0][-1]


def near(a, b):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def moved(exp, logits):
    assert not torch.allclose(logits, edited(exp), atol=1e-4)
