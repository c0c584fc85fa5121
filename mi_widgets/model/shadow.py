"""What the engine runs: a copy of the module tree that shares every weight with the user's model, and nothing else.

A tree that cannot be copied is run in place: switched for the time of one pass, and put back as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..errors import MiWidgetsError, UnsupportedArchitecture
from . import attention_tap
from .stand_ins import Projection, hooks_of, stream_weights, wants_projection
from .unwrap import plain


class Shadow:
    """The module tree that the engine runs: a copy, or the user's own where it cannot be copied.

    Attributes:
        module: run it inside `running()` only.
        in_place: why `module` is the user's own; None for a copy.
        notes: plain sentences about how it runs that a reader of results must know.

    Raises:
        UnsupportedArchitecture: it cannot be copied, and has layers that only a copy can be read from.

    Example:
        >>> import mi_widgets as mi
        >>> hf = mi.load().hf
        >>> shadow = Shadow(hf)
        >>> shadow.in_place is None, shadow.module.lm_head.weight is hf.lm_head.weight
        (True, True)
    """

    def __init__(self, hf: nn.Module) -> None:
        self.in_place: str | None = None
        self.notes: tuple[str, ...] = ()
        try:
            self.module = shadow_of(hf)
        except MiWidgetsError:
            raise
        except Exception as problem:  # whatever a foreign class does when it is copied
            self.module = hf
            self.in_place = f"the model cannot be copied ({type(problem).__name__}: {problem})"
            odd = next((name for name, m in hf.named_modules() if plain(m) is m and wants_projection(m)), None)
            if odd is not None:
                raise UnsupportedArchitecture(
                    f"{self.in_place[0].upper()}{self.in_place[1:]}, and {odd} keeps no plain weight (an adapter, or "
                    "quantised), which is only read on a copy.",
                    hint="Merge the adapter (merge_and_unload()), or pass a model that copy.deepcopy can copy.",
                ) from problem
            self.notes = (f"Run in place, on your own model, and put back after each pass: {self.in_place}.",)
        if self.in_place is None and any(m._compiled_call_impl is not None for m in hf.modules()):
            self.notes = ("The model is compiled; runs here are of the same model, not compiled.",)
        if any(hooks_of(m) for m in hf.modules()):
            self.notes += ("Weights are offloaded: each pass fetches them anew.",)
        self._depth = 0
        self._taps: list[tuple[nn.Module, Any, Any]] = []
        self._tapped = False

    @contextmanager
    def running(self) -> Iterator[nn.Module]:
        """Have the module ready for passes inside the block: in eval mode, and with the tap where it was left.

        A copy always is. The user's own tree is as it was after the block, also when a pass raises.
        """
        if self.in_place is None or self._depth:
            yield self.module
            return
        before = _State(self.module)
        self._depth += 1
        try:
            for module in self.module.modules():
                module.training = False
            self._put_back()
            yield self.module
        finally:
            self._depth -= 1
            self._take_off()
            before.restore()

    def _put_back(self) -> None:
        if self._tapped:
            attention_tap.install(self.module)
        for module, state, forward in self._taps:
            module._mi_tap = state
            if forward is not None:
                module.forward = forward

    def _take_off(self) -> None:
        """Remember what of the tap there is, and take it off."""
        self._taps = [
            (m, m._mi_tap, vars(m).get("forward") if getattr(m._mi_tap, "undo", None) is not None else None)
            for m in self.module.modules()
            if "_mi_tap" in vars(m)
        ]
        config: Any = self.module.config
        self._tapped = isinstance(getattr(config, "_attn_implementation", None), attention_tap.KernelName)
        attention_tap.remove(self.module)


class _State:
    """What running a tree in place switches, as it was."""

    def __init__(self, root: nn.Module) -> None:
        modules = list(root.modules())
        self.training = [(m, m.training) for m in modules]
        self.kernels = [
            (config, vars(config).get("_attn_implementation_internal"))
            for config in {id(m.config): m.config for m in modules if hasattr(m, "config")}.values()
            if "_attn_implementation_internal" in vars(config)
        ]

    def restore(self) -> None:
        for module, training in self.training:
            module.training = training
        for config, kernel in self.kernels:
            vars(config)["_attn_implementation_internal"] = kernel


def shadow_of(hf: nn.Module) -> nn.Module:
    """Copy modules, config and hooks, and share every parameter and buffer.

    Taps, stubs and the attention implementation live on the copy only, so the user's own forward, hooks, training
    step or `save_pretrained` in another cell is unaffected by construction. The copy is in eval mode, whatever the
    user's model is in. Hooks that the user has registered are part of what the model computes: the copy calls the
    same functions, so a hook that records sees the engine's passes too. Wrappers of other libraries inside the tree
    are copied as the module that does their work.

    Raises:
        Exception: whatever a class raises that cannot be copied.

    Example:
        >>> import mi_widgets as mi
        >>> hf = mi.load().hf
        >>> shadow_of(hf).lm_head.weight is hf.lm_head.weight
        True
    """
    memo: dict[int, Any] = {}
    modules = list(hf.modules())
    for module in modules:
        # Also buffers and parameters outside the state dict, and plain tensors kept as attributes.
        for value in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            _share(value, memo)
        for hook in hooks_of(module):
            # Offloaded weights are shared too; the copy fetches them for itself.
            _keep(hook.weights_map, memo)
    with torch.no_grad():
        for module in reversed(modules):  # what is inside a wrapper first
            inner = plain(module)
            if inner is not module:
                memo[id(module)] = copy.deepcopy(inner, memo)
            elif wants_projection(module):
                memo[id(module)] = Projection(copy.deepcopy(module, memo))
        twin: nn.Module = copy.deepcopy(hf, memo)
    for module in twin.modules():
        for part in module.inner.modules() if isinstance(module, Projection) else (module,):
            stream_weights(part)
        config: Any = vars(module).get("config")
        if getattr(config, "return_dict", True) is False:
            config.return_dict = True  # the copy's own: what a pass gives is asked for by name
    return twin.eval()


def _share(value: Any, memo: dict[int, Any]) -> None:
    if isinstance(value, (torch.Tensor, torch.ScriptObject)):
        _keep(value, memo)
    elif isinstance(value, (list, tuple)):
        for one in value:
            _share(one, memo)
    elif type(value) is dict:
        for one in value.values():
            _share(one, memo)


def _keep(value: Any, memo: dict[int, Any]) -> None:
    if value is not None:
        memo[id(value)] = value
