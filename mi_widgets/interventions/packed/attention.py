"""Attention of packed variants: each sees its base run up to where it differs, and its own rows from there on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ...model.attention_math import Terms, mix, pattern_of, scores_of
from ..writes import Write
from .base import BaseRuns, LayerBase
from .variants import Variant, cut


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
    query, key = query.transpose(1, 2), _whole(runs, base.key, group, key)
    value = _whole(runs, base.value, group, value)
    terms = _terms(base, group)
    plain = terms.softcap is None and terms.sinks is None and terms.bias is None
    written = any((kind, layer) in v.writes for v in group.variants for kind in ("scores", "pattern"))
    out = _fused(query, key, value, terms, group) if plain else None
    if out is not None and not written:
        return out
    scores = scores_of(query, key, terms)
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


def _fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, terms: Terms, group: Group
) -> torch.Tensor:
    # Every position asks and nothing hides but the future: the kernel's own triangle.
    triangle = terms.mask is None and group.asking == group.end > 1
    out = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if triangle else _mask(terms, group, key),
        is_causal=triangle,
        scale=terms.scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out.transpose(1, 2)


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
            new[i] = _written(new[i], group, write if len(kept) == len(write.positions) else cut(write, kept))
    return new


def _written(weights: torch.Tensor, group: Group, write: Write) -> torch.Tensor:
    rows = weights.transpose(0, 1).clone()  # [asking, head, src]
    places = [p - group.first for p in write.positions]
    rows[places] = write.apply(rows[places])
    return rows.transpose(0, 1)

