"""The errors users meet. Each message says what was wrong, what was expected, and what to do.

`hint` repeats the last part (what to do) on its own, so that a widget can show it under the message.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AnswerNotSingleToken",
    "BadInput",
    "Cancelled",
    "EditNeverFired",
    "MiWidgetsError",
    "NotFinite",
    "OutOfMemory",
    "PromptMismatch",
    "SiteUnavailable",
    "Stale",
    "UnsupportedArchitecture",
]


class MiWidgetsError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        message: what was wrong and what was expected.
        hint: what to do about it; appended to the message and kept as `.hint`.

    Example:
        >>> str(MiWidgetsError("Layer 9 does not exist: the model has 4 layers.", hint="Use 0 to 3."))
        'Layer 9 does not exist: the model has 4 layers. Use 0 to 3.'
    """

    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


class BadInput(MiWidgetsError, ValueError):
    """An argument that cannot be meant: out of range, of the wrong kind, or unknown."""


class SiteUnavailable(MiWidgetsError):
    """A site asked for by name that this model, or this layer of it, does not have; says why."""


class PromptMismatch(MiWidgetsError, ValueError):
    """Two prompts that must pair position by position and do not; shows both tokenisations."""


class AnswerNotSingleToken(MiWidgetsError, ValueError):
    """An answer that the tokenizer splits, or does not know; shows the split."""


class UnsupportedArchitecture(MiWidgetsError):
    """A model whose parts could not be found or proven; shows what was found."""


class NotFinite(MiWidgetsError, ArithmeticError):
    """A forward pass gave NaN or infinity; names the first site where it arises."""


class EditNeverFired(MiWidgetsError):
    """An edit whose site was never reached in the run: a silent hook is an error, not a result."""


class Stale(MiWidgetsError):
    """A request made for a question that has changed meanwhile."""

    retryable = True


class Cancelled(MiWidgetsError):
    """The work was cancelled before it finished.

    Attributes:
        partial: what was finished, a map of the cells that were run for example; None where nothing was.
    """

    retryable = True
    partial: Any = None


class OutOfMemory(MiWidgetsError, MemoryError):
    """The work did not fit the device's memory, also not in the smallest chunk."""

    retryable = True
