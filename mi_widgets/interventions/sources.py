"""The unedited runs that edits read, and which position of theirs stands for which position of the base."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ..errors import BadInput
from ..model.access import Key
from ..model.alignment import source_positions
from ..model.batches import Batch
from ..model.handle import Model
from .capture import Captures

Align = str | Mapping[int, int] | None
"""How positions of two prompts pair; see `alignment.source_positions`."""


@dataclass(frozen=True, eq=False)
class Source:
    """One unedited run that edits read from.

    Attributes:
        name: what people read: "clean", "corrupted" or "other prompt".
        batch: its prompts: one for each row of the base, or one for all of them.
        base: the prompts that are edited.
        align: how their positions pair.
        read: gives the values of sites in that run.
        first: its row for the first row of the base.
    """

    name: str
    batch: Batch
    base: Batch
    align: Align
    read: Callable[[Sequence[Key]], dict[Key, torch.Tensor]]
    first: int = 0

    @cached_property
    def pairs(self) -> tuple[Mapping[int, int], ...]:
        """For each row of the base {base position: source position}; found when first asked for.

        Raises:
            PromptMismatch: the prompts differ in length and no alignment was given.
        """
        if self.batch is self.base:
            return tuple({i: i for i in range(n)} for n in self.batch.lengths)
        return tuple(
            source_positions(base, self.batch.prompts[self.row(i)], self.align)
            for i, base in enumerate(self.base.prompts)
        )

    def row(self, row: int) -> int:
        """The row of this run that belongs to a row of the base."""
        return 0 if len(self.batch) == 1 else self.first + row

    def shared(self, row: int) -> int:
        """How many tokens a row of the base and its partner have in common at their beginning, paired as they stand."""
        base, other, pairs = self.base.prompts[row].ids, self.batch.prompts[self.row(row)].ids, self.pairs[row]
        shared = 0
        while shared < min(len(base), len(other)) and base[shared] == other[shared] and pairs.get(shared) == shared:
            shared += 1
        return shared


class Sources:
    """All unedited runs that the edits of one question may read; each is run when first asked for.

    Args:
        model: who is run.
        base: name of the run that is edited.
        batches: {"clean": prompts, "corrupted": prompts}, those there are.
        align: how positions pair.
        captures: cache of the runs.
        bos: how other prompts are tokenised; see `Model.tokens`.
        among: the prompts that the edits were made for, where `batches` is one of them; None = those of `batches`.
        first: which of them the first prompt of the base is.
    """

    def __init__(
        self,
        model: Model,
        base: str,
        batches: Mapping[str, Batch],
        align: Align,
        captures: Captures,
        bos: bool | None = None,
        *,
        among: Mapping[str, Batch] | None = None,
        first: int = 0,
    ) -> None:
        self.model, self.base, self.batches, self.align, self.bos = model, base, batches, align, bos
        self.captures = captures
        self.among, self.first = batches if among is None else among, first
        self._sources: dict[Any, Source] = {}
        self._batches: dict[Any, Batch] = {}

    @property
    def count(self) -> int:
        """How many prompts the edits were made for."""
        return len(self.among[self.base])

    def number(self, row: int) -> int:
        """Which of them a row of the base is."""
        return self.first + row

    def get(self, name: str) -> Source | None:
        """The clean or the corrupted run by its name, "other" for the one that is not the base; None: there is none."""
        name = self._name(name)
        if name not in self._sources and name in self.batches:
            self._sources[name] = self._source(name, self.batches[name])
        return self._sources.get(name)

    def of(self, prompts: Any) -> Source:
        """The run of other prompts, given as an edit keeps them (see `edits.prompts_of`).

        Raises:
            BadInput: neither one prompt nor as many as the base has.
        """
        if prompts not in self._sources:
            batch, count = self.batch_of(prompts), self.count
            if len(batch) not in (1, count):
                raise BadInput(
                    f"The source has {len(batch)} prompts, and the base has {count}.",
                    hint="Give one for all, or one for each.",
                )
            self._sources[prompts] = self._source("other prompt", batch, self.first)
        return self._sources[prompts]

    def batch_of(self, prompts: Any) -> Batch:
        """All prompts of a named run, or other prompts side by side, tokenised once.

        Raises:
            BadInput: a prompt that cannot be tokenised, or a named run that is not there.
        """
        if prompts in ("clean", "corrupted", "other"):
            name = self._name(prompts)
            if name not in self.among:
                raise BadInput(f"There is no {prompts} prompt.", hint="Give the experiment a corrupted prompt.")
            return self.among[name]
        if prompts not in self._batches:
            one = isinstance(prompts, str) or all(isinstance(p, int) for p in prompts)
            tokens = [self.model.tokens(p, self.bos) for p in ((prompts,) if one else prompts)]
            self._batches[prompts] = Batch.of(tokens, self.model.text.pad_id)
        return self._batches[prompts]

    def read(self, batch: Batch, keys: Sequence[Key]) -> dict[Key, torch.Tensor]:
        """Sites of the unedited run of any prompts."""
        return self.captures.get(self.model, batch, keys)

    def derived(self, name: Hashable, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """A number made of captured values, kept beside them until the user's model changes."""
        return self.captures.held((self.model.generation, name), make)

    def _name(self, name: str) -> str:
        """A named run, "other" by its own name."""
        return ("clean" if self.base == "corrupted" else "corrupted") if name == "other" else name

    def _source(self, name: str, batch: Batch, first: int = 0) -> Source:
        return Source(name, batch, self.batches[self.base], self.align, lambda keys: self.read(batch, keys), first)
