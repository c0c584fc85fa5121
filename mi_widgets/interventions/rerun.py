"""Edits to one run, the plain and obviously right way: one full forward pass with hooks. Oracle of every fast path."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from ..errors import BadInput, EditNeverFired, NotFinite, PromptMismatch
from ..model.access import Key, Visitor
from ..model.architecture import GLOBAL_SITES, HEAD_SITES
from ..model.handle import Model
from ..model.tokens import Batch, source_positions
from .capture import capture
from .edits import Edit, Index, Patch


@dataclass(frozen=True)
class Source:
    """An unedited run that edits read from.

    Attributes:
        name: "clean" or "corrupted".
        batch: its prompts, one per row of the base.
        base: the prompts that are edited.
        align: how their positions pair; see `tokens.source_positions`.
        read: gives the values of sites in that run.
    """

    name: str
    batch: Batch
    base: Batch
    align: str | Mapping[int, int] | None
    read: Callable[[Sequence[Key]], dict[Key, torch.Tensor]]

    @cached_property
    def pairs(self) -> tuple[Mapping[int, int], ...]:
        """For each row {base position: source position}; found when first asked for.

        Raises:
            PromptMismatch: the prompts differ in length and no alignment was given.
        """
        if self.batch is self.base:
            return tuple({i: i for i in range(n)} for n in self.batch.lengths)
        rows = zip(self.base.prompts, self.batch.prompts, strict=True)
        return tuple(source_positions(base, source, self.align) for base, source in rows)


Sources = Mapping[str, Source]


def _several(index: Index, count: int) -> list[int]:
    if index is None:
        return list(range(count))
    return [index] if isinstance(index, int) else list(index)


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
    layers = _several(edit.layer, model.n_layers)
    for layer in layers:
        model.require(edit.site, layer)
    return [(edit.site, layer) for layer in layers]


def _heads(model: Model, edit: Edit) -> list[int] | None:
    if edit.head is None or edit.site not in HEAD_SITES:
        return None
    count = getattr(model, HEAD_SITES[edit.site])
    heads = _several(edit.head, count)
    wrong = [h for h in heads if not 0 <= h < count]
    if wrong:
        kind = "key-value heads" if HEAD_SITES[edit.site] == "n_kv_heads" else "heads"
        raise BadInput(
            f"{edit.site} has {count} {kind}, so there is no head {wrong[0]}.", hint=f"Use 0 to {count - 1}."
        )
    return heads


def _rows_first(kind: str, value: torch.Tensor) -> torch.Tensor:
    """A view with axes [row, position, (head,) last]; a pattern's position is its dest."""
    return value.transpose(1, 2) if kind in ("pattern", "scores") else value


@dataclass(frozen=True)
class _Place:
    """Where one edit acts in one row, as columns of the base and of the source batch.

    Attributes:
        columns, source_columns: pairs; there are no source columns without a source.
        moves: some value is carried to another position, counted in the prompts' own tokens.
    """

    columns: list[int]
    source_columns: list[int]
    moves: bool = False


def _places(edit: Edit, batch: Batch, source: Source | None) -> list[_Place]:
    places = []
    for row in range(len(batch)):
        length = batch.lengths[row]
        if edit.position is None:
            positions = sorted(source.pairs[row]) if source is not None else list(range(length))
        else:
            positions = [batch.column(row, p) - batch.pads[row] for p in _several(edit.position, length)]
        there: list[int] = []
        if source is not None and isinstance(edit, Patch):
            if edit.source_position is not None:
                there = [source.batch.column(row, p) for p in _several(edit.source_position, length)]
            else:
                lost = [p for p in positions if p not in source.pairs[row]]
                if lost:
                    raise PromptMismatch(
                        f"Position {lost[0]} of the base prompt has no partner in the {source.name} prompt.",
                        hint="Give source_position, or another alignment.",
                    )
                there = [source.batch.column(row, source.pairs[row][p]) for p in positions]
        moves = source is not None and [c - source.batch.pads[row] for c in there] != positions
        places.append(_Place([batch.pads[row] + p for p in positions], there, moves))
    return places


