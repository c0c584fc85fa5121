"""A patch sweep while it is made: what comes first, cancels, other questions, failing models, maps known already."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch

import mi_widgets as mi
from mi_widgets.errors import Cancelled, NotFinite
from mi_widgets.widgets.sweep_wire import ESTIMATE, EXACT, PENDING, SAME
from tests.python.families import build, experiment, word_tokenizer
from tests.python.widgets.page import LIMIT, decoded
from tests.python.widgets.sweep_page import NAMES, S2, SWEEP, parts_of, same_as, shown, start, swept


def test_first_the_outline_then_the_estimate_then_cells_that_are_new(table, piecewise):
    table.unlimited()
    request_id = start(table, edit="zero")
    done = table.answer(request_id)
    partials = [m for m in table.messages("partial", request_id) if m.content["data"] or m.content["arrays"]]
    outline, estimate, *pieces = partials
    about = outline.content["data"]["map"]
    assert (about["done"], about["total"], about["complete"]) == (0, 60, False)
    assert "arrays" not in about
    assert set(decoded(estimate, "state")) == {ESTIMATE}
    guessed = table.exp.sweep("resid_pre", mi.Zero(), method="gradient", progress=False)
    np.testing.assert_allclose(decoded(estimate, "metric"), guessed.metric.flatten(), atol=1e-5)
    assert len(pieces) > 3
    told = np.full(60, PENDING)
    for piece in pieces:
        at = decoded(piece, "at")
        assert (told[at] != EXACT).all()
        assert set(decoded(piece, "state")) == {EXACT}
        assert sum(map(len, piece.buffers)) <= 64_000
        told[at] = EXACT
        np.testing.assert_array_equal(decoded(piece, "metric"), decoded(done, "metric").ravel()[at])
    assert (told == EXACT).all()
    counts = [m.content["data"]["done"] for m in pieces]
    assert counts == sorted(counts)
    assert counts[-1] == 60
    assert done.content["data"]["map"]["complete"]
    progress = [m.content["progress"] for m in pieces if m.content["progress"]["done"] > 0]
    assert all(each["total"] == 60 and each["seconds_left"] >= 0 for each in progress)


def test_progress_counts_runs_of_cells_and_neither_the_unedited_runs_nor_the_estimate(table, piecewise):
    table.unlimited()
    for part, total in ((None, 20), ({"layers": [1, 2], "columns": [9, 10, 11]}, 4)):
        request_id = start(table, site="attn_out", part=part)
        table.answer(request_id)
        told = [m.content["progress"] for m in table.messages("partial", request_id)]
        told = [progress for progress in told if progress is not None]
        assert {progress["total"] for progress in told} == {total}
        counts = [progress["done"] for progress in told]
        assert counts == sorted(counts)
        assert (counts[0], counts[-1]) == (0, total)


@pytest.mark.parametrize(("site", "first"), [("resid_pre", 12), ("z", 2)])
def test_the_column_under_the_pointer_comes_first(table, piecewise, site, first):
    table.unlimited()
    request_id = start(table, site=site, edit="zero", first=first)
    table.answer(request_id)
    columns = 4 if site == "z" else 15
    run = [decoded(m, "at")[decoded(m, "state") == EXACT] for m in parts_of(table, request_id)]
    early = next(at for at in run if len(at))
    assert early[0] % columns == first
    assert set(early % columns) == {first} or {first + columns * layer for layer in range(4)} <= set(early)


def test_what_is_watched_goes_before_the_sweep(table, piecewise, halt):
    reached, go_on = halt(3)
    request_id = start(table, edit="zero")
    assert reached.wait(LIMIT)
    cell = table.request("sweep.cell", slot="cell", **{k: v for k, v in SWEEP.items() if k not in ("first", "part")},
                         layer=1, column=14)  # fmt: skip
    go_on.set()
    table.answer(request_id)
    kinds = [(m.content["id"], m.content["kind"]) for m in table.messages() if m.content["kind"] == "done"]
    assert kinds.index((cell, "done")) < kinds.index((request_id, "done"))


def test_a_page_that_comes_late_is_told_what_it_missed(sweep_of, exp, piecewise, halt):
    reached, go_on = halt(3)
    page = sweep_of(exp)
    page.unlimited()
    assert reached.wait(LIMIT)
    before = len(page.messages("partial"))
    assert page.hello().content["running"][0]["op"] == "sweep.start"
    go_on.set()
    page.widget.wait(LIMIT)
    later = [m for m in page.messages("partial")[before:] if m.content["data"]]
    assert "map" in later[0].content["data"]
    known = next(m for m in later if m.content["arrays"])
    assert {SAME, ESTIMATE} < set(decoded(known, "state"))


def test_a_cancelled_sweep_keeps_its_exact_cells_and_says_which(table, piecewise, halt):
    whole = table.exp.sweep("attn_out", mi.Zero(), progress=False)
    table.exp._maps.clear()
    reached, go_on = halt(4)
    request_id = start(table, site="attn_out", edit="zero")
    assert reached.wait(LIMIT)
    table.cancel(request_id)
    go_on.set()
    assert table.answer(request_id).content["reason"] == "user"
    sweep, state = table.widget.sweep, shown(table, "state")
    assert (sweep["site"], sweep["cancelled"], sweep["complete"]) == ("attn_out", True, False)
    exact = state == EXACT
    assert 0 < exact.sum() < exact.size
    assert set(state[~exact]) == {ESTIMATE}
    assert (sweep["done"], sweep["total"]) == (exact.sum(), exact.size)
    np.testing.assert_allclose(shown(table, "metric")[exact], whole.metric.numpy()[exact], atol=1e-5)
    np.testing.assert_array_equal(table.widget.result.exact, exact)
    # Asked for again it goes on where it was left.
    table.unlimited()
    again = start(table, site="attn_out", edit="zero")
    done = table.answer(again)
    first = parts_of(table, again)[0]
    known = decoded(first, "at")[decoded(first, "state") == EXACT]
    np.testing.assert_array_equal(known, np.flatnonzero(exact))
    assert (decoded(done, "state") == EXACT).all()
    np.testing.assert_allclose(decoded(done, "metric"), whole.metric, atol=1e-5)
    assert not table.widget.sweep["cancelled"]


def test_its_own_sweep_is_cancelled_from_python(sweep_of, exp, piecewise, halt):
    # The first pieces of a question are its trials.
    reached, go_on = halt(4)
    page = sweep_of(exp)
    assert reached.wait(LIMIT)
    page.widget.cancel()
    go_on.set()
    with pytest.raises(Cancelled):
        page.widget.wait(LIMIT)
    assert page.widget.sweep["cancelled"]
    assert 0 < int((page.widget.result.exact & ~page.widget.result.same).sum()) < 20
    assert page.widget.status["error"]["error"] == "Cancelled"


def test_a_question_that_changes_in_mid_sweep_shows_nothing_old(sweep_of, exp, piecewise, halt):
    reached, go_on = halt(2)
    page = sweep_of(exp)
    assert reached.wait(LIMIT)
    changed = threading.Thread(target=lambda: exp.ask(metric="prob"))
    changed.start()
    go_on.set()
    changed.join(LIMIT)
    page.widget.wait(LIMIT)
    maps = [state for state in page.states("sweep") if state]
    assert [state["metric"] for state in maps] == ["prob"]
    same_as(page, exp.sweep("resid_pre", progress=False))
    assert page.widget.sweep["rev"] == page.widget.question["rev"] == exp.rev


def test_a_question_that_changes_while_a_page_sweeps_supersedes_that(table, piecewise, halt):
    reached, go_on = halt(2)
    request_id = start(table, edit="zero")
    assert reached.wait(LIMIT)
    changed = threading.Thread(target=lambda: table.exp.ask(base="clean"))
    changed.start()
    go_on.set()
    assert table.answer(request_id).content["reason"] == "superseded"
    changed.join(LIMIT)
    table.widget.wait(LIMIT)
    # What the page asked for is swept of the new question.
    assert (table.widget.sweep["edit"], table.widget.sweep["base"]) == ("zero", "clean")
    same_as(table, table.exp.sweep("resid_pre", mi.Zero(), base="clean", progress=False))


def test_of_two_sweeps_of_a_page_the_newer_wins(table, piecewise, halt):
    reached, go_on = halt(2)
    first = start(table, edit="zero")
    assert reached.wait(LIMIT)
    second = start(table, site="z")
    go_on.set()
    assert table.answer(first).content["reason"] == "superseded"
    assert table.answer(second).content["kind"] == "done"
    assert table.widget.sweep["site"] == "z"
    assert [state["site"] for state in table.states("sweep") if state] == ["resid_pre", "z"]


def test_a_page_takes_over_the_sweep_that_the_widget_began(sweep_of, exp, piecewise, halt):
    reached, go_on = halt(5)
    page = sweep_of(exp)
    page.unlimited()
    assert reached.wait(LIMIT)
    request_id = start(page, first=12)
    go_on.set()
    done = page.answer(request_id)
    page.widget.wait(LIMIT)
    assert page.widget.status["state"] == "idle"
    assert page.widget.last_error is None
    assert (decoded(done, "state")[:, S2:] == EXACT).all()
    # The cells that were run go on being known, and none of them is run again.
    first = parts_of(page, request_id)[0]
    assert EXACT in decoded(first, "state")
    counts = [m.content["progress"]["done"] for m in page.messages("partial", request_id)]
    assert counts[-1] == 20
    assert min(count for count in counts[2:]) > 0
    whole = exp.sweep("resid_pre", progress=False)
    np.testing.assert_allclose(shown(page, "metric"), whole.metric, atol=1e-5)


def test_a_model_that_fails_in_mid_sweep_is_told_and_asked_again(sweep_of, swallowed, piecewise, halt):
    swallowed.expect(NotFinite)
    exp = experiment(mi.wrap(build("gpt2"), word_tokenizer(), "mine"))
    bias = exp.model.hf.transformer.h[2].mlp.c_proj.bias
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    before = shown(page, "metric")
    reached, go_on = halt(2)
    request_id = start(page, edit="zero")
    assert reached.wait(LIMIT)
    kept = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(math.nan)
    go_on.set()
    reply = page.answer(request_id).content
    # Whichever notices first: the run itself, or the look at the model, after which everything is drawn anew.
    assert reply["kind"] in ("failed", "cancelled"), reply
    with pytest.raises(NotFinite):
        page.widget.wait(LIMIT)
    assert page.widget.status["error"]["error"] == "NotFinite"
    with torch.no_grad():
        bias.copy_(kept)
    # That the model is well again is noticed on the way, and draws everything anew.
    page.answer(start(page, site="resid_pre", edit="patch"))
    page.widget.wait(LIMIT)
    np.testing.assert_allclose(shown(page, "metric"), before, atol=1e-5)
    assert page.widget.status["state"] == "idle"


def test_a_second_widget_is_answered_from_the_table(table, sweep_of):
    other = sweep_of(table.exp, client="other")
    other.widget.wait(LIMIT)
    assert other.widget.sweep["from_table"]
    assert other.widget.sweep["complete"]
    for name in NAMES:
        np.testing.assert_array_equal(shown(other, name), shown(table, name))
    table.exp.sweep("mlp_out", progress=False)
    done = swept(other, site="mlp_out")
    assert done.content["data"]["map"]["from_table"]
    np.testing.assert_array_equal(decoded(done, "metric"), table.exp.sweep("mlp_out", progress=False).metric)


def test_two_widgets_at_once_make_the_map_once(sweep_of, exp, piecewise, halt):
    reached, go_on = halt(2)
    one = sweep_of(exp)
    assert reached.wait(LIMIT)
    two = sweep_of(exp, client="other")
    go_on.set()
    one.widget.wait(LIMIT)
    two.widget.wait(LIMIT)
    assert (one.widget.sweep["from_table"], two.widget.sweep["from_table"]) == (False, True)


def test_a_known_cell_needs_no_run(table):
    edit = mi.Patch("resid_pre", 1, position=14)
    assert table.exp.known(edit) == (shown(table, "metric")[1, 14], shown(table, "recovered")[1, 14])


def test_a_model_that_has_changed_is_swept_anew(sweep_of):
    exp = experiment(mi.wrap(build("gpt2"), word_tokenizer(), "mine"))
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    before = shown(page, "metric")
    with torch.no_grad():
        exp.model.hf.transformer.h[1].mlp.c_proj.weight.mul_(0.5)
    exp.run(())
    page.widget.wait(LIMIT)
    assert np.abs(shown(page, "metric") - before).max() > 1e-3
    same_as(page, exp.sweep("resid_pre", progress=False))


def test_a_rectangle_of_a_cancelled_map_runs_those_cells_alone(table, piecewise, halt):
    reached, go_on = halt(1)
    request_id = start(table, edit="zero")
    assert reached.wait(LIMIT)
    table.cancel(request_id)
    go_on.set()
    table.answer(request_id)
    done = swept(table, edit="zero", part={"layers": [0, 3], "columns": [2, 5]})
    exact = decoded(done, "state") == EXACT
    assert exact[[0, 0, 3, 3], [2, 5, 2, 5]].all()
    assert not exact.all()
    for layer, position in ((0, 2), (3, 5)):
        run = table.exp.run(mi.Zero("resid_pre", layer, position=position), base="corrupted")
        assert decoded(done, "metric")[layer, position] == pytest.approx(run.metric, abs=1e-4)


def test_a_closed_widget_stops_its_sweep(sweep_of, exp, piecewise, halt):
    reached, go_on = halt(2)
    page = sweep_of(exp)
    assert reached.wait(LIMIT)
    page.widget.close()
    go_on.set()
    for job in exp.scheduler.jobs:
        with pytest.raises(Cancelled):
            job.wait(LIMIT)
    assert page.widget.last_error is None
    assert exp.run(()).metric == pytest.approx(exp.baselines.loc["corrupted", "metric"], abs=1e-5)
