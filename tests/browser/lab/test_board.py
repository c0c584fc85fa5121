"""The patch board as a person uses it in the getting-started notebook: every number is that of a run."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab.board import Patch, chips, drag, point, shows
from tests.browser.lab.conftest import EXPERIMENT
from tests.browser.lab.notebook_page import NotebookPage

END = 14
PATCHES: list[Patch] = [("resid_post", 0, None, END, 1.0), ("mlp_out", 1, None, END, 1.0), ("z", 2, 1, END, 1.0)]
WIDGET = "model = exp.model\nboard = mi.PatchBoard(exp)\nboard"


def carry(board: Locator, name: str) -> None:
    board.get_by_role("radio", name=name, exact=True).click()
    expect(board).to_have_attribute("data-state", "ready")


def test_drags_are_runs_and_stay_so_after_a_reload(open_notebook):
    # After the reload JupyterLab may ask for a model before it has fetched those of the kernel, and asks again.
    notebook = open_notebook("01_getting_started.ipynb", allowed=("widget model not found",))
    notebook.run_all()
    last = notebook.last_code_cell
    notebook.until_run(last)
    notebook.until_idle()
    board = notebook.resting_widget(1)
    shows(notebook, last, board, [])

    drag(board, (1, END))
    chips(board, 1)
    shows(notebook, last, board, PATCHES[:1])
    carry(board, "MLP")
    drag(board, (2, END))
    chips(board, 2)
    shows(notebook, last, board, PATCHES[:2])
    carry(board, "head z")
    board.locator(f"[data-token='{END}']").click()
    drag(board, (3, 1))
    chips(board, 3)
    shows(notebook, last, board, PATCHES)

    strength = board.locator("input[data-input=alpha]").first
    strength.focus()
    for _ in range(100):
        if float(strength.input_value()) <= 0.5:
            break
        board.page.keyboard.press("ArrowLeft")
    board.page.keyboard.press("Tab")
    half = [(*PATCHES[0][:4], 0.5), *PATCHES[1:]]
    expect(board.locator(".mi-edit").first).to_contain_text("0.50")
    shows(notebook, last, board, half)

    undo, redo = (board.get_by_role("button", name=name) for name in ("undo", "redo"))
    while "1.00" not in board.locator(".mi-edit").first.inner_text():
        undo.first.click()
        shows_rev(board)
    shows(notebook, last, board, PATCHES)
    undo.first.click()
    chips(board, 2)
    shows(notebook, last, board, PATCHES[:2])
    redo.first.click()
    chips(board, 3)
    shows(notebook, last, board, PATCHES)

    notebook.save()
    notebook.open()
    board = notebook.resting_widget(1)
    chips(board, 3)
    shows(notebook, last, board, PATCHES)
    undo = board.get_by_role("button", name="undo")
    undo.first.click()
    chips(board, 2)
    shows(notebook, last, board, PATCHES[:2])


def shows_rev(board: Locator) -> None:
    """Wait until the question that the board shows is the newest."""
    expect(board).to_have_attribute("data-state", "ready")
    board.page.wait_for_function("it => it.dataset.boardRev === it.dataset.questionRev", arg=board.element_handle())


def opened(open_notebook, *more: str) -> tuple[NotebookPage, Locator]:
    cells = [EXPERIMENT, WIDGET, *more, "pass"]
    notebook = open_notebook(cells)
    for index in range(len(cells) - 1):
        notebook.run_cell(index)
    notebook.until_run(len(cells) - 2)
    return notebook, notebook.resting_widget(0)


def test_the_same_by_keyboard_alone(open_notebook):
    notebook, board = opened(open_notebook)
    press = board.page.keyboard.press
    clean = board.locator("canvas[data-grid=clean]")

    def pick_up_and_drop(*keys: str) -> None:
        clean.focus()
        for key in (*keys, "Enter"):
            press(key)
        expect(board).to_have_attribute("data-carrying", "keyboard")
        press("Tab")
        press("Enter")

    pick_up_and_drop("Home", "PageUp", "End", "ArrowDown")
    chips(board, 1)
    shows(notebook, 2, board, PATCHES[:1])
    # The kernel was asked through a cell: back to the board.
    clean.focus()
    press("Control+z")
    chips(board, 0)
    press("Control+Shift+z")
    chips(board, 1)
    shows(notebook, 2, board, PATCHES[:1])
    clean.focus()
    press("Enter")
    expect(board).to_have_attribute("data-carrying", "keyboard")
    press("Escape")
    expect(board).to_have_attribute("data-carrying", "")
    chips(board, 1)
    board.locator("[data-action=toggle-edit]").first.focus()
    press("Delete")
    chips(board, 0)
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
