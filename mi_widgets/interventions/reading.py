"""What an edit reads, and at which positions it writes: from a run, a tensor, a mean, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..errors import BadInput, PromptMismatch
from ..model.access import Key
from ..model.handle import Model
from ..model.tokens import Batch
from .edit_kinds import Reading
from .edits import Edit, several
from .layouts import SQUARE, at_positions, given, own
from .sources import Source, Sources

Positions = tuple[int, ...]

There = Callable[[Key, int], torch.Tensor | None]
"""What is read at the edited positions of a row: [position, ...site axes], or None."""


@dataclass(frozen=True, eq=False)
class Reader:
    """Where one edit writes in each prompt, and what it reads there.

    Attributes:
        positions: for each row, in the prompt's own tokens.
        there: what is read.
        edits: for each row the edit, with nothing left that depends on the prompt's length.
    """

    positions: Sequence[Positions]
    there: There
    edits: Sequence[Edit]

    def edit(self, row: int) -> Edit:
        """The edit of one row."""
        return self.edits[row]


def reader_of(model: Model, batch: Batch, edit: Edit, base: str, sources: Sources) -> Reader:
    """Where an edit of these prompts writes and what it reads.

    Raises:
        BadInput, PromptMismatch: positions that are not there or do not pair, a run that is not there, a tensor that
            does not fit.
    """
    edits = [edit] * len(batch)
    if isinstance(edit, Reading) and edit.source is not None:
        if isinstance(edit.source, torch.Tensor):
            positions = _positions(edit, batch)
            return Reader(positions, _from_tensor(edit, edit.source, batch, positions), edits)
        return _from_run(model, edit, batch, base, sources)
    return Reader(_positions(edit, batch), lambda key, row: None, edits)


def _positions(edit: Edit, batch: Batch) -> list[Positions]:
    """The positions an edit names in each prompt, counted from its front; all where it names none."""
    if edit.position is None:
        return [tuple(range(length)) for length in batch.lengths]
    return [tuple(batch.column(row, p) - batch.pads[row] for p in several(edit.position)) for row in range(len(batch))]


def _from_tensor(edit: Edit, tensor: torch.Tensor, batch: Batch, positions: Sequence[Positions]) -> There:
    def there(key: Key, row: int) -> torch.Tensor:
        what = "The source tensor"
        whole = given(key[0], tensor, row, len(batch), what)
        return at_positions(whole, positions[row], batch.lengths[row], row, what)

    return there


def _from_run(model: Model, edit: Reading, batch: Batch, base: str, sources: Sources) -> Reader:
    source = source_of(edit, sources)
    rows = range(len(batch))
    whole = edit.position is None
    positions = [tuple(sorted(source.pairs[row])) for row in rows] if whole else _positions(edit, batch)
    read_at = [_partners(edit, source, positions[row], row) for row in rows]
    moves = [read_at[row] != positions[row] for row in rows]
    if source.name == base and getattr(edit, "alpha", 1.0) != 0 and not any(moves):
        raise BadInput(
            f"{edit} reads the same run, site and position it writes, so it changes nothing.",
            hint="Take another source, or another source_position.",
        )

    def there(key: Key, row: int) -> torch.Tensor:
        kind = key[0]
        at = source.row(row)
        if kind in SQUARE and source.batch.lengths[at] != batch.lengths[row]:
            raise PromptMismatch(
                f"A {kind} can only be carried between prompts of the same length.",
                hint="Carry z, or another site.",
            )
        value = own(kind, source.read([key])[key], at, source.batch.pads[at])[list(read_at[row])]
        if kind in ("q", "k") and moves[row]:
            raise BadInput(
                f"{kind} is post-rotary and is not moved between positions here.", hint="Carry resid_pre, z or v."
            )
        return value

    return Reader(positions, there, [edit] * len(batch))


def _partners(edit: Reading, source: Source, positions: Positions, row: int) -> Positions:
    """Where each edited position of a row is read, in the source prompt's own tokens."""
    at = source.row(row)
    if edit.source_position is not None:
        pad = source.batch.pads[at]
        return tuple(source.batch.column(at, p) - pad for p in several(edit.source_position))
    pairs = source.pairs[row]
    lost = [p for p in positions if p not in pairs]
    if lost:
        raise PromptMismatch(
            f"Position {lost[0]} of the base prompt has no partner in the {source.name} prompt.",
            hint="Give source_position, or another alignment.",
        )
    return tuple(pairs[p] for p in positions)


def source_of(edit: Reading, sources: Sources) -> Source:
    """The run that an edit reads.

    Raises:
        BadInput: it is not there.
    """
    given = edit.source
    if not isinstance(given, str) or given not in ("other", "clean", "corrupted"):
        return sources.of(given)
    source = sources.get(given)
    if source is None:
        name = ("clean" if sources.base == "corrupted" else "corrupted") if given == "other" else given
        what = str(edit) if edit.site is not None else f"A {type(edit).__name__.lower()}"
        raise BadInput(
            f"{what} reads the {name} prompt, and there is none.",
            hint="Give the experiment a corrupted prompt.",
        )
    return source


def pairing(edit: Edit, base: str, sources: Sources) -> frozenset[int] | None:
    """The base positions at which an edit finds a partner in the run it reads, in every prompt; None = reads no run.

    Raises:
        BadInput: the run it reads is not there.
        PromptMismatch: the prompts differ in length and no alignment was given.
    """
    if not isinstance(edit, Reading) or edit.source is None or isinstance(edit.source, torch.Tensor):
        return None
    if edit.source_position is not None:
        return None
    return frozenset.intersection(*(frozenset(row) for row in source_of(edit, sources).pairs))
