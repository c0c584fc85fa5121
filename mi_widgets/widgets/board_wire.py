"""The patch board as it travels to the page: what can be carried, how positions pair, grids and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mi_widgets.errors import PromptMismatch
from mi_widgets.model.alignment import source_positions
from mi_widgets.model.architecture import HEAD_SITES
from mi_widgets.widgets import lens_wire as wire
from mi_widgets.widgets.arrays import Array, embedded, f32, i32, u8
from mi_widgets.widgets.asking import ALIGNS
from mi_widgets.widgets.edit_specs import reason_against
from mi_widgets.widgets.plain import number

if TYPE_CHECKING:
    import torch

    from mi_widgets.analysis.lens_rows import LensRow
    from mi_widgets.analysis.lens_tops import Tops
    from mi_widgets.experiment.history import Run
    from mi_widgets.interventions.question import Question
    from mi_widgets.model.tokens import Tokens

__all__ = ["Drawn", "Window", "board_on_wire", "cells_on_wire", "resumed_at", "run_on_wire", "window_of"]

CARRIES = (
    ("residual", "resid_post"), ("attention", "attn_out"), ("mlp", "mlp_out"), ("z", "z"), ("q", "q"), ("k", "k"),
    ("v", "v"), ("pattern", "pattern"),
)  # fmt: skip
"""What the page's switch offers, and the site of each."""

_RESUMED = re.compile(r"resumed at layer (\d+)|layers (\d+) to \d+ from position (\d+) on")

PAIRINGS = {"start": "from the start", "end": "from the end", "common": "by common tokens", "custom": "as given"}
"""What the ways to pair positions are called."""


@dataclass(frozen=True)
class Window:
    """The cells of one run's grid that open first.

    Attributes:
        rows: all rows there are.
        shown: numbers of those that open.
        columns: half-open range of positions.
        length: of the prompt.
    """

    rows: tuple[LensRow, ...]
    shown: tuple[int, ...]
    columns: tuple[int, int]
    length: int

    @property
    def open(self) -> tuple[LensRow, ...]:
        """The rows that open."""
        return tuple(self.rows[i] for i in self.shown)

    @property
    def positions(self) -> range:
        """The positions that open."""
        return range(*self.columns)

    def of(self, whole: torch.Tensor) -> torch.Tensor:
        """Its part of [row, position]."""
        return whole[list(self.shown)][:, slice(*self.columns)]


@dataclass(frozen=True)
class Drawn:
    """What a board shows.

    Attributes:
        windows: {run: its cells}: clean, corrupted where there is one, edited.
        tops: {run: what they hold}.
        cone: [row, position] bool of the edited run's cells: what the edits can change.
        effect: as it stands in the trait.
        run: its place in the history, or None without edits.
        n_runs: how many runs the history has counted.
        notes: sentences for the reader.
    """

    windows: Mapping[str, Window]
    tops: Mapping[str, Tops]
    cone: torch.Tensor
    effect: Mapping[str, Any]
    run: Run | None
    n_runs: int
    notes: tuple[str, ...] = field(default=())


def window_of(question: Question, run: str, rows: tuple[LensRow, ...]) -> Window:
    """The cells of a run that open first.

    Args:
        question: about one prompt.
        run: "clean", "corrupted" or "edited".
        rows: all there are.
    """
    batch = question.batch(run)
    columns = wire.columns_at_first(batch.lengths[0], question.answers(batch)[0])
    return Window(rows, wire.rows_at_first(rows), columns, batch.lengths[0])


def board_on_wire(question: Question, pairs_given: bool, drawn: Drawn) -> dict[str, Any]:
    """The trait; see tests/contract, `board`.

    Args:
        question: about the prompt that is shown.
        pairs_given: whether the user has given pairs of positions.
        drawn: what there is to show.
    """
    model, label = question.model, question.model.text.label
    arrays: dict[str, Array] = {}
    used: set[int] = set()
    for run, tops in drawn.tops.items():
        arrays |= cells_on_wire(tops, f"{run}_")
        used.update(tops.ids.flatten().tolist())
    edited = drawn.windows["edited"]
    arrays["edited_cone"] = u8(edited.of(drawn.cone).numpy(), scale=1, offset=0)
    grids = {
        run: {"positions": window.length, "columns": list(window.columns)} for run, window in drawn.windows.items()
    }
    return {
        "rev": question.rev,
        "run": "edited",
        "base": question.base,
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "n_kv_heads": model.n_kv_heads,
        "rows": wire.rows_on_wire(edited.rows),
        "shown": {"rows": list(edited.shown)},
        "grids": {"clean": grids["clean"], "corrupted": grids.get("corrupted"), "edited": grids["edited"]},
        "k": 1,
        "tokens": wire.labelled(used, label),
        **_pairing(question, pairs_given),
        "carries": _carries(question),
        "effect": dict(drawn.effect),
        "run_number": None if drawn.run is None else drawn.run.number,
        "n_runs": drawn.n_runs,
        "provenance": drawn.effect["provenance"],
        "notes": [*filter(None, (resumed_at(drawn.effect["provenance"]["recomputed"]),)), *drawn.notes],
        "arrays": embedded(arrays),
    }


