"""A cancel from the page is seen within one step of the work, on every ipykernel that is supported."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.lab.conftest import SLOW

NOTED = """
import json, time
events = []
plain_cancel = Job.cancel
def noted(job, reason="user"):
    if job.op == "heads.atlas":
        events.append((job, reason, job.steps, time.monotonic()))
    return plain_cancel(job, reason)
Job.cancel = noted
widget = mi.AttentionHeads(exp)
widget
"""
# Ends when the file appears, so that nothing here depends on how fast the machine is.
BUSY = """
import pathlib, time
started = time.monotonic()
while not pathlib.Path("go").exists() and time.monotonic() - started < 60:
    time.sleep(0.01)
busy_until = time.monotonic()
"""
REPORT = """
widget.wait(60) if not events else None
print(json.dumps([
    {"reason": reason, "at": steps, "ended": job.steps, "state": job.state, "while_busy": when < busy_until}
    for job, reason, steps, when in events
]))
"""


def switch_run(widget, name: str) -> None:
    widget.get_by_role("radio", name=name, exact=True).click()


def slow_widget(open_notebook, version: str, third: str = BUSY):
    """A notebook of the slow model on one ipykernel, and its widget once it rests."""
    notebook = open_notebook([SLOW, NOTED, third, REPORT], kernel=f"mi-ipykernel-{version}")
    for index in (0, 1):
        notebook.run_cell(index)
    notebook.until_run(1)
    widget = notebook.widget()
    expect(widget).to_have_attribute("data-state", "ready", timeout=60_000)
    return notebook, widget


def report(notebook) -> list[dict]:
    return json.loads(notebook.evaluate_in_kernel(3, REPORT).strip().splitlines()[-1])


@pytest.fixture
def go(lab):
    file = lab.root / "go"
    file.unlink(missing_ok=True)
    yield file
    file.unlink(missing_ok=True)


@pytest.mark.parametrize("version", ["7.3", "7.4"])
def test_cancel_while_a_cell_runs(open_notebook, go, version):
    notebook, widget = slow_widget(open_notebook, version)
    notebook.run_cell(2)
    notebook.page.wait_for_function("document.querySelector('.jp-mod-active .jp-InputPrompt')?.textContent === '[*]:'")
    switch_run(widget, "corrupted")
    widget.get_by_role("button", name="Cancel").click(timeout=30_000)
    expect(widget).not_to_have_attribute("data-state", "running", timeout=30_000)
    go.touch()
    notebook.until_idle()
    (event,) = report(notebook)
    assert event["reason"] == "user"
    assert event["state"] == "cancelled"
    assert event["while_busy"], "the cancel was handled only after the cell had ended"
    assert event["ended"] - event["at"] <= 1, "more than one step was taken after the cancel"


def test_without_subshells_a_cancel_waits_for_the_cell_and_says_so(open_notebook, go):
    notebook, widget = slow_widget(open_notebook, "6.31")
    notebook.run_cell(2)
    switch_run(widget, "corrupted")
    expect(widget.get_by_text("Waiting for the kernel", exact=True)).to_be_visible(timeout=10_000)
    expect(widget).to_have_attribute("data-state", "waiting")
    widget.get_by_role("button", name="Cancel").click()
    expect(widget.get_by_text("Waiting for the kernel", exact=True)).to_be_hidden()
    go.touch()
    notebook.until_idle()
    (event,) = report(notebook)
    assert event["state"] == "cancelled"
    assert not event["while_busy"]
    assert event["ended"] - event["at"] <= 1


@pytest.mark.parametrize("version", ["6.31", "7.3", "7.4"])
def test_cancel_with_an_idle_kernel(open_notebook, version):
    notebook, widget = slow_widget(open_notebook, version, "busy_until = 0")
    notebook.run_cell(2)
    notebook.until_run(2)
    switch_run(widget, "corrupted")
    widget.get_by_role("button", name="Cancel").click(timeout=30_000)
    expect(widget).not_to_have_attribute("data-state", "running", timeout=30_000)
    (event,) = report(notebook)
    assert event["state"] == "cancelled"
    assert event["ended"] - event["at"] <= 1
