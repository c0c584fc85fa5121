"""What the atlas canvas shows, read pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from playwright.sync_api import Locator

_READ = """canvas => {
  const ratio = canvas.width / canvas.getBoundingClientRect().width;
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let text = '';
  for (let i = 0; i < data.length; i += 4) text += String.fromCharCode(data[i], data[i + 1], data[i + 2]);
  const { thumb, left, top, pitchX, pitchY } = canvas.dataset;
  const layout = { thumb: +thumb, left: +left, top: +top, pitch_x: +pitchX, pitch_y: +pitchY };
  return { ratio, width: canvas.width, height: canvas.height, data: btoa(text), layout };
}"""


@dataclass(frozen=True)
class AtlasPixels:
    """The canvas as it is drawn.

    Attributes:
        rgb: [y, x, 3] uint8, device pixels.
        ratio: device pixels per CSS pixel.
        thumb: side of a thumbnail in CSS pixels.
        left, top: origin of the first one.
        pitch_x, pitch_y: from one to the next.
    """

    rgb: np.ndarray
    ratio: float
    thumb: float
    left: float
    top: float
    pitch_x: float
    pitch_y: float

    def origin(self, layer: int, head: int) -> tuple[float, float]:
        """Top left corner of a thumbnail in CSS pixels."""
        return self.left + head * self.pitch_x, self.top + layer * self.pitch_y

    def cells(self, layer: int, head: int, side: int) -> np.ndarray:
        """Colour in the middle of each cell of a thumbnail: [dest, src, 3] int."""
        x, y = self.origin(layer, head)
        middle = (np.arange(side) + 0.5) * self.thumb / side
        rows = ((y + middle) * self.ratio).astype(int)
        columns = ((x + middle) * self.ratio).astype(int)
        return self.rgb[rows[:, None], columns[None, :]].astype(int)


def atlas_canvas(widget: Locator) -> Locator:
    """The canvas with all heads."""
    return widget.locator("[data-part=atlas] canvas[role=grid]")


def read_atlas(widget: Locator) -> AtlasPixels:
    """Read the atlas canvas of a widget."""
    import base64

    found = atlas_canvas(widget).evaluate(_READ)
    flat = np.frombuffer(base64.b64decode(found["data"]), np.uint8)
    return AtlasPixels(flat.reshape(found["height"], found["width"], 3), found["ratio"], **found["layout"])


def click_head(widget: Locator, layer: int, head: int, modifiers: list[str] | None = None) -> None:
    """Click the middle of a head's thumbnail."""
    pixels = read_atlas(widget)
    x, y = pixels.origin(layer, head)
    half = pixels.thumb / 2
    atlas_canvas(widget).click(position={"x": x + half, "y": y + half}, modifiers=modifiers)  # type: ignore[arg-type]


def assert_shows(pixels: AtlasPixels, pattern: np.ndarray) -> None:
    """The picture is these patterns: equal weights have equal colours, and a larger weight is never lighter.

    Args:
        pixels: what is drawn, on a light theme.
        pattern: [layer, head, dest, src] weights in 0..1, not pooled.
    """
    side = pattern.shape[-1]
    lower = np.tril_indices(side)
    shown, weights = [], []
    for layer in range(pattern.shape[0]):
        for head in range(pattern.shape[1]):
            shown.append(pixels.cells(layer, head, side)[lower])
            weights.append(pattern[layer, head][lower])
    rgb, levels = np.concatenate(shown), np.rint(np.concatenate(weights) * 254).astype(int)
    assert len(np.unique(levels)) > 20, "the patterns are too plain to tell anything"
    luminance = rgb @ np.array([0.2126, 0.7152, 0.0722])
    order = np.argsort(levels, kind="stable")
    # Rounding to a byte may differ by one level between the two computations.
    means = {level: luminance[levels == level] for level in np.unique(levels)}
    for low, high in zip(levels[order][:-1], levels[order][1:], strict=True):
        if high > low + 1:
            assert means[high].max() <= means[low].min() + 0.5, (low, high)
    spread = max(values.max() - values.min() for values in means.values())
    assert spread < 6, f"one weight is drawn in colours {spread:.0f} apart"
    assert luminance[levels == levels.max()].max() < luminance[levels == 0].min() - 60
