"""Edits to one run, the plain and obviously right way: one full forward pass with hooks. Oracle of every fast path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import EditNeverFired, NotFinite
from ..model.access import Key, Visitor
from ..model.batches import Batch
from ..model.handle import Model
from .capture import capture
from .edits import Edit
from .layouts import squares
from .sources import Sources
from .writes import Write, keys_of, writes_of


def visitors_of(
    model: Model, batch: Batch, edits: Sequence[Edit], base: str, sources: Sources
) -> tuple[dict[Key, Visitor], list[list[int]]]:
    """Visitors that carry out edits in order: by place in the computation, at one site by list order.

    Returns:
        The visitors, and for each edit the list that counts its firings.

    Raises:
        BadInput, PromptMismatch, SiteUnavailable: what is wrong with an edit.
    """
    chains: dict[Key, list[Visitor]] = {}
    counts: list[list[int]] = []
    for edit in edits:
        fired = [0]
        counts.append(fired)
        by_key: dict[Key, list[Write]] = {}
        for row in writes_of(model, batch, edit, base, sources):
            for write in row:
                by_key.setdefault(write.key, []).append(write)
        for key, rows in by_key.items():
            chains.setdefault(key, []).append(_visitor(batch, rows, fired))

    def chained(steps: list[Visitor]) -> Visitor:
        def visitor(x: torch.Tensor) -> torch.Tensor:
            for step in steps:
                x = x if (new := step(x)) is None else new
            return x

        return visitor

    return {key: chained(steps) for key, steps in chains.items()}, counts


def _visitor(batch: Batch, rows: Sequence[Write], fired: list[int]) -> Visitor:
    """One edit at one site: for each row of the batch what is written into it."""

    def visitor(x: torch.Tensor) -> torch.Tensor:
        fired[0] += 1
        new = x.clone()
        for row, write in enumerate(rows):
            write.into(new, row, batch.pads[row])
        _require_squares(rows[0], new)
        return new

    return visitor


def _require_squares(write: Write, value: torch.Tensor) -> None:
    """Raise when an edit writes numbers whose squares overflow: a norm divides by their mean, and would give zeros.

    NaN and infinity themselves are found in the logits, and named there.
    """
    if write.key[0] in ("scores", "pattern", "logits"):
        return
    if not squares(value):
        largest, wide = float(value.abs().max()), torch.promote_types(value.dtype, torch.float32)
        kept = str(wide).removeprefix("torch.")
        raise NotFinite(
            f"{write.edit} writes {largest:.2g}: the square is past {kept}, and a norm would make zeros of all there "
            "is.",
            hint="Look at the edit's source and strength.",
        )


@dataclass(frozen=True, eq=False)
class Start:
    """Where a run with edits can begin, since everything before its first edited layer is as in the unedited run.

    Attributes:
        layer: the first edited layer; n_layers = only what follows the layers is edited, 0 = no layer can be skipped.
        stream: what enters it in the unedited run, where that is known and the model's passes can be resumed.
    """

    layer: int
    stream: torch.Tensor | None = None

    @property
    def words(self) -> str:
        """What is run, for provenance."""
        return "one full forward pass" if self.stream is None else f"one forward pass, resumed at layer {self.layer}"


def start_of(model: Model, batch: Batch, edits: Sequence[Edit], sources: Sources, keep: Sequence[Key] = ()) -> Start:
    """Where a rerun begins.

    Args:
        model, batch, edits, sources, keep: as in `rerun`.
    """
    behind = {"final_norm", "logits"}

    def layer_of(key: Key) -> int:
        return model.n_layers if key[0] in behind else key[1] or 0

    layer = min((layer_of(key) for edit in edits for key in keys_of(model, edit)), default=0)
    if layer == 0 or any(layer_of(key) < layer for key in keep):
        return Start(0)
    stream = sources.captures.peek(model, batch, _enters(model, layer))
    return Start(layer, stream if stream is not None and model.resumes else None)


def _enters(model: Model, layer: int) -> Key:
    """The site that enters a layer; behind the last one what leaves it."""
    return ("resid_pre", layer) if layer < model.n_layers else ("resid_post", layer - 1)


def rerun(
    model: Model,
    batch: Batch,
    edits: Sequence[Edit],
    base: str,
    sources: Sources,
    keep: Sequence[Key] = (),
    *,
    resume: bool = False,
    at: Sequence[int] | None = None,
) -> dict[Key, torch.Tensor]:
    """One full forward pass of the base prompts with edits.

    Args:
        model: the model.
        batch: the base prompts.
        edits: in the user's order; none = the unedited run.
        base: "clean" or "corrupted": which prompt `batch` is.
        sources: runs that edits may read.
        keep: further sites to keep.
        resume: begin at the first edited layer where what enters it is known (see `start_of`). A run that has to be
            whole keeps that for the next one, which then gives the same numbers to the bit.
        at: one column of each row at which logits are wanted; [row, 1, vocab] then. Not with edits of logits.

    Returns:
        {key: value} of `keep` and of ("logits", None) [row, position, vocab].

    Raises:
        EditNeverFired: an edit whose site was not reached.
        NotFinite: the logits hold NaN or infinity; names the first site where it arises.
    """
    visitors, counts = visitors_of(model, batch, edits, base, sources)
    start = start_of(model, batch, edits, sources, keep) if resume else Start(0)
    noted: list[torch.Tensor] = []
    if start.layer and start.stream is None:
        key = _enters(model, start.layer)
        visitors[key] = _noting(noted, visitors.get(key))
    given = None if start.stream is None else (start.layer, start.stream)
    kept = capture(model, batch, [*keep, ("logits", None)], visitors, given, at)
    for edit, fired in zip(edits, counts, strict=True):
        if fired[0] < len(keys_of(model, edit)):
            raise EditNeverFired(f"{edit} was never reached in the run.", hint="Please report the model's class.")
    for stream in noted:
        sources.captures.put(model, batch, _enters(model, start.layer), stream)
    return kept


def _noting(noted: list[torch.Tensor], then: Visitor | None) -> Visitor:
    """Keep what is there before anything is edited."""

    def visitor(x: torch.Tensor) -> torch.Tensor | None:
        noted[:] = [x.detach().clone()]
        return None if then is None else then(x)

    return visitor
