"""First-order effects of many edits of the same run: what each changes, times the slope of the metric there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..errors import BadInput, MiWidgetsError
from ..model.access import Key
from ..model.architecture import GLOBAL_SITES, HEAD_SITES
from ..model.batches import Batch
from .attention_edits import Knockout
from .draws import draws_of
from .edit_kinds import Add, Patch, Scale, Zero
from .edits import Edit, several
from .question import Question
from .set_edits import Resample
from .slopes import Slope
from .writes import Write, writes_of

_BY_ELEMENT = (Add, Patch, Scale, Zero)
"""Edits that change each number of a site for itself, so that all cells of a layer can share one difference."""


@dataclass(frozen=True, eq=False)
class _Shared:
    """Cells that are parts of one edit of a whole layer.

    Attributes:
        writes: for each prompt what the whole edit writes.
        cells: number of each cell, and its edit.
    """

    writes: Sequence[Write]
    cells: list[tuple[int, Edit]]


@dataclass(frozen=True, eq=False)
class _Single:
    """One run of a cell.

    Attributes:
        cell: its number.
        share: 1 / how many draws the cell has.
        writes: for each prompt what it writes.
    """

    cell: int
    share: float
    writes: Sequence[Sequence[Write]]


@dataclass(frozen=True, eq=False)
class Plan:
    """What all cells write, in every prompt.

    Attributes:
        batch: the base prompts.
        count: how many cells there are.
        shared, single: the cells, by how they are reckoned.
    """

    batch: Batch
    count: int
    shared: list[_Shared] = field(default_factory=list)
    single: list[_Single] = field(default_factory=list)

    @classmethod
    def of(cls, question: Question, cells: Sequence[Edit]) -> Plan:
        """Resolve the edits of all cells.

        Raises:
            BadInput, PromptMismatch, SiteUnavailable: what is wrong with an edit.
        """
        batch, sources = question.batch(question.base), question.sources()

        def resolved(edit: Edit) -> list[list[Write]]:
            return writes_of(question.model, batch, edit, question.base, sources)

        plan = cls(batch, len(cells))
        wholes: dict[tuple[Any, ...], _Shared | None] = {}
        for cell, edit in enumerate(cells):
            if _by_element(edit):
                what = _but_for_its_part(edit)
                if what not in wholes:
                    wholes[what] = plan._share(resolved, edit.on(head=None, position=None, unit=None))
                shared = wholes[what]
                if shared is not None and _inside(edit, shared.writes, batch, question.model):
                    shared.cells.append((cell, edit))
                    continue
            draws = draws_of((edit,), question.count) if isinstance(edit, Resample) else [(edit,)]
            plan.single.extend(_Single(cell, 1 / len(draws), resolved(one)) for (one,) in draws)
        return plan

    def _share(self, resolved: Any, whole: Edit) -> _Shared | None:
        """The edit of a whole layer, or None where only parts of it can be carried out."""
        try:
            shared = _Shared([writes[0] for writes in resolved(whole)], [])
        except MiWidgetsError:
            return None
        self.shared.append(shared)
        return shared

    @property
    def keys(self) -> list[Key]:
        """The sites whose slopes are needed."""
        writes = [shared.writes[0] for shared in self.shared if shared.cells]
        writes += [write for single in self.single for write in single.writes[0]]
        return list(dict.fromkeys(slope_key(write) for write in writes))

    def effects(self, slope: Slope) -> torch.Tensor:
        """What each cell adds to a prompt's metric, to first order: [cell] float32 on the CPU."""
        found = np.zeros(self.count)
        for shared in self.shared:
            if shared.cells:
                parts = _Parts(shared.writes[slope.row], slope)
                for cell, edit in shared.cells:
                    found[cell] = parts.of(edit, self.batch, slope.row)
        for single in self.single:
            for write in single.writes[slope.row]:
                found[single.cell] += single.share * float(_products(write, slope).sum())
        return torch.from_numpy(found).float()


def _by_element(edit: Edit) -> bool:
    one_layer = isinstance(edit.layer, int) or edit.site in GLOBAL_SITES
    elsewhere = isinstance(edit, Patch) and edit.source_position is not None
    return type(edit) in _BY_ELEMENT and one_layer and not elsewhere


