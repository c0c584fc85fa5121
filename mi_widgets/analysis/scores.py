"""A score per head, read off its attention pattern: what kind of head it looks like on this prompt.

A = pattern[dest, src] of the run that is shown. Position 0 never counts as a source except for `first`. A score is NaN
where no dest is eligible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

Ids = tuple[int, ...]

Range = tuple[int, int]
"""Half open."""


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


@dataclass(frozen=True, eq=False)
class Pairs:
    """Cells (dest, src) of a pattern, in order of dest.

    Attributes:
        dest, src: [cell] int64.
        rows: how many dests have any.
    """

    dest: torch.Tensor
    src: torch.Tensor
    rows: int

    @classmethod
    def of(cls, marked: torch.Tensor) -> Pairs:
        """The cells marked in [dest, src]."""
        dest, src = marked.nonzero(as_tuple=True)
        return cls(dest, src, int(marked.any(-1).sum()))

    def mass(self, block: torch.Tensor, rows: Range) -> torch.Tensor:
        """Attention on these cells, summed over the dests of a block: [head, dest, src] -> [head]."""
        low, high = (int(i) for i in torch.searchsorted(self.dest, torch.tensor(rows)))
        return block[:, self.dest[low:high] - rows[0], self.src[low:high]].sum(-1)


@dataclass(frozen=True, eq=False)
class Facts:
    """What scores need to know of a prompt.

    Attributes:
        length: its tokens.
        duplicate: cells of earlier occurrences of the dest's token, position 0 left out.
        induction: cells right after an earlier occurrence, before the dest.
        earlier: [dest, src] bool, all cells of earlier occurrences.
    """

    length: int
    duplicate: Pairs
    induction: Pairs
    earlier: torch.Tensor

    @cached_property
    def detected(self) -> dict[str, Pairs]:
        """The cells that TransformerLens' `detect_head` looks at."""
        before = torch.eye(self.length, dtype=torch.bool).roll(-1, 1)
        return {
            "previous": Pairs.of(before.tril(-1)),
            "duplicate": Pairs.of(self.earlier),
            "induction": Pairs.of(_after(self.earlier).tril()),
        }


@lru_cache(maxsize=16)
def facts_of(ids: Ids) -> Facts:
    """What scores need to know of a prompt with these token ids."""
    earlier = _earlier(ids)
    duplicate = earlier.clone()
    duplicate[:, :1] = False
    return Facts(len(ids), Pairs.of(duplicate), Pairs.of(_after(earlier).tril(-1)), earlier)


def _earlier(ids: Ids) -> torch.Tensor:
    """[dest, src] bool: src comes before dest and holds the same token."""
    tokens = torch.tensor(ids, dtype=torch.long)
    return (tokens[:, None] == tokens[None]).tril(-1)


def _after(earlier: torch.Tensor) -> torch.Tensor:
    """[dest, src] bool: src comes right after a marked one."""
    return torch.nn.functional.pad(earlier[:, :-1], (1, 0))


Total = Callable[[torch.Tensor, Range, Facts], torch.Tensor]
"""(block [head, dest, src] of some dests, which, the prompt) -> the sum over those that count, [head]."""


@dataclass(frozen=True)
class Rule:
    """How one score is computed from a pattern: a mean over the dests that count.

    Attributes:
        label, card, source: as in `HeadScore`.
        total: its sum over the dests of a block that count.
        eligible: prompt -> number of dests that count.
        reason: what to say when there are none.
        nats: the value is an entropy; its bar is the share of the largest possible.
        share: not a mean over dests, but the share of all attention there is.
    """

    label: str
    card: str
    source: str
    total: Total
    eligible: Callable[[Facts], int]
    reason: str
    nats: bool = False
    share: bool = False

    def bars(self, values: torch.Tensor, length: int) -> torch.Tensor:
        """Values as shares of 0..1 for drawing."""
        top = _largest_entropy(length) if self.nats else 1.0
        return (values.abs() / top).clamp(max=1) if top > 0 else values * math.nan


class Tally:
    """Scores of one layer's heads, added up block by block, so that whole patterns need not exist.

    Args:
        rules: which scores.
        facts: the prompt.
        n_heads: heads of the layer.
    """

    def __init__(self, rules: Mapping[str, Rule], facts: Facts, n_heads: int) -> None:
        self.rules, self.facts = rules, facts
        self._sums = {name: torch.zeros(n_heads, dtype=torch.float32) for name in rules}
        self._mass = torch.zeros(n_heads, dtype=torch.float32)
        self._shares = any(rule.share for rule in rules.values())

    def add(self, block: torch.Tensor, heads: slice, rows: Range) -> None:
        """Count a block [head, dest, src] of some heads and dests; each cell once."""
        for name, rule in self.rules.items():
            self._sums[name][heads] += rule.total(block, rows, self.facts).cpu()
        if self._shares:
            self._mass[heads] += block.sum((1, 2)).cpu()

    def values(self) -> dict[str, torch.Tensor]:
        """{name: [head] float32}; NaN where no dest counts."""
        found = {}
        for name, rule in self.rules.items():
            n = rule.eligible(self.facts)
            found[name] = self._sums[name] / (self._mass if rule.share else n if n else math.nan)
        return found


def _cut(block: torch.Tensor, rows: Range, first: int) -> tuple[torch.Tensor, int]:
    """The block from a first dest on, and the number of that dest."""
    skip = max(0, first - rows[0])
    return block[:, skip:], rows[0] + skip


