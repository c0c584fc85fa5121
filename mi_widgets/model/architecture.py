"""Finds a model's layers, attention, projections, MLP, norms and unembedding by watching one forward pass.

There is no table of families. What is found here is a claim; `proof.py` tests it before anything is offered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ..errors import NotFinite, UnsupportedArchitecture
from . import attention_tap

SITES = (
    "embed", "resid_pre", "q", "k", "v", "scores", "pattern", "z", "result", "attn_out", "resid_mid",
    "mlp_pre", "mlp_post", "mlp_out", "resid_post", "final_norm", "logits",
)  # fmt: skip
"""Every site kind, in the order of the computation."""

GLOBAL_SITES = frozenset({"embed", "final_norm", "logits"})
"""Sites that belong to no layer."""

HEAD_SITES = {"q": "n_heads", "k": "n_kv_heads", "v": "n_kv_heads", "z": "n_heads", "result": "n_heads",
              "scores": "n_heads", "pattern": "n_heads"}  # fmt: skip
"""Sites with a head axis, and how many heads it has."""

_OUT_PROJECTIONS = ("o_proj", "c_proj", "dense", "out_proj")
_ATTENTION_WORDS = ("attn", "attention")


@dataclass(frozen=True)
class LayerParts:
    """Dotted paths of one layer's parts, from the model's root; None where the layer has no such part.

    Attributes:
        path: the layer.
        attention: the module that calls the attention interface.
        out_proj: its output projection; z is what enters it.
        attn_writer: the module whose output is what attention adds to the stream (the attention, or its post-norm).
        mlp: the MLP.
        mlp_writer: the module whose output is what the MLP adds.
        activation: the MLP's activation; mlp_pre is what enters it.
        down: the MLP's last projection; mlp_post is what enters it.
        parallel: attention and MLP read the same input, so there is no resid_mid.
    """

    path: str
    attention: str | None = None
    out_proj: str | None = None
    attn_writer: str | None = None
    mlp: str | None = None
    mlp_writer: str | None = None
    activation: str | None = None
    down: str | None = None
    parallel: bool = False

    @property
    def attn_post_norm(self) -> str | None:
        """The norm between the attention and the stream, in families that have one."""
        return self.attn_writer if self.attn_writer != self.attention else None


@dataclass(frozen=True)
class Architecture:
    """What was found where, and what of it holds.

    Attributes:
        family: the model's class name.
        layers: parts of each layer.
        embed, final_norm, unembed: paths of the token embedding, last norm and unembedding.
        n_heads, n_kv_heads, d_model, d_head, d_head_v, d_vocab: shape of the model.
        kernel: attention implementation that the user's model runs.
        softcap: cap of the logits' ``cap * tanh(x / cap)``, or None.
        logit_scale: factor on the logits before the cap.
        sites: site kinds this model offers on at least one layer.
        missing: {site: reason} for kinds it offers nowhere.
        missing_at: {(site, layer): reason} for single layers.
        proof: {what was tested: largest relative error}.
    """

    family: str
    layers: tuple[LayerParts, ...]
    embed: str
    final_norm: str
    unembed: str
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_head_v: int
    d_vocab: int
    kernel: str
    softcap: float | None = None
    logit_scale: float = 1.0
    sites: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    missing_at: dict[tuple[str, int], str] = field(default_factory=dict)
    proof: dict[str, float] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """How many layers were found."""
        return len(self.layers)

    def __str__(self) -> str:
        first = self.layers[0]
        rows = [
            f"{self.family}: {self.n_layers} layers, {self.n_heads} heads, d_model {self.d_model}",
            f"  layer 0    {first.path}",
            f"  attention  {first.attention} -> {first.out_proj}, adds {first.attn_writer}",
            f"  mlp        {first.mlp}, adds {first.mlp_writer}" + (" (parallel)" if first.parallel else ""),
            f"  final_norm {self.final_norm}, unembed {self.unembed}, kernel {self.kernel}",
            f"  sites      {', '.join(self.sites)}",
        ]
        rows += [f"  missing    {site}: {reason}" for site, reason in self.missing.items()]
        rows += [f"  proven     {name}: {error:.1e}" for name, error in self.proof.items()]
        return "\n".join(rows)


def tensor_of(output: Any) -> torch.Tensor:
    """The hidden states in a module's output: a tensor in most families, first of a tuple or list in older ones."""
    return output if isinstance(output, torch.Tensor) else output[0]


