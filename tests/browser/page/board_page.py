"""The plain page with the patch board on it, over its own scripted kernel, and what tests do there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from playwright.sync_api import Locator

from mi_widgets.widgets.words import BOARD
from tests.browser.page.plain_page import FILES, HERE, STATIC, Colour, Plain, colours, numbers

FILES |= {
    "/board": (HERE / "plain.html", "text/html; charset=utf-8"),
    "/shim-lens.js": (HERE / "shim-lens.js", "text/javascript; charset=utf-8"),
    "/shim-board.js": (HERE / "shim-board.js", "text/javascript; charset=utf-8"),
    "/patch-board.js": (STATIC / "patch-board.js", "text/javascript; charset=utf-8"),
    "/patch-board.css": (STATIC / "patch-board.css", "text/css; charset=utf-8"),
}


class BoardPage(Plain):
    """A patch board on a plain page.

    Args:
        page: the tab.
        url: of the plain page; the board has a page beside it.
    """

    words: ClassVar[Mapping[str, str]] = BOARD

    def __init__(self, page: Any, url: str) -> None:
        super().__init__(page, f"{url}board")

    def grid(self, name: str) -> Locator:
        """The canvas of a run: clean, corrupted or edited."""
        return self.root.locator(f"canvas[data-grid={name}]")

    def point(self, grid: str, row: int | None, column: int | None, fold: int = 0) -> tuple[float, float]:
        """The middle of a cell in page coordinates; without a column the row's name, without a row the heading."""
        canvas = self.grid(grid)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        names = (canvas.get_attribute("data-rows") or "").split()
        tops = [float(top) for top in (canvas.get_attribute("data-tops") or "").split()]
        it = numbers(canvas)
        first, left, cell, top = (it[name] for name in ("first", "left", "cell", "top"))
        x = 12.0 if column is None else left + (column - first + 0.5) * cell
        if row is None and column is not None:
            return box["x"] + x, box["y"] + top / 2
        line = names.index(str(row)) if row is not None else [at for at, it in enumerate(names) if it == "-"][fold]
        scrolled = float(canvas.evaluate("it => it.closest('.mi-lens-scroll').scrollTop"))
        return box["x"] + x, box["y"] + top + (tops[line] + tops[line + 1]) / 2 - scrolled

    def carry(self, start: tuple[float, float], end: tuple[float, float], *, drop: bool = True, steps: int = 6) -> None:
        """Drag from one point to another by pointer, and let go there."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(*end, steps=steps)
        if drop:
            mouse.up()

    def corner(self, grid: str, row: int, column: int) -> Colour:
        """The colour of a cell, beside its text."""
        x, y = self.point(grid, row, column)
        box = self.grid(grid).bounding_box()
        assert box is not None
        it = numbers(self.grid(grid))
        return colours(self.grid(grid), [(x - box["x"] - it["cell"] / 2 + 4, y - box["y"] - it["row"] / 2 + 3)])[0]

    @property
    def effect(self) -> str:
        """What the effect's line says to a screen reader."""
        return self.part("effect").locator("canvas").get_attribute("aria-label") or ""

    def chips(self) -> list[str]:
        """The patches' labels, in order."""
        found: list[str] = self.root.locator(".mi-edit-label").evaluate_all(
            "all => all.map(it => it.getAttribute('aria-label'))"
        )
        return found
