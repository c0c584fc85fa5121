"""Attention of packed variants: each sees its base run up to where it differs, and its own rows from there on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn.functional import scaled_dot_product_attention

from ...model.attention_math import Terms, mix, pattern_of, scores_of
from ..writes import Write
from .base import BaseRuns, LayerBase
from .variants import Variant

SHARED = 256
"""Keys that would be copied for the variants of a group from which on they are read where they are."""


@dataclass(frozen=True, eq=False)
class Group:
    """Variants whose own rows are the same positions, side by side.

    Attributes:
        variants: who they are.
        start, end: their own positions.
        first: of the positions that ask.
        asking: how many positions ask: `end` - `first`, or 1 for the answer alone.
    """

    variants: tuple[Variant, ...]
    start: int
    end: int
    first: int
    asking: int


def attend(
    runs: BaseRuns,
    layer: int,
    group: Group,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
) -> torch.Tensor:
    """What attention gives at the rows of a group.

    Args:
        runs, layer: the base runs, and which layer.
        group: whose rows.
        query: [variant, asking, head, d_head].
        key, value: [variant, own position, kv head, d], after what the variants write to them.

    Returns:
        [variant, asking, head, d_head_v].
    """
    base = runs.layers[layer]
    terms = _terms(base, group)
    plain = terms.softcap is None and terms.sinks is None and terms.bias is None
    written = any((kind, layer) in v.writes for v in group.variants for kind in ("scores", "pattern"))
    if plain and not written and group.start * len(group.variants) > SHARED and len(_begins(runs, group)) == 1:
        return _shared(runs, base, group, terms, query, key, value)
    query, key = query.transpose(1, 2), _whole(runs, base.key, group, key)
    value = _whole(runs, base.value, group, value)
    out = _fused(query, key, value, terms, group) if plain else None
    if out is not None and not written:
        return out
    # Without a mask, rows would be taken for the last ones.
    scores = scores_of(query, key, replace(terms, mask=_mask(terms, group, key)))
    unwritten = pattern = pattern_of(scores, terms.sinks)
    if written:
        new = _write(scores, group, "scores", layer)
        pattern = _write(unwritten if new is scores else pattern_of(new, terms.sinks), group, "pattern", layer)
    mixed = mix(pattern, value)
    if out is None:
        return mixed
    # Only the heads whose weights changed leave the kernel's own output, as in a plain run.
    changed = (pattern != unwritten).flatten(2).any(-1)
    return torch.where(changed[:, None, :, None], mixed.to(out.dtype), out)


def _fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: Terms, group: Group) -> torch.Tensor:
    """PyTorch's kernel: [variant, head, asking, d] and all keys and values of each variant."""
    # Every position asks and nothing hides but the future: the kernel's own triangle.
    triangle = terms.mask is None and group.asking == group.end > 1
    out = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if triangle else _mask(terms, group, key),
        is_causal=triangle,
        scale=terms.scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out.transpose(1, 2)


def _shared(
    runs: BaseRuns,
    base: LayerBase,
    group: Group,
    terms: Terms,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
) -> torch.Tensor:
    """The same without a copy of the base run's keys and values for every variant: one product over what they share."""
    (begin,) = _begins(runs, group)
    count, asking, heads, width = query.shape
    kv_heads = key.shape[2]
    before = slice(begin, begin + group.start)
    # Query heads that share a key-value head stand beside each other: [kv head, head of it * variant * asking, d].
    asked = query.permute(2, 0, 1, 3)
    together = asked.reshape(kv_heads, -1, width)
    scores = torch.empty(heads, count, asking, group.end, dtype=query.dtype, device=query.device)
    shared = torch.matmul(together, base.key[before].permute(1, 2, 0))
    scores[..., : group.start] = shared.view(heads, count, asking, group.start)
    own_key, own_value = (t.permute(2, 0, 1, 3).repeat_interleave(heads // kv_heads, dim=0) for t in (key, value))
    scores[..., group.start :] = torch.matmul(asked, own_key.transpose(-1, -2))
    scores *= width**-0.5 if terms.scaling is None else terms.scaling
    mask = _mask(terms, group, key)
    if mask is not None:
        mask = mask if mask.ndim == 2 else mask[0].unsqueeze(1)  # [1 or head, 1, asking, src]
        scores = scores.masked_fill_(~mask, float("-inf")) if mask.dtype == torch.bool else scores.add_(mask)
    pattern = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    weights = pattern[..., : group.start].reshape(kv_heads, -1, group.start)
    out = torch.matmul(weights, base.value[before].permute(1, 0, 2)).view(heads, count, asking, -1)
    out = out + torch.matmul(pattern[..., group.start :], own_value)
    return out.permute(1, 2, 0, 3)


def _begins(runs: BaseRuns, group: Group) -> set[int]:
    return {runs.starts[v.prompt] for v in group.variants}


def _whole(runs: BaseRuns, table: torch.Tensor, group: Group, own: torch.Tensor) -> torch.Tensor:
    """[variant, kv head, position, d]: the base run's before `start`, the variant's own from there on."""
    own = own.transpose(1, 2)
    if group.start == 0:
        return own
    begins = [runs.starts[v.prompt] for v in group.variants]
    if len(set(begins)) == 1:
        before = table[begins[0] : begins[0] + group.start].transpose(0, 1).expand(len(begins), -1, -1, -1)
    else:
        places = torch.tensor(begins, device=table.device)[:, None] + torch.arange(group.start, device=table.device)
        before = table[places].transpose(1, 2)
    return torch.cat([before, own], dim=2)


def _terms(base: LayerBase, group: Group) -> Terms:
    """The family's terms at the positions that ask; without padding they go by position alone."""
    terms = base.terms[group.variants[0].prompt]
    rows = slice(group.first, group.first + group.asking)

    def at(t: torch.Tensor | None) -> torch.Tensor | None:
        return t if t is None else t[..., rows if t.shape[-2] > 1 else slice(None), : group.end]

    sinks = terms.sinks
    if sinks is not None and sinks.ndim == 4 and sinks.shape[2] > 1:
        sinks = sinks[:, :, rows]
    return replace(terms, mask=at(terms.mask), bias=at(terms.bias), sinks=sinks)


def _mask(terms: Terms, group: Group, key: torch.Tensor) -> torch.Tensor | None:
    if terms.mask is not None:
        mask = terms.mask
        return mask if mask.dtype == torch.bool else mask.to(key.dtype)
    if group.asking == 1 and group.first == group.end - 1:
        return None
    asking = torch.arange(group.first, group.first + group.asking, device=key.device)[:, None]
    return torch.arange(group.end, device=key.device) <= asking


def _write(weights: torch.Tensor, group: Group, kind: str, layer: int) -> torch.Tensor:
    """Carry out what the variants write to scores or patterns, [variant, head, asking, src]."""
    new = weights
    for i, variant in enumerate(group.variants):
        for write in variant.writes.get((kind, layer), ()):
            kept = [j for j, p in enumerate(write.positions) if group.first <= p < group.first + group.asking]
            if not kept:
                continue
            new = weights.clone() if new is weights else new
            new[i] = _written(new[i], group, write if len(kept) == len(write.positions) else write.at(kept))
    return new


def _written(weights: torch.Tensor, group: Group, write: Write) -> torch.Tensor:
    rows = weights.transpose(0, 1).clone()  # [asking, head, src]
    places = [p - group.first for p in write.positions]
    rows[places] = write.apply(rows[places])
    return rows.transpose(0, 1)
