"""The logit lens with a kernel behind the page: what the cells say is what exp.lens() gives."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from tests.browser.lab.conftest import EXPERIMENT
from tests.browser.lab.notebook_page import NotebookPage

WIDGET = "exp.base = 'clean'\nwidget = mi.LogitLens(exp)\nwidget"
POSITIONS = 15
TOLD = """
found = exp.lens(run={run!r}, measures=({measure!r},))
for i, row in enumerate(found.rows):
    for j in found.positions:
        print("cell", row.label, j, int(found.top_ids[i, j, 0]), float(found.measure({measure!r})[i, j]))
print("end", exp.model.text.label(int(found.top_ids[4, 14, 0])))
"""


def opened(open_notebook) -> tuple[NotebookPage, Locator]:
    notebook = open_notebook([EXPERIMENT, WIDGET, "pass"])
    for index in range(2):
        notebook.run_cell(index)
    notebook.until_run(1)
    widget = notebook.resting_widget(0)
    widget.locator("[data-action=lens-table]").click()
    return notebook, widget


def cells(widget: Locator) -> list[list[str]]:
    """The table in words: top token and number of each cell."""
    rows = widget.locator("[data-part=lens-grid] tbody tr")
    expect(rows).to_have_count(5)
    return [row.locator("td").all_inner_texts() for row in rows.all()]


def matches(notebook: NotebookPage, shown: list[list[str]], run: str, measure: str) -> None:
    """The numbers of the columns in view are those that Python gives, as far as they are written out."""
    told = notebook.evaluate_in_kernel(2, TOLD.format(run=run, measure=measure))
    values = [float(value) for value in re.findall(r"^cell .* (\S+)$", told, re.MULTILINE)]
    assert len(values) == 5 * POSITIONS
    width = len(shown[0])
    assert width > 5
    for row, texts in enumerate(shown):
        # A long prompt folds at its front: the answer is in view.
        given = values[(row + 1) * POSITIONS - width : (row + 1) * POSITIONS]
        for text, value in zip(texts, given, strict=True):
            (number,) = re.findall(r" ([-+−]?\d+(?:\.\d+)?)(?: nats)?(?: changed)?$", text)
            assert abs(float(number.replace("−", "-")) - value) <= 0.0051, (row, text, value)
    (end,) = re.findall(r"^end (.*)$", told, re.MULTILINE)
    assert shown[4][-1].startswith(end)


def test_an_edit_in_python_shows_the_edited_run_and_switched_off_the_old_table(open_notebook):
    notebook, widget = opened(open_notebook)
    expect(widget).to_have_attribute("data-run", "clean")
    before = cells(widget)
    matches(notebook, before, "clean", "prob")
    notebook.evaluate_in_kernel(2, "exp.edits.add(mi.Knockout(layer=0, head=[2, 3], dest=14, src=10))")
    expect(widget).to_have_attribute("data-run", "edited")
    edited = widget.locator("[data-part=edited]")
    expect(edited).to_contain_text("edited run:")
    expect(widget).to_have_attribute("data-state", "ready")
    after = cells(widget)
    assert [row[:-1] for row in after] == [row[:-1] for row in before]
    assert "changed" in after[4][-1]
    matches(notebook, after, "edited", "prob")
    edited.locator("[data-action=toggle-edit]").click()
    expect(widget).to_have_attribute("data-run", "clean")
    expect(edited).to_contain_text("edits off:")
    expect(widget).to_have_attribute("data-state", "ready")
    assert cells(widget) == before
    assert "[False]" in notebook.until_kernel_prints(2, "print([e.on for e in exp.edits.entries])", "[False]")


def test_another_run_measure_and_sublayers_are_the_kernels_own(open_notebook):
    notebook, widget = opened(open_notebook)
    widget.get_by_role("radio", name="corrupted", exact=True).click()
    expect(widget).to_have_attribute("data-run", "corrupted")
    widget.get_by_role("radio", name="entropy", exact=True).click()
    grid = widget.locator("[data-part=lens-grid] caption")
    expect(grid).to_contain_text("entropy")
    expect(widget).to_have_attribute("data-state", "ready")
    matches(notebook, cells(widget), "corrupted", "entropy")
    widget.get_by_role("radio", name="sublayers", exact=True).click()
    expect(widget.locator("[data-part=lens-grid] tbody tr")).to_have_count(17)
    assert "corrupted entropy True" in notebook.until_kernel_prints(
        2, "print(*(widget.lens[name] for name in ('run', 'measure', 'sublayers')))", "True"
    )


def test_a_working_day_of_the_lens_by_keyboard(open_notebook):
    """Two views, keys alone, a model that fails and is mended, an interrupt, and a kernel that goes."""
    notebook = open_notebook([EXPERIMENT, WIDGET, "widget", "pass"])
    for index in range(3):
        notebook.run_cell(index)
    notebook.until_run(2)
    first, second = notebook.resting_widget(0), notebook.resting_widget(1)
    keyboard, cells = notebook.page.keyboard, notebook.page.locator(".jp-Cell").count()
    first.locator("[data-part=lens] canvas").focus()
    for key in ("End", "ArrowUp", " "):
        keyboard.press(key)
    for view in (first, second):
        expect(view).to_have_attribute("data-selection", re.compile(r"^L\d\.resid_post@14$"))
    chosen = str(first.get_attribute("data-selection"))
    # Letters are JupyterLab's commands outside of a widget (a, b: new cell, d d: delete), and keys of its own inside.
    for key in ("a", "b", "d", "d", "m", "p"):
        keyboard.press(key)
    for view in (first, second):
        expect(view).to_have_attribute("data-selection", chosen)
    assert notebook.page.locator(".jp-Cell").count() == cells
    assert chosen in notebook.until_kernel_prints(3, "print(*exp.selection)", chosen)

    fails = """
def fails(*given):
    raise RuntimeError("this layer is broken")
hook = exp.model.hf.get_output_embeddings().register_forward_hook(fails)
"""
    notebook.evaluate_in_kernel(3, fails)
    first.get_by_role("radio", name="corrupted", exact=True).click()
    expect(first).to_have_attribute("data-state", "failed")
    expect(first.locator("[data-part=notice]")).to_contain_text("this layer is broken")
    expect(first).to_have_attribute("data-run", "clean")
    notebook.evaluate_in_kernel(3, "hook.remove()")
    first.get_by_role("radio", name="corrupted", exact=True).click()
    expect(first).to_have_attribute("data-run", "corrupted")
    expect(first).to_have_attribute("data-state", "ready")

    notebook.command("notebook:interrupt-kernel")
    first.get_by_role("radio", name="clean", exact=True).click()
    for view in (first, second):
        expect(view).to_have_attribute("data-run", "clean")
        expect(view).to_have_attribute("data-state", "ready")
    shown = first.locator("[data-part=lens] canvas")
    before = shown.evaluate("it => it.toDataURL()")
    notebook.restart_kernel()
    expect(first).to_have_attribute("data-state", "restarted")
    expect(first.get_by_text("The kernel was restarted", exact=True)).to_be_visible()
    assert shown.evaluate("it => it.toDataURL()") == before, "the last picture stays"
    # A notebook that closes while its kernel restarts complains in the next test.
    notebook.run_cell(0)
    notebook.until_run(0)
