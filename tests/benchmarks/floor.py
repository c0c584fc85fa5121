"""The floor under a map: the fewest multiply-adds that give all its cells, over the rate this machine multiplies at.

A cell leaves the unedited run at one layer and one position; before that nothing differs, so nothing is counted there.
Its *rows* are the positions from there to the end. In each later layer they need everything, but in the last one only
keys and values; the rest is needed there at the last position alone, and of the logits the tracked ones. Counted are
matrix products and attention, and whole rows in the layer that a cell joins at; norms, activations and softmax are
not. (Keys, values and queries of rows that the joining layer has not changed yet could be saved too: 3 % at 16 tokens.)
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from mi_widgets.model.products import Product, products

from .rows import Cell, Row

PROBED_ROWS = 1024
TRACKED = 2
"""Logits whose difference is the metric."""


@dataclass(frozen=True)
class Sizes:
    """What the count needs to know of a model."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_head: int
    inner: int
    gated: bool

    @classmethod
    def of(cls, config: PretrainedConfig) -> Sizes:
        d, heads = config.hidden_size, config.num_attention_heads
        gated = config.model_type != "gpt2"
        inner = config.intermediate_size if gated else 4 * d
        kv_heads = getattr(config, "num_key_value_heads", heads)
        return cls(config.num_hidden_layers, d, heads, kv_heads, d // heads, inner, gated)

    @property
    def keys_and_values(self) -> int:
        """Multiply-adds for one row."""
        return 2 * self.d_model * self.kv_heads * self.d_head

    @property
    def query(self) -> int:
        return self.d_model * self.heads * self.d_head

    @property
    def out(self) -> int:
        return self.heads * self.d_head * self.d_model

    @property
    def mlp(self) -> int:
        return (3 if self.gated else 2) * self.d_model * self.inner

    @property
    def products(self) -> list[tuple[int, int]]:
        """(into, out of) of the matrices of one layer."""
        d, wide = self.d_model, self.heads * self.d_head
        down = [(d, self.inner)] * (2 if self.gated else 1) + [(self.inner, d)]
        return [(d, wide + 2 * self.kv_heads * self.d_head), (wide, d), *down]

    def attention(self, position: int) -> int:
        """Scores of one row, and the sum they weigh, for all heads."""
        return 2 * self.heads * self.d_head * (position + 1)

    def layer(self, first: int, tokens: int) -> int:
        """All rows from a position on through one layer."""
        each = self.keys_and_values + self.query + self.out + self.mlp
        return sum(each + self.attention(position) for position in range(first, tokens))

    def rest(self, first: int, tokens: int, entered: int) -> int:
        """Rows from a position on through all layers from `entered` on, to the tracked logits."""
        logits = TRACKED * self.d_model
        if entered == self.layers:
            return logits
        last = (tokens - first) * self.keys_and_values
        last += self.query + self.attention(tokens - 1) + self.out + self.mlp
        return (self.layers - 1 - entered) * self.layer(first, tokens) + last + logits


def multiply_adds(row: Row, sizes: Sizes) -> int:
    """The fewest multiply-adds that give every cell of a map that is not the unedited run by definition."""
    tokens, first = row.tokens, row.first
    if row.site == "resid_pre":
        return sum(
            sizes.rest(position, tokens, layer) for layer in range(sizes.layers) for position in range(first, tokens)
        )
    total = 0
    for layer in range(sizes.layers):
        # What the head adds, and the MLP on it; in the last layer the last position is enough.
        rows = 1 if layer == sizes.layers - 1 else tokens - first
        total += sizes.heads * (
            rows * (sizes.d_head * sizes.d_model + sizes.mlp) + sizes.rest(first, tokens, layer + 1)
        )
    return total


def _kernels() -> dict[str, Product]:
    """Float32 products that there are here."""
    titles = {"onednn": "oneDNN", "openblas": "OpenBLAS"}
    return {"torch": torch.nn.functional.linear, **{titles[one.name]: one.product for one in products()}}


@dataclass(frozen=True)
class Rate:
    """Multiply-adds a second of CPU time, by kernel."""

    by_kernel: dict[str, float]

    @property
    def best(self) -> float:
        return max(self.by_kernel.values())

    @property
    def fast(self) -> bool:
        """Whether there is a kernel that is clearly faster than torch's usual one."""
        return self.best > 1.2 * self.by_kernel["torch"]


def measured_rate(sizes: Sizes, repeats: int = 3) -> Rate:
    """The rate of one layer's matrix products at 1024 rows: the median of some repeats, for each kernel."""
    products = [(torch.randn(PROBED_ROWS, a), torch.randn(b, a) * a**-0.5, torch.zeros(b)) for a, b in sizes.products]
    work = PROBED_ROWS * sum(a * b for a, b in sizes.products)
    rates: dict[str, float] = {}
    for name, product in _kernels().items():
        times = []
        for _ in range(repeats + 1):
            started = time.process_time()
            for x, weight, bias in products:
                product(x, weight, bias)
            times.append(time.process_time() - started)
        rates[name] = work / sorted(times[1:])[repeats // 2]
    return Rate(rates)


@dataclass(frozen=True)
class Products:
    """Seconds that nothing but the matrix products of single patches take.

    Attributes:
        median, p90: over the patches.
    """

    median: float
    p90: float


COLD = 6
"""Layers whose weights are multiplied in turn, so that none is still in the cache of the processor."""


def measured_products(sizes: Sizes, tokens: int, cells: Sequence[Cell], repeats: int = 3) -> Products:
    """What the products of resid_pre patches take here, one at a time, with the few rows that each has.

    A product of few rows is bound by reading its weights, far below the rate at 1024 rows.

    Args:
        sizes: of the model.
        tokens: length of the prompt.
        cells: (layer, position) of each patch.
        repeats: of each product; the median counts.
    """
    layers = [[torch.randn(b, a) * a**-0.5 for a, b in sizes.products] for _ in range(COLD)]

    def seconds(rows: int, product: Product) -> list[float]:
        """Of each product of a layer."""
        inputs = [torch.randn(rows, a) for a, _ in sizes.products]
        times: list[list[float]] = [[] for _ in inputs]
        for weights in layers * repeats:
            for x, weight, taken in zip(inputs, weights, times, strict=True):
                started = time.process_time()
                product(x, weight, None)
                taken.append(time.process_time() - started)
        return [statistics.median(taken) for taken in times]

    def fastest(rows: int) -> list[float]:
        return [min(times) for times in zip(*(seconds(rows, product) for product in _kernels().values()), strict=True)]

    at = {rows: fastest(rows) for rows in {1, *(tokens - position for _, position in cells)}}

    def patch(layer: int, position: int) -> float:
        rows = tokens - position
        return (sizes.layers - 1 - layer) * sum(at[rows]) + at[rows][0] + sum(at[1][1:])

    each = sorted(patch(layer, position) for layer, position in cells)
    return Products(statistics.median(each), each[-(-9 * len(each) // 10) - 1])
