"""The sweep widget where no widget can live: a picture and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mi_widgets.export.sweep_image import SweepPicture, sweep_png
from mi_widgets.widgets.plain import asked_in_words
from mi_widgets.widgets.sweep_wire import ESTIMATE, EXACT, SAME, Grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mi_widgets.widgets.sweeping import SweepShown

__all__ = ["picture", "words"]

LARGEST = 8
"""Cells that the words name."""


def picture(shown: SweepShown, question: Mapping[str, Any]) -> bytes:
    """A PNG of a map: shares recovered (of the clean prompt: destroyed) where there are any, else the metric's change.

    Args:
        shown: the map.
        question: the trait.
    """
    told, where = shown.map, shown.result.provenance
    values, unit, state = _coloured(shown, told)
    known = np.isfinite(values)
    share = " as " in unit
    reach = float(np.abs(values[known]).max(initial=0.0)) or 1.0
    return sweep_png(
        SweepPicture(
            title=question["title"] or "Patch sweep",
            model=" · ".join((where.model, f"{len(told['layers'])} layers", where.dtype)),
            prompts=_prompts(question),
            rows=tuple(f"L{layer}" for layer in told["layers"]),
            columns=tuple((column["label"], column["other"]) for column in told["columns"]),
            base=told["base"],
            values=values.astype(np.float32),
            reach=max(1.0, reach) if share else reach,
            unit=unit,
            estimated=state == ESTIMATE,
            same=state == SAME,
            footer=(_edit_words(told, question), *_count(told, state), *filter(None, (where.kernel, where.device))),
        )
    )


def words(shown: SweepShown | None, question: Mapping[str, Any]) -> str:
    """Model, prompts, and the cells that move the answer most."""
    model = question["model"]
    name = f" of {model['name']} ({model['n_layers']} layers)" if model is not None else ""
    lines = [question["title"] or f"Patch sweep{name}", *asked_in_words(question)]
    if shown is None:
        return "\n".join(lines)
    told = shown.map
    values, unit, state = _coloured(shown, told)
    lines.append(f"{_edit_words(told, question)}; {', '.join(_count(told, state))}; {unit}:")
    size = np.where(state == SAME, np.nan, np.abs(values)).ravel()
    order = [int(at) for at in np.argsort(-size, kind="stable") if np.isfinite(size[at])][:LARGEST]
    named = []
    for at in order:
        row, column = divmod(at, values.shape[1])
        mark = "~" if state[row, column] == ESTIMATE else ""
        named.append(
            (f"L{told['layers'][row]} {_column(told['columns'][column])}", f"{mark}{values[row, column]:+.3f}")
        )
    width = max((len(place) for place, _ in named), default=0)
    return "\n".join([*lines, *(f"  {place:<{width}}  {value}" for place, value in named)])


def _coloured(shown: SweepShown, told: Mapping[str, Any]) -> tuple[Any, str, Any]:
    """What is coloured [layer, column], what that is, and the state of each cell."""
    numbers = Grid(shown.result).numbers(shown.standing)
    if bool(np.isfinite(numbers["recovered"]).any()):
        # Both are 0 where an edit does nothing.
        if told["base"] == "clean":
            return 1 - numbers["recovered"], "share destroyed: 0 as clean, 1 as corrupted", numbers["state"]
        return numbers["recovered"], "recovered share: 0 as corrupted, 1 as clean", numbers["state"]
    start = shown.result.baselines[told["base"]]
    return numbers["metric"] - start, f"change of the {told['label']}", numbers["state"]


def _column(column: Mapping[str, Any]) -> str:
    place = "" if column["position"] is None else f" @{column['position']}"
    return f"{column['label']}{place}"


def _edit_words(told: Mapping[str, Any], question: Mapping[str, Any]) -> str:
    """Which edit in every cell, and on what."""
    on = [edit["label"] for edit in question["edits"] if edit["on"]] if told["on_top"] else []
    under = f" on top of {', '.join(on)}" if on else ""
    return f"{told['edit']} {told['site']}, base {told['base']}{under}"


def _count(told: Mapping[str, Any], state: Any) -> list[str]:
    """How many cells were run, and what the others are."""
    found = [f"{told['done']} of {told['total']} cells run"]
    if told["cancelled"]:
        found.append("cancelled")
    if bool((state == ESTIMATE).any()):
        found.append("~ estimated by gradients")
    if bool((state == SAME).any()):
        found.append("hatched: same tokens, cannot differ")
    if bool((state < EXACT).any()) and not bool((state == ESTIMATE).any()):
        found.append("the others are not known")
    return found


def _prompts(question: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    prompts = question["prompts"]
    if prompts["corrupted"] is None:
        return ((" ".join(prompts["clean"]["labels"]), ""),)
    return tuple((" ".join(prompts[run]["labels"]), run) for run in ("clean", "corrupted") if prompts[run]["labels"])
