"""Edited runs laid out prompt by prompt: what each writes, before anybody decides how to run it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..model.access import Key
from .draws import draws_of
from .edit_kinds import Patch, Reading
from .edits import Edit
from .question import Question
from .reading import source_of
from .writes import Write, keys_of, writes_of

Edits = tuple[Edit, ...]


@dataclass(frozen=True, eq=False)
class Planned:
    """One run of one prompt.

    Attributes:
        run: number of the edited run it belongs to; a run has one of these for each prompt and draw.
        prompt: number of the prompt.
        own: what it writes and the base run does not.
        live: what the base run writes too; it comes first where both write.
        same: it has nothing to write, since the prompts are the same up to there.
    """

    run: int
    prompt: int
    own: tuple[Write, ...]
    live: tuple[Write, ...] = ()
    same: bool = False

    @property
    def writes(self) -> tuple[Write, ...]:
        """Everything it writes, in list order."""
        return self.live + self.own


class Plan:
    """Lays out edited runs of a question one by one, so that the writes of a large map are never all held at once.

    Args:
        question: what is asked; its own edits are under all runs.
        runs: for each run what it changes beside them.
    """

    def __init__(self, question: Question, runs: Sequence[Edits]) -> None:
        self.question, self.runs = question, runs
        self.sources = question.sources()
        draws = draws_of(question.edits, question.count)
        # Drawn edits differ from draw to draw, so that no one base run holds them.
        self.drawn = len(draws) > 1
        self.live = [()] * len(question.clean) if self.drawn else self._writes(draws[0])

    def __iter__(self) -> Iterator[tuple[int, list[Planned]]]:
        """Each run's number and its parts, one for each prompt and draw."""
        self._read_ahead()
        under = self.question.edits if self.drawn else ()
        for run, edits in enumerate(self.runs):
            parts = []
            for draw in draws_of((*under, *edits), self.question.count):
                own = self._differing(draw, self._writes(draw))
                parts += [
                    Planned(run, p, own[p], self.live[p], same=bool(draw) and not own[p])
                    for p in range(len(self.question.clean))
                ]
            yield run, parts

    def _writes(self, edits: Sequence[Edit]) -> list[tuple[Write, ...]]:
        """For each prompt what some edits write, in list order."""
        question = self.question
        by_row: list[list[Write]] = [[] for _ in range(len(question.clean))]
        for edit in edits:
            batch = question.batch(question.base)
            for row, writes in enumerate(writes_of(question.model, batch, edit, question.base, self.sources)):
                by_row[row] += writes
        return [tuple(writes) for writes in by_row]

    def _differing(self, edits: Sequence[Edit], by_row: list[tuple[Write, ...]]) -> list[tuple[Write, ...]]:
        """The writes without those positions at which a patch puts back what is there.

        Only where nothing else is edited, positions are not moved, and the prompts have the same tokens up to there.
        """
        if any(self.live) or len(edits) != 1 or not isinstance(edits[0], Patch) or edits[0].source_position is not None:
            return by_row
        source = edits[0].source
        if isinstance(source, torch.Tensor):
            return by_row
        there = source_of(edits[0], self.sources)
        found = []
        for row, writes in enumerate(by_row):
            shared = there.shared(row)
            kept = [(w, [i for i, p in enumerate(w.positions) if p >= shared]) for w in writes]
            found.append(tuple(w if len(k) == len(w.positions) else w.at(k) for w, k in kept if k))
        return found

    def _read_ahead(self) -> None:
        """Read a map's sites in one pass; one by one, each layer would cost a pass of its own."""
        wanted: dict[str, dict[Key, None]] = {}
        for edits in self.runs:
            for edit in edits:
                if isinstance(edit, Reading) and isinstance(edit.source, str) and edit.site is not None:
                    wanted.setdefault(edit.source, {}).update(dict.fromkeys(keys_of(self.question.model, edit)))
        for name, keys in wanted.items():
            source = self.sources.get(name)
            if source is not None and len(keys) > 1:
                self.question.captures.get(self.question.model, source.batch, keys)
