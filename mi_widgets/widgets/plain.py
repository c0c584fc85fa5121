"""What widgets say in plain values and words: numbers and provenance for JSON, the question for readers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mi_widgets.results import Provenance

__all__ = ["asked_in_words", "number", "provenance_on_wire"]


def number(value: float, digits: int = 6) -> float | None:
    """A number for JSON, which has no NaN; the page draws null as "undefined".

    Example:
        >>> number(1 / 3), number(float("nan"))
        (0.333333, None)
    """
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def provenance_on_wire(where: Provenance, milliseconds: float) -> dict[str, Any]:
    """Where a picture's numbers came from, for a footer.

    Args:
        where: of the result.
        milliseconds: time of the forward passes; NaN where there were none.
    """
    return {
        "model": where.model,
        "dtype": where.dtype,
        "device": where.device,
        "kernel": where.kernel,
        "forward_ms": number(round(milliseconds, 2)),
        "recomputed": where.recomputed,
        "noise_floor": where.noise_floor,
    }


def asked_in_words(question: Mapping[str, Any]) -> list[str]:
    """Lines that say what is asked: prompts, what they are compared with, answer.

    Args:
        question: as the trait holds it.
    """
    lines = [f"prompt: {question['prompts']['clean']['text']}"]
    if question["prompts"]["corrupted"] is not None:
        lines.append(f"corrupted: {question['prompts']['corrupted']['text']}")
    if question["compare"] is not None:
        lines.append(f"compared with: {question['compare']['label']}")
    if question["answer"] is not None:
        other = question["distractor"]
        against = f" not {', '.join(other['texts'])!r}" if other is not None else ""
        lines.append(f"answer: {', '.join(question['answer']['texts'])!r}{against}")
    return lines
