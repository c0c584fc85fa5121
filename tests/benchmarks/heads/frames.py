"""Frames while the pointer moves over the atlas, drags the focus about and zooms in it, 12 x 12 heads at 256 tokens."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from . import first_paint
from .stage import Stage, Tab

FRAME = 1000 / 60
CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline.frame", "devtools.timeline.frame"]
MAIN_FRAME = "BeginMainThreadFrame"


@dataclass(frozen=True)
class Frames:
    """How even the frames of one gesture came.

    Attributes:
        count: of frames.
        smooth: share of them before which none of 60 a second was missed.
        median, worst: ms between two.
    """

    count: int
    smooth: float
    median: float
    worst: float


def frames_of(times: Sequence[float]) -> Frames:
    """Of the times at which frames began, in ms.

    Raises:
        ValueError: fewer than two frames.
    """
    gaps = [b - a for a, b in pairwise(times)]
    if not gaps:
        raise ValueError(f"{len(times)} frames have no time between them.")
    smooth = sum(gap < 1.5 * FRAME for gap in gaps) / len(gaps)
    return Frames(len(gaps), smooth, statistics.median(gaps), max(gaps))


def frame_starts(trace: dict[str, Any]) -> list[float]:
    """When the page's main thread began its frames, in ms, from a trace of the browser.

    Frames belong to the thread that began most of them: other tabs and frames have threads of their own.
    """
    found: dict[tuple[int, int], list[float]] = {}
    for event in trace["traceEvents"]:
        if event["name"] == MAIN_FRAME:
            found.setdefault((event["pid"], event["tid"]), []).append(event["ts"] / 1000)
    return sorted(max(found.values(), key=len, default=[]))


def measure(stage: Stage) -> dict[str, Frames]:
    """Frames by gesture."""
    with stage.notebook("frames", first_paint.CELLS) as tab:
        tab.run(0)
        tab.timed(first_paint.LARGE, first_paint.WHOLE[first_paint.LARGE])
        tab.forget()
        widget = tab.page.locator(".jp-Cell .mi-widget")
        atlas = widget.locator("[data-part=atlas] canvas[role=grid]")
        focus = widget.locator("[data-part=focus] canvas")
        mouse = tab.page.mouse

        def hover(canvas: Any, left: float, right: float, step: float) -> None:
            """To and fro over ten rows, all by shares of its box."""
            box = _box(canvas)
            for row in range(10):
                y = box["y"] + box["height"] * (0.1 + step * row)
                mouse.move(box["x"] + box["width"] * left, y)
                mouse.move(box["x"] + box["width"] * right, y, steps=24)

        def zoom() -> None:
            box = _box(focus)
            focus.focus()
            mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
            for by in (-60, 60, -60):
                for _ in range(20):
                    mouse.wheel(0, by)

        def pan() -> None:
            box = _box(focus)
            x, y = box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.5
            mouse.move(x, y)
            mouse.down()
            for _ in range(4):
                mouse.move(x - 90, y - 70, steps=24)
                mouse.move(x, y, steps=24)
            mouse.up()

        gestures = {
            "hover over the atlas": lambda: hover(atlas, 0.1, 0.95, 0.08),
            "hover over the focus": lambda: hover(focus, 0.25, 0.9, 0.07),
            "zoom": zoom,
            "drag to pan": pan,
        }
        return {name: _watched(stage, tab, act) for name, act in gestures.items()}


def _watched(stage: Stage, tab: Tab, act: Callable[[], None]) -> Frames:
    # A frame is asked for all the time, so that none is missing only since nothing had to be drawn.
    tab.page.evaluate("probe.watchFrames()")
    stage.browser.start_tracing(page=tab.page, categories=CATEGORIES)
    act()
    trace = json.loads(stage.browser.stop_tracing())
    starts = frame_starts(trace)
    noted = tab.notes("frames")
    tab.page.evaluate("probe.watching = false")
    return frames_of(starts if len(starts) > 1 else noted)


def _box(locator: Any) -> dict[str, float]:
    locator.scroll_into_view_if_needed()
    found: dict[str, float] = locator.bounding_box()
    return found
