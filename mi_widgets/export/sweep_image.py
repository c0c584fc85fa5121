"""A sweep as a heat map, drawn from plain data: what a notebook shows where no widget can live."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from mi_widgets.export.image import LARGEST, MARGIN, WIDTH
from mi_widgets.export.pen import INK, LINE, PAPER, QUIET, VOID, Pen, rgb, wrapped

__all__ = ["SweepPicture", "sweep_png"]

CLEAN, CORRUPTED = "#0f766e", "#a21772"
DIVERGING = ("#1d5fa8", "#9dbde0", "#f7f7f8", "#e08a93", "#b0152b")
"""From less than the base run to more."""

HATCH = "#d5d9df"
NAME_COLUMN = 40
ROW = 20
NARROWEST, WIDEST = 34, 58
MOST_ROWS = 64
LEGEND = 160
LEVELS = ((65, 0.0), (17, 0.25), (17, 2.0))
"""Steps of the scale, and the share of it from which on cells have numbers, that a picture is tried with."""


@dataclass(frozen=True)
class SweepPicture:
    """What is drawn.

    Attributes:
        title, model: text.
        prompts: lines above the map, each with its colour's name: "clean", "corrupted" or "".
        rows: label of each layer.
        columns: for each column what is read there in the base prompt and in the other one; "" where that is the same.
        base: "clean" or "corrupted": which of the two comes first in `columns`.
        values: [row, column] float32, what is coloured and written; NaN where there is no number.
        reach: the value at the ends of the scale; it is centred on 0.
        unit: what the values are.
        estimated: [row, column] which of them are estimates.
        same: [row, column] cells that cannot differ.
        footer: where it came from, in parts.
    """

    title: str
    model: str
    prompts: tuple[tuple[str, str], ...]
    rows: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    base: str
    values: npt.NDArray[np.float32]
    reach: float
    unit: str
    estimated: npt.NDArray[np.bool_]
    same: npt.NDArray[np.bool_]
    footer: tuple[str, ...]


def sweep_png(picture: SweepPicture) -> bytes:
    """A PNG at two pixels per point, of as many rows and columns as fit: those in which most happens.

    One that would exceed `LARGEST` bytes has fewer steps and numbers in the strongest cells only, then none.
    """
    room = (WIDTH - 2 * MARGIN - NAME_COLUMN) // NARROWEST
    size = np.abs(np.nan_to_num(np.where(picture.same, 0, picture.values)))
    columns, rows = _busiest(size.sum(0), room), _busiest(size.sum(1), MOST_ROWS)
    png = b""
    for steps, least in LEVELS:
        file = io.BytesIO()
        drawn = _draw(picture, rows, columns, 2, (steps, least))
        drawn.quantize(256, Image.Quantize.MEDIANCUT).save(file, "PNG", optimize=True)
        png = file.getvalue()
        if len(png) <= LARGEST:
            break
    return png


def _busiest(size: npt.NDArray[np.float64], room: int) -> range:
    """The stretch of at most `room` with the largest sum, the last of several."""
    if len(size) <= room:
        return range(len(size))
    sums = np.convolve(size, np.ones(room), "valid")
    start = len(sums) - 1 - int(np.argmax(sums[::-1]))
    return range(start, start + room)


def diverging(values: npt.ArrayLike, reach: float, steps: int) -> npt.NDArray[np.uint8]:
    """Colours of values around 0: [...] -> [..., 3] uint8; NaN is the colour of "nothing here".

    Args:
        values: any shape.
        reach: the value at the ends of the scale.
        steps: colours of the scale, an odd number: one is that of 0.
    """
    given = np.asarray(values, dtype=np.float64)
    stops = np.array([rgb(colour) for colour in DIVERGING], dtype=np.float64)
    share = (np.clip(np.nan_to_num(given / (reach or 1)), -1, 1) + 1) / 2
    place = np.rint(share * (steps - 1)) / (steps - 1) * (len(stops) - 1)
    colours = np.stack([np.interp(place, np.arange(len(stops)), stops[:, i]) for i in range(3)], axis=-1)
    colours[~np.isfinite(given)] = rgb(VOID)
    return np.asarray(np.rint(colours), dtype=np.uint8)


def _draw(picture: SweepPicture, rows: range, columns: range, scale: int, level: tuple[int, float]) -> Image.Image:
    steps, least = level
    inner = WIDTH - 2 * MARGIN
    width = max(NARROWEST, min(WIDEST, (inner - NAME_COLUMN) // max(1, len(columns))))
    prompts = [(line, colour) for text, colour in picture.prompts for line in wrapped(tuple(text.split(" ")), inner, 2)]
    footer = wrapped((*picture.footer, *_left_out(picture, rows, columns)), inner, between=" · ", size=11)
    stacked = any(other for _, other in picture.columns)
    top = MARGIN + 46 + 18 * len(prompts) + (32 if stacked else 20)
    height = top + ROW * len(rows) + 34 + 16 * len(footer) + 8
    image = Image.new("RGB", (WIDTH * scale, height * scale), PAPER)
    draw = ImageDraw.Draw(image)
    pen = Pen(draw, scale)
    pen.text(MARGIN, MARGIN, picture.title, INK, 16)
    pen.text(MARGIN, MARGIN + 24, picture.model, QUIET, 12)
    names = {"clean": CLEAN, "corrupted": CORRUPTED, "": INK}
    for i, (line, colour) in enumerate(prompts):
        pen.text(MARGIN, MARGIN + 46 + 18 * i, line, names[colour], 12)
    left = MARGIN + NAME_COLUMN
    for place, column in enumerate(columns):
        own, other = picture.columns[column]
        x = left + place * width
        if other:
            # Clean stands over corrupted, whichever of them is edited.
            clean, corrupted = (own, other) if picture.base == "clean" else (other, own)
            pen.centred(x, top - 29, width, clean, CLEAN, 10)
            pen.centred(x, top - 16, width, corrupted, CORRUPTED, 10)
        else:
            pen.centred(x, top - (22 if stacked else 16), width, own, QUIET, 10)
    for down, row in enumerate(rows):
        pen.text(MARGIN, top + down * ROW + 3, picture.rows[row], QUIET, 11)
        colours = diverging(picture.values[row, list(columns)], picture.reach, steps)
        for place, column in enumerate(columns):
            box = (left + place * width, top + down * ROW, width - 1, ROW - 1)
            if picture.same[row, column]:
                _hatched(draw, box, scale)
                continue
            text = _number(picture, row, column, least)
            _cell(pen, text, box, tuple(int(part) for part in colours[place]))
    _legend(pen, picture, left, top + ROW * len(rows) + 10, steps)
    for i, text in enumerate(footer):
        pen.text(MARGIN, height - 8 - 16 * (len(footer) - i), text, QUIET, 11)
    return image


def _cell(pen: Pen, text: str, box: tuple[int, int, int, int], colour: tuple[int, ...]) -> None:
    x, y, width, height = box
    pen.fill(x, y, width, height, colour)
    if text:
        dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 140
        pen.centred(x, y + 3, width, text, PAPER if dark else INK, 10)


def _number(picture: SweepPicture, row: int, column: int, least: float) -> str:
    """What a cell says; nothing where it has no number, or one that is less than a share of the scale."""
    value = float(picture.values[row, column])
    if not np.isfinite(value) or abs(value) < least * picture.reach:
        return ""
    return f"{'~' if picture.estimated[row, column] else ''}{_short(value)}"


def _hatched(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], scale: int) -> None:
    x, y, width, height = box
    for start in range(-height, width, 6):
        low, high = max(0, -start), min(height, width - start)
        ends = (x + start + low, y + height - low, x + start + high, y + height - high)
        draw.line(tuple(end * scale for end in ends), fill=HATCH, width=scale)


def _short(value: float) -> str:
    """A number that fits a cell; what rounds to 0 has no sign."""
    text = f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _legend(pen: Pen, picture: SweepPicture, x: int, y: int, steps: int) -> None:
    shares = np.linspace(-1, 1, LEGEND // 2)
    for step, colour in enumerate(diverging(shares, 1.0, steps)):
        pen.fill(x + 2 * step, y, 2, 6, tuple(int(part) for part in colour))
    pen.fill(x, y + 6, LEGEND, 1, LINE)
    for share in (-1, 0, 1):
        pen.centred(x + LEGEND * (share + 1) / 2 - 30, y + 8, 60, _short(share * picture.reach), QUIET, 10)
    pen.text(x + LEGEND + 34, y - 3, picture.unit, QUIET, 11)


def _left_out(picture: SweepPicture, rows: range, columns: range) -> list[str]:
    """What of the map is drawn, where that is not all."""
    found = []
    if len(rows) < len(picture.rows):
        found.append(f"{picture.rows[rows[0]]} to {picture.rows[rows[-1]]} of {len(picture.rows)} layers")
    if len(columns) < len(picture.columns):
        found.append(f"columns {columns[0]} to {columns[-1]} of {len(picture.columns)}")
    return found
