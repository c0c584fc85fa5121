"""Jobs that a test holds and lets go."""

from __future__ import annotations

import threading

from mi_widgets.jobs import Progress

LIMIT = 120.0


class Gate:
    """A job that runs one chunk each time it is let through, and counts its chunks."""

    def __init__(self, chunks=1000):
        self.chunks = 0
        self.total = chunks
        self.closed = False
        self._allowed = threading.Semaphore(0)
        self._ran = threading.Semaphore(0)

    def steps(self):
        try:
            for _ in range(self.total):
                assert self._allowed.acquire(timeout=LIMIT)
                self.chunks += 1
                self._ran.release()
                yield Progress(self.chunks, self.total)
            return self.chunks
        finally:
            self.closed = True

    def let(self, n=1):
        for _ in range(n):
            self._allowed.release()

    def ran(self, n=1):
        for _ in range(n):
            assert self._ran.acquire(timeout=LIMIT)


def record(log, name, chunks=3):
    for _ in range(chunks):
        log.append(name)
        yield
    return name
