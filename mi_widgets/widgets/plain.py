"""Numbers and provenance as JSON carries them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mi_widgets.results import Provenance

__all__ = ["number", "provenance_on_wire"]


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
