"""`exp.runs`: the runs of the live list, the newest last, bounded."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

import mi_widgets as mi
from mi_widgets.experiment.edit_list import Entry
from mi_widgets.experiment.history import MOST_BYTES, MOST_RUNS, Run, Runs
from tests.python.families import experiment, wrapped


@pytest.fixture(scope="module")
def exp():
    return experiment(wrapped("gpt2"))


def test_runs_of_the_live_list_are_kept(exp):
    assert len(exp.runs) == 0
    assert repr(exp.runs) == "no runs"
    first = exp.run()
    exp.edits.add(mi.Zero("z", 1, head=2))
    second = exp.run()
    third = exp.run(base="clean")
    exp.run(())  # what is asked in passing is no step of the work
    exp.run(mi.Zero("z", 0))
    assert [run.result for run in exp.runs] == [first, second, third]
    assert [run.edits for run in exp.runs] == [(), (mi.Zero("z", 1, head=2),), (mi.Zero("z", 1, head=2),)]
    assert [run.base for run in exp.runs] == ["corrupted", "corrupted", "clean"]
    assert exp.runs[-1].result is third
    assert exp.run(exp.runs[1].edits, exp.runs[1].base).metric == second.metric
    frame = exp.runs.to_frame()
    assert frame.edits.tolist() == ["", "zero L1H2.z", "zero L1H2.z"]
    assert frame.metric.tolist() == [first.metric, second.metric, third.metric]
    assert "zero L1H2.z -> logit_diff" in repr(exp.runs)
    exp.runs.clear()
    assert list(exp.runs.to_frame().columns) == ["run", "base", "edits", "metric_name", "metric", "recovered"]


def test_a_run_that_fails_is_not_kept():
    exp = experiment(wrapped("gpt2"))
    exp.edits.add(mi.Scale("resid_pre", 1, factor=1e38))
    with pytest.raises(mi.NotFinite):
        exp.run()
    assert len(exp.runs) == 0


def test_there_is_a_limit_in_number_and_in_bytes(exp):
    result = exp.run(())
    runs = Runs()
    for i in range(MOST_RUNS + 7):
        runs.add(Run((), "clean", replace(result, metric=float(i))))
    assert [run.result.metric for run in runs] == [float(i) for i in range(7, MOST_RUNS + 7)]
    large = replace(result, logits=torch.zeros(1, MOST_BYTES // 12))
    for _ in range(5):
        runs.add(Run((), "clean", large))
    assert 2 <= sum(run.result is large for run in runs) <= 3
    runs.add(Run((), "clean", replace(result, logits=torch.zeros(1, MOST_BYTES))))
    assert len(runs) == 1


def test_threads_may_add(exp):
    result, runs = exp.run(()), Runs()

    def add():
        for _ in range(20):
            runs.add(Run((), "clean", result))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 80


def test_runs_have_numbers_that_stay_and_are_found_again():
    exp = experiment(wrapped("gpt2"))
    exp.edits.add(mi.Zero("z", 1, head=2))
    exp.run()
    exp.edits.add(mi.Zero("z", 0, head=1))
    exp.run()
    assert [run.number for run in exp.runs] == [1, 2]
    now = exp.snapshot()
    assert exp.runs.found(exp.named(now), now.edits, now.base) is exp.runs[1]
    exp.edits.undo()
    now = exp.snapshot()
    assert exp.runs.found(exp.named(now), now.edits, now.base) is exp.runs[0]
    assert exp.runs.found(exp.named(now), now.edits, "nowhere") is None
    assert exp.runs.found("another question", now.edits, now.base) is None
    assert exp.runs.numbered(2) is exp.runs[1]
    with pytest.raises(mi.BadInput, match="no run 3") as caught:
        exp.runs.numbered(3)
    assert "1 to 2" in str(caught.value)
    with pytest.raises(mi.BadInput, match="Run some edits first"):
        Runs().numbered(1)


def test_a_run_that_is_done_over_is_no_second_entry():
    exp = experiment(wrapped("gpt2"))
    zero = mi.Zero("z", 1, head=2)
    exp.edits.add(zero)
    first = exp.run()
    assert exp.run().metric == first.metric
    assert [(run.number, run.edits) for run in exp.runs] == [(1, (zero,))]
    assert exp.runs[-1].result is first
    # Another metric, base or list, and the same one after another, are runs of their own.
    exp.ask(metric="logprob")
    exp.run()
    exp.run(base="clean")
    exp.ask(metric="logit_diff")
    exp.run()
    exp.run()
    exp.edits.clear()
    exp.run()
    exp.run()
    told = [(run.number, run.result.metric_name, run.base, len(run.edits)) for run in exp.runs]
    assert told == [
        (1, "logit_diff", "corrupted", 1),
        (2, "logprob", "corrupted", 1),
        (3, "logprob", "clean", 1),
        (4, "logit_diff", "corrupted", 1),
        (5, "logit_diff", "corrupted", 0),
    ]
    # Other weights give another number.
    exp.edits.add(zero)
    exp.run()
    with torch.no_grad():
        next(iter(exp.model.hf.parameters())).mul_(1.5)
    again = exp.run()
    assert again.metric != first.metric
    assert [run.number for run in exp.runs][-2:] == [6, 7]


def test_a_run_that_a_widget_showed_is_not_entered_again_and_the_other_way_round():
    exp = experiment(wrapped("gpt2"))
    exp.edits.add(mi.Zero("z", 1, head=2))
    effect, shown = exp.scheduler.run(exp.live_steps(exp.snapshot()))
    assert exp.run().metric == effect.after
    assert list(exp.runs) == [shown]
    exp.edits.add(mi.Zero("z", 0, head=1))
    exp.run()
    assert exp.runs[-1].effect is None
    effect, shown = exp.scheduler.run(exp.live_steps(exp.snapshot()))
    assert [run.number for run in exp.runs] == [1, 2]
    assert exp.runs[-1] is shown
    assert shown.effect is effect


def test_a_list_is_put_back_with_its_base_in_one_step():
    exp = experiment(wrapped("gpt2"))
    exp.edits.add(mi.Zero("z", 1, head=2))
    exp.run()
    exp.base = "clean"
    exp.edits.clear()
    entries = tuple(Entry(edit) for edit in exp.runs[0].edits)
    exp.edits.restore(entries, exp.runs[0].base)
    assert (exp.base, list(exp.edits)) == ("corrupted", [mi.Zero("z", 1, head=2)])
    exp.edits.undo()
    assert (exp.base, list(exp.edits)) == ("clean", [])
    exp.edits.redo()
    assert (exp.base, list(exp.edits)) == ("corrupted", [mi.Zero("z", 1, head=2)])
