"""Read or replace any site of a shadow during one forward pass. One mechanism for captures, edits and proofs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from .architecture import Architecture, LayerParts
from .attention_tap import TAP_KINDS, Around, Weights
from .watch import input_of, tensor_of, with_input, with_tensor

Key = tuple[str, int | None]
"""A site of a whole layer: (kind, layer); layer is None for embed, final_norm and logits."""

Visitor = Callable[[torch.Tensor], torch.Tensor | None]
"""Sees a site's value and returns its replacement, or None to leave it.

Shapes: streams, increments, mlp_pre and mlp_post [row, position, d]; q, k, v, z, result [row, position, head, d];
scores, pattern [row, head, dest, src]; logits [row, position, vocab].
"""

Watcher = Callable[[Weights], None]
"""Is shown something that can tell a layer's attention weights."""


def projection_of(module: nn.Module, width: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """An output projection as numbers: y = z @ weight + bias.

    Args:
        module: GPT-2's Conv1D, an `nn.Linear`, or whatever stands in for them (an adapter around one, packed weights),
            which is asked for its map.
        width: of what enters it.

    Returns:
        weight [width, d_model] and bias [d_model] or None.
    """
    weight: Any = getattr(module, "weight", None)
    bias: torch.Tensor | None = getattr(module, "bias", None)
    if isinstance(weight, torch.Tensor) and weight.ndim == 2 and weight.is_floating_point() and not weight.is_meta:
        if isinstance(module, Conv1D) and weight.shape[0] == width:
            return weight, bias
        if isinstance(module, nn.Linear) and weight.shape[1] == width:
            return weight.T, bias
    like = next(p for p in module.parameters() if p.is_floating_point())
    with torch.no_grad():
        # Its forward alone: hooks on the module are not asked.
        rest = module.forward(torch.zeros(1, width, dtype=like.dtype, device=like.device))
        return module.forward(torch.eye(width, dtype=like.dtype, device=like.device)) - rest, rest[0]


def head_results(z: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """What each head adds: z [..., head, d_head_v] and W_O [head * d_head_v, d_model] -> [..., head, d_model]."""
    by_head = weight.reshape(z.shape[-2], z.shape[-1], weight.shape[-1])
    return torch.einsum("...hv,hvd->...hd", z, by_head.to(z.dtype))


def _taken(changed: torch.Tensor, new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """What was written where it differs from what was there, to the bit of that elsewhere.

    Where gradients are asked for all that was written counts: they run through it also where the numbers are equal.
    """
    return new if torch.is_grad_enabled() else torch.where(changed, new, old)


class _Hooks:
    """Hooks of one pass, removed together."""

    def __init__(
        self,
        shadow: nn.Module,
        parts: Architecture,
        visitors: Mapping[Key, Visitor],
        watchers: Mapping[int, Watcher],
        arounds: Mapping[int, Around],
        layers: Iterable[int],
    ) -> None:
        self.shadow, self.parts, self.visitors = shadow, parts, visitors
        self.watchers, self.arounds, self.layers = watchers, arounds, list(layers)
        self.handles: list[Any] = []
        self.tapped: list[Any] = []
        self.rows: torch.Size | None = None

    def visit(self, kind: str, layer: int | None, value: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        """Show a value, in the layout of its site and times a family's factor, and give back what replaces it."""
        visitor = self.visitors.get((kind, layer))
        if visitor is None:
            return value
        shown = value if scale == 1.0 else value * scale
        # Some families lay all positions end to end between their norms.
        shown = shown.unflatten(0, self.rows) if shown.ndim == 2 and self.rows is not None else shown
        new = visitor(shown)
        if new is None or new is shown:
            return value
        return (new if scale == 1.0 else new / scale).reshape(value.shape)

    def wants(self, layer: int | None, *kinds: str) -> bool:
        return any((kind, layer) in self.visitors for kind in kinds)

    def before(self, path: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Replace what enters a module."""

        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
            x = input_of(args, kwargs)
            if x is None:
                return None
            new = change(x)
            return None if new is x else with_input(args, kwargs, new)

        self.handles.append(self.shadow.get_submodule(path).register_forward_pre_hook(hook, with_kwargs=True))

    def after(self, path: str, change: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]) -> None:
        """Replace what leaves a module; `change` also gets what entered it."""

        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            y = tensor_of(output)
            new = change(y, input_of(args, kwargs))
            return None if new is y else with_tensor(output, new)

        self.handles.append(self.shadow.get_submodule(path).register_forward_hook(hook, with_kwargs=True))

    def install(self) -> None:
        parts = self.parts

        def shape(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            x = input_of(args, kwargs)
            self.rows = None if x is None else x.shape[:2]

        if self.layers:
            first = self.shadow.get_submodule(parts.layers[self.layers[0]].path)
            self.handles.append(first.register_forward_pre_hook(shape, with_kwargs=True))
        if self.wants(None, "embed"):
            self.after(parts.embed, lambda y, _: self.visit("embed", None, y, parts.embed_scale))
        for index in self.layers:
            layer = parts.layers[index]
            # Some families add the stream inside their attention: its own sites come first there.
            self._attention(index, layer)
            self._stream(index, layer)
            self._mlp(index, layer)
        if self.wants(None, "final_norm") and parts.final_norm is not None:
            self.after(parts.final_norm, lambda y, _: self.visit("final_norm", None, y))
        if self.wants(None, "logits"):

            def logits(_: nn.Module, __: Any, output: Any) -> Any:
                output.logits = self.visit("logits", None, output.logits)
                return output

            self.handles.append(self.shadow.register_forward_hook(logits))

    def _stream(self, index: int, layer: LayerParts) -> None:
        stream: dict[str, torch.Tensor] = {}
        # What no module gives is told from the stream: resid_mid, and mlp_out where the MLP's half is open.
        open_half = layer.open and self.wants(index, "mlp_out")
        by_stream = open_half or self.wants(index, "resid_mid")
        if by_stream or self.wants(index, "resid_pre"):

            def pre(x: torch.Tensor) -> torch.Tensor:
                stream["pre"] = self.visit("resid_pre", index, x)
                return stream["pre"]

            self.before(layer.path, pre)
        if (by_stream or self.wants(index, "attn_out")) and layer.attn_writer:

            def added(y: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
                y = self.visit("attn_out", index, y, layer.attn_scale)
                if by_stream:
                    step = y if layer.attn_scale == 1.0 else y * layer.attn_scale
                    mid = stream["pre"] + step.reshape(stream["pre"].shape)
                    stream["mid"] = self.visit("resid_mid", index, mid)
                    if stream["mid"] is not mid:
                        stream["moved"] = stream["mid"] - mid
                return y

            def read(x: torch.Tensor) -> torch.Tensor:
                if "moved" not in stream:
                    return x
                return _taken(stream["moved"].reshape(x.shape) != 0, stream["mid"].reshape(x.shape), x)

            self.after(layer.attn_writer, added)
            if self.wants(index, "resid_mid"):
                # No module gives the stream between the halves. Its readers get what was written, to the bit: entered
                # through what attention adds, it would be met up to rounding only, which a norm may blow up.
                for path in layer.mid_readers:
                    self.before(path, read)
        if self.wants(index, "mlp_out") and layer.mlp_writer:
            self.after(layer.mlp_writer, lambda y, _: self.visit("mlp_out", index, y, layer.mlp_scale))
        if by_stream or self.wants(index, "resid_post"):

            def post(y: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
                # The rest of the layer added to the stream as it was.
                y = y + stream.pop("moved").reshape(y.shape) if "moved" in stream else y
                if open_half:
                    step = y - stream["mid"]
                    new = self.visit("mlp_out", index, step)
                    y = y if new is step else _taken(new != step, stream["mid"] + new, y)
                return self.visit("resid_post", index, y)

            self.after(layer.path, post)

    def _attention(self, index: int, layer: LayerParts) -> None:
        if layer.attention is None:
            return
        module = self.shadow.get_submodule(layer.attention)
        wanted = frozenset(kind for kind in TAP_KINDS if self.wants(index, kind))
        if wanted or index in self.watchers or index in self.arounds:
            state: Any = module._mi_tap
            state.wanted = wanted
            state.around = self.arounds.get(index)
            state.visit = lambda kind, value: self.visit(kind, index, value)
            state.watch = self.watchers.get(index)
            self.tapped.append(state)
        if layer.out_proj is None:
            return
        heads = self.parts.n_heads

        def split(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(-1, (heads, x.shape[-1] // heads))

        if self.wants(index, "z"):

            def z(x: torch.Tensor) -> torch.Tensor:
                by_head = split(x)
                new = self.visit("z", index, by_head)
                return x if new is by_head else new.reshape(x.shape)

            self.before(layer.out_proj, z)
        if self.wants(index, "result"):
            projection = self.shadow.get_submodule(layer.out_proj)

            def result(y: torch.Tensor, x: torch.Tensor | None) -> torch.Tensor:
                assert x is not None
                weight, bias = projection_of(projection, x.shape[-1])
                by_head = head_results(split(x), weight)
                new = self.visit("result", index, by_head)
                if new is by_head:
                    return y
                # Summed anew where something was written: a difference would leave rounding that a post-norm blows up.
                total = new.sum(dim=-2) if bias is None else new.sum(dim=-2) + bias
                return _taken((new != by_head).flatten(-2).any(-1, keepdim=True), total.to(y.dtype), y)

            self.after(layer.out_proj, result)
        if self.wants(index, "projected"):
            self.after(layer.out_proj, lambda y, _: self.visit("projected", index, y))

    def _mlp(self, index: int, layer: LayerParts) -> None:
        if layer.down is not None and self.wants(index, "mlp_post"):
            self.before(layer.down, lambda x: self.visit("mlp_post", index, x))
        if layer.activation is None or not self.wants(index, "mlp_pre"):
            return
        running = [False]

        def entering(x: torch.Tensor) -> torch.Tensor:
            running[0] = True
            return x

        def leaving(y: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
            running[0] = False
            return y

        # Some families share one activation module among all layers: only the call inside this layer counts.
        self.before(layer.path, entering)
        self.after(layer.path, leaving)
        self.before(layer.activation, lambda x: self.visit("mlp_pre", index, x) if running[0] else x)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()
        for state in self.tapped:
            state.visit, state.wanted, state.watch, state.around = None, frozenset(), None, None


@contextmanager
def visiting(
    shadow: nn.Module,
    parts: Architecture,
    visitors: Mapping[Key, Visitor],
    watchers: Mapping[int, Watcher] | None = None,
    arounds: Mapping[int, Around] | None = None,
    layers: Iterable[int] | None = None,
) -> Iterator[None]:
    """Let visitors see and replace sites in every forward pass of the shadow inside the block.

    Nothing stays behind, also when the pass raises.

    Args:
        shadow: the shadow.
        parts: its parts.
        visitors: {(site, layer): function}.
        watchers: {layer: function} that are shown the attention call of a layer.
        arounds: {layer: function} that run in the place of a layer's attention kernel.
        layers: the layers that will be called; None = all. Of the others nothing is seen.
    """
    every = range(parts.n_layers) if layers is None else layers
    hooks = _Hooks(shadow, parts, visitors, watchers or {}, arounds or {}, every)
    try:
        hooks.install()
        yield
    finally:
        hooks.remove()
