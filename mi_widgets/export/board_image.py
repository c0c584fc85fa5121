"""The patch board as a picture, drawn from plain data: what a notebook shows where no widget can live."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from mi_widgets.export.image import LARGEST, MARGIN, WIDTH, ramp
from mi_widgets.export.pen import BAR, INK, LINE, PAPER, QUIET, VOID, Pen, rgb, wrapped

__all__ = ["BoardPicture", "GridPicture", "board_png", "place_of"]

CLEAN, CORRUPTED = "#0f766e", "#a21772"
AMBER = "#f59e0b"
NAME_COLUMN = 62
NARROWEST, WIDEST = 52, 72
ROW = 20
FADED = 0.2
COLOURS = (96, 32)
"""That a picture is tried with, until it is small enough."""
INNER = WIDTH - 2 * MARGIN
ROOM = (INNER - NAME_COLUMN) // NARROWEST
"""Columns that fit."""


@dataclass(frozen=True)
class GridPicture:
    """The cells of one run.

    Attributes:
        title: text, and its colour.
        prompt: tokens of the whole prompt, as shown.
        rows: label of each row.
        columns: positions of the cells.
        differing: positions whose token the other prompt does not have.
        cells: top token of each cell, [row][column].
        shades: [row, column] float32 in 0..1.
        strong: [row, column] bool, the cells that are drawn at full strength; None for all.
        changed: [row, column] bool, the cells that are marked; None for none.
    """

    title: tuple[str, str]
    prompt: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[int, ...]
    differing: frozenset[int]
    cells: Sequence[Sequence[str]]
    shades: npt.NDArray[np.float32]
    strong: npt.NDArray[np.bool_] | None = None
    changed: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class BoardPicture:
    """What is drawn.

    Attributes:
        title, model: text.
        grids: of the runs, from top to bottom.
        patches: the edits in words.
        effect: what the line is about, in words.
        marks: the values on the line: (value, label, colour); NaN is left out.
        footer: where it came from, in parts.
    """

    title: str
    model: str
    grids: tuple[GridPicture, ...]
    patches: tuple[str, ...]
    effect: str
    marks: tuple[tuple[float, str, str], ...]
    footer: tuple[str, ...]


def board_png(picture: BoardPicture) -> bytes:
    """A PNG at two pixels per point; of each grid as many columns as fit, the last ones first."""
    image = _draw(picture, 2)
    for colours in COLOURS:
        file = io.BytesIO()
        image.quantize(colours, Image.Quantize.MAXCOVERAGE).save(file, "PNG")
        if file.tell() <= LARGEST:
            break
    return file.getvalue()


def place_of(value: float, values: Sequence[float]) -> float:
    """Where a value stands on a line that holds all finite ones with some room beside them, 0..1.

    Example:
        >>> round(place_of(-4.0, [-4.0, 4.0]), 2), place_of(1.0, [1.0, 1.0, math.nan])
        (0.08, 0.5)
    """
    known = [v for v in values if math.isfinite(v)]
    low, high = min(known), max(known)
    return 0.5 if low == high else 0.08 + 0.84 * (value - low) / (high - low)


def _draw(picture: BoardPicture, scale: int) -> Image.Image:
    patches = wrapped(picture.patches or ("no edits",), INNER, between="  ·  ")
    footer = wrapped(picture.footer, INNER, between=" · ", size=11)
    prompts = [wrapped(grid.prompt, INNER, 3) for grid in picture.grids]
    heights = [24 + 17 * len(p) + 20 + ROW * len(g.rows) + 14 for p, g in zip(prompts, picture.grids, strict=True)]
    height = MARGIN + 46 + sum(heights) + 18 * len(patches) + 26 + 78 + 16 * len(footer) + 8
    image = Image.new("RGB", (WIDTH * scale, height * scale), PAPER)
    pen = Pen(ImageDraw.Draw(image), scale)
    pen.text(MARGIN, MARGIN, picture.title, INK, 16)
    pen.text(MARGIN, MARGIN + 24, picture.model, QUIET, 12)
    y = MARGIN + 46
    for grid, prompt, tall in zip(picture.grids, prompts, heights, strict=True):
        _grid(pen, y, grid, prompt)
        y += tall
    for line in patches:
        pen.text(MARGIN, y, line, INK, 12)
        y += 18
    _line(pen, y + 8, picture)
    for i, text in enumerate(footer):
        pen.text(MARGIN, height - 8 - 16 * (len(footer) - i), text, QUIET, 11)
    return image


def _grid(pen: Pen, y: int, grid: GridPicture, prompt: list[str]) -> None:
    pen.text(MARGIN, y, *grid.title, 13)
    for i, line in enumerate(prompt):
        pen.text(MARGIN, y + 20 + 17 * i, line, QUIET, 11)
    y += 24 + 17 * len(prompt)
    shown = range(max(0, len(grid.columns) - ROOM), len(grid.columns))
    width = max(NARROWEST, min(WIDEST, (INNER - NAME_COLUMN) // max(1, len(shown))))
    left = MARGIN + NAME_COLUMN
    for place, column in enumerate(shown):
        at = grid.columns[column]
        colour = grid.title[1] if at in grid.differing else QUIET
        pen.centred(left + place * width, y, width, f"{grid.prompt[at]} {at}", colour, 10)
    y += 18
    for row, label in enumerate(grid.rows):
        pen.text(MARGIN, y + 3, label, QUIET, 11)
        colours = ramp(grid.shades[row], signed=False)
        for place, column in enumerate(shown):
            x = left + place * width
            strong = grid.strong is None or bool(grid.strong[row, column])
            ground = rgb(VOID) if not np.isfinite(grid.shades[row, column]) else tuple(int(c) for c in colours[column])
            ground = ground if strong else _faded(ground)
            dark = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2] < 140
            pen.fill(x, y, width - 1, ROW - 1, ground)
            ink = PAPER if dark else INK if strong else QUIET
            pen.centred(x, y + 3, width - 1, grid.cells[row][column], ink, 11)
            if grid.changed is not None and grid.changed[row, column]:
                pen.fill(x + width - 7, y + 2, 4, 4, AMBER)
        y += ROW


def _faded(colour: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(round(255 + FADED * (part - 255)) for part in colour)


def _line(pen: Pen, y: int, picture: BoardPicture) -> None:
    """The line that the values stand on, each with its label below; labels that would meet take another height."""
    pen.text(MARGIN, y, picture.effect, INK, 12)
    pen.fill(MARGIN, y + 18, INNER, 20, VOID)
    pen.fill(MARGIN, y + 38, INNER, 1, LINE)
    known = [mark for mark in picture.marks if math.isfinite(mark[0])]
    ends: list[float] = []
    for value, label, colour in sorted(known, key=lambda mark: mark[0]):
        x = MARGIN + INNER * place_of(value, [v for v, _, _ in known])
        pen.fill(x - 1.5, y + 18, 4 if colour == BAR else 3, 20, colour)
        half = 3.2 * len(label) + 6
        centre = min(max(x, MARGIN + half), MARGIN + INNER - half)
        level = next((i for i, end in enumerate(ends) if centre - half > end), len(ends))
        ends[level : level + 1] = [centre + half]
        pen.centred(centre - half, y + 41 + 13 * level, 2 * half, label, colour, 11)
