"""One scheduler per model: all engine work of a model, from widgets and from public calls, runs on its one worker."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import torch

from ..jobs import Scheduler
from ..model.handle import Model

_SCHEDULERS: WeakKeyDictionary[Model, Scheduler] = WeakKeyDictionary()
_LOCK = threading.Lock()


def scheduler_of(model: Model) -> Scheduler:
    """The model's scheduler; made at the first call, gone with the model."""
    with _LOCK:
        found = _SCHEDULERS.get(model)
        if found is None:
            # Gradient mode is per thread: the worker sets its own.
            found = _SCHEDULERS[model] = Scheduler(model.name, step_context=torch.no_grad)
        return found
