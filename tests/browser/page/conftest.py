"""The plain page as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import guarded
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


@pytest.fixture
def plain(browser: Browser, address: str) -> Iterator[Plain]:
    """A plain page, 1180 pixels wide, light; fails the test on any error or any request off the loopback."""
    with guarded(browser, **OPTIONS) as (context, _guard):
        yield Plain(context.new_page(), address).open()


@pytest.fixture
def lens(browser: Browser, address: str) -> Iterator[LensPage]:
    """The same with the logit lens."""
    with guarded(browser, **OPTIONS) as (context, _guard):
        found = LensPage(context.new_page(), address)
        found.open()
        yield found


@pytest.fixture
def sweep(browser: Browser, address: str) -> Iterator[SweepPage]:
    """The same with a patch sweep."""
    with guarded(browser, **OPTIONS) as (context, _guard):
        found = SweepPage(context.new_page(), address)
        found.open()
        yield found


@pytest.fixture
def bench(browser: Browser, address: str) -> Iterator[WorkbenchPage]:
    """The same with a workbench."""
    with guarded(browser, **OPTIONS) as (context, _guard):
        found = WorkbenchPage(context.new_page(), address)
        found.open()
        yield found