def with_tensor(output: Any, new: torch.Tensor) -> Any:
    """The same output with its hidden states replaced, in the same container."""
    if isinstance(output, torch.Tensor):
        return new
    return type(output)([new, *output[1:]])


def input_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The hidden states among a module's arguments; attention gets them as a keyword."""
    for value in (*args[:1], kwargs.get("hidden_states"), kwargs.get("input")):
        if isinstance(value, torch.Tensor):
            return value
    return None


@dataclass(frozen=True)
class _Call:
    path: str
    x: torch.Tensor
    y: torch.Tensor


@contextmanager
def _watching(root: nn.Module, paths: list[str]) -> Iterator[list[_Call]]:
    """Record input and output of modules, in the order in which they return."""
    calls: list[_Call] = []
    handles = []

    def watch(path: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            x = input_of(args, kwargs)
            y = output if isinstance(output, torch.Tensor) else next(iter(output), None) if output is not None else None
            if x is not None and isinstance(y, torch.Tensor):
                calls.append(_Call(path, x.detach().clone(), y.detach().clone()))

        return hook

    try:
        for path in paths:
            module = root.get_submodule(path)
            handles.append(module.register_forward_hook(watch(path), with_kwargs=True))
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _close(a: torch.Tensor, b: torch.Tensor, size: torch.Tensor) -> bool:
    """Equal up to rounding, judged against the part that was added (a wrong candidate is off by its own size)."""
    if a.shape != b.shape:
        return False
    eps = torch.finfo(a.dtype).eps
    error = (a.double() - b.double()).norm()
    return bool(error <= 64 * eps * a.double().norm() + 1e-3 * size.double().norm())


def _path_of(root: nn.Module, module: nn.Module) -> str:
    return next(name for name, m in root.named_modules() if m is module)


def _layer_list(shadow: nn.Module, n_layers: int) -> str:
    lists = [
        (name, m) for name, m in shadow.named_modules() if isinstance(m, nn.ModuleList) and len(m) == n_layers
    ]  # fmt: skip
    blocks = [(name, m) for name, m in lists if any(True for _ in m[0].children())]
    if not blocks:
        found = [f"{n} ({len(m)})" for n, m in shadow.named_modules() if isinstance(m, nn.ModuleList)]
        raise UnsupportedArchitecture(
            f"{type(shadow).__name__} has no list of {n_layers} layers; lists found: {found or 'none'}.",
            hint="Decoder-only causal language models are supported.",
        )
    return min(blocks, key=lambda item: item[0].count("."))[0]


def _text_config(shadow: Any) -> Any:
    config = shadow.config
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _attention_candidates(layer: nn.Module, path: str) -> list[str]:
    found = []
    for name, module in layer.named_modules():
        last = name.rsplit(".", 1)[-1]
        has_projection = any(isinstance(getattr(module, p, None), nn.Module) for p in _OUT_PROJECTIONS)
        if name and has_projection and any(word in last for word in _ATTENTION_WORDS):
            found.append(f"{path}.{name}")
    return found


def discover(shadow: Any, ids: torch.Tensor) -> Architecture:
    """Watch one forward pass and name the parts.

    Args:
        shadow: a shadow copy; the attention tap is installed on it here.
        ids: [1, position] int64, at least 4 tokens.

    Raises:
        UnsupportedArchitecture: no layer list, no attention, or no unembedding; says what was found.
        NotFinite: the model's logits are not finite; names the first module.
    """
    config = _text_config(shadow)
    if getattr(shadow.config, "is_encoder_decoder", False):
        raise UnsupportedArchitecture(
            f"{type(shadow).__name__} is an encoder-decoder model.",
            hint="Use a decoder-only causal language model.",
        )
    n_layers = int(config.num_hidden_layers)
    base = _layer_list(shadow, n_layers)
    unembed = shadow.get_output_embeddings()
    embed = shadow.get_input_embeddings()
    if unembed is None or embed is None:
        raise UnsupportedArchitecture(
            f"{type(shadow).__name__} has no {'unembedding' if unembed is None else 'token embedding'}.",
            hint="Load it with AutoModelForCausalLM.",
        )
    layer_paths = [f"{base}.{i}" for i in range(n_layers)]
    candidates = {path: _attention_candidates(shadow.get_submodule(path), path) for path in layer_paths}
    attentions = [shadow.get_submodule(c) for found in candidates.values() for c in found]
    kernel = attention_tap.install(shadow, attentions)

    watched = [name for name, _ in shadow.named_modules() if name]
    with torch.no_grad(), _watching(shadow, watched) as calls:
        logits = shadow(input_ids=ids, use_cache=False).logits
    if not bool(torch.isfinite(logits).all()):
        first = next((call.path for call in calls if not bool(torch.isfinite(call.y).all())), "the logits")
        raise NotFinite(
            f"{type(shadow).__name__} gives NaN or infinity; the first module that does is {first}.",
            hint="Check the weights, or load the model in float32.",
        )
    by_path = {call.path: call for call in calls}
    order = {call.path: i for i, call in enumerate(calls)}

    layers = []
    for path in layer_paths:
        called = [c for c in candidates[path] if shadow.get_submodule(c)._mi_tap.calls == 1]
        layers.append(_parts(shadow, path, called[-1] if called else None, by_path, order))
    with_attention = next((part for part in layers if part.attention), None)
    if with_attention is None:
        raise UnsupportedArchitecture(
            f"No layer of {type(shadow).__name__} calls the attention interface exactly once; candidates: "
            f"{sorted(c for found in candidates.values() for c in found)[:4]}.",
            hint="See mi-widgets doctor for what was found.",
        )
    q, k, v = shadow.get_submodule(str(with_attention.attention))._mi_tap.shapes
    unembed_path = _path_of(shadow, unembed)
    parts = Architecture(
        family=type(shadow).__name__,
        layers=tuple(layers),
        embed=_path_of(shadow, embed),
        final_norm=_final_norm(calls, order, layer_paths[-1], unembed_path, type(shadow).__name__),
        unembed=unembed_path,
        n_heads=int(q[1]),
        n_kv_heads=int(k[1]),
        d_model=int(by_path[layer_paths[0]].x.shape[-1]),
        d_head=int(q[3]),
        d_head_v=int(v[3]),
        d_vocab=int(logits.shape[-1]),
        kernel=kernel,
    )
    return replace(parts, **_after_unembedding(config, by_path[unembed_path].y, logits))


def _final_norm(calls: list[_Call], order: dict[str, int], last: str, unembed: str, family: str) -> str:
    """The module after the last layer whose output the unembedding reads."""
    wanted = calls[order[unembed]].x
    for call in reversed(calls):
        after = order[last] < order[call.path] < order[unembed] and not call.path.startswith(last + ".")
        if after and call.y.shape == wanted.shape and torch.equal(call.y, wanted) and call.x.shape == call.y.shape:
            return call.path
    raise UnsupportedArchitecture(
        f"No norm was found between the last layer and the unembedding of {family}.",
        hint="See mi-widgets doctor for what was found.",
    )


def _after_unembedding(config: Any, raw: torch.Tensor, logits: torch.Tensor) -> dict[str, Any]:
    """Softcap and scale between the unembedding's output and the model's logits, told from the numbers."""
    raw, logits = raw.double(), logits.double()
    if torch.allclose(raw, logits, rtol=1e-5, atol=1e-6):
        return {}
    cap = getattr(config, "final_logit_softcapping", None)
    for scale in (
        1.0,
        float(getattr(config, "logit_scale", None) or 1.0),
        1 / float(getattr(config, "logits_scaling", 1) or 1),
    ):
        scaled = raw * scale
        if torch.allclose(scaled, logits, rtol=1e-4, atol=1e-5):
            return {"logit_scale": scale}
        if cap and torch.allclose(cap * torch.tanh(scaled / cap), logits, rtol=1e-3, atol=1e-4):
            return {"logit_scale": scale, "softcap": float(cap)}
    raise UnsupportedArchitecture(
        "The logits are neither the unembedding's output nor a scaled or softcapped form of it.",
        hint="Please report the model's class.",
    )


def _is_projection(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.ndim == 2 and not isinstance(module, nn.Embedding)


def _parts(
    shadow: nn.Module, path: str, attention: str | None, by_path: dict[str, _Call], order: dict[str, int]
) -> LayerParts:
    """Tell what one layer's modules do from what went in and out of them."""
    parts = LayerParts(path)
    if path not in by_path:
        return parts
    stream_in, stream_out = by_path[path].x, by_path[path].y
    inside = sorted((p for p in order if p.startswith(path + ".")), key=order.__getitem__)
    children = [p for p in inside if p.count(".") == path.count(".") + 1 and by_path[p].y.shape == stream_in.shape]

    top = attention
    if attention is not None:
        projection = next((f"{attention}.{p}" for p in _OUT_PROJECTIONS if f"{attention}.{p}" in by_path), None)
        parts = replace(parts, attention=attention, out_proj=projection)
        top = ".".join(attention.split(".")[: path.count(".") + 2])

    def mlp_like(p: str) -> bool:
        return p != top and any(_is_projection(m) for m in shadow.get_submodule(p).modules())

    mlp = next((p for p in reversed(children) if mlp_like(p)), None)
    if mlp is not None:
        own = [p for p in inside if p.startswith(mlp + ".")]
        down = next(
            (
                p
                for p in reversed(own)
                if _is_projection(shadow.get_submodule(p)) and by_path[p].y.shape == stream_in.shape
            ),
            None,
        )
        act = [
            p
            for p in own
            if not any(True for _ in shadow.get_submodule(p).parameters()) and "drop" not in p.rsplit(".", 1)[-1]
        ]
        parts = replace(parts, mlp=mlp, down=down, activation=act[0] if len(act) == 1 else None)
    return _writers(parts, top, mlp, children, by_path, stream_in, stream_out)


def _writers(
    parts: LayerParts,
    attention: str | None,
    mlp: str | None,
    children: list[str],
    by_path: dict[str, _Call],
    stream_in: torch.Tensor,
    stream_out: torch.Tensor,
) -> LayerParts:
    """Which outputs add up to the layer: in sequence (a resid_mid exists), or in parallel."""
    y = {p: by_path[p].y for p in children}
    if attention not in children or mlp not in children:
        return parts
    for_mlp = children[children.index(mlp) :]
    after = children[children.index(attention) :]
    for i, reader in enumerate(after[1:], start=1):
        for writer in reversed(after[:i]):
            mid = by_path[reader].x
            if mlp != writer and _close(mid, stream_in + y[writer], y[writer]):
                for second in reversed(for_mlp):
                    if _close(stream_out, mid + y[second], y[second]):
                        return replace(parts, attn_writer=writer, mlp_writer=second)
    for second in reversed(for_mlp):
        if _close(stream_out, stream_in + y[attention] + y[second], y[second]):
            return replace(parts, attn_writer=attention, mlp_writer=second, parallel=True)
    return parts
