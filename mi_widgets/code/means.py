"""The means that edits put in the place of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ..interventions.edits import several
from ..interventions.question import Question
from ..interventions.set_edits import Mean
from ..model.access import Key
from ..model.batches import END, Batch
from .runs import Runs, names_of
from .text import Varying, assigned

Row = tuple[int, ...]


@dataclass(frozen=True)
class Found:
    """A mean of a script.

    Attributes:
        name: the variable that holds it, {site: value}.
        by_position: it has a value for every position.
        parts: otherwise the variables and the positions that each stands at.
    """

    name: str
    by_position: bool
    parts: tuple[tuple[str, Varying[Row]], ...] = ()


@dataclass
class Means:
    """The means of a script.

    Attributes:
        once: lines that take those over a set of prompts.
        each: lines that take those over a prompt's own positions.
        helpers: names of the functions that take them.
    """

    question: Question
    runs: Runs
    once: list[str] = field(default_factory=list)
    each: list[str] = field(default_factory=list)
    helpers: set[str] = field(default_factory=set)

    def of(self, edit: Mean, mark: str, keys: Sequence[Key], positions: Varying[Row]) -> Found:
        """Take a mean of unedited runs, as `means.mean_at` does.

        Args:
            edit: over which runs; not a tensor.
            mark: tells edits apart.
            keys: the sites.
            positions: where it is put.
        """
        question, sources = self.question, self.question.sources()
        name, names = f"average{mark}", f"[{names_of(keys)}]"
        if edit.own(question.count):
            self.helpers.add("mean_over")
            kept = [_ordinary(question.batch(question.base), row) for row in range(question.count)]
            base, select = self.runs.ids(question.base), "" if question.count == 1 else "[p]"
            self.each.append(assigned(f"kept{mark}", kept[0] if question.count == 1 else kept, after=select))
            self.each.append(f"{name} = mean_over([{base}], [kept{mark}], {names})")
            return Found(name, False, ((name, positions),))
        over = question.base if edit.over is None else edit.over
        assert not isinstance(over, torch.Tensor)
        batch = sources.batch_of(over)
        prompts = self._prompts(over, batch, mark)
        if edit.pool == "all":
            self._over(name, prompts, [_ordinary(batch, row) for row in range(len(batch))], names)
            return Found(name, False, ((name, positions),))
        named = several(edit.position)
        places = [[batch.column(row, n) - batch.pads[row] for n in named] for row in range(len(batch))] if _has(
            named, batch
        ) else []  # fmt: skip
        if any(tuple(row) != positions.first for row in places) or (places and not positions.same):
            parts: list[tuple[str, Varying[Row]]] = []
            for i in range(len(named)):
                part = name if len(named) == 1 else f"{name}_{i + 1}"
                self._over(part, prompts, [[row[i]] for row in places], names)
                parts.append((part, _column(positions, i)))
            return Found(name, False, tuple(parts))
        self.helpers.add("mean_by_position")
        self.once.append(f"{name} = mean_by_position({prompts}, {names})")
        return Found(name, True)

    def _over(self, name: str, prompts: str, kept: list[list[int]], names: str) -> None:
        self.helpers.add("mean_over")
        self.once.append(assigned(f"kept_of_{name}", kept))
        self.once.append(f"{name} = mean_over({prompts}, kept_of_{name}, {names})")

    def _prompts(self, over: object, batch: Batch, mark: str) -> str:
        """The list of the prompts that are averaged."""
        question = self.question
        for run in question.unedited:
            if question.batch(run).key == batch.key:
                return f"[{run}]" if question.count == 1 else run
        self.runs.define(f"averaged{mark}", batch.prompts, "Prompts whose mean is taken")
        return f"averaged{mark}"


def _column(positions: Varying[Row], place: int) -> Varying[Row]:
    """One of several positions, everywhere."""
    return Varying(tuple(tuple((at[place],) for at in row) for row in positions.values))


def _ordinary(batch: Batch, row: int) -> list[int]:
    """Positions of tokens that are not special."""
    tokens = batch.prompts[row]
    return [p for p in tokens.positions if p not in tokens.special]


def _has(names: Sequence[int | str], runs: Batch) -> bool:
    """Every edited position has a name that each run has a position of its own for."""
    return bool(names) and all(name == END or name in runs.names for name in names)
