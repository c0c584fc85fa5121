"""A notebook open in JupyterLab, driven as a person drives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import ElementHandle, Locator, Page, expect
from playwright.sync_api import TimeoutError as Late

from tests.browser.chromium import IMPORTS
from tests.browser.lab.server import TOKEN, LabServer

_READY = """async () => {
  const panel = window.jupyterapp?.shell.currentWidget;
  if (!panel?.context?.sessionContext) return false;
  await panel.context.ready;
  const session = panel.context.sessionContext;
  await session.ready;
  const kernel = session.session?.kernel;
  return !!kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def write_notebook(server: LabServer, name: str, cells: list[str], kernel: str = "python3") -> str:
    """A notebook of code cells in the served folder; returns its name."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    nbformat.write(notebook, server.root / name)
    return name


class NotebookPage:
    """A notebook in a browser tab.

    Args:
        page: the tab.
        server: the JupyterLab it talks to.
        name: the notebook's file name.
        route: where the server shows notebooks: `notebooks` is Notebook 7.
    """

    def __init__(self, page: Page, server: LabServer, name: str, route: str = "lab/tree") -> None:
        self.page, self.server, self.name, self.route = page, server, name, route

    def open(self, *, kernel: bool = True) -> NotebookPage:
        """Open it and wait until its kernel is connected and idle (or, without a kernel, until it is drawn)."""
        self.page.goto(f"{self.server.url}/{self.route}/{self.name}?token={TOKEN}&reset", wait_until="commit")
        self.page.wait_for_selector(".jp-Notebook")
        if kernel:
            self.until_idle()
        return self

    def open_in_the_running_lab(self, *, kernel: bool = True) -> NotebookPage:
        """Open it as `open` does, in a tab that shows JupyterLab already."""
        self.command("docmanager:open", {"path": self.name})
        self.page.wait_for_function("name => jupyterapp.shell.currentWidget?.context?.path === name", arg=self.name)
        self.page.wait_for_selector(".jp-Notebook")
        if kernel:
            self.until_idle()
        return self

    def until_idle(self) -> None:
        """Wait until the kernel is connected and has nothing to do."""
        self.page.wait_for_function(_READY)

    def command(self, name: str, args: dict[str, Any] | None = None) -> None:
        """Run a JupyterLab command; does not wait for it, since some never resolve."""
        self.page.evaluate("([name, args]) => { window.jupyterapp.commands.execute(name, args); }", [name, args or {}])

    @property
    def last_code_cell(self) -> int:
        """Index of the last cell that holds code."""
        return int(
            self.page.evaluate(
                "window.jupyterapp.shell.currentWidget.content.widgets.findLastIndex((c) => c.model.type === 'code')"
            )
        )

    def run_all(self) -> None:
        """Run all cells and return at once."""
        self.command("notebook:run-all-cells")

    def run_cell(self, index: int) -> None:
        """Run one cell and return at once."""
        self.page.evaluate(
            "i => { const n = window.jupyterapp.shell.currentWidget.content; n.deselectAll(); n.activeCellIndex = i; }",
            index,
        )
        self.command("notebook:run-cell")

    def until_run(self, index: int, timeout: float = IMPORTS) -> None:
        """Wait until a cell has finished (its prompt shows a number).

        Raises:
            AssertionError: it never will, since a cell before it failed; or it has not in time. Shows all cells.
        """
        wait = """i => {
          const cells = window.jupyterapp.shell.currentWidget.content.widgets.slice(0, i + 1);
          const cell = cells[i];
          const run = /^\\[?\\d+\\]?:?$/.test(cell.promptNode?.textContent?.trim() ?? '')
            || typeof cell.model.executionCount === 'number' && cell.model.executionState !== 'running';
          const failed = (c) => (c.model.outputs?.toJSON() ?? []).some((o) => o.output_type === 'error');
          return run ? 'run' : cells.some(failed) ? 'failed' : null;
        }"""
        try:
            how = self.page.wait_for_function(wait, arg=index, timeout=timeout).json_value()
        except Late:
            how = "late"
        assert how == "run", f"cell {index} did not run ({how}):\n{self.cells()}"

    def cells(self) -> str:
        """Every cell's prompt and output, and how the kernel is: for the message of a test that failed."""
        kernel = self.page.evaluate(
            """() => {
              const session = window.jupyterapp.shell.currentWidget?.context?.sessionContext;
              return `${session?.session?.kernel?.connectionStatus} ${session?.session?.kernel?.status}`;
            }"""
        )
        prompts = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets.map(
              (c) => `${c.promptNode?.textContent} ${c.model.executionCount} ${c.model.executionState}`)"""
        )
        shown = [f"cell {i}: {prompt}\n{self.output(i)}" for i, prompt in enumerate(prompts)]
        return "\n".join([f"kernel: {kernel}", *shown])

    def until_prints(self, index: int, text: str, timeout: float = IMPORTS) -> None:
        """Wait until a cell, which may still run, has printed something."""
        self.page.wait_for_function(
            """([i, text]) => {
              const cell = window.jupyterapp.shell.currentWidget.content.widgets[i];
              return JSON.stringify(cell.model.outputs?.toJSON() ?? []).includes(text);
            }""",
            arg=[index, text],
            timeout=timeout,
        )

    def output(self, index: int) -> str:
        """The text that a cell printed."""
        return str(
            self.page.evaluate(
                """i => {
                  const cell = window.jupyterapp.shell.currentWidget.content.widgets[i];
                  const outputs = cell.model.outputs?.toJSON() ?? [];
                  const text = (o) => o.text ?? o.data?.['text/plain'] ?? (o.traceback ?? []).join('\\n');
                  return outputs.map(text).map((t) => (Array.isArray(t) ? t.join('') : (t ?? ''))).join('\\n');
                }""",
                index,
            )
        )

    def set_source(self, index: int, source: str) -> None:
        """Write a cell's source."""
        self.page.evaluate(
            "([i, s]) => { window.jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.setSource(s); }",
            [index, source],
        )

    def evaluate_in_kernel(self, index: int, source: str, timeout: float = IMPORTS) -> str:
        """Write a cell, run it, and give back what it printed."""
        before = self.page.evaluate(
            "i => window.jupyterapp.shell.currentWidget.content.widgets[i].model.executionCount", index
        )
        self.set_source(index, source)
        self.run_cell(index)
        self.page.wait_for_function(
            """([i, before]) => {
              const model = window.jupyterapp.shell.currentWidget.content.widgets[i].model;
              const count = model.executionCount;
              return count !== before && count !== null && model.executionState !== 'running';
            }""",
            arg=[index, before],
            timeout=timeout,
        )
        self.until_idle()
        return self.output(index)

    def until_kernel_prints(self, index: int, source: str, expected: str, tries: int = 20) -> str:
        """Run a cell again until it prints something: what the page did travels to the kernel by itself."""
        printed = ""
        for _ in range(tries):
            printed = self.evaluate_in_kernel(index, source)
            if expected in printed:
                break
        return printed

    def widgets(self) -> Locator:
        """All widgets of ours on the page."""
        return self.page.locator(".mi-widget")

    def widget(self, index: int = 0, timeout: float = IMPORTS) -> Locator:
        """One widget, once it has drawn: its picture may still grow."""
        root = self.widgets().nth(index)
        root.and_(self.page.locator("[data-ready]")).wait_for(timeout=timeout)
        return root

    def resting_widget(self, index: int = 0) -> Locator:
        """One widget, once its picture is whole and nothing runs."""
        root = self.widget(index)
        expect(root).to_have_attribute("data-state", "ready")
        self.until_pictured()
        return root

    def until_pictured(self) -> None:
        """Wait until the static pictures have followed their widgets: each draws its output anew."""
        self.page.wait_for_function(
            """() => window.jupyterapp.shell.currentWidget.content.widgets.every(
              (cell) => !JSON.stringify(cell.model.outputs?.toJSON() ?? []).includes("The picture follows"))"""
        )

    def save(self) -> Path:
        """Save the notebook and give its path."""
        self.page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.context.save(); }")
        return self.server.root / self.name

    def restart_kernel(self) -> None:
        """Restart the kernel and confirm the question that comes up."""
        # The old kernel is idle too: what is waited for is the new one.
        self.page.evaluate(
            """() => {
              const kernel = window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
              window.restarting = false;
              kernel.statusChanged.connect((_, status) => { window.restarting ||= status === 'restarting'; });
            }"""
        )
        self.command("kernelmenu:restart")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.wait_for_selector(".jp-Dialog", state="detached")
        self.page.wait_for_function("window.restarting")
        self.until_idle()

    def theme(self, name: str) -> None:
        """Switch JupyterLab's theme, and wait until its splash has left the page.

        JupyterLab takes the splash out 200 ms after a switch and throws when a second switch falls into that time.
        """
        self.command("apputils:change-theme", {"theme": name})
        light = "true" if "Light" in name else "false"
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light && !document.getElementById('jupyterlab-splash')",
            arg=light,
        )


def attribute_number(root: Locator | ElementHandle, name: str) -> int:
    """A data attribute as a number (0 when it is not there)."""
    return int(root.get_attribute(name) or 0)
