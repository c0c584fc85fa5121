"""The atlas as a picture, drawn from plain data: what a notebook shows where no widget can live."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from mi_widgets.export.pen import BAR, INK, LINE, PAPER, QUIET, VOID, Pen, rgb, wrapped

__all__ = ["LARGEST", "AtlasPicture", "atlas_png", "coarser", "encoded", "ramp"]

LARGEST = 64_000
"""Bytes of a picture; it goes into every saved notebook."""

SEQUENTIAL = ("#fbfcff", "#c9dafb", "#6d9af0", "#2563eb", "#0f2f86")
SIGNED = ("#a21772", "#df8fc2", "#f7f7f8", "#72c3b9", "#0f766e")
SIGNED_RUNS = ("difference", "against")
LEGENDS = {
    "difference": "clean - corrupted",
    "other": "clean run of the other experiment",
    "against": "clean - clean of the other experiment",
}
LEVELS = (48, 16)
"""Steps of the scale that a picture is tried with."""

WIDTH = 900
MARGIN = 16
NAME_COLUMN = 34
SIDES = (32, 24, 16, 12, 8, 4)
"""Cells on a side of coarser patterns."""


@dataclass(frozen=True)
class AtlasPicture:
    """What is drawn.

    Attributes:
        title, model: text.
        tokens: the prompt, as shown.
        run: clean, corrupted, edited, other; or difference, against, with a diverging scale around 0.
        thumbs: [layer, head, dest, src] float32 in 0..1 (-1..1 for a difference); NaN where there is no pattern.
        score: name of the score that the bars show, "" for none.
        bars: [layer, head] float32 in 0..1, NaN where undefined; None for no bars.
        footer: where it came from, in parts.
    """

    title: str
    model: str
    tokens: tuple[str, ...]
    run: str
    thumbs: npt.NDArray[np.float32]
    score: str
    bars: npt.NDArray[np.float32] | None
    footer: tuple[str, ...]


def ramp(values: npt.ArrayLike, *, signed: bool = False) -> npt.NDArray[np.uint8]:
    """Colours of values: [...] -> [..., 3] uint8. NaN is the colour of "nothing here", which is not the colour of 0.

    Args:
        values: 0..1, or -1..1 when signed.
        signed: diverging around 0 instead of rising from 0.
    """
    given = np.asarray(values, dtype=np.float64)
    stops = np.array([rgb(colour) for colour in (SIGNED if signed else SEQUENTIAL)], dtype=np.float64)
    at = np.clip((given + 1) / 2 if signed else given, 0, 1)
    # The square root lifts weak weights out of the paper, as in the widget.
    place = np.nan_to_num(at if signed else np.sqrt(at)) * (len(stops) - 1)
    channels = [np.interp(place, np.arange(len(stops)), stops[:, i]) for i in range(3)]
    colours = np.stack(channels, axis=-1)
    colours[~np.isfinite(given)] = rgb(VOID)
    return np.asarray(np.rint(colours), dtype=np.uint8)


def atlas_png(picture: AtlasPicture, largest: int = LARGEST) -> bytes:
    """A PNG at two pixels per point; of fewer colours, then of coarser patterns, where it would exceed `largest` bytes.

    Text stays as it is: a picture of fewer pixels could not be read.
    """
    signed = picture.run in SIGNED_RUNS
    side = picture.thumbs.shape[-1]
    coarse = [it for it in SIDES if it < side]
    png = b""
    for cells, levels in ((side, LEVELS[0]), *((it, LEVELS[1]) for it in (side, *coarse))):
        drawn = _draw(replace(picture, thumbs=coarser(picture.thumbs, cells, signed=signed)), 2)
        last = cells == (coarse or [side])[-1] and levels == LEVELS[1]
        # What will hardly fit is not encoded.
        if last or _forecast(drawn, levels, signed) <= 1.2 * largest:
            png = encoded(drawn, levels, signed)
            if len(png) <= largest:
                break
    return png


def coarser(thumbs: npt.NDArray[np.float32], side: int, *, signed: bool = False) -> npt.NDArray[np.float32]:
    """Patterns [..., dest, src] in `side` cells a side, the strongest of what falls into each; NaN where one is.

    Example:
        >>> coarser(np.array([[0.5, 0.0], [0.25, 0.75]], dtype=np.float32), 1).tolist()
        [[0.75]]
    """
    length = thumbs.shape[-1]
    edges = np.arange(side) * length // side

    def pooled(by: np.ufunc) -> npt.NDArray[np.float32]:
        return np.asarray(by.reduceat(by.reduceat(thumbs, edges, -2), edges, -1))

    high = pooled(np.maximum)
    if not signed:
        return high
    low = pooled(np.minimum)
    return np.where(-low > high, low, high)


def _forecast(image: Image.Image, levels: int, signed: bool) -> float:
    """Bytes of the PNG, judged by a strip of it just above its middle, where there are thumbnails."""
    top, height = int(0.4 * image.height), max(1, image.height // 10)
    strip = image.crop((0, top, image.width, top + height))
    return len(encoded(strip, levels, signed)) * image.height / height


def encoded(image: Image.Image, levels: int, signed: bool) -> bytes:
    """A PNG in the colours that such pictures have: choosing them anew for each takes ten times as long."""
    palette, nearest = _palette(levels, signed)
    pixels = np.asarray(image, dtype=np.uint32) >> 2
    indexed = nearest[pixels[..., 0] << 12 | pixels[..., 1] << 6 | pixels[..., 2]]
    # Each row as what it differs by from the one above, PNG's filter 2, since cells are some rows high. Pillow has no
    # filter for pictures of a palette: the same rows take it up to twice the bytes.
    rows = np.full((image.height, image.width + 1), 2, dtype=np.uint8)
    rows[:, 1:] = np.diff(indexed, axis=0, prepend=np.zeros((1, image.width), dtype=np.uint8))
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


@lru_cache(maxsize=4)
def _palette(levels: int, signed: bool) -> tuple[bytes, npt.NDArray[np.uint8]]:
    """Colours [colour, 3] as bytes, and the nearest one for each colour of 6 bits a channel."""
    at = np.linspace(-1 if signed else 0, 1, levels)
    # As dense where weights are weak as the scale is.
    ramped = ramp(at if signed else at**2, signed=signed)
    plain = np.array([rgb(colour) for colour in (PAPER, VOID, LINE, BAR)])
    paper = np.array(rgb(PAPER))
    shades = np.linspace(1, 0, 8, endpoint=False)[:, None]
    edges = [np.rint(np.array(rgb(colour)) * shades + paper * (1 - shades)) for colour in (INK, QUIET)]
    colours = np.concatenate([ramped, plain, *edges]).astype(np.float32)
    levels6 = np.arange(64, dtype=np.float32) * 4 + 2
    cube = np.stack(np.meshgrid(levels6, levels6, levels6, indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = np.argmin((colours**2).sum(-1) - 2 * cube @ colours.T, axis=-1)
    return colours.astype(np.uint8).tobytes(), nearest.astype(np.uint8)


def _draw(picture: AtlasPicture, scale: int) -> Image.Image:
    layers, heads = picture.thumbs.shape[:2]
    pitch = max(4, min(92, (WIDTH - 2 * MARGIN - NAME_COLUMN) // max(heads, 1)))
    cell = pitch - (8 if pitch >= 24 else 2 if pitch >= 8 else 1)
    row = cell + 16
    width = max(420, 2 * MARGIN + NAME_COLUMN + heads * pitch)
    lines = wrapped(picture.tokens, width - 2 * MARGIN)
    legend = [LEGENDS.get(picture.run, f"{picture.run} run")]
    legend += [f"bars: {picture.score}"] if picture.score else []
    footer = wrapped((*legend, *picture.footer), width - 2 * MARGIN, between=" · ", size=11)
    top = MARGIN + 24 + 18 + 18 * len(lines) + 12 + 18
    height = top + layers * row + 8 + 16 * len(footer) + 8
    image = Image.new("RGB", (width * scale, height * scale), PAPER)
    pen = Pen(ImageDraw.Draw(image), scale)
    pen.text(MARGIN, MARGIN, picture.title, INK, 16)
    pen.text(MARGIN, MARGIN + 24, picture.model, QUIET, 12)
    for i, line in enumerate(lines):
        pen.text(MARGIN, MARGIN + 44 + 18 * i, line, INK, 12)
    # One name per column as long as it fits; with many heads every other one, and so on.
    every = next(n for n in (1, 2, 4, 8, 16, 32, 64) if n * pitch >= 24 or n == 64)
    for head in range(0, heads, every):
        pen.text(MARGIN + NAME_COLUMN + head * pitch, top - 16, f"H{head}", QUIET, 11)
    colours = ramp(picture.thumbs, signed=picture.run in SIGNED_RUNS)
    # What a causal model cannot attend to is no zero. Pooled patterns are lower triangular too.
    rows, columns = np.triu_indices(picture.thumbs.shape[-1], 1)
    colours[:, :, rows, columns] = rgb(VOID)
    for layer in range(layers):
        y = top + layer * row
        pen.text(MARGIN, y + cell // 2 - 7, f"L{layer}", QUIET, 11)
        for head in range(heads):
            x = MARGIN + NAME_COLUMN + head * pitch
            _thumbnail(image, colours[layer, head], x, y, cell, scale)
            pen.frame(x, y, cell)
            if picture.bars is not None:
                pen.bar(x, y + cell + 4, cell, float(picture.bars[layer, head]))
    for i, line in enumerate(footer):
        pen.text(MARGIN, height - 8 - 16 * (len(footer) - i), line, QUIET, 11)
    return image


def _thumbnail(image: Image.Image, colours: npt.NDArray[np.uint8], x: int, y: int, cell: int, scale: int) -> None:
    size = cell * scale
    small = Image.fromarray(colours, "RGB")
    way = Image.Resampling.NEAREST if len(colours) <= size else Image.Resampling.BOX
    image.paste(small.resize((size, size), way), (x * scale, y * scale))
