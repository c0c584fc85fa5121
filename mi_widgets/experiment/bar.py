"""A progress bar in the terminal or the notebook for work that runs on the worker."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm

from ..results import Progress

DELAY = 0.5
"""Seconds before a bar appears: a notebook keeps a mark of every bar, also of one that is gone at once."""


class Bar:
    """Shows the `Progress` a job yields, if it takes a while.

    Args:
        title: what is running.
        shown: False shows nothing.
    """

    def __init__(self, title: str, shown: bool) -> None:
        self._bar = tqdm(desc=title, disable=not shown, leave=False, delay=DELAY)

    def see(self, value: Any) -> None:
        """Take a value a job yielded; everything that is no `Progress` is passed over."""
        if isinstance(value, Progress) and not self._bar.disable:
            self._bar.total = value.total
            self._bar.update(value.done - self._bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.close()
