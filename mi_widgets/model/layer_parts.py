"""What the modules of one layer do, told from what went in and out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .architecture import LayerParts, text_config
from .attention_tap import Attended
from .sums import Halves, Scales, agreed, halves, misfit
from .watch import Call, Pass

_OUT_PROJECTIONS = ("o_proj", "c_proj", "dense", "out_proj")
_HEAD_SITES = ("q", "k", "v", "scores", "pattern", "z", "result")
_NO_ATTENTION = (
    "this layer has no attention: nothing in it calls the attention interface or takes a softmax over positions"
)
_HOOKED = "a hook on this layer changes what it writes, so its parts do not add up to it"
_NO_SUM = "no modules' outputs add up to what this layer writes: its stream is scaled or mixed, or has more terms"


@dataclass(frozen=True)
class Watched:
    """One pass of a model: its calls, its attention calls by module, its logits, and how attention is tapped."""

    seen: Pass
    attended: dict[nn.Module, list[Attended]]
    logits: torch.Tensor
    kernel: str
    by_interface: bool


@dataclass(frozen=True)
class _Seen:
    """One layer in one pass.

    Attributes:
        call: the layer's own.
        inside: the calls it made of modules that run once in the pass: a hook on one that runs twice (a shared
            dropout) would fire in both places.
        shared: the calls of functions that other layers use too; hooks on an activation tell layers apart.
        attending: modules in it that computed attention.
        mixer: the call of the one that did so once, or None.
    """

    call: Call
    inside: list[Call]
    shared: list[Call]
    attending: list[nn.Module]
    mixer: Call | None


def read_layers(shadow: nn.Module, watched: Watched, calls: Sequence[Call], scales: Scales) -> list[LayerParts]:
    """Tell what the modules of every layer do.

    Args:
        shadow: the model.
        watched: its pass.
        calls: the layers' calls.
        scales: factors the family may use.
    """
    layers = [_look(shadow, watched, call) for call in calls]
    alone = [_sums(shadow, layer, scales) for layer in layers]
    sums = agreed(alone, calls, [layer.inside for layer in layers])
    parts = [_layer(shadow, watched, layer, half) for layer, half in zip(layers, sums, strict=True)]
    return _same_heads(shadow, watched, parts)


def _look(shadow: nn.Module, watched: Watched, call: Call) -> _Seen:
    seen = watched.seen
    counts = Counter(c.path for c in seen.calls)
    within = seen.inside(call)
    mine = Counter(c.path for c in within)
    modules = {shadow.get_submodule(path): path for path in mine}
    attending = [module for module in watched.attended if module in modules]
    once = len(attending) == 1 and len(watched.attended[attending[0]]) == 1
    return _Seen(
        call,
        [c for c in within if counts[c.path] == 1],
        [c for c in within if counts[c.path] > 1 == mine[c.path] and _plain(shadow, c.path)],
        attending,
        seen.one(modules[attending[0]]) if once else None,
    )


def _sums(shadow: nn.Module, layer: _Seen, scales: Scales) -> Halves | None:
    """How one layer alone says that it adds up."""
    norms = {c.path for c in layer.inside if could_be_norm(shadow.get_submodule(c.path))}
    sums = halves(layer.call, layer.inside, layer.mixer, norms, scales)
    if sums is not None and sums.open and shadow.get_submodule(layer.call.path)._forward_hooks:
        return None  # what a hook on the layer does would be taken for the MLP's work
    only = sums.second if sums is not None and sums.first is None and layer.mixer is None else None
    if only is not None and _mixes_positions(shadow.get_submodule(only.call.path), only.call):
        return Halves(first=only)
    return sums


def _layer(shadow: nn.Module, watched: Watched, layer: _Seen, sums: Halves | None) -> LayerParts:
    parts, reasons, nature = LayerParts(layer.call.path), dict[str, str](), set[str]()
    if layer.mixer is not None:
        given = watched.attended[layer.attending[0]][0].out
        projection = _out_projection(shadow, layer.inside, layer.mixer, given)
        parts = replace(
            parts,
            attention=layer.mixer.path,
            out_proj=projection.path if projection else None,
            gated=projection is not None and not same(projection.x, given),
        )
    elif layer.attending:
        times = sum(len(watched.attended[m]) for m in layer.attending)
        reasons |= dict.fromkeys(_HEAD_SITES, f"this layer computes attention {times} times")
    else:
        reasons |= dict.fromkeys(_HEAD_SITES, _NO_ATTENTION)
        nature |= set(_HEAD_SITES) if _needs_no_attention(shadow, layer.call.path) else set()
    if sums is None:
        why = _HOOKED if shadow.get_submodule(layer.call.path)._forward_hooks else _NO_SUM
        reasons |= dict.fromkeys(("attn_out", "resid_mid", "mlp_out"), why)
    else:
        parts = _with_sums(shadow, parts, sums, layer.inside, reasons, nature)
    parts = _with_mlp(shadow, parts, layer, sums, reasons, nature)
    return replace(parts, reasons=reasons, by_nature=frozenset(nature))


def _needs_no_attention(shadow: Any, path: str) -> bool:
    """A layer is meant to have no softmax attention: its config says so, or nothing in it is called attention."""
    config = text_config(shadow)
    kinds = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None)
    index = int(path.rpartition(".")[2])
    if isinstance(kinds, (list, tuple)) and index < len(kinds):
        return str(kinds[index]) not in ("attention", "full_attention", "sliding_attention", "chunked_attention")
    names = [name.rpartition(".")[2].lower() for name, _ in shadow.get_submodule(path).named_modules()]
    return not any("attn" in name or "attention" in name for name in names)


def _mixes_positions(module: nn.Module, call: Call) -> bool:
    """The module gives something else at the last position when it sees that position alone."""
    try:
        with torch.no_grad():
            alone = module.forward(call.x[:, -1:])
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return True  # it wants masks or a state: no MLP does
    alone = alone if isinstance(alone, torch.Tensor) else alone[0]
    return not same(alone, call.y[:, -1:])


def could_be_norm(module: nn.Module) -> bool:
    """Without parts, and with vectors for parameters, or none (as OLMo's)."""
    return not any(True for _ in module.children()) and all(p.ndim == 1 for p in module.parameters())


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """The same numbers, up to rounding and layout."""
    return a.numel() == b.numel() and misfit(a, b.reshape(a.shape)) < 4


def projects(module: nn.Module) -> bool:
    """A matrix stands in it: a projection, but no table of embeddings."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and not isinstance(module, nn.Embedding) and weight.ndim == 2


def _out_projection(shadow: nn.Module, inside: list[Call], mixer: Call, given: torch.Tensor) -> Call | None:
    """The projection that reads what attention gave, also behind a gate; by name only where the numbers do not say."""
    after = [c for c in inside if c.end > mixer.start and c.x.numel() == given.numel()]
    linear = [c for c in after if any(p.ndim > 1 for p in shadow.get_submodule(c.path).parameters())]
    exact = next((c for c in linear if c.path != mixer.path and same(c.x, given)), None)
    named = next((c for c in after if c.path in {f"{mixer.path}.{p}" for p in _OUT_PROJECTIONS}), None)
    return exact or named


def _with_sums(
    shadow: nn.Module, parts: LayerParts, sums: Halves, inside: list[Call], reasons: dict[str, str], nature: set[str]
) -> LayerParts:
    first, second = sums.first, sums.second
    projected = next((c for c in inside if c.path == parts.out_proj), None)
    if first is not None:
        other = projected is not None and not same(first.call.y, projected.y)
        is_norm = other and could_be_norm(shadow.get_submodule(first.call.path))
        parts = replace(
            parts,
            attn_writer=first.call.path,
            attn_scale=first.scale,
            attn_post_norm=first.call.path if is_norm else None,
            attn_more=other and not is_norm,
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
    reader = next((c for c in inside if c.path == sums.mid_reader), None)
    readers = [c.path for c in inside if reader and c.start >= reader.start and same(c.x, reader.x)]
    return replace(parts, parallel=sums.parallel, norms=sums.norms, open=sums.open, mid_readers=tuple(readers))


def _with_mlp(
    shadow: nn.Module,
    parts: LayerParts,
    layer: _Seen,
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
        if not all(o is None or c.end < o.start or o.end < c.start for o in (first, layer.mixer)):
            return False
        # In sequence the MLP runs after attention; in parallel on either side of it.
        late = first is None or parts.parallel or c.start > first.end
        return late and (end is None or c.end <= end.end or (c.start <= end.start and end.end <= c.end))

    own = sorted((c for c in (*layer.inside, *layer.shared) if apart(c)), key=lambda c: c.end)
    depth = parts.path.count(".") + 1
    top = next((c for c in own if c.path.count(".") == depth and _holds(shadow.get_submodule(c.path))), end)
    if top is None:
        return parts
    parts = replace(parts, mlp=top.path)
    if _experts(shadow.get_submodule(top.path)):
        reasons |= dict.fromkeys(("mlp_pre", "mlp_post"), "a mixture of experts: each token has MLPs of its own")
        nature |= {"mlp_pre", "mlp_post"}
        return parts
    linear = [c for c in own if projects(shadow.get_submodule(c.path))]
    goal = end or top
    down = next((c for c in reversed(linear) if same(c.y, goal.y) or (end and same(c.y, end.x))), None)
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
    return any(projects(m) for m in module.modules()) and any(True for _ in module.children())


def _same_heads(shadow: nn.Module, watched: Watched, layers: Sequence[LayerParts]) -> list[LayerParts]:
    """Take sites off layers whose heads have another shape than the model's, so that arrays over layers hold."""
    shapes = [heads_of(shadow, watched, layer) for layer in layers]
    usual = usual_heads(shadow, watched, layers)
    out = []
    for layer, own in zip(layers, shapes, strict=True):
        if own is None or own == usual:
            out.append(layer)
            continue
        why = "its heads are {} ({} for keys and values) of width {} and {}".format(*own)
        why += ", the model's others {} ({}) of {} and {}".format(*usual)
        n_heads, n_kv, d, d_v = (a != b for a, b in zip(own, usual, strict=True))
        differs = {"q": n_heads or d, "k": n_kv or d, "v": n_kv or d_v, "z": n_heads or d_v}
        differs |= dict.fromkeys(("scores", "pattern", "result"), n_heads)
        reasons = {site: why for site, odd in differs.items() if odd}
        out.append(replace(layer, reasons=layer.reasons | reasons, by_nature=layer.by_nature | frozenset(reasons)))
    return out


def heads_of(shadow: nn.Module, watched: Watched, layer: LayerParts) -> tuple[int, int, int, int] | None:
    """n_heads, n_kv_heads, d_head and d_head_v of a layer; None without attention."""
    return watched.attended[shadow.get_submodule(layer.attention)][0].heads if layer.attention else None


def usual_heads(shadow: nn.Module, watched: Watched, layers: Sequence[LayerParts]) -> tuple[int, int, int, int]:
    """The shape that most layers have; zeros in a model without attention."""
    shapes = [shape for layer in layers if (shape := heads_of(shadow, watched, layer)) is not None]
    return Counter(shapes).most_common(1)[0][0] if shapes else (0, 0, 0, 0)
