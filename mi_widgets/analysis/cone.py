"""The causal cone of some edits: which cells of a lens they can change at all.

What stands at a position goes on to the same position of every later layer by the stream, and to later positions by
attention alone, which looks back: cells above the first edited layer, or left of all edited positions, stay as they
are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..interventions.edit_kinds import Patch
from ..interventions.edits import Edit
from ..interventions.positions import rows_of
from ..interventions.question import Question
from ..interventions.reading import source_of
from ..interventions.writes import keys_of
from ..model.access import Key
from .lens_rows import LensRow

_BEHIND_ATTENTION = ("resid_pre", "k", "v")
"""Sites that attention of the same layer reads at one position and takes to later ones."""


def cone_of(question: Question, edits: Sequence[Edit], rows: Sequence[LensRow]) -> torch.Tensor:
    """Which cells the edits can change: [row, position] bool. Every cell that they do change is among them.

    Positions at which patches put back what stands there, since both prompts have the same tokens up to them, are left
    out.

    Args:
        question: about one prompt; the cells are those of its base.
        edits: on that base.
        rows: streams of a lens (resid_pre 0, resid_mid, resid_post), in order.

    Raises:
        BadInput, SiteUnavailable: an edit that names what is not there.

    Example:
        >>> import mi_widgets as mi
        >>> from mi_widgets.analysis.lens_rows import rows_of
        >>> exp = mi.Experiment(mi.load(), "Mary went to the store")
        >>> cone_of(exp.snapshot(), [mi.Zero("mlp_out", 2, position=4)], rows_of(exp.model)).int().tolist()
        [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 1]]
    """
    batch = question.batch(question.base)
    length = batch.lengths[0]
    shared = _shared(question, edits)
    reached = torch.zeros(len(rows), length, dtype=torch.bool)
    for edit in edits:
        positions = [p for p in rows_of(batch, edit.position)[0] if p >= shared]
        if not positions:
            continue
        first = min(positions)
        for key in keys_of(question.model, edit):
            own, later = _places(key, question.model.n_layers)
            for i, row in enumerate(rows):
                place = _place(row)
                if place >= later:
                    reached[i, first:] = True
                elif place >= own:
                    reached[i, positions] = True
    return reached


def _place(row: LensRow) -> float:
    """The place of a row in the computation: resid_mid of layer L at L + 0.5, resid_post at L + 1, the input at 0."""
    return {"resid_pre": row.layer, "resid_mid": row.layer + 0.5}.get(row.site, row.layer + 1)


def _places(key: Key, n_layers: int) -> tuple[float, float]:
    """From which place on a site acts on its own position, and from which on also on those behind."""
    site, layer = key
    if layer is None:
        # Beside the streams: what the norm gives, and the logits, are what the last row says.
        return (0, 0.5) if site == "embed" else (n_layers, n_layers + 1)
    if site in _BEHIND_ATTENTION:
        # Attention of this layer has taken it along by resid_mid; a layer before, it is the row itself.
        return (0, 0.5) if key == ("resid_pre", 0) else (layer + 0.5, layer + 0.5)
    if site in ("q", "scores", "pattern", "z", "result", "attn_out", "resid_mid"):
        return layer + 0.5, layer + 1.5
    return layer + 1, layer + 1.5


def _shared(question: Question, edits: Sequence[Edit]) -> int:
    """How many positions at the beginning no edit can change: all are patches from a prompt that is the same there."""
    sources = question.sources()
    found = []
    for edit in edits:
        if not isinstance(edit, Patch) or not isinstance(edit.source, str) or edit.source_position is not None:
            return 0
        found.append(source_of(edit, sources).shared(0))
    return min(found, default=0)
