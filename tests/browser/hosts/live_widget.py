"""What a reader does with a live widget, the same in every host."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import IMPORTS
from tests.browser.hosts.plain_model import ASKED, CLEAN, plain_patterns
from tests.browser.lab.atlas import assert_shows, atlas_canvas, click_head, read_atlas


def drawn_widget(page: Page, timeout: float = IMPORTS) -> Locator:
    """The widget of a page, once it has drawn."""
    widget = page.locator(".mi-widget[data-ready]")
    widget.wait_for(timeout=timeout)
    return widget


def assert_alive(widget: Locator) -> None:
    """It shows what the model really attends to, answers a click, and reruns an edited prompt in the kernel."""
    expect(widget).to_have_attribute("data-state", "ready")
    atlas_canvas(widget).scroll_into_view_if_needed()
    assert_shows(read_atlas(widget), plain_patterns(CLEAN))

    expect(widget).not_to_have_attribute("data-focus", "L2H1")
    click_head(widget, 2, 1)
    expect(widget).to_have_attribute("data-focus", "L2H1")
    expect(widget).to_have_attribute("data-selection", "L2H1.pattern")

    widget.get_by_role("button", name="prompt").first.click()
    field = widget.locator("textarea").first
    field.fill(ASKED)
    before = widget.get_attribute("data-atlas-rev")
    assert before is not None
    field.press("Enter")
    expect(widget).not_to_have_attribute("data-atlas-rev", before)
    expect(widget).to_have_attribute("data-state", "ready")
    assert_shows(read_atlas(widget), plain_patterns(ASKED))
