"""The plain page with a patch sweep on it, over its own scripted kernel, and what tests do there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from playwright.sync_api import Locator

from mi_widgets.widgets.words import SWEEP
from tests.browser.page.plain_page import FILES, HERE, STATIC, Plain, numbers

FILES |= {
    "/sweep": (HERE / "plain.html", "text/html; charset=utf-8"),
    "/shim-sweep.js": (HERE / "shim-sweep.js", "text/javascript; charset=utf-8"),
    "/patch-sweep.js": (STATIC / "patch-sweep.js", "text/javascript; charset=utf-8"),
    "/patch-sweep.css": (STATIC / "patch-sweep.css", "text/css; charset=utf-8"),
}


class SweepPage(Plain):
    """A sweep on a plain page.

    Args:
        page: the tab.
        url: of the plain page; the sweep has a page beside it.
    """

    words: ClassVar[Mapping[str, str]] = SWEEP

    def __init__(self, page: Any, url: str) -> None:
        super().__init__(page, f"{url}sweep")

    @property
    def canvas(self) -> Locator:
        """The map's canvas."""
        return self.part("heatmap").locator("canvas")

    def number(self, name: str) -> float:
        """A number of the map's layout: left, top, cell, row, first, end."""
        return numbers(self.canvas)[name]

    def place(self, row: int, column: int) -> tuple[float, float]:
        """The middle of a cell on the canvas, in its CSS pixels, as it is scrolled."""
        scrolled = float(self.root.locator(".mi-sweep-scroll").evaluate("it => it.scrollTop"))
        it = numbers(self.canvas)
        x = it["left"] + (column - it["first"] + 0.5) * it["cell"]
        return x, it["top"] + (row + 0.5) * it["row"] - scrolled

    def point(self, row: int, column: int) -> tuple[float, float]:
        """The same in page coordinates."""
        self.canvas.scroll_into_view_if_needed()
        box = self.canvas.bounding_box()
        assert box is not None
        x, y = self.place(row, column)
        return box["x"] + x, box["y"] + y

    def corner(self, row: int, column: int) -> tuple[int, int, int]:
        """The colour of a cell, beside its text."""
        x, y = self.place(row, column)
        return self.pixel("heatmap", x - self.number("cell") / 2 + 3, y - self.number("row") / 2 + 3)

    def cell(self, row: int, column: int) -> Any:
        """What the scripted kernel has for a cell of the map: metric, recovered, stderr."""
        return self.kernel(f"k.cell({row}, {column})")
