"""How the value of a site is laid out: positions first, in each prompt's own tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..errors import BadInput
from ..model.architecture import HEAD_SITES

SQUARE = frozenset({"scores", "pattern"})
"""Sites that are captured as [row, head, dest, src]."""


def site_axes(kind: str) -> int:
    """How many axes a site has besides position: [d], or [head, d]; of scores and pattern [head, src]."""
    return 2 if kind in HEAD_SITES else 1


def own(kind: str, value: torch.Tensor, row: int, pad: int) -> torch.Tensor:
    """A view of one prompt's part of a captured value, without its padding.

    Args:
        kind: the site.
        value: as captured; see `access.Visitor`.
        row: which prompt.
        pad: columns of padding in front of it.

    Returns:
        [position, ...site axes]; scores and pattern [dest, head, src].
    """
    one = value[row]
    return one.transpose(0, 1)[pad:, :, pad:] if kind in SQUARE else one[pad:]


def given(kind: str, tensor: torch.Tensor, row: int, rows: int, what: str) -> torch.Tensor:
    """One prompt's part of a tensor that the user gave with all its axes.

    Args:
        kind: the site.
        tensor: [position, ...site axes] or [prompt, position, ...site axes]; a pattern is [head, dest, src].
        row: which prompt.
        rows: how many prompts there are.
        what: how to call the tensor.

    Returns:
        [position, ...site axes]; scores and pattern [dest, head, src].

    Raises:
        BadInput: another number of axes or prompts.
    """
    axes = site_axes(kind) + 1
    if tensor.ndim == axes + 1:
        if tensor.shape[0] != rows:
            raise BadInput(
                f"{what} holds {tensor.shape[0]} prompts, the base has {rows}.",
                hint="Give one for each.",
            )
        tensor = tensor[row]
    if tensor.ndim != axes:
        raise BadInput(
            f"{what} for {kind} has {axes} axes (and a prompt axis in front, if any), not {tensor.ndim}.",
            hint="In front comes the position, then the site's own axes, as exp.read gives them.",
        )
    return tensor.transpose(0, 1) if kind in SQUARE else tensor


def at_positions(tensor: torch.Tensor, positions: Sequence[int], length: int, row: int, what: str) -> torch.Tensor:
    """The rows of a tensor in base positions at which something is edited.

    Raises:
        BadInput: it has not one row for every position of the prompt.
    """
    if tensor.shape[0] != length:
        raise BadInput(
            f"{what} has {tensor.shape[0]} positions, prompt {row} has {length}.",
            hint="Give one row for every position of the base prompt.",
        )
    return picked(tensor, positions)


def picked(tensor: torch.Tensor, positions: Sequence[int]) -> torch.Tensor:
    """Rows of [position, ...]; of neighbours a view, so that the many cells of a map share what they read."""
    if positions and list(positions) == list(range(positions[0], positions[0] + len(positions))):
        return tensor[positions[0] : positions[0] + len(positions)]
    return tensor[list(positions)]


def squares(value: torch.Tensor) -> bool:
    """Whether numbers can be squared, as norms do; what is not finite at all is found in the logits."""
    largest = float(value.abs().max())
    # Norms reckon in float32 where the model does not.
    wide = torch.promote_types(value.dtype, torch.float32)
    return not math.isfinite(largest) or largest <= (torch.finfo(wide).max / value.shape[-1]) ** 0.5
