"""The one or two runs of a lens, and what their cells are together."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch

from ..interventions.question import Question
from .lens_cells import Cells, Side
from .lens_rows import LensRow
from .lens_spec import LensSpec, runs_of


@dataclass(frozen=True, eq=False)
class LensCells:
    """Numbers of a rectangle of cells, [row, position, ...] on the CPU; each as in `LensResult`."""

    top_ids: torch.Tensor
    probs: torch.Tensor
    logits: torch.Tensor
    bottom_ids: torch.Tensor
    bottom_logits: torch.Tensor
    before: torch.Tensor
    tracked: torch.Tensor
    tracked_probs: torch.Tensor
    measures: dict[str, torch.Tensor]
    changed: torch.Tensor | None


class Reading:
    """The runs of a lens, and what their cells are together."""

    def __init__(self, question: Question, spec: LensSpec, rows: tuple[LensRow, ...]) -> None:
        self.question, self.spec, self.rows = question, spec, rows
        names = runs_of(question, spec.run)
        # An edited run is told beside the unedited base, where the top token is another one.
        self.compared = spec.run == "edited" and bool(question.edits)
        if self.compared:
            names = ("edited", question.base)
        self.sides = [Side(question, name, rows, spec.translators) for name in names]
        self.streams = [i for i, row in enumerate(rows) if row.kind == "stream"]
        self.added = [i for i, row in enumerate(rows) if row.kind == "contribution"]

    def cells(self, columns: tuple[int, ...]) -> Generator[None, None, LensCells]:
        """Some columns of all rows."""
        out = _Blank(len(self.rows), len(columns), self.spec, len(self.sides) > 1 and self.spec.run != "difference")
        if self.streams:
            yield from self._streams(columns, out)
        if self.added:
            yield from self._contributions(columns, out)
        return out.cells()

    def _streams(self, columns: tuple[int, ...], out: _Blank) -> Generator[None, None, None]:
        spec, which = self.spec, self.streams
        rows = [self.rows[i] for i in which]
        count, track = len(rows) * len(columns), len(spec.track)
        picks = torch.tensor([spec.track] * count, dtype=torch.long).reshape(count, -1)
        first = yield from self.sides[0].read(rows, columns, spec.k, spec.measures, picks)
        out.put(which, first, first.picked, first.of(first.picked))
        if len(self.sides) == 1:
            return
        other = self.sides[1]
        picks = torch.cat([picks, first.top_ids], 1)
        if self.compared:
            # Where the streams are the same to the bit nothing else is to be said.
            differ = self._differ(rows, columns)
            before, changed = first.probs.clone(), torch.zeros(count, dtype=torch.bool)
            if bool(differ.any()):
                second = yield from other.read(rows, columns, 1, (), picks[differ], only=differ)
                before[differ] = second.of(second.picked[:, track:])
                changed[differ] = second.top_ids[:, 0] != first.top_ids[differ, 0]
            out.compare(which, before, changed)
            return
        second = yield from other.read(rows, columns, spec.k, spec.measures, picks)
        before = second.of(second.picked[:, track:])
        out.compare(which, before, second.top_ids[:, 0] != first.top_ids[:, 0])
        measures = {name: first.measures[name] - second.measures[name] for name in spec.measures}
        if "prob" in measures:
            measures["prob"] = first.measures["prob"] - before[:, 0]
        out.measure(which, measures)

    def _contributions(self, columns: tuple[int, ...], out: _Blank) -> Generator[None, None, None]:
        spec, which = self.spec, self.added
        rows = [self.rows[i] for i in which]
        count, track = len(rows) * len(columns), len(spec.track)
        picks = torch.tensor([spec.track] * count, dtype=torch.long).reshape(count, -1)
        first = yield from self.sides[0].contributions(rows, columns, spec.k, picks)
        out.put(which, first, first.picked, first.of(first.picked))
        if len(self.sides) > 1:
            picks = torch.cat([picks, first.top_ids], 1)
            second = yield from self.sides[1].contributions(rows, columns, spec.k, picks)
            out.compare(which, second.picked[:, track:], second.top_ids[:, 0] != first.top_ids[:, 0])

    def _differ(self, rows: Sequence[LensRow], columns: tuple[int, ...]) -> torch.Tensor:
        """[cell] bool: the streams of the two runs are not the same."""
        one, other = self.sides
        each = []
        for row in rows:
            a, b = one.stream(row, columns), other.stream(row, columns)[0]
            apart = torch.stack([(x != b).any(-1) for x in a]).any(0)
            each.append(torch.ones_like(apart) if one.rewritten(row) else apart)
        return torch.cat(each).cpu()


class _Blank:
    """Cells that are filled in, rows at a time."""

    def __init__(self, rows: int, columns: int, spec: LensSpec, changes: bool) -> None:
        def nan(*shape: int) -> torch.Tensor:
            return torch.full((rows, columns, *shape), torch.nan, dtype=torch.float32)

        self._shape = (rows, columns)
        self._top_ids = torch.full((rows, columns, spec.k), -1, dtype=torch.long)
        self._bottom_ids = self._top_ids.clone()
        self._probs, self._logits, self._bottom, self._before = (nan(spec.k) for _ in range(4))
        self._tracked, self._tracked_probs = nan(len(spec.track)), nan(len(spec.track))
        self._measures = {name: nan() for name in spec.measures}
        self._changed = torch.zeros(rows, columns, dtype=torch.bool) if changes else None

    def _into(self, target: torch.Tensor, which: list[int], values: torch.Tensor) -> None:
        target[which] = values.reshape(len(which), self._shape[1], *values.shape[1:])

    def put(self, which: list[int], cells: Cells, picked: torch.Tensor, probs: torch.Tensor) -> None:
        """What one run tells of some rows."""
        self._into(self._top_ids, which, cells.top_ids)
        self._into(self._logits, which, cells.top)
        self._into(self._probs, which, cells.probs)
        self._into(self._tracked, which, picked)
        self._into(self._tracked_probs, which, probs)
        if cells.low_ids is not None and cells.low is not None:
            self._into(self._bottom_ids, which, cells.low_ids)
            self._into(self._bottom, which, cells.low)
        self.measure(which, cells.measures)

    def measure(self, which: list[int], measures: dict[str, torch.Tensor]) -> None:
        """Measures of some rows."""
        for name, value in measures.items():
            self._into(self._measures[name], which, value)

    def compare(self, which: list[int], before: torch.Tensor, changed: torch.Tensor) -> None:
        """What the other run has in their place."""
        self._into(self._before, which, before)
        if self._changed is not None:
            self._into(self._changed, which, changed)

    def cells(self) -> LensCells:
        """All of it."""
        return LensCells(
            self._top_ids, self._probs, self._logits, self._bottom_ids, self._bottom, self._before, self._tracked,
            self._tracked_probs, self._measures, self._changed,
        )  # fmt: skip
