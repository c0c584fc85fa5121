"""Callbacks of an experiment's views; called with no lock held, and none can break another."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from types import MethodType

logger = logging.getLogger("mi_widgets")

Callback = Callable[[str], None]


class Observers:
    """A list of callbacks; bound methods are held weakly, so that a view can be collected."""

    def __init__(self) -> None:
        self._refs: list[Callable[[], Callback | None]] = []

    def add(self, callback: Callback) -> Callable[[], None]:
        """Add a callback; the function that is returned takes it away again."""
        ref: Callable[[], Callback | None] = (
            weakref.WeakMethod(callback) if isinstance(callback, MethodType) else lambda: callback
        )
        self._refs.append(ref)

        def remove() -> None:
            if ref in self._refs:
                self._refs.remove(ref)

        return remove

    def notify(self, topic: str) -> None:
        """Call all; what one raises is logged, and the rest are called all the same."""
        for ref in list(self._refs):
            callback = ref()
            if callback is None:
                if ref in self._refs:
                    self._refs.remove(ref)
                continue
            try:
                callback(topic)
            except Exception:
                logger.exception("an observer of the experiment failed")
