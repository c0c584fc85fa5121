"""What holds of edits whatever their kind: their order, the identities of any model, and what they leave alone."""

from __future__ import annotations

import torch

import mi_widgets as mi
from tests.python.by_hand import forward
from tests.python.families import CLEAN, ids_of
from tests.python.interventions.edited import LENGTH, OTHERS, edited, near


def test_edits_at_different_sites_in_any_order(model, exp, noise):
    edits = [
        mi.Scale("resid_pre", 1, factor=0.7),
        mi.Add("k", 1, vector=noise(model.d_head)),
        mi.Knockout(layer=1, dest=14, src=12),
        mi.SetPattern(layer=2, head=0, position=14, weights=torch.eye(LENGTH)[3]),
        mi.Mean("z", 1, head=1, over=OTHERS),
        mi.Project("resid_mid", 2, basis=noise(model.d_model, 2)),
        mi.Patch("mlp_post", 2, unit=(1, 2), alpha=-1),
        mi.Zero("result", 0, head=3),
    ]
    expected = edited(exp, *edits)
    for order in ((7, 6, 5, 4, 3, 2, 1, 0), (3, 0, 6, 1, 7, 4, 2, 5)):
        assert torch.equal(edited(exp, *(edits[i] for i in order)), expected)


def test_what_holds_for_every_model(exp):
    """All heads' z is attn_out; the last residual is the answer; nothing is changed by its own value."""
    near(edited(exp, mi.Patch("z", 1)), edited(exp, mi.Patch("attn_out", 1)))
    near(edited(exp, mi.Patch("resid_post", 2)), forward(exp.model.hf, ids_of(exp.model, CLEAN))[-1])
    own = exp.read("z", 1, run="corrupted")[0]
    for edit in (
        mi.Scale("z", 1, factor=1), mi.Add("z", 1, vector=own, scale=0),
        mi.Project("z", 1, basis=torch.eye(own.shape[-1]), source=own), mi.Mean("z", 1, over=own),
        mi.SetPattern(layer=1, weights=exp.read("pattern", 1, run="corrupted")[0]),
    ):  # fmt: skip
        near(edited(exp, edit), edited(exp))


def test_an_edit_leaves_what_it_is_given(exp):
    """Neither captured values, nor the user's tensors, nor the run's own value are written into."""
    z = exp.read("z", 1, run="corrupted")[0]
    vector, basis = torch.ones(z.shape[-1]), torch.eye(z.shape[-1])[:, :2].clone()
    kept = vector.clone(), basis.clone()
    clean = exp.read("z", 1)
    edited(exp, mi.Patch("z", 1), mi.Add("z", 1, vector=vector), mi.Project("z", 1, basis=basis), mi.Zero("z", 1))
    assert torch.equal(exp.read("z", 1), clean)
    assert torch.equal(vector, kept[0])
    assert torch.equal(basis, kept[1])
