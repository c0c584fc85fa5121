"""A metric that a user wrote: a function of logits, checked for what would make its numbers wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import BadInput
from .metrics import METRICS, Rows

LONGEST_NAME = 60
ALONE = 8
"""Rows that are measured one by one when a metric is first used."""


class UserMetric:
    """A callable ``f(logits [row, vocab] float32, rows) -> [row]``, and what is known of it.

    Sweeps measure many runs in one call and cut them as memory allows, so a metric that looks from one row to another
    (a mean over the batch, a softmax over the wrong axis) would give other numbers in other batches. When first used it
    is therefore run on its rows together and one by one, and refused with what differed.

    Args:
        function: what the user wrote.

    Attributes:
        function: the same.
        name: its ``__name__`` as results and headers show it.

    Raises:
        BadInput: it cannot be called.

    Example:
        >>> def top_logit(logits, rows):
        ...     return logits.amax(-1)
        >>> UserMetric(top_logit).name
        'top_logit'
        >>> UserMetric(lambda logits, rows: logits[:, 0]).name
        'custom'
    """

    def __init__(self, function: Callable[[torch.Tensor, Rows], torch.Tensor]) -> None:
        if not callable(function):
            raise BadInput(
                f"A metric is a name or a function of logits and rows, not {function!r}.",
                hint=f"Metrics: {', '.join(METRICS)}.",
            )
        self.function = function
        self.name = _name_of(function)
        self._checked = False

    def __call__(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        """The metric of each row, [row] float32.

        Raises:
            BadInput: what it gives is no tensor [row], it writes into the logits, or it depends on the batch.
        """
        found = self._call(logits, rows)
        if not self._checked:
            self._check(logits, rows, found)
            self._checked = True
        return found

    def _call(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        version = logits._version
        found: Any = self.function(logits, rows)
        if logits._version != version:
            raise BadInput(
                f"The metric {self.name} writes into the logits it is given.",
                hint="Work on logits.clone(), or use operations that do not end in an underscore.",
            )
        count = logits.shape[0]
        if not isinstance(found, torch.Tensor) or found.shape != (count,) or found.is_complex():
            what = f"a tensor {list(found.shape)}" if isinstance(found, torch.Tensor) else f"{type(found).__name__}"
            raise BadInput(
                f"The metric {self.name} gives {what} for logits {list(logits.shape)}; expected a tensor [{count}], "
                "one number per row.",
                hint="Index by row: logits[torch.arange(len(logits)), ids].",
            )
        return found.float()

    @torch.no_grad()
    def _check(self, logits: torch.Tensor, rows: Rows, found: torch.Tensor) -> None:
        """Compare what rows give together with what each gives by itself."""
        if len(rows) == 1:
            # One row tells nothing about its neighbours: it gets one, the same logits in reverse.
            logits, rows = torch.cat([logits, logits.flip(-1)]), rows.take([0, 0])
            found = self._call(logits, rows)
        for row in range(min(len(rows), ALONE)):
            alone = float(self._call(logits[row : row + 1], rows.take([row])))
            together = float(found[row])
            if alone == together or (alone != alone and together != together):
                continue
            if not abs(alone - together) <= 1e-4 * max(1.0, abs(alone)):
                raise BadInput(
                    f"The metric {self.name} depends on how rows are batched: row {row} gives {together:.6g} among "
                    f"{len(rows)} rows and {alone:.6g} by itself.",
                    hint="Reduce over the last axis only (dim=-1), and look at rows.index for whose row it is.",
                )


def _name_of(function: Any) -> str:
    while not hasattr(function, "__name__") and hasattr(function, "func"):
        function = function.func  # functools.partial
    name = str(getattr(function, "__name__", type(function).__name__))
    if not name.isprintable() or name == "<lambda>":
        name = "custom"
    name = name.encode(errors="replace").decode()[:LONGEST_NAME]
    # The built-in names keep their meaning.
    return f"{name} (custom)" if name in METRICS else name
