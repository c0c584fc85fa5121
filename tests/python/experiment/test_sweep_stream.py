"""Maps that come piece by piece, estimates among them, and single answers from finished ones."""

from __future__ import annotations

import threading

import pytest
import torch

import mi_widgets as mi
from mi_widgets.experiment import sweeping
from mi_widgets.interventions.packed import engine
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CLEAN,
    SHORT_CORRUPTED,
    build,
    experiment,
    word_tokenizer,
    wrapped,
)


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


@pytest.fixture
def exp(model):
    return experiment(model)


@pytest.fixture
def piecewise(monkeypatch):
    """Small pieces, and a partial map after each."""
    monkeypatch.setattr(engine, "ROWS", 20)
    monkeypatch.setattr(sweeping, "EVERY", 0.0)


def test_first_the_estimate_then_ever_more_exact_cells(exp, piecewise):
    whole = exp.sweep("resid_pre", progress=False)
    first, *between, last = list(exp.sweep_stream("resid_pre"))
    assert bool((first.exact == first.same).all())
    assert not bool(first.exact.all())
    torch.testing.assert_close(first.metric, exp.sweep("resid_pre", method="gradient", progress=False).metric)
    counts = [int(partial.exact.sum()) for partial in (first, *between, last)]
    assert counts == sorted(counts)
    assert len(set(counts)) > 3
    torch.testing.assert_close(last.metric, whole.metric, atol=1e-5, rtol=1e-5)
    for partial in between:
        torch.testing.assert_close(partial.metric[partial.exact], whole.metric[partial.exact], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(partial.metric[~partial.exact], first.metric[~partial.exact])


def test_without_an_estimate_pending_cells_are_nan(exp, piecewise):
    *between, last = list(exp.sweep_stream("resid_pre", estimate=False))
    assert between
    for partial in between:
        assert bool((partial.metric.isnan() == ~partial.exact).all())
    assert bool(last.exact.all())


@pytest.mark.parametrize("first", [3, -9, 14])
def test_the_column_asked_for_comes_first(exp, piecewise, first):
    partial = next(
        p for p in exp.sweep_stream("resid_pre", mi.Zero(), estimate=False, first=first) if bool(p.exact.any())
    )
    columns = set(partial.exact.nonzero()[:, 1].tolist())
    assert first % 15 in columns
    assert len(columns) == 1 or bool(partial.exact[:, first].all())
    assert len(columns) < 15


def test_the_largest_estimates_come_first(exp, piecewise):
    start = exp.run(()).metric
    first, *between, _ = list(exp.sweep_stream("resid_pre", order="largest"))
    size = (first.metric - start).abs()
    # What needs no run is known from the beginning, whatever its size.
    early = next(p.exact & ~p.same for p in between if bool((p.exact & ~p.same).any()) and not bool(p.exact.all()))
    late = ~early & ~first.same
    assert float(size[early].min()) >= float(size[late].max())


def test_a_metric_without_a_gradient_is_streamed_without_an_estimate(model):
    by_rank = mi.Experiment(model, CLEAN, CORRUPTED, " Mary", " John", metric="rank")
    *_, last = by_rank.sweep_stream("z")
    assert bool(last.exact.all())
    assert any("no estimate" in note for note in last.provenance.notes)
    with pytest.raises(mi.BadInput, match="rank"):
        by_rank.sweep("z", method="gradient", progress=False)


def test_closing_a_stream_cancels_it(exp, piecewise):
    stream = exp.sweep_stream("resid_pre", estimate=False)
    next(stream)
    stream.close()
    for job in exp.scheduler.jobs:
        with pytest.raises(mi.Cancelled):
            job.wait(60)
    assert exp.run(()).metric == pytest.approx(exp.baselines.loc["corrupted", "metric"], abs=1e-5)


def test_a_cancelled_map_keeps_its_exact_cells(exp, piecewise, monkeypatch):
    whole = exp.sweep("resid_pre", mi.Zero(), progress=False)
    plain, pieces = engine.run_variants, []

    def counted(*args):
        pieces.append(len(pieces))
        if len(pieces) == 4:
            (job,) = exp.scheduler.jobs
            job.cancel()
        return (yield from plain(*args))

    monkeypatch.setattr(engine, "run_variants", counted)
    with pytest.raises(mi.Cancelled) as stopped:
        exp.sweep("resid_pre", mi.Zero(), progress=False)
    assert len(pieces) == 4, "pieces were begun after the cancel"
    partial = stopped.value.partial
    assert 0 < int(partial.exact.sum()) < partial.exact.numel()
    torch.testing.assert_close(partial.metric[partial.exact], whole.metric[partial.exact], atol=1e-5, rtol=1e-5)
    assert bool(partial.metric[~partial.exact].isnan().all())


def test_an_error_in_mid_sweep_leaves_no_trace(exp, piecewise, monkeypatch):
    expected = exp.sweep("resid_pre", mi.Zero(), progress=False).metric
    layer = exp.model.shadow.model.layers[1]
    calls = []

    def broken(*_):
        calls.append(1)
        if len(calls) == 5:
            handle.remove()
            raise RuntimeError("a hook of somebody's")

    handle = layer.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="somebody"):
        exp.sweep("resid_pre", mi.Zero(), progress=False)
    torch.testing.assert_close(exp.sweep("resid_pre", mi.Zero(), progress=False).metric, expected, atol=1e-5, rtol=1e-5)


