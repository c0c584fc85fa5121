"""What every site of every named family is, by plain PyTorch hooks on the user's own model.

The oracle of the package's families: one table of paths, and hooks at them. It shares no code with the package, which
has no such table; that it is itself right is tested against the model's own logits, hidden states and attentions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from .configs import build
from .oracle_attention import Visit, replace_attention

ATTENTION = ("q", "k", "v", "scores", "pattern", "z", "result")
LAYERED = ("resid_pre", *ATTENTION, "attn_out", "resid_mid", "mlp_pre", "mlp_post", "mlp_out", "resid_post")
GLOBAL = ("embed", "final_norm", "logits")

Key = tuple[str, int | None]


@dataclass(frozen=True)
class Places:
    """Where a family keeps what its sites are about. The defaults are llama's.

    A layer's paths start at the layer. Of several, parted by ``|``, the first that is there counts; where none is,
    the layer has no such site.

    Attributes:
        layers, embed, final_norm: from the model. `embed` gives what positions are added to.
        attention: the module that computes attention.
        out: its output projection.
        attn_adds, mlp_adds: whose output enters the stream.
        mid: reads the stream between attention and MLP; None when both read the layer's input.
        activation, down: of the MLP.
        gate: whose output enters the activation, where all layers share one activation.
        embed_factor, added_factor: names of config entries that multiply the embedding, and both increments.
        config: changes of the tiny config.
        lacks: {site: layers that do not have it}, None = no layer has it.
    """

    layers: str = "model.layers"
    embed: str = "model.embed_tokens"
    final_norm: str | None = "model.norm"
    attention: str = "self_attn"
    out: str = "self_attn.o_proj"
    attn_adds: str = "self_attn"
    mid: str | None = "post_attention_layernorm"
    activation: str | None = "mlp.act_fn"
    gate: str | None = None
    down: str = "mlp.down_proj"
    mlp_adds: str = "mlp"
    embed_factor: str | None = None
    added_factor: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    lacks: dict[str, tuple[int, ...] | None] = field(default_factory=dict)

    def offered(self, n_layers: int) -> set[Key]:
        """Every (site, layer) that the family has."""
        some = {site: self.lacks.get(site, ()) for site in (*GLOBAL, *LAYERED)}
        keys: set[Key] = {(site, None) for site in GLOBAL if some[site] is not None}
        return keys | {
            (s, i) for s in LAYERED for i in range(n_layers) if (gone := some[s]) is not None and i not in gone
        }


def lacking(*sites: str, layers: tuple[int, ...] | None = None) -> dict[str, tuple[int, ...] | None]:
    """Sites that some layers, or all, do not have."""
    return dict.fromkeys(sites, layers)


NO_MID = lacking("resid_mid")
"""Attention and MLP read the same input."""

EXPERTS = lacking("mlp_pre", "mlp_post")
"""A mixture of experts has no one activation and no one down projection."""

NO_ATTENTION = lacking(*ATTENTION, layers=(0, 2))
"""Of three layers, those around the middle one are recurrent or convolve; what they add is an attn_out all the same."""


def _gpt(**changes: Any) -> Places:
    """GPT-2 and what was named after it."""
    names = {
        "layers": "transformer.h", "embed": "transformer.wte", "final_norm": "transformer.ln_f", "attention": "attn",
        "out": "attn.c_proj", "attn_adds": "attn", "mid": "ln_2", "activation": "mlp.act", "down": "mlp.c_proj",
    }  # fmt: skip
    return Places(**names | changes)


def _bart(body: str, **changes: Any) -> Places:
    """Descendants of BART's decoder: the MLP lies on the layer itself."""
    names = {
        "layers": f"{body}.layers", "embed": f"{body}.embed_tokens", "final_norm": f"{body}.layer_norm",
        "out": "self_attn.out_proj", "mid": "final_layer_norm", "activation": "activation_fn", "down": "fc2",
        "mlp_adds": "fc2",
    }  # fmt: skip
    return Places(**names | changes)


