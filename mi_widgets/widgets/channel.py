"""The kernel's end of a widget's channel: runs what pages ask for as jobs, and reports each under its own id."""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from mi_widgets.errors import Cancelled
from mi_widgets.jobs import Job, Priority, Progress, Scheduler
from mi_widgets.jobs.job import Reason
from mi_widgets.widgets import messages
from mi_widgets.widgets.arrays import bundle
from mi_widgets.widgets.ops import Reply, Task

__all__ = ["Channel", "RateLimit"]

PART_BYTES = 64_000
PER_SECOND = 20
QUICK = 0.8

Send = Callable[[dict[str, Any], list[bytes]], None]
Settled = Callable[[Job[Any], BaseException | None], None]


class RateLimit:
    """At most `per_second` messages in any second, spread evenly unless one is full.

    Args:
        per_second: the limit.
        clock: seconds, never running backwards.
    """

    def __init__(self, per_second: int = PER_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._sent: deque[float] = deque(maxlen=per_second)
        self._lock = threading.Lock()

    def allows(self, *, full: bool = False) -> bool:
        """True, and counted, if a message may go now; a full one need not wait for its turn, only for the limit."""
        now = self._clock()
        with self._lock:
            if len(self._sent) == self._per_second and now - self._sent[0] < 1.0:
                return False
            if self._sent and not full and now - self._sent[-1] < 1.0 / self._per_second:
                return False
            self._sent.append(now)
            return True


class _Report:
    """What has been, and is to be, said about one job."""

    def __init__(self, task: Task, client: str, settled: Settled | None, since: float) -> None:
        self.task = task
        self.since = since
        self.client = client
        self.settled = settled
        self.seq = 0
        self.pending: list[Any] = []
        self.bytes = 0


class Channel:
    """Runs tasks on a model's scheduler and reports them.

    Args:
        send: puts a message with its buffers on the wire; called from any thread.
        trouble: told about what went wrong unexpectedly, with words on where.
        clock: for the rate limit.
        quick: seconds before work is streamed whose result comes whole at its end: a quick one is not sent twice.
    """

    def __init__(
        self,
        send: Send,
        trouble: Callable[[BaseException, str], None],
        clock: Callable[[], float] = time.monotonic,
        quick: float = QUICK,
    ) -> None:
        self._quick = quick
        self._send = send
        self._trouble = trouble
        self._clock = clock
        self._limit = RateLimit(clock=clock)
        self._lock = threading.Lock()
        self._jobs: dict[str, Job[Any]] = {}
        self._reports: dict[str, _Report] = {}

    @property
    def jobs(self) -> tuple[Job[Any], ...]:
        """The jobs whose end has not been told."""
        with self._lock:
            return tuple(self._jobs.values())

    def running(self) -> list[dict[str, Any]]:
        """The running jobs, for `welcome`."""
        return [messages.running(job) for job in self.jobs if not job.settled]

    def knows(self, request_id: str) -> bool:
        """True while a request with this id has not been answered."""
        with self._lock:
            return request_id in self._reports

    def cancel(self, request_id: str, reason: Reason = "user") -> None:
        """Stops one job; nothing happens if it has settled."""
        with self._lock:
            job = self._jobs.get(request_id)
        if job is not None:
            job.cancel(reason)

    def cancel_all(self, reason: Reason = "user") -> None:
        """Stops every job."""
        for job in self.jobs:
            job.cancel(reason)

    def start(
        self,
        scheduler: Scheduler,
        request_id: str,
        op: str,
        task: Task,
        *,
        priority: Priority,
        slot: tuple[str, ...] | None,
        settled: Settled | None = None,
    ) -> Job[Any]:
        """Queues a task.

        Args:
            scheduler: of the model.
            request_id: the page's id, or `k-<n>` for work that the kernel starts.
            op: what it is.
            task: the work and how to report it.
            priority: of the job.
            slot: newest wins in it.
            settled: told how it ended, instead of a final reply (work that the kernel started).
        """
        report = _Report(task, request_id.rpartition("-")[0], settled, self._clock())
        with self._lock:
            self._reports[request_id] = report
        if settled is None:
            self._send(messages.accepted(request_id), [])
        try:
            job = scheduler.submit(
                self._tracked(request_id, task),
                priority=priority,
                op=op,
                slot=slot,
                job_id=request_id,
                context=contextvars.copy_context(),
                on_partial=self._on_partial,
                on_settle=self._on_settle,
            )
        except BaseException:
            self._forget(request_id)
            raise
        with self._lock:
            if request_id in self._reports:
                self._jobs[request_id] = job
        return job

    def _tracked(self, request_id: str, task: Task) -> Callable[[Job[Any]], Any]:
        def steps(job: Job[Any]) -> Any:
            # The worker may get here before `start` has the job in hand; a hello then must find it.
            with self._lock:
                if request_id in self._reports:
                    self._jobs[request_id] = job
            return task.work

        return steps

    def _forget(self, request_id: str) -> _Report | None:
        with self._lock:
            self._jobs.pop(request_id, None)
            return self._reports.pop(request_id, None)

    def _on_partial(self, job: Job[Any], value: Any) -> None:
        with self._lock:
            report = self._reports.get(job.id)
        if report is None:
            return
        quick = report.task.whole and self._clock() - report.since < self._quick
        if isinstance(value, Progress) or report.task.part is None:
            if (quick and report.pending) or not self._limit.allows():
                return
            if report.pending:
                self._flush(job, report)
            else:
                self._partial(job, report)
            return
        size = report.task.size(value)
        if not quick and report.pending and report.bytes + size > PART_BYTES and self._limit.allows(full=True):
            self._flush(job, report)
        report.pending.append(value)
        report.bytes += size
        if not quick and self._limit.allows():
            self._flush(job, report)

    def _flush(self, job: Job[Any], report: _Report) -> None:
        values, report.pending, report.bytes = report.pending, [], 0
        if values and report.task.part is not None:
            part = report.task.part(values)
            self._partial(job, report, part.data, part.arrays)

    def _partial(
        self, job: Job[Any], report: _Report, data: Mapping[str, Any] | None = None, arrays: Any = None
    ) -> None:
        buffers: list[bytes] = []
        entries = bundle(arrays or {}, buffers)
        self._send(messages.partial(job.id, report.seq, job.progress, data or {}, entries), buffers)
        report.seq += 1

    def _on_settle(self, job: Job[Any]) -> None:
        with self._lock:
            report = self._reports.get(job.id)
        if report is None:
            return
        try:
            self._tell_the_end(job, report)
        finally:
            # Last: who waits for `jobs` to be empty finds everything said and published.
            self._forget(job.id)

    def _tell_the_end(self, job: Job[Any], report: _Report) -> None:
        error: BaseException | None = None
        reply: Reply | None = None
        try:
            if job.state == "done" and not report.task.whole:
                self._flush(job, report)
            reply = report.task.done(job.wait())
        except Cancelled as stopped:
            error = stopped
        except BaseException as raised:
            error = raised
            self._trouble(raised, f"{job.op} ({job.id})")
        if report.settled is not None:
            report.settled(job, error)
        elif reply is not None:
            buffers: list[bytes] = []
            entries = bundle(reply.arrays, buffers)
            self._send(messages.done(job.id, reply.rev, reply.data, entries), buffers)
        elif isinstance(error, Cancelled):
            self._send(messages.cancelled(job.id, job.reason or "user"), [])
        elif error is not None:
            self._send(messages.failed(job.id, error), [])
