"""The worker thread of one scheduler: what it picks next, when it ends, and how the interpreter exits."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from mi_widgets.jobs.job import Job, Reason, running_here

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["JobQueue"]


class JobQueue:
    """The part of a scheduler its worker holds on to: nothing in here keeps a model alive while idle."""

    def __init__(self, name: str, idle_seconds: float) -> None:
        self.name = name
        self.idle_seconds = idle_seconds
        self.changed = threading.Condition(threading.RLock())
        self.jobs: list[Job[Any]] = []
        self.thread: threading.Thread | None = None
        self.closed = False

    def add(self, job: Job[Any]) -> None:
        """Queues a job, supersedes the one in its slot, and sees to it that there is a worker."""
        with self.changed:
            if self.closed:
                raise RuntimeError("No new work: the interpreter is shutting down.")
            if job.slot is not None:
                for other in self.jobs:
                    if other.slot == job.slot:
                        other.cancel("superseded")
            self.jobs.append(job)
            # is_alive, not None: after a fork the child has the object of a thread that does not exist there.
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=_work, args=(self,), name=f"mi-widgets {self.name}", daemon=True)
                _join_at_exit(self)
                self.thread.start()
            self.changed.notify_all()

    def forget(self, job: Job[Any]) -> None:
        """Drops a job that has settled (or was never queued). Called under `changed`."""
        if job in self.jobs:
            self.jobs.remove(job)

    def on_worker(self) -> bool:
        """True on the worker thread."""
        return self.thread is threading.current_thread()

    def next_job(self) -> Job[Any] | None:
        """The most urgent job that can go on; waits for one, and gives None when the worker should end."""
        with self.changed:
            while True:
                ready = [job for job in self.jobs if not job._blocked()]
                if ready:
                    return min(ready, key=Job._urgency)
                # Jobs whose stream nobody reads keep the worker; an empty queue lets it go after a while.
                woken = self.closed or self.changed.wait(None if self.jobs else self.idle_seconds)
                if not self.jobs and (self.closed or not woken):
                    self.thread = None
                    return None

    def drive(self, job: Job[Any], deadline: float | None = None, until: Callable[[], bool] = lambda: False) -> None:
        """Steps `job` on the worker, inside a step or callback of another job, until it has settled."""
        stack = running_here()
        if job in stack:
            raise RuntimeError(f"{job!r} cannot wait for itself.")
        outer = stack[-1] if stack else None
        while not job.settled and not until():
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{job!r} has not settled in time.")
            if outer is not None and outer.cancelled():
                job.cancel(outer.reason or "user")
            job._step()

    def close(self, reason: Reason = "closed") -> None:
        """Cancels everything and takes no more work."""
        with self.changed:
            self.closed = True
            for job in self.jobs:
                job.cancel(reason)
            self.changed.notify_all()


def _work(queue: JobQueue) -> None:
    while True:
        job = queue.next_job()
        if job is None:
            return
        job._step()
        # Otherwise this frame would keep the last job, and through it the model, while waiting for the next
        # one.
        del job


_live: weakref.WeakSet[JobQueue] = weakref.WeakSet()
_exit_hook = threading.Lock()
_exit_hooked = False


def _join_at_exit(queue: JobQueue) -> None:
    global _exit_hooked
    with _exit_hook:
        _live.add(queue)
        if not _exit_hooked:
            # Registered when the first worker starts, hence after torch's own handlers and run before them.
            atexit.register(_shut_down)
            _exit_hooked = True


def _shut_down() -> None:
    """Cancels and joins every worker: a thread inside torch while Python finalises aborts the process."""
    queues = list(_live)
    for queue in queues:
        queue.close()
    for queue in queues:
        thread = queue.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
