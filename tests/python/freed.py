"""Whether what is to be freed is freed."""

from __future__ import annotations

import gc
import time

LIMIT = 120.0


def freed(*refs):
    """Are these collected? Waits for it: a worker lets go of its last job a moment after that is told to be done."""
    end = time.monotonic() + LIMIT
    while any(ref() is not None for ref in refs) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    return all(ref() is None for ref in refs)
