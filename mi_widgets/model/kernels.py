"""Faster float32 matrix products on CPUs where torch's own are slow; probed once, and left alone where they are not.

torch hands float32 products on a CPU to the library it was built with, mostly MKL. Others do the same product on the
same weights (`products`), and which is the fastest depends on the CPU, on how the weight lies in memory, and on how
many rows there are: with a few, as a single patch has, reading the weight takes the time. So they are tried out before
anything relies on them: are they there, do they give the same numbers, are they faster?
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from .products import Named, Product, openblas_threads, products

if TYPE_CHECKING:
    from .handle import Model

FEW = 64
"""Rows up to which a product is one of few rows."""

INTO, OUT_OF = 768, 3072
TIMED = (8, 96)
"""Rows of the products that are timed: the few of a single patch, and some hundred, as a sweep packs them. The weight
is that of GPT-2's first step in an MLP."""

LARGE = 512 * 512
"""Numbers in a weight from which on others are tried: a smaller one is in the cache, and its product is done sooner
than the probe."""

COPIES = 8
"""Of the weight, which take turns: a run finds each of its weights outside of the cache."""

Way = Callable[[], torch.Tensor]

ROUNDS = 7
FASTER = 1.05
"""By how much it must be faster: less is within what the median of these rounds tells."""

SAME = 3e-6
"""How far the same numbers may be apart, over the largest."""


def own_name() -> str:
    """What torch runs products of float32 on by itself: "mkl", or "torch" where it was built without."""
    return "mkl" if torch.backends.mkl.is_available() else "torch"


_GELU = 2 * math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Fastest:
    """The fastest products with a weight of one layout; None = torch's own.

    Attributes:
        few: with up to `FEW` rows.
        many: with more.
    """

    few: Named | None = None
    many: Named | None = None

    def at(self, x: torch.Tensor) -> Named | None:
        """The one for the rows of x [..., in]."""
        return self.few if x.numel() <= FEW * x.shape[-1] else self.many

    @property
    def words(self) -> str:
        """What runs, for provenance: "openblas", or "openblas up to 64 rows, mkl beyond"."""
        few, many = (own_name() if one is None else one.name for one in (self.few, self.many))
        return few if few == many else f"{few} up to {FEW} rows, {many} beyond"


@dataclass(frozen=True)
class Kernel:
    """What the probe found.

    Attributes:
        linear: with a weight [out, in], as `nn.Linear` keeps it.
        conv1d: with a weight [in, out], as GPT-2's `Conv1D` keeps it; a product is handed a view of it.
    """

    linear: Fastest = Fastest()
    conv1d: Fastest = Fastest()

    def of(self, module: nn.Module) -> Fastest:
        """The fastest for a module's weight."""
        return self.conv1d if isinstance(module, Conv1D) else self.linear


def fast_linear() -> Kernel:
    """Which products of float32 are the fastest on this CPU; probed once per process and number of threads.

    Example:
        >>> fast_linear() is fast_linear()
        True
    """
    return _probed(torch.get_num_threads(), openblas_threads())


@lru_cache
def _probed(threads: int, others: int | None) -> Kernel:
    return probe(products())


@torch.no_grad()
def probe(candidates: Sequence[Named]) -> Kernel:
    """Try products out against torch's own: are they there, are their numbers the same, are they faster?

    Args:
        candidates: which.
    """
    generator = torch.Generator().manual_seed(0)
    linear: list[Named | None] = []
    conv1d: list[Named | None] = []

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float32)

    weight, bias = drawn(OUT_OF, INTO), drawn(OUT_OF)
    plain = [weight.clone() for _ in range(COPIES)]
    turned = [weight.t().contiguous().t() for _ in range(COPIES)]
    for rows in TIMED:
        x = drawn(rows, INTO)
        linear.append(_fastest(candidates, nn.functional.linear, x, plain, bias))
        conv1d.append(_fastest(candidates, _addmm, x, turned, bias))
    return Kernel(Fastest(*linear), Fastest(*conv1d))


def _addmm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """As `Conv1D` multiplies."""
    assert bias is not None
    return torch.addmm(bias, x, weight.t())


def _fastest(
    candidates: Sequence[Named],
    own: Product,
    x: torch.Tensor,
    weights: Sequence[torch.Tensor],
    bias: torch.Tensor,
) -> Named | None:
    """The fastest of those that are right and clearly faster than torch's own, or None."""
    expected = own(x, weights[0], bias)
    right = [one for one in candidates if _same(one, (x, weights[0], bias), expected)]
    if not right:
        return None

    def way(product: Product) -> Way:
        turn = itertools.cycle(weights)
        return lambda: product(x, next(turn), bias)

    theirs, *times = _times([way(own), *(way(one.product) for one in right)])
    gains = [statistics.median(a / b for a, b in zip(theirs, its, strict=True)) for its in times]
    best = max(range(len(right)), key=lambda i: gains[i])
    return right[best] if gains[best] >= FASTER else None


def _same(one: Named, given: tuple[torch.Tensor, ...], expected: torch.Tensor) -> bool:
    """Whether a product is there and gives the same numbers, up to rounding."""
    try:
        y = one.product(*given)
    except (AttributeError, RuntimeError, TypeError, ValueError, NotImplementedError):
        return False
    return bool((y - expected).abs().max() <= SAME * expected.abs().max())


