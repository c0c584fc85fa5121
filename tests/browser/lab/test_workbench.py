"""The workbench in the talk notebook: its views share question, edits and selection, and survive a reload."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.lab.board import chips, drag, shows

END = 14


def test_the_talk_is_given(open_notebook):
    # After the reload JupyterLab may ask for a model before it has fetched those of the kernel, and asks again.
    notebook = open_notebook("06_live_demo.ipynb", allowed=("widget model not found",))
    notebook.run_all()
    last = notebook.last_code_cell
    notebook.until_run(last)
    notebook.until_idle()
    bench = notebook.resting_widget(0)
    board = notebook.page.locator(".mi-widget.mi-board")
    expect(board).to_have_attribute("data-state", "ready")
    drag(board, (1, END))
    chips(board, 1)
    shows(notebook, last, board, [("resid_post", 0, None, END, 1.0)])

    bench.get_by_role("button", name="two views side by side").click()
    sweep = notebook.page.locator(".mi-widget.mi-sweep")
    bench.get_by_role("radio", name="Patch sweep").last.click()
    expect(sweep).to_have_attribute("data-state", "ready")
    bench.get_by_role("radio", name="Attention heads").last.click()
    heads = notebook.page.locator(".mi-widget.mi-attention-heads")
    expect(heads).to_have_attribute("data-state", "ready")
    notebook.evaluate_in_kernel(last, "bench.heads.selection = ['L0H2.pattern']")
    expect(heads).to_have_attribute("data-selection", "L0H2.pattern")
    assert "L0H2" in notebook.until_kernel_prints(last, "print(*exp.selection)", "L0H2")

    notebook.save()
    notebook.open()
    notebook.resting_widget(0)
    board = notebook.page.locator(".mi-widget.mi-board")
    expect(board).to_have_attribute("data-state", "ready")
    chips(board, 1)
    board.get_by_role("button", name="undo").first.click()
    chips(board, 0)
    shows(notebook, last, board, [])
    notebook.restart_kernel()
    expect(board).to_have_attribute("data-state", "restarted")
    # A notebook that closes while its kernel restarts complains in the next test.
    notebook.run_cell(1)
    notebook.until_run(1)
