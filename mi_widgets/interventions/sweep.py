"""A map of reruns: the same edit in every cell of layer x position or layer x head, one full forward pass each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import BadInput, NotFinite
from ..model.architecture import HEAD_SITES
from ..model.handle import Model
from ..results import Progress
from .edits import Edit, index_of

Positions = Sequence[int] | str | None

MetricOf = Callable[[Edit], torch.Tensor]


@dataclass(frozen=True)
class Grid:
    """The cells of a sweep.

    Attributes:
        axes: axes after layer.
        layers, heads, positions: labels along the axes; heads and positions are empty where there is no such axis.
        edits: {index: edit}, row by row; layers that do not have the site, and positions without a partner, have no
            cells.
    """

    axes: tuple[str, ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    positions: tuple[int, ...]
    edits: dict[tuple[int, ...], Edit]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the layer axis and of `axes`."""
        sizes = {"head": len(self.heads), "position": len(self.positions)}
        return (len(self.layers), *(sizes[axis] for axis in self.axes))


def _labels(name: str, given: Any, count: int) -> tuple[int, ...]:
    index = index_of(name, given)
    labels = tuple(range(count)) if index is None else (index,) if isinstance(index, int) else index
    wrong = [i for i in labels if not 0 <= i < count]
    if wrong or not labels or len(set(labels)) != len(labels):
        raise BadInput(
            f"{name} {list(labels)} must be different numbers from 0 to {count - 1}.",
            hint="Leave it out for all.",
        )
    return labels


def grid_of(
    model: Model,
    template: Edit,
    site: str,
    length: int,
    layers: Sequence[int] | int | None,
    heads: Sequence[int] | int | None,
    positions: Positions,
    offered: frozenset[int] | None = None,
) -> Grid:
    """Lay out the cells: layer x position for sites of the stream, layer x head for sites with heads.

    Args:
        model: the model.
        template: the edit of every cell, without its place.
        site: where.
        length: tokens of the base prompt.
        layers, heads: which; None = all.
        positions: which; None = all for the stream, and one edit over all of them for sites with heads;
            "all" = by position for sites with heads too (then layer x head x position).
        offered: positions that have a partner in the source prompt; the others have no cells. None = all.

    Raises:
        BadInput: numbers out of range, or heads for a site that has none.
        SiteUnavailable: the model has no such site.
    """
    model.require(site)
    rows = _labels("layers", layers, model.n_layers)
    by_head = site in HEAD_SITES
    if heads is not None and not by_head:
        raise BadInput(f"{site} has no heads.", hint=f"Sites with heads: {', '.join(HEAD_SITES)}.")
    columns = _labels("heads", heads, getattr(model, HEAD_SITES[site])) if by_head else ()
    by_position = not by_head or positions is not None
    if isinstance(positions, str) and positions != "all":
        raise BadInput(f"positions is None, 'all' or numbers, not {positions!r}.", hint="Leave it out for all.")
    where = (
        None
        if isinstance(positions, str) or positions is None
        else [p % length if isinstance(p, int) and -length <= p < 0 else p for p in positions]
    )
    places = _labels("positions", where, length) if by_position else ()
    axes = ("head",) * by_head + ("position",) * by_position
    edits: dict[tuple[int, ...], Edit] = {}
    for i, layer in enumerate(rows):
        if (site, layer) in model.architecture.missing_at:
            continue
        for j, head in enumerate(columns or (None,)):
            for k, position in enumerate(places or (None,)):
                if position is not None and offered is not None and position not in offered:
                    continue
                index = (i, *((j,) if by_head else ()), *((k,) if by_position else ()))
                edits[index] = template.on(site=site, layer=layer, head=head, position=position)
    return Grid(axes, rows, columns, places, edits)


@dataclass(frozen=True)
class Cell:
    """One finished cell of a sweep: its index and the metric of each prompt, [prompt] float32 (NaN: not finite)."""

    index: tuple[int, ...]
    metric: torch.Tensor


@dataclass(frozen=True)
class Swept:
    """All cells of a sweep.

    Attributes:
        metric: [prompt, layer, ...] float32; NaN where the layer has no such site, and in cells that failed.
        failed: cells whose run held NaN or infinity, and what was said about it.
    """

    metric: torch.Tensor
    failed: tuple[tuple[Edit, NotFinite], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence about the cells that failed, if any did."""
        if not self.failed:
            return ()
        edit, problem = self.failed[0]
        count = "1 cell gives" if len(self.failed) == 1 else f"{len(self.failed)} cells give"
        return (f"{count} NaN or infinity and no number; the first is {edit}. {problem}",)


def sweep_steps(grid: Grid, metric_of: MetricOf, prompts: int) -> Generator[Progress | Cell, None, Swept]:
    """Rerun cell by cell; yields after each.

    Args:
        grid: the cells.
        metric_of: runs one edit and gives the metric of each prompt.
        prompts: how many prompts there are.

    Raises:
        NotFinite: no cell gives a number. A cell that gives none among others is NaN, and said.
    """
    values = torch.full((prompts, *grid.shape), math.nan, dtype=torch.float32)
    failed: list[tuple[Edit, NotFinite]] = []
    started = time.perf_counter()
    for done, (index, edit) in enumerate(grid.edits.items(), start=1):
        try:
            metric = metric_of(edit)
        except NotFinite as problem:
            failed.append((edit, problem))
            metric = torch.full((prompts,), math.nan, dtype=torch.float32)
        values.movedim(0, -1)[index] = metric
        yield Cell(index, metric)
        left = (time.perf_counter() - started) / done * (len(grid.edits) - done)
        yield Progress(done, len(grid.edits), left)
    if failed and len(failed) == len(grid.edits):
        raise failed[0][1]
    return Swept(values, tuple(failed))
