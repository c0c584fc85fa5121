"""Edits that others overwrite: what is said to have no effect has none, and what has none is found."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions.hiding import hidden_by
from tests.python.families import experiment, wrapped

HIDING = [
    (mi.Zero("z", 1, head=2), mi.Patch("z", 1)),
    (mi.Scale("z", 1, head=2, position=3, factor=2), mi.Zero("z", 1, head=(1, 2), position=(3, 4))),
    (mi.Zero("z", 1, unit=3), mi.Zero("z", unit=(2, 3))),
    (mi.Knockout(layer=1, head=2, dest=14, src=3), mi.Zero("z", 1, head=2)),
    (mi.Zero("pattern", 1, head=2, position=-1), mi.Patch("result", 1, head=2, position=14)),
    (mi.Zero("k", 1), mi.Patch("pattern", 1)),
    (mi.Zero("v", 1, head=0), mi.Patch("attn_out", 1)),
    (mi.Zero("q", 1, head=2, position=14), mi.Patch("z", 1, head=2, position=14)),
    (mi.Zero("k", 1, head=0), mi.Patch("z", 1, head=(0, 1))),
    (mi.Zero("v", 1, head=0, position=12), mi.Patch("z", 1, head=(0, 1), position=(12, 13, 14))),
    (mi.Zero("k", 1, head=0, position=-1), mi.Patch("pattern", 1, head=(0, 1), position=14)),
    (mi.Zero("mlp_pre", 1, position=4), mi.Zero("mlp_out", 1, position=(4, 5))),
    (mi.Zero("mlp_pre", 1, unit=4), mi.Patch("mlp_post", 1, unit=(4, 5))),
    (mi.Zero("attn_out", 1, position=4), mi.Patch("resid_mid", 1, position=4)),
    (mi.Zero("mlp_out", 1, position=4), mi.Patch("resid_pre", 2)),
    (mi.Zero("resid_post", 1, position=4), mi.Patch("resid_pre", 2, position=4)),
    (mi.Zero("embed"), mi.Patch("resid_pre", 0)),
    (mi.Zero("z"), mi.Patch("final_norm")),
    (mi.Zero("final_norm"), mi.Patch("logits")),
    (mi.Zero("mlp_out", (0, 1)), mi.Scale("resid_post", 1, factor=0)),
]

OPEN = [
    (mi.Zero("z", 1, head=2), mi.Patch("z", 1, alpha=0.5)),
    (mi.Zero("z", 1, head=2), mi.Patch("z", 1, head=(0, 1))),
    (mi.Zero("z", head=2), mi.Patch("z", (1, 2), head=2)),
    (mi.Zero("z", 1, position=3), mi.Patch("z", 1, position=4)),
    (mi.Zero("v", 1), mi.Patch("pattern", 1)),
    (mi.Zero("k", 1), mi.Patch("attn_out", 1, position=14)),
    (mi.Zero("v", 1, head=0, position=10), mi.Patch("z", 1, head=(0, 1), position=10)),
    (mi.Zero("k", 1, head=1), mi.Patch("z", 1, head=0)),
    (mi.Zero("resid_pre", 1, position=4), mi.Patch("resid_post", 1, position=4)),
    (mi.Zero("resid_pre", 1), mi.Patch("attn_out", 1)),
    (mi.Zero("z", 1), mi.Patch("attn_out", 1, unit=3)),
    (mi.Zero("mlp_pre", 1), mi.Add("mlp_out", 1, vector=1.0)),
]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_what_is_hidden_changes_nothing_and_what_is_not_does(family):
    model = wrapped(family)
    exp = experiment(model)

    def logits(*edits):
        return exp.snapshot(edits, "corrupted").values("edited", [("logits", None)])["logits", None]

    for under, over in HIDING:
        assert hidden_by([under, over], model, 15) == {0: 1}, (under, over)
        torch.testing.assert_close(logits(under, over), logits(over), atol=1e-5, rtol=1e-5)
    for under, over in OPEN:
        assert hidden_by([under, over], model, 15) == {}, (under, over)
        assert not torch.allclose(logits(under, over), logits(over), atol=1e-5), (under, over)


def test_keys_of_several_query_heads_are_hidden_only_by_all_of_them():
    model = wrapped("llama")
    assert model.n_heads // model.n_kv_heads == 2
    under = mi.Patch("k", 1, head=1)
    assert hidden_by([under, mi.Patch("z", 1, head=3)], model, 15) == {}
    assert hidden_by([under, mi.Patch("z", 1, head=(2, 3))], model, 15) == {0: 1}


def test_at_one_site_the_later_one_hides_and_elsewhere_the_list_does_not_matter():
    model = wrapped("gpt2")
    patch, zero = mi.Patch("z", 1), mi.Zero("z", 1, head=2)
    assert hidden_by([zero, patch], model) == {0: 1}
    assert hidden_by([patch, zero], model) == {}
    assert hidden_by([mi.Zero("attn_out", 1), patch], model) == {1: 0}


def test_a_patch_of_paired_positions_only_leaves_the_rest():
    model = wrapped("gpt2")
    edits = [mi.Zero("z", 1), mi.Patch("resid_post", 1)]
    assert hidden_by(edits, model, paired=False) == {}
    assert hidden_by([edits[0], mi.Zero("resid_post", 1)], model, paired=False) == {0: 1}


def test_a_chip_says_who_overwrites_it():
    exp = experiment(wrapped("gpt2"))
    for edit in (mi.Zero("z", 1, head=2), mi.Patch("attn_out", 1), mi.Mean("mlp_out", 2)):
        exp.edits.add(edit)
    shown = exp.question()["edits"]
    assert [chip["note"] for chip in shown] == ["has no effect: overwritten by patch L1.attn_out", "", ""]
    assert shown[2]["label"] == "mean L2.mlp_out over its own positions"
    exp.edits.toggle(1)
    assert {chip["note"] for chip in exp.question()["edits"]} == {""}
