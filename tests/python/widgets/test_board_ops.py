"""What a page asks of the patch board: previews, cells, the history, the code; and what it is refused."""

from __future__ import annotations

import runpy
import threading

import numpy as np
import pytest

import mi_widgets as mi
from mi_widgets.errors import NotFinite
from mi_widgets.widgets import board_ops
from tests.python.widgets.board_page import add, ask, by_hand, done, metric, shown, spec
from tests.python.widgets.page import decoded
from tests.python.widgets.questions import CLEAN

CELL, HEAD = spec("resid_post", 2, [14]), spec("z", 3, [14], head=1)


def preview(page, *specs, **more):
    answer = ask(page, "patch.preview", edits=list(specs), **{"base": None, "replace": None} | more)
    assert answer.content["kind"] == "done", answer.content
    return answer


def same(page, answer):
    """The picture that a drop draws is that of the preview before it."""
    for name in ("edited_top_ids", "edited_top_values", "edited_changed", "edited_cone"):
        np.testing.assert_allclose(decoded(answer, name), shown(page, name), atol=1e-5)
    told, effect = answer.content["data"]["effect"], page.widget.board["effect"]
    names = ("metric", "label", "base", "n_prompts", "note")
    assert {n: told[n] for n in names} == {n: effect[n] for n in names}
    for name in ("clean", "corrupted", "before", "after", "recovered"):
        assert told[name] == pytest.approx(effect[name], abs=1e-4)
    assert [t["id"] for t in told["tokens"]] == [t["id"] for t in effect["tokens"]]


def test_a_preview_is_what_the_drop_then_shows_and_changes_nothing(board):
    add(board, HEAD)
    before, rev = board.widget.board, board.exp.rev
    answer = preview(board, CELL)
    assert (board.widget.board, board.exp.rev, len(board.exp.runs)) == (before, rev, 1)
    data = answer.content["data"]
    assert (answer.content["rev"], data["base"], data["rows"], data["columns"]) == (
        rev,
        "corrupted",
        [0, 1, 2, 3, 4],
        [0, 15],
    )
    assert set(map(int, data["tokens"])) == {int(i) for i in decoded(answer, "edited_top_ids").flat}
    logits, _ = by_hand(board.exp, [HEAD, CELL])
    assert data["effect"]["after"] == pytest.approx(metric(board.exp, logits[-1]), abs=1e-4)
    add(board, CELL)
    same(board, answer)


def test_a_preview_on_the_other_prompt_is_alone_there(board):
    add(board, HEAD)
    answer = preview(board, CELL, base="clean")
    assert answer.content["data"]["base"] == "clean"
    add(board, CELL, base="clean")
    assert [edit["on"] for edit in board.widget.question["edits"]] == [False, True]
    same(board, answer)


def test_another_strength_is_previewed_in_its_place(board):
    board.exp.edits.add(mi.Zero("attn_out", 1, position=14))
    board.exp.edits.add(mi.Patch("resid_post", 2, position=14))
    board.exp.edits.add(mi.Patch("mlp_out", 3, position=14))
    board.widget.wait(120)
    answer = preview(board, replace=1, alpha=0.25)
    again = preview(board, CELL | {"alpha": 0.25}, replace=1).content["data"]["effect"]
    assert again["after"] == pytest.approx(answer.content["data"]["effect"]["after"], abs=1e-5)
    done(board, "edits.replace", index=1, alpha=0.25, base_rev=board.exp.rev)
    board.widget.wait(120)
    assert board.exp.edits[1].alpha == 0.25
    same(board, answer)


def test_where_cells_are_many_the_effect_comes_ahead_of_them(board, monkeypatch):
    monkeypatch.setattr(board_ops, "MANY", 0)
    board.unlimited()
    request = board.request("patch.preview", edits=[CELL], base=None, replace=None)
    last = board.answer(request)
    parts = [m.content["data"] for m in board.messages("partial", request) if m.content["data"]]
    assert parts[0]["effect"]["after"] == last.content["data"]["effect"]["after"]


def test_of_many_quick_previews_the_newest_is_answered(board):
    gate = threading.Event()
    job = board.exp.scheduler.submit(_held(gate), priority=board_ops.Priority.PREVIEW, op="test.hold")
    asked = [
        board.request("patch.preview", "preview", edits=[spec("resid_post", i % 4, [14])], base=None, replace=None)
        for i in range(200)
    ]
    gate.set()
    job.wait()
    kinds = [board.answer(request).content["kind"] for request in asked]
    assert kinds[-1] == "done"
    assert kinds.count("done") <= 2
    assert set(kinds[:-2]) == {"cancelled"}
    last = board.answer(asked[-1]).content["data"]["effect"]["after"]
    assert last == pytest.approx(board.exp.run(mi.Patch("resid_post", 199 % 4, position=14)).metric, abs=1e-4)


def _held(gate):
    yield
    gate.wait(60)


def test_further_cells_and_cards_are_those_of_the_lens(board):
    add(board, CELL)
    answer = ask(board, "lens.cells", run="edited", measure="prob", rows=[2, 4], columns=[12, 15])
    np.testing.assert_array_equal(decoded(answer, "top_ids")[..., :1], shown(board, "edited_top_ids")[[2, 4], 12:])
    np.testing.assert_array_equal(decoded(answer, "changed"), shown(board, "edited_changed")[[2, 4], 12:])
    np.testing.assert_array_equal(decoded(answer, "cone"), shown(board, "edited_cone")[[2, 4], 12:])
    answer = ask(board, "lens.cells", run="clean", measure="prob", rows=[4], columns=[0, 15])
    assert "cone" not in answer.content["arrays"]
    np.testing.assert_array_equal(decoded(answer, "top_ids")[..., :1], shown(board, "clean_top_ids")[[4]])
    card = done(board, "lens.card", run="edited", row=4, position=14, k=3)
    assert card["tokens"][0]["id"] == int(shown(board, "edited_top_ids")[4, 14, 0])
    assert "must be one of clean, corrupted, edited" in refused(
        board, "lens.card", run="change", row=0, position=0, k=1
    )


