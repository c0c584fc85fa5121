"""Finds a model's layers, attention, projections, MLP, norms and unembedding by watching one forward pass.

There is no table of families. What is found here is a claim; `proof.py` tests it before anything is offered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..errors import NotFinite, UnsupportedArchitecture
from . import attention_ops, attention_tap
from .architecture import Architecture, LayerParts
from .attention_tap import Attended, TapState
from .sums import Halves, Scales, halves, misfit
from .watch import Call, Pass, watching

_OUT_PROJECTIONS = ("o_proj", "c_proj", "dense", "out_proj")
_HEAD_SITES = ("q", "k", "v", "scores", "pattern", "z", "result")


@dataclass(frozen=True)
class _Watched:
    """One pass of a model: its calls, its attention calls by module, its logits, and how attention is tapped."""

    seen: Pass
    attended: dict[nn.Module, list[Attended]]
    logits: torch.Tensor
    kernel: str
    by_interface: bool


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
    config = shadow.config.get_text_config() if hasattr(shadow.config, "get_text_config") else shadow.config
    floats = [v for v in config.to_dict().values() if isinstance(v, (int, float)) and not isinstance(v, bool) and v]
    scales = Scales(tuple(float(v) for v in floats))
    calls = _layers(shadow, seen, int(config.num_hidden_layers), ids.shape)
    layers = []
    for call in calls:
        held = {c.path for c in seen.inside(call)}
        attending = [m for m in watched.attended if paths.get(m) in held]
        layers.append(_layer(shadow, seen, call, attending, watched, paths, scales))
    for part in layers:
        if part.attention is not None:
            module = shadow.get_submodule(part.attention)
            if watched.by_interface:
                module._mi_tap = TapState()
            else:
                attention_ops.attach(module)
    shapes = [watched.attended[shadow.get_submodule(p.attention)][0].heads for p in layers if p.attention]
    usual = Counter(shapes).most_common(1)[0][0] if shapes else (0, 0, 0, 0)
    layers = [
        _same_heads(part, watched.attended[shadow.get_submodule(part.attention)][0].heads, usual)
        if part.attention
        else part
        for part in layers
    ]
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
    if factor != 1.0 and getattr(unembed, "bias", None) is None:
        after["logit_scale"] = factor * after.get("logit_scale", 1.0)
    elif factor != 1.0:
        after["odd_logits"] = "the last norm's output is scaled before an unembedding with a bias"
    return replace(parts, **after)


def _watch(shadow: Any, ids: torch.Tensor) -> _Watched:
    """One pass with the attention interface tapped; another at the level of operations where nothing calls it."""
    was = str(getattr(shadow.config, "_attn_implementation", None) or "eager")
    try:
        kernel, installed = attention_tap.install(shadow), True
    except (ValueError, KeyError, AttributeError, NotImplementedError):
        kernel, installed = was, False
    with torch.no_grad(), watching(shadow) as seen, attention_tap.noting_calls() as attended:
        logits = shadow(input_ids=ids, use_cache=False).logits
    by_interface = bool(attended)
    if not by_interface:
        if installed:
            # Such a family reads the name of the kernel by itself: it must be the user's.
            attention_tap.remove(shadow)
        with torch.no_grad(), watching(shadow) as seen, attention_ops.noting_operations(shadow, *ids.shape) as attended:
            logits = shadow(input_ids=ids, use_cache=False).logits
    if not bool(torch.isfinite(logits).all()):
        first = next((call.path for call in seen.calls if not bool(torch.isfinite(call.y).all())), "the logits")
        raise NotFinite(
            f"{type(shadow).__name__} gives NaN or infinity; the first module that does is {first}.",
            hint="Check the weights." if logits.dtype == torch.float32 else "Check the weights, or load it in float32.",
        )
    by_module: dict[nn.Module, list[Attended]] = {}
    for one in attended:
        by_module.setdefault(one.module, []).append(one)
    return _Watched(seen, by_module, logits.detach(), kernel, by_interface)


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
        if len(runs) < n_layers:
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
        f"stream; lists found: {', '.join(found) or 'none'}.",
        hint="Decoder-only causal language models are supported.",
    )


def _layer(
    shadow: nn.Module,
    seen: Pass,
    call: Call,
    attending: list[nn.Module],
    watched: _Watched,
    paths: dict[nn.Module, str],
    scales: Scales,
) -> LayerParts:
    """Tell what one layer's modules do from what went in and out of them."""
    counts = Counter(c.path for c in seen.calls)
    # A hook on a module that runs twice (a shared dropout) would fire in both places.
    inside = [c for c in seen.inside(call) if counts[c.path] == 1]
    parts, reasons, nature = LayerParts(call.path), dict[str, str](), set[str]()
    mixer = None
    if len(attending) == 1 and len(watched.attended[attending[0]]) == 1:
        mixer = seen.one(paths[attending[0]])
    if mixer is not None:
        given = watched.attended[attending[0]][0].out
        projection = _out_projection(shadow, inside, mixer, given)
        parts = replace(
            parts,
            attention=mixer.path,
            out_proj=projection.path if projection else None,
            gated=projection is not None and not _same(projection.x, given),
        )
    elif attending:
        times = sum(len(watched.attended[m]) for m in attending)
        reasons |= dict.fromkeys(_HEAD_SITES, f"this layer computes attention {times} times")
    else:
        reasons |= dict.fromkeys(_HEAD_SITES, _NO_ATTENTION)
        nature |= set(_HEAD_SITES)
    norms = {c.path for c in inside if _could_be_norm(shadow.get_submodule(c.path))}
    sums = halves(call, inside, mixer, norms, scales)
    if sums is not None and mixer is None and sums.first is None and sums.second is not None:
        only = sums.second
        if _mixes_positions(shadow.get_submodule(only.call.path), only.call):
            sums = Halves(first=only)
    if sums is None:
        why = "no modules' outputs add up to what this layer writes: its stream is scaled or mixed, or has more terms"
        reasons |= dict.fromkeys(("attn_out", "resid_mid", "mlp_out"), why)
    else:
        parts = _with_sums(parts, sums, inside, reasons, nature)
    # Hooks on an activation tell layers apart, so one that all layers share will do.
    mine = Counter(c.path for c in seen.inside(call))
    shared = [c for c in seen.inside(call) if counts[c.path] > 1 == mine[c.path] and _plain(shadow, c.path)]
    parts = _with_mlp(shadow, parts, sorted((*inside, *shared), key=lambda c: c.end), mixer, sums, reasons, nature)
    return replace(parts, reasons=reasons, by_nature=frozenset(nature))


