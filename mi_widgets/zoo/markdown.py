"""The few pieces of Markdown that every model card is written with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def rows(header: Sequence[object], body: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def two(value: float) -> str:
    """Two decimals, and no minus sign before a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def heads(grid: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Every (layer, head) of a `[layer][head]` figure."""
    return [(layer, head) for layer, row in enumerate(grid) for head in range(len(row))]


def at(grid: Sequence[Sequence[float]], head: tuple[int, int]) -> float:
    """One head's figure."""
    return grid[head[0]][head[1]]


def label(head: tuple[int, int]) -> str:
    """A head as people write it: L1H3."""
    return f"L{head[0]}H{head[1]}"


def made(name: str, training: Mapping[str, Any]) -> str:
    """How to train it again: software, processor and command.

    Args:
        name: The checkpoint's name.
        training: The record that `survey.survey` wrote.
    """
    by = training["made_with"]
    return f"""{training["steps"]} steps of AdamW from seed {training["seed"]} on one CPU thread, a few minutes
({by["machine"]}, Python {by["python"]}, torch {by["torch"]}, transformers {by["transformers"]});
stored in float16. Again with

    python -m mi_widgets.zoo train {name} --seed {training["seed"]}

which gives the same weights on the same software and processor, and others of the same kind elsewhere."""
