"""Edits of a prompt, carried out in a run over a longer text that begins with it.

An answer of several tokens is measured after the prompt, and generation goes on from it. Edits keep acting at absolute
positions there. A pass may see all of the text or, with a cache, only its last tokens; keys and values are then still
seen for all that attention reads, since what a cache keeps was put there before edits of k and v.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..model.access import Key, Visitor
from ..model.architecture import SITES
from .layouts import SQUARE
from .writes import Write

Fired = Callable[[Write, int, int], None]
"""Called with a write, the prompt's number, and how many positions it has written."""


@dataclass(frozen=True)
class Span:
    """Where the rows of a pass lie.

    Attributes:
        pads: columns of padding in front of each prompt.
        lengths: tokens of each prompt, without what goes on after it.
        total: columns of the text so far, of which a pass sees the last ones.
    """

    pads: tuple[int, ...]
    lengths: tuple[int, ...]
    total: int


def visitors_in(writes: Sequence[Sequence[Write]], span: Span, fired: Fired | None = None) -> dict[Key, Visitor]:
    """Visitors that carry out writes in one pass.

    Args:
        writes: for each prompt what is written, in order; positions count in the text, the prompt's first.
        span: where the rows lie.
        fired: is told of every write that was carried out.

    Returns:
        {(site, layer): visitor}, in the order of the computation.
    """
    by_key: dict[Key, list[list[Write]]] = {}
    for row, several in enumerate(writes):
        for write in several:
            by_key.setdefault(write.key, [[] for _ in writes])[row].append(write)
    order = {kind: i for i, kind in enumerate(SITES)}
    keys = sorted(by_key, key=lambda key: (-1 if key[1] is None else key[1], order[key[0]]))

    def visitor_of(kind: str, rows: list[list[Write]]) -> Visitor:
        carry = _square if kind in SQUARE else _stream

        def visitor(value: torch.Tensor) -> torch.Tensor:
            new = value.clone()
            for row, several in enumerate(rows):
                for write in several:
                    count = carry(write, new[row], span, row)
                    if fired is not None and count:
                        fired(write, row, count)
            return new

        return visitor

    return {key: visitor_of(key[0], by_key[key]) for key in keys}


def _present(write: Write, span: Span, row: int, shown: int) -> tuple[list[int], list[int]]:
    """Which of a write's positions are among the last `shown` columns: their numbers, and where they lie there."""
    first = span.total - shown
    places = [span.pads[row] + p - first for p in write.positions]
    found = [i for i, place in enumerate(places) if 0 <= place < shown]
    return found, [places[i] for i in found]


def _stream(write: Write, value: torch.Tensor, span: Span, row: int) -> int:
    """Carry out a write in value [position, ...site axes]; returns how many positions were there."""
    numbers, places = _present(write, span, row, value.shape[0])
    if places:
        # What is not shown in this pass is left out again after it was changed, for sources that go by position.
        here = value.new_zeros(len(write.positions), *value.shape[1:])
        here[numbers] = value[places]
        value[places] = write.apply(here)[numbers]
    return len(places)


def _square(write: Write, value: torch.Tensor, span: Span, row: int) -> int:
    """The same for scores and patterns [head, dest, src]."""
    numbers, places = _present(write, span, row, value.shape[1])
    if not places:
        return 0
    pad, first = span.pads[row], span.total - value.shape[2]
    # A write in the prompt knows the prompt's own sources only; those after it are masked there.
    inside = max(write.positions) < span.lengths[row]
    width = span.lengths[row] if inside else span.total - pad
    low = max(first - pad, 0)  # sources before this are no longer kept
    away = -torch.inf if write.key[0] == "scores" else 0.0
    here = value.new_full((len(write.positions), value.shape[0], width), away)
    columns = slice(pad + low - first, pad + width - first)
    here[numbers, :, low:] = value[:, places, columns].transpose(0, 1)
    value[:, places, columns] = write.apply(here)[numbers][:, :, low:].transpose(0, 1)
    return len(places)


def by_prompt(writes: Sequence[Sequence[Sequence[Write]]]) -> list[list[Write]]:
    """[edit][prompt][write] -> [prompt][write], in the edits' order."""
    return [[write for edit in writes for write in edit[row]] for row in range(len(writes[0]))] if writes else []
