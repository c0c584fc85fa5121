"""The plain page with the logit lens on it, over its own scripted kernel, and what tests do there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from playwright.sync_api import Locator

from mi_widgets.widgets.words import LENS
from tests.browser.page.plain_page import FILES, HERE, STATIC, Colour, Plain, numbers

FILES |= {
    "/lens": (HERE / "plain.html", "text/html; charset=utf-8"),
    "/shim-lens.js": (HERE / "shim-lens.js", "text/javascript; charset=utf-8"),
    "/logit-lens.js": (STATIC / "logit-lens.js", "text/javascript; charset=utf-8"),
    "/logit-lens.css": (STATIC / "logit-lens.css", "text/css; charset=utf-8"),
}


class LensPage(Plain):
    """A lens on a plain page.

    Args:
        page: the tab.
        url: of the plain page; the lens has a page beside it.
    """

    words: ClassVar[Mapping[str, str]] = LENS

    def __init__(self, page: Any, url: str) -> None:
        super().__init__(page, f"{url}lens")

    @property
    def canvas(self) -> Locator:
        """The table's canvas."""
        return self.part("lens").locator("canvas")

    def line(self, row: int | None, fold: int = 0) -> int:
        """Which line of the table shows a row, or is the fold of this number (None, 0 is the first)."""
        rows = (self.canvas.get_attribute("data-rows") or "").split()
        if row is not None:
            return rows.index(str(row))
        return [at for at, name in enumerate(rows) if name == "-"][fold]

    def places(self, cells: Sequence[tuple[int | None, int]], fold: int = 0) -> list[tuple[float, float]]:
        """The middles of cells (or of a fold, row None) on the canvas, in its CSS pixels, as it is scrolled."""
        it = numbers(self.canvas)
        tops = [float(top) for top in (self.canvas.get_attribute("data-tops") or "").split()]
        lines = {row: self.line(row, fold) for row, _ in cells}
        above = it["top"] - float(self.root.locator(".mi-lens-scroll").evaluate("it => it.scrollTop"))
        return [
            (
                it["left"] + (position - it["first"] + 0.5) * it["cell"],
                above + (tops[lines[row]] + tops[lines[row] + 1]) / 2,
            )
            for row, position in cells
        ]

    def place(self, row: int | None, position: int, fold: int = 0) -> tuple[float, float]:
        """The same of one."""
        return self.places([(row, position)], fold)[0]

    def point(self, row: int | None, position: int, fold: int = 0) -> tuple[float, float]:
        """The same in page coordinates, with the table scrolled so that it can be seen."""
        self.canvas.scroll_into_view_if_needed()
        box = self.canvas.bounding_box()
        assert box is not None
        x, y = self.place(row, position, fold)
        hidden = max(0, y - box["height"] + 20) or min(0, y - numbers(self.canvas)["top"] - 20)
        if hidden:
            self.root.locator(".mi-lens-scroll").evaluate("(it, by) => { it.scrollTop += by; }", hidden)
            self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            x, y = self.place(row, position, fold)
        return box["x"] + x, box["y"] + y

    def corner(self, row: int, position: int) -> tuple[int, int, int]:
        """The colour of a cell, beside its text."""
        return self.corners([(row, position)])[0]

    def corners(self, cells: Sequence[tuple[int, int]]) -> list[Colour]:
        """The colours of cells, beside their texts."""
        it = numbers(self.canvas)
        dx, dy = it["cell"] / 2 - 4, it["row"] / 2 - 3
        return self.pixels("lens", [(x - dx, y - dy) for x, y in self.places(cells)])

    def cell(self, row: int, position: int) -> Any:
        """What the scripted kernel has for a cell of the picture: top, value, changed."""
        return self.kernel(f"k.cell({row}, {position})")
