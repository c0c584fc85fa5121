"""The system's Chromium, and tabs that fail a test on any error or any request that leaves the loopback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--hide-scrollbars",
]
WAIT = 60_000
"""Milliseconds until something that must come is given up: long, since a test on a busy machine is slow, not wrong."""
IMPORTS = 240_000
"""The same, where a fresh kernel must first import torch and transformers."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_LOCAL = {"127.0.0.1", "localhost", "::1", ""}


def executable() -> str:
    """Path of the browser.

    Raises:
        RuntimeError: there is none; says what to install.
    """
    found = os.environ.get("MI_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if not found:
        raise RuntimeError("The browser tests need Chromium: install your system's package (Debian: chromium).")
    return found


@dataclass
class Guard:
    """What went wrong in a tab.

    Attributes:
        problems: page errors, console errors and requests off the loopback, in words.
        allowed: parts of messages that a test expects.
    """

    problems: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Remember a problem unless the test expects it."""
        if not any(part in problem for part in self.allowed):
            self.problems.append(problem)

    def check(self) -> None:
        """Fail when anything went wrong."""
        assert not self.problems, "\n".join(self.problems)


@contextmanager
def guarded(
    browser: Browser, *, allowed: tuple[str, ...] = (), **options: Any
) -> Iterator[tuple[BrowserContext, Guard]]:
    """A browser context whose tabs are watched; leaving it fails the test if anything went wrong in them.

    Args:
        browser: the running browser.
        allowed: parts of console errors that do not count.
        **options: of the context (viewport, color_scheme, ...).
    """
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT)
    guard = Guard(allowed=list(allowed))

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: guard.note(f"page error: {error}"))
        page.on("console", lambda m: guard.note(f"console error: {m.text}") if m.type == "error" else None)

    def request(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and (parts.hostname or "") not in _LOCAL:
            guard.note(f"request off the loopback: {url}")

    context.on("page", watch)
    context.on("request", lambda r: request(r.url))
    try:
        yield context, guard
    finally:
        context.close()
    guard.check()


class KeptTab:
    """One watched tab for test after test: to start a renderer takes longer than most tests do.

    Args:
        browser: the running browser.
        **options: of its context, as `guarded` takes them.
    """

    def __init__(self, browser: Browser, **options: Any) -> None:
        self._browser, self._options = browser, options
        self._open = ExitStack()
        self._tab: tuple[Page, Guard] | None = None

    def tab(self) -> tuple[Page, Guard]:
        """The tab and what went wrong in it; a new one after `close`."""
        if self._tab is None:
            context, guard = self._open.enter_context(guarded(self._browser, **self._options))
            page = context.new_page()
            self.load(page)
            self._tab = page, guard
        return self._tab

    @property
    def page(self) -> Page:
        """The tab."""
        return self.tab()[0]

    def load(self, page: Page) -> None:
        """What a new tab shows first."""

    def rest(self, page: Page, guard: Guard) -> None:
        """Leave what a test has shown."""
        raise NotImplementedError

    def clear(self, *, failed: bool) -> None:
        """Make it ready for the next test.

        Args:
            failed: the test did; what it has left behind must not reach the next one, so the tab goes too.

        Raises:
            AssertionError: something went wrong in it.
        """
        whole = False
        try:
            if self._tab is not None and not failed:
                self.rest(*self._tab)
                whole = not self._tab[1].problems
        finally:
            if not whole:
                self.close()

    def close(self) -> None:
        """Close the tab.

        Raises:
            AssertionError: something went wrong in it.
        """
        self._tab = None
        self._open.close()
