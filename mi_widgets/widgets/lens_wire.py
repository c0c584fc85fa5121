"""The lens as it travels to the page: which cells open first, what a measure is called, arrays and labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mi_widgets.analysis.lens_measures import MEASURES, reason_against
from mi_widgets.widgets.arrays import Array, f32, i32, u8

if TYPE_CHECKING:
    import torch

    from mi_widgets.analysis.lens_compare import LensCells
    from mi_widgets.analysis.lens_result import LensResult
    from mi_widgets.analysis.lens_rows import LensRow
    from mi_widgets.interventions.question import Question

__all__ = [
    "CELL_BYTES", "MOST_COLUMNS", "MOST_ROWS", "SIGNED", "arrays_of", "card_of", "columns_at_first", "labelled",
    "measures_on_wire", "rows_at_first", "rows_on_wire", "scale_of", "side_by_side",
]  # fmt: skip

MOST_ROWS = 18
MOST_COLUMNS = 32
LONGEST_LABEL = 64
CELL_BYTES = 96
"""What a cell of five tokens takes on the wire, its share of their labels included."""

UNITS = {"entropy": "nats", "kl": "nats", "cross_entropy": "nats", "logit_diff": "logits"}
"""What stands behind a number; probabilities and ranks stand alone."""

SIGNED = ("difference", "change")
"""The runs whose measures are one thing minus another."""


SENTENCES = {
    "prob": "How probable the top token would be if the model stopped at this row.",
    "rank": "How many tokens this row holds more likely than the answer; 0 is the top.",
    "entropy": "How undecided this row is between tokens.",
    "kl": "How far this row is from what the model says in the end.",
    "logit_diff": "How much this row prefers the answer to the distractor; without one, to all tokens on average.",
    "cross_entropy": "How surprised this row is by the token that comes next; at the answer position, by the answer.",
}
"""What a measure is, in a sentence for people who meet it for the first time."""


def columns_at_first(length: int, answer: int, most: int = MOST_COLUMNS) -> tuple[int, int]:
    """The columns that open first, half open: `most` at the end of the prompt, or round an answer further in front.

    Example:
        >>> columns_at_first(512, 511), columns_at_first(512, 100), columns_at_first(15, 14)
        ((480, 512), (76, 108), (0, 15))
    """
    high = min(length, max(most, answer + 1 + most // 4)) if answer + most // 4 < length else length
    return max(0, high - most), high


def rows_at_first(rows: Sequence[LensRow], most: int = MOST_ROWS) -> tuple[int, ...]:
    """Numbers of the rows that open first: all, or the input, every so many layers with all their rows, and the last.

    Args:
        rows: all there are, in order.
        most: how many may open, if the last layer's rows alone are not more.
    """
    if len(rows) <= most:
        return tuple(range(len(rows)))
    layers = sorted({row.layer for row in rows[1:]})
    of_layer = {layer: [at for at, row in enumerate(rows) if at > 0 and row.layer == layer] for layer in layers}
    stride = 2
    while True:
        chosen = layers[::-1][::stride]
        found = [0, *(at for layer in reversed(chosen) for at in of_layer[layer])]
        if len(found) <= most or len(chosen) == 1:
            return tuple(found)
        stride += 1


def rows_on_wire(rows: Iterable[LensRow]) -> list[dict[str, Any]]:
    """Every row: its site, layer, label and whether it is a stream or a contribution."""
    return [{"site": row.site, "layer": row.layer, "label": row.label, "kind": row.kind} for row in rows]


def labelled(ids: Iterable[int], label: Any) -> dict[str, str]:
    """{id: label} of tokens, each once; what is very long is shortened in its middle.

    Args:
        ids: of tokens.
        label: a token's id -> how it is shown.
    """
    return {str(token): shortened(label(token)) for token in sorted(set(ids))}


def shortened(label: str) -> str:
    """A label that fits a table: at most 64 characters."""
    if len(label) <= LONGEST_LABEL:
        return label
    return f"{label[: LONGEST_LABEL // 2]}…{label[-(LONGEST_LABEL // 2 - 1) :]}"


def measures_on_wire(question: Question) -> list[dict[str, Any]]:
    """The menu of measures: name, label, what each is, and why it cannot be shown of a question or None."""
    return [
        {"name": name, "label": one.label, "card": SENTENCES[name], "reason": reason_against(question, name)}
        for name, one in MEASURES.items()
    ]


def card_of(measure: str) -> dict[str, str]:
    """What a measure is, its formula and where that is from."""
    return {"title": SENTENCES[measure], "formula": MEASURES[measure].formula, "source": MEASURES[measure].source}


def arrays_of(block: LensCells | LensResult, measure: str) -> dict[str, Array]:
    """Cells of a block: top tokens, their probabilities (of contributions: logits), the measure, what an edit changed.

    Args:
        block: rows and positions of one run.
        measure: which one is shown.
    """
    return side_by_side([block], measure)[0]


def side_by_side(blocks: Sequence[LensCells | LensResult], measure: str) -> tuple[dict[str, Array], list[int]]:
    """The arrays of blocks of the same rows whose positions follow each other, and the ids of their tokens."""

    def joined(values: Iterable[torch.Tensor]) -> Any:
        return np.concatenate([value.numpy() for value in values], axis=1)

    ids = joined(block.top_ids for block in blocks)
    probs, logits = joined(block.probs for block in blocks), joined(block.logits for block in blocks)
    found = {
        "top_ids": i32(ids),
        "top_values": f32(np.where(np.isnan(probs), logits, probs)),
        "value": f32(joined(block.measures[measure] for block in blocks)),
    }
    changed = [block.changed for block in blocks if block.changed is not None]
    if changed:
        found["changed"] = u8(joined(changed), scale=1, offset=0)
    return found, ids.flatten().tolist()


def scale_of(measure: str, values: Any, run: str, d_vocab: int) -> dict[str, Any]:
    """What the colour of a measure runs over.

    A probability, a rank and an entropy have ends of their own; others end where the cells of `values` do.

    Args:
        measure: its name.
        values: of the cells that open first; NaN where undefined.
        run: whose; of a difference the scale is around 0.
        d_vocab: size of the vocabulary.
    """
    finite = np.asarray(values, dtype=np.float64)
    top = float(np.abs(finite[np.isfinite(finite)]).max(initial=0.0)) or 1.0
    signed = run in SIGNED or measure == "logit_diff"
    if not signed:
        top = {"prob": 1.0, "rank": float(d_vocab - 1), "entropy": math.log(d_vocab)}.get(measure, top)
    return {"low": -top if signed else 0.0, "high": top, "signed": signed, "unit": UNITS.get(measure, "")}
