"""A map of edited runs: the cells of a grid measured, in the order in which they are wanted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..errors import NotFinite
from ..model.batches import Batch
from ..results import Progress
from .edits import DoesNotFit, Edit
from .grid import Grid
from .many import Account, measure_many
from .positions import rows_of
from .question import Question

Index = tuple[int, ...]


@dataclass
class Swept:
    """What is known of a map so far.

    Attributes:
        metric: [prompt, layer, ...] float32; NaN where nothing is known, or the layer has no such site.
        exact: [layer, ...] bool, cells that were run (or need no run).
        same: [layer, ...] bool, cells that carry what both prompts have in common, and so equal the base run.
        drawn: [layer, ...] float32, standard error of the metric of one prompt over draws; NaN where nothing is drawn.
        failed: {cell: what was said about it} of those whose run held NaN or infinity.
        edits: the edit of each cell.
        refused: {cell: why} of those whose edit cannot be done there.
        account: how cells were run.
    """

    metric: torch.Tensor
    exact: torch.Tensor
    same: torch.Tensor
    drawn: torch.Tensor
    edits: Mapping[Index, Edit]
    refused: Mapping[Index, DoesNotFit] = field(default_factory=dict)
    failed: dict[Index, NotFinite] = field(default_factory=dict)
    account: Account | None = None

    @classmethod
    def nothing(cls, prompts: int, grid: Grid) -> Swept:
        """A map of which nothing is known."""
        values = torch.full((prompts, *grid.shape), math.nan, dtype=torch.float32)
        no = torch.zeros(grid.shape, dtype=torch.bool)
        return cls(values, no, no.clone(), values[0].clone(), grid.edits, grid.refused)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about how cells were run, and about those that cannot be or failed."""
        said = tuple(self.account.notes) if self.account is not None else ()
        if self.refused:
            why, several = self.refused[min(self.refused)].message, len(self.refused)
            cells = "1 cell has no number: its edit" if several == 1 else f"{several} cells have no number: their edits"
            said += (f"{cells} cannot be done there. {why}",)
        if not self.failed:
            return said
        first = min(self.failed)
        edit, problem = self.edits[first], self.failed[first]
        count = "1 cell gives" if len(self.failed) == 1 else f"{len(self.failed)} cells give"
        return (*said, f"{count} NaN or infinity and no number; the first is {edit}. {problem}")


def sweep_steps(question: Question, grid: Grid, cells: Sequence[Index], known: Swept) -> Generator[
    Progress | Swept | None, None, Swept
]:  # fmt: skip
    """Measure cells of a grid.

    Args:
        question: what is asked; its own edits are under all cells.
        grid: the cells.
        cells: which, in the order in which they are wanted.
        known: what is known of them, an estimate for example; is filled in.

    Yields:
        None to let more urgent work through; after each piece the map as it is, and how far it is.

    Raises:
        NotFinite: no cell gives a number. One that gives none among others is NaN, and said.
    """
    if not cells:
        known.account = Account("nothing")
        return known
    started, done = time.perf_counter(), 0
    steps = measure_many(question, [(grid.edits[index],) for index in cells])
    while True:
        try:
            found = next(steps)
        except StopIteration as end:
            known.account = end.value
            break
        for measured in found or ():
            index = cells[measured.run]
            known.metric.movedim(0, -1)[index] = measured.metric
            known.exact[index], known.same[index] = measured.failed is None, measured.same
            if measured.failed is not None:
                known.failed[index] = measured.failed
            if measured.draws is not None and measured.draws.shape[1] == 1:
                known.drawn[index] = float(measured.draws.std() / len(measured.draws) ** 0.5)
        if not found:
            yield None
            continue
        done += len(found)
        yield known
        yield Progress(done, len(cells), (time.perf_counter() - started) / done * (len(cells) - done))
    if len(known.failed) == len(cells):
        raise known.failed[min(known.failed)]
    return known


def column_order(grid: Grid, batch: Batch, first: int | str | None = None) -> list[Index]:
    """Cells column by column: the one asked for, then from the last position to the first, short runs before long ones.

    Args:
        grid: the cells.
        batch: the base prompts.
        first: the position that comes first.
    """

    def key(index: Index) -> tuple[bool, int, Index]:
        position = grid.position_at(index)
        return position != first, 0 if position is None else -rows_of(batch, position)[0][0], index

    return sorted(grid.edits, key=key)


def largest_order(grid: Grid, far: Callable[[Index], float]) -> list[Index]:
    """Cells by how far their estimate lies from the base run, the largest first; those without one come last."""

    def key(index: Index) -> tuple[float, Index]:
        size = far(index)
        return (math.inf if math.isnan(size) else -size, index)

    return sorted(grid.edits, key=key)
