"""Attention as arithmetic: scores, pattern and what the pattern mixes. Written once, for every family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Terms:
    """What a family adds to plain scaled dot-product attention.

    Attributes:
        mask: boolean (True = may attend), additive, or None; [batch, 1 or head, dest, src].
        scaling: factor on the dot product; None = d_head ** -0.5.
        softcap: the cap of ``cap * tanh(s / cap)``, or None.
        bias: added to the scores before the mask, [batch or 1, head, dest, src], or None.
        sinks: one more logit that takes its share of the softmax and gives nothing: [head] or
            [batch, head, dest, 1]; or None.
        causal: without a mask, forbid src after dest.
    """

    mask: torch.Tensor | None = None
    scaling: float | None = None
    softcap: float | None = None
    bias: torch.Tensor | None = None
    sinks: torch.Tensor | None = None
    causal: bool = True

    def of(self, row: int, heads: Sequence[int], dest: tuple[int, int]) -> Terms:
        """The same terms for some heads of one row, for the dests of a half-open range."""

        def cut(t: torch.Tensor | None) -> torch.Tensor | None:
            if t is None:
                return None
            t = t[(None,) * (4 - t.ndim)]
            t = t if t.shape[0] == 1 else t[row : row + 1]
            t = t if t.shape[1] == 1 else t[:, heads]
            return t if t.shape[2] == 1 else t[:, :, slice(*dest)]

        sinks = self.sinks
        if sinks is not None:
            sinks = sinks[heads] if sinks.ndim == 1 else cut(sinks)
        return replace(self, mask=cut(self.mask), bias=cut(self.bias), sinks=sinks)


def scores_of(query: torch.Tensor, key: torch.Tensor, terms: Terms) -> torch.Tensor:
    """Attention scores after scale, softcap, bias and mask, before softmax.

    Args:
        query: [batch, head, dest, d_head].
        key: [batch, kv head, src, d_head].
        terms: what the family adds.

    Returns:
        [batch, head, dest, src] in the query's dtype; masked cells are -inf.
    """
    groups = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(groups, dim=1) if groups > 1 else key
    factor = query.shape[-1] ** -0.5 if terms.scaling is None else terms.scaling
    scores = torch.matmul(query, key.transpose(2, 3)) * factor
    if terms.softcap is not None:
        scores = torch.tanh(scores / terms.softcap) * terms.softcap
    dest, src = scores.shape[-2:]
    if terms.bias is not None:
        scores = scores + terms.bias[..., -dest:, :src]
    mask = terms.mask
    if mask is None:
        if not terms.causal:
            return scores
        allowed = torch.ones(dest, src, dtype=torch.bool, device=scores.device).tril(src - dest)
    elif mask.dtype == torch.bool:
        allowed = mask[..., :src]
    else:
        mask = mask[..., :src]
        allowed = mask > torch.finfo(mask.dtype).min / 2
        scores = scores + mask.masked_fill(~allowed, 0)
    return scores.masked_fill(~allowed, float("-inf"))


def pattern_of(scores: torch.Tensor, sinks: torch.Tensor | None = None) -> torch.Tensor:
    """Softmax over src in float32; a row with no source at all (padding) is all zero.

    Args:
        scores: [batch, head, dest, src].
        sinks: as in `Terms`; they take part in the softmax and are left out of the result, whose rows then sum to
            less than 1.
    """
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    logits = scores.masked_fill(empty, 0).float()
    if sinks is not None:
        column = sinks.float().reshape(1, -1, 1, 1) if sinks.ndim == 1 else sinks.float()
        column = column.expand(*logits.shape[:-1], 1)
        weights = torch.softmax(torch.cat([logits, column], dim=-1), dim=-1)[..., :-1]
    else:
        weights = torch.softmax(logits, dim=-1)
    return weights.masked_fill(empty, 0).to(scores.dtype)


def causal_pattern(query: torch.Tensor, key: torch.Tensor, terms: Terms) -> torch.Tensor:
    """What `pattern_of(scores_of(...))` gives, in a third of the time, where only the causal mask hides sources.

    Args:
        query: [batch, head, dest, d_head].
        key: [batch, kv head, src, d_head], up to the last dest.
        terms: without mask, bias and softcap.

    Returns:
        [batch, head, dest, src] float32.
    """
    groups = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(groups, dim=1) if groups > 1 else key
    factor = query.shape[-1] ** -0.5 if terms.scaling is None else terms.scaling
    scores = torch.matmul(query, key.transpose(2, 3)).mul_(factor)
    dest = scores.shape[-2]
    # Sources before the first dest are seen by all of them.
    later = torch.ones(dest, dest, dtype=torch.bool, device=scores.device).triu_(1)
    scores[..., -dest:].masked_fill_(later, float("-inf"))
    if terms.sinks is not None:
        return pattern_of(scores.float(), terms.sinks)
    return torch.softmax(scores, dim=-1, dtype=torch.float32)


def mix(pattern: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """[batch, head, dest, src] and values [batch, kv head, src, d_head_v] -> [batch, dest, head, d_head_v]."""
    groups = pattern.shape[1] // value.shape[1]
    value = value.repeat_interleave(groups, dim=1) if groups > 1 else value
    return torch.matmul(pattern.to(value.dtype), value).transpose(1, 2)
