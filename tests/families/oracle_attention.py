"""Attention of every family as one plain function, put in place of the library's own for the length of one pass.

Nothing here comes from the package. Most families look a function of their module up by its name,
`eager_attention_forward`; the eight that do not get the few lines of their own attention written out.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import ExitStack
from unittest.mock import patch

import torch
from torch import nn
from transformers.models.falcon.modeling_falcon import apply_rotary_pos_emb

Visit = Callable[[str, int | None, torch.Tensor], torch.Tensor]
"""`visit(site, layer, value)` gives back the value that shall be used."""

Attend = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""`attend(q, k, v, mask, scaling, ...)`: [row, head, position, d] in, z [row, position, head, d] and weights out."""


def attend(
    visit: Visit,
    layer: int,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor,
    scaling: float,
    softcap: float | None = None,
    sinks: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(cap(q k^T scaling) + mask) v, with a look at q, k, v, scores and pattern.

    Args:
        visit: is shown q, k, v as [row, position, head, d] and scores, pattern as [row, head, dest, src].
        layer: which layer this is.
        q, k, v: [row, head, position, d], k and v with their own number of heads.
        mask: added to the scores; its lowest numbers mean "may not look".
        scaling: factor on the dot product.
        softcap: cap of ``cap * tanh(scores / cap)``.
        sinks: [head], the score of one more source that has no value.
    """
    q, k, v = (
        visit(site, layer, x.transpose(1, 2)).transpose(1, 2)
        for site, x in (("q", q), ("k", k), ("v", v))
    )  # fmt: skip
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = q @ k.mT * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    hidden = mask < torch.finfo(mask.dtype).min / 2
    scores = visit("scores", layer, (scores + mask).masked_fill(hidden, -math.inf))
    if sinks is None:
        pattern = scores.softmax(-1)
    else:
        sink = sinks.reshape(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
        pattern = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
    pattern = visit("pattern", layer, pattern)
    return (pattern @ v).transpose(1, 2), pattern


def _hiding(shown: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """An additive mask from a boolean one, on top of another."""
    made = torch.zeros(shown.shape).masked_fill(~shown, torch.finfo(torch.float32).min)
    return made if mask is None else torch.minimum(made, mask)


def interface(attend: Attend) -> Callable:
    """The function that transformers' attention interface calls."""

    def eager(module, query, key, value, attention_mask, scaling=None, softcap=None, **_):
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        return attend(query, key, value, attention_mask, scaling, softcap, getattr(module, "sinks", None))

    return eager


def _scaled(module: nn.Module, attend: Attend) -> Callable:
    """`_attn` of gptj and codegen."""

    def attn(query, key, value, attention_mask=None):
        z, pattern = attend(query, key, value, attention_mask, 1 / float(module.scale_attn))
        return z.transpose(1, 2), pattern

    return attn


def _gpt_neo(module: nn.Module, attend: Attend) -> Callable:
    """`_attn`: no scale, and a window of its own in local layers."""

    def attn(query, key, value, attention_mask=None):
        length = query.shape[2]
        mask = _hiding(module.bias[..., :length, :length], attention_mask)
        z, pattern = attend(query, key, value, mask, 1.0)
        return z.transpose(1, 2), pattern

    return attn


def _openai(module: nn.Module, attend: Attend) -> Callable:
    """`_attn`: keys come transposed."""

    def attn(query, key, value, attention_mask=None, output_attentions=False):
        length = query.shape[2]
        mask = _hiding(module.bias[..., :length, :length] > 0, attention_mask)
        z, pattern = attend(query, key.mT, value, mask, value.shape[-1] ** -0.5)
        return [z.transpose(1, 2), pattern]

    return attn


def _bloom(module: nn.Module, attend: Attend) -> Callable:
    """`forward`: q, k, v interleaved by head, ALiBi by source, and the residual added inside."""

    def forward(hidden_states, residual, alibi, attention_mask, **_):
        fused = module.query_key_value(hidden_states).unflatten(-1, (module.num_heads, 3, module.head_dim))
        q, k, v = (x.transpose(1, 2) for x in fused.unbind(-2))
        mask = torch.maximum(
            attention_mask + alibi.unflatten(0, (-1, module.num_heads)), torch.tensor(torch.finfo(alibi.dtype).min)
        )
        z, pattern = attend(q, k, v, mask, module.head_dim**-0.5)
        return residual + module.dense(z.flatten(2)), pattern

    return forward


def _mpt(module: nn.Module, attend: Attend) -> Callable:
    """`forward`: ALiBi counted back from the last source; the mask is True where attention may not look."""

    def forward(hidden_states, position_bias, attention_mask, **_):
        heads = (module.n_heads, module.head_dim)
        q, k, v = (
            x.unflatten(-1, heads).transpose(1, 2) for x in module.Wqkv(hidden_states).chunk(3, dim=-1)
        )  # fmt: skip
        bias = position_bias[None, :, :, -k.shape[2] :]
        mask = bias.expand(-1, -1, q.shape[2], -1).masked_fill(attention_mask, torch.finfo(q.dtype).min)
        z, pattern = attend(q, k, v, mask, module.softmax_scale)
        return module.out_proj(z.flatten(2)), pattern

    return forward


def _falcon(module: nn.Module, attend: Attend) -> Callable:
    """`forward`: three layouts of q, k, v, rotary or ALiBi.

    The library's fused branch is what counts: no other can be chosen by name. Its mask is boolean, True = may look,
    or additive with ALiBi inside.
    """

    def forward(hidden_states, alibi, attention_mask, position_embeddings=None, **_):
        q, k, v = (x.transpose(1, 2) for x in module._split_heads(module.query_key_value(hidden_states)))
        if alibi is None:
            q, k = apply_rotary_pos_emb(q, k, *position_embeddings)
        mask = _hiding(attention_mask) if attention_mask.dtype == torch.bool else attention_mask
        z, pattern = attend(q, k, v, mask, module.head_dim**-0.5)
        return module.dense(z.flatten(2)), pattern

    return forward


def _xglm(module: nn.Module, attend: Attend) -> Callable:
    """`forward`: the query is scaled before the dot product."""

    def forward(hidden_states, attention_mask=None, **_):
        heads = (module.num_heads, module.head_dim)
        q, k, v = (
            project(hidden_states).unflatten(-1, heads).transpose(1, 2)
            for project in (module.q_proj, module.k_proj, module.v_proj)
        )
        z, pattern = attend(q * module.scaling, k, v, attention_mask, 1.0)
        return module.out_proj(z.flatten(2)), pattern

    return forward


_OWN = {
    "bloom": ("forward", _bloom),
    "codegen": ("_attn", _scaled),
    "falcon": ("forward", _falcon),
    "gpt_neo": ("_attn", _gpt_neo),
    "gptj": ("_attn", _scaled),
    "mpt": ("forward", _mpt),
    "openai-gpt": ("_attn", _openai),
    "xglm": ("forward", _xglm),
}
"""Families that bypass the attention interface: the method that is replaced, and by what."""


def replace_attention(stack: ExitStack, model_type: str, modules: dict[int, nn.Module], visit: Visit) -> None:
    """Let every attention module of a model compute by `attend` until the stack is closed.

    Args:
        stack: takes the replacements back.
        model_type: the family.
        modules: {layer: attention module}.
        visit: see `attend`.
    """

    def attending(layer: int) -> Attend:
        return lambda *args, **kwargs: attend(visit, layer, *args, **kwargs)

    if model_type in _OWN:
        method, written = _OWN[model_type]
        for layer, module in modules.items():
            stack.enter_context(patch.object(module, method, written(module, attending(layer))))
        return
    by_module = {id(module): interface(attending(layer)) for layer, module in modules.items()}

    def eager(module, *args, **kwargs):
        return by_module[id(module)](module, *args, **kwargs)

    for name in {type(module).__module__ for module in modules.values()}:
        stack.enter_context(patch.object(sys.modules[name], "eager_attention_forward", eager))
