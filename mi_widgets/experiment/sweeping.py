"""Sweeps as an experiment gives them: which cells, estimate first or not, and the map as a result."""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from ..analysis.common import provenance
from ..errors import BadInput, NotFinite, OutOfMemory, UnsupportedArchitecture
from ..interventions.baselines import Baselines, share_notes
from ..interventions.edit_kinds import Patch
from ..interventions.edits import DoesNotFit, Edit, edits_of
from ..interventions.estimate import estimate_steps, words_of
from ..interventions.fitting import fits_of
from ..interventions.grid import Grid, Positions, grid_of
from ..interventions.many import kernel_words
from ..interventions.metrics import recovered
from ..interventions.positions import rows_of
from ..interventions.question import Question
from ..interventions.reading import pairing, source_of
from ..interventions.sweep import Index, Swept, column_order, largest_order, sweep_steps
from ..results import Progress, SweepResult
from .runs import Fresh

METHODS = ("exact", "gradient")
ORDERS = ("columns", "largest")

EVERY = 0.1
"""Seconds between partial maps of a stream, at least."""


@dataclass(frozen=True)
class Asked:
    """What a sweep is asked for, as written; see `Experiment.sweep`."""

    site: str
    edit: Edit | None = None
    layers: Sequence[int] | int | None = None
    heads: Sequence[int] | int | None = None
    positions: Positions = None
    units: Sequence[int] | int | str | None = None
    method: str = "exact"
    steps: int = 1
    top: int | None = None


@dataclass(frozen=True)
class Laid:
    """A sweep, checked and laid out.

    Attributes:
        question: what is asked; its edits are under all cells.
        grid: the cells.
        template: the edit of every cell, without its place.
        asked: as written.
    """

    question: Question
    grid: Grid
    template: Edit
    asked: Asked


