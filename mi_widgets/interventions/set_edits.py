"""The edits that read a whole set of prompts: its mean, or one of it at a time."""

from __future__ import annotations

import random
from typing import Any

import torch

from ..errors import BadInput
from ..model.numbers import whole
from ..results import storable
from .edit_kinds import Patch, Readable, read_source
from .edits import Edit
from .kept import REQUIRED, Kept, frozen
from .layouts import SQUARE
from .prompts import Prompt, prompts_of, shown

POOLS = ("position", "all")

ENOUGH = 8
"""Prompts of a base from which on `Mean()` is their mean."""


@storable
@frozen()
class Mean(Edit):
    """Replace a value by its mean over unedited runs (mean ablation; over other prompts in Wang et al. 2022).

    Attributes:
        over: the runs: "clean", "corrupted", "other"; a prompt or several (a list, a column of a frame); a tensor that
            is the mean, [...site axes] or [position, ...site axes], or runs in front of that, [run, position, ...site
            axes]. None = the base's own prompts; when those are fewer than 8, each prompt's own non-special positions.
        pool: "position" = each position's own mean, over runs as long as the base, or over the experiment's own prompts
            at named positions; "all" = one mean over all non-special positions of all runs, for every position.

    Queries and keys have no mean over positions (their rotations average out), scores and pattern none either.

    Example:
        >>> str(Mean("z", 1, head=2, over="corrupted"))
        'mean L1H2.z over corrupted'
    """

    over: Kept[Readable] = Kept(read_source)
    pool: str = "position"

    def check(self) -> None:
        """The site has a mean of this kind."""
        if self.pool not in POOLS:
            raise BadInput(f"pool is 'position' or 'all', not {self.pool!r}.", hint="See mi.Mean.")
        if self.pool == "all" and self.site in ("q", "k", *SQUARE):
            why = "rotations average out" if self.site in ("q", "k") else "each position sees other sources"
            raise BadInput(f"{self.site} has no mean over positions: {why}.", hint="Use pool='position'.")

    def own(self, prompts: int) -> bool:
        """Whether this is, for a base of so many prompts, the mean over each prompt's own positions."""
        return self.over is None and prompts < ENOUGH

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """The mean."""
        assert source is not None
        return source.expand(x.shape)

    @property
    def overwrites(self) -> bool:
        """Nothing is left of what was there before."""
        return True

    def words(self, prompts: int) -> str:
        """The edit as a chip reads, where the number of prompts decides what is averaged."""
        if self.over is not None:
            return str(self)
        return f"mean {self.where} over " + ("its own positions" if self.own(prompts) else f"the {prompts} prompts")

    def __str__(self) -> str:
        over = "" if self.over is None else f" over {shown(self.over)}"
        return f"mean {self.where}{over}{', all positions' * (self.pool == 'all')}"


def _donors(name: str, given: Any) -> tuple[Prompt, ...]:
    prompts: Any = prompts_of(name, given, ())
    if isinstance(prompts, torch.Tensor):
        raise BadInput(f"{name} are texts or token ids, not a tensor.", hint="Write prompts=['...', '...'].")
    one = isinstance(prompts, str) or all(isinstance(p, int) for p in prompts)
    return (prompts,) if one else prompts


@storable
@frozen()
class Resample(Edit):
    """Replace a value by that of prompts drawn from a list: the metric is the mean over the draws.

    A draw is a whole run: all sites of one edit are read from the same donor prompt, and edits with the same prompts
    and seed draw the same ones. No donor comes again before all others have come.

    Attributes:
        prompts: the donors, as long as the base or paired with it by the experiment's `align`.
        n: draws per prompt.
        seed: of the draws.

    Example:
        >>> str(Resample("z", 1, prompts=["Anna went to the", "Tom ran to the"], n=4))
        'resample L1.z from 2 prompts, 4 draws'
    """

    prompts: Kept[tuple[Prompt, ...]] = Kept(_donors, default=REQUIRED)
    n: int = 8
    seed: int = 0

    def check(self) -> None:
        """The draws can be counted."""
        count, start = whole(self.n), whole(self.seed)
        if count is None or count < 1 or start is None:
            raise BadInput(
                f"n and seed are whole numbers, n at least 1; not {self.n!r} and {self.seed!r}.", hint="n=8, seed=0."
            )
        self._keep(n=count, seed=start)

    def draws(self, prompts: int) -> tuple[Patch, ...]:
        """The n patches this stands for, each from one donor for each prompt of the base."""
        dice = random.Random(self.seed)
        chosen: list[list[Prompt]] = []
        for _ in range(prompts):
            row: list[Prompt] = []
            while len(row) < self.n:
                row += dice.sample(self.prompts, len(self.prompts))
            chosen.append(row)
        place = (self.site, self.layer, self.head, self.position, self.unit)
        return tuple(Patch(*place, source=tuple(row[i] for row in chosen)) for i in range(self.n))

    @property
    def overwrites(self) -> bool:
        """Nothing is left of what was there before."""
        return True

    def __str__(self) -> str:
        count = len(self.prompts)
        return f"resample {self.where} from {count} prompt{'s' * (count > 1)}, {self.n} draw{'s' * (self.n > 1)}"
