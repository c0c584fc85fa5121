"""Edited runs laid out prompt by prompt: what each writes, before anybody decides how to run it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..model.access import Key
from .draws import draws_of
from .edit_kinds import Reading
from .edits import Edit
from .question import Question
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
    """

    run: int
    prompt: int
    own: tuple[Write, ...]
    live: tuple[Write, ...] = ()

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
        draws = draws_of(question.edits, len(question.clean))
        # Drawn edits differ from draw to draw, so that no one base run holds them.
        self.drawn = len(draws) > 1
        self.live = [()] * len(question.clean) if self.drawn else self._writes(draws[0])

    def __iter__(self) -> Iterator[tuple[int, list[Planned]]]:
        """Each run's number and its parts, one for each prompt and draw."""
        self._read_ahead()
        under = self.question.edits if self.drawn else ()
        for run, edits in enumerate(self.runs):
            parts = []
            for draw in draws_of((*under, *edits), len(self.question.clean)):
                own = self._writes(draw)
                parts += [Planned(run, p, own[p], self.live[p]) for p in range(len(self.question.clean))]
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
