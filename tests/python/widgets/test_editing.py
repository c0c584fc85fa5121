"""Edits asked for by a page: each by index and revision, each one undo step."""

from __future__ import annotations

import pytest

import mi_widgets as mi

ZERO, SCALE = mi.Zero("z", 0, head=0), mi.Scale("z", 1, head=1, factor=0.5)


@pytest.fixture
def page(heads):
    page = heads()
    page.exp.edits.extend([ZERO, SCALE])
    page.widget.wait(120)
    return page


def ask(page, op, **params):
    return page.answer(page.request(op, base_rev=page.exp.rev, **params)).content


def labels(page):
    return [(edit["label"], edit["on"]) for edit in page.widget.question["edits"]]


def test_chips_are_removed_moved_toggled_and_cleared(page):
    assert labels(page) == [("zero L0H0.z", True), ("scale L1H1.z by 0.5", True)]
    reply = ask(page, "edits.toggle", index=0)
    assert (reply["kind"], reply["rev"], reply["data"]) == ("done", page.exp.rev, {"rev": page.exp.rev})
    assert labels(page) == [("zero L0H0.z", False), ("scale L1H1.z by 0.5", True)]
    ask(page, "edits.move", index=0, to=1)
    assert labels(page) == [("scale L1H1.z by 0.5", True), ("zero L0H0.z", False)]
    ask(page, "edits.remove", index=1)
    assert labels(page) == [("scale L1H1.z by 0.5", True)]
    ask(page, "edits.clear")
    assert labels(page) == list(page.exp.edits) == []


def test_everything_is_undone_and_redone_and_the_header_knows_what_can_be(page):
    start = labels(page)
    ask(page, "edits.remove", index=0)
    assert page.widget.question["history"] == {"undo": True, "redo": False}
    ask(page, "edits.undo")
    assert labels(page) == start
    assert page.widget.question["history"] == {"undo": True, "redo": True}
    ask(page, "edits.undo")
    assert labels(page) == []
    assert page.widget.question["history"] == {"undo": False, "redo": True}
    rev = page.exp.rev
    assert ask(page, "edits.undo")["rev"] == rev, "nothing is left to undo: nothing changes"
    ask(page, "edits.redo")
    ask(page, "edits.redo")
    assert labels(page) == start[1:]
    rev = page.exp.rev
    assert ask(page, "edits.redo")["rev"] == rev
    assert labels(page) == start[1:]


def test_an_index_beyond_the_list_changes_nothing(page):
    before = labels(page)
    for op, more in (("edits.remove", {}), ("edits.toggle", {}), ("edits.move", {"to": 0})):
        reply = ask(page, op, index=2, **more)
        assert (reply["error"], reply["message"]) == ("BadInput", "There is no edit 2: the list has 2.")
    assert ask(page, "edits.move", index=0, to=2)["error"] == "BadInput"
    assert labels(page) == before


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("edits.remove", {"index": 0}),
        ("edits.toggle", {"index": 0}),
        ("edits.move", {"index": 0, "to": 1}),
        ("edits.clear", {}),
        ("edits.undo", {}),
        ("edits.redo", {}),
        ("heads.keep", {"run": "clean", "what": "zero", "heads": [[0, 0]]}),
    ],
)
def test_a_change_of_an_older_list_is_stale(page, op, params):
    before = labels(page)
    reply = page.answer(page.request(op, base_rev=page.exp.rev - 1, **params)).content
    assert (reply["error"], reply["retryable"]) == ("Stale", True)
    assert labels(page) == before


def test_all_views_of_the_experiment_show_the_same_chips(page, page_of):
    other = page_of(mi.AttentionHeads(page.exp))
    ask(page, "edits.toggle", index=1)
    other.widget.wait(120)
    assert labels(other) == labels(page) == [("zero L0H0.z", True), ("scale L1H1.z by 0.5", False)]


def test_the_edited_run_is_measured_though_another_run_is_shown(page_of):
    exp = mi.Experiment(mi.load(), "Mary and John went to the", "Mary and Paul went to the", " store", " park")
    page = page_of(mi.AttentionHeads(exp))
    page.widget.wait(120)
    assert page.widget.question["baselines"]["edited"] is None
    exp.edits.add(mi.Zero("attn_out", 1))
    page.widget.wait(120)
    assert page.widget.result.run == "clean"
    assert page.widget.question["baselines"]["edited"] == pytest.approx(exp.run().metric, rel=1e-5)
    exp.edits.toggle(0)
    page.widget.wait(120)
    assert page.widget.question["baselines"]["edited"] is None
