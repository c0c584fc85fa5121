"""One row of the table, measured: all columns take turns in one process, round after round, on CPU time."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from transformers import PretrainedConfig

from .floor import Products, Rate, Sizes, measured_products, measured_rate, multiply_adds
from .rows import Cell, Row, drawn, model_of, pair_of
from .ways import Found, Way, ways_of

T = TypeVar("T")

TOLERANCE = 1e-4
"""How far a cell may be from plain hooks, on logits whose standard deviation is about 1."""


@dataclass(frozen=True)
class Plan:
    """How much is run.

    Attributes:
        rounds: of all columns; ratios are medians over them.
        cells: of a map that TransformerLens and plain hooks run in a round; None = all.
        layers: whose cells nnsight runs in a round; None = all.
        drags: cells that are patched one at a time, in "drag" rows.
    """

    rounds: int = 5
    cells: int | None = None
    layers: int | None = None
    drags: int = 60


def plan_of(row: Row) -> Plan:
    """Whole maps where all tokens differ at 16 tokens in GPT-2's shape, and samples of the others' in longer rows."""
    if row.shape == "gpt2" and row.tokens == 16 and not row.shares:
        return Plan()
    return Plan(cells=32, layers=2) if row.tokens == 16 else Plan(cells=16, layers=1)


@dataclass
class Column:
    """What one way of a row took, round by round, scaled to the whole map.

    Attributes:
        cpu, wall: seconds of each round (of a drag row: of each cell).
        error: the largest absolute difference of the metric from plain hooks.
        compared: cells that the difference is over.
        share: the part of the map that was run.
        paused: CPU seconds of our patches that come first after the other columns' turn, in a drag row.
    """

    name: str
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    error: float = 0.0
    compared: int = 0
    share: float = 1.0
    paused: list[float] = field(default_factory=list)

    def took(self, seconds: tuple[float, float], scale: float = 1.0) -> None:
        self.cpu.append(seconds[0] * scale)
        self.wall.append(seconds[1] * scale)

    def compare(self, own: Found, reference: Found) -> None:
        """Hold cells to those of plain hooks; not a number is infinitely far."""
        both = own.keys() & reference.keys()
        gaps = [abs(own[cell] - reference[cell]) for cell in both]
        self.error = max([self.error, *(gap if gap == gap else float("inf") for gap in gaps)])
        self.compared += len(both)


@dataclass(frozen=True)
class Measured:
    """A finished row.

    Attributes:
        row, plan: what was asked.
        columns: ours, plain hooks, TransformerLens, nnsight.
        cells: of the map.
        spread: standard deviation of the metric over all cells that plain hooks ran.
        floor: seconds below which nobody gets, with this machine's best product; None for single patches.
        products: what the products of single patches alone take; None for maps.
        rate: of the machine, median over the rounds.
        kernel: what our provenance says ran.
    """

    row: Row
    plan: Plan
    columns: tuple[Column, ...]
    cells: int
    spread: float
    floor: float | None
    products: Products | None
    rate: Rate
    kernel: str

    @property
    def wrong(self) -> list[str]:
        """Columns that disagree with plain hooks, or could not be compared."""
        return [c.name for c in self.columns if not c.compared or not c.error <= TOLERANCE]


def timed(work: Callable[[], T]) -> tuple[T, tuple[float, float]]:
    """What some work gives, and the seconds it took: (CPU time of the whole process, wall time)."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    found = work()
    return found, (time.process_time() - cpu, time.perf_counter() - wall)