def _but_for_its_part(edit: Edit) -> tuple[Any, ...]:
    """What tells an edit of a layer from another; a tensor by which it is, so that nothing is compared per neuron."""
    values = ((name, value) for name, value in vars(edit).items() if name not in ("head", "position", "unit"))
    return type(edit), *((name, id(v) if isinstance(v, torch.Tensor) else v) for name, v in values)


def _inside(edit: Edit, writes: Sequence[Write], batch: Batch, model: Any) -> bool:
    """Whether an edit is part of what the whole writes; where it is not, carrying it out says what is wrong."""
    if edit.head is not None:
        count = getattr(model, HEAD_SITES[str(edit.site)])
        if not all(0 <= h < count for h in several(edit.head)):
            return False
    if edit.position is None:
        return True
    return all(set(_positions(edit, batch, row)) <= set(write.positions) for row, write in enumerate(writes))


def _positions(edit: Edit, batch: Batch, row: int) -> list[int]:
    return [batch.column(row, p) - batch.pads[row] for p in several(edit.position)]


def slope_key(write: Write) -> Key:
    """The site at which a write's change is small: of a cut edge the weights, since its score becomes -inf."""
    return ("pattern", write.key[1]) if isinstance(write.edit, Knockout) else write.key


def _products(write: Write, slope: Slope) -> torch.Tensor:
    """Change times slope, [len(positions), ...site axes] in float32 or wider."""
    key, at = slope_key(write), list(write.positions)
    here, by = slope.values[key][at], slope.slopes[key][at]
    new = _cut(write, here) if isinstance(write.edit, Knockout) else write.apply(here)
    wide = torch.promote_types(here.dtype, torch.float32)
    change = new.to(wide) - here.to(wide)
    # What is masked stays masked, and -inf less -inf is no number.
    return torch.where(torch.isneginf(here), 0.0, change) * by.to(wide)


def _cut(write: Write, pattern: torch.Tensor) -> torch.Tensor:
    """Weights [dest, head, src] without the edges that are cut, the rest as large as the softmax then makes them.

    NaN in a row whose last source is cut.
    """
    cut = torch.isneginf(write.apply(torch.zeros_like(pattern)))
    kept = pattern.masked_fill(cut, 0)
    lost = (pattern - kept).sum(-1, keepdim=True)
    whole = kept / (1 - lost).clamp(min=torch.finfo(pattern.dtype).tiny)
    return whole.masked_fill(~kept.any(-1, keepdim=True), torch.nan)


class _Parts:
    """Sums over parts of one layer's products, each axis that a cell takes whole summed once."""

    def __init__(self, write: Write, slope: Slope) -> None:
        products = _products(write, slope)
        length = len(slope.values[write.key])
        whole = products.new_zeros(length, *products.shape[1:])
        whole[list(write.positions)] = products
        self._whole: np.ndarray[Any, Any] = whole.cpu().numpy()
        self._sums: dict[tuple[bool, bool, bool], np.ndarray[Any, Any]] = {}

    def of(self, edit: Edit, batch: Batch, row: int) -> float:
        """The sum over an edit's positions, heads and units.

        Raises:
            BadInput: there is no such unit.
        """
        which = (edit.position is None, edit.head is None, edit.unit is None)
        part = self._sums.get(which)
        if part is None:
            axes = (0, *((1,) if self._whole.ndim == 3 else ()), -1)
            summed = tuple(a for a in axes if which[{0: 0, 1: 1, -1: 2}[a]])
            part = self._sums[which] = self._whole.sum(axis=summed, keepdims=True)
        if edit.position is not None:
            part = part[_positions(edit, batch, row)]
        if edit.head is not None:
            part = part[:, several(edit.head)]
        if edit.unit is not None:
            width, units = part.shape[-1], several(edit.unit)
            if not all(-width <= u < width for u in units):
                raise BadInput(f"{edit.site} has {width} units, so {units} cannot be edited.", hint="Count from 0.")
            part = part[..., units]
        return float(part.sum())