_NO_ATTENTION = (
    "this layer has no attention: nothing in it calls the attention interface or takes a softmax over positions"
)


def _mixes_positions(module: nn.Module, call: Call) -> bool:
    """The module gives something else at the last position when it sees that position alone."""
    try:
        with torch.no_grad():
            alone = module.forward(call.x[:, -1:])
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return True  # it wants masks or a state: no MLP does
    alone = alone if isinstance(alone, torch.Tensor) else alone[0]
    return not _same(alone, call.y[:, -1:])


def _could_be_norm(module: nn.Module) -> bool:
    """Without parts, and with vectors for parameters, or none (as OLMo's)."""
    return not any(True for _ in module.children()) and all(p.ndim == 1 for p in module.parameters())


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.numel() == b.numel() and misfit(a, b.reshape(a.shape)) < 4


def _projects(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and not isinstance(module, nn.Embedding) and weight.ndim == 2


def _out_projection(shadow: nn.Module, inside: list[Call], mixer: Call, given: torch.Tensor) -> Call | None:
    """The projection that reads what attention gave, also behind a gate; by name only where the numbers do not say."""
    after = [c for c in inside if c.end > mixer.start and c.x.numel() == given.numel()]
    linear = [c for c in after if any(p.ndim > 1 for p in shadow.get_submodule(c.path).parameters())]
    exact = next((c for c in linear if c.path != mixer.path and _same(c.x, given)), None)
    named = next((c for c in after if c.path in {f"{mixer.path}.{p}" for p in _OUT_PROJECTIONS}), None)
    return exact or named


def _with_sums(
    parts: LayerParts, sums: Halves, inside: list[Call], reasons: dict[str, str], nature: set[str]
) -> LayerParts:
    first, second = sums.first, sums.second
    projected = next((c for c in inside if c.path == parts.out_proj), None)
    if first is not None:
        is_norm = projected is not None and not _same(first.call.y, projected.y)
        parts = replace(
            parts,
            attn_writer=first.call.path,
            attn_scale=first.scale,
            attn_post_norm=first.call.path if is_norm else None,
        )
    if second is not None:
        parts = replace(parts, mlp_writer=second.call.path, mlp_scale=second.scale)
    if sums.norms is not None:
        reasons["resid_mid"] = "the block normalises the stream after each addition: choose resid_pre or resid_post"
    elif sums.parallel:
        reasons["resid_mid"] = "attention and MLP run in parallel: choose resid_pre or resid_post"
    elif not sums.open and (first is None or second is None):
        reasons["resid_mid"] = "this layer adds to the stream once: choose resid_pre or resid_post"
    if "resid_mid" in reasons:
        nature.add("resid_mid")
    if first is None:
        reasons["attn_out"] = "this layer has an MLP only"
        nature.add("attn_out")
    if second is None and not sums.open:
        reasons |= dict.fromkeys(("mlp_pre", "mlp_post", "mlp_out"), "this layer has no MLP")
        nature |= {"mlp_pre", "mlp_post", "mlp_out"}
    return replace(parts, parallel=sums.parallel, norms=sums.norms, open=sums.open, mid_reader=sums.mid_reader)


def _with_mlp(
    shadow: nn.Module,
    parts: LayerParts,
    inside: list[Call],
    mixer: Call | None,
    sums: Halves | None,
    reasons: dict[str, str],
    nature: set[str],
) -> LayerParts:
    """Find the MLP's activation and last projection: the calls that lead to what the MLP adds."""
    if sums is None or (sums.second is None and not sums.open):
        return parts
    first = sums.first.call if sums.first is not None else None
    end = sums.second.call if sums.second is not None else None

    def apart(c: Call) -> bool:
        if not all(o is None or c.end < o.start or o.end < c.start for o in (first, mixer)):
            return False
        # In sequence the MLP runs after attention; in parallel on either side of it.
        late = first is None or parts.parallel or c.start > first.end
        return late and (end is None or c.end <= end.end or (c.start <= end.start and end.end <= c.end))

    own = [c for c in inside if apart(c)]
    depth = parts.path.count(".") + 1
    top = next((c for c in own if c.path.count(".") == depth and _holds(shadow.get_submodule(c.path))), end)
    if top is None:
        return parts
    parts = replace(parts, mlp=top.path)
    if _experts(shadow.get_submodule(top.path)):
        reasons |= dict.fromkeys(("mlp_pre", "mlp_post"), "a mixture of experts: each token has MLPs of its own")
        nature |= {"mlp_pre", "mlp_post"}
        return parts
    linear = [c for c in own if _projects(shadow.get_submodule(c.path))]
    goal = end or top
    down = next((c for c in reversed(linear) if _same(c.y, goal.y) or (end and _same(c.y, end.x))), None)
    if down is None:
        reasons |= dict.fromkeys(("mlp_pre", "mlp_post"), "the MLP has no last projection of its own")
        return parts
    since = top.start if top.start < down.start else 0
    acts = [
        c
        for c in own
        if since < c.start
        and c.end < down.start
        and c.x.shape == c.y.shape
        and c.x.shape[-1] == down.x.shape[-1]
        and _activates(shadow.get_submodule(c.path))
    ]
    if len(acts) != 1:
        reasons["mlp_pre"] = "the MLP computes its activation without a module of its own"
    return replace(parts, down=down.path, activation=acts[0].path if len(acts) == 1 else None)


def _plain(shadow: nn.Module, path: str) -> bool:
    """A function of its input alone: no parameters, no parts."""
    module = shadow.get_submodule(path)
    return _activates(module) and not any(True for _ in (*module.parameters(), *module.children()))


def _activates(module: nn.Module) -> bool:
    return all(p.numel() == 1 for p in module.parameters()) and not isinstance(module, (nn.Dropout, nn.Identity))


def _experts(module: nn.Module) -> bool:
    words = [f"{path} {type(part).__name__}".lower() for path, part in module.named_modules()]
    return any("expert" in word for word in words)


def _holds(module: nn.Module) -> bool:
    """Made of parts, projections among them."""
    return any(_projects(m) for m in module.modules()) and any(True for _ in module.children())


def _same_heads(parts: LayerParts, own: tuple[int, int, int, int], usual: tuple[int, int, int, int]) -> LayerParts:
    """Take the sites off a layer whose heads have another shape than the model's, so that arrays over layers hold."""
    if own == usual:
        return parts
    why = "its heads are {} ({} for keys and values) of width {} and {}".format(*own)
    why += ", the model's others {} ({}) of {} and {}".format(*usual)
    sites = ["q"] * ((own[0], own[2]) != (usual[0], usual[2])) + ["k"] * ((own[1], own[2]) != (usual[1], usual[2]))
    sites += ["v"] * ((own[1], own[3]) != (usual[1], usual[3])) + ["z"] * ((own[0], own[3]) != (usual[0], usual[3]))
    sites += ["scores", "pattern", "result"] * (own[0] != usual[0])
    reasons = dict.fromkeys(sites, why)
    return replace(parts, reasons=parts.reasons | reasons, by_nature=parts.by_nature | frozenset(reasons))


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
            not _could_be_norm(module)
            or isinstance(module, (nn.Dropout, nn.Identity))
            or not _same(call.x, last.y)
            or call.y.numel() != unembedding.x.numel()
        ):
            continue
        term = scales.term(unembedding.x, torch.zeros_like(unembedding.x), [call])
        if term is not None:
            return call.path, term.scale, False
    transforms = any(_projects(shadow.get_submodule(c.path)) for c in between)
    return None, 1.0, transforms or _same(last.y, unembedding.x)


def _after_unembedding(config: Any, scales: Scales, raw: torch.Tensor, logits: torch.Tensor) -> dict[str, Any]:
    """Softcap and scale between the unembedding's output and the model's logits, told from the numbers."""
    if torch.equal(raw, logits) or misfit(logits, raw) < 1:
        return {}
    for scale in scales.of(logits, raw)[1:]:
        if misfit(logits, raw.double() * scale, raw.double() * scale) < 2:
            return {"logit_scale": scale}
    caps = {k: float(v) for k, v in config.to_dict().items() if "softcap" in k and isinstance(v, (int, float)) and v}
    for cap in caps.values():
        for scale in (1.0, *scales.known):
            capped = cap * torch.tanh(raw.double() * scale / cap)
            if misfit(logits, capped, capped) < 8:
                return {"logit_scale": scale, "softcap": cap}
    return {"odd_logits": "the logits are no scaled or softcapped form of what the unembedding gives"}
