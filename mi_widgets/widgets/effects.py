"""What edits do to the answer, as it travels: the line from corrupted to clean, and the next tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mi_widgets.widgets.lens_wire import shortened
from mi_widgets.widgets.plain import number, provenance_on_wire

if TYPE_CHECKING:
    from mi_widgets.experiment.effect import Effect

__all__ = ["effect_on_wire"]


def effect_on_wire(effect: Effect, question: Mapping[str, Any]) -> dict[str, Any]:
    """See tests/contract, `EFFECT`.

    Args:
        effect: over all prompts; its tokens are those of the one that is shown.
        question: the trait, for what the metric is called there.
    """
    result, where = effect.result, effect.provenance
    name = result.metric_name
    return {
        "metric": name,
        "label": question["metric_label"] if name == question["metric"] else name,
        "clean": number(effect.clean),
        "corrupted": number(effect.corrupted),
        "base": effect.base,
        "before": number(effect.before),
        "after": number(effect.after),
        "recovered": number(effect.recovered),
        "destroyed": number(effect.destroyed),
        "stderr": number(result.stderr),
        "n_prompts": len(result.per_prompt["metric"]),
        "noise_floor": where.noise_floor,
        "tokens": [
            {
                "id": token.id,
                "label": shortened(token.label),
                "before": number(token.before),
                "after": number(token.after),
                "before_rank": token.before_rank,
                "after_rank": token.after_rank,
            }
            for token in effect.tokens
        ],
        "note": " ".join(effect.notes),
        "provenance": provenance_on_wire(where, where.milliseconds),
    }
