"""Makes the README's picture: the getting-started notebook run in JupyterLab, one head chosen, the widget photographed.

Run with `make picture`.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.browser.chromium import FLAGS, executable
from tests.browser.lab.atlas import click_head
from tests.browser.lab.notebook_page import NotebookPage
from tests.browser.lab.server import start

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
OUT = NOTEBOOKS / "images" / "attention_heads.png"
CHOSEN = (2, 0)
"""The head that moves the name most: see the model card."""


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = start(Path(folder))
        try:
            shutil.copy(NOTEBOOKS / "01_getting_started.ipynb", server.root)
            browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
            page = browser.new_page(
                viewport={"width": 1700, "height": 1100}, device_scale_factor=1.5, reduced_motion="reduce"
            )
            notebook = NotebookPage(page, server, "01_getting_started.ipynb").open()
            notebook.command("application:toggle-left-area")
            notebook.run_all()
            notebook.until_run(notebook.last_code_cell)
            notebook.until_idle()
            widget = notebook.widget()
            widget.get_by_role("radio", name="logit effect", exact=True).click()
            click_head(widget, *CHOSEN)
            expect(widget).to_have_attribute("data-state", "ready")
            page.mouse.move(0, 0)
            OUT.parent.mkdir(exist_ok=True)
            widget.screenshot(path=OUT, animations="disabled", caret="hide")
            print(OUT)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
