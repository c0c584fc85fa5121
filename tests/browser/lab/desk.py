"""The tab in which one test after another opens its notebook."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Guard, KeptTab
from tests.browser.lab.notebook_page import NotebookPage
from tests.browser.lab.server import TOKEN, LabServer

_CLOSE_NOTEBOOKS = "() => { for (const it of [...jupyterapp.shell.widgets('main')]) if (it.context) it.dispose(); }"
_HURRIED = ("Could not restore the debugger state: Canceled future", "Could not send widget sync message")
"""JupyterLab says so when a notebook is closed as soon as it is open, or something in it was selected."""


class Desk(KeptTab):
    """A watched tab with JupyterLab. It stays for the next test, since to load it takes nine seconds of processor time.

    Args:
        server: the JupyterLab.
        browser: the running browser.
    """

    def __init__(self, server: LabServer, browser: Browser) -> None:
        super().__init__(browser, allowed=_HURRIED, viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
        self.server = server

    def load(self, page: Page) -> None:
        """JupyterLab, without a notebook."""
        page.goto(f"{self.server.url}/lab?token={TOKEN}&reset", wait_until="commit")
        # It comes late, and in front of what is open by then.
        page.wait_for_selector(".jp-Launcher")

    def open(self, name: str, allowed: tuple[str, ...] = ()) -> NotebookPage:
        """Open a notebook of the served folder, its kernel idle.

        Args:
            name: its file name.
            allowed: parts of console errors that do not count.
        """
        page, guard = self.tab()
        guard.allowed += allowed
        return NotebookPage(page, self.server, name).open_in_the_running_lab()

    def open_in_second_tab(self, name: str) -> NotebookPage:
        """Open a notebook that is open already in a tab beside the first."""
        return NotebookPage(self.page.context.new_page(), self.server, name).open()

    def clear(self, *, failed: bool) -> None:
        """Close the notebooks and end their kernels.

        Args:
            failed: the test did.

        Raises:
            AssertionError: something went wrong in a tab.
        """
        try:
            super().clear(failed=failed)
        finally:
            self.server.end_sessions()

    def rest(self, page: Page, guard: Guard) -> None:
        """Close the notebooks."""
        for other in page.context.pages:
            if other != page:
                other.close()
        page.evaluate(_CLOSE_NOTEBOOKS)
        page.mouse.move(0, 0)
        expect(page.locator(".jp-Dialog")).to_have_count(0)
        guard.allowed = [*_HURRIED]
