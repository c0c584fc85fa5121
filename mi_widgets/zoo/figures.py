"""Figures as they are written: plain data, rounded once and the same way in every model card."""

from __future__ import annotations

from typing import Any

DIGITS = 4


def rounded(value: Any) -> Any:
    """Tensors, mappings and lists as plain data, every float with four decimals.

    Example:
        >>> rounded({"share": [0.123456, 1], "name": "fox"})
        {'share': [0.1235, 1], 'name': 'fox'}
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, DIGITS) if isinstance(value, float) else value
