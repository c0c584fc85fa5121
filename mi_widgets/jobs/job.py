"""A piece of work in steps: its life, its progress, how to wait for it and how to stop it."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, cast

from mi_widgets.errors import Cancelled
from mi_widgets.results import Progress

if TYPE_CHECKING:
    from types import TracebackType

    from mi_widgets.jobs.worker import JobQueue

__all__ = [
    "Buffer",
    "Job",
    "Priority",
    "Progress",
    "Reason",
    "StepContext",
    "Work",
    "current_job",
    "running_here",
]

logger = logging.getLogger("mi_widgets")
# Without a handler Python would print warnings, and in a notebook they would land in whatever cell ran last.
logger.addHandler(logging.NullHandler())

T = TypeVar("T")
State = Literal["queued", "running", "done", "failed", "cancelled"]
Reason = Literal["user", "superseded", "closed"]
StepContext = Callable[[], contextlib.AbstractContextManager[Any]]
# A generator, or a function of the job that makes one.
Work: TypeAlias = "Generator[Any, None, T] | Callable[[Job[T]], Generator[Any, None, T]]"


class Priority(IntEnum):
    """What is served first; a smaller number is more urgent."""

    PREVIEW = 0
    RUN = 1
    FETCH = 2
    SWEEP = 3
    REFRESH = 4


_serial = itertools.count(1)
_here = threading.local()


def running_here() -> list[Job[Any]]:
    """The jobs whose generators run on this thread right now, innermost last."""
    if not hasattr(_here, "stack"):
        _here.stack = []
    return cast("list[Job[Any]]", _here.stack)


def current_job() -> Job[Any] | None:
    """The job whose step runs on this thread, or None: lets code deep inside a step ask `.cancelled()`."""
    stack = running_here()
    return stack[-1] if stack else None


class Job(Generic[T]):
    """A piece of work on a scheduler; made by `Scheduler.submit`.

    Attributes:
        id: text that names the job in messages and logs.
        op: what it does, as `noun.verb`.
        priority, slot: as given to `submit`.
        state: "queued", "running", then exactly one of "done", "failed", "cancelled".
        progress: the last `Progress` it reported, or None.
        reason: why it was cancelled: "user", "superseded" or "closed"; None while it was not.
        error: what it raised when `state` is "failed".
        steps: how many times its generator was advanced.
    """

    def __init__(
        self,
        queue: JobQueue,
        work: Work[T],
        *,
        job_id: str | None = None,
        op: str = "",
        priority: Priority = Priority.RUN,
        slot: Hashable | None = None,
        context: contextvars.Context | None = None,
        step_context: StepContext = contextlib.nullcontext,
        owner: object = None,
        on_partial: Callable[[Job[T], Any], None] | None = None,
        on_settle: Callable[[Job[T]], None] | None = None,
    ) -> None:
        serial = next(_serial)
        self.id = job_id if job_id is not None else f"j-{serial}"
        self.op = op
        self.priority = priority
        self.slot = slot
        self.state: State = "queued"
        self.progress: Progress | None = None
        self.reason: Reason | None = None
        self.error: BaseException | None = None
        self.steps = 0
        self._serial = serial
        self._queue = queue
        self._work: Any = work
        self._generator: Generator[Any, None, T] | None = None
        self._context = context if context is not None else contextvars.copy_context()
        self._step_context = step_context
        # Keeps the scheduler alive while its job runs: nobody else may be holding it.
        self._owner = owner
        self._on_partial = on_partial
        self._on_settle = on_settle
        self._cancel = threading.Event()
        self._finished = threading.Event()
        self._result: T | None = None
        self._traceback: TracebackType | None = None
        self._started: float | None = None
        self._buffer: Buffer | None = None

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.op or 'work'} {self.state}>"

    @property
    def settled(self) -> bool:
        """True once `state` is final; its callbacks may still be running."""
        return self.state in ("done", "failed", "cancelled")

    def cancelled(self) -> bool:
        """True once somebody asked the job to stop; cheap enough to ask inside a chunk."""
        return self._cancel.is_set()

    def cancel(self, reason: Reason = "user") -> bool:
        """Asks the job to stop at its next step; the first reason given is the one that is reported.

        Returns:
            True if the job will settle as "cancelled", False if it had settled otherwise already.
        """
        with self._queue.changed:
            if self.settled:
                return self.state == "cancelled"
            if not self._cancel.is_set():
                self.reason = reason
                self._cancel.set()
            self._queue.changed.notify_all()
        return True

    def wait(self, timeout: float | None = None) -> T:
        """Waits until the job has settled and its callbacks have run, then gives what the generator returned.

        On the worker itself the job's remaining steps run right here, since nobody else could run them.

        Raises:
            TimeoutError: it has not settled within `timeout` seconds (the job goes on).
            Cancelled: it was cancelled.
            BaseException: whatever the generator raised, with the worker's traceback.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._queue.on_worker():
            self._queue.drive(self, deadline)
        else:
            # A bounded wait in a loop: on Windows an unbounded one cannot be interrupted from the keyboard.
            while not self._finished.wait(0.5 if deadline is None else min(0.5, deadline - time.monotonic())):
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"{self!r} has not settled within {timeout} seconds.")
        return self._outcome()

    def _outcome(self) -> T:
        if self.state == "done":
            return cast("T", self._result)
        if self.state == "failed" and self.error is not None:
            raise self.error.with_traceback(self._traceback)
        raise Cancelled(f"{self.op or 'The work'} was cancelled ({self.reason or 'user'}).")

    def _blocked(self) -> bool:
        return self._buffer is not None and self._buffer.full() and not self._cancel.is_set()

    def _urgency(self) -> tuple[bool, int, int]:
        # A cancelled job goes first: closing it is quick, and somebody waits for the answer.
        return (not self._cancel.is_set(), int(self.priority), self._serial)

    def _step(self) -> None:
        """Advances the generator once. Only the worker calls this."""
        if self._cancel.is_set():
            self._close_generator()
            self._settle("cancelled")
            return
        self.state = "running"
        if self._started is None:
            self._started = time.monotonic()
        self.steps += 1
        try:
            value = self._context.run(self._advance)
        except StopIteration as stop:
            self._result = stop.value
            self._settle("done")
        except Cancelled:
            self.cancel("user")
            self._settle("cancelled")
        except BaseException as error:
            self._settle("failed", error)
        else:
            self._report(value)

    def _advance(self) -> Any:
        stack = running_here()
        stack.append(self)
        try:
            with self._step_context():
                if self._generator is None:
                    work = self._work
                    self._generator = work(self) if callable(work) else work
                    self._work = None
                return next(cast("Generator[Any, None, T]", self._generator))
        finally:
            stack.pop()

    def _close_generator(self) -> None:
        generator = self._generator if self._generator is not None else self._work
        if not hasattr(generator, "close"):
            return

        def close() -> None:
            with self._step_context():
                generator.close()

        try:
            self._context.run(close)
        except BaseException:
            logger.exception("%r raised while it was being cancelled", self)

    def _report(self, value: Any) -> None:
        if value is None:
            return
        done, total = getattr(value, "done", None), getattr(value, "total", None)
        if isinstance(done, int) and isinstance(total, int):
            # Work that knows its pace says so itself: what was known before it began took no time.
            left = getattr(value, "seconds_left", None)
            if left is None and done > 0:
                left = (time.monotonic() - (self._started or 0.0)) / done * max(total - done, 0)
            self.progress = Progress(done, total, left)
        if self._buffer is not None and not isinstance(value, Progress):
            with self._queue.changed:
                self._buffer.items.append(value)
                self._queue.changed.notify_all()
        stack = running_here()
        # On the stack, so that a callback which waits for its own job is told so instead of waiting for ever.
        stack.append(self)
        try:
            self._call(self._on_partial, value)
        finally:
            stack.pop()

    def _settle(self, state: State, error: BaseException | None = None) -> None:
        with self._queue.changed:
            # A cancel that was accepted holds, also when the last step finished or failed meanwhile.
            self.state = "cancelled" if self._cancel.is_set() else state
            self._queue.forget(self)
        if self.state == "failed" and error is not None:
            self.error, self._traceback = error, error.__traceback__
        elif error is not None:
            logger.debug("%r raised while it was being cancelled", self, exc_info=error)
        if self.state != "done":
            self._result = None
        callback, self._on_settle, self._on_partial = self._on_settle, None, None
        self._generator = self._work = None
        try:
            self._call(callback)
        finally:
            self._owner = None
            with self._queue.changed:
                self._finished.set()
                self._queue.changed.notify_all()

    def _call(self, callback: Callable[..., None] | None, *args: Any) -> None:
        if callback is None:
            return
        try:
            self._context.run(callback, self, *args)
        except BaseException:
            # Also SystemExit: it would end the worker, and with it every job that waits.
            logger.exception("a callback of %r raised", self)


class Buffer:
    """Values of a streamed job that nobody has taken yet; a full one makes its job wait, not the worker."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.items: deque[Any] = deque()

    def full(self) -> bool:
        """True when the job should wait for its reader."""
        return len(self.items) >= self.size