def resumed_at(recomputed: str) -> str:
    """Where a run began, for a footer; "" where it was run whole.

    Args:
        recomputed: as `Provenance` has it.

    Example:
        >>> resumed_at("one forward pass, resumed at layer 2")
        'resumed at L2'
        >>> resumed_at("only what differs from the base run: layers 2 to 3 from position 10 on")
        'resumed at L2 from position 10'
    """
    found = _RESUMED.search(recomputed)
    if found is None:
        return ""
    layer, position = found.group(1) or found.group(2), found.group(3)
    return f"resumed at L{layer}" + (f" from position {position}" if position else "")


def cells_on_wire(tops: Tops, prefix: str = "") -> dict[str, Array]:
    """The arrays of a grid's cells."""
    found = {
        f"{prefix}top_ids": i32(tops.ids[..., None].numpy()),
        f"{prefix}top_values": f32(tops.probs[..., None].numpy()),
    }
    if tops.changed is not None:
        found[f"{prefix}changed"] = u8(tops.changed.numpy(), scale=1, offset=0)
    return found


def run_on_wire(run: Run, *, current: bool) -> dict[str, Any]:
    """A line of the history."""
    prompts = len(run.result.per_prompt["metric"])
    return {
        "number": run.number,
        "base": run.base,
        "labels": [edit.words(prompts) for edit in run.edits],
        "metric": number(run.result.metric),
        "metric_name": run.result.metric_name,
        "recovered": number(run.result.recovered),
        "current": current,
    }


def _carries(question: Question) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "site": site,
            "axis": "head" if site in HEAD_SITES else "position",
            "reason": reason_against(question, site),
        }
        for name, site in CARRIES
    ]


def _pairing(question: Question, given: bool) -> dict[str, Any]:
    """How the positions of the two prompts pair, how else they could, and where the prompts differ."""
    if question.corrupted is None:
        return {"pairs": [], "align": "start", "aligns": [], "differs": {"clean": [], "corrupted": []}}
    clean, corrupted = question.clean.prompts[0], question.corrupted.prompts[0]
    base, source = (clean, corrupted) if question.base == "clean" else (corrupted, clean)
    try:
        found = source_positions(base, source, question.align)
    except PromptMismatch:
        found = {}
    pairs = sorted(found.items() if question.base == "clean" else ((s, b) for b, s in found.items()))
    now = "custom" if isinstance(question.align, Mapping) else next(n for n, v in ALIGNS.items() if v == question.align)
    uneven = f"The prompts have {len(clean)} and {len(corrupted)} tokens." if len(clean) != len(corrupted) else None
    none = None if given else "No pairs were given: mi.Experiment(..., align={base position: source position})."
    reasons = {"start": uneven, "custom": none}
    return {
        "pairs": [list(pair) for pair in pairs],
        "align": now,
        "aligns": [{"name": n, "label": text, "reason": reasons.get(n)} for n, text in PAIRINGS.items()],
        "differs": _differing(clean, corrupted, pairs),
    }


def _differing(clean: Tokens, corrupted: Tokens, pairs: Sequence[tuple[int, int]]) -> dict[str, list[int]]:
    """Positions whose token the other prompt does not have in their place."""
    # Where nothing pairs, what both have in common still shows where they differ.
    pairs = pairs or sorted(source_positions(clean, corrupted, "common").items())
    same = [(c, d) for c, d in pairs if clean.ids[c] == corrupted.ids[d]]
    here, there = {c for c, _ in same}, {d for _, d in same}
    return {
        "clean": [p for p in clean.positions if p not in here],
        "corrupted": [p for p in corrupted.positions if p not in there],
    }
