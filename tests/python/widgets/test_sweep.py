"""The patch sweep widget on real models: each cell against the experiment and a run by hand, whatever happens."""

from __future__ import annotations

import io
import json
import math
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import mi_widgets as mi
from mi_widgets.errors import BadInput, Cancelled, NotFinite, SiteUnavailable
from mi_widgets.experiment import sweeping as making
from mi_widgets.export.image import LARGEST
from mi_widgets.interventions.packed import engine
from mi_widgets.widgets import arrays, sweeping
from mi_widgets.widgets.sweep_wire import ESTIMATE, EXACT, NONE, PENDING, SAME
from tests.python import by_hand
from tests.python.families import build, experiment, word_tokenizer, wrapped
from tests.python.widgets.page import LIMIT, decoded
from tests.python.widgets.questions import CLEAN, CORRUPTED

SWEEP = {"site": "resid_pre", "edit": "patch", "base": "corrupted", "on_top": False, "first": None, "part": None}
S2 = 10
NAMES = ("metric", "recovered", "stderr", "state")


@pytest.fixture
def table(sweep_of, exp):
    """The page of a finished sweep."""
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    return page


@pytest.fixture
def piecewise(monkeypatch):
    """Small pieces, and each told at once."""
    monkeypatch.setattr(engine, "ROWS", 8)
    monkeypatch.setattr(making, "EVERY", 0.0)


@pytest.fixture
def halt(monkeypatch):
    """Halts the work before its n-th piece: `halt(3)` gives (reached, go on)."""
    plain, pieces, halts = engine.run_variants, [], {}

    def counted(*args):
        pieces.append(len(pieces))
        if len(pieces) in halts:
            reached, go_on = halts.pop(len(pieces))
            reached.set()
            assert go_on.wait(LIMIT)
        return (yield from plain(*args))

    monkeypatch.setattr(engine, "run_variants", counted)

    def before(piece):
        halts[len(pieces) + piece] = events = threading.Event(), threading.Event()
        return events

    yield before
    for _, go_on in halts.values():
        go_on.set()


def shown(page, name):
    """An array of the trait, as numbers."""
    entry = page.widget.sweep["arrays"][name]
    return arrays.decode(entry, entry["data"])


def start(page, **changed):
    return page.request("sweep.start", slot="sweep", **SWEEP | {"base": page.exp.base} | changed)


def swept(page, **changed):
    """The final answer to a sweep, which went well."""
    done = page.answer(start(page, **changed))
    assert done.content["kind"] == "done", done.content
    return done


def parts_of(page, request_id):
    """The partial replies of a request that carry cells."""
    return [m for m in page.messages("partial", request_id) if m.content["arrays"]]


def same_as(page, found):
    """Checks that the trait shows a map of the experiment, to the bit."""
    for name in ("metric", "recovered", "stderr"):
        np.testing.assert_array_equal(shown(page, name), getattr(found, name))


# What is shown


def test_it_sweeps_by_itself_and_each_cell_is_a_run_of_its_own(table):
    sweep, exp = table.widget.sweep, table.exp
    assert (sweep["site"], sweep["edit"], sweep["base"], sweep["on_top"]) == ("resid_pre", "patch", "corrupted", False)
    assert (sweep["axis"], sweep["layers"], sweep["rev"]) == ("position", [0, 1, 2, 3], table.widget.question["rev"])
    assert (sweep["complete"], sweep["cancelled"], sweep["from_table"]) == (True, False, False)
    assert (sweep["done"], sweep["total"]) == (20, 20)
    state = shown(table, "state")
    # The prompts are the same up to the second name.
    assert (state[:, :S2] == SAME).all()
    assert (state[:, S2:] == EXACT).all()
    for layer in range(4):
        for position in range(15):
            run = exp.run(mi.Patch("resid_pre", layer, position=position), base="corrupted")
            assert shown(table, "metric")[layer, position] == pytest.approx(run.metric, abs=1e-4)
            assert shown(table, "recovered")[layer, position] == pytest.approx(run.recovered, abs=1e-4)
    assert np.isnan(shown(table, "stderr")).all()
    base = exp.baselines["metric"]
    assert sweep["baselines"]["clean"] == pytest.approx(base["clean"], abs=1e-4)
    np.testing.assert_allclose(shown(table, "metric")[:, :S2], base["corrupted"], atol=1e-5)
    assert table.widget.question["baselines"]["clean"] == pytest.approx(base["clean"], abs=1e-4)
    assert table.widget.revs["sweep"] == 1
    assert table.widget.status["state"] == "idle"


