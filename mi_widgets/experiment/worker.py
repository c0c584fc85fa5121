"""One scheduler per model: all engine work of a model, from widgets and from public calls, runs on its one worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch

from ..jobs import Scheduler, current_job
from ..model.handle import Model
from ..model.stopping import STOPPED

_SCHEDULERS: WeakKeyDictionary[Model, Scheduler] = WeakKeyDictionary()
_LOCK = threading.Lock()


def scheduler_of(model: Model) -> Scheduler:
    """The model's scheduler; made at the first call, gone with the model."""
    with _LOCK:
        found = _SCHEDULERS.get(model)
        if found is None:
            found = _SCHEDULERS[model] = Scheduler(model.name, step_context=_step)
        return found


@contextmanager
def _step() -> Iterator[None]:
    """Around every step of a job: gradient mode, which is per thread, and a cancel that its passes hear of."""
    job = current_job()
    token = STOPPED.set(None if job is None else job.cancelled)
    try:
        with torch.no_grad():
            yield
    finally:
        STOPPED.reset(token)
