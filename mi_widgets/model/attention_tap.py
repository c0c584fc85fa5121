"""One attention function, registered with transformers, that sees q, k, v, scores and pattern of every family.

transformers hands every attention call to a function that it looks up by name. A shadow's config names ours; ours calls
the kernel that the user's model would have used and lets visitors read or replace what passes by. The user's own model
keeps its own name and never comes here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

Visit = Callable[[str, torch.Tensor], torch.Tensor]
"""`visit(kind, value) -> value`: shows a value to whoever wants it and gives back what shall be used."""

# transformers refuses names that contain "sdpa" for families with softcap or sinks.
_NAMES = {"sdpa": "mi_fused", "eager": "mi_eager"}
_KERNELS: dict[str, str] = {}


@dataclass(frozen=True)
class AttentionCall:
    """What one attention call was given, kept so that patterns can be computed later, for the heads asked for.

    Attributes:
        query: [row, head, dest, d_head], after rotary and norms.
        key: [row, kv head, src, d_head].
        mask, scaling, softcap: as the family passed them.
    """

    query: torch.Tensor
    key: torch.Tensor
    mask: torch.Tensor | None
    scaling: float | None
    softcap: float | None

    def pattern(self, heads: Sequence[int] | None = None, row: int = 0) -> torch.Tensor:
        """Attention weights of some heads of one row: [head, dest, src] float32."""
        groups = self.query.shape[1] // self.key.shape[1]
        chosen = list(range(self.query.shape[1])) if heads is None else list(heads)
        query = self.query[row : row + 1, chosen]
        key = self.key[row : row + 1, [h // groups for h in chosen]]
        mask = self.mask
        if mask is not None:
            mask = mask if mask.shape[0] == 1 else mask[row : row + 1]
            mask = mask if mask.shape[1] == 1 else mask[:, chosen]
        return pattern_of(scores_of(query, key, mask, self.scaling, self.softcap))[0].float()


class TapState:
    """What the tap needs on one attention module of a shadow.

    Attributes:
        kernel: name of the attention implementation the user's model runs.
        visit: called for every kind in `wanted`, or None when nobody is looking.
        wanted: kinds among q, k, v, scores, pattern that somebody wants in this forward.
        watch: is shown every call as it is after edits of q and k, or None.
        calls: how often the module called the interface since the tap was installed.
        shapes: of q, k, v in the last call.
    """

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel
        self.visit: Visit | None = None
        self.wanted: frozenset[str] = frozenset()
        self.watch: Callable[[AttentionCall], None] | None = None
        self.calls = 0
        self.shapes: tuple[torch.Size, torch.Size, torch.Size] | None = None


def install(shadow: Any, attentions: list[nn.Module]) -> str:
    """Point a shadow at the tap and give each attention module its state; returns the kernel's name."""
    kernel = str(getattr(shadow.config, "_attn_implementation", None) or "eager")
    # Installed a second time, the config names the tap already: the kernel is the one behind it.
    kernel = _KERNELS.get(kernel, kernel)
    name = _NAMES.get(kernel, f"mi_{kernel}")
    _KERNELS[name] = kernel
    AttentionInterface.register(name, _tap)
    # Without a mask function under the same name a model silently runs without a causal mask.
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[kernel])
    shadow.set_attn_implementation(name)
    for module in attentions:
        module._mi_tap = TapState(kernel)  # type: ignore[assignment]
    return kernel


def scores_of(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """Attention scores after scale, softcap and mask, before softmax.

    Args:
        query: [batch, head, dest, d_head].
        key: [batch, kv head, src, d_head].
        mask: boolean (True = may attend), additive, or None for plain causal; [batch, 1, dest, src].
        scaling: factor on the dot product; None = d_head ** -0.5.
        softcap: the cap of ``cap * tanh(s / cap)``, or None.

    Returns:
        [batch, head, dest, src] in the query's dtype; masked cells are -inf.
    """
    groups = query.shape[1] // key.shape[1]
    key = key.repeat_interleave(groups, dim=1) if groups > 1 else key
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query, key.transpose(2, 3)) * factor
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    dest, src = scores.shape[-2:]
    if mask is None:
        allowed = torch.ones(dest, src, dtype=torch.bool, device=scores.device).tril(src - dest)
    elif mask.dtype == torch.bool:
        allowed = mask[..., :src]
    else:
        mask = mask[..., :src]
        allowed = mask > torch.finfo(mask.dtype).min / 2
        scores = scores + mask.masked_fill(~allowed, 0)
    return scores.masked_fill(~allowed, float("-inf"))


def pattern_of(scores: torch.Tensor) -> torch.Tensor:
    """Softmax over src in float32; a row with no source at all (padding) is all zero."""
    empty = torch.isneginf(scores).all(dim=-1, keepdim=True)
    weights = torch.softmax(scores.masked_fill(empty, 0).float(), dim=-1)
    return weights.masked_fill(empty, 0).to(scores.dtype)


def mix(pattern: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """[batch, head, dest, src] and values [batch, kv head, src, d_head_v] -> [batch, dest, head, d_head_v]."""
    groups = pattern.shape[1] // value.shape[1]
    value = value.repeat_interleave(groups, dim=1) if groups > 1 else value
    return torch.matmul(pattern, value).transpose(1, 2)


def _leave(kind: str, value: torch.Tensor) -> torch.Tensor:
    return value


def _kernel(module: nn.Module, name: str) -> Callable[..., Any]:
    if name == "eager":
        return getattr(sys.modules[type(module).__module__], "eager_attention_forward", _plain)
    return ALL_ATTENTION_FUNCTIONS[name]


def _plain(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    **kw: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    pattern = pattern_of(scores_of(query, key, mask, kw.get("scaling"), kw.get("softcap")))
    return mix(pattern, value), pattern


def _tap(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What transformers calls: [batch, head, position, d_head] in, [batch, position, head, d_head_v] out."""
    state: TapState | None = getattr(module, "_mi_tap", None)
    if state is None:  # a module that was not found as a layer's attention: run it as the user's model would
        return _kernel(module, "sdpa")(module, query, key, value, attention_mask, **kwargs)
    state.calls += 1
    state.shapes = (query.shape, key.shape, value.shape)
    visit, wanted = state.visit or _leave, state.wanted
    if "q" in wanted:
        query = visit("q", query.transpose(1, 2)).transpose(1, 2)
    if "k" in wanted:
        key = visit("k", key.transpose(1, 2)).transpose(1, 2)
    if "v" in wanted:
        value = visit("v", value.transpose(1, 2)).transpose(1, 2)
    if state.watch is not None:
        state.watch(AttentionCall(query, key, attention_mask, kwargs.get("scaling"), kwargs.get("softcap")))
    out, weights = _kernel(module, state.kernel)(module, query, key, value, attention_mask, **kwargs)
    if wanted & {"scores", "pattern"}:
        scores = scores_of(query, key, attention_mask, kwargs.get("scaling"), kwargs.get("softcap"))
        plain = pattern_of(scores)
        seen = visit("scores", scores) if "scores" in wanted else scores
        pattern = plain if seen is scores else pattern_of(seen)
        pattern = visit("pattern", pattern) if "pattern" in wanted else pattern
        if pattern is not plain:
            # Only the heads whose weights changed leave the kernel's own output.
            changed = (pattern != plain).flatten(2).any(-1).any(0)
            out = torch.where(changed[None, None, :, None], mix(pattern, value).to(out.dtype), out)
    return out, weights
