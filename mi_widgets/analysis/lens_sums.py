"""What is left of logits once they are gone: sums, tops, counts and single ones, gathered a block of tokens at a time.

A block is looked at while the cache still holds it and then forgotten, so that logits of all tokens of all rows are
never there together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

GROUPS = 16
"""Rows into which a block is folded to find its tops: the top k lie in the k folds with the greatest maxima."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is asked of the logits of some cells.

    Attributes:
        k: how many of the greatest.
        bottom: the k smallest too.
        probabilities: log of the sum of exponentials.
        entropy: and the entropy.
        mean: the mean over the vocabulary.
        picks: [cell, pick] int64: tokens whose logits are wanted; -1 = none.
        above: [cell, count] float32: logits that are compared with all others; NaN = none.
        finals: cells come in this many rows of equal length of which the last is the final one, and the divergence of
            each from it is wanted; 0 = it is not.
    """

    k: int
    bottom: bool = False
    probabilities: bool = True
    entropy: bool = False
    mean: bool = False
    picks: torch.Tensor | None = None
    above: torch.Tensor | None = None
    finals: int = 0


class Tally:
    """Takes in the logits of some cells, block by block.

    Args:
        wanted: what is asked.
        cells: how many.
        device: where they are.

    Attributes:
        top, top_ids: [cell, k] the greatest, in falling order.
        low, low_ids: [cell, k] the smallest, in rising order.
        shift: [cell] the greatest logit.
        picked: [cell, pick] logits of the tokens picked; NaN for none.
        count: [cell, count] int64, how many logits are strictly greater than `above`.

    Example:
        >>> logits = torch.randn(2, 100)
        >>> tally = Tally(Wanted(3), 2, logits.device)
        >>> for low in (0, 50):
        ...     tally.add(logits[:, low : low + 50].clone(), low)
        >>> bool(torch.equal(tally.top_ids, logits.topk(3).indices))
        True
        >>> torch.allclose(tally.lse, logits.logsumexp(-1))
        True
    """

    def __init__(self, wanted: Wanted, cells: int, device: torch.device) -> None:
        def full(value: float, *shape: int) -> torch.Tensor:
            return torch.full((cells, *shape), value, dtype=torch.float32, device=device)

        self.wanted = wanted
        self.top, self.low = full(-math.inf, wanted.k), full(math.inf, wanted.k)
        self.top_ids = torch.full((cells, wanted.k), -1, dtype=torch.long, device=device)
        self.low_ids = self.top_ids.clone()
        self.picked = None if wanted.picks is None else full(math.nan, wanted.picks.shape[1])
        self.count = None if wanted.above is None else torch.zeros_like(wanted.above, dtype=torch.long)
        self._sum, self._size = full(0.0), 0
        # Sums of exponentials of what is left of each logit when the shift, which is the greatest so far, is taken off.
        self.shift, self._total, self._weighted = full(-math.inf), full(0.0), full(0.0)
        self._across = full(0.0).view(wanted.finals, -1) if wanted.finals else None

    def add(self, block: torch.Tensor, low: int) -> None:
        """Take in [cell, token] float32 logits of the tokens from `low` on; the block is written over."""
        wanted = self.wanted
        if self.picked is not None:
            assert wanted.picks is not None
            own = wanted.picks - low
            inside = (own >= 0) & (own < block.shape[1])
            found = block.gather(1, own.clamp(0, block.shape[1] - 1))
            self.picked = torch.where(inside, found, self.picked)
        if self.count is not None:
            assert wanted.above is not None
            for i in range(wanted.above.shape[1]):
                self.count[:, i] += (block > wanted.above[:, i, None]).sum(-1)
        greatest = self._tops(block, low, True)
        if wanted.bottom:
            self._tops(block, low, False)
        if wanted.mean:
            self._sum += block.sum(-1)
        self._size += block.shape[1]
        if wanted.probabilities:
            self._exponentials(block, greatest)

    def _tops(self, block: torch.Tensor, low: int, largest: bool) -> torch.Tensor:
        """Merge the greatest (or smallest) of a block with those so far; gives the greatest of each cell."""
        k, width = self.wanted.k, block.shape[1] // GROUPS
        kept, ids = (self.top, self.top_ids) if largest else (self.low, self.low_ids)
        if width <= 4 * k:
            found, where = block.topk(min(k, block.shape[1]), -1, largest)
        else:
            folded = block[:, : GROUPS * width].unflatten(1, (GROUPS, width))
            best = folded.amax(1) if largest else folded.amin(1)
            fold = best.topk(k, -1, largest).indices
            steps = torch.arange(GROUPS, device=block.device)[:, None] * width
            where = (fold[:, None] + steps).flatten(1)
            rest = torch.arange(GROUPS * width, block.shape[1], device=block.device).expand(len(block), -1)
            where = torch.cat([where, rest], 1)
            found, inner = block.gather(1, where).topk(k, -1, largest)
            where = where.gather(1, inner)
        values, chosen = torch.cat([kept, found], 1).topk(k, -1, largest)
        now = torch.cat([ids, where + low], 1).gather(1, chosen)
        if largest:
            self.top, self.top_ids = values, now
        else:
            self.low, self.low_ids = values, now
        return found[:, 0]

    def _exponentials(self, block: torch.Tensor, greatest: torch.Tensor) -> None:
        shift = torch.maximum(self.shift, greatest)
        rise = torch.where(self._total > 0, shift - self.shift, torch.zeros_like(shift))
        self.shift = shift
        less = (-rise).exp()
        if self._across is not None:
            final = slice(-self._across.shape[1], None)
            rise_of = rise.view_as(self._across)
            self._across = less[final] * (self._across - rise_of * self._total[final])
        self._weighted = less * (self._weighted - rise * self._total)
        self._total = less * self._total
        left = block.sub_(shift[:, None])
        if not self.wanted.entropy and self._across is None:
            self._total = self._total + left.exp_().sum(-1)
            return
        powers = left.exp()
        self._total = self._total + powers.sum(-1)
        if self.wanted.entropy:
            self._weighted = self._weighted + torch.einsum("cv,cv->c", powers, left)
        if self._across is not None:
            rows, length = self._across.shape
            self._across = self._across + torch.einsum("pv,rpv->rp", powers[-length:], left.view(rows, length, -1))

    @property
    def lse(self) -> torch.Tensor:
        """[cell] log of the sum of exponentials."""
        return self.shift + self.rest

    @property
    def rest(self) -> torch.Tensor:
        """[cell] the same sum of what is left of each logit when `shift` is taken off."""
        return self._total.log()

    @property
    def entropy(self) -> torch.Tensor:
        """[cell] in nats: log of the sum minus the mean logit under the probabilities."""
        return self._total.log() - self._weighted / self._total

    @property
    def mean(self) -> torch.Tensor:
        """[cell] over the vocabulary."""
        return self._sum / self._size

    @property
    def divergence(self) -> torch.Tensor:
        """[row, position] KL(final || row) in nats: of the probabilities of each row from those of the last one."""
        assert self._across is not None
        rows, length = self._across.shape
        under = self._across / self._total[-length:] - self._total.log().view(rows, length)
        return (under[-1] - under).clamp(min=0)
