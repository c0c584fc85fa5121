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
from .attention_edits import Knockout
from .edits import DoesNotFit, Edit
from .grid import Grid
from .many import Account, Measured, measure_many
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
    refused: dict[Index, DoesNotFit] = field(default_factory=dict)
    failed: dict[Index, NotFinite] = field(default_factory=dict)
    account: Account | None = None

    @classmethod
    def nothing(cls, prompts: int, grid: Grid) -> Swept:
        """A map of which nothing is known."""
        values = torch.full((prompts, *grid.shape), math.nan, dtype=torch.float32)
        no = torch.zeros(grid.shape, dtype=torch.bool)
        return cls(values, no, no.clone(), values[0].clone(), grid.edits, dict(grid.refused))

    def guess(self, metric: torch.Tensor) -> None:
        """Take an estimate, [prompt, cell]; where a cut leaves a destination nothing to look at it has no number."""
        for cell, (index, edit) in enumerate(self.edits.items()):
            self.metric.movedim(0, -1)[index] = metric[:, cell]
            if isinstance(edit, Knockout) and bool(metric[:, cell].isnan().any()):
                self.refused[index] = edit.empties()

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
        None to let more urgent work through; after each piece how far it is, and the map as it is.

    Raises:
        DoesNotFit, NotFinite: no cell gives a number. One that gives none among others is NaN, and said.
    """
    if not cells:
        known.account = Account("nothing")
        return known
    started, done = time.perf_counter(), 0
    steps = _measured(question, grid, cells)
    while True:
        try:
            found = next(steps)
        except StopIteration as end:
            known.account = end.value
            break
        for index, measured in found or ():
            if isinstance(measured, DoesNotFit):
                known.refused[index] = measured
                known.metric.movedim(0, -1)[index] = math.nan
                continue
            known.refused.pop(index, None)
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
        yield Progress(done, len(cells), (time.perf_counter() - started) / done * (len(cells) - done))
        yield known
    without = {**known.refused, **known.failed}
    if without.keys() >= set(cells):
        raise without[min(cells)]
    return known


Found = list[tuple[Index, Measured | DoesNotFit]]


def _measured(question: Question, grid: Grid, cells: Sequence[Index]) -> Generator[Found | None, None, Account]:
    """Measure cells, and find those whose edit turns out not to fit.

    What a destination sees is the model's own affair, so that only a run tells of some cells that they leave it nothing
    to look at. It ends the work on the cells beside it, which is then done in halves until those that fit are left.
    """
    waiting = dict(enumerate(cells))
    steps = measure_many(question, [(grid.edits[index],) for index in cells])
    while True:
        try:
            found = next(steps)
        except StopIteration as end:
            return end.value
        except DoesNotFit as problem:
            unfit = problem
            break
        yield [(waiting.pop(one.run), one) for one in found or ()] or None
    left = list(waiting.values())
    if len(left) == 1:
        yield [(left[0], unfit)]
        return Account()
    middle = len(left) // 2
    one = yield from _measured(question, grid, left[:middle])
    other = yield from _measured(question, grid, left[middle:])
    return Account(
        " and ".join(dict.fromkeys(words for words in (one.words, other.words) if words)),
        max(one.floor, other.floor),
        list(dict.fromkeys([*one.notes, *other.notes])),
    )


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
