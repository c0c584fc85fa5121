"""Edits to one run, the plain and obviously right way: one full forward pass with hooks. Oracle of every fast path."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import EditNeverFired, NotFinite
from ..model.access import Key, Visitor
from ..model.handle import Model
from ..model.tokens import Batch
from .capture import capture
from .edits import Edit
from .layouts import own, squares
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
            view = own(write.key[0], new, row, batch.pads[row])
            at = list(write.positions)
            view[at] = write.apply(view[at])
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


def rerun(
    model: Model, batch: Batch, edits: Sequence[Edit], base: str, sources: Sources, keep: Sequence[Key] = ()
) -> dict[Key, torch.Tensor]:
    """One full forward pass of the base prompts with edits.

    Args:
        model: the model.
        batch: the base prompts.
        edits: in the user's order; none = the unedited run.
        base: "clean" or "corrupted": which prompt `batch` is.
        sources: runs that edits may read.
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
