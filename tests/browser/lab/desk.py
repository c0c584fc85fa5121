"""The tab in which one test after another opens its notebook."""

from __future__ import annotations

from contextlib import ExitStack

from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Guard, guarded
from tests.browser.lab.notebook_page import NotebookPage
from tests.browser.lab.server import TOKEN, LabServer

_CLOSE_NOTEBOOKS = "() => { for (const it of [...jupyterapp.shell.widgets('main')]) if (it.context) it.dispose(); }"
_HURRIED = ("Could not restore the debugger state: Canceled future", "Could not send widget sync message")
"""JupyterLab says so when a notebook is closed as soon as it is open, or something in it was selected."""


class Desk:
    """A watched tab with JupyterLab. It stays for the next test, since to load it takes nine seconds of processor time.

    Args:
        server: the JupyterLab.
        browser: the running browser.
    """

    def __init__(self, server: LabServer, browser: Browser) -> None:
        self.server, self.browser = server, browser
        self._tab: tuple[Page, Guard] | None = None
        self._open = ExitStack()

    @property
    def page(self) -> Page:
        """The tab, with JupyterLab in it."""
        return (self._tab or self._load())[0]

    def _load(self) -> tuple[Page, Guard]:
        context, guard = self._open.enter_context(
            guarded(self.browser, allowed=_HURRIED, viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
        )
        page = context.new_page()
        page.goto(f"{self.server.url}/lab?token={TOKEN}&reset", wait_until="commit")
        # It comes late, and in front of what is open by then.
        page.wait_for_selector(".jp-Launcher")
        self._tab = page, guard
        return self._tab

    def open(self, name: str, allowed: tuple[str, ...] = ()) -> NotebookPage:
        """Open a notebook of the served folder, its kernel idle.

        Args:
            name: its file name.
            allowed: parts of console errors that do not count.
        """
        page, guard = self._tab or self._load()
        guard.allowed += allowed
        return NotebookPage(page, self.server, name).open_in_the_running_lab()

    def open_in_second_tab(self, name: str) -> NotebookPage:
        """Open a notebook that is open already in a tab beside the first."""
        return NotebookPage(self.page.context.new_page(), self.server, name).open()

    def clear(self, *, failed: bool) -> None:
        """Close the notebooks and end their kernels.

        Args:
            failed: the test did; what it has left behind must not reach the next one, so the tab goes too.

        Raises:
            AssertionError: something went wrong in a tab.
        """
        try:
            if failed:
                self.close()
            elif self._tab is not None:
                self._clear_tab(*self._tab)
        finally:
            self.server.end_sessions()

    def _clear_tab(self, page: Page, guard: Guard) -> None:
        for other in page.context.pages:
            if other != page:
                other.close()
        page.evaluate(_CLOSE_NOTEBOOKS)
        page.mouse.move(0, 0)
        expect(page.locator(".jp-Dialog")).to_have_count(0)
        problems, guard.problems, guard.allowed = guard.problems, [], [*_HURRIED]
        assert not problems, "\n".join(problems)

    def close(self) -> None:
        """Close the tab.

        Raises:
            AssertionError: something went wrong in it.
        """
        self._tab = None
        self._open.close()
