"""Means of unedited runs, by position or over all of them."""

from __future__ import annotations

import torch

from ..errors import BadInput, PromptMismatch
from ..model.access import Key
from ..model.batches import END, Batch
from .edits import several
from .layouts import SQUARE, at_positions, given, own, site_axes
from .set_edits import Mean
from .sources import Sources


def mean_at(edit: Mean, key: Key, batch: Batch, row: int, positions: tuple[int, ...], sources: Sources) -> torch.Tensor:
    """The mean that stands at each edited position of one prompt.

    Args:
        edit: what is averaged, and how.
        key: the site.
        batch: the base prompts.
        row: which of them.
        positions: the edited ones, in the prompt's own tokens.
        sources: gives the runs.

    Returns:
        [position or 1, ...site axes]; of scores and pattern [dest, head, src].

    Raises:
        PromptMismatch: a mean by position over prompts that are not as long as this one.
        BadInput: a site that has no mean over positions, or nothing to average.
    """
    kind = key[0]
    pool = "all" if edit.own(sources.count) else edit.pool
    if pool == "all" and kind in ("q", "k", *SQUARE):
        raise BadInput(
            f"{edit} would be the mean over the prompt's own positions, and {kind} has none: "
            + ("rotations average out." if kind in ("q", "k") else "each position sees other sources."),
            hint="Give over='corrupted', or prompts.",
        )
    if isinstance(edit.over, torch.Tensor):
        return _of_tensor(edit, edit.over, kind, batch, row, positions, sources)
    if edit.own(sources.count):
        return _all(key, Batch.of([batch.prompts[row]]), sources)
    runs = sources.batch_of(sources.base if edit.over is None else edit.over)
    if pool == "all":
        return _all(key, runs, sources)
    lengths = sorted({*runs.lengths, batch.lengths[row]})
    if _named(edit, runs) and any(_places(edit, runs, run) != positions for run in range(len(runs))):
        if kind in ("q", "k", *SQUARE):
            raise BadInput(
                f"{edit} would be a mean over different positions, and {kind} has none.",
                hint="Take another site, or prompts in which the name stands at one place.",
            )
        return torch.stack([_at_name(key, runs, str(name), sources) for name in several(edit.position)])
    if len(lengths) > 1:
        raise PromptMismatch(
            f"A mean by position needs prompts of one length; these have {lengths} tokens.",
            hint="Use pool='all', prompts as long as the base, or named positions.",
        )

    def mean() -> torch.Tensor:
        average = sources.read(runs, [key])[key].float().mean(0)
        return average.transpose(0, 1) if kind in SQUARE else average

    return sources.derived(("mean by position", runs.key, key), mean)[list(positions)]


def _named(edit: Mean, runs: Batch) -> bool:
    """Whether every edited position has a name that each run has a position of its own for."""
    names = several(edit.position)
    return bool(names) and all(name == END or name in runs.names for name in names)


def _places(edit: Mean, runs: Batch, row: int) -> tuple[int, ...]:
    return tuple(runs.column(row, name) - runs.pads[row] for name in several(edit.position))


def _at_name(key: Key, runs: Batch, name: str, sources: Sources) -> torch.Tensor:
    """The mean over runs of each one's own position of a name, [...site axes]."""
    columns = runs.columns(name)

    def mean() -> torch.Tensor:
        return sources.read(runs, [key])[key][range(len(runs)), columns].float().mean(0)

    return sources.derived(("mean at", runs.key, key, tuple(columns)), mean)


def _all(key: Key, runs: Batch, sources: Sources) -> torch.Tensor:
    """The mean over all non-special positions of all runs, [1, ...site axes]."""

    def mean() -> torch.Tensor:
        value = sources.read(runs, [key])[key]
        parts = []
        for row, tokens in enumerate(runs.prompts):
            kept = [p for p in tokens.positions if p not in tokens.special]
            parts.append(own(key[0], value, row, runs.pads[row])[kept].float())
        every = torch.cat(parts)
        if not len(every):
            raise BadInput("All tokens of these prompts are special, so there is no mean.", hint="Take other prompts.")
        return every.mean(0, keepdim=True)

    return sources.derived(("mean over all", runs.key, key), mean)


def _of_tensor(
    edit: Mean, tensor: torch.Tensor, kind: str, batch: Batch, row: int, positions: tuple[int, ...], sources: Sources
) -> torch.Tensor:
    axes, what = site_axes(kind), "The mean"
    if tensor.ndim == axes:
        return tensor[None]
    if tensor.ndim == axes + 2:
        tensor = tensor.mean(0)
    by_position = given(kind, tensor, sources.number(row), sources.count, what)
    if edit.pool == "all":
        return by_position.mean(0, keepdim=True)
    return at_positions(by_position, positions, batch.lengths[row], row, what)
