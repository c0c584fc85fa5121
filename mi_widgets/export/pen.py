"""What all static pictures are drawn with: a pen that thinks in points, fonts that know what they cannot draw."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import ImageDraw, ImageFont

__all__ = ["BAR", "INK", "LINE", "PAPER", "QUIET", "VOID", "Pen", "drawable", "font_of", "rgb", "size_of", "wrapped"]

INK, QUIET, LINE, PAPER, VOID = "#1b1f24", "#6b7280", "#dfe3e8", "#ffffff", "#f2f4f6"
BAR = "#2563eb"
LONGEST = 40
"""Characters of a text that may have to fit into a column, more than fit into any."""


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG in pixels, from its header."""
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)


class Pen:
    """Draws in points on an image that has `scale` pixels per point."""

    def __init__(self, draw: ImageDraw.ImageDraw, scale: int) -> None:
        self._draw, self._scale = draw, scale

    def text(self, x: float, y: float, text: str, colour: str, size: int) -> None:
        """Writes from (x, y), its left upper corner."""
        font = font_of(size * self._scale)
        self._draw.text((x * self._scale, y * self._scale), drawable(text, font), fill=colour, font=font)

    def centred(self, x: float, y: float, width: float, text: str, colour: str, size: int) -> None:
        """Writes in the middle of a column from x on; what is too long is shortened in its middle."""
        s, font = self._scale, font_of(size * self._scale)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
        text, keep = drawable(text, font), len(text)
        shown = text
        while font.getlength(shown) > (width - 4) * s and keep > 2:
            keep -= 1
            shown = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
        self._draw.text((x * s + (width * s - font.getlength(shown)) / 2, y * s), shown, fill=colour, font=font)

    def fill(self, x: float, y: float, width: float, height: float, colour: tuple[int, ...] | str) -> None:
        """A filled rectangle."""
        s = self._scale
        self._draw.rectangle((x * s, y * s, (x + width) * s - 1, (y + height) * s - 1), fill=colour)

    def frame(self, x: int, y: int, size: int) -> None:
        """The outline of a square."""
        s = self._scale
        self._draw.rectangle((x * s - 1, y * s - 1, (x + size) * s, (y + size) * s), outline=LINE)

    def bar(self, x: int, y: int, width: int, share: float) -> None:
        """A bar of which a share, 0..1, is filled."""
        s = self._scale
        self._draw.rectangle((x * s, y * s, (x + width) * s - 1, (y + 3) * s - 1), fill=LINE)
        if np.isfinite(share) and share > 0:
            end = x * s + max(1, round(width * s * min(share, 1.0)))
            self._draw.rectangle((x * s, y * s, end - 1, (y + 3) * s - 1), fill=BAR)


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of "#rrggbb"."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@lru_cache(maxsize=8)
def font_of(size: int) -> Any:
    """The font that pictures are written in, of a size in pixels."""
    try:
        # Knows far more scripts than the one inside Pillow, which is Latin only.
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def drawable(text: str, font: Any) -> str:
    """The text with what the font cannot draw as "·" (space signs) or "?", never as a box that looks like a token."""
    return "".join(char if _known(char, font) else "·" if char in "␣␊␉↵⏎⇥" else "?" for char in text)


@lru_cache(maxsize=4096)
def _known(char: str, font: Any) -> bool:
    if char.isascii() and char.isprintable():
        return True
    if not char.isprintable():
        return False
    unknown = font.getmask("\uffff")
    mask = font.getmask(char)
    return bool(mask.size != unknown.size or bytes(mask) != bytes(unknown))


def wrapped(parts: tuple[str, ...], width: int, most: int = 6, between: str = " ", size: int = 12) -> list[str]:
    """Parts in lines of at most `width` points; says how many are left out."""
    font = font_of(2 * size)
    lines = [""]
    for i, part in enumerate(parts):
        shown = part if len(part) <= 40 else f"{part[:28]}…{part[-10:]}"
        longer = f"{lines[-1]}{between}{shown}" if lines[-1] else shown
        if font.getlength(drawable(longer, font)) <= 2 * width or not lines[-1]:
            lines[-1] = longer
        elif len(lines) == most:
            lines[-1] = f"… and {len(parts) - i} more"
            return lines
        else:
            lines.append(shown)
    return lines