def test_a_cell_is_what_hooks_on_the_plain_model_give(sweep_of):
    exp = experiment(wrapped("gpt2"))
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    clean, corrupted = (torch.tensor(exp.prompt(run).prompts[0].ids) for run in ("clean", "corrupted"))
    source = by_hand.record(exp.model.hf, clean)
    for layer in range(3):
        for position in (S2, len(clean) - 1):

            def put(x, layer=layer, position=position):
                x[position] = source["resid_pre", layer][position]
                return x

            logits, _ = by_hand.changed(exp.model.hf, corrupted, {("resid_pre", layer): [put]})
            by_hooks = by_hand.logit_diff(logits[-1], exp.answer.ids[0], exp.distractor.ids[0])
            assert shown(page, "metric")[layer, position] == pytest.approx(by_hooks, abs=1e-4)


def test_columns_carry_both_tokens_where_they_differ(table):
    columns = table.widget.sweep["columns"]
    labels = {run: table.widget.question["prompts"][run]["labels"] for run in ("clean", "corrupted")}
    assert [column["position"] for column in columns] == list(range(15))
    assert [column["label"] for column in columns] == labels["corrupted"]
    assert {at: column["other"] for at, column in enumerate(columns) if column["other"]} == {S2: labels["clean"][S2]}


@pytest.mark.parametrize("site", ["resid_mid", "resid_post", "attn_out", "mlp_out", "z", "q", "k", "v", "pattern"])
def test_every_site_gives_the_map_of_the_experiment(table, site):
    done = swept(table, site=site)
    assert table.widget.sweep["site"] == done.content["data"]["map"]["site"] == site
    same_as(table, table.exp.sweep(site, progress=False))
    heads = site in ("z", "q", "k", "v", "pattern")
    assert table.widget.sweep["axis"] == ("head" if heads else "position")
    for name in NAMES:
        np.testing.assert_array_equal(decoded(done, name), shown(table, name))


@pytest.mark.parametrize(("edit", "template"), [("zero", mi.Zero()), ("mean", mi.Mean())])
def test_ablations_have_no_cell_that_cannot_differ(table, edit, template):
    swept(table, edit=edit, site="z")
    assert (shown(table, "state") == EXACT).all()
    same_as(table, table.exp.sweep("z", template, progress=False))
    swept(table, edit=edit, site="resid_pre", base="clean")
    same_as(table, table.exp.sweep("resid_pre", template, base="clean", progress=False))
    assert all(column["other"] == "" for column in table.widget.sweep["columns"])


def test_the_result_is_the_map_that_is_shown(table):
    same_as(table, table.widget.result)
    assert table.widget.result.site == "resid_pre"
    (best,) = table.widget.result.top(1)
    metric = table.exp.run(best).metric
    assert metric in (pytest.approx(shown(table, "metric").max()), pytest.approx(shown(table, "metric").min()))


# While it comes


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


# Stopped, broken, asked anew


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


# Known already


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


# Parts, single cells, edits


def test_a_rectangle_is_run_again_and_laid_into_the_map(table):
    before = {name: shown(table, name) for name in NAMES}
    done = swept(table, part={"layers": [2, 1], "columns": [10, 14]})
    about = done.content["data"]["map"]
    assert not about["from_table"]
    assert (about["done"], about["total"], about["complete"]) == (20, 20, True)
    assert about["provenance"]["recomputed"].startswith("4 edited runs")
    for name in NAMES:
        np.testing.assert_allclose(decoded(done, name), before[name], atol=1e-5)
        np.testing.assert_array_equal(decoded(done, name), shown(table, name))


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


def test_a_cell_is_run_for_real_with_what_it_does_to_the_tokens(table):
    exp = table.exp
    exp.edits.add(mi.Zero("z", 0, head=1))
    table.widget.wait(LIMIT)
    for on_top, under in ((False, ()), (True, (mi.Zero("z", 0, head=1),))):
        wish = {"site": "mlp_out", "edit": "patch", "base": "corrupted", "on_top": on_top}
        reply = table.answer(table.request("sweep.cell", slot="cell", **wish, layer=1, column=S2)).content
        run = exp.run((*under, mi.Patch("mlp_out", 1, position=S2)))
        data = reply["data"]
        assert (data["layer"], data["column"], data["exact"], data["stderr"]) == (1, S2, True, None)
        assert data["metric"] == pytest.approx(run.metric, abs=1e-4)
        assert data["recovered"] == pytest.approx(run.recovered, abs=1e-4)
        top = run.top(1).iloc[0]
        told = data["effect"]["tokens"][0]
        assert (told["id"], told["after"]) == (top["id"], pytest.approx(top["prob"], abs=1e-4))
    assert len(exp.edits) == 1


