"""Edits asked for by a page in plain fields: each becomes the edit a user would write, or a sentence says why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

import mi_widgets as mi
from mi_widgets.widgets import edit_specs
from tests.python.widgets.questions import CLEAN

PATCH = {"kind": "patch", "site": "resid_post", "layer": 1, "positions": [10]}


@pytest.fixture
def page(lens_of, exp):
    return lens_of(exp)


def ask(page, *specs, op="edits.add", **params):
    if op == "edits.add":
        params = {"edits": list(specs), "base": None}
    return page.answer(page.request(op, base_rev=page.exp.rev, **params))


def added(page, *specs):
    before = len(page.exp.edits)
    reply = ask(page, *specs).content
    assert reply["kind"] == "done", reply
    assert reply["data"] == {"rev": page.exp.rev}
    return list(page.exp.edits)[before:]


def refused(page, *specs, op="edits.add", **params):
    reply = ask(page, *specs, op=op, **params).content
    assert reply["kind"] == "failed", reply
    assert list(page.exp.edits) == []
    assert reply["hint"]
    return reply["message"]


@pytest.mark.parametrize(
    ("spec", "edit"),
    [
        (PATCH, mi.Patch("resid_post", 1, position=10)),
        (PATCH | {"positions": None}, mi.Patch("resid_post", 1)),
        (PATCH | {"positions": [-1, 0], "alpha": 0.25}, mi.Patch("resid_post", 1, position=(14, 0), alpha=0.25)),
        (PATCH | {"source": "clean"}, mi.Patch("resid_post", 1, position=10, source="clean")),
        (PATCH | {"source_positions": [2]}, mi.Patch("resid_post", 1, position=10, source_position=2)),
        (
            PATCH | {"positions": [3, 4], "source_positions": [2, 2]},
            mi.Patch("resid_post", 1, position=(3, 4), source_position=(2, 2)),
        ),
        (
            PATCH | {"source": "corrupted", "source_positions": [2]},
            mi.Patch("resid_post", 1, position=10, source="corrupted", source_position=2),
        ),
        (
            {"kind": "patch", "site": "pattern", "layer": 2, "head": 3, "src": None},
            mi.Patch("pattern", 2, head=3),
        ),
        ({"kind": "zero", "site": "z", "layer": 0, "head": 0, "positions": [1]}, mi.Zero("z", 0, head=0, position=1)),
        ({"kind": "mean", "site": "mlp_out", "layer": 3, "source": "other", "alpha": 1.0}, mi.Mean("mlp_out", 3)),
    ],
)
def test_a_spec_is_the_edit_that_a_user_would_write(page, spec, edit):
    assert added(page, spec) == [edit]
    chip = page.widget.question["edits"][0]
    assert chip["alpha"] == getattr(edit, "alpha", None)
    # What the chip tells gives the same edit again.
    assert added(page, chip["spec"]) == [edit]


def test_several_edits_are_one_step_and_bring_their_base(page):
    rev = page.exp.rev
    column = [PATCH | {"layer": layer} for layer in range(4)]
    params = {"edits": column, "base": "clean", "base_rev": rev}
    assert page.answer(page.request("edits.add", **params)).content["kind"] == "done"
    assert (page.exp.base, len(page.exp.edits)) == ("clean", 4)
    page.exp.edits.undo()
    assert (page.exp.base, len(page.exp.edits)) == ("corrupted", 0)
    assert page.answer(page.request("edits.add", **params)).content["error"] == "Stale"


def test_another_strength_is_one_step(page):
    added(page, PATCH)
    reply = ask(page, op="edits.replace", index=0, alpha=0.5).content
    assert reply["kind"] == "done"
    assert list(page.exp.edits) == [mi.Patch("resid_post", 1, position=10, alpha=0.5)]
    page.exp.edits.undo()
    assert list(page.exp.edits) == [mi.Patch("resid_post", 1, position=10)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "scale"}, "kind must be one of patch, zero, mean"),
        ({"site": "logits"}, "site must be one of"),
        ({"site": "nowhere"}, "site must be one of"),
        ({"layer": 4}, "layer is 4, outside 0 to 3"),
        ({"layer": None}, "layer must be a whole number"),
        ({"layer": True}, "layer must be a whole number"),
        ({"head": 0}, "resid_post has no heads"),
        ({"site": "z", "head": 4}, "head is 4, outside 0 to 3"),
        ({"positions": [15]}, "positions[0] is 15, outside -15 to 14"),
        ({"positions": []}, "positions must be a list"),
        ({"positions": [14, -1]}, "names a position twice"),
        ({"positions": [0.5]}, "whole number"),
        ({"positions": 3}, "positions must be a list"),
        ({"source": "there"}, "source must be one of"),
        ({"source_positions": [1, 2]}, "2 positions are read and 1 are written"),
        ({"positions": None, "source_positions": [1]}, "1 positions are read and 0 are written"),
        ({"source_positions": [99]}, "outside -15 to 14"),
        ({"source": "corrupted"}, "reads the corrupted run where it writes it"),
        ({"source": "corrupted", "source_positions": [-5]}, "reads the corrupted run where it writes it"),
        ({"alpha": 1.5}, "lies in 0 to 1, not 1.5"),
        ({"alpha": "1"}, "alpha must be a finite number"),
        ({"src": 3}, "not one cell of a pattern"),
        ({"more": 1}, "does not know 'more'"),
    ],
)
def test_a_field_that_cannot_be_meant_is_named(page, change, said):
    assert said in refused(page, PATCH | change)


def test_no_edit_at_all_and_what_is_none(page):
    assert "edits must be a list of 1 to 1000 entries" in refused(page)
    assert "edits[1] must be an object" in refused(page, PATCH, "patch")
    added(page, {"kind": "zero", "site": "z", "layer": 0})
    for params, said in (
        ({"index": 0, "alpha": 0.5}, "has no strength"),
        ({"index": 3, "alpha": 0.5}, "There is no edit 3"),
        ({"index": 0, "alpha": 2}, "lies in 0 to 1"),
        ({"index": 0}, "alpha is missing"),
    ):
        reply = ask(page, op="edits.replace", **params).content
        assert said in reply["message"]
    assert len(page.exp.edits) == 1


def test_one_prompt_moves_within_itself_and_has_nothing_to_take_from_another(lens_of):
    page = lens_of(mi.Experiment(mi.load(), CLEAN, answer=" Mary"))
    assert "There is no corrupted prompt to take this from" in refused(page, PATCH)
    within = PATCH | {"source": "clean", "source_positions": [4]}
    assert added(page, within) == [mi.Patch("resid_post", 1, position=10, source="clean", source_position=4)]


def test_positions_of_prompts_of_several_lengths_count_from_the_end(lens_of):
    prompts = ["Mary went to the", "When Mary went to the"]
    page = lens_of(mi.Experiment(mi.load(), prompts, [p.replace("Mary", "John") for p in prompts], answer=" store"))
    assert added(page, PATCH | {"positions": [1]}) == [
        mi.Patch("resid_post", 1, position=1 - len(page.exp.prompt().prompts[0]))
    ]
    assert page.widget.question["edits"][0]["spec"]["positions"] == [1]


def test_a_site_that_a_layer_lacks_is_told_with_the_reason(page, monkeypatch):
    without = {("z", 0): "this layer has no attention"}
    monkeypatch.setattr(page.exp.model, "architecture", replace(page.exp.model.architecture, missing_at=without))
    said = refused(page, {"kind": "zero", "site": "z", "layer": 0})
    assert said == "layer 0 of tiny-names has no z: this layer has no attention."
    assert edit_specs.reason_against(page.exp.snapshot(), "z") is None
