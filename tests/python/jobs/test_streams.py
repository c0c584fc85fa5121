"""Values of a job, as they come."""

from __future__ import annotations

import gc

import pytest

from mi_widgets.errors import Cancelled
from mi_widgets.jobs import Priority, Progress
from tests.python.jobs.gates import LIMIT, Gate, record


def test_stream_gives_values_in_order_then_ends_and_leaves_progress_out(scheduler):
    def steps():
        for i in range(20):
            yield Progress(i, 20)
            yield i
        return "whole"

    stream = scheduler.stream(steps(), size=2)
    assert list(stream) == list(range(20))
    assert stream.job.wait(LIMIT) == "whole"


def test_a_slow_reader_stops_its_own_job_and_no_other(scheduler):
    made = []

    def steps():
        for i in range(100):
            made.append(i)
            yield i

    stream = scheduler.stream(steps(), size=3)
    assert next(stream) == 0
    scheduler.run(record([], "other", 5), priority=Priority.REFRESH)  # less urgent, so the stream ran as far as it may
    assert len(made) == 4
    stream.close()


def test_closing_or_collecting_the_stream_cancels_its_job(scheduler):
    for end in ("close", "with", "collect"):
        gate = Gate()

        def steps(gate=gate):
            for value in gate.steps():
                yield value.done

        stream = scheduler.stream(steps())
        job = stream.job
        gate.let()
        assert next(stream) == 1
        if end == "close":
            stream.close()
        elif end == "with":
            with stream:
                pass
        else:
            del stream
            gc.collect()
        gate.let(20)
        with pytest.raises(Cancelled, match="closed"):
            job.wait(LIMIT)
        assert gate.chunks <= 2


def test_a_stream_read_on_the_worker_runs_inline(scheduler):
    def inner():
        yield from range(5)

    def outer():
        yield
        return list(scheduler.stream(inner()))

    assert scheduler.run(outer()) == [0, 1, 2, 3, 4]


def test_a_stream_hands_on_the_error_after_the_values(scheduler):
    def steps():
        yield 1
        raise ValueError("half way")

    stream = scheduler.stream(steps())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="half way"):
        next(stream)
