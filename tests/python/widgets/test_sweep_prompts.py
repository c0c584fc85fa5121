"""A patch sweep of other questions: another answer, many pairs of prompts, pairs of different length, one prompt."""

from __future__ import annotations

import numpy as np
import pytest

import mi_widgets as mi
from mi_widgets.widgets.sweep_wire import EXACT, NONE, SAME
from tests.python.widgets.page import LIMIT
from tests.python.widgets.questions import CLEAN, CORRUPTED
from tests.python.widgets.sweep_page import S2, SWEEP, same_as, shown, start


def test_the_map_follows_answer_metric_and_prompts(table):
    exp = table.exp
    for change in ({"answer": " John", "distractor": " Mary"}, {"metric": "prob"}, {"base": "clean"},
                   {"clean": "When Mary and John went to the park, John gave a drink to"}):  # fmt: skip
        exp.ask(**change)
        table.widget.wait(LIMIT)
        same_as(table, exp.sweep("resid_pre", progress=False))
        assert table.widget.sweep["rev"] == exp.rev
    assert (shown(table, "state")[:, :8] == SAME).all()
    assert (shown(table, "state")[:, 8:] == EXACT).all()
    exp.ask(metric="rank")
    table.widget.wait(LIMIT)
    assert np.isnan(shown(table, "recovered")).all()
    assert any("no estimate" in note for note in table.widget.sweep["notes"])


def test_several_prompts_have_a_standard_error_and_the_tokens_of_the_one_that_is_shown(sweep_of):
    prompts = [
        f"When {a} and {b} went to the store, {{}} gave a drink to" for a, b in (("Mary", "John"), ("Anna", "Paul"))
    ]
    exp = mi.Experiment(
        mi.load(),
        [prompts[0].format("John"), prompts[1].format("Paul")],
        [prompts[0].format("Mary"), prompts[1].format("Anna")],
        answer=[" Mary", " Anna"],
        distractor=[" John", " Paul"],
    )
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    found = exp.sweep("resid_pre", progress=False)
    same_as(page, found)
    assert np.isfinite(shown(page, "stderr")[:, S2:]).all()
    assert page.widget.sweep["n_prompts"] == 2
    said = "Every cell is the mean over 2 prompts. The tokens beside them are those of prompt {}."
    assert [page.widget.question["warnings"], exp.question()["warnings"]] == [
        [said.format(1)], ["This shows prompt 1 of 2."],
    ]  # fmt: skip
    assert page.widget.sweep["columns"][S2] | {"position": 0} == {
        "position": 0, "head": None, "label": "␣Mary", "other": "␣John",
    }  # fmt: skip
    before = shown(page, "metric")
    exp.show_prompt(1)
    page.widget.wait(LIMIT)
    assert (page.widget.sweep["columns"][S2]["label"], page.widget.sweep["columns"][S2]["other"]) == ("␣Anna", "␣Paul")
    assert page.widget.question["warnings"] == [said.format(2)]
    np.testing.assert_array_equal(shown(page, "metric"), before)
    cell = page.request(
        "sweep.cell", slot="cell", site="z", edit="patch", base="corrupted", on_top=False, layer=2, column=1
    )
    data = page.answer(cell).content["data"]
    run = exp.run(mi.Patch("z", 2, head=1))
    assert (data["recovered"], data["stderr"]) == (
        pytest.approx(run.recovered, abs=1e-4), pytest.approx(run.stderr, abs=1e-4),
    )  # fmt: skip


def test_prompts_of_different_length_are_counted_from_their_ends(sweep_of):
    pairs = [
        ("Mary and John were near John to", "Mary and John were near Mary to"),
        ("Then Anna and Paul were near Paul to", "Then Anna and Paul were near Anna to"),
    ]
    exp = mi.Experiment(mi.load(), [a for a, _ in pairs], [b for _, b in pairs], answer=[" Mary", " Anna"],
                        distractor=[" John", " Paul"])  # fmt: skip
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    columns = page.widget.sweep["columns"]
    length = min(exp.prompt("corrupted").lengths)
    assert [column["position"] for column in columns] == list(range(-length, 0))
    assert (columns[-2]["label"], columns[-2]["other"]) == ("␣Mary", "␣John")
    found = exp.sweep("resid_pre", positions="from_end", progress=False)
    np.testing.assert_array_equal(shown(page, "metric"), found.metric.flip(-1))
    run = exp.run(mi.Patch("resid_pre", 1, position=-2))
    assert shown(page, "metric")[1, length - 2] == pytest.approx(run.metric, abs=1e-4)
    cell = page.request("sweep.cell", slot="cell", **{k: SWEEP[k] for k in ("site", "edit", "base", "on_top")}, layer=1,
                        column=length - 2)  # fmt: skip
    assert page.answer(cell).content["data"]["metric"] == pytest.approx(run.metric, abs=1e-4)


def test_pairs_of_different_length_need_an_alignment_to_patch(sweep_of):
    short = "Mary and John went to the store, Mary gave a drink to"
    page = sweep_of(mi.Experiment(mi.load(), CLEAN, short, answer=" Mary", distractor=" John"))
    page.widget.wait(LIMIT)
    # What cannot be patched is ablated, and the menu says why.
    assert page.widget.sweep["edit"] == "zero"
    reasons = {each["name"]: each["reason"] for each in page.widget.sweep["edits_allowed"]}
    assert "align" in reasons["patch"]
    assert reasons["zero"] is None
    reply = page.answer(start(page)).content
    assert (reply["kind"], reply["error"]) == ("failed", "BadInput")
    assert "resid_pre" in reply["message"]
    aligned = mi.Experiment(mi.load(), short, CLEAN, answer=" Mary", distractor=" John", align="suffix")
    page = sweep_of(aligned)
    page.widget.wait(LIMIT)
    same_as(page, aligned.sweep("resid_pre", progress=False))
    state = shown(page, "state")
    lost = len(aligned.prompt("corrupted").prompts[0]) - len(aligned.prompt("clean").prompts[0])
    # BOS pairs with BOS; what comes behind it in the longer prompt has no partner.
    assert (state[:, 1 : 1 + lost] == NONE).all()
    assert (state[:, 1 + lost :] == EXACT).all()
    assert page.widget.sweep["complete"]


def test_one_prompt_gives_an_ablation_map_until_there_is_a_second(sweep_of):
    exp = mi.Experiment(mi.load(), CLEAN, answer=" Mary", distractor=" John")
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    assert (page.widget.sweep["edit"], page.widget.sweep["base"]) == ("zero", "clean")
    assert page.widget.sweep["baselines"]["corrupted"] is None
    same_as(page, exp.sweep("resid_pre", mi.Zero(), progress=False))
    assert np.isnan(shown(page, "recovered")).all()
    exp.ask(corrupted=CORRUPTED)
    page.widget.wait(LIMIT)
    assert page.widget.sweep["edit"] == "patch"
    same_as(page, exp.sweep("resid_pre", progress=False))
