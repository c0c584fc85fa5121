"""The patch board where no widget can live: a picture and words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mi_widgets.export.board_image import CLEAN, CORRUPTED, BoardPicture, GridPicture, board_png
from mi_widgets.export.pen import BAR
from mi_widgets.widgets.plain import asked_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mi_widgets.widgets.board_wire import Drawn

__all__ = ["picture", "words"]

COLOURS = {"clean": CLEAN, "corrupted": CORRUPTED, "edited": BAR}


def picture(drawn: Drawn, board: Mapping[str, Any], question: Mapping[str, Any]) -> bytes:
    """A PNG of the grids that opened first, and of the effect.

    Args:
        drawn: their numbers.
        board, question: the traits of these names.
    """
    model, where = question["model"], board["provenance"]
    edits = _edits(question)
    # What an edited run keeps of its base stands faded in it.
    runs = [run for run in drawn.windows if (run != board["base"] if edits else run != "edited")]
    took = "" if where["forward_ms"] is None else f"rerun {where['forward_ms']:.1f} ms"
    return board_png(
        BoardPicture(
            title="Patch board",
            model=" · ".join((model["name"], f"{model['n_layers']} layers x {model['n_heads']} heads", model["dtype"])),
            grids=tuple(_grid(run, drawn, board, question) for run in runs),
            patches=tuple(edits),
            effect=_effect_words(board["effect"]),
            marks=_marks(board["effect"], bool(edits)),
            footer=tuple(filter(None, (took, where["recomputed"], where["kernel"], where["device"]))),
        )
    )


def words(board: Mapping[str, Any], question: Mapping[str, Any]) -> str:
    """Model, prompts, edits, and what they did to the answer."""
    model = question["model"]
    lines = [f"Patch board of {model['name']} ({model['n_layers']} layers)", *asked_in_words(question)]
    if not board:
        return "\n".join(lines)
    effect = board["effect"]
    lines += [f"edits on the {board['base']} prompt:", *(f"  {edit}" for edit in _edits(question) or ["none"])]
    lines.append(_effect_words(effect))
    lines += [f"  {label}" for _, label, _ in _marks(effect, bool(_edits(question)))]
    lines += [
        f"  {token['label']}  {token['before']:.3f} -> {token['after']:.3f}, rank {token['before_rank']} -> "
        f"{token['after_rank']}"
        for token in effect["tokens"][:5]
    ]
    return "\n".join(lines)


def _edits(question: Mapping[str, Any]) -> list[str]:
    return [edit["label"] for edit in question["edits"] if edit["on"]]


def _grid(run: str, drawn: Drawn, board: Mapping[str, Any], question: Mapping[str, Any]) -> GridPicture:
    window, tops = drawn.windows[run], drawn.tops[run]
    whose = board["base"] if run == "edited" else run
    title = f"Patched run (base {whose}); only the bright cells can change" if run == "edited" else f"{run.title()} run"
    return GridPicture(
        title=(title, COLOURS[run]),
        prompt=tuple(question["prompts"][whose]["labels"]),
        rows=tuple(row.label for row in window.open),
        columns=tuple(window.positions),
        differing=frozenset(board["differs"][whose]),
        cells=[[board["tokens"][str(i)] for i in row] for row in tops.ids.tolist()],
        shades=tops.probs.numpy().astype(np.float32),
        strong=window.of(drawn.cone).numpy() if run == "edited" else None,
        changed=tops.changed.numpy() if run == "edited" and tops.changed is not None else None,
    )


def _effect_words(effect: Mapping[str, Any]) -> str:
    several = f", mean of {effect['n_prompts']} prompts" if effect["n_prompts"] > 1 else ""
    return f"{effect['label']}{several} (noise floor {effect['noise_floor']:.1e})"


def _marks(effect: Mapping[str, Any], edited: bool) -> tuple[tuple[float, str, str], ...]:
    """The values on the line, with their words and colours; those that are not there are left out."""
    found = [
        (effect[run], f"{run} {effect[run]:+.2f}", COLOURS[run])
        for run in ("corrupted", "clean")
        if effect[run] is not None
    ]
    if edited and effect["after"] is not None:
        label = f"patched {effect['after']:+.2f}"
        if effect["base"] == "clean" and effect["destroyed"] is not None:
            label += f" · {100 * effect['destroyed']:.0f} % destroyed"
        elif effect["recovered"] is not None:
            label += f" · {100 * effect['recovered']:.0f} % recovered"
        if effect["stderr"] is not None and math.isfinite(effect["stderr"]):
            label += f" ± {100 * effect['stderr']:.0f}"
        found.append((effect["after"], label, BAR))
    return tuple(found)
