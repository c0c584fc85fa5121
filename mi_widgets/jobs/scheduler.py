"""What the rest of the package calls: submit a job, run it to its end, or stream what it yields."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mi_widgets.jobs.job import Buffer, Job, Priority, Reason, StepContext, Work
from mi_widgets.jobs.worker import JobQueue

if TYPE_CHECKING:
    import contextvars
    import threading
    from collections.abc import Callable

__all__ = ["Scheduler", "Stream"]

T = TypeVar("T")


class Scheduler:
    """Runs the jobs of one model a step at a time, most urgent first, first come first served among equals.

    Args:
        name: shown in the worker's thread name.
        step_context: makes a context manager that is entered around every step, on the worker: the place to
            set what torch keeps per thread. A job must not hold such a mode across a yield.
        idle_seconds: an idle worker ends after this long; the next job starts another.

    Example:
        >>> from mi_widgets.jobs import Progress
        >>> def count(n):
        ...     for i in range(n):
        ...         yield Progress(i + 1, n)
        ...     return n
        >>> Scheduler("doctest").run(count(3))
        3
    """

    def __init__(
        self,
        name: str = "model",
        *,
        step_context: StepContext = contextlib.nullcontext,
        idle_seconds: float = 10.0,
    ) -> None:
        self._queue = JobQueue(name, idle_seconds)
        self._step_context = step_context
        # The worker knows only the queue; when the scheduler is collected it has nothing left to wait for.
        weakref.finalize(self, self._queue.close).atexit = False

    @property
    def jobs(self) -> tuple[Job[Any], ...]:
        """The jobs that have not settled, in the order of submission."""
        with self._queue.changed:
            return tuple(self._queue.jobs)

    @property
    def worker(self) -> threading.Thread | None:
        """The worker thread, or None while there is none."""
        return self._queue.thread

    def on_worker(self) -> bool:
        """True when called on this scheduler's worker."""
        return self._queue.on_worker()

    def submit(
        self,
        work: Work[T],
        *,
        priority: Priority = Priority.RUN,
        op: str = "",
        slot: Hashable | None = None,
        job_id: str | None = None,
        context: contextvars.Context | None = None,
        on_partial: Callable[[Job[T], Any], None] | None = None,
        on_settle: Callable[[Job[T]], None] | None = None,
    ) -> Job[T]:
        """Queues a job and returns at once.

        Args:
            work: a generator, or a function of the job that makes one (called on the worker, at the first
                step).
            priority: see `Priority`.
            op: what it does, for messages and logs.
            slot: a newer job in the same slot supersedes the older one.
            job_id: the job's id; made up when None.
            context: its steps and callbacks run in this context; a copy of the caller's when None. Give each
                job its own: a context cannot be entered twice at a time.
            on_partial: called on the worker, no lock held, with the job and each value other than None it
                yields.
            on_settle: called once on the worker, no lock held, when the job's state is final.
        """
        job = self._make(work, priority, op, slot, job_id, context, on_partial, on_settle)
        self._queue.add(job)
        return job

    def run(
        self,
        work: Work[T],
        *,
        priority: Priority = Priority.RUN,
        op: str = "",
        on_partial: Callable[[Job[T], Any], None] | None = None,
    ) -> T:
        """Does the work and gives its result: what a public call does.

        Called on the worker (a user's observer or metric), it runs right there. An interrupt of the waiting
        caller cancels the job and goes on to the caller.
        """
        if self.on_worker():
            job = self._make(work, priority, op, None, None, None, on_partial, None)
            self._queue.drive(job)
            return job._outcome()
        job = self.submit(work, priority=priority, op=op, on_partial=on_partial)
        try:
            return job.wait()
        except BaseException:
            job.cancel("user")
            raise

    def stream(
        self,
        work: Work[T],
        *,
        priority: Priority = Priority.SWEEP,
        op: str = "",
        size: int = 2,
    ) -> Stream:
        """Queues a job and gives an iterator over the values it yields (progress left out).

        At most `size` values wait to be taken; a reader that is slow makes its own job wait and no other.
        Closing or collecting the iterator cancels the job.
        """
        job = self._make(work, priority, op, None, None, None, None, None)
        job._buffer = Buffer(max(1, size))
        self._queue.add(job)
        return Stream(job)

    def cancel_all(self, reason: Reason = "user") -> None:
        """Cancels every job that has not settled."""
        for job in self.jobs:
            job.cancel(reason)

    def _make(
        self,
        work: Work[T],
        priority: Priority,
        op: str,
        slot: Hashable | None,
        job_id: str | None,
        context: contextvars.Context | None,
        on_partial: Callable[[Job[T], Any], None] | None,
        on_settle: Callable[[Job[T]], None] | None,
    ) -> Job[T]:
        return Job(
            self._queue,
            work,
            job_id=job_id,
            op=op,
            priority=priority,
            slot=slot,
            context=context,
            step_context=self._step_context,
            owner=self,
            on_partial=on_partial,
            on_settle=on_settle,
        )


class Stream(Iterator[Any]):
    """The values of a streamed job, as they come; made by `Scheduler.stream`.

    Attributes:
        job: the job behind it; `stream.job.wait()` gives the generator's result after the last value was
            taken.
    """

    def __init__(self, job: Job[Any]) -> None:
        self.job = job

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        queue, buffer = self.job._queue, cast("Buffer", self.job._buffer)
        if queue.on_worker():
            queue.drive(self.job, until=lambda: bool(buffer.items))
        try:
            with queue.changed:
                while not buffer.items and not self.job.settled:
                    queue.changed.wait(0.5)
                if buffer.items:
                    queue.changed.notify_all()
                    return buffer.items.popleft()
        except BaseException:
            self.job.cancel("user")
            raise
        self.job._outcome()
        raise StopIteration

    def close(self) -> None:
        """Cancels the job if it still runs."""
        self.job.cancel("closed")

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Absent when the constructor did not finish.
        if hasattr(self, "job"):
            self.job.cancel("closed")
