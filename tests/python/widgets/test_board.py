"""The patch board on a really trained model: its trait, its runs, and each number against the model by hand."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import mi_widgets as mi
from mi_widgets.errors import BadInput, NotFinite
from mi_widgets.export.board_image import place_of
from mi_widgets.export.image import LARGEST
from tests.python import lens_by_hand
from tests.python.widgets.board_page import TEXTS, add, by_hand, done, metric, shown, spec
from tests.python.widgets.questions import CLEAN, CORRUPTED

SHORTER = "When Mary and John went, Mary gave a drink to"


def said(exp, kept):
    """[row, position, vocab] probabilities of the streams of a run by hand."""
    n = exp.model.n_layers
    streams = [kept["resid_pre", 0], *(kept["resid_post", layer] for layer in range(n))]
    return torch.stack([lens_by_hand.lens(exp.model.hf, x) for x in streams]).softmax(-1)


def test_the_two_runs_stand_side_by_side(board):
    trait, exp = board.widget.board, board.exp
    for run in ("clean", "corrupted"):
        probs = said(exp, by_hand(exp, [], run)[1])
        np.testing.assert_array_equal(shown(board, f"{run}_top_ids")[..., 0], probs.argmax(-1))
        np.testing.assert_allclose(shown(board, f"{run}_top_values")[..., 0], probs.amax(-1), atol=1e-4)
    np.testing.assert_array_equal(shown(board, "edited_top_ids"), shown(board, "corrupted_top_ids"))
    assert not shown(board, "edited_cone").any()
    assert [row["label"] for row in trait["rows"]] == ["input", "L0", "L1", "L2", "L3"]
    assert trait["grids"] == {run: {"positions": 15, "columns": [0, 15]} for run in ("clean", "corrupted", "edited")}
    assert (trait["base"], trait["run_number"], trait["n_runs"]) == ("corrupted", None, 0)
    assert trait["differs"] == {"clean": [10], "corrupted": [10]}
    assert trait["pairs"] == [[p, p] for p in range(15)]
    assert [(c["name"], c["site"], c["axis"], c["reason"]) for c in trait["carries"]][2:5] == [
        ("mlp", "mlp_out", "position", None),
        ("z", "z", "head", None),
        ("q", "q", "head", None),
    ]
    effect = trait["effect"]
    assert effect["before"] == effect["after"] == effect["corrupted"]
    assert (effect["recovered"], effect["destroyed"]) == (0.0, None)
    assert set(map(int, trait["tokens"])) == {
        int(i) for n in trait["arrays"] if "ids" in n for i in shown(board, n).flat
    }


STACK = [
    spec("resid_post", 1, [10]),
    spec("mlp_out", 0, [10, 12], alpha=0.5),
    spec("z", 2, None, head=1),
]


@pytest.mark.parametrize("base", ["corrupted", "clean"])
def test_stacked_patches_give_what_plain_hooks_and_exp_run_give(board, base):
    exp = board.exp
    for one in STACK:
        add(board, one, base=base)
    logits, kept = by_hand(exp, STACK, base)
    effect, plain = board.widget.board["effect"], {run: metric(exp, by_hand(exp, [], run)[0][-1]) for run in TEXTS}
    assert effect["after"] == pytest.approx(metric(exp, logits[-1]), abs=1e-4)
    assert (effect["clean"], effect["corrupted"]) == pytest.approx((plain["clean"], plain["corrupted"]), abs=1e-4)
    share = (effect["after"] - plain["corrupted"]) / (plain["clean"] - plain["corrupted"])
    assert effect["recovered"] == pytest.approx(share, abs=1e-4)
    assert effect["destroyed"] == (None if base == "corrupted" else pytest.approx(1 - share, abs=1e-4))
    alone = exp.run(list(exp.edits))
    assert (effect["after"], effect["recovered"]) == pytest.approx((alone.metric, alone.recovered), abs=1e-4)
    assert board.widget.result.metric == pytest.approx(alone.metric, abs=1e-4)
    before, after = by_hand(exp, [], base)[0][-1], logits[-1]
    for token in effect["tokens"]:
        i = token["id"]
        assert token["before"] == pytest.approx(float(before.softmax(-1)[i]), abs=1e-4)
        assert token["after"] == pytest.approx(float(after.softmax(-1)[i]), abs=1e-4)
        assert (token["before_rank"], token["after_rank"]) == (
            int((before > before[i]).sum()),
            int((after > after[i]).sum()),
        )
    assert {exp.answer.ids[0][0], exp.distractor.ids[0][0]} <= {token["id"] for token in effect["tokens"]}
    probs, unedited = said(exp, kept), said(exp, by_hand(exp, [], base)[1])
    np.testing.assert_array_equal(shown(board, "edited_top_ids")[..., 0], probs.argmax(-1))
    np.testing.assert_allclose(shown(board, "edited_top_values")[..., 0], probs.amax(-1), atol=1e-4)
    np.testing.assert_array_equal(shown(board, "edited_changed"), probs.argmax(-1) != unedited.argmax(-1))
    moved = ((probs - unedited).abs().amax(-1) > 1e-5).numpy()
    assert moved.any()
    assert not (moved & (shown(board, "edited_cone") == 0)).any()
    assert not shown(board, "edited_cone")[:, :10].any()  # both prompts are the same up to there


def test_the_footer_is_told_where_the_run_resumed(board):
    assert board.widget.board["notes"] == []  # the unedited run is run whole
    add(board, spec("z", 2, [14], head=1))
    assert board.widget.board["notes"] == ["resumed at L2 from position 14"]
    add(board, spec("attn_out", 1, [12]))
    assert board.widget.board["notes"] == ["resumed at L1 from position 12"]


def test_an_edit_draws_what_it_changes_and_nothing_else(board, monkeypatch):
    from mi_widgets.widgets import board_ops

    drawn = []
    monkeypatch.setattr(board_ops, "tops_steps", lambda *args: drawn.append(args))
    add(board, spec())
    board.exp.ask(metric="prob")
    board.widget.wait(120)
    board.exp.edits.clear()
    board.widget.wait(120)
    assert drawn == []
    assert board.widget.board["effect"]["metric"] == "prob"


def test_the_history_has_each_run_once_and_undo_leads_back(board):
    exp = board.exp
    add(board, spec())
    add(board, spec("z", 3, None, head=2))
    assert [run.number for run in exp.runs] == [1, 2]
    assert exp.runs[-1].result.metric == board.widget.result.metric
    lines = done(board, "runs.list")["runs"]
    assert [(r["number"], r["base"], r["current"]) for r in lines] == [(1, "corrupted", False), (2, "corrupted", True)]
    assert lines[1]["labels"] == ["patch L1.resid_post@10", "patch L3H2.z"]
    assert lines[1]["metric"] == pytest.approx(exp.run(list(exp.edits)).metric, abs=1e-4)
    first = board.widget.board["effect"]["after"]
    done(board, "edits.undo", base_rev=exp.rev)
    board.widget.wait(120)
    assert (board.widget.board["run_number"], board.widget.board["n_runs"], len(exp.runs)) == (1, 2, 2)
    done(board, "edits.redo", base_rev=exp.rev)
    board.widget.wait(120)
    assert (board.widget.board["run_number"], board.widget.board["effect"]["after"]) == (2, first)
    assert done(board, "runs.effect", number=1)["effect"]["after"] == pytest.approx(lines[0]["metric"], abs=1e-5)


def test_two_boards_on_one_experiment_show_the_same_and_record_it_once(board, board_of):
    other = board_of(board.exp)
    add(board, spec())
    other.widget.wait(120)
    assert len(board.exp.runs) == 1
    assert other.widget.board["effect"]["after"] == board.widget.board["effect"]["after"]
    assert other.widget.board["run_number"] == board.widget.board["run_number"] == 1


def test_one_prompt_moves_within_itself(board_of):
    exp = mi.Experiment(mi.load(), CLEAN, answer=" Mary", distractor=" John")
    board = board_of(exp)
    trait = board.widget.board
    assert trait["grids"]["corrupted"] is None
    assert (trait["pairs"], trait["aligns"]) == ([], [])
    assert (trait["effect"]["corrupted"], trait["effect"]["recovered"]) == (None, None)
    one = spec("resid_post", 1, [10], source="clean", source_positions=[2])
    add(board, one)
    logits, _ = by_hand(exp, [one], "clean")
    assert board.widget.board["effect"]["after"] == pytest.approx(metric(exp, logits[-1]), abs=1e-4)
    assert "position" in board.widget.board["effect"]["note"]
    done(board, "question.set", which="corrupted", text=CORRUPTED, base_rev=exp.rev)
    board.widget.wait(120)
    assert board.widget.board["grids"]["corrupted"]["positions"] == 15
    assert board.widget.board["effect"]["destroyed"] is not None


def test_prompts_of_two_lengths_pair_as_the_page_asks(board_of):
    exp = mi.Experiment(mi.load(), CLEAN, SHORTER, answer=" Mary", distractor=" John")
    board = board_of(exp)
    assert (board.widget.board["pairs"], board.widget.board["align"]) == ([], "start")
    reasons = {a["name"]: a["reason"] for a in board.widget.board["aligns"]}
    assert "15 and 12 tokens" in reasons["start"]
    assert (reasons["end"], reasons["common"]) == (None, None)
    assert "No pairs" in reasons["custom"]
    done(board, "question.set", align="end", base_rev=exp.rev)
    board.widget.wait(120)
    # The beginning tokens pair, and the ends.
    assert board.widget.board["pairs"] == [[0, 0], *([p + 3, p] for p in range(1, 12))]
    assert {n: g["positions"] for n, g in board.widget.board["grids"].items()} == {
        "clean": 15, "corrupted": 12, "edited": 12,
    }  # fmt: skip
    done(board, "question.set", align="common", base_rev=exp.rev)
    board.widget.wait(120)
    assert board.widget.board["differs"] == {"clean": [6, 7, 8, 10], "corrupted": [7]}
    add(board, spec("resid_post", 1, [7]))
    logits, _ = by_hand(
        exp, [spec("resid_post", 1, [7], source_positions=[10])], "corrupted", {"clean": CLEAN, "corrupted": SHORTER}
    )
    assert board.widget.board["effect"]["after"] == pytest.approx(metric(exp, logits[-1]), abs=1e-4)
    for align, said in (("custom", "No pairs of positions were given"), ("middle", "align must be one of")):
        answer = board.answer(board.request("question.set", align=align, base_rev=exp.rev))
        assert said in answer.content["message"]


def test_several_prompts_share_a_number_with_its_error(board_of):
    names = [("Mary", "John"), ("Laura", "Brian"), ("John", "Mary")]
    clean = [f"When {a} and {b} went to the store, {b} gave a drink to" for a, b in names]
    corrupted = [f"When {a} and {b} went to the store, {a} gave a drink to" for a, b in names]
    exp = mi.Experiment(
        mi.load(), clean, corrupted, [f" {a}" for a, _ in names], [f" {b}" for _, b in names]
    )  # fmt: skip
    board = board_of(exp)
    add(board, spec("resid_post", 2, [14]))
    effect, result = board.widget.board["effect"], exp.run(list(exp.edits))
    assert (effect["n_prompts"], effect["stderr"]) == (3, pytest.approx(result.stderr, rel=1e-3))
    assert (effect["after"], effect["recovered"]) == pytest.approx((result.metric, result.recovered), abs=1e-4)
    done(board, "question.set", prompt=1, base_rev=exp.rev)
    board.widget.wait(120)
    texts = {"clean": clean[1], "corrupted": corrupted[1]}
    probs = said(exp, by_hand(exp, [spec("resid_post", 2, [14])], "corrupted", texts)[1])
    np.testing.assert_array_equal(shown(board, "edited_top_ids")[..., 0], probs.argmax(-1))
    top = max(board.widget.board["effect"]["tokens"], key=lambda token: token["after"])
    assert top["id"] == int(result.logits[1].argmax())
    assert board.widget.board["effect"]["after"] == pytest.approx(effect["after"], abs=1e-5)


def test_metrics_without_a_share_and_a_users_own(board_of):
    def margin(logits, rows):
        return logits.max(-1).values

    exp = mi.Experiment(mi.load(), CLEAN, CORRUPTED, answer=" Mary", metric=margin)
    board = board_of(exp)
    add(board, spec())
    effect = board.widget.board["effect"]
    assert (effect["metric"], effect["label"]) == ("margin", "margin")
    assert effect["after"] == pytest.approx(float(by_hand(exp, [spec()])[0][-1].max()), abs=1e-4)
    exp.ask(metric="rank")
    board.widget.wait(120)
    assert board.widget.board["effect"]["recovered"] is None
    assert "no recovered share" in board.widget.board["effect"]["note"]


def test_equal_ends_and_a_saved_state_of_a_size(board_of):
    exp = mi.Experiment(mi.load(), CLEAN, CLEAN, answer=" Mary", distractor=" John")
    board = board_of(exp)
    add(board, spec("z", 1, None, head=0, source="clean", source_positions=None) | {"kind": "zero"})
    effect = board.widget.board["effect"]
    assert effect["recovered"] is None
    assert effect["clean"] == pytest.approx(effect["corrupted"])
    state = board.widget.board
    size = sum(len(e["data"]) for e in state["arrays"].values())
    size += len(json.dumps({k: v for k, v in state.items() if k != "arrays"}))
    assert size < 1_000_000
    assert Image.open(io.BytesIO(board.widget.static_picture())).width == 1800


def test_a_run_that_is_not_finite_says_so_and_undo_mends_it(board, swallowed):
    swallowed.expect(NotFinite)
    board.exp.edits.add(mi.Scale("resid_post", 3, factor=1e38))
    with pytest.raises(NotFinite):
        board.widget.wait(120)
    assert board.widget.status["state"] == "failed"
    assert board.widget.status["error"]["error"] == "NotFinite"
    board.exp.edits.undo()
    board.widget.wait(120)
    assert board.widget.status["state"] == "idle"
    assert board.widget.board["rev"] == board.exp.rev


def test_a_question_of_old_is_never_shown(board):
    for layer in (0, 1, 2, 3):
        board.exp.edits.clear()
        board.exp.edits.add(mi.Patch("resid_post", layer, position=10))
    board.widget.wait(120)
    revs = [state["rev"] for state in board.states("board") if state]
    assert revs == sorted(revs)
    assert board.widget.board["rev"] == board.exp.rev == board.widget.question["rev"]
    assert board.widget.board["effect"]["after"] == pytest.approx(board.exp.run().metric, abs=1e-4)


def test_the_still_picture_and_the_words(board):
    add(board, spec("resid_post", 2, [14]), spec("mlp_out", 0, [10], alpha=0.5))
    text = board.widget.static_text()
    for words in ("Patch board of tiny-names", "patch L2.resid_post@14", "by 0.5", "patched", "% recovered", "␣Mary"):
        assert words in text
    picture = board.widget.static_picture()
    assert len(picture) <= LARGEST
    assert Image.open(io.BytesIO(picture)).format == "PNG"
    board.exp.base = "clean"
    board.widget.wait(120)
    assert "clean run" not in board.widget.static_text()
    assert "edits on the clean prompt" in board.widget.static_text()
    assert place_of(3.0, [0.0, 2.0, 3.0]) > place_of(2.0, [0.0, 2.0, 3.0]) > place_of(0.0, [0.0, 2.0, 3.0]) > 0


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(BadInput, match="PatchBoard needs something to show"):
        mi.PatchBoard()
    with pytest.raises(BadInput, match="no argument translators"):
        mi.PatchBoard(mi.load(), CLEAN, translators=None)
