"""The plain page as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

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


def page_of(kind: type[Plain], what: str) -> Any:
    """A fixture: a plain page, 1180 pixels wide, light; fails the test on any error or any request off the loopback."""

    @pytest.fixture(name=what)
    def opened(browser: Browser, address: str) -> Iterator[Plain]:
        with guarded(browser, **OPTIONS) as (context, _guard):
            found = kind(context.new_page(), address)
            found.open()
            yield found

    return opened


plain = page_of(Plain, "plain")
lens = page_of(LensPage, "lens")
sweep = page_of(SweepPage, "sweep")
bench = page_of(WorkbenchPage, "bench")
board = page_of(BoardPage, "board")
