"""A cancel from the page is seen within one step of the work, on every ipykernel that is supported."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.lab.conftest import SLOW
from tests.browser.lab.ready_kernels import PREFIX

# ipykernel before 7.4 can leave a request unread that comes while a reply is sent (ipython/ipykernel#1554), until
# something else wakes its stream: here a clock does.
WOKEN = """
import tornado.ioloop
kernel = get_ipython().kernel
def wake():
    tornado.ioloop.PeriodicCallback(lambda: kernel.shell_stream.flush(), 500).start()
kernel.shell_channel_thread.io_loop.add_callback(wake)
"""
NOTED = """
import json, time
events = []
plain_cancel = Job.cancel
def noted(job, reason="user"):
    if job.op == "heads.atlas" and not job.cancelled():
        events.append((job, reason, job.steps, time.monotonic()))
    return plain_cancel(job, reason)
Job.cancel = noted
widget = mi.AttentionHeads(exp)
widget
"""
# Ends when the file appears, so that nothing here depends on how fast the machine is.
BUSY = """
import pathlib, time
print("busy")
started = time.monotonic()
while not pathlib.Path("go").exists() and time.monotonic() - started < 200:
    time.sleep(0.01)
busy_until = time.monotonic()
"""
# A cancel is accepted at once, and settles the job when its step has ended.
REPORT = """
def settled(job):
    try:
        job.wait(60)
    except mi.Cancelled:
        pass
    return job
print(json.dumps([
    {"reason": reason, "at": steps, "ended": settled(job).steps, "state": job.state, "while_busy": when < busy_until}
    for job, reason, steps, when in events
]))
"""


def switch_run(widget, name: str) -> None:
    widget.get_by_role("radio", name=name, exact=True).click()


def slow_widget(open_notebook, version: str, third: str = BUSY):
    """A notebook of the slow model on one ipykernel, and its widget once it rests."""
    first = WOKEN + SLOW if version == "7.3" else SLOW
    notebook = open_notebook([first, NOTED, third, REPORT, "pass"], kernel=f"{PREFIX}-{version}")
    for index in (0, 1):
        notebook.run_cell(index)
    notebook.until_run(1)
    assert notebook.evaluate_in_kernel(4, "print(__import__('ipykernel').__version__)").startswith(f"{version}.")
    return notebook, notebook.resting_widget()


def cancel_in_the_first_layer(widget) -> None:
    """Ask for another run, see that the kernel works on it, and cancel it."""
    switch_run(widget, "corrupted")
    expect(widget.get_by_text("0 of 40 layers", exact=True)).to_be_visible()
    widget.get_by_role("button", name="Cancel").click()
    expect(widget).to_have_attribute("data-state", "ready")


def report(notebook) -> list[dict]:
    return json.loads(notebook.evaluate_in_kernel(3, REPORT).strip().splitlines()[-1])


@pytest.mark.parametrize("version", ["7.3", "7.4"])
def test_cancel_while_a_cell_runs(open_notebook, signal, version):
    go = signal("go")
    notebook, widget = slow_widget(open_notebook, version)
    notebook.run_cell(2)
    notebook.until_prints(2, "busy")
    signal("hold").touch()
    cancel_in_the_first_layer(widget)
    go.touch()
    notebook.until_run(2)
    (event,) = report(notebook)
    assert event["reason"] == "user"
    assert event["state"] == "cancelled"
    assert event["while_busy"], "the cancel was handled only after the cell had ended"
    assert event["ended"] - event["at"] <= 1, "more than one step was taken after the cancel"


def test_without_subshells_a_cancel_waits_for_the_cell_and_says_so(open_notebook, signal):
    go = signal("go")
    notebook, widget = slow_widget(open_notebook, "6.31")
    notebook.run_cell(2)
    notebook.until_prints(2, "busy")
    signal("hold").touch()
    switch_run(widget, "corrupted")
    expect(widget.get_by_text("Waiting for the kernel", exact=True)).to_be_visible()
    expect(widget).to_have_attribute("data-state", "waiting")
    widget.get_by_role("button", name="Cancel").click()
    expect(widget.get_by_text("Waiting for the kernel", exact=True)).to_be_hidden()
    go.touch()
    notebook.until_run(2)
    (event,) = report(notebook)
    assert event["state"] == "cancelled"
    assert not event["while_busy"]
    assert event["ended"] - event["at"] <= 1


@pytest.mark.parametrize("version", ["6.31", "7.3", "7.4"])
def test_cancel_with_an_idle_kernel(open_notebook, signal, version):
    notebook, widget = slow_widget(open_notebook, version, "busy_until = 0")
    notebook.run_cell(2)
    notebook.until_run(2)
    signal("hold").touch()
    cancel_in_the_first_layer(widget)
    (event,) = report(notebook)
    assert event["state"] == "cancelled"
    assert event["ended"] - event["at"] <= 1