def _times(ways: Sequence[Way]) -> list[list[float]]:
    """Seconds of each run of each, in turn, so that what else the machine does meets all of them."""
    # A thread's own time leaves out what others take from it, but not what helpers of its own work.
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    took: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for way, times in zip(ways, took, strict=True):
            started = clock()
            way()
            times.append(clock() - started)
    return took


def words_of(model: Model, kernel: Kernel | None = None) -> str:
    """What a model's products run on inside `fast`, for provenance.

    Args:
        model: who runs.
        kernel: None = what was found on this machine.

    Example:
        >>> import mi_widgets as mi
        >>> any(name in words_of(mi.load()) for name in ("onednn", "openblas", "mkl", "torch"))
        True
    """
    # Layers are alike: the first tells which layouts there are.
    modules = [] if model.in_place else model.shadow.get_submodule(model.architecture.layers[0].path).modules()
    found = [it for it in modules if _multiplies(it)]
    return " and ".join(dict.fromkeys(_fastest_of(it, kernel).words for it in found)) or own_name()


def _fastest_of(module: Any, kernel: Kernel | None) -> Fastest:
    """The fastest for a module's weight: of those of `kernel`; None = of this machine's, torch's own if it is small."""
    if kernel is None:
        kernel = fast_linear() if module.weight.numel() >= LARGE else Kernel()
    return kernel.of(module)


@contextmanager
def fast(model: Model, kernel: Kernel | None = None, within: str = "") -> Iterator[None]:
    """Have the products of a model's `nn.Linear` and `Conv1D` run on the fastest kernel inside the block.

    Only float32 on a CPU, only modules of a shadow whose forward is the class's own, and only without gradients;
    hooks run around them as ever. GPT-2's activation, which is written out in Python, is computed in one step. A model
    that is run in place is left alone. All is put back after the block.

    Args:
        model: whose shadow runs.
        kernel: None = what was found on this machine.
        within: path of the only module that will run; "" = the whole model.

    Example:
        >>> import mi_widgets as mi
        >>> model = mi.load()
        >>> with torch.no_grad(), fast(model):
        ...     model.shadow(input_ids=torch.tensor([[5, 6, 7]])).logits.shape[:2]
        torch.Size([1, 3])
    """
    if model.device.type != "cpu" or model.in_place:
        yield
        return
    modules = list(model.shadow.get_submodule(within).modules())
    replaced = [(vars(m), forward) for m in modules if (forward := _faster(m, kernel)) is not None]
    for own, forward in replaced:
        own["forward"] = forward
    try:
        yield
    finally:
        for own, _ in replaced:
            del own["forward"]


def _faster(module: nn.Module, kernel: Kernel | None) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """What stands in for a module's forward, or None where that stays."""
    if type(module) is NewGELUActivation and "forward" not in vars(module):
        return _gelu
    fastest = _fastest_of(module, kernel) if _multiplies(module) else Fastest()
    return None if fastest == Fastest() else _forward(module, fastest)


def multiply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The product x @ weight^T + bias, on the fastest there is where it has no gradient.

    Args:
        x: [..., in].
        weight: [out, in].
        bias: [out] or None.

    Example:
        >>> multiply(torch.ones(1, 2), torch.ones(3, 2), None).tolist()
        [[2.0, 2.0, 2.0]]
    """
    large = weight.numel() >= LARGE and _plain(weight) and _free(x)
    one = fast_linear().linear.at(x) if large else None
    return (nn.functional.linear if one is None else one.product)(x, weight, bias)


def _free(x: torch.Tensor) -> bool:
    """The products beside torch's own may run: they are of float32, have no gradient and know nothing of autocast."""
    return x.dtype == torch.float32 and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


def _gelu(x: torch.Tensor) -> torch.Tensor:
    """GPT-2's activation: written out in Python it makes seven tensors.

    x (1 + tanh u) / 2 is x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3): PyTorch's tanh takes four times as long as
    its sigmoid, and its gelu as long as its tanh.
    """
    twice = x * x
    twice.mul_(_GELU * 0.044715).add_(_GELU).mul_(x)
    return twice.sigmoid_().mul_(x)


def _multiplies(module: Any) -> bool:
    """A linear map of float32 with its weight on the CPU, whose forward is its class's own."""
    if type(module).forward not in (nn.Linear.forward, Conv1D.forward) or "forward" in vars(module):
        return False
    return _plain(module.weight) and bool(module.weight.is_contiguous())


def _plain(weight: torch.Tensor) -> bool:
    """A matrix of float32 on the CPU, and nothing that only looks like one."""
    own = type(weight) in (nn.Parameter, torch.Tensor) and weight.ndim == 2
    return own and weight.dtype == torch.float32 and weight.device.type == "cpu"


def _forward(module: Any, fastest: Fastest) -> Callable[[torch.Tensor], torch.Tensor]:
    turned = isinstance(module, Conv1D)
    own = module.forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        one = fastest.at(x)
        if one is None or not _free(x):
            plain: torch.Tensor = own(x)
            return plain
        return one.product(x, module.weight.t() if turned else module.weight, module.bias)

    return forward
