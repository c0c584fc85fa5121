"""The runs that a list of edits stands for: one, or with `Resample` one for each draw."""

from __future__ import annotations

from collections.abc import Sequence

from .edits import Edit
from .set_edits import Resample


def draws_of(edits: Sequence[Edit], prompts: int = 1) -> list[tuple[Edit, ...]]:
    """The runs that a list of edits stands for; metrics are averaged over them.

    Args:
        edits: in order.
        prompts: how many prompts the base has; each draws donors of its own.

    Returns:
        One tuple of edits for each run, without any `Resample`: a single one when nothing is drawn. Where one edit
        asks for fewer draws than another, its draws begin again.

    Example:
        >>> [str(one) for (one,) in draws_of([Resample("z", 1, prompts=["Anna ran", "Tom ran"], n=2)])]
        ["patch L1.z from 'Tom ran'", "patch L1.z from 'Anna ran'"]
    """
    drawn = [edit.draws(prompts) if isinstance(edit, Resample) else (edit,) for edit in edits]
    runs = max((len(one) for one in drawn), default=1)
    return [tuple(one[i % len(one)] for one in drawn) for i in range(runs)]
