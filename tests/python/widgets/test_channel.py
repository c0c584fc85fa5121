"""What is said about a job: once, in order, in small pieces, not too often."""

from __future__ import annotations

import numpy as np
import pytest

from mi_widgets.jobs import Priority, Progress, Scheduler
from mi_widgets.widgets.arrays import decode, weights
from mi_widgets.widgets.channel import PART_BYTES, Channel, RateLimit
from mi_widgets.widgets.ops import Part, Reply, Task

LIMIT = 120.0


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Ear:
    """A channel, and all it says."""

    def __init__(self):
        self.clock, self.said, self.troubles = Clock(), [], []
        self.channel = Channel(
            lambda content, buffers: self.said.append((content, buffers)),
            lambda error, where: self.troubles.append((error, where)),
            self.clock,
        )
        self.scheduler = Scheduler("channel")

    def start(
        self,
        work,
        request_id="tab-1",
        part=None,
        size=lambda value: 0,
        done=lambda v: Reply(1, {"v": v}),
        whole=False,
        **kw,
    ):
        task = Task(work, done, part, size, whole=whole)
        return self.channel.start(self.scheduler, request_id, "test.op", task, priority=Priority.RUN, slot=None, **kw)

    def kinds(self):
        return [content["kind"] for content, _ in self.said]


@pytest.fixture
def ear():
    return Ear()


def test_the_rate_is_spread_and_limited():
    clock = Clock()
    limit = RateLimit(20, clock)
    passed = 0
    for millisecond in range(3000):
        clock.now = millisecond / 1000
        passed += limit.allows()
    assert 55 <= passed <= 60
    clock.now = 10.0
    assert [limit.allows(full=True) for _ in range(25)] == [True] * 20 + [False] * 5
    clock.now = 11.0
    assert limit.allows()


def test_a_reply_is_accepted_partials_in_order_and_one_end(ear):
    def work():
        for i in range(5):
            ear.clock.now += 1
            yield Progress(i + 1, 5)
        return "end"

    ear.start(work()).wait(LIMIT)
    assert ear.kinds() == ["accepted", *["partial"] * 5, "done"]
    partials = [content for content, _ in ear.said[1:-1]]
    assert [p["seq"] for p in partials] == [0, 1, 2, 3, 4]
    assert [p["progress"]["done"] for p in partials] == [1, 2, 3, 4, 5]
    assert ear.said[-1][0] == {"v": 1, "kind": "done", "id": "tab-1", "rev": 1, "data": {"v": "end"}, "arrays": {}}
    assert ear.channel.jobs == ()


def test_progress_that_comes_too_fast_is_left_out(ear):
    def work():
        for i in range(1000):
            ear.clock.now += 0.001
            yield Progress(i + 1, 1000)

    ear.start(work()).wait(LIMIT)
    assert 15 <= ear.kinds().count("partial") <= 20


def test_values_are_gathered_and_none_is_lost(ear):
    layers, size = 40, 10_000

    def work():
        for i in range(layers):
            ear.clock.now += 0.001
            yield np.full(size, i / layers)
            yield Progress(i + 1, layers)

    def part(values):
        return Part({"n": len(values)}, {"rows": weights(np.stack(values))})

    ear.start(work(), part=part, size=len).wait(LIMIT)
    partials = [(content, buffers) for content, buffers in ear.said if content["kind"] == "partial"]
    rows = np.concatenate([decode(c["arrays"]["rows"], b[0]) for c, b in partials])
    np.testing.assert_allclose(rows[:, 0], np.arange(layers) / layers, atol=0.5 / 254 + 1e-6)
    assert all(len(buffers[0]) <= PART_BYTES for _, buffers in partials)
    assert ear.kinds()[-1] == "done"
    assert len(partials) <= 20


@pytest.mark.parametrize(("pace", "streamed"), [(0.01, []), (0.25, [0, 1, 2, 3])])
def test_what_comes_whole_at_the_end_is_streamed_only_while_it_is_slow(ear, pace, streamed):
    """What came before 0.8 s have passed goes out with what comes after; the last is not streamed."""

    def work():
        yield Progress(0, 5)
        for i in range(4):
            ear.clock.now += pace
            yield i
        ear.channel._limit.allows()  # None is left for what comes now.
        yield 4

    ear.start(work(), part=lambda values: Part({"values": list(values)}), size=lambda _: 1, whole=True).wait(LIMIT)
    first, *later = [content for content, _ in ear.said if content["kind"] == "partial"]
    assert (first["progress"]["done"], first["data"]) == (0, {})
    partials = [content["data"]["values"] for content in later]
    assert [value for values in partials for value in values] == streamed
    assert ear.kinds()[-1] == "done"


def test_a_failure_is_told_once_and_kept(ear):
    def work():
        yield
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        ear.start(work()).wait(LIMIT)
    assert ear.kinds() == ["accepted", "failed"]
    assert ear.said[-1][0]["message"] == "RuntimeError: boom"
    assert [(str(e), where) for e, where in ear.troubles] == [("boom", "test.op (tab-1)")]


def test_a_result_that_cannot_be_told_is_a_failure(ear):
    def work():
        yield

    def done(_):
        raise ValueError("no words")

    ear.start(work(), done=done).wait(LIMIT)
    assert ear.kinds() == ["accepted", "failed"]


def test_a_cancelled_request_says_why(ear):
    job = ear.start(Progress(i, 10**9) for i in range(10**9))
    ear.channel.cancel("tab-1", "closed")
    with pytest.raises(BaseException, match="closed"):
        job.wait(LIMIT)
    assert ear.said[-1][0] == {"v": 1, "kind": "cancelled", "id": "tab-1", "reason": "closed"}
    assert ear.troubles == []
    ear.channel.cancel("tab-1")
    ear.channel.cancel("tab-99")
    assert ear.kinds().count("cancelled") == 1


def test_work_of_the_kernel_is_not_accepted_and_its_end_goes_to_the_widget(ear):
    ended = []

    def work():
        ear.clock.now += 1
        yield Progress(1, 1)

    ear.start(work(), "k-1", settled=lambda job, error: ended.append((job.id, error))).wait(LIMIT)
    assert ear.kinds() == ["partial"]
    assert ended == [("k-1", None)]


def test_a_running_job_is_listed_for_who_comes_late(ear):
    seen = []

    def work():
        yield Progress(3, 7)
        seen.extend(ear.channel.running())

    ear.start(work()).wait(LIMIT)
    assert seen == [{"id": "tab-1", "op": "test.op", "done": 3, "total": 7}]


def test_a_job_counts_until_its_end_was_told(ear):
    told = []

    def settled(job, _):
        told.append((job.settled, ear.channel.jobs == (job,), ear.channel.running()))

    ear.start((i for i in range(2)), "k-1", settled=settled).wait(LIMIT)
    assert told == [(True, True, [])]
    assert ear.channel.jobs == ()
