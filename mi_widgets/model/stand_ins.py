"""What takes the place of odd modules on a shadow, so that everything else meets plain ones.

Adapter layers and quantised ones map the last axis linearly, but keep no weight that says how; offloaded modules have
their weights only while they run. Nothing here is ever put into the user's own tree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from .unwrap import is_a


def wants_projection(module: nn.Module) -> bool:
    """Does this map the last axis linearly, without a plain weight matrix: PEFT's layers, torch's quantised ones?"""
    if is_a(module, "peft", "BaseTunerLayer"):
        adapter: Any = module
        return isinstance(adapter.get_base_layer(), (nn.Linear, Conv1D))
    return callable(getattr(module, "weight", None)) and hasattr(module, "in_features")


class Projection(nn.Linear):
    """Computes what a module computes, and tells its weight and bias as any other `nn.Linear` does.

    The module is held out of the tree: what is inside it (low-rank factors, dropout) is no part of the model that
    anybody should look for. Weight [out, in] and bias [out] are composed anew each time they are read, since the user
    may have changed what they are made of.

    Args:
        inner: maps [..., in] to [..., out], linearly plus a constant.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> bool((Projection(layer).weight == layer.weight).all())
        True
    """

    inner: nn.Module

    def __init__(self, inner: nn.Module) -> None:
        nn.Module.__init__(self)
        # Past nn.Module's own __setattr__, which would make it a child.
        self.__dict__["inner"] = inner.eval()
        self.in_features, self.out_features = int(inner.in_features), int(inner.out_features)  # type: ignore[arg-type]

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  (nn.Linear's own name)
        """What the module gives."""
        given: torch.Tensor = self.inner(input)
        return given

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """[out, in]."""
        return _affine(self.inner)[0]

    @property
    def bias(self) -> torch.Tensor | None:  # type: ignore[override]
        """[out], or None."""
        return _affine(self.inner)[1]


def _affine(inner: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weight [out, in] and bias of a module: as it is composed where that can be checked, else by asking it."""
    with torch.no_grad():
        if not is_a(inner, "peft", "BaseTunerLayer"):
            weight = inner.weight() if callable(inner.weight) else inner.weight
            bias = inner.bias() if callable(inner.bias) else inner.bias
            return (weight.dequantize() if weight.is_quantized else weight), bias
        composed = _composed(inner)
        if composed is not None and _agrees(inner, *composed):
            return composed
        return _asked(inner)


def _composed(inner: Any) -> tuple[torch.Tensor, torch.Tensor | None] | None:
    base = inner.get_base_layer()
    weight = base.weight.detach()
    # A variant of LoRA (DoRA, ...) is no sum, though it may be close to one.
    varied = bool(getattr(inner, "lora_variant", None))
    if varied or not weight.is_floating_point() or not hasattr(inner, "get_delta_weight"):
        return None
    for name in inner.active_adapters:
        if name in inner._get_available_adapters():
            change = inner.get_delta_weight(name)
            if change.shape != weight.shape:  # a rotation, say, and no sum
                return None
            weight = weight + change
    return (weight.T if isinstance(base, Conv1D) else weight), base.bias


def _agrees(inner: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    x = torch.linspace(-1, 1, weight.shape[1], dtype=weight.dtype, device=weight.device)[None]
    there, here = inner(x), nn.functional.linear(x, weight, bias)
    return bool((there - here).norm() <= min(64 * torch.finfo(weight.dtype).eps, 4e-2) * there.norm())


def _asked(inner: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Told from what the module gives for zero and for each unit vector."""
    base = inner.get_base_layer()
    # Packed weights say nothing of the dtype they are used in.
    like = (
        base.weight
        if base.weight.is_floating_point()
        else next(p for p in inner.parameters() if p.dtype.is_floating_point)
    )
    bias = inner(torch.zeros(1, inner.in_features, dtype=like.dtype, device=like.device))[0]
    return (inner(torch.eye(inner.in_features, dtype=like.dtype, device=like.device)) - bias).T, bias


def hooks_of(module: nn.Module) -> list[Any]:
    """Hooks of accelerate on a module that fetch offloaded weights for each forward pass."""
    hook = vars(module).get("_hf_hook")
    several = getattr(hook, "hooks", (hook,))
    return [h for h in several if getattr(h, "offload", False) and getattr(h, "weights_map", None) is not None]


def stream_weights(module: nn.Module) -> None:
    """Let offloaded weights be read from a module of a shadow at any time, not only while it runs."""
    away = tuple(name for name, p in module._parameters.items() if p is not None and p.is_meta)
    hooks = hooks_of(module)
    if not away or not hooks:
        return
    for hook in hooks:
        # Weights already fetched for a tied module are found by address there, and a pass that raises leaves them in.
        hook.tied_params_map, hook.tied_params_names = None, set()
        hook.pre_forward, hook.post_forward = _quiet(hook.pre_forward), _quiet(hook.post_forward)
    kind: Any = type(module)
    module.__class__ = _streamed(kind, away)


def _quiet(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step of a hook, in which the module shows its parameters as they are."""

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        vars(module)["_mi_fetching"] = True
        try:
            return step(module, *args, **kwargs)
        finally:
            vars(module).pop("_mi_fetching", None)

    return call


@lru_cache(maxsize=1024)
def _streamed(kind: type[nn.Module], names: tuple[str, ...]) -> type[nn.Module]:
    def reader(name: str) -> property:
        def read(self: nn.Module) -> torch.Tensor | None:
            here = self._parameters[name]
            if here is None or not here.is_meta or "_mi_fetching" in vars(self):
                return here
            hook = hooks_of(self)[0]
            stored: torch.Tensor = hook.weights_map[name]
            return stored.to(hook.execution_device)

        return property(read)

    body: dict[str, Any] = {name: reader(name) for name in names}
    return type(kind.__name__, (kind,), {**body, "__module__": kind.__module__})
