"""Whole numbers as users give them: of Python, numpy or torch."""

from __future__ import annotations

import operator
from typing import Any

import torch


def whole(value: Any) -> int | None:
    """A whole number of any library as an int; None for everything else, True and False included.

    Example:
        >>> whole(torch.tensor(3)), whole(3.0), whole(True)
        (3, None, None)
    """
    if isinstance(value, bool) or getattr(value, "dtype", None) in (torch.bool, "bool"):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
