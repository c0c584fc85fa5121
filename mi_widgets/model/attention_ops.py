"""The tap for families that compute attention by themselves: it stands at the softmax and the products beside it.

Whatever a family calls its functions, attention is a product [dest, d] x [d, src], a softmax over src, and a product
[dest, src] x [src, d]; or one call of the fused kernel. Those are seen where PyTorch runs them, while the attention
module's own forward is on the stack, so no family needs code of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .attention_math import Terms
from .attention_tap import Attended, KeptWeights, TapState, attend

_PRODUCTS = {"matmul", "__matmul__", "bmm", "baddbmm"}
_FUSED = "scaled_dot_product_attention"


class _Trace:
    """Follows one attention call through the operations of a module's forward.

    Args:
        state: who wants to see what.
        rows, length: of the hidden states that entered.
        note: is given the shapes of q, k, v and what came out, once it is over; None where nobody asks.
    """

    def __init__(self, state: TapState, rows: int, length: int, note: Callable[..., None] | None = None) -> None:
        self.state, self.rows, self.length, self.note = state, rows, length, note
        self.query: torch.Tensor | None = None
        self.key: torch.Tensor | None = None
        self.weights: torch.Tensor | None = None

    def heads(self, x: torch.Tensor) -> torch.Tensor:
        """[row * head, ...] or [row, head, ...] as [row, head, ...]."""
        return x if x.ndim == 4 else x.unflatten(0, (self.rows, -1))

    def show(self, kind: str, x: torch.Tensor) -> torch.Tensor:
        """Show q, k, v or what was attended, in the layout of its site."""
        by_head = self.heads(x).transpose(1, 2)
        new = self.state.see(kind, by_head)
        return x if new is by_head else new.transpose(1, 2).reshape(x.shape).to(x.dtype)

    def step(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one operation, with visitors where it is part of the attention."""
        name = getattr(func, "__name__", "")
        if name == _FUSED:
            return self.fused(func, args, kwargs)
        if name == "softmax":
            return self.softmax(func, args, kwargs)
        if name in _PRODUCTS:
            return self.product(func, args, kwargs, first=1 if name == "baddbmm" else 0)
        return func(*args, **kwargs)

    def product(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], first: int) -> Any:
        names = ("batch1", "batch2") if first else ("input", "mat2" if "mat2" in kwargs else "other")
        given = dict(zip(names, args[first:], strict=False)) | {n: kwargs[n] for n in names if n in kwargs}
        rest = {k: v for k, v in kwargs.items() if k not in names}
        a, b = (given[n] for n in names)

        def run(a: torch.Tensor, b: torch.Tensor) -> Any:
            return func(*args[:first], a, b, *args[first + 2 :], **rest)

        if a.ndim < 3 or b.ndim < 3 or a.shape[-2] != self.length:
            return func(*args, **kwargs)
        if self.weights is not None and a.shape[-1] == self.length == b.shape[-2]:
            value = self.show("v", b)
            out = self.show("attended", run(a, value))
            if self.note is not None and self.query is not None and self.key is not None:
                flat = self.heads(out).transpose(1, 2).flatten(2)
                self.note(*(self.heads(t).shape for t in (self.query, self.key, value)), flat)
            self.weights = None
            return out
        if self.weights is None and b.shape[-1] == self.length:
            self.query = self.show("q", a)
            self.key = self.show("k", b.transpose(-1, -2))
            return run(self.query, self.key.transpose(-1, -2))
        return func(*args, **kwargs)

    def softmax(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        scores = args[0] if args else kwargs["input"]
        if self.query is None or scores.ndim < 3 or scores.shape[-2:] != (self.length, self.length):
            return func(*args, **kwargs)
        rest = {k: v for k, v in kwargs.items() if k != "input"}
        if "scores" in self.state.wanted:
            shown = self.masked(self.heads(scores))
            new = self.state.see("scores", shown)
            if new is not shown:
                # A row without any source is padding: it stays as the family has it.
                new = torch.where(torch.isneginf(new).all(-1, keepdim=True), self.heads(scores), new)
                scores = new.reshape(scores.shape).to(scores.dtype)
        weights = func(scores, *args[1:], **rest)
        by_head = self.heads(weights)
        new = self.state.see("pattern", by_head)
        if new is not by_head:
            weights = new.reshape(weights.shape).to(weights.dtype)
        if self.state.watch is not None:
            self.state.watch(KeptWeights(self.heads(weights)))
        self.weights = weights
        return weights

    def masked(self, scores: torch.Tensor) -> torch.Tensor:
        """The same scores with -inf where a family puts a very low number."""
        later = torch.ones(self.length, self.length, dtype=torch.bool, device=scores.device).triu(1)
        # Some scale their scores after the mask, so a masked cell is anything near the lowest number.
        return scores.masked_fill(later | (scores < torch.finfo(scores.dtype).min / 64), float("-inf"))

    def fused(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale")
        given = dict(zip(names, args, strict=False)) | kwargs
        query, key, value = (given.pop(n) for n in names[:3])
        if query.shape[-2] != self.length:
            return func(*args, **kwargs)
        terms = Terms(given.get("attn_mask"), given.get("scale"), causal=bool(given.get("is_causal")))

        def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = func(q, k, v, **given)
            return out.transpose(1, 2)

        out = attend(self.state, query, key, value, terms, run)
        if self.note is not None:
            self.note(query.shape, key.shape, value.shape, out.flatten(2))
        return out.transpose(1, 2)


class _Mode(TorchFunctionMode):
    """Hands every operation to the trace that `current` names, if any."""

    def __init__(self, current: Callable[[], _Trace | None]) -> None:
        super().__init__()
        self.current = current

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        trace = self.current()
        return func(*args, **(kwargs or {})) if trace is None else trace.step(func, args, kwargs or {})


@contextmanager
def noting_operations(root: nn.Module, rows: int, length: int) -> Iterator[list[Attended]]:
    """Write down what looks like attention in any module's forward inside the block.

    Args:
        root: the model.
        rows, length: shape of its input.
    """
    calls: list[Attended] = []
    stack: list[tuple[nn.Module, _Trace]] = []

    def enter(module: nn.Module, _: Any) -> None:
        def note(query: torch.Size, key: torch.Size, value: torch.Size, out: torch.Tensor) -> None:
            calls.append(Attended(module, query, key, value, out.detach().clone()))

        stack.append((module, _Trace(TapState(), rows, length, note)))

    def leave(module: nn.Module, _: Any, __: Any) -> None:
        # A function module (nn.Softmax, an activation) is part of whoever calls it.
        stack.pop()

    def current() -> _Trace | None:
        return next((trace for module, trace in reversed(stack) if any(True for _ in module.children())), None)

    handles = [m.register_forward_pre_hook(enter) for m in root.modules()]
    handles += [m.register_forward_hook(leave) for m in root.modules()]
    try:
        with _Mode(current):
            yield calls
    finally:
        for handle in handles:
            handle.remove()


def attach(module: Any) -> None:
    """Put the tap on a module whose forward computes attention by itself."""
    inner, own = module.forward, "forward" in vars(module)

    def undo() -> None:
        if own:
            module.forward = inner
        else:
            del module.forward

    state = TapState(undo)

    def forward(*args: Any, **kwargs: Any) -> Any:
        if state.idle:
            return inner(*args, **kwargs)
        x = next(v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor))
        trace = _Trace(state, x.shape[0], x.shape[1])
        with _Mode(lambda: trace):
            return inner(*args, **kwargs)

    module.forward = forward
    module._mi_tap = state