def test_live_edits_change_the_map_only_where_it_is_on_top_of_them(table):
    before, revs = shown(table, "metric"), table.widget.revs["sweep"]
    table.exp.edits.add(mi.Zero("z", 1, head=0))
    table.widget.wait(LIMIT)
    np.testing.assert_array_equal(shown(table, "metric"), before)
    assert (table.widget.sweep["rev"], table.widget.revs["sweep"]) == (table.widget.question["rev"], revs + 1)
    assert table.widget.question["baselines"]["edited"] is not None
    swept(table, on_top=True)
    same_as(table, table.exp.sweep("resid_pre", on_top=True, progress=False))
    assert np.abs(shown(table, "metric") - before).max() > 1e-3
    # On top of an edit nothing is the same by its tokens alone.
    assert (shown(table, "state") == EXACT).all()
    table.exp.edits.toggle(0)
    table.widget.wait(LIMIT)
    np.testing.assert_allclose(shown(table, "metric"), before, atol=1e-5)


# Other questions


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


def test_key_value_heads_are_columns_of_their_own(sweep_of):
    exp = experiment(wrapped("llama"))
    page = sweep_of(exp, site="k")
    page.widget.wait(LIMIT)
    assert [column["label"] for column in page.widget.sweep["columns"]] == ["kv0 (H0-H1)", "kv1 (H2-H3)"]
    same_as(page, exp.sweep("k", progress=False))
    reasons = {each["name"]: each["reason"] for each in page.widget.sweep["edits_allowed"]}
    assert "over a prompt's own positions" in reasons["mean"]


def test_a_cell_whose_run_gives_no_number_has_none_and_says_so(sweep_of):
    model = mi.load()
    mary, john = (model.tokens(word).ids[-1] for word in (" Mary", " John"))

    def decided(logits, rows):
        difference = logits[:, mary] - logits[:, john]
        return torch.where(difference.abs() < 5, math.nan, difference)

    exp = mi.Experiment(model, CLEAN, CORRUPTED, answer=" Mary", distractor=" John", metric=decided)
    page = sweep_of(exp, site="z")
    page.widget.wait(LIMIT)
    plain = mi.Experiment(model, CLEAN, CORRUPTED, answer=" Mary", distractor=" John").sweep("z", progress=False)
    lost = plain.metric.abs() < 5
    assert 0 < int(lost.sum()) < lost.numel()
    np.testing.assert_array_equal(shown(page, "state"), np.where(lost, NONE, EXACT))
    np.testing.assert_array_equal(np.isnan(shown(page, "metric")), lost)
    sweep = page.widget.sweep
    assert (sweep["complete"], sweep["label"]) == (True, "decided")
    assert sweep["done"] == sweep["total"] == int((~lost).sum())
    assert any("no number" in note for note in sweep["notes"])
    assert page.widget.static_picture().startswith(b"\x89PNG")


# Without a model, without a kernel


@pytest.mark.parametrize("site", ["resid_pre", "z"])
def test_a_finished_map_needs_no_model(sweep_of, exp, tmp_path, site):
    found = exp.sweep(site, progress=False)
    result = mi.SweepResult.load(found.save(tmp_path / "map.safetensors"))
    page = sweep_of(result)
    page.widget.wait(LIMIT)
    same_as(page, found)
    assert page.widget.result is result
    sweep = page.widget.sweep
    assert (sweep["site"], sweep["edit"], sweep["base"], sweep["complete"]) == (site, "patch", "corrupted", True)
    assert page.widget.question["model"] is None
    assert page.widget.status["state"] == "idle"
    for op, params in (("sweep.start", SWEEP), ("edits.undo", {"base_rev": 1})):
        reply = page.answer(page.request(op, **params)).content
        assert (reply["kind"], reply["message"]) == (
            "failed", "This widget was made from a finished map: there is no model to ask.",
        )  # fmt: skip
    assert {each["reason"] for each in sweep["sites"] if each["name"] != site} == {
        "This is a finished map: there is no model to run."
    }
    text = "L2H1.z" if site == "z" else "L2.resid_pre@14"
    page.deliver({"method": "update", "state": {"selection": [text]}})
    assert [str(one) for one in page.widget.selection] == [text]
    assert "Patch sweep of tiny-names" in page.widget.static_text()
    assert page.widget.static_picture().startswith(b"\x89PNG")


