"""A widget's page and kernel in a working day: two views, two tabs, a reload, a restart, another theme."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.lab.atlas import atlas_canvas, click_head, read_atlas
from tests.browser.lab.conftest import EXPERIMENT, SLOW

WIDGET = "widget = mi.AttentionHeads(exp)\nwidget"


def run_cells(notebook, count: int) -> None:
    for index in range(count):
        notebook.run_cell(index)
    notebook.until_run(count - 1)


def test_two_views_of_one_widget_share_everything(open_notebook):
    notebook = open_notebook([EXPERIMENT, WIDGET, "widget", "pass"])
    run_cells(notebook, 3)
    first, second = notebook.resting_widget(0), notebook.resting_widget(1)
    click_head(first, 1, 2)
    for view in (first, second):
        expect(view).to_have_attribute("data-selection", "L1H2.pattern")
        expect(view.locator("[data-part=focus]")).to_contain_text("L1.H2")
    assert "L1H2.pattern" in notebook.until_kernel_prints(3, "print(*exp.selection)", "L1H2")
    second.get_by_role("radio", name="difference", exact=True).click()
    for view in (first, second):
        expect(view).to_have_attribute("data-run", "difference")
        expect(view).to_have_attribute("data-state", "ready")
    notebook.evaluate_in_kernel(3, "widget.selection = ['L3H0.pattern']")
    for view in (first, second):
        expect(view).to_have_attribute("data-selection", "L3H0.pattern")


def test_two_widgets_of_one_experiment_show_one_selection_and_one_question(open_notebook):
    notebook = open_notebook([EXPERIMENT, WIDGET, "other = mi.AttentionHeads(exp)\nother", "pass"])
    run_cells(notebook, 3)
    first, second = notebook.resting_widget(0), notebook.resting_widget(1)
    click_head(first, 2, 0)
    expect(second).to_have_attribute("data-selection", "L2H0.pattern")
    rev = second.get_attribute("data-question-rev")
    first.get_by_role("button", name="swap answer and distractor").click()
    for view in (first, second):
        expect(view).not_to_have_attribute("data-question-rev", str(rev))
        expect(view).to_have_attribute("data-state", "ready")
        expect(view.get_by_role("button", name=re.compile("^answer: .?John"))).to_be_visible()
    assert "(' John',)" in notebook.evaluate_in_kernel(3, "print(exp.answer.texts[0])")


def test_two_tabs_follow_one_kernel(open_notebook):
    notebook = open_notebook([EXPERIMENT, WIDGET, "pass"])
    run_cells(notebook, 2)
    first = notebook.resting_widget()
    notebook.save()
    other = open_notebook([], tab_of=notebook)
    second = other.resting_widget()
    click_head(first, 0, 3)
    expect(second).to_have_attribute("data-selection", "L0H3.pattern")
    replies = second.get_attribute("data-replies")
    first.get_by_role("radio", name="corrupted", exact=True).click()
    for view in (first, second):
        expect(view).to_have_attribute("data-run", "corrupted")
        expect(view).to_have_attribute("data-state", "ready")
    assert second.get_attribute("data-replies") == replies, "the other tab took replies that were not its own"


def test_reload_during_a_run_shows_the_run_and_its_result(open_notebook, signal):
    notebook = open_notebook([SLOW, WIDGET, "pass"])
    run_cells(notebook, 2)
    widget = notebook.resting_widget()
    notebook.save()
    hold = signal("hold")
    hold.touch()
    widget.get_by_role("radio", name="corrupted", exact=True).click()
    expect(widget.get_by_text("0 of 40 layers", exact=True)).to_be_visible()
    notebook.open()
    hold.unlink()
    widget = notebook.resting_widget()
    expect(widget).to_have_attribute("data-run", "corrupted")
    expect(widget).to_have_attribute("data-state", "ready")
    assert len(set(map(tuple, read_atlas(widget).cells(0, 0, 48).reshape(-1, 3)))) > 5


def test_kernel_restart_keeps_the_picture_and_says_what_to_do(open_notebook):
    notebook = open_notebook([EXPERIMENT, WIDGET])
    run_cells(notebook, 2)
    widget = notebook.resting_widget()
    before = read_atlas(widget).rgb
    notebook.restart_kernel()
    expect(widget).to_have_attribute("data-state", "restarted")
    expect(widget.get_by_text("The kernel was restarted", exact=True)).to_be_visible()
    assert (read_atlas(widget).rgb == before).all()
    run_cells(notebook, 2)
    expect(notebook.widget()).to_have_attribute("data-state", "ready")


def test_dark_theme_redraws_at_once(open_notebook):
    notebook = open_notebook([EXPERIMENT, WIDGET])
    run_cells(notebook, 2)
    widget = notebook.resting_widget()
    light = read_atlas(widget).rgb.mean()
    notebook.theme("JupyterLab Dark")
    expect(widget).to_have_attribute("data-theme", "dark")
    notebook.page.wait_for_function(
        "c => { const p = c.getContext('2d').getImageData(2, 2, 1, 1).data; return p[0] + p[1] + p[2] < 200; }",
        arg=atlas_canvas(widget).element_handle(),
    )
    assert read_atlas(widget).rgb.mean() < light - 100
    notebook.theme("JupyterLab Light")
    expect(widget).to_have_attribute("data-theme", "light")


def test_keyboard_alone_selects_a_head_and_leaves_the_notebook_alone(open_notebook):
    notebook = open_notebook([EXPERIMENT, WIDGET, "pass"])
    run_cells(notebook, 2)
    widget = notebook.resting_widget()
    cells = notebook.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")
    atlas_canvas(widget).focus()
    for key in ("Home", "ArrowDown", "ArrowRight", "ArrowDown", " "):
        notebook.page.keyboard.press(key)
    expect(widget).to_have_attribute("data-selection", re.compile(r"^L\dH\d\.pattern$"))
    chosen = widget.get_attribute("data-selection")
    # Single letters are JupyterLab's commands (a: new cell, d d: delete): inside the widget they must not reach it.
    for key in ("a", "b", "d", "d", "m"):
        notebook.page.keyboard.press(key)
    assert notebook.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length") == cells
    assert chosen in notebook.until_kernel_prints(2, "print(*exp.selection)", chosen)
    atlas_canvas(widget).focus()
    notebook.page.keyboard.press("Escape")
    expect(widget).to_have_attribute("data-selection", "")


def test_a_bad_answer_is_refused_in_the_widget_and_changes_nothing(open_notebook):
    notebook = open_notebook([EXPERIMENT, WIDGET, "pass"])
    run_cells(notebook, 2)
    widget = notebook.resting_widget()
    widget.locator("[data-action=answer]").click()
    field = widget.locator("[data-input=answer]")
    field.fill(" Supercalifragilistic")
    field.press("Enter")
    expect(widget).to_have_attribute("data-state", "failed")
    expect(widget.locator("[data-part=notice]")).to_contain_text("Supercalifragilistic")
    assert "(' Mary',)" in notebook.evaluate_in_kernel(2, "print(exp.answer.texts[0])")