def _previous(block: torch.Tensor, rows: Range, _: Facts) -> torch.Tensor:
    block, start = _cut(block, rows, 2)
    each = torch.arange(block.shape[1])
    return block[:, each, each + start - 1].sum(-1)


def _first(block: torch.Tensor, rows: Range, _: Facts) -> torch.Tensor:
    return _cut(block, rows, 1)[0][:, :, 0].sum(-1)


def _entropy(block: torch.Tensor, rows: Range, _: Facts) -> torch.Tensor:
    block, _start = _cut(block, rows, 1)
    rest = (1 - block.sum(-1)).clamp(min=0)
    # A sink outside the pattern (gpt_oss) counts as one outcome; rounding of the rows does not.
    rest = torch.where(rest > 1e-3, rest, torch.zeros_like(rest))
    return (torch.special.entr(block).sum(-1) + torch.special.entr(rest)).sum(-1)


def _largest_entropy(length: int) -> float:
    """Mean over dest >= 1 of log(visible sources)."""
    return sum(math.log(dest + 1) for dest in range(1, length)) / (length - 1) if length > 1 else 0.0


def _of(pairs: Callable[[Facts], Pairs]) -> Total:
    return lambda block, rows, facts: pairs(facts).mass(block, rows)


_TOO_SHORT = "this prompt is too short: it takes {} tokens"
_NO_REPEAT = "no repeated token here: use random tokens"

SCORES: dict[str, Rule] = {
    "previous": Rule(
        "previous",
        "Mean attention to the token just before: mean over dest >= 2 of A[dest, dest-1].",
        "TransformerLens detect_head, without the pair (1, 0)",
        _previous,
        lambda facts: max(0, facts.length - 2),
        _TOO_SHORT.format("three"),
    ),
    "induction": Rule(
        "induction",
        "Attention to the token after an earlier occurrence of this one: mean over such dests of sum A[dest, j+1].",
        "prefix matching, Olsson et al. 2022",
        _of(lambda facts: facts.induction),
        lambda facts: facts.induction.rows,
        _NO_REPEAT,
    ),
    "duplicate": Rule(
        "duplicate",
        "Attention to earlier occurrences of the same token: mean over repeated dests of sum A[dest, src].",
        "TransformerLens detect_head, over eligible rows",
        _of(lambda facts: facts.duplicate),
        lambda facts: facts.duplicate.rows,
        _NO_REPEAT,
    ),
    "first": Rule(
        "first",
        "Attention to the first token, where heads rest: mean over dest >= 1 of A[dest, 0].",
        "attention sink",
        _first,
        lambda facts: max(0, facts.length - 1),
        _TOO_SHORT.format("two"),
    ),
    "entropy": Rule(
        "entropy",
        "How spread attention is, in nats: mean over dest >= 1 of -sum p log p; bar: share of the largest possible.",
        "Shannon entropy of each row",
        _entropy,
        lambda facts: max(0, facts.length - 1),
        _TOO_SHORT.format("two"),
        nats=True,
    ),
}
"""The scores that are read off a pattern, in the order in which they are offered."""


def _share(name: str, what: str, pairs: Callable[[Facts], Pairs]) -> Rule:
    return Rule(
        f"{name}, of all",
        f"Share of all attention that goes {what}: sum of A over these cells / sum of A.",
        "TransformerLens detect_head(error_measure='mul')",
        _of(pairs),
        lambda facts: facts.length,
        "this prompt is empty",
        share=True,
    )


DETECTED: dict[str, Rule] = {
    "previous": _share("previous", "to the token just before", lambda facts: facts.detected["previous"]),
    "induction": _share(
        "induction", "to tokens after an occurrence of the same token", lambda facts: facts.detected["induction"]
    ),
    "duplicate": _share(
        "duplicate", "to earlier occurrences of the same token", lambda facts: facts.detected["duplicate"]
    ),
}
"""The same kinds of heads as TransformerLens tells them: with position 0 as a source, the pair (1, 0), and for
induction the diagonal (a token said twice in a row), and divided by all attention there is."""


def score_layer(pattern: torch.Tensor, ids: Ids, rules: Mapping[str, Rule] = SCORES) -> dict[str, torch.Tensor]:
    """Scores of one layer's heads.

    Args:
        pattern: [head, dest, src] float32.
        ids: the prompt's token ids.
        rules: which scores.

    Returns:
        {name: [head] float32}.

    Example:
        >>> import torch
        >>> pattern = torch.tensor([[[1.0, 0, 0], [1, 0, 0], [0.25, 0.75, 0]]])
        >>> float(score_layer(pattern, (5, 6, 7))["previous"])
        0.75
    """
    tally = Tally(rules, facts_of(ids), len(pattern))
    tally.add(pattern, slice(None), (0, len(ids)))
    return tally.values()


def scored(
    rules: Mapping[str, Rule], shape: tuple[int, int], by_layer: Mapping[int, Mapping[str, torch.Tensor]], *facts: Facts
) -> dict[str, HeadScore]:
    """Scores of all heads, with what people read about them.

    Args:
        rules: which.
        shape: layers and heads.
        by_layer: {layer: {name: [head]}}; layers that are not there are NaN.
        facts: the prompt; or several of one length, over which the scores are the mean.
    """
    found = {}
    for name, rule in rules.items():
        values = torch.full(shape, math.nan, dtype=torch.float32)
        for layer, own in by_layer.items():
            values[layer] = own[name]
        n = sum(rule.eligible(one) for one in facts)
        reason = rule.reason if n == 0 else None
        bars = rule.bars(values, facts[0].length)
        found[name] = HeadScore(rule.label, rule.card, rule.source, values, bars, n, reason)
    return found