def measure(row: Row, config: PretrainedConfig, plan: Plan, say: Callable[[str], None] = lambda _: None) -> Measured:
    """Run a row.

    Args:
        row: which.
        config: of the model.
        plan: how much of it.
        say: is told what is happening.
    """
    torch.set_num_threads(1)
    with torch.no_grad():
        ways = ways_of(model_of(config), row)
        cells = row.cells(config.num_hidden_layers, config.num_attention_heads)
        columns = tuple(Column(way.name) for way in ways)
        run = _drags if row.kind == "drag" else _rounds
        # What is there already is left out of the collections between timings: with four libraries it is a lot.
        gc.freeze()
        try:
            metrics, rates = run(row, config, plan, ways, columns, cells, say)
        finally:
            gc.unfreeze()
    best = {name: statistics.median(rate.by_kernel[name] for rate in rates) for name in rates[0].by_kernel}
    rate = Rate(best)
    drag, sizes = row.kind == "drag", Sizes.of(config)
    floor = None if drag else multiply_adds(row, sizes) / rate.best
    products = measured_products(sizes, row.tokens, _chosen(cells, plan)[1::2]) if drag else None
    return Measured(row, plan, columns, len(cells), statistics.pstdev(metrics), floor, products, rate, ways[0].kernel)


def _rounds(
    row: Row,
    config: PretrainedConfig,
    plan: Plan,
    ways: Sequence[Way],
    columns: tuple[Column, ...],
    cells: list[Cell],
    say: Callable[[str], None],
) -> tuple[list[float], list[Rate]]:
    """Whole maps, or samples of them; the columns' order changes from round to round."""
    sizes, metrics, rates = Sizes.of(config), [], []
    for number in range(-1, plan.rounds):
        warming = number < 0
        draw = random.Random(number)
        layers = draw.sample(range(sizes.layers), min(sizes.layers, 1 if warming else plan.layers or sizes.layers))
        some = drawn(cells, 2 if warming else plan.cells, layers, number)
        parts = {"map": cells, "layer": [c for c in cells if c[0] in layers], "cell": some}
        pair = pair_of(row, config.vocab_size, number)
        order = list(zip(ways, columns, strict=True))
        found: dict[str, Found] = {}
        for way, column in order[number % 4 :] + order[: number % 4]:
            way.prepare(pair)
            part = parts[way.whole]
            values, seconds = timed(lambda way=way, part=part: way.run(part))
            if warming:
                continue
            found[column.name] = values
            column.share = len(part) / len(cells)
            column.took(seconds, len(cells) / len(part))
            say(f"round {number + 1}: {column.name} {seconds[0]:.2f} s for {len(part)} of {len(cells)} cells")
        if warming:
            continue
        rates.append(measured_rate(sizes))
        reference = found[columns[1].name]
        metrics += list(reference.values())
        for column in columns:
            column.compare(found[column.name], reference)
    return metrics, rates


def _drags(
    row: Row,
    config: PretrainedConfig,
    plan: Plan,
    ways: Sequence[Way],
    columns: tuple[Column, ...],
    cells: list[Cell],
    say: Callable[[str], None],
) -> tuple[list[float], list[Rate]]:
    """Single patches at random cells, all columns at each cell.

    Ours looks whether the model's weights have changed when some seconds have passed since the last look, as they have
    after the others' turn. A drag asks again and again: so another cell is patched first, and its time kept apart.
    """
    pair = pair_of(row, config.vocab_size, 0)
    for way in ways:
        way.prepare(pair)
    chosen = _chosen(cells, plan)
    order = list(zip(ways, columns, strict=True))
    for way in ways:
        way.one(chosen[0])
    metrics: list[float] = []
    for number, (cell, before) in enumerate(zip(chosen[1::2], chosen[2::2], strict=False)):
        found: dict[str, Found] = {}
        for way, column in order[number % 4 :] + order[: number % 4]:
            if way is ways[0]:
                column.paused.append(timed(lambda way=way, cell=before: way.one(cell))[1][0])
            value, seconds = timed(lambda way=way, cell=cell: way.one(cell))
            found[column.name] = {cell: value}
            column.took(seconds)
        reference = found[columns[1].name]
        metrics += reference.values()
        for column in columns:
            column.compare(found[column.name], reference)
    say(f"{len(metrics)} patches")
    return metrics, [measured_rate(Sizes.of(config))]


def _chosen(cells: list[Cell], plan: Plan) -> list[Cell]:
    """The cells of single patches: one to warm up, then in turn one that counts and one that comes before it."""
    chosen = drawn(cells, 2 * plan.drags + 1, [], seed=0)
    random.Random(0).shuffle(chosen)
    return chosen
