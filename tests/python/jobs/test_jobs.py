"""Jobs in steps: order, cancel, slots, callbacks, errors, contexts."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import subprocess
import sys
import threading
import time
import traceback

import pytest

from mi_widgets.errors import Cancelled
from mi_widgets.jobs import Priority, Progress, Scheduler, current_job
from tests.python.jobs.gates import LIMIT, Gate, record


def test_importing_jobs_loads_neither_torch_nor_numpy():
    names = "('torch', 'numpy', 'ipywidgets')"
    code = f"import sys, mi_widgets.jobs; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_run_returns_what_the_generator_returns(scheduler):
    assert scheduler.run(record([], "value")) == "value"


def test_equals_are_served_first_come_first_served_and_the_urgent_goes_between_chunks(scheduler):
    gate, log = Gate(2), []
    first = scheduler.submit(gate.steps(), priority=Priority.SWEEP)
    gate.let()
    gate.ran()  # the worker is now inside, or about to enter, the second chunk of the first sweep
    sweep = scheduler.submit(record(log, "sweep"), priority=Priority.SWEEP)
    second = scheduler.submit(record(log, "second"), priority=Priority.SWEEP)
    refresh = scheduler.submit(record(log, "refresh"), priority=Priority.REFRESH)
    drag = scheduler.submit(record(log, "drag"), priority=Priority.RUN)
    fetch = scheduler.submit(record(log, "fetch"), priority=Priority.FETCH)
    preview = scheduler.submit(record(log, "preview"), priority=Priority.PREVIEW)
    gate.let()
    for job in (first, sweep, second, refresh, drag, fetch, preview):
        job.wait(LIMIT)
    order = ["preview", "drag", "fetch", "sweep", "second", "refresh"]
    assert log == [name for name in order for _ in range(3)]


def test_an_urgent_call_waits_for_one_chunk_of_a_sweep(scheduler):
    gate = Gate()
    sweep = scheduler.submit(gate.steps(), priority=Priority.SWEEP)
    gate.let()
    gate.ran()
    urgent = scheduler.submit(record([], "urgent", chunks=5), priority=Priority.RUN)
    gate.let()  # at most the chunk that had begun
    assert urgent.wait(LIMIT) == "urgent"
    assert gate.chunks <= 2
    assert not sweep.settled
    sweep.cancel()
    gate.let()


def test_cancel_is_seen_within_one_chunk_and_runs_finally(scheduler):
    gate = Gate()
    job = scheduler.submit(gate.steps())
    gate.let(3)
    gate.ran(3)
    assert job.cancel() is True
    gate.let(100)
    with pytest.raises(Cancelled, match="user"):
        job.wait(LIMIT)
    assert gate.chunks <= 4  # the fourth may have begun when cancel was called
    assert gate.closed
    assert (job.state, job.reason) == ("cancelled", "user")


def test_cancel_can_be_asked_for_inside_a_chunk(scheduler):
    entered = threading.Event()
    late = time.monotonic() + LIMIT

    def steps(job):
        entered.set()
        while time.monotonic() < late:
            if job.cancelled():
                raise Cancelled("stopped inside the chunk")
        yield

    job = scheduler.submit(steps)
    assert entered.wait(LIMIT)
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait(LIMIT)
    assert job.steps == 1


def test_an_accepted_cancel_holds_even_if_the_last_chunk_finishes_or_fails(scheduler):
    for ending in ("finish", "fail"):
        entered, leave = threading.Event(), threading.Event()

        def steps(ending=ending, entered=entered, leave=leave):
            entered.set()
            assert leave.wait(LIMIT)
            if ending == "fail":
                raise ValueError("too late to matter")
            return "result"
            yield

        job = scheduler.submit(steps())
        assert entered.wait(LIMIT)
        assert job.cancel() is True
        leave.set()
        with pytest.raises(Cancelled):
            job.wait(LIMIT)


def test_cancel_after_the_end_changes_nothing(scheduler):
    job = scheduler.submit(record([], "x"))
    job.wait(LIMIT)
    assert job.cancel() is False
    assert (job.state, job.reason, job.wait(LIMIT)) == ("done", None, "x")


def test_a_cancelled_job_that_never_started_runs_nothing(scheduler):
    gate, log = Gate(1), []
    scheduler.submit(gate.steps())
    job = scheduler.submit(record(log, "never"))
    job.cancel("closed")
    gate.let()
    with pytest.raises(Cancelled, match="closed"):
        job.wait(LIMIT)
    assert (log, job.steps) == ([], 0)


def test_newest_wins_in_a_slot_and_other_slots_are_left_alone(scheduler):
    gate, log = Gate(1), []
    running = scheduler.submit(gate.steps(), slot=("w", "tab", "a"))
    gate.let(0)
    jobs = [scheduler.submit(record(log, n, 1), slot=("w", "tab", "b")) for n in range(5)]
    other = scheduler.submit(record(log, "other", 1), slot=("w", "tab 2", "b"))
    gate.let()
    assert running.wait(LIMIT) == 1
    assert other.wait(LIMIT) == "other"
    assert jobs[-1].wait(LIMIT) == 4
    assert log == [4, "other"]
    for job in jobs[:-1]:
        with pytest.raises(Cancelled):
            job.wait(LIMIT)
        assert job.reason == "superseded"


def test_progress_has_a_pace(scheduler):
    seen = []

    def steps():
        for i in range(4):
            yield Progress(i + 1, 4)

    job = scheduler.submit(steps(), on_partial=lambda job, value: seen.append((value, job.progress)))
    job.wait(LIMIT)
    assert [value.done for value, _ in seen] == [1, 2, 3, 4]
    assert all(progress.seconds_left >= 0 for _, progress in seen)
    assert seen[-1][1].seconds_left == 0


def test_work_that_knows_its_own_pace_is_believed(scheduler):
    seen = []

    def steps():
        # Three of four were there before it began.
        yield Progress(3, 4, 60.0)

    scheduler.submit(steps(), on_partial=lambda job, value: seen.append(job.progress)).wait(LIMIT)
    assert seen == [Progress(3, 4, 60.0)]


def test_callbacks_run_on_the_worker_before_wait_returns_and_settle_once(scheduler):
    calls = []

    def settle(job):
        calls.append(("settle", job.state, job.wait(), scheduler.on_worker()))

    def steps():
        yield "part"
        yield None
        yield "more"
        return 7

    job = scheduler.submit(
        steps(), on_partial=lambda _, value: calls.append((value, scheduler.on_worker())), on_settle=settle
    )
    assert job.wait(LIMIT) == 7
    assert calls == [("part", True), ("more", True), ("settle", "done", 7, True)]


def test_a_raising_callback_is_logged_and_the_job_goes_on(scheduler, caplog):
    def bad(*_):
        raise RuntimeError("bad callback")

    def steps():
        yield "part"
        return 1

    with caplog.at_level(logging.ERROR, "mi_widgets"):
        assert scheduler.submit(steps(), on_partial=bad, on_settle=bad).wait(LIMIT) == 1
    assert [r.exc_info[1].args[0] for r in caplog.records] == ["bad callback", "bad callback"]


def test_a_callback_that_exits_does_not_take_the_worker_along(scheduler):
    def leave(*_):
        raise SystemExit

    def one():
        yield 1
        return 2

    first = scheduler.submit(one(), on_partial=leave, on_settle=leave)
    second = scheduler.submit(one())
    assert (first.wait(LIMIT), second.wait(LIMIT)) == (2, 2)


def test_errors_reach_the_caller_with_the_workers_traceback(scheduler):
    def deep_inside():
        raise ValueError("from the worker")

    def steps():
        yield
        deep_inside()

    job = scheduler.submit(steps())
    lengths = []
    for _ in range(3):
        with pytest.raises(ValueError, match="from the worker") as caught:
            job.wait(LIMIT)
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[-1] == "deep_inside"
        lengths.append(len(names))
    assert len(set(lengths)) == 1  # waiting again does not pile up frames
    assert scheduler.run(record([], "the worker lives on")) == "the worker lives on"


def test_wait_times_out_and_the_job_goes_on(scheduler):
    gate = Gate(1)
    job = scheduler.submit(gate.steps())
    with pytest.raises(TimeoutError):
        job.wait(0.01)
    gate.let()
    assert job.wait(LIMIT) == 1


def test_a_call_from_the_worker_runs_inline(scheduler):
    threads = []

    def inner():
        threads.append(threading.current_thread())
        yield
        return 20

    def outer():
        threads.append(threading.current_thread())
        value = scheduler.run(inner())
        yield
        return value + 1

    assert scheduler.run(outer()) == 21
    assert threads[0] is threads[1] is not threading.current_thread()


def test_waiting_on_the_worker_for_a_queued_job_runs_it_there(scheduler):
    def outer():
        job = scheduler.submit(record([], "queued"), priority=Priority.REFRESH)
        value = job.wait()
        yield
        return value

    assert scheduler.run(outer()) == "queued"


def test_a_job_that_waits_for_itself_is_told_so(scheduler):
    def steps(job):
        job.wait()
        yield

    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        scheduler.run(steps)


def test_cancelling_the_outer_job_cancels_what_it_runs_inline(scheduler):
    gate = Gate()

    def outer():
        yield
        scheduler.run(gate.steps())

    job = scheduler.submit(outer())
    gate.let(2)
    gate.ran(2)
    job.cancel()
    gate.let(10)
    with pytest.raises(Cancelled):
        job.wait(LIMIT)
    assert gate.chunks <= 3
    assert gate.closed


def test_keyboard_interrupt_in_the_caller_cancels_and_goes_on(scheduler, monkeypatch):
    gate = Gate()
    real_submit, jobs = scheduler.submit, []

    def submit(*args, **kwargs):
        job = real_submit(*args, **kwargs)
        jobs.append(job)

        def interrupted():
            gate.let()
            gate.ran()
            raise KeyboardInterrupt

        job.wait = interrupted
        return job

    monkeypatch.setattr(scheduler, "submit", submit)
    with pytest.raises(KeyboardInterrupt):
        scheduler.run(gate.steps())
    gate.let(10)
    with pytest.raises(Cancelled):
        type(jobs[0]).wait(jobs[0], LIMIT)
    assert gate.chunks <= 2


def test_each_job_runs_in_the_context_it_was_submitted_from(scheduler):
    name = contextvars.ContextVar("name", default="none")

    def steps():
        seen = [name.get()]
        name.set("changed inside")
        yield
        seen.append(name.get())
        return seen

    name.set("first")
    first = scheduler.submit(steps())
    name.set("second")
    second = scheduler.submit(steps())
    assert first.wait(LIMIT) == ["first", "changed inside"]
    assert second.wait(LIMIT) == ["second", "changed inside"]
    assert name.get() == "second"


def test_the_step_context_is_entered_around_every_step_and_the_close():
    depth, seen = threading.local(), []

    @contextlib.contextmanager
    def around():
        depth.value = getattr(depth, "value", 0) + 1
        try:
            yield
        finally:
            depth.value -= 1

    scheduler = Scheduler("around", step_context=around)

    def steps():
        try:
            seen.append(depth.value)
            yield "a"
            seen.append(depth.value)
            yield "b"
        finally:
            seen.append(("closing", depth.value))

    scheduler.submit(steps(), on_partial=lambda job, value: value == "b" and job.cancel())
    job = scheduler.submit(record([], "after"))
    job.wait(LIMIT)
    assert seen == [1, 1, ("closing", 1)]


def test_current_job_is_known_deep_inside_a_step_only(scheduler):
    def steps(job):
        yield
        return current_job() is job

    assert scheduler.run(steps) is True
    assert current_job() is None
