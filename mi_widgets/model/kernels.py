"""Faster float32 matrix products on CPUs where torch's own are slow; probed once, and left alone where they are not.

torch hands float32 products on a CPU to the library it was built with, mostly MKL. Its other one, oneDNN, does the
same product on the same weights and is faster on some CPUs. The way to it is a private
operation, so it is tried out before anything relies on it: is it there, does it give the same numbers, is it faster?
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from .resume import forward_replaced

if TYPE_CHECKING:
    from .handle import Model

Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""x [..., in], weight [out, in], bias [out] or None -> [..., out]."""

ROWS, WIDTH = 256, 768
"""The product that is timed: some hundred rows, as a sweep packs them, times a square weight of GPT-2's width."""

ROUNDS = 7
FASTER = 1.2
"""By how much it must be faster: less is within what timing on a busy machine tells."""


def own_name() -> str:
    """What torch runs products of float32 on by itself: "mkl", or "torch" where it was built without."""
    return "mkl" if torch.backends.mkl.is_available() else "torch"


@dataclass(frozen=True)
class Kernel:
    """What the probe found.

    Attributes:
        name: "onednn" where that is faster, else what torch uses by itself ("mkl" or "torch").
        product: the faster product; None = torch's own stays.
        linear: how many times faster it is with a weight [out, in], as `nn.Linear` keeps it.
        conv1d: the same with a view of a weight [in, out], as GPT-2's `Conv1D` keeps it.
    """

    name: str
    product: Product | None = None
    linear: float = 1.0
    conv1d: float = 1.0


def onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The product on oneDNN, by a private operation of torch.

    Raises:
        AttributeError, RuntimeError: this torch does not have it, or has it otherwise.
    """
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


@lru_cache(maxsize=1)
def fast_linear() -> Kernel:
    """Which product of float32 on this CPU is the fastest; probed once per process, by some products of each.

    Example:
        >>> fast_linear().name in ("onednn", "mkl", "torch")
        True
    """
    return probe(onednn)


def probe(product: Product) -> Kernel:
    """Try a product out against torch's own: is it there, are its numbers the same, is it faster?

    Args:
        product: which.
    """
    plain = Kernel(own_name())
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(*shape, generator=generator, dtype=torch.float32)
        for shape in ((ROWS, WIDTH), (WIDTH, WIDTH), (WIDTH,))
    )
    turned = weight.t().contiguous()
    ways: tuple[Callable[[], torch.Tensor], ...] = (
        lambda: nn.functional.linear(x, weight, bias),
        lambda: product(x, weight, bias),
        lambda: torch.addmm(bias, x, turned),
        lambda: product(x, turned.t(), bias),
    )
    with torch.no_grad():
        try:
            expected, *given = (way() for way in ways)
        except (AttributeError, RuntimeError, TypeError, ValueError, NotImplementedError):
            return plain
        size = float(expected.abs().max())
        if not all(bool((y - expected).abs().max() <= 1e-5 * size) for y in given):
            return plain
        plain_time, its_time, plain_turned, its_turned = _times(ways)
    linear, conv1d = (
        statistics.median(a / b for a, b in zip(theirs, its, strict=True))
        for theirs, its in ((plain_time, its_time), (plain_turned, its_turned))
    )
    if max(linear, conv1d) < FASTER:
        return Kernel(plain.name, None, linear, conv1d)
    return Kernel("onednn", product, linear, conv1d)


def _times(ways: tuple[Callable[[], torch.Tensor], ...]) -> list[list[float]]:
    """Seconds of each run of each, taken in turn so that what else the machine does meets all of them."""
    # A thread's own time leaves out what others take from it, but not what helpers of its own work.
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    took: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for way, times in zip(ways, took, strict=True):
            started = clock()
            way()
            times.append(clock() - started)
    return took


@contextmanager
def fast(model: Model, kernel: Kernel | None = None, within: str = "") -> Iterator[str]:
    """Have the products of a model's `nn.Linear` and `Conv1D` run on the faster kernel inside the block.

    Only float32 on a CPU, only modules of a shadow whose forward is the class's own, and only without gradients;
    hooks run around them as ever. GPT-2's activation, which is written out in Python, is computed in one step. A model
    that is run in place is left alone. All is put back after the block.

    Args:
        model: whose shadow runs.
        kernel: None = what was found on this machine.
        within: path of the only module that will run; "" = the whole model.

    Yields:
        The name of what runs, for provenance: "onednn", "mkl", "torch", or the device's type.

    Example:
        >>> import mi_widgets as mi
        >>> with fast(mi.load()) as name:
        ...     name == fast_linear().name
        True
    """
    if model.device.type != "cpu":
        yield model.device.type
        return
    kernel = fast_linear() if kernel is None else kernel
    with ExitStack() as stack:
        count = 0
        modules = [] if model.in_place else list(model.shadow.get_submodule(within).modules())
        for module in modules:
            if type(module) is NewGELUActivation and "forward" not in vars(module):
                stack.enter_context(forward_replaced(module, _gelu))
        if kernel.product is not None:
            for module in modules:
                gain = kernel.conv1d if isinstance(module, Conv1D) else kernel.linear
                if gain >= FASTER and _multiplies(module):
                    stack.enter_context(forward_replaced(module, _forward(module, kernel.product)))
                    count += 1
        yield kernel.name if count else own_name()


def _gelu(x: torch.Tensor) -> torch.Tensor:
    """GPT-2's activation in one step: written out in Python it takes seven."""
    return nn.functional.gelu(x, approximate="tanh")


def _multiplies(module: Any) -> bool:
    """A linear map of float32 with its weight on the CPU, whose forward is its class's own."""
    if type(module).forward not in (nn.Linear.forward, Conv1D.forward) or "forward" in vars(module):
        return False
    weight = module.weight
    return bool(weight.dtype == torch.float32 and weight.device.type == "cpu" and weight.ndim == 2)


def _forward(module: Any, product: Product) -> Callable[[torch.Tensor], torch.Tensor]:
    turned = isinstance(module, Conv1D)
    own = module.forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        # The private operation has no gradient, and knows nothing of autocast.
        if x.dtype != torch.float32 or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            plain: torch.Tensor = own(x)
            return plain
        return product(x, module.weight.t() if turned else module.weight, module.bias)

    return forward
