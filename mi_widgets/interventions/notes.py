"""What a reader must know about edits beside their names: plain sentences for provenance and warnings."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..model.batches import Batch
from ..model.handle import Model
from .draws import draws_of
from .edit_kinds import Reading
from .edits import Edit
from .moving import carries_position
from .reading import reader_of
from .set_edits import Mean
from .sources import Sources

CARRIED = "a residual that moves to another position takes the position embedding of its old one along"

_STREAM = ("resid_pre", "resid_mid", "resid_post")


def notes_of(model: Model, batch: Batch, edits: Sequence[Edit], base: str, sources: Sources) -> tuple[str, ...]:
    """Sentences about edits of these prompts.

    Args:
        model: the model.
        batch: the base prompts.
        edits: those that act.
        base: which prompt `batch` is.
        sources: the runs that edits may read.

    Returns:
        That a mean is one over each prompt's own positions, that numbers are means over draws, and that a moved
        residual takes the embedding of its old position along; () when there is nothing to say.
    """
    notes = [
        f"{edit.words(sources.count)}: with fewer than 8 prompts the mean is over each prompt's own non-special "
        "positions."
        for edit in edits
        if isinstance(edit, Mean) and edit.own(sources.count)
    ]
    draws = draws_of(edits, sources.count)
    if len(draws) > 1:
        notes.append(f"Numbers are means over {len(draws)} draws.")
    carried = [edit for edit in draws[0] if _moves(model, batch, edit, base, sources)]
    if carried and carries_position(model, batch, sources):
        notes.append(f"{carried[0]}: {CARRIED}.")
    return tuple(dict.fromkeys(notes))


def _moves(model: Model, batch: Batch, edit: Edit, base: str, sources: Sources) -> bool:
    if edit.site not in _STREAM or not isinstance(edit, Reading) or isinstance(edit.source, (torch.Tensor, type(None))):
        return False
    return any(reader_of(model, batch, edit, base, sources).moves)
