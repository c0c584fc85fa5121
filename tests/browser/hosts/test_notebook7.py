"""Notebook 7: the widget is as alive as in JupyterLab."""

from __future__ import annotations

from tests.browser.chromium import guarded
from tests.browser.hosts.conftest import CELLS
from tests.browser.hosts.live_widget import assert_alive, drawn_widget
from tests.browser.hosts.plain_model import ASKED
from tests.browser.lab.notebook_page import NotebookPage, write_notebook

# Notebook 7.6 stumbles over its own shortcuts while it opens any notebook, before a cell has run.
STUMBLE = "Cannot read properties of undefined (reading 'schema')"


def test_draws_answers_and_reruns(notebook7, browser):
    name = write_notebook(notebook7, "heads.ipynb", [*CELLS, ""])
    with guarded(browser, allowed=(STUMBLE,), viewport={"width": 1400, "height": 1000}) as (context, _):
        notebook = NotebookPage(context.new_page(), notebook7, name, route="notebooks").open()
        notebook.run_all()
        widget = drawn_widget(notebook.page)
        notebook.until_pictured()
        assert_alive(widget)
        wanted = f"L2H1.pattern {ASKED}"
        code = "print(*heads.selection, heads.question['prompts']['clean']['text'])"
        assert notebook.until_kernel_prints(2, code, wanted).strip() == wanted
    notebook7.end_sessions()
