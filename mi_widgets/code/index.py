"""Which cells of a site an edit writes and reads, as the index that stands in the script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

Row = tuple[int, ...]
"""Places along one axis."""

LINES = 3
"""Lines for one edit, where its positions are not side by side; of more a list is written."""


@dataclass(frozen=True)
class Axis:
    """One axis of an index.

    Attributes:
        values: which; None = all.
        name: a variable that holds them, where they differ between prompts or draws.
        fixed: written as a list also where it is one, so that the axis stays.
        broken: written as a list also where it is neighbours, so that it pairs with another list.
    """

    values: tuple[int, ...] | None = None
    name: str | None = None
    fixed: bool = False
    broken: bool = False

    @property
    def one(self) -> bool:
        """A single place, whose axis falls away."""
        return self.values is not None and len(self.values) == 1 and not self.fixed

    @property
    def neighbours(self) -> bool:
        """Places side by side, which a slice says."""
        v = self.values
        return v is not None and v[0] >= 0 and neighbours(v) and not self.broken

    @property
    def listed(self) -> bool:
        """It is written as a list."""
        if self.values is None or self.one:
            return False
        return self.name is not None or not self.neighbours

    def text(self) -> str:
        """As it stands in an index by itself."""
        if self.values is None:
            return ":"
        if self.name is not None:
            return self.name
        if self.one:
            return str(self.values[0])
        if self.neighbours:
            return f"{self.values[0]}:{self.values[-1] + 1}"
        return f"[{', '.join(map(str, self.values))}]"

    def mesh(self, depth: int) -> str:
        """As it stands in an index with other lists: each place in so many brackets."""
        if self.name is not None:
            return self.name
        items = ("[" * depth + str(v) + "]" * depth for v in self.values or ())
        return f"[{', '.join(items)}]"


@dataclass(frozen=True)
class Index:
    """The axes of an index, in the order of the site."""

    axes: tuple[Axis, ...]

    @property
    def meshed(self) -> bool:
        """Lists on several axes would be paired place by place: they are written as a mesh instead.

        So is a list behind a single place and all of an axis between them, which PyTorch would put in front.
        """
        lists = [i for i, axis in enumerate(self.axes) if axis.listed]
        if len(lists) != 1:
            return len(lists) > 1
        before = self.axes[: lists[0]]
        singles = [i for i, axis in enumerate(before) if axis.one]
        return bool(singles) and not all(axis.one for axis in before[singles[0] :])

    def filled(self, sizes: Sequence[int | None]) -> Index:
        """The same with every place of an axis written out that lies between others of a mesh."""
        if not self.meshed:
            return self
        chosen = [i for i, axis in enumerate(self.axes) if axis.values is not None]
        axes = list(self.axes)
        for i in range(chosen[0], chosen[-1]):
            size = sizes[i]
            if axes[i].values is None and size is not None:
                axes[i] = Axis(tuple(range(size)))
        return Index(tuple(axes))

    def depth(self, place: int) -> int:
        """Brackets round each place of an axis of a mesh."""
        last = max(i for i, axis in enumerate(self.axes) if axis.values is not None)
        return last - place

    def text(self) -> str:
        """What stands between the brackets."""
        last = max((i for i, axis in enumerate(self.axes) if axis.values is not None), default=0)
        axes = self.axes[: last + 1]
        if self.meshed:
            return ", ".join(a.text() if a.values is None else a.mesh(self.depth(i)) for i, a in enumerate(axes))
        return ", ".join(axis.text() for axis in axes) or ":"

    def shaped(self, value: torch.Tensor) -> torch.Tensor:
        """What is put there, [every axis], as it is broadcast to what the index picks.

        Axes along which nothing changes are kept once; those of single places fall away.
        """
        for i in range(value.ndim):
            if value.shape[i] > 1 and bool((value == value.narrow(i, 0, 1)).all()):
                value = value.narrow(i, 0, 1)
        if not self.meshed:
            for i in reversed(range(len(self.axes))):
                if self.axes[i].one:
                    value = value.squeeze(i)
        while value.ndim > 1 and value.shape[0] == 1:
            value = value[0]
        return value


def neighbours(row: Row) -> bool:
    """Places side by side."""
    return list(row) == list(range(row[0], row[0] + len(row)))


def runs_of_pairs(here: Row, there: Row) -> list[tuple[Row, Row]]:
    """Positions and their partners, cut where either makes a leap; whole where that would be many lines."""
    cuts = [i for i in range(1, len(here)) if here[i] != here[i - 1] + 1 or there[i] != there[i - 1] + 1]
    if len(cuts) >= LINES or here == there:
        return [(here, there)]
    ends = [*cuts, len(here)]
    return [(here[i:j], there[i:j]) for i, j in zip([0, *cuts], ends, strict=True)]


def runs_of(values: Row) -> list[str]:
    """Places as the indices of as few lines as there are runs of neighbours."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}:{run[-1] + 1}" for run in runs]


def with_src(here: Index, src: str) -> str:
    """The index of a row of scores and some of its sources."""
    axes = [axis.text() for axis in here.axes]
    return f"{here.text()}, {src}" if here.meshed else ", ".join([*axes, src])