def _neox(**changes: Any) -> Places:
    names = {
        "layers": "gpt_neox.layers", "embed": "gpt_neox.embed_in", "final_norm": "gpt_neox.final_layer_norm",
        "attention": "attention", "out": "attention.dense", "attn_adds": "attention", "activation": "mlp.act",
        "down": "mlp.dense_4h_to_h",
    }  # fmt: skip
    return Places(**names | changes)


def _falcon(**changes: Any) -> Places:
    names = {
        "layers": "transformer.h", "embed": "transformer.word_embeddings", "final_norm": "transformer.ln_f",
        "attention": "self_attention", "out": "self_attention.dense", "attn_adds": "self_attention",
        "activation": "mlp.act", "down": "mlp.dense_4h_to_h", "mid": None, "lacks": NO_MID,
    }  # fmt: skip
    return Places(**names | changes)


_POST_NORMS: dict[str, Any] = {"attn_adds": "post_attention_layernorm", "mlp_adds": "post_feedforward_layernorm"}
_PARALLEL: dict[str, Any] = {"mid": None, "lacks": NO_MID}

FAMILIES: dict[str, Places] = {
    "bloom": _falcon(
        embed="transformer.word_embeddings_layernorm", attn_adds="self_attention.dense",
        mlp_adds="mlp.dense_4h_to_h", mid="post_attention_layernorm", activation="mlp.gelu_impl", lacks={},
    ),
    "biogpt": _bart("biogpt"),
    "codegen": _gpt(out="attn.out_proj", down="mlp.fc_out", **_PARALLEL),
    "cohere": Places(**_PARALLEL),
    "cohere2": Places(**_PARALLEL),
    "deepseek_v3": Places(config={"num_key_value_heads": 4}, lacks=lacking("mlp_pre", "mlp_post", layers=(1, 2))),
    "falcon": _falcon(),
    "falcon multi-query": _falcon(config={"new_decoder_architecture": False, "multi_query": True}),
    "falcon alibi": _falcon(
        config={"new_decoder_architecture": False, "num_kv_heads": 4, "alibi": True, "parallel_attn": False},
        mid="post_attention_layernorm", lacks={},
    ),
    "gemma": Places(),
    "gemma2": Places(**_POST_NORMS, mid="pre_feedforward_layernorm"),
    "gemma3_text": Places(**_POST_NORMS, mid="pre_feedforward_layernorm"),
    "glm": Places(activation="mlp.activation_fn"),
    "gpt2": _gpt(),
    "gpt_bigcode": _gpt(),
    "gpt_neo": _gpt(attention="attn.attention", out="attn.attention.out_proj"),
    "gpt_neox": _neox(**_PARALLEL),
    "gpt_neox sequential": _neox(config={"use_parallel_residual": False}),
    "gpt_oss": Places(lacks=EXPERTS),
    "gptj": _gpt(out="attn.out_proj", down="mlp.fc_out", **_PARALLEL),
    "granite": Places(embed_factor="embedding_multiplier", added_factor="residual_multiplier"),
    "llama": Places(),
    "mistral": Places(),
    "mixtral": Places(lacks=EXPERTS),
    "mpt": Places(
        layers="transformer.blocks", embed="transformer.wte", final_norm="transformer.norm_f", attention="attn",
        out="attn.out_proj", attn_adds="attn", mid="norm_2", activation="ffn.act", down="ffn.down_proj",
        mlp_adds="ffn.down_proj",
    ),
    "nemotron": Places(),
    "olmo": Places(),
    "olmo2": Places(**_POST_NORMS, mid="mlp"),
    "opt": _bart("model.decoder", final_norm="model.decoder.final_layer_norm"),
    "persimmon": Places(
        final_norm="model.final_layernorm", out="self_attn.dense", activation="mlp.act", down="mlp.dense_4h_to_h"
    ),
    "phi": Places(
        final_norm="model.final_layernorm", out="self_attn.dense", activation="mlp.activation_fn", down="mlp.fc2",
        **_PARALLEL,
    ),
    "phi3": Places(activation="mlp.activation_fn"),
    "qwen2": Places(),
    "qwen3": Places(),
    "qwen3_moe": Places(lacks=lacking("mlp_pre", "mlp_post", layers=(0, 2))),
    "smollm3": Places(),
    "stablelm": Places(),
    "stablelm parallel": Places(config={"use_parallel_residual": True}, **_PARALLEL),
    "starcoder2": Places(activation="mlp.act", down="mlp.c_proj"),
    "xglm": _bart("model"),
    # Layers without attention.
    "jamba": Places(
        config={"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 3, "expert_layer_offset": 2},
        final_norm="model.final_layernorm", attn_adds="self_attn|mamba", mid="pre_ff_layernorm",
        activation="feed_forward.act_fn", down="feed_forward.down_proj", mlp_adds="feed_forward",
        lacks=NO_ATTENTION | lacking("mlp_pre", "mlp_post", layers=(2,)),
    ),
    "lfm2": Places(
        config={"layer_types": ["conv", "full_attention", "conv"]}, final_norm="model.embedding_norm",
        out="self_attn.out_proj", attn_adds="self_attn|conv", mid="ffn_norm", down="feed_forward.w2",
        mlp_adds="feed_forward", lacks=NO_ATTENTION | lacking("mlp_pre"),
    ),
    "qwen3_next": Places(attn_adds="self_attn|linear_attn", lacks=NO_ATTENTION | EXPERTS),
    # Norms stand on the stream itself: between the halves it is what enters one, and no last norm follows.
    "openai-gpt": _gpt(
        embed="transformer.tokens_embed", final_norm=None, mid=None, activation=None, gate="mlp.c_fc",
        lacks=lacking("final_norm", "resid_mid"),
    ),
}  # fmt: skip


def model_of(name: str, seed: int = 0, **config: Any) -> PreTrainedModel:
    """The tiny model of a row of the table."""
    return build(name.split()[0], seed, **FAMILIES[name].config, **config)


def _find(root: nn.Module, paths: str | None) -> nn.Module | None:
    """The first of several paths that is there."""
    for path in paths.split("|") if paths else ():
        found = reduce(lambda module, name: getattr(module, name, None), path.split("."), root)
        if found is not None:
            return found
    return None


class _Hooks:
    """Plain forward hooks, taken away when the stack is closed."""

    def __init__(self, stack: ExitStack, rows: torch.Size) -> None:
        self.stack, self.rows = stack, rows

    def _change(self, x: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        # opt's MLP sees [row * position, d].
        return change(x) if x.ndim > 2 else change(x.unflatten(0, self.rows)).flatten(0, 1)

    def entering(self, module: nn.Module | None, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Change the first thing that enters a module."""
        if module is not None:
            hook = module.register_forward_pre_hook(lambda _, args: (self._change(args[0], change), *args[1:]))
            self.stack.callback(hook.remove)

    def leaving(self, module: nn.Module | None, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Change what leaves a module, or the first of several."""

        def hook(_: nn.Module, __: Any, out: Any) -> Any:
            if isinstance(out, torch.Tensor):
                return self._change(out, change)
            return type(out)([self._change(out[0], change), *out[1:]])

        if module is not None:
            self.stack.callback(module.register_forward_hook(hook).remove)


def _heads(hooks: _Hooks, out: nn.Module, index: int, n_heads: int, visit: Visit) -> None:
    """z is what enters the output projection; result is each head's share of what leaves it, without the bias."""
    weight = out.weight if isinstance(out, Conv1D) else out.weight.T
    seen: dict[str, torch.Tensor] = {}

    def z(x: torch.Tensor) -> torch.Tensor:
        seen["z"] = visit("z", index, x.unflatten(-1, (n_heads, -1)))
        return seen["z"].flatten(2)

    def result(y: torch.Tensor) -> torch.Tensor:
        by_head = torch.einsum("rphv,hvd->rphd", seen["z"], weight.unflatten(0, (n_heads, -1)))
        new = visit("result", index, by_head)
        if new is by_head:
            return y
        return new.sum(2) if out.bias is None else new.sum(2) + out.bias

    hooks.entering(out, z)
    hooks.leaving(out, result)


def _layer(hooks: _Hooks, at: Places, layer: nn.Module, index: int, factor: float, n_heads: int, visit: Visit) -> None:
    """Hooks at one layer; `factor` is what its increments are multiplied by on their way into the stream."""

    def seen(site: str, scale: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: visit(site, index, x * scale) / scale

    moved: dict[str, torch.Tensor] = {}

    def mid(x: torch.Tensor) -> torch.Tensor:
        new = visit("resid_mid", index, x)
        moved["by"] = new - x
        return new

    hooks.entering(layer, seen("resid_pre"))
    if _find(layer, at.attention) is not None:
        _heads(hooks, layer.get_submodule(at.out), index, n_heads, visit)
    hooks.leaving(_find(layer, at.attn_adds), seen("attn_out", factor))
    hooks.entering(_find(layer, at.mid), mid)
    hooks.entering(_find(layer, at.activation), seen("mlp_pre"))
    hooks.leaving(_find(layer, at.gate), seen("mlp_pre"))
    hooks.entering(_find(layer, at.down), seen("mlp_post"))
    hooks.leaving(_find(layer, at.mlp_adds), seen("mlp_out", factor))
    # A new resid_mid is read by the MLP's half through `mid`; the stream that runs past it is made up for here.
    hooks.leaving(layer, lambda y: visit("resid_post", index, y + moved.get("by", 0)))


def forward(hf: PreTrainedModel, name: str, ids: torch.Tensor, visit: Visit) -> torch.Tensor:
    """One pass of the user's model with a look at, and a change of, every site. The model is left as it was.

    Args:
        hf: from `model_of`, with `set_attn_implementation("eager")`.
        name: its row of the table.
        ids: [row, position], without padding.
        visit: is shown every site and gives back what shall be used. Streams, increments, mlp_* and final_norm are
            [row, position, d]; q, k, v, z, result [row, position, head, d]; scores, pattern [row, head, dest, src].

    Returns:
        Logits [row, position, vocab].
    """
    at = FAMILIES[name]
    factors = [getattr(hf.config, key) if key else 1.0 for key in (at.embed_factor, at.added_factor)]
    with torch.no_grad(), ExitStack() as stack:
        hooks = _Hooks(stack, ids.shape)
        layers = list(hf.get_submodule(at.layers))
        hooks.leaving(_find(hf, at.embed), lambda y: visit("embed", None, y * factors[0]) / factors[0])
        for index, layer in enumerate(layers):
            _layer(hooks, at, layer, index, factors[1], hf.config.num_attention_heads, visit)
        hooks.leaving(_find(hf, at.final_norm), lambda y: visit("final_norm", None, y))
        attentions = {i: module for i, layer in enumerate(layers) if (module := _find(layer, at.attention)) is not None}
        replace_attention(stack, hf.config.model_type, attentions, visit)
        return visit("logits", None, hf(input_ids=ids, use_cache=False).logits)


def record(hf: PreTrainedModel, name: str, ids: torch.Tensor) -> dict[Key, torch.Tensor]:
    """Every site of an unedited run: {(site, layer): value}, shapes as in `forward`."""
    kept: dict[Key, torch.Tensor] = {}

    def keep(site: str, layer: int | None, x: torch.Tensor) -> torch.Tensor:
        kept[site, layer] = x.clone()
        return x

    forward(hf, name, ids, keep)
    return kept


def written(
    hf: PreTrainedModel, name: str, ids: torch.Tensor, changes: dict[Key, Callable[[torch.Tensor], torch.Tensor]]
) -> torch.Tensor:
    """Logits of a run in which some sites are changed."""

    def visit(site: str, layer: int | None, x: torch.Tensor) -> torch.Tensor:
        return changes[site, layer](x) if (site, layer) in changes else x

    return forward(hf, name, ids, visit)
