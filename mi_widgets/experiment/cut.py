"""The part of captured activations that a user asked for."""

from __future__ import annotations

import torch

from ..errors import BadInput
from ..interventions.edits import Edit, several
from ..model.architecture import GLOBAL_SITES, HEAD_SITES
from ..model.batches import Batch


def cut(batch: Batch, kind: str, values: list[torch.Tensor], place: Edit, n_heads: int | None) -> torch.Tensor:
    """Stack layers, mark pads as NaN, and take the layers, heads and positions that were asked for.

    Args:
        batch: the prompts of the run.
        kind: the site.
        values: one tensor per layer, as captured.
        place: where; a number drops its axis, several keep it.
        n_heads: heads of the site, or None.

    Returns:
        [prompt, (layer,) position, ...site axes] float32 on the CPU; scores and pattern
        [prompt, (layer,) head, dest, src].
    """
    whole = torch.stack([v.float().cpu() for v in values], dim=1)
    head_axis, position_axis = (2, 3) if kind in ("pattern", "scores") else (3, 2)
    for row, pad in enumerate(batch.pads):
        if pad:
            whole[row].movedim(position_axis - 1, 0)[:pad] = float("nan")
    if place.position is not None:
        columns = torch.tensor([batch.columns(p) for p in several(place.position)]).T
        rows = torch.arange(len(batch))[:, None]
        whole = whole.movedim(position_axis, 1)[rows, columns].movedim(1, position_axis)
    if place.head is not None:
        asked = several(place.head)
        if n_heads is None or not all(0 <= h < n_heads for h in asked):
            raise BadInput(
                f"{kind} has {n_heads or 'no'} heads, not {asked}.", hint=f"Sites with heads: {', '.join(HEAD_SITES)}."
            )
        whole = whole.index_select(head_axis, torch.tensor(asked))
    for axis, index in sorted(
        [(head_axis, place.head), (position_axis, place.position)], reverse=True, key=lambda a: a[0]
    ):
        if isinstance(index, (int, str)):
            whole = whole.squeeze(axis)
    return whole.squeeze(1) if isinstance(place.layer, int) or kind in GLOBAL_SITES else whole
