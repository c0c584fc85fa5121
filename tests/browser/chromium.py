"""The system's Chromium, and tabs that fail a test on any error or any request that leaves the loopback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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