def laid_out(question: Question, asked: Asked) -> Laid:
    """Check what is asked for, and lay out the cells.

    Raises:
        BadInput, SiteUnavailable, PromptMismatch: see `Experiment.sweep`.
    """
    (template,) = edits_of((Patch() if asked.edit is None else asked.edit,))
    # Kept as it is now: a tensor of the user's own may be written to later.
    tensors = {f.name: getattr(template, f.name) for f in fields(template)}
    template = template.on(**{name: t.clone() for name, t in tensors.items() if isinstance(t, torch.Tensor)})
    place = (template.site, template.layer, template.head, template.position, template.unit)
    # An edit may know its site before it has a place: a knockout is one at scores, also where pattern is asked for.
    fixed = template.site is not None and place[1:] == (None,) * 4
    fixed = fixed and template.on(site=asked.site).site == template.site
    if place != (None,) * 5 and not fixed:
        raise BadInput(
            f"The edit of a sweep has no place of its own; this one is {template}.",
            hint="Write exp.sweep('z', edit=mi.Zero()), and choose cells with layers, heads and positions.",
        )
    if asked.method not in METHODS:
        raise BadInput(f"There is no method {asked.method!r}.", hint=f"Methods: {', '.join(METHODS)}.")
    for name, value in (("steps", asked.steps), ("top", asked.top)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise BadInput(f"{name} is a whole number from 1, not {value!r}.", hint="Leave it out.")
    batch = question.batch(question.base)
    grid = grid_of(
        question.model,
        template,
        asked.site,
        batch,
        asked.layers,
        asked.heads,
        asked.positions,
        asked.units,
        offered=lambda: pairing(template, question.base, question.sources()),
        fits=fits_of(question),
    )
    return Laid(question, grid, template, asked)


@dataclass(frozen=True)
class Standing:
    """How a map stands.

    Attributes:
        result: all that is known of it.
        none: [layer, ...] bool, cells that have no number: there is no such cell, or its run gave none.
        done, total: cells that this work has run, and is to run.
    """

    result: SweepResult
    none: torch.Tensor
    done: int
    total: int

    @classmethod
    def whole(cls, result: SweepResult) -> Standing:
        """Of a map that is not worked on: what has no number will get none."""
        return cls(result, result.metric.isnan(), 0, 0).settled

    @property
    def settled(self) -> Standing:
        """The same with all cells counted that have a number, whichever work ran them."""
        counted = ~self.none & ~self.result.same
        return replace(self, done=int((self.result.exact & counted).sum()), total=int(counted.sum()))


def name_of(question: Question) -> tuple[Any, ...]:
    """What the numbers of a map depend on besides its cells, with the model as it is now."""
    align = tuple(question.align.items()) if isinstance(question.align, Mapping) else question.align
    return (question.model.generation, question.key, align, question.edits)


class Map:
    """A map in the making; see `Experiment.sweep` and `Experiment.sweep_stream`.

    Args:
        laid: the sweep.
        fresh: gives the baselines.
        stream: also yield the map as a `SweepResult` whenever more of it is known.
        guess: begin with the estimate.
        order: "columns" or "largest".
        first: the position, or head, whose column comes first.
        begun: the same map as far as it was known before; its exact cells are not run again.
        again: cells that are run though they are known, before all others.
        rest: also run cells that are not known.
        outline: also yield the map before anything of it was run or estimated.

    Attributes:
        name: see `name_of`, of when it began.
        done, total: cells that were run, and that are to be run; those of `begun` count as run.
        mixed: the model has changed while the map was made, so that no cell can be told from it later.
    """

    def __init__(
        self,
        laid: Laid,
        fresh: Fresh,
        *,
        stream: bool = False,
        guess: bool = False,
        order: str = "columns",
        first: int | str | None = None,
        begun: SweepResult | None = None,
        again: Collection[Index] | None = None,
        rest: bool = True,
        outline: bool = False,
    ) -> None:
        self.laid, self.fresh = laid, fresh
        self.stream, self.guess, self.order, self.first = stream, guess, order, first
        self.before, self.again, self.rest, self.outline = begun, frozenset(again or ()), rest, outline
        self.done, self.total = 0, len(laid.grid.edits)
        self.name: tuple[Any, ...] = ()
        self._cells = _mask(laid.grid.edits, laid.grid.shape)
        self._known = Swept.nothing(len(laid.question.clean), laid.grid)
        self._base: Baselines | None = None
        self._notes: tuple[str, ...] = ()
        self._started = time.perf_counter()
        self.mixed = False

    def steps(self) -> Generator[Any, None, SweepResult]:
        """Measure all cells; gives the whole map."""
        question, grid, asked, known = self.laid.question, self.laid.grid, self.laid.asked, self._known
        shared = shared_cells(self.laid) if asked.method == "exact" else []
        # What is counted are runs of cells: the unedited runs and the estimate are told as what is before them.
        open_cells = set(grid.edits if self.rest else self.again).difference(shared)
        yield Progress(0, max(1, len(open_cells)))
        self._started = time.perf_counter()
        self._base = yield from self.fresh(question)
        self.name = name_of(question)
        self._notes = question.notes(tuple(grid.edits.values())[:1])
        if asked.method == "exact":
            self._take_shared(shared)
            self._take_known()
        wanted = self._wanted()
        self.done = int((known.exact & ~known.same & ~_mask(wanted, grid.shape)).sum()) if self.rest else 0
        self.total = self.done + min(len(wanted), asked.top or len(wanted))
        yield Progress(self.done, self.total)
        if self.outline:
            yield self.so_far()
        ranked = self.order == "largest" or asked.top is not None
        if (self.guess and self._unknown) or ranked or asked.method == "gradient":
            for event in self._estimate(needed=asked.top is not None or asked.method == "gradient"):
                runs = isinstance(event, Progress) and asked.method == "exact"
                yield Progress(self.done, self.total) if runs else event
            if self.stream:
                yield self.so_far(words_of(asked.steps))
        if asked.method == "gradient":
            return self.so_far(words_of(asked.steps))
        start = self._base.of(question.base).mean()

        def far(index: Index) -> float:
            return float((known.metric.movedim(0, -1)[index].mean() - start).abs())

        batch = question.batch(question.base)
        cells = largest_order(grid, far) if ranked else column_order(grid, batch, self.first)
        cells = [index for index in cells if index in wanted][: asked.top]
        if not ranked and self.first is not None and "head" in grid.axes and "position" not in grid.axes:
            axis = 1 + grid.axes.index("head")
            cells.sort(key=lambda index: grid.heads[index[axis]] != self.first)
        cells.sort(key=lambda index: index not in self.again)
        last = time.monotonic()
        for event in self._run(cells):
            if not isinstance(event, Swept):
                yield event
            elif self.stream and time.monotonic() - last >= EVERY:
                last = time.monotonic()
                yield self.so_far()
        self.mixed = (yield from self.fresh(question)) is not self._base
        if self.mixed:
            self._notes += ("The model has changed while this map was made, so its cells are of different models.",)
        how = f"{self.total} edited runs: {known.account.words}" if self.total and known.account is not None else ""
        return self.so_far(how or "nothing")

    def _run(self, cells: Sequence[Index]) -> Generator[Any, None, None]:
        """Measure some cells; tells how far the work is with those that were known before."""
        known, before = self._known, self.done
        try:
            for event in sweep_steps(self.laid.question, self.laid.grid, cells, known):
                if isinstance(event, Progress):
                    self.done = before + event.done
                    event = Progress(self.done, self.total, event.seconds_left)
                yield event
        except (DoesNotFit, NotFinite):
            # No cell of these gives a number: that is an error unless others do.
            told = all(index in known.refused or index in known.failed for index in cells)
            if not told or not bool(known.exact.any()):
                raise
            self.done = self.total

    def _wanted(self) -> dict[Index, None]:
        """The cells to run."""
        exact, same = self._known.exact.numpy(), self._known.same.numpy()
        return dict.fromkeys(
            index
            for index in self.laid.grid.edits
            if not same[index] and (index in self.again or (self.rest and not exact[index]))
        )

    @property
    def _unknown(self) -> bool:
        """Whether there is a cell without even an estimate."""
        return bool((self._known.metric.isnan().any(0) & self._cells).any())

    def _take_shared(self, cells: Collection[Index]) -> None:
        """Fill in the cells that carry what both prompts have in common, which need no run."""
        assert self._base is not None
        same = _mask(cells, self.laid.grid.shape)
        self._known.same |= same
        self._known.exact |= same
        self._known.metric[:, same] = self._base.of(self.laid.question.base)[:, None]

    def _take_known(self) -> None:
        """Fill in what was known of the map before, if the unedited runs still give what they gave then."""
        begun, known = self.before, self._known
        if begun is None or begun.baselines != self._means:
            return
        values = begun.per_prompt["metric"]
        known.metric = torch.where(values.isnan() | known.same, known.metric, values)
        known.exact |= begun.exact

    def _estimate(self, needed: bool) -> Generator[Any, None, None]:
        """Fill in the estimate of every cell that was not run."""
        grid, known = self.laid.grid, self._known
        try:
            guessed = yield from estimate_steps(self.laid.question, list(grid.edits.values()), self.laid.asked.steps)
        except (BadInput, OutOfMemory, UnsupportedArchitecture) as problem:
            if needed or not self.guess:
                raise
            self._notes += (f"There is no estimate: {problem.message}",)
            return
        before = known.metric.clone()
        known.guess(guessed)
        known.metric = torch.where(known.exact, before, known.metric)

    @property
    def _means(self) -> dict[str, float]:
        """The metric of the unedited runs."""
        assert self._base is not None
        runs = {"clean": self._base.clean, "corrupted": self._base.corrupted}
        return {run: float(metric.mean()) for run, metric in runs.items() if metric is not None}

    def so_far(self, words: str = "cells of a map that is not finished") -> SweepResult:
        """The map with all that is known of it."""
        assert self._base is not None
        question, grid, known, base = self.laid.question, self.laid.grid, self._known, self._base
        floor = max(base.floor, known.account.floor if known.account is not None else 0.0)
        share = recovered(known.metric, base.clean, base.corrupted, floor, question.metric)
        means, whole = self._means, float("nan")
        if base.corrupted is not None and bool(share.mean.isfinite().any()):
            whole = abs(means["clean"] - means["corrupted"])
        return SweepResult(
            provenance=provenance(
                question,
                "edited" if question.edits else question.base,
                words,
                self._started,
                floor=floor,
                notes=(*share_notes(question, base), *known.notes, *self._notes),
                kernel=kernel_words(question),
            ),
            metric=known.metric.mean(0),
            recovered=share.mean,
            stderr=share.stderr.where(known.drawn.isnan(), known.drawn / whole),
            exact=known.exact.clone(),
            same=known.same.clone(),
            site=grid.site,
            axes=grid.axes,
            layers=grid.layers,
            heads=grid.heads,
            positions=grid.positions,
            units=grid.units,
            tokens=grid.tokens,
            source_tokens=_source_tokens(self.laid),
            template=self.laid.template,
            baselines=means,
            metric_name=question.metric,
            base=question.base,
            per_prompt={"metric": known.metric.clone(), "recovered": share.per_prompt},
        )

    @property
    def begun(self) -> bool:
        """Whether there is a cell that was run."""
        return self._base is not None and bool((self._known.exact & ~self._known.same).any())

    def standing(self, result: SweepResult) -> Standing:
        """How the map stands, with what is known of it."""
        lost = _mask((*self._known.refused, *self._known.failed), self.laid.grid.shape)
        return Standing(result, ~self._cells | lost, self.done, self.total)


def _mask(cells: Collection[Index], shape: Sequence[int]) -> torch.Tensor:
    """[layer, ...] bool, True at these cells."""
    found = torch.zeros(tuple(shape), dtype=torch.bool)
    if cells:
        found[tuple(torch.tensor(list(cells)).T)] = True
    return found


def shared_cells(laid: Laid) -> list[Index]:
    """The cells that carry what both prompts have in common; the engine finds the same ones when it runs a map."""
    question, grid, template = laid.question, laid.grid, laid.template
    if not isinstance(template, Patch) or question.edits or question.sequential:
        return []
    if template.source_position is not None or isinstance(template.source, torch.Tensor):
        return []
    source, batch = source_of(template, question.sources()), question.batch(question.base)
    ends = [source.shared(row) for row in range(len(batch))]

    def same(position: int | str | None) -> bool:
        written = source.pairs if position is None else rows_of(batch, position)
        return all(max(own, default=-1) < end for own, end in zip(written, ends, strict=True))

    known = {position: same(position) for position in {grid.position_at(index) for index in grid.edits}}
    return [index for index in grid.edits if known[grid.position_at(index)]]


def _source_tokens(laid: Laid) -> tuple[str, ...]:
    """What stands at the partner of each position in the first prompt that is read; "" where there is none."""
    question, grid = laid.question, laid.grid
    source = question.sources().get("other")
    reads = pairing(laid.template, question.base, question.sources()) is not None if grid.positions else False
    if source is None or not reads:
        return ("",) * len(grid.positions)
    there, pairs = source.batch.prompts[0].strings, source.pairs[0]
    batch = question.batch(question.base)
    partners = (pairs.get(rows_of(batch, position)[0][0]) for position in grid.positions)
    return tuple("" if p is None else there[p] for p in partners)
