"""A cheap look at all weights: a number of every row and every column of every matrix.

Weights that are edited through ``p.data`` leave no trace in versions. A forward pass tells, but costs one; one row and
one column of each matrix cost some milliseconds, and no edit of whole rows, columns, heads or neurons passes them by.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

_WHOLE = {2: torch.int16, 4: torch.int32, 8: torch.int64}
KEPT = 64
"""Sets of tokens whose rows are remembered."""


class Fingerprint:
    """A sample of a model's weights, to be compared with itself later.

    Args:
        hf: the model; parameters without storage are left out.
        vocabulary: how many tokens it embeds: of matrices of that many rows only those of some tokens are looked at.

    Example:
        >>> import mi_widgets as mi
        >>> model = mi.load()
        >>> before = Fingerprint(model.hf, model.architecture.d_vocab)
        >>> before.same([1, 2, 3])
        True
    """

    def __init__(self, hf: nn.Module, vocabulary: int) -> None:
        weights = [p.detach() for p in hf.parameters() if not p.is_meta]
        self._by_token = [p for p in weights if p.ndim == 2 and p.shape[0] == vocabulary]
        self._views = [v for p in weights if p.ndim != 2 or p.shape[0] != vocabulary for v in _lines(p)]
        self._then = _sample(self._views)
        self._rows: dict[tuple[int, ...], list[torch.Tensor]] = {}

    def same(self, tokens: Iterable[int]) -> bool:
        """Whether the weights are what they were, and the rows of some tokens what they were when first asked about."""
        ids = tuple(sorted(set(tokens)))
        rows = [p[list(ids)] for p in self._by_token]
        if ids not in self._rows:
            self._rows[ids] = rows
            while len(self._rows) > KEPT:
                del self._rows[next(iter(self._rows))]
        return _equal(_sample(self._views), self._then) and _equal(rows, self._rows[ids])


def _equal(now: list[torch.Tensor], then: list[torch.Tensor]) -> bool:
    return all(torch.equal(_bits(a), _bits(b)) for a, b in zip(now, then, strict=True))


def _bits(t: torch.Tensor) -> torch.Tensor:
    """As whole numbers: NaN is equal to itself there."""
    return t.view(_WHOLE.get(t.element_size(), torch.uint8))


def _sample(views: list[torch.Tensor]) -> list[torch.Tensor]:
    """One tensor for each dtype and device."""
    groups: dict[tuple[torch.dtype, torch.device], list[torch.Tensor]] = {}
    for view in views:
        groups.setdefault((view.dtype, view.device), []).append(view)
    return [torch.cat(several) for several in groups.values()]


def _lines(p: torch.Tensor) -> list[torch.Tensor]:
    """The first row and the first column of a matrix, or of each of several; all of a vector."""
    if p.numel() == 0:
        return []
    if p.ndim < 2:
        return [p.reshape(-1)]
    if p.ndim == 2:
        return [p[0], p[:, 0]]
    return [line for matrix in p for line in _lines(matrix)]
