"""The plain page with a workbench on it: a scripted kernel for each view, all of them asked the same question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from playwright.sync_api import Locator

from mi_widgets.widgets.words import BENCH, BOARD, HEADS, LENS, SHARED, SWEEP
from tests.browser.page import board_page, lens_page, sweep_page
from tests.browser.page.plain_page import FILES, HERE, STATIC, Plain

# Their scripted kernels are served by the pages of the views.
VIEWS = (lens_page, board_page, sweep_page)
FILES |= {
    "/workbench": (HERE / "plain.html", "text/html; charset=utf-8"),
    "/shim-workbench.js": (HERE / "shim-workbench.js", "text/javascript; charset=utf-8"),
    "/workbench.js": (STATIC / "workbench.js", "text/javascript; charset=utf-8"),
    "/workbench.css": (STATIC / "workbench.css", "text/css; charset=utf-8"),
}


class WorkbenchPage(Plain):
    """A workbench on a plain page.

    Args:
        page: the tab.
        url: of the plain page; the workbench has a page beside it.
    """

    words: ClassVar[Mapping[str, Any]] = {
        **BENCH,
        "of": {"shared": SHARED, "heads": HEADS, "lens": LENS, "board": BOARD, "sweep": SWEEP},
    }

    def __init__(self, page: Any, url: str) -> None:
        super().__init__(page, f"{url}workbench")

    def mount(self, options: str = "{}", views: int = 1, *, ready: bool = True) -> WorkbenchPage:
        """Show a workbench; `ready` waits until the views that it opens with are drawn."""
        super().mount(options, views, ready=False)
        if ready:
            self.page.wait_for_function(
                "document.querySelector('.mi-workbench[data-ready]') && "
                "[...document.querySelectorAll('.mi-inside:not([hidden])')]"
                ".every(it => it.querySelector('[data-ready]'))"
            )
        return self

    def inside(self, name: str) -> Locator:
        """The view of a name, drawn or not: heads, lens, board, sweep."""
        return self.root.locator(f".mi-inside[data-view={name}]")
