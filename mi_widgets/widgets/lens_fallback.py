"""The lens widget where no widget can live: a picture and words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mi_widgets.analysis.lens_measures import MEASURES
from mi_widgets.export.lens_image import LensPicture, lens_png
from mi_widgets.widgets.plain import asked_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mi_widgets.analysis.lens_result import LensResult

__all__ = ["picture", "words"]


def picture(result: LensResult, lens: Mapping[str, Any], question: Mapping[str, Any]) -> bytes:
    """A PNG of the cells that opened first.

    Args:
        result: their numbers.
        lens, question: the traits of these names.
    """
    model, scale, where = question["model"], lens["scale"], lens["provenance"]
    values = result.measure(lens["measure"]).numpy()
    kinds = [row.kind for row in result.rows]
    direct = result.logits[..., 0].numpy()
    added = [row for row, kind in enumerate(kinds) if kind == "contribution"]
    reach = float(np.abs(direct[added]).max()) if added else 1.0
    shades = np.stack(
        [
            direct[row] / (reach or 1) if kind == "contribution" else _shade(values[row], lens["measure"], scale)
            for row, kind in enumerate(kinds)
        ]
    )
    forward = "" if where["forward_ms"] is None else f"forward {where['forward_ms']:.1f} ms"
    prompt = question["prompts"][_prompt_of(lens["run"], question)]
    return lens_png(
        LensPicture(
            title="Logit lens",
            model=" · ".join((model["name"], f"{model['n_layers']} layers", model["dtype"])),
            prompt=tuple(prompt["labels"]),
            rows=tuple(row.label for row in result.rows),
            numbers=tuple(lens["shown"]["rows"]),
            n_rows=len(lens["rows"]),
            first=lens["shown"]["columns"][0],
            columns=tuple(prompt["labels"][low] for low in result.positions),
            answer=lens["answer"]["position"],
            cells=[[lens["tokens"][str(ids[0])] for ids in row] for row in result.top_ids.tolist()],
            shades=shades.astype(np.float32),
            signed=tuple(scale["signed"] or kind == "contribution" for kind in kinds),
            changed=None if result.changed is None else result.changed.numpy(),
            footer=(*_run_words(lens, question), *filter(None, (forward, where["kernel"], where["device"]))),
        )
    )


def words(result: LensResult | None, lens: Mapping[str, Any], question: Mapping[str, Any]) -> str:
    """Model, prompt, and what each row says at the answer position."""
    model = question["model"]
    lines = [f"Logit lens of {model['name']} ({model['n_layers']} layers)", *asked_in_words(question)]
    if result is None:
        return "\n".join(lines)
    position = min(max(lens["answer"]["position"], result.positions[0]), result.positions[-1])
    column = position - result.positions[0]
    lines.append(f"{', '.join(_run_words(lens, question))}; at position {position}:")
    width = max(len(row.label) for row in result.rows)
    for row, place in enumerate(result.rows):
        ids, probs, logits = (t[row, column].tolist()[:3] for t in (result.top_ids, result.probs, result.logits))
        cells = zip(ids, probs, logits, strict=True)
        said = [f"{lens['tokens'][str(i)]} {_number(prob, logit)}" for i, prob, logit in cells]
        lines.append(f"  {place.label:<{width}}  {', '.join(said)}")
    return "\n".join(lines)


def _run_words(lens: Mapping[str, Any], question: Mapping[str, Any]) -> tuple[str, ...]:
    """Which run, with which edits, coloured by what."""
    on = [edit["label"] for edit in question["edits"] if edit["on"]]
    run = {"difference": "clean - corrupted", "change": "edited - unedited"}.get(lens["run"], f"{lens['run']} run")
    edits = f" ({', '.join(on)}; base {question['base']})" if on and lens["run"] in ("edited", "change") else ""
    tuned = ("tuned lens",) if lens["tuned"] else ()
    return (f"{run}{edits}", f"colour: {MEASURES[lens['measure']].label}", *tuned)


def _prompt_of(run: str, question: Mapping[str, Any]) -> str:
    """Which prompt's tokens stand above the columns."""
    if run in ("edited", "change"):
        return str(question["base"])
    return "corrupted" if run == "corrupted" else "clean"


def _number(prob: float, logit: float) -> str:
    return f"{prob:.3f}" if math.isfinite(prob) else f"{logit:+.2f}"


def _shade(values: Any, measure: str, scale: Mapping[str, Any]) -> Any:
    """Values as a share of their scale; good ones are dark, which of ranks are the small ones."""
    if scale["signed"]:
        return np.asarray(values) / scale["high"]
    if measure == "rank":
        return 1 - np.log1p(values) / math.log1p(scale["high"])
    return np.asarray(values) / scale["high"]
