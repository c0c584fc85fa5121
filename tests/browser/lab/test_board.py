"""The patch board as a person uses it in the getting-started notebook: every number is that of a run."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab.board import Keys, Patch, Pointer, chips, drag, point, shows
from tests.browser.lab.conftest import EXPERIMENT
from tests.browser.lab.notebook_page import NotebookPage

END = 14
PATCHES: list[Patch] = [("resid_post", 0, None, END, 1.0), ("mlp_out", 1, None, END, 1.0), ("z", 2, 1, END, 1.0)]
HELD = """
# While the file `hold` lies here the model stays in a board's run unless that is cancelled.
import pathlib, time
from mi_widgets.jobs import current_job
def held(*given):
    job = current_job()
    while job and job.op == "board.run" and pathlib.Path("hold").exists() and not job.cancelled():
        time.sleep(0.01)
exp.model.hf.get_output_embeddings().register_forward_hook(held)
"""
WIDGET = "model = exp.model\nboard = mi.PatchBoard(exp)\nboard"


@pytest.mark.parametrize("hands", [Pointer, Keys])
def test_three_patches_are_runs_and_stay_so_after_a_reload(open_notebook, hands):
    # After the reload JupyterLab may ask for a model before it has fetched those of the kernel, and asks again.
    notebook = open_notebook("01_getting_started.ipynb", allowed=("widget model not found",))
    notebook.run_all()
    last = notebook.last_code_cell
    notebook.until_run(last)
    notebook.until_idle()
    board = notebook.resting_widget(1)
    by = hands(board)
    shows(notebook, last, board, [])

    by.drop(1, END)
    shows(notebook, last, board, PATCHES[:1])
    by.carry("mlp")
    by.drop(2, END)
    shows(notebook, last, board, PATCHES[:2])
    by.carry("z")
    by.heads_at(END)
    by.drop(3, 1)
    shows(notebook, last, board, PATCHES)

    alpha = by.halve()
    assert 0.3 < alpha < 0.7
    weaker = [(*PATCHES[0][:4], alpha), *PATCHES[1:]]
    shows(notebook, last, board, weaker)
    by.undo()
    shows(notebook, last, board, PATCHES)
    by.undo()
    shows(notebook, last, board, PATCHES[:2])
    by.redo()
    shows(notebook, last, board, PATCHES)
    by.redo()
    shows(notebook, last, board, weaker)

    notebook.save()
    notebook.open()
    board = notebook.resting_widget(1)
    by = hands(board)
    shows(notebook, last, board, weaker)
    by.undo()
    by.undo()
    shows(notebook, last, board, PATCHES[:2])
    by.redo()
    shows(notebook, last, board, PATCHES)


def opened(open_notebook, *more: str, first: str = "") -> tuple[NotebookPage, Locator]:
    cells = [f"{EXPERIMENT}\n{first}", WIDGET, *more, "pass"]
    notebook = open_notebook(cells)
    for index in range(len(cells) - 1):
        notebook.run_cell(index)
    notebook.until_run(len(cells) - 2)
    return notebook, notebook.resting_widget(0)


def test_keys_put_back_and_remove_and_leave_the_notebook_alone(open_notebook):
    notebook, board = opened(open_notebook)
    press = board.page.keyboard.press
    cells = notebook.page.locator(".jp-Cell").count()
    by = Keys(board)
    by.drop(1, END)
    chips(board, 1)
    clean = board.locator("canvas[data-grid=clean]")
    clean.focus()
    # Letters are JupyterLab's commands outside of a widget (a, b: new cell, d d: delete), and keys of its own inside.
    for key in ("a", "b", "d", "d", "m"):
        press(key)
    press("Enter")
    expect(board).to_have_attribute("data-carrying", "keyboard")
    press("Escape")
    expect(board).to_have_attribute("data-carrying", "")
    chips(board, 1)
    shows(notebook, 2, board, PATCHES[:1])
    board.locator("[data-action=toggle-edit]").first.focus()
    press("Delete")
    chips(board, 0)
    assert notebook.page.locator(".jp-Cell").count() == cells
    shows(notebook, 2, board, [])


@pytest.mark.parametrize("how", ["two boards", "one widget in two cells"])
def test_two_views_show_one_list(open_notebook, how):
    notebook, first = opened(open_notebook, "mi.PatchBoard(exp)" if how == "two boards" else "board")
    second = notebook.resting_widget(1)
    drag(first, (1, END))
    for board in (first, second):
        chips(board, 1)
    shows(notebook, 3, second, PATCHES[:1])
    second.locator("[data-action=remove-edit]").first.click()
    for board in (first, second):
        chips(board, 0)
    shows(notebook, 3, first, [])


def test_a_run_that_is_cancelled_leaves_the_patch_and_can_be_run_again(open_notebook, signal):
    hold = signal("hold")
    notebook, board = opened(open_notebook, first=HELD)
    before = board.locator("[data-part=effect] canvas").get_attribute("data-after")
    hold.touch()
    drag(board, (1, END))
    board.get_by_role("button", name="Cancel").click()
    expect(board.get_by_text("Cancelled", exact=True)).to_be_visible()
    expect(board.locator(".mi-edit")).to_have_count(1)
    assert board.locator("[data-part=effect] canvas").get_attribute("data-after") == before
    hold.unlink()
    board.get_by_role("button", name="Retry").click()
    shows(notebook, 2, board, PATCHES[:1])


def test_a_failing_model_and_a_restart_are_told_and_nothing_is_lost(open_notebook):
    notebook, board = opened(open_notebook)
    drag(board, (1, END))
    chips(board, 1)
    fails = """
def fails(*given):
    raise RuntimeError("this layer is broken")
hook = model.hf.get_output_embeddings().register_forward_hook(fails)
"""
    notebook.evaluate_in_kernel(2, fails)
    board.locator("[data-action=toggle-edit]").first.click()
    expect(board).to_have_attribute("data-state", "failed")
    expect(board.locator("[data-part=notice]")).to_contain_text("this layer is broken")
    notebook.evaluate_in_kernel(2, "hook.remove()")
    board.locator("[data-action=toggle-edit]").first.click()
    expect(board).to_have_attribute("data-state", "ready")
    notebook.evaluate_in_kernel(2, "print([entry.on for entry in exp.edits.entries])")
    picture = board.locator("canvas[data-grid=clean]").evaluate("it => it.toDataURL()")
    notebook.restart_kernel()
    expect(board).to_have_attribute("data-state", "restarted")
    assert board.locator("canvas[data-grid=clean]").evaluate("it => it.toDataURL()") == picture
    assert point(board, "clean", 1, END)
    # A notebook that closes while its kernel restarts complains in the next test.
    notebook.run_cell(0)
    notebook.until_run(0)
