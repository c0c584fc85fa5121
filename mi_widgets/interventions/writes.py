"""`Write`: one edit at one site of one prompt, with everything it reads at hand. What every engine carries out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import BadInput
from ..model.access import Key
from ..model.architecture import GLOBAL_SITES, HEAD_SITES
from ..model.batches import Batch
from ..model.handle import Model
from .edits import Edit, several
from .layouts import own, picked, site_axes
from .reading import reader_of
from .sources import Sources


@dataclass(frozen=True, eq=False)
class Write:
    """One edit at one site of one prompt.

    Attributes:
        edit: what to do.
        key: the (site, layer) where.
        positions: base positions in the prompt's own tokens, none of them negative; of pattern, scores and q the
            dest, of k and v the src.
        there: what it reads at those positions, [position, ...site axes] with all heads and units, or what broadcasts
            to that; of scores and pattern [dest, head, src]. None = it reads nothing.
    """

    edit: Edit
    key: Key
    positions: tuple[int, ...]
    there: torch.Tensor | None = None

    def apply(self, here: torch.Tensor) -> torch.Tensor:
        """The value after the edit.

        Args:
            here: [len(positions), ...site axes] of the run just before this edit, all heads and units; of scores and
                pattern [dest, head, src] in the prompt's own tokens.

        Returns:
            The same shape and dtype; it may be `there` itself, so do not write into it. `here` is left as it is.

        Raises:
            BadInput: what is read does not fit, or there is no such unit.
        """
        edit, kind = self.edit, self.key[0]
        heads = None if edit.head is None else several(edit.head)
        units = None if edit.unit is None else several(edit.unit)
        if units is not None and not all(-here.shape[-1] <= u < here.shape[-1] for u in units):
            raise BadInput(f"{kind} has {here.shape[-1]} units, so {units} cannot be edited.", hint="Count from 0.")

        def part(value: torch.Tensor) -> torch.Tensor:
            value = value if heads is None else value[:, heads]
            return value if units is None else value[..., units]

        old = part(here)
        new = edit.value(old, None if self.there is None else part(self._fitting(here))).to(here.dtype)
        if kind == "scores":
            # What is masked is not there to be changed: an edit of scores lets nobody see the future or a pad.
            new = torch.where(torch.isneginf(old), old, new)
        if kind == "pattern":
            src = torch.arange(here.shape[-1], device=here.device)
            dest = torch.tensor(self.positions, device=here.device)
            new = torch.where(src > dest[:, None, None], old, new)
        if heads is None and units is None:
            return new
        whole = here.clone()
        if units is None:
            whole[:, heads] = new
        elif heads is None:
            whole[..., units] = new
        else:
            whole[:, torch.tensor(heads)[:, None], torch.tensor(units)] = new
        return whole

    def into(self, value: torch.Tensor, row: int, pad: int = 0) -> None:
        """Carry it out in place, in one row of a site's value as `access.Visitor` sees it, behind `pad` columns."""
        view = own(self.key[0], value, row, pad)
        at = list(self.positions)
        view[at] = self.apply(view[at])

    def at(self, kept: Sequence[int]) -> Write:
        """The same at some of its positions, given by their places in `positions`."""
        there = self.there
        if there is not None and there.ndim == site_axes(self.key[0]) + 1 and there.shape[0] == len(self.positions):
            there = picked(there, kept)  # otherwise it is the same at every position
        return replace(self, positions=tuple(self.positions[i] for i in kept), there=there)

    def _fitting(self, here: torch.Tensor) -> torch.Tensor:
        assert self.there is not None
        there = self.there.to(here)
        if there.shape == here.shape:
            return there
        try:
            return there.expand(here.shape)
        except RuntimeError:
            raise BadInput(
                f"What {self.edit} reads is {list(there.shape)} at the edited positions, and {self.key[0]} is "
                f"{list(here.shape)} there.",
                hint="Give the whole site, in base positions, as exp.read gives it.",
            ) from None


def keys_of(model: Model, edit: Edit) -> list[Key]:
    """The (site, layer) pairs an edit acts on.

    Raises:
        BadInput: the edit names no site, or a layer that does not exist.
        SiteUnavailable: the model, or a layer asked for by number, does not have the site.
    """
    if edit.site is None:
        raise BadInput(
            f"{type(edit).__name__}() names no site.",
            hint="For example Patch('resid_pre', layer=2, position=10).",
        )
    if edit.site in GLOBAL_SITES:
        model.require(edit.site)
        return [(edit.site, None)]
    if edit.layer is None:
        return [(edit.site, layer) for layer in model.layers_with(edit.site)]
    layers = several(edit.layer)
    for layer in layers:
        model.require(edit.site, layer)
    return [(edit.site, layer) for layer in layers]


def writes_of(model: Model, batch: Batch, edit: Edit, base: str, sources: Sources) -> list[list[Write]]:
    """What an edit does, prompt by prompt.

    Args:
        model: the model.
        batch: the base prompts.
        edit: what to do.
        base: "clean" or "corrupted": which prompt `batch` is.
        sources: the runs that edits may read.

    Returns:
        For each prompt the writes, one for each (site, layer).

    Raises:
        BadInput, PromptMismatch, SiteUnavailable: what is wrong with the edit.
    """
    keys = keys_of(model, edit)
    _require_heads(model, edit)
    reader = reader_of(model, batch, edit, base, sources)
    return [
        [Write(reader.edits[row], key, reader.positions[row], reader.there(key, row)) for key in keys]
        for row in range(len(batch))
    ]


def _require_heads(model: Model, edit: Edit) -> None:
    if edit.head is None:
        return
    assert edit.site is not None
    count = getattr(model, HEAD_SITES[edit.site])
    wrong = [h for h in several(edit.head) if not 0 <= h < count]
    if wrong:
        kind = "key-value heads" if HEAD_SITES[edit.site] == "n_kv_heads" else "heads"
        raise BadInput(
            f"{edit.site} has {count} {kind}, so there is no head {wrong[0]}.", hint=f"Use 0 to {count - 1}."
        )
