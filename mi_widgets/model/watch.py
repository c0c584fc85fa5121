"""One forward pass, written down: what went into every module and what came out, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


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


def with_input(args: tuple[Any, ...], kwargs: dict[str, Any], new: torch.Tensor) -> tuple[Any, Any]:
    """The same arguments with the hidden states replaced, wherever `input_of` finds them."""
    x = input_of(args, kwargs)
    if args and args[0] is x:
        return (new, *args[1:]), kwargs
    return args, {k: new if v is x else v for k, v in kwargs.items()}


def logits_of(shadow: Any, **inputs: Any) -> torch.Tensor:
    """[row, position, vocab] of one pass without a cache."""
    logits: torch.Tensor = shadow(**inputs, use_cache=False).logits
    return logits


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        path: of the module.
        x, y: what went in and what came out.
        start, end: places in the order of the pass; a call lies inside another when its span does.
    """

    path: str
    x: torch.Tensor
    y: torch.Tensor
    start: int
    end: int


@dataclass
class Pass:
    """What was written down.

    Attributes:
        calls: in the order in which they returned.
    """

    calls: list[Call]

    def named(self, path: str) -> list[Call]:
        """All calls of one module."""
        return [call for call in self.calls if call.path == path]

    def one(self, path: str) -> Call | None:
        """The call of a module that was called exactly once; None otherwise."""
        found = self.named(path)
        return found[0] if len(found) == 1 else None

    def inside(self, outer: Call) -> list[Call]:
        """The calls that another call made, in the order in which they returned."""
        return [call for call in self.calls if outer.start < call.start and call.end < outer.end]


@contextmanager
def watching(root: nn.Module) -> Iterator[Pass]:
    """Write down every call of every module of a model inside the block."""
    written = Pass([])
    clock = [0]
    starts: list[int] = []

    def tick() -> int:
        clock[0] += 1
        return clock[0]

    def enter(_: nn.Module, __: Any, ___: Any) -> None:
        starts.append(tick())

    def leave(path: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            start = starts.pop()
            x = input_of(args, kwargs)
            many = isinstance(output, (tuple, list)) and len(output) > 0
            y = output[0] if many else output
            if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
                written.calls.append(Call(path, x.detach().clone(), y.detach().clone(), start, tick()))

        return hook

    handles = []
    try:
        for path, module in root.named_modules():
            if path:
                handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
                handles.append(module.register_forward_hook(leave(path), with_kwargs=True))
        yield written
    finally:
        for handle in handles:
            handle.remove()
