"""Telling the user that their model has changed: in the header of its views, and in the next result."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, TypeVar

from ..model.handle import Model
from ..model.stamp import Change
from ..results import BaseResult

T = TypeVar("T")


class News:
    """What has become of a model since an experiment began.

    Args:
        model: the experiment's.

    Attributes:
        notices: sentences for the header of a view: how the model is run, and its last change.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._told = model.generation
        self._latest = ""

    @property
    def notices(self) -> tuple[str, ...]:
        """The change first: it is what somebody must see."""
        return (*((self._latest,) if self._latest else ()), *self._model.notices)

    def hear(self, change: Change) -> None:
        """Keep a change for the header."""
        self._latest = f"The model has changed: {change}. What was computed before was dropped."

    def forget(self) -> None:
        """A new question has no earlier results."""
        self._latest = ""

    def told(self, steps: Generator[Any, None, T]) -> Generator[Any, None, T]:
        """The same steps; the result's provenance also tells what has changed since the last result."""
        result = yield from steps
        words = self._model.changed_since(self._told)
        if not words or not isinstance(result, BaseResult):
            return result
        self._told = self._model.generation
        note = f"The model has changed since the last result: {'; '.join(words)}."
        where = replace(result.provenance, notes=(note, *result.provenance.notes))
        return replace(result, provenance=where)