def test_a_run_of_the_history_comes_back_with_its_base_in_one_step(board):
    exp = board.exp
    add(board, HEAD)
    first = board.widget.board["effect"]["after"]
    add(board, CELL, base="clean")
    assert done(board, "runs.list")["runs"][1]["base"] == "clean"
    done(board, "runs.restore", number=1, base_rev=exp.rev)
    board.widget.wait(120)
    assert (exp.base, list(exp.edits)) == ("corrupted", [mi.Patch("z", 3, head=1, position=14)])
    assert (board.widget.board["effect"]["after"], board.widget.board["run_number"]) == (first, 1)
    exp.edits.undo()
    assert (exp.base, len(exp.edits.enabled)) == ("clean", 1)
    assert "no run 7" in refused(board, "runs.restore", number=7, base_rev=exp.rev)
    assert "no run 7" in refused(board, "runs.effect", number=7)
    assert ask(board, "runs.restore", number=1, base_rev=0).content["error"] == "Stale"


def test_a_run_that_a_cell_made_is_told_while_its_question_stands(board):
    exp = board.exp
    exp.edits.add(mi.Zero("z", 1, head=1))
    result = exp.run()
    effect = done(board, "runs.effect", number=exp.runs[-1].number)["effect"]
    assert effect["after"] == pytest.approx(result.metric, abs=1e-4)
    exp.runs.clear()
    result = exp.run()
    exp.ask(metric="prob")
    board.widget.wait(120)
    number = next(run.number for run in exp.runs if run.result is result)
    assert "was made of another question" in refused(board, "runs.effect", number=number)


def test_the_code_prints_the_number_that_is_shown(board, tmp_path, capsys):
    add(board, CELL, HEAD)
    script = tmp_path / "script.py"
    script.write_text(done(board, "code.python")["text"], encoding="utf-8")
    runpy.run_path(str(script), run_name="__main__")
    printed = [float(word) for word in capsys.readouterr().out.replace(",", " ").split() if _is_number(word)]
    effect = board.widget.board["effect"]
    assert min(abs(value - effect["after"]) for value in printed) < 2e-4


def _is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


def refused(page, op, **params):
    before = list(page.exp.edits)
    answer = ask(page, op, **params).content
    assert answer["kind"] == "failed", answer
    assert list(page.exp.edits) == before
    return answer["message"]


@pytest.mark.parametrize(
    ("op", "params", "said"),
    [
        ("board.run", {"more": 1}, "does not know 'more'"),
        ("patch.preview", {"edits": [], "base": None, "replace": None}, "list of 1 to 1000 entries"),
        ("patch.preview", {"edits": "all"}, "edits must be a list"),
        ("patch.preview", {"edits": [CELL], "base": "edited"}, "base must be one of clean, corrupted"),
        ("patch.preview", {"edits": [CELL], "replace": 0}, "There is no edit to replace"),
        ("patch.preview", {"edits": [CELL | {"layer": 9}]}, "edits[0]: layer is 9"),
        ("patch.preview", {"edits": [CELL | {"positions": [0.5]}]}, "whole number"),
        ("patch.preview", {"edits": [CELL], "more": None}, "does not know 'more'"),
        ("runs.list", {"number": 1}, "does not know 'number'"),
        ("runs.effect", {}, "number is missing"),
        ("runs.effect", {"number": 0}, "outside 1 to"),
        ("code.python", {"path": "/"}, "does not know 'path'"),
        ("question.set", {"align": "custom", "base_rev": 1}, "No pairs of positions were given"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(board, op, params, said):
    assert said in refused(board, op, **params)


def test_a_base_that_is_not_there_and_a_preview_of_the_wrong_base(board_of, board):
    alone = board_of(mi.Experiment(mi.load(), CLEAN, answer=" Mary"))
    assert "There is no corrupted prompt" in refused(alone, "patch.preview", edits=[CELL], base="corrupted")
    assert "nothing pairs" in refused(alone, "question.set", align="end", base_rev=alone.exp.rev)
    add(board, HEAD)
    said = refused(board, "patch.preview", edits=[], replace=0, alpha=0.5, base="clean")
    assert "runs on the live base" in said
    assert "replace is 1, outside 0 to 0" in refused(board, "patch.preview", edits=[], replace=1, alpha=0.5)
    assert "lies in 0 to 1" in refused(board, "patch.preview", edits=[], replace=0, alpha=-1)


def test_a_preview_that_is_not_finite_fails_by_itself(board, swallowed):
    swallowed.expect(NotFinite)
    board.exp.edits.add(mi.Scale("mlp_out", 0, factor=1e38, position=3))
    with pytest.raises(NotFinite):
        board.widget.wait(120)
    answer = ask(board, "patch.preview", edits=[CELL], base=None, replace=None)
    assert answer.content["error"] == "NotFinite"


def test_a_sweep_runs_on_the_board_too(board):
    answer = ask(
        board, "sweep.cell", site="resid_post", edit="patch", base="corrupted", on_top=False, layer=2, column=14
    )
    assert answer.content["kind"] == "done", answer.content
    assert answer.content["data"]["metric"] == pytest.approx(
        preview(board, CELL).content["data"]["effect"]["after"], abs=1e-4
    )
