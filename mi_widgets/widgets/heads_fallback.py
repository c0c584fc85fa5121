"""The heads widget where no widget can live: a picture and words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mi_widgets.export.image import AtlasPicture, atlas_png
from mi_widgets.widgets.plain import asked_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mi_widgets.analysis.attention import Atlas

__all__ = ["picture", "words"]


def picture(atlas: Atlas, question: Mapping[str, Any]) -> bytes:
    """A PNG of the atlas, with the prompt, the score that is defined first, and where it came from."""
    shown = next((name for name, score in atlas.scores.items() if score.reason is None), None)
    score = atlas.scores[shown] if shown is not None else None
    where = atlas.provenance
    layers, heads = atlas.thumbs.shape[:2]
    forward = f"forward {atlas.forward_ms:.1f} ms" if math.isfinite(atlas.forward_ms) else ""
    return atlas_png(
        AtlasPicture(
            title=question["title"] or "Attention heads",
            model=" · ".join(filter(None, (where.model, f"{layers} layers × {heads} heads", where.dtype))),
            tokens=tuple(_prompt(atlas, question)["labels"]),
            run=atlas.run,
            thumbs=atlas.thumbs.numpy(),
            score=score.label if score is not None else "",
            bars=score.bars.numpy() if score is not None else None,
            footer=tuple(filter(None, (forward, where.recomputed, where.kernel, where.device))),
        )
    )


def words(atlas: Atlas | None, question: Mapping[str, Any]) -> str:
    """Model, prompt, and the heads that stand out in each score."""
    model = question["model"]
    lines = [
        f"Attention heads of {model['name']} ({model['n_layers']} layers x {model['n_heads']} heads)"
        if model is not None
        else question["title"] or "Attention heads, from arrays",
        *asked_in_words(question),
    ]
    if atlas is None:
        return "\n".join(lines)
    lines.append(f"run: {atlas.run}; the heads that stand out:")
    width = max((len(score.label) for score in atlas.scores.values()), default=0)
    lines += [f"  {score.label:<{width}}  {score.reason or _top(score.values)}" for score in atlas.scores.values()]
    return "\n".join(lines)


def _prompt(atlas: Atlas, question: Mapping[str, Any]) -> Mapping[str, Any]:
    """The prompt that the axes of a run are labelled with."""
    prompts: Mapping[str, Any] = question["prompts"]
    if atlas.run == "other":
        compared: Mapping[str, Any] = question["compare"]["prompt"]
        return compared
    name = {"edited": question["base"], "corrupted": "corrupted"}.get(atlas.run, "clean")
    found: Mapping[str, Any] = prompts.get(name) or prompts["clean"]
    return found


def _top(values: Any, most: int = 3) -> str:
    """The heads with the largest values by magnitude: "L1H1 0.87, L0H2 0.41"."""
    cells = [
        (value, f"L{layer}H{head}")
        for layer, row in enumerate(values.tolist())
        for head, value in enumerate(row)
        if math.isfinite(value)
    ]
    cells.sort(key=lambda cell: -abs(cell[0]))
    return ", ".join(f"{name} {value:.2f}" for value, name in cells[:most]) or "undefined here"
