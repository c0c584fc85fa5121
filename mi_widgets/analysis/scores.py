"""A score per head, read off its attention pattern: what kind of head it looks like on this prompt.

A = pattern[dest, src] of the run that is shown. Position 0 never counts as a source except for `first`. A score is NaN
where no dest is eligible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

Ids = tuple[int, ...]


@dataclass(frozen=True)
class HeadScore:
    """One score of every head.

    Attributes:
        label, card, source: what people read: name, one sentence with the formula, where the definition is from.
        values: [layer, head] float32 in the score's own unit.
        bars: [layer, head] float32 in 0..1, what is drawn.
        n: eligible rows, or None where that has no meaning.
        reason: why it is undefined on this prompt and what to do, or None.
    """

    label: str
    card: str
    source: str
    values: torch.Tensor
    bars: torch.Tensor
    n: int | None
    reason: str | None


@dataclass(frozen=True)
class Rule:
    """How one score is computed from a pattern.

    Attributes:
        label, card, source: as in `HeadScore`.
        value: (pattern [head, dest, src], ids) -> [head].
        eligible: ids -> number of rows that count.
        reason: what to say when there are none.
        nats: the value is an entropy; its bar is the share of the largest possible.
    """

    label: str
    card: str
    source: str
    value: Callable[[torch.Tensor, Ids], torch.Tensor]
    eligible: Callable[[Ids], int]
    reason: str
    nats: bool = False

    def bars(self, values: torch.Tensor, length: int) -> torch.Tensor:
        """Values as shares of 0..1 for drawing."""
        top = _largest_entropy(length) if self.nats else 1.0
        return (values.abs() / top).clamp(max=1) if top > 0 else values * math.nan


def _earlier(ids: Ids, dest: int) -> list[int]:
    """Positions before dest that hold the same token."""
    return [j for j in range(dest) if ids[j] == ids[dest]]


def duplicate_sources(ids: Ids) -> dict[int, list[int]]:
    """{dest: earlier positions of the same token, position 0 left out}, for the dests that have any."""
    found = {d: [j for j in _earlier(ids, d) if j > 0] for d in range(len(ids))}
    return {d: sources for d, sources in found.items() if sources}


def induction_sources(ids: Ids) -> dict[int, list[int]]:
    """{dest: positions right after an earlier occurrence of its token}, for the dests that have any."""
    found = {d: [j + 1 for j in _earlier(ids, d) if j + 1 < d] for d in range(len(ids))}
    return {d: sources for d, sources in found.items() if sources}


def _mean_mass(pattern: torch.Tensor, sources: dict[int, list[int]]) -> torch.Tensor:
    if not sources:
        return torch.full(pattern.shape[:1], math.nan, dtype=torch.float32)
    return torch.stack([pattern[:, dest, src].sum(-1) for dest, src in sources.items()]).mean(0)


def _previous(pattern: torch.Tensor, ids: Ids) -> torch.Tensor:
    if len(ids) < 3:
        return torch.full(pattern.shape[:1], math.nan, dtype=torch.float32)
    dest = torch.arange(2, len(ids))
    return pattern[:, dest, dest - 1].mean(-1)


def _first(pattern: torch.Tensor, ids: Ids) -> torch.Tensor:
    return pattern[:, 1:, 0].mean(-1) if len(ids) > 1 else torch.full(pattern.shape[:1], math.nan, dtype=torch.float32)


def _entropy(pattern: torch.Tensor, ids: Ids) -> torch.Tensor:
    if len(ids) < 2:
        return torch.full(pattern.shape[:1], math.nan, dtype=torch.float32)
    rows = pattern[:, 1:]
    rest = (1 - rows.sum(-1)).clamp(min=0)
    # A sink outside the pattern (gpt_oss) counts as one outcome; rounding of the rows does not.
    rest = torch.where(rest > 1e-3, rest, torch.zeros_like(rest))
    return (torch.special.entr(rows).sum(-1) + torch.special.entr(rest)).mean(-1)


def _largest_entropy(length: int) -> float:
    """Mean over dest >= 1 of log(visible sources)."""
    return sum(math.log(dest + 1) for dest in range(1, length)) / (length - 1) if length > 1 else 0.0


_TOO_SHORT = "this prompt is too short: it takes {} tokens"
_NO_REPEAT = "no repeated token here: use random tokens"

SCORES: dict[str, Rule] = {
    "previous": Rule(
        "previous",
        "Mean attention to the token just before: mean over dest >= 2 of A[dest, dest-1].",
        "TransformerLens detect_head, without the pair (1, 0)",
        _previous,
        lambda ids: max(0, len(ids) - 2),
        _TOO_SHORT.format("three"),
    ),
    "induction": Rule(
        "induction",
        "Attention to the token after an earlier occurrence of this one: mean over such dests of sum A[dest, j+1].",
        "prefix matching, Olsson et al. 2022",
        lambda pattern, ids: _mean_mass(pattern, induction_sources(ids)),
        lambda ids: len(induction_sources(ids)),
        _NO_REPEAT,
    ),
    "duplicate": Rule(
        "duplicate",
        "Attention to earlier occurrences of the same token: mean over repeated dests of sum A[dest, src].",
        "TransformerLens detect_head, over eligible rows",
        lambda pattern, ids: _mean_mass(pattern, duplicate_sources(ids)),
        lambda ids: len(duplicate_sources(ids)),
        _NO_REPEAT,
    ),
    "first": Rule(
        "first",
        "Attention to the first token, where heads rest: mean over dest >= 1 of A[dest, 0].",
        "attention sink",
        _first,
        lambda ids: max(0, len(ids) - 1),
        _TOO_SHORT.format("two"),
    ),
    "entropy": Rule(
        "entropy",
        "How spread attention is, in nats: mean over dest >= 1 of -sum p log p; bar: share of the largest possible.",
        "Shannon entropy of each row",
        _entropy,
        lambda ids: max(0, len(ids) - 1),
        _TOO_SHORT.format("two"),
        nats=True,
    ),
}
"""The scores that are read off a pattern, in the order in which they are offered."""


def score_layer(pattern: torch.Tensor, ids: Ids) -> dict[str, torch.Tensor]:
    """All scores of one layer's heads.

    Args:
        pattern: [head, dest, src] float32.
        ids: the prompt's token ids.

    Returns:
        {name: [head] float32}.
    """
    return {name: rule.value(pattern, ids) for name, rule in SCORES.items()}
