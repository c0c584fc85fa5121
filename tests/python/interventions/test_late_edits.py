"""What a packed run of an edit behind attention computes, and what it does without."""

from __future__ import annotations

from transformers.pytorch_utils import Conv1D

import mi_widgets as mi
from mi_widgets.model import kernels
from mi_widgets.model.kernels import Kernel
from tests.python.families import experiment, wrapped


def test_an_edit_behind_attention_asks_for_no_queries_keys_and_values(monkeypatch):
    """Rows that each projection of GPT-2's second layer of three multiplies, for a patch of z there."""
    exp, rows = experiment(wrapped("gpt2")), []
    own = Conv1D.forward
    monkeypatch.setattr(kernels, "fast_linear", Kernel)  # all on torch's own
    cell = mi.Patch("z", 1, head=2)
    whole = exp.run(cell).metric  # and base runs
    layer = exp.model.shadow.transformer.h[1]

    def counted(self, x):
        if self in set(layer.modules()):
            rows.append((self.nf, x.shape[1]))
        return own(self, x)

    monkeypatch.setattr(Conv1D, "forward", counted)
    assert exp.run(cell).metric == whole
    clean, corrupted = (exp.prompt(run).prompts[0].ids for run in ("clean", "corrupted"))
    first = next(i for i, (a, b) in enumerate(zip(clean, corrupted, strict=True)) if a != b)
    count, d = len(clean) - first, exp.model.d_model
    assert rows == [(d, count), (4 * d, count), (d, count)]