def test_a_model_that_changes_in_mid_sweep_is_told(piecewise):
    exp = experiment(mi.wrap(build("llama"), word_tokenizer()))
    stream = exp.sweep_stream("resid_pre", mi.Zero(), estimate=False)
    next(stream)
    with torch.no_grad():
        exp.model.hf.model.layers[2].mlp.down_proj.weight.mul_(-1)
    *_, last = stream
    assert any("changed while this map was made" in note for note in last.provenance.notes)
    assert exp.known(mi.Zero("resid_pre", 2, position=3)) is None
    assert not any("changed while" in note for note in exp.sweep("z", progress=False).provenance.notes)


def test_two_threads_do_not_mix(model, piecewise):
    questions = [experiment(model), mi.Experiment(model, SHORT_CLEAN, SHORT_CORRUPTED, " Mary", " Anna")]
    expected = [q.sweep("resid_pre", progress=False).metric for q in questions]
    found = {}

    def sweep(i):
        found[i] = [questions[i % 2].sweep("resid_pre", progress=False).metric for _ in range(2)]

    threads = [threading.Thread(target=sweep, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, maps in found.items():
        for one in maps:
            torch.testing.assert_close(one, expected[i % 2], atol=1e-5, rtol=1e-5)


def test_a_forward_of_the_users_own_is_unaffected(exp, piecewise):
    hf = exp.model.hf
    ids = exp.prompt("clean").ids
    with torch.no_grad():
        expected = hf(input_ids=ids, use_cache=False).logits
        for _ in exp.sweep_stream("resid_pre", estimate=False):
            assert torch.equal(hf(input_ids=ids, use_cache=False).logits, expected)


def test_a_finished_map_answers_a_single_patch(exp):
    edit = mi.Patch("resid_pre", 1, position=10)
    assert exp.known(edit) is None
    found = exp.sweep("resid_pre", progress=False)
    assert exp.known(edit) == (float(found.metric[1, 10]), float(found.recovered[1, 10]))
    assert exp.known(edit)[0] == pytest.approx(exp.run(edit).metric, abs=1e-5)
    for other in (mi.Zero("resid_pre", 1, position=10), edit.on(alpha=0.5), edit.on(layer=None), edit.on(unit=3)):
        assert exp.known(other) is None
    assert exp.known([edit, edit]) is None
    assert exp.known(edit, base="clean") is None
    exp.ask(answer=" John", distractor=" Mary")
    assert exp.known(edit) is None


def test_what_both_prompts_have_in_common_is_marked_and_not_run(exp):
    found = exp.sweep("resid_pre", progress=False)
    ids = [exp.prompt(run).prompts[0].ids for run in ("clean", "corrupted")]
    shared = next(i for i, (a, b) in enumerate(zip(*ids, strict=True)) if a != b)
    assert bool(found.same[:, :shared].all())
    assert not bool(found.same[:, shared:].any())
    start = exp.run(()).metric
    torch.testing.assert_close(found.metric[:, :shared], torch.full((3, shared), start), atol=1e-5, rtol=1e-5)
    assert not bool(exp.sweep("resid_pre", mi.Zero(), progress=False).same.any())
    exp.edits.add(mi.Zero("mlp_out", 0, position=2))
    assert not bool(exp.sweep("resid_pre", on_top=True, progress=False).same.any())


def test_neurons(exp):
    layers, units = [0, 2], [3, 40, 7]
    found = exp.sweep("mlp_post", mi.Zero(), base="clean", layers=layers, units=units, progress=False)
    assert found.axes == ("unit",)
    assert found.metric.shape == (2, 3)
    cell = exp.run(mi.Zero("mlp_post", 2, unit=40), base="clean")
    assert float(found.metric[1, 1]) == pytest.approx(cell.metric, abs=1e-5)
    assert found.edit(2, unit=40) == mi.Zero("mlp_post", 2, unit=40)
    assert found.to_frame()["unit"].tolist() == units * 2


def test_the_largest_estimates_are_run(exp):
    guess = exp.sweep("mlp_post", mi.Zero(), base="clean", units="all", method="gradient", progress=False)
    found = exp.sweep("mlp_post", mi.Zero(), base="clean", units="all", top=6, progress=False)
    assert found.metric.shape == (3, 48)
    assert int(found.exact.sum()) == 6
    size = (guess.metric - exp.run((), base="clean").metric).abs()
    assert float(size[found.exact].min()) >= float(size[~found.exact].max())
    torch.testing.assert_close(found.metric[~found.exact], guess.metric[~found.exact])
    for layer, unit in found.exact.nonzero().tolist():
        cell = exp.run(mi.Zero("mlp_post", layer, unit=unit), base="clean")
        assert float(found.metric[layer, unit]) == pytest.approx(cell.metric, abs=1e-5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"method": "guess"}, "method"), ({"top": 0}, "top"), ({"steps": 0}, "steps"), ({"units": "all"}, "units"),
        ({"site": "mlp_post", "units": [48]}, "units"), ({"site": "mlp_post", "units": "some"}, "units"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(exp, wrong, says):
    with pytest.raises(mi.BadInput, match=says):
        exp.sweep(**{"site": "z", "progress": False} | wrong)


def test_streams_that_cannot_be_asked(exp):
    with pytest.raises(mi.BadInput, match="order"):
        exp.sweep_stream("z", order="smallest")
    with pytest.raises(mi.BadInput, match="column"):
        exp.sweep_stream("resid_pre", first=15)