def _given(edit: Patch, kind: str, batch: Batch, row: int, columns: list[int]) -> torch.Tensor:
    """Rows of a source tensor given by the user, in base positions: [position, ...] or [prompt, position, ...]."""
    tensor = edit.source
    axes = 3 if kind in HEAD_SITES else 2
    if tensor.ndim == axes + 1:
        if tensor.shape[0] != len(batch):
            raise BadInput(
                f"The source tensor holds {tensor.shape[0]} prompts, the base has {len(batch)}.",
                hint="Give one for each.",
            )
        tensor = tensor[row]
    if tensor.ndim != axes:
        raise BadInput(
            f"A source tensor for {kind} has {axes} axes (and a prompt axis in front, if any), not {edit.source.ndim}.",
            hint="In front comes the position, then the site's own axes, as exp.read gives them.",
        )
    tensor = _rows_first(kind, tensor[None])[0]
    if tensor.shape[0] != batch.lengths[row]:
        raise BadInput(
            f"The source tensor has {tensor.shape[0]} positions, prompt {row} has {batch.lengths[row]}.",
            hint="Give one row for every position of the base prompt.",
        )
    return tensor[[c - batch.pads[row] for c in columns]]


def visitor_of(model: Model, batch: Batch, edit: Edit, key: Key, source: Source | None, fired: list[int]) -> Visitor:
    """The function that carries out one edit at one site; counts its firings in `fired[0]`.

    Args:
        model: the model.
        batch: the base prompts.
        edit: what to do.
        key: the (site, layer) it does it at.
        source: the run it reads, for edits that read one by name.
        fired: a one-element list.

    The function raises `NotFinite` for finite numbers that are too large to be squared.
    """
    kind = key[0]
    heads = _heads(model, edit)
    places = _places(edit, batch, source)
    units = None if edit.unit is None else _several(edit.unit, 0)
    read = source.read([key])[key] if source is not None else None
    if kind in ("pattern", "scores") and source is not None and source.batch.lengths != batch.lengths:
        raise PromptMismatch(
            f"A {kind} can only be carried between prompts of the same length.",
            hint="Carry z, or another site.",
        )
    if kind in ("q", "k") and source is not None and any(p.moves for p in places):
        raise BadInput(
            f"{kind} is post-rotary and is not moved between positions here.", hint="Carry resid_pre, z or v."
        )

    def part(value: torch.Tensor) -> torch.Tensor:
        value = value if heads is None else value[:, heads]
        return value if units is None else value[..., units]

    def visitor(x: torch.Tensor) -> torch.Tensor:
        fired[0] += 1
        new = x.clone()
        view = _rows_first(kind, new)
        if units is not None and not all(-view.shape[-1] <= u < view.shape[-1] for u in units):
            raise BadInput(f"{kind} has {view.shape[-1]} units, so {units} cannot be edited.", hint="Count from 0.")
        for row, place in enumerate(places):
            here = view[row, place.columns]
            there = None
            if read is not None:
                there = _rows_first(kind, read)[row, place.source_columns].to(here)
            elif isinstance(edit, Patch):
                there = _given(edit, kind, batch, row, place.columns).to(here)
            if there is not None and there.shape != here.shape:
                raise BadInput(
                    f"The source tensor is {list(there.shape)} at the edited positions, and {kind} is "
                    f"{list(here.shape)} there.",
                    hint="Give the whole site, in base positions.",
                )
            changed = edit.value(part(here), None if there is None else part(there))
            if kind == "scores":
                # What is masked is not there to be changed: an edit of scores lets nobody see the future or a pad.
                changed = torch.where(torch.isneginf(part(here)), part(here), changed)
            if units is not None:
                whole = (here if heads is None else here[:, heads]).clone()
                whole[..., units] = changed
                changed = whole
            if heads is not None:
                whole = here.clone()
                whole[:, heads] = changed
                changed = whole
            view[row, place.columns] = changed
        _require_squares(edit, kind, new)
        return new

    return visitor


