"""The plain page as a fixture."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import guarded
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


class Tab:
    """One tab for test after test, loaded anew for each: to start a renderer takes longer than most tests do.

    Args:
        browser: the running browser.

    Attributes:
        failed: the test that has it failed; the next one gets a new tab.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._held = ExitStack()
        self._page: Page | None = None
        self.failed = False

    @contextmanager
    def lent(self) -> Iterator[Page]:
        """The tab, 1180 pixels wide, light, nothing pressed; fails on any error and any request off the loopback."""
        if self._page is None:
            context, self._guard = self._held.enter_context(guarded(self._browser, **OPTIONS))
            self._page = context.new_page()
        page, guard = self._page, self._guard
        self.failed = True
        yield page
        try:
            if not self.failed:
                self.failed = True
                rest(page)
            guard.check()
            self.failed = False
        finally:
            guard.problems.clear()
            if self.failed:
                self.close()

    def close(self) -> None:
        """Close it."""
        self._page = None
        self._held.close()


def rest(page: Page) -> None:
    """Leave what a test has shown, and let go of whatever it has pressed."""
    page.goto("about:blank")
    for key in ("Alt", "Control", "Meta", "Shift"):
        page.keyboard.up(key)
    page.mouse.up()
    page.mouse.move(0, 0)
    page.set_viewport_size(OPTIONS["viewport"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and "tab" in item.funcargs:
        item.funcargs["tab"].failed = report.failed
    return report


@pytest.fixture(scope="session")
def tab(browser: Browser) -> Iterator[Tab]:
    found = Tab(browser)
    yield found
    found.close()


def page_of(kind: type[Plain], what: str) -> Any:
    """A fixture: the tab with a widget's page in it."""

    @pytest.fixture(name=what)
    def opened(tab: Tab, address: str) -> Iterator[Plain]:
        with tab.lent() as page:
            found = kind(page, address)
            found.open()
            yield found

    return opened


plain = page_of(Plain, "plain")
lens = page_of(LensPage, "lens")
sweep = page_of(SweepPage, "sweep")
bench = page_of(WorkbenchPage, "bench")
board = page_of(BoardPage, "board")
