"""A text that grows token by token: run with the model's own cache of keys and values, where that is proven to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from .access import Key, Visitor
from .architecture import SITES
from .batches import Batch
from .handle import Model
from .proof import limit_of

KEPT_SITES = frozenset({"k", "v"})
"""Sites that a pass over new tokens shows for the tokens before them too: attention reads them from the cache."""

_SQUARE = frozenset({"scores", "pattern"})


@dataclass(frozen=True)
class Fit:
    """Whether a model's cache can be used.

    Attributes:
        reason: why not; None when passes over new tokens alone give what a pass over the whole text gives.
        hidden: sites that such passes do not show as a whole pass does: {(site, layer)}.
    """

    reason: str | None
    hidden: frozenset[Key] = frozenset()


class Decoder:
    """The prompts of a batch and what comes after them, run a piece at a time with the model's cache.

    Args:
        model: the model, with `fit_of(model).reason` None.
        batch: the prompts; padded rows stay padded on the left.

    Attributes:
        total: columns run so far.
    """

    def __init__(self, model: Model, batch: Batch) -> None:
        self.model = model
        self.pads = torch.tensor(batch.pads, device=model.device)[:, None]
        self.total = 0
        self._cache: Any = None

    def step(self, ids: torch.Tensor, visitors: Mapping[Key, Visitor] | None = None) -> torch.Tensor:
        """Run the next columns.

        Args:
            ids: [row, column] int64, behind those run before.
            visitors: {(site, layer): function}; a value has the new columns only, but for `KEPT_SITES`, and for the
                sources of scores and pattern: those end with the new columns too, and may lack early ones that no
                later token looks at.

        Returns:
            [row, vocab] logits of the last column, in the model's dtype.
        """
        ids = ids.to(self.model.device)
        new = ids.shape[1]
        self.total += new
        more: dict[str, Any] = {}
        if bool(self.pads.any()):
            columns = torch.arange(self.total, device=ids.device)
            more["attention_mask"] = (columns >= self.pads).long()
            more["position_ids"] = (columns[-new:] - self.pads).clamp(min=0)
        if self._cache is not None:
            more["past_key_values"] = self._cache
        with self.model.passing(visitors) as shadow:
            out: Any = shadow(input_ids=ids, use_cache=True, **more)
        self._cache = out.past_key_values
        logits: torch.Tensor = out.logits[:, -1]
        return logits


_FITS: WeakKeyDictionary[Model, tuple[int, Fit]] = WeakKeyDictionary()


def fit_of(model: Model) -> Fit:
    """Whether a model's cache can be used, proven on a few tokens when first asked for.

    Example:
        >>> import mi_widgets as mi
        >>> fit_of(mi.load())
        Fit(reason=None, hidden=frozenset())
    """
    known = _FITS.get(model)
    if known is None or known[0] != model.generation:
        try:
            found = _prove(model)
        except Exception as problem:  # whatever a foreign class does with a cache it did not expect
            found = Fit(f"its cache does not work here ({type(problem).__name__}: {problem})")
        known = _FITS[model] = model.generation, found
    return known[1]


def _prove(model: Model) -> Fit:
    """Run five tokens whole, and again as three, one and one; compare the logits and every site."""
    ids = model._probe_ids()[0].tolist()
    texts = [model.tokens(ids)]
    if model.architecture.padding is None:
        texts.append(model.tokens(ids[1:4]))
    batch = Batch.of(texts, model.text.pad_id)
    keys: list[Key] = [
        (kind, layer) for kind in SITES if kind in model.architecture.sites for layer in model.layers_with(kind)
    ]
    whole, seen = _seeing(keys)
    logits = model.forward(batch, whole)
    limit = 10 * limit_of(model.dtype)
    decoder = Decoder(model, batch)
    hidden: set[Key] = set()
    for low, high in ((0, 3), (3, 4), (4, 5)):
        visitors, found = _seeing(keys)
        at = decoder.step(batch.ids[:, low:high], visitors)
        if decoder._cache is None:
            return Fit("it keeps no cache of keys and values")
        pads = [row for row, pad in enumerate(batch.pads) if pad < high]
        if not _near(at[pads], logits[pads, high - 1], limit):
            return Fit("with its cache it gives other logits than without")
        hidden |= {key for key in keys if not _same(key, found.get(key), seen[key], batch, low, high, limit)}
    return Fit(None, frozenset(hidden))


def _seeing(keys: list[Key]) -> tuple[dict[Key, Visitor], dict[Key, torch.Tensor]]:
    seen: dict[Key, torch.Tensor] = {}

    def see(key: Key) -> Visitor:
        def visitor(value: torch.Tensor) -> None:
            seen[key] = value.detach().clone()

        return visitor

    return {key: see(key) for key in keys}, seen


def _same(
    key: Key, found: torch.Tensor | None, whole: torch.Tensor, batch: Batch, low: int, high: int, limit: float
) -> bool:
    """Whether a pass over columns low to high shows what a whole pass shows of them."""
    if found is None or found.ndim != whole.ndim:
        return False
    for row, pad in enumerate(batch.pads):
        if key[0] in _SQUARE:
            dests, sources = found.shape[2:]
            first = max(pad, high - sources)
            expected = whole[row][:, max(low, pad) : high, first:high]
            shown = found[row][:, dests - (high - max(low, pad)) :, sources - (high - first) :]
        else:
            shown_columns = found.shape[1]
            first = max(pad, high - shown_columns if key[0] in KEPT_SITES else low)
            if key[0] not in KEPT_SITES and shown_columns != high - low:
                return False
            expected, shown = whole[row, first:high], found[row, shown_columns - (high - first) :]
        if expected.numel() and not _near(shown, expected, limit):
            return False
    return True


def _near(a: torch.Tensor, b: torch.Tensor, limit: float) -> bool:
    """Equal up to rounding; masked scores are -inf in both."""
    a, b = a.double(), b.double()
    masked = torch.isneginf(b)
    if a.shape != b.shape or not bool((torch.isneginf(a) == masked).all()):
        return False
    gap = (a - b).masked_fill(masked, 0).abs().max()
    return bool(gap <= limit * b.masked_fill(masked, 0).abs().max().clamp(min=1e-6))
