"""Passes that end where their work is not wanted any more: before the next layer, and nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from torch import nn

from ..errors import Cancelled
from .architecture import Architecture

__all__ = ["STOPPED", "stopping"]

STOPPED: ContextVar[Callable[[], bool] | None] = ContextVar("stopped", default=None)
"""Tells whether the work that runs here was cancelled; None = nobody can cancel it."""


@contextmanager
def stopping(shadow: nn.Module, parts: Architecture) -> Iterator[None]:
    """Ask before each layer of the passes inside the block whether the work was cancelled.

    Args:
        shadow: the shadow.
        parts: its parts.

    Raises:
        Cancelled: it was; from the pass.
    """
    stopped = STOPPED.get()
    if stopped is None:
        yield
        return

    def look(*_: Any) -> None:
        if stopped():
            raise Cancelled("The forward pass was cancelled.")

    with ExitStack() as stack:
        for part in parts.layers:
            stack.callback(shadow.get_submodule(part.path).register_forward_pre_hook(look).remove)
        yield
