"""The lens table as a picture, drawn from plain data: what a notebook shows where no widget can live."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from mi_widgets.export.image import MARGIN, WIDTH, ramp
from mi_widgets.export.pen import INK, PAPER, QUIET, VOID, Pen, wrapped

__all__ = ["LensPicture", "lens_png"]

NAME_COLUMN = 62
ROW, GAP = 22, 10
NARROWEST, WIDEST = 52, 72
AMBER = "#f59e0b"
COLOURS = 128


@dataclass(frozen=True)
class LensPicture:
    """What is drawn.

    Attributes:
        title, model: text.
        prompt: its tokens, as shown.
        rows: label of each row.
        numbers: of each row among all there are: between two that do not follow each other a gap is drawn.
        n_rows: how many there are in all.
        first: position of the first column.
        columns: token of each column.
        answer: position that is read for the answer.
        cells: top token of each cell, [row][column].
        shades: [row, column] float32, 0..1, or -1..1 when signed; NaN where nothing is defined.
        signed: [row]: which rows have a diverging scale around 0.
        changed: [row, column], or None: which cells an edit gave another top token.
        footer: where it came from, in parts.
    """

    title: str
    model: str
    prompt: tuple[str, ...]
    rows: tuple[str, ...]
    numbers: tuple[int, ...]
    n_rows: int
    first: int
    columns: tuple[str, ...]
    answer: int
    cells: Sequence[Sequence[str]]
    shades: npt.NDArray[np.float32]
    signed: tuple[bool, ...]
    changed: npt.NDArray[np.bool_] | None
    footer: tuple[str, ...]


def lens_png(picture: LensPicture) -> bytes:
    """A PNG at two pixels per point, of as many columns as fit its width: those up to the answer, or the first."""
    room = (WIDTH - 2 * MARGIN - NAME_COLUMN) // NARROWEST
    low = max(0, min(len(picture.columns) - room, picture.answer + 1 - picture.first - room))
    shown = range(low, min(len(picture.columns), low + room))
    file = io.BytesIO()
    _draw(picture, shown, 2).quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(file, "PNG")
    return file.getvalue()


def _draw(picture: LensPicture, shown: range, scale: int) -> Image.Image:
    inner = WIDTH - 2 * MARGIN
    cell = max(NARROWEST, min(WIDEST, (inner - NAME_COLUMN) // max(1, len(shown))))
    prompt = wrapped(picture.prompt, inner)
    footer = wrapped((*picture.footer, *_left_out(picture, shown)), inner, between=" · ", size=11)
    top = MARGIN + 24 + 22 + 18 * len(prompt) + 24
    gaps = _gaps(picture)
    height = top + ROW * len(picture.rows) + GAP * len(gaps) + 10 + 16 * len(footer) + 8
    image = Image.new("RGB", (WIDTH * scale, height * scale), PAPER)
    pen = Pen(ImageDraw.Draw(image), scale)
    pen.text(MARGIN, MARGIN, picture.title, INK, 16)
    pen.text(MARGIN, MARGIN + 24, picture.model, QUIET, 12)
    for i, line in enumerate(prompt):
        pen.text(MARGIN, MARGIN + 46 + 18 * i, line, INK, 12)
    left = MARGIN + NAME_COLUMN
    for place, column in enumerate(shown):
        at = picture.first + column
        heading = f"{picture.columns[column]} {at}"
        pen.centred(left + place * cell, top - 18, cell, heading, INK if at == picture.answer else QUIET, 10)
    y = top
    for row, label in enumerate(picture.rows):
        if row in gaps:
            pen.text(MARGIN, y - 2, gaps[row], AMBER, 9)
            pen.fill(left, y + 3, cell * len(shown), 3, AMBER)
            y += GAP
        pen.text(MARGIN, y + 4, label, QUIET, 11)
        colours = ramp(picture.shades[row], signed=picture.signed[row])
        for place, column in enumerate(shown):
            x = left + place * cell
            colour = tuple(int(part) for part in colours[column])
            pen.fill(x, y, cell - 1, ROW - 1, colour if np.isfinite(picture.shades[row, column]) else VOID)
            dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 140
            pen.centred(x, y + 4, cell - 1, picture.cells[row][column], PAPER if dark else INK, 11)
            if picture.changed is not None and picture.changed[row, column]:
                pen.fill(x + cell - 7, y + 2, 4, 4, AMBER)
        y += ROW
    for i, line in enumerate(footer):
        pen.text(MARGIN, height - 8 - 16 * (len(footer) - i), line, QUIET, 11)
    return image


def _left_out(picture: LensPicture, shown: range) -> list[str]:
    """What of the rows and positions is drawn, where that is not all."""
    found = []
    if len(picture.rows) < picture.n_rows:
        found.append(f"{len(picture.rows)} of {picture.n_rows} rows")
    if len(shown) < len(picture.prompt):
        first, last = picture.first + shown.start, picture.first + shown.stop - 1
        found.append(f"positions {first} to {last} of {len(picture.prompt)}")
    return found


def _gaps(picture: LensPicture) -> dict[int, str]:
    """{row: how many are left out before it}."""
    follow = zip(picture.numbers[:-1], picture.numbers[1:], strict=True)
    return {row: f"{b - a - 1} rows" for row, (a, b) in enumerate(follow, start=1) if b > a + 1}
