"""A JupyterLab and a browser for the benchmark, and one notebook at a time in a tab that takes notes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, expect, sync_playwright

from tests.browser.chromium import FLAGS, IMPORTS, executable
from tests.browser.lab.notebook_page import NotebookPage, write_notebook
from tests.browser.lab.server import LabServer, start

from .peers import lay_out
from .wire import Message, messages_of

PROBE = Path(__file__).with_name("probe.js")
MINUTES = 20
VIEWPORT = {"width": 1400, "height": 1000}
EXACT = ["--enable-precise-memory-info", "--js-flags=--expose-gc"]


class Stage:
    """The running parts.

    Args:
        server: JupyterLab.
        browser: Chromium.
        python: folder that kernels find the peers in.
    """

    def __init__(self, server: LabServer, browser: Browser, python: Path) -> None:
        self.server, self.browser, self.python = server, browser, python

    @contextmanager
    def notebook(self, name: str, cells: list[str]) -> Iterator[Tab]:
        """A notebook in a tab of its own, with a kernel of its own; both go afterwards."""
        context = self.browser.new_context(viewport=VIEWPORT)  # type: ignore[arg-type]
        context.set_default_timeout(60_000 * MINUTES)
        expect.set_options(timeout=60_000 * MINUTES)
        try:
            page = context.new_page()
            page.add_init_script(path=PROBE)
            first = f"import sys\nsys.path.append({str(self.python)!r})\n"
            file = write_notebook(self.server, f"{name}.ipynb", [first + cells[0], *cells[1:]])
            yield Tab(NotebookPage(page, self.server, file).open(), context.new_cdp_session(page))
        finally:
            context.close()
            self.server.end_sessions()


class Tab:
    """A notebook and the notes of its page.

    Args:
        notebook: as a person drives it.
        cdp: the browser's own interface to the tab.
    """

    def __init__(self, notebook: NotebookPage, cdp: CDPSession) -> None:
        self.notebook, self.page, self.cdp = notebook, notebook.page, cdp

    def run(self, index: int) -> None:
        """Run a cell whose output does not count."""
        self.notebook.run_cell(index)
        self.notebook.until_run(index, IMPORTS)
        self.notebook.until_idle()

    def timed(self, index: int, whole: str, drawn: str | None = None) -> dict[str, float]:
        """Run a cell; `start`, `drawn`, `changed` and `end` of what it shows, see `probe.js`."""
        run = "([i, whole, drawn]) => probe.run(i, whole, drawn)"
        found: dict[str, float] = self.page.evaluate(run, [index, whole, drawn or whole])
        return found

    def until_pictured(self, index: int) -> None:
        """Wait until the output of a cell holds the static picture, for readers without a kernel."""
        self.page.wait_for_function(
            """i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.outputs.toJSON()
              .some((output) => output.data?.["image/png"])""",
            arg=index,
        )

    def clear(self) -> None:
        """Take all outputs away and let the page come to rest."""
        self.notebook.command("notebook:clear-all-cell-outputs")
        self.page.wait_for_function("!document.querySelector('.jp-Cell .mi-widget, .jp-Cell svg line')")
        self.notebook.until_idle()
        self.cdp.send("HeapProfiler.collectGarbage")

    def forget(self, *, keep: bool = True) -> None:
        """Begin new notes; with `keep` the bytes of messages are held too."""
        self.page.evaluate("keep => { probe.messages = []; probe.stalls = []; probe.keep = keep; }", keep)

    def messages(self) -> list[Message]:
        """What the kernel sent since the notes began."""
        return messages_of(self.page.evaluate("probe.told()"))

    def notes(self, name: str) -> Any:
        """Something that the page noted."""
        return self.page.evaluate("name => probe[name]", name)

    def heap(self) -> int:
        """Bytes that the page's JavaScript holds after a collection: objects, and the bytes of arrays."""
        for _ in range(2):
            self.cdp.send("HeapProfiler.collectGarbage")
        usage = self.cdp.send("Runtime.getHeapUsage")
        return int(usage["usedSize"] + usage.get("embedderHeapUsedSize", 0) + usage.get("backingStorageSize", 0))

    def printed(self, index: int, source: str) -> str:
        """What a cell prints."""
        return self.notebook.evaluate_in_kernel(index, source, 60_000 * MINUTES)


@contextmanager
def stage() -> Iterator[Stage]:
    """Everything started; ended afterwards."""
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        python = folder / "python"
        python.mkdir()
        server = start(folder)
        try:
            lay_out(python, server.root / "peers")
            browser = playwright.chromium.launch(executable_path=executable(), args=[*FLAGS, *EXACT])
            try:
                yield Stage(server, browser, python)
            finally:
                browser.close()
        finally:
            server.stop()


def versions_of(browser: Browser) -> dict[str, str]:
    """Of the browser and of Python."""
    return {"chromium": browser.version, "python": sys.version.split()[0]}
