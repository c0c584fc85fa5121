"""The plain page as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import Guard, KeptTab
from tests.browser.page.board_page import BoardPage
from tests.browser.page.lens_page import LensPage
from tests.browser.page.plain_page import Plain, serving
from tests.browser.page.sweep_page import SweepPage
from tests.browser.page.workbench_page import WorkbenchPage

OPTIONS: dict[str, Any] = {
    "viewport": {"width": 1180, "height": 900},
    "reduced_motion": "reduce",
    "color_scheme": "light",
}


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with serving() as url:
        yield url


class Tab(KeptTab):
    """The tab, 1180 pixels wide, light, loaded anew for each test with nothing pressed."""

    def rest(self, page: Page, guard: Guard) -> None:
        """Leave what a test has shown, and let go of whatever it has pressed."""
        page.goto("about:blank")
        for key in ("Alt", "Control", "Meta", "Shift"):
            page.keyboard.up(key)
        page.mouse.up()
        page.mouse.move(0, 0)
        page.set_viewport_size(OPTIONS["viewport"])


@pytest.fixture(scope="session")
def tab(browser: Browser) -> Iterator[Tab]:
    found = Tab(browser, **OPTIONS)
    yield found
    found.close()


def page_of(kind: type[Plain], what: str) -> Any:
    """A fixture: the tab with a widget's page in it; fails the test on any error or any request off the loopback."""

    @pytest.fixture(name=what)
    def opened(tab: Tab, address: str, request: pytest.FixtureRequest) -> Iterator[Plain]:
        failed_before = request.session.testsfailed
        found = kind(tab.page, address)
        whole = False
        try:
            found.open()
            whole = True
            yield found
        finally:
            tab.clear(failed=not whole or request.session.testsfailed > failed_before)

    return opened


plain = page_of(Plain, "plain")
lens = page_of(LensPage, "lens")
sweep = page_of(SweepPage, "sweep")
bench = page_of(WorkbenchPage, "bench")
board = page_of(BoardPage, "board")
