"""Finds a model's layers, attention, projections, MLP, norms and unembedding by watching one forward pass.

There is no table of families. What is found here is a claim; `proof.py` tests it before anything is offered.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from ..errors import NotFinite, UnsupportedArchitecture
from . import attention_ops, attention_tap
from .architecture import Architecture, text_config
from .attention_tap import Attended, TapState
from .layer_parts import Watched, could_be_norm, projects, read_layers, same, usual_heads
from .sums import Scales, misfit
from .watch import Call, Pass, logits_of, watching


def discover(shadow: Any, ids: torch.Tensor) -> Architecture:
    """Watch one forward pass and name the parts; a second one where the model computes attention by itself.

    Args:
        shadow: a shadow copy; the attention tap is installed on it here.
        ids: [1, position] int64, at least 4 tokens.

    Raises:
        UnsupportedArchitecture: no layers, several streams, or no unembedding; says what was found.
        NotFinite: the model's logits are not finite; names the first module.
    """
    name = type(shadow).__name__
    if getattr(shadow.config, "is_encoder_decoder", False):
        raise UnsupportedArchitecture(
            f"{name} is an encoder-decoder model.", hint="Use a decoder-only causal language model."
        )
    unembed, embed = shadow.get_output_embeddings(), shadow.get_input_embeddings()
    if unembed is None or embed is None:
        raise UnsupportedArchitecture(
            f"{name} has no {'unembedding' if unembed is None else 'token embedding'}.",
            hint="Load it with AutoModelForCausalLM.",
        )
    watched = _watch(shadow, ids)
    seen = watched.seen
    paths = {module: path for path, module in shadow.named_modules()}
    config = text_config(shadow)
    scales = Scales.of(config)
    calls = _layers(shadow, seen, int(config.num_hidden_layers), ids.shape)
    inside = {c.path for call in calls for c in seen.inside(call)}
    outside = [paths[m] for m in watched.attended if m in paths and paths[m] not in inside]
    if outside and len(outside) == len(watched.attended):
        raise UnsupportedArchitecture(
            f"{name} computes attention in {outside[0]}, outside of what looks like its layers ({calls[0].path}, ...).",
            hint="Models whose layers hold their attention are supported.",
        )
    layers = read_layers(shadow, watched, calls, scales)
    for part in layers:
        if part.attention is not None:
            module = shadow.get_submodule(part.attention)
            if watched.by_interface:
                module._mi_tap = TapState()
            else:
                attention_ops.attach(module)
    usual = usual_heads(shadow, watched, layers)
    unembedding = seen.one(paths[unembed])
    if unembedding is None:
        raise UnsupportedArchitecture(
            f"The unembedding of {name} runs {len(seen.named(paths[unembed]))} times in one pass, not once.",
            hint="Load it with AutoModelForCausalLM.",
        )
    where, times = _embedding(seen, paths[embed], calls[0], scales)
    final_norm, factor, headless = _final_norm(shadow, seen, calls[-1], unembedding, scales)
    parts = Architecture(
        family=name,
        layers=tuple(layers),
        embed=where,
        embed_scale=times,
        final_norm=final_norm,
        by_nature=frozenset({"final_norm"}) if headless else frozenset(),
        unembed=paths[unembed],
        n_heads=usual[0],
        n_kv_heads=usual[1],
        d_model=int(calls[0].x.shape[-1]),
        d_head=usual[2],
        d_head_v=usual[3],
        d_vocab=int(watched.logits.shape[-1]),
        kernel=watched.kernel,
    )
    after = _after_unembedding(config, scales, unembedding.y, watched.logits)
    if not _is_linear(unembed, unembedding):
        after["odd_logits"] = "the unembedding gives something else than its weight times what it reads"
    if factor != 1.0 and getattr(unembed, "bias", None) is None:
        after["logit_scale"] = factor * after.get("logit_scale", 1.0)
    elif factor != 1.0:
        after["odd_logits"] = "the last norm's output is scaled before an unembedding with a bias"
    return replace(parts, **after)


def _watch(shadow: Any, ids: torch.Tensor) -> Watched:
    """One pass with the attention interface tapped; another at the level of operations where nothing calls it."""
    was = str(getattr(shadow.config, "_attn_implementation", None) or "eager")
    try:
        kernel, installed = attention_tap.install(shadow), True
    except (ValueError, KeyError, AttributeError, NotImplementedError):
        kernel, installed = was, False
    with torch.no_grad(), watching(shadow) as seen, attention_tap.noting_calls() as attended:
        logits = logits_of(shadow, input_ids=ids)
    by_interface = bool(attended)
    if not by_interface:
        if installed:
            # Such a family reads the name of the kernel by itself: it must be the user's.
            attention_tap.remove(shadow)
        kernel = was
        with torch.no_grad(), watching(shadow) as seen, attention_ops.noting_operations(shadow, *ids.shape) as attended:
            logits = logits_of(shadow, input_ids=ids)
    if not bool(torch.isfinite(logits).all()):
        first = next((call.path for call in seen.calls if not bool(torch.isfinite(call.y).all())), "the logits")
        raise NotFinite(
            f"{type(shadow).__name__} gives NaN or infinity; the first module that does is {first}.",
            hint="Check the weights." if logits.dtype == torch.float32 else "Check the weights, or load it in float32.",
        )
    by_module: dict[nn.Module, list[Attended]] = {}
    for one in attended:
        by_module.setdefault(one.module, []).append(one)
    return Watched(seen, by_module, logits.detach(), kernel, by_interface)


def _layers(shadow: nn.Module, seen: Pass, n_layers: int, shape: torch.Size) -> list[Call]:
    """The call of each layer: the outermost list of that many blocks which all ran once on the stream.

    Args:
        shadow: the model.
        seen: its pass.
        n_layers: how many its config says.
        shape: rows and positions that entered.
    """
    name, found = type(shadow).__name__, []
    for path, module in shadow.named_modules():
        if not isinstance(module, nn.ModuleList):
            continue
        found.append(f"{path} ({len(module)})")
        if len(module) != n_layers or not all(any(True for _ in block.children()) for block in module):
            continue
        calls = [seen.one(f"{path}.{i}") for i in range(n_layers)]
        runs = [call for call in calls if call is not None and call.x.shape == call.y.shape]
        handed_on = [same(after.x, before.y) for before, after in pairwise(runs)]
        if len(runs) < n_layers or (handed_on and not any(handed_on)):
            continue
        odd = next((c.x.shape for c in runs if c.x.ndim != 3 or c.x.shape[:2] != shape), None)
        if odd is None:
            return runs
        raise UnsupportedArchitecture(
            f"The layers of {name} pass on a tensor of {list(odd)} for an input of {list(shape)}: several residual "
            "streams side by side, or another order of axes.",
            hint="Models with one residual stream [row, position, d_model] are supported.",
        )
    raise UnsupportedArchitecture(
        f"{name} has no list of {n_layers} layers that each run once per pass and keep the shape of the residual "
        f"stream; lists found: {', '.join(found[:6]) or 'none'}{' ...' * (len(found) > 6)}.",
        hint="Decoder-only causal language models are supported.",
    )


def _embedding(seen: Pass, embed: str, layer: Call, scales: Scales) -> tuple[str, float]:
    """The module and factor that give the token embedding as it enters the stream, before position embeddings."""
    early = [c for c in seen.calls if c.end < layer.start]
    own = next((i for i, c in enumerate(early) if c.path == embed), None)
    if own is None:
        return embed, 1.0
    stream = layer.x
    chain = [early[own], *(c for c in early[own + 1 :] if c.x.is_floating_point() and c.y.shape == stream.shape)]
    # Position embeddings read positions or a mask, not the stream.
    places = [c.y for c in early if c.path != embed and not c.x.is_floating_point() and c.y.is_floating_point()]
    places = [y.expand_as(stream) for y in places if y.shape[-2:] == stream.shape[-2:]]
    for call in chain:
        for position in (torch.zeros_like(stream), *places):
            term = scales.term(stream, position, [call]) if call.y.numel() == stream.numel() else None
            if term is not None:
                return call.path, term.scale
    return embed, 1.0


def _final_norm(
    shadow: nn.Module, seen: Pass, last: Call, unembedding: Call, scales: Scales
) -> tuple[str | None, float, bool]:
    """The norm that takes the last layer's output to what the unembedding reads, and a factor behind it.

    Returns:
        Its path or None; the factor; whether such a model has none by nature: nothing stands there, or a transform.
    """
    between = [c for c in seen.calls if last.end < c.start and c.end < unembedding.start]
    for call in reversed(between):
        module = shadow.get_submodule(call.path)
        if (
            not could_be_norm(module)
            or isinstance(module, (nn.Dropout, nn.Identity))
            or not same(call.x, last.y)
            or call.y.numel() != unembedding.x.numel()
        ):
            continue
        term = scales.term(unembedding.x, torch.zeros_like(unembedding.x), [call])
        if term is not None:
            return call.path, term.scale, False
    transforms = any(projects(shadow.get_submodule(c.path)) for c in between)
    return None, 1.0, transforms or same(last.y, unembedding.x)


def _is_linear(unembed: Any, call: Call) -> bool:
    """The unembedding gives x @ W^T + b: no hook or class of its own does more."""
    weight, bias = getattr(unembed, "weight", None), getattr(unembed, "bias", None)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2 or not weight.is_floating_point():
        return False
    last = call.x[:, -1:]
    if weight.shape[1] != last.shape[-1]:
        return False
    with torch.no_grad():
        told = nn.functional.linear(last, weight, bias)
    error = (told.double() - call.y[:, -1:].double()).norm() / call.y[:, -1:].double().norm()
    return float(error) < max(1e-4, 8 * torch.finfo(last.dtype).eps)


def _after_unembedding(config: Any, scales: Scales, raw: torch.Tensor, logits: torch.Tensor) -> dict[str, Any]:
    """Softcap and scale between the unembedding's output and the model's logits, told from the numbers."""
    if torch.equal(raw, logits):
        return {}
    caps = {k: float(v) for k, v in config.to_dict().items() if "softcap" in k and isinstance(v, (int, float)) and v}
    for cap in caps.values():
        for scale in (1.0, *scales.known):
            capped = cap * torch.tanh(raw.double() * scale / cap)
            if misfit(logits, capped, capped) < 8:
                return {"logit_scale": scale, "softcap": cap}
    exact, fitted = scales.tiers(logits, raw)
    for scale in (*exact, *fitted):
        if misfit(logits, raw.double() * scale, raw.double() * scale) < 2:
            return {"logit_scale": scale}
    return {"odd_logits": "the logits are no scaled or softcapped form of what the unembedding gives"}