def test_what_cannot_be_shown_is_refused_where_the_widget_is_made(exp):
    with pytest.raises(BadInput, match="shows no map of 'scores'"):
        mi.PatchSweep(exp, site="scores")
    with pytest.raises(BadInput, match="finished map of z, not of q"):
        mi.PatchSweep(exp.sweep("z", progress=False), site="q")
    with pytest.raises(BadInput, match="layer x head x position"):
        mi.PatchSweep(exp.sweep("z", positions="all", progress=False))
    with pytest.raises(BadInput, match="PatchSweep needs a prompt"):
        mi.PatchSweep(mi.load())
    with pytest.raises(BadInput, match="no argument edit="):
        mi.PatchSweep(exp, edit="zero")
    with pytest.raises(SiteUnavailable):
        mi.PatchSweep(parallel(), site="resid_mid")


def parallel():
    """A model whose attention and MLP read the same stream, so that there is nothing between them."""
    import transformers

    torch.manual_seed(0)
    config = transformers.GPTNeoXConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, use_parallel_residual=True,
    )  # fmt: skip
    return experiment(mi.wrap(transformers.GPTNeoXForCausalLM(config).eval(), word_tokenizer(), "parallel"))


def test_a_site_that_a_model_lacks_says_why(sweep_of):
    page = sweep_of(parallel())
    page.widget.wait(LIMIT)
    reasons = {each["name"]: each["reason"] for each in page.widget.sweep["sites"]}
    assert "parallel" in reasons["resid_mid"]
    assert reasons["resid_pre"] is None
    reply = page.answer(start(page, site="resid_mid")).content
    assert (reply["kind"], reply["error"]) == ("failed", "SiteUnavailable")


def test_the_output_holds_a_picture_and_the_cells_that_count(table):
    data, metadata = table.widget._repr_mimebundle_()
    lines = data["text/plain"].splitlines()
    assert lines[:3] == ["Patch sweep of tiny-names (4 layers)", f"prompt: {CLEAN}", f"corrupted: {CORRUPTED}"]
    assert lines[4] == (
        "patch resid_pre, base corrupted; 20 of 20 cells run, hatched: same tokens, cannot differ; "
        "recovered share: 0 as corrupted, 1 as clean:"
    )
    recovered = shown(table, "recovered")
    best = np.unravel_index(np.argmax(np.abs(recovered)), recovered.shape)
    assert lines[5].startswith(f"  L{best[0]} ")
    assert lines[5].endswith(f"{recovered[best]:+.3f}")
    swept(table, edit="zero", base="clean")
    destroyed = 1 - shown(table, "recovered")
    best = np.unravel_index(np.argmax(np.abs(destroyed)), destroyed.shape)
    lines = table.widget.static_text().splitlines()
    assert lines[4] == ("zero resid_pre, base clean; 60 of 60 cells run; share destroyed: 0 as clean, 1 as corrupted:")
    assert lines[5].endswith(f"@{best[1]}   {destroyed[best]:+.3f}")
    png = table.widget.static_picture()
    image = Image.open(io.BytesIO(png))
    assert len(png) <= LARGEST
    assert metadata["image/png"]["width"] == image.width // 2


def test_the_largest_map_of_a_widget_saves_within_the_budget(sweep_of, monkeypatch):
    layers, columns = 40, sweeping.MOST_CELLS // 40
    cells = torch.randn(layers, columns, generator=torch.Generator().manual_seed(0))
    found = mi.SweepResult(
        provenance=mi.Provenance("made up", "float32", "cpu", "none"), metric=cells, recovered=cells, stderr=cells,
        exact=torch.ones(layers, columns, dtype=torch.bool), same=torch.zeros(layers, columns, dtype=torch.bool),
        site="resid_pre", axes=("position",), layers=tuple(range(layers)), positions=tuple(range(columns)),
        tokens=("␣something",) * columns, source_tokens=("␣otherwise",) * columns, template=mi.Patch(),
        baselines={"clean": 1.0, "corrupted": 0.0},
    )  # fmt: skip
    page = sweep_of(found)
    state = page.widget._get_embed_state()
    state["state"] = {name: value for name, value in state["state"].items() if name not in ("_esm", "_css")}
    assert len(json.dumps(state)) < 1_000_000
    assert len(page.widget.static_picture()) <= LARGEST
    monkeypatch.setattr(sweeping, "MOST_CELLS", 50)
    failed = sweep_of(mi.Experiment(mi.load(), CLEAN, CORRUPTED, answer=" Mary"))
    with pytest.raises(BadInput, match="60 cells; a widget shows at most 50"):
        failed.widget.wait(LIMIT)
    assert failed.widget.status["error"]["hint"].startswith("Sweep some layers")


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