def _require_squares(edit: Edit, kind: str, value: torch.Tensor) -> None:
    """Raise when an edit writes numbers whose squares overflow: a norm divides by their mean, and would give zeros.

    NaN and infinity themselves are found in the logits, and named there.
    """
    if kind in ("scores", "pattern", "logits"):
        return
    largest = float(value.abs().max())
    # Norms reckon in float32 where the model does not.
    wide = torch.promote_types(value.dtype, torch.float32)
    if math.isfinite(largest) and largest > (torch.finfo(wide).max / value.shape[-1]) ** 0.5:
        kept = str(wide).removeprefix("torch.")
        raise NotFinite(
            f"{edit} writes {largest:.2g}: the square is past {kept}, and a norm would make zeros of all there is.",
            hint="Look at the edit's source and strength.",
        )


def pairing(edit: Edit, base: str, sources: Sources) -> frozenset[int] | None:
    """The base positions at which an edit finds a partner in the run it reads, in every prompt; None = reads no run.

    Raises:
        BadInput: the run it reads is not there.
        PromptMismatch: the prompts differ in length and no alignment was given.
    """
    if not isinstance(edit, Patch) or isinstance(edit.source, torch.Tensor) or edit.source_position is not None:
        return None
    return frozenset.intersection(*(frozenset(row) for row in _named(edit, base, sources).pairs))


def _named(edit: Patch, base: str, sources: Sources) -> Source:
    name = edit.source if edit.source != "other" else ("clean" if base == "corrupted" else "corrupted")
    if name not in sources:
        what = edit if edit.site is not None else "A patch"
        raise BadInput(
            f"{what} reads the {name} prompt, and there is none.",
            hint="Give the experiment a corrupted prompt.",
        )
    return sources[name]


def _source_for(edit: Edit, batch: Batch, base: str, sources: Sources) -> Source | None:
    if not isinstance(edit, Patch) or isinstance(edit.source, torch.Tensor):
        return None
    source = _named(edit, base, sources)
    if source.name == base and edit.alpha != 0 and not any(p.moves for p in _places(edit, batch, source)):
        raise BadInput(
            f"{edit} reads the same run, site and position it writes, so it changes nothing.",
            hint="Take another source, or another source_position.",
        )
    return source


def visitors_of(
    model: Model, batch: Batch, edits: Sequence[Edit], base: str, sources: Sources
) -> tuple[dict[Key, Visitor], list[list[int]]]:
    """Visitors that carry out edits in order: by place in the computation, at one site by list order.

    Returns:
        The visitors, and for each edit the list that counts its firings.
    """
    chains: dict[Key, list[Visitor]] = {}
    counts: list[list[int]] = []
    for edit in edits:
        fired = [0]
        counts.append(fired)
        source = _source_for(edit, batch, base, sources)
        for key in keys_of(model, edit):
            chains.setdefault(key, []).append(visitor_of(model, batch, edit, key, source, fired))

    def chained(steps: list[Visitor]) -> Visitor:
        def visitor(x: torch.Tensor) -> torch.Tensor:
            for step in steps:
                x = x if (new := step(x)) is None else new
            return x

        return visitor

    return {key: chained(steps) for key, steps in chains.items()}, counts


def rerun(
    model: Model, batch: Batch, edits: Sequence[Edit], base: str, sources: Sources, keep: Sequence[Key] = ()
) -> dict[Key, torch.Tensor]:
    """One full forward pass of the base prompts with edits.

    Args:
        model: the model.
        batch: the base prompts.
        edits: in the user's order; none = the unedited run.
        base: "clean" or "corrupted": which prompt `batch` is.
        sources: runs that patches may read, by name.
        keep: further sites to keep.

    Returns:
        {key: value} of `keep` and of ("logits", None) [row, position, vocab].

    Raises:
        EditNeverFired: an edit whose site was not reached.
        NotFinite: the logits hold NaN or infinity; names the first site where it arises.
    """
    visitors, counts = visitors_of(model, batch, edits, base, sources)
    kept = capture(model, batch, [*keep, ("logits", None)], visitors)
    for edit, fired in zip(edits, counts, strict=True):
        if fired[0] < len(keys_of(model, edit)):
            raise EditNeverFired(f"{edit} was never reached in the run.", hint="Please report the model's class.")
    return kept
