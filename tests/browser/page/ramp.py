"""What colour a value should have, worked out again from the maps' stops (OKLab, Ottosson 2020), for the tests."""

from __future__ import annotations

import numpy as np

SEQUENTIAL_LIGHT = ["#ffffff", "#dbe4fb", "#8ea8f0", "#1d4ed8"]
SEQUENTIAL_DARK = ["#111418", "#232c40", "#41598f", "#7aa6ff"]
DIVERGING_LIGHT = ["#b3380a", "#ee9a71", "#ffffff", "#8ea8f0", "#1d4ed8"]

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _lab(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(_TO_LAB @ np.cbrt(_TO_LMS @ linear))


def colour(stops: list[str], share: float) -> np.ndarray:
    """sRGB bytes at `share` (0..1) of a map whose ground is the page's own background."""
    share = round(min(1.0, max(0.0, share)) * 255) / 255
    labs = np.stack([_lab(stop) for stop in stops])
    place = share * (len(stops) - 1)
    lab = np.array([np.interp(place, np.arange(len(stops)), labs[:, axis]) for axis in range(3)])
    linear = np.linalg.inv(_TO_LMS) @ (np.linalg.inv(_TO_LAB) @ lab) ** 3
    linear = np.clip(linear, 0, None)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(np.clip(srgb, 0, 1) * 255)


def close(seen: tuple[int, int, int], wanted: np.ndarray, within: float = 3) -> bool:
    """Are two colours the same up to rounding?"""
    return bool(np.abs(np.array(seen) - wanted).max() <= within)
