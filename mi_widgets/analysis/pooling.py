"""Attention maps made smaller by their strongest cell, so that a single strong key never vanishes."""

from __future__ import annotations

import torch


def pool(pattern: torch.Tensor, rows: int, columns: int, signed: bool = False) -> torch.Tensor:
    """Shrink [..., dest, src] to at most rows x columns by the strongest cell.

    Args:
        pattern: weights, or signed differences.
        rows, columns: the size wanted; axes that are no longer stay as they are.
        signed: pool by magnitude and keep the sign.

    Example:
        >>> import torch
        >>> pool(torch.tensor([[0.0, 0.75, 0.25, 0.5]]), 1, 2).tolist()
        [[0.75, 0.5]]
    """
    height, width = pattern.shape[-2:]
    size = (min(rows, height), min(columns, width))
    if size == (height, width):
        return pattern
    flat = pattern.reshape(1, -1, height, width)
    high = torch.nn.functional.adaptive_max_pool2d(flat, size)
    if signed:
        low = torch.nn.functional.adaptive_max_pool2d(-flat, size)
        high = torch.where(low > high, -low, high)
    return high.reshape(*pattern.shape[:-2], *size)


def strongest(pattern: torch.Tensor, signed: bool) -> torch.Tensor:
    """The strongest cell of each column over all rows: [..., dest, src] -> [..., src]."""
    high = pattern.amax(-2)
    if not signed:
        return high
    low = pattern.amin(-2)
    return torch.where(-low > high, low, high)
