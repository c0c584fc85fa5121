"""A notebook that was executed elsewhere, opened in JupyterLab and not run."""

from __future__ import annotations

from copy import deepcopy

import nbformat
import pytest
from nbformat.sign import NotebookNotary
from playwright.sync_api import expect

from tests.browser.hosts.live_widget import drawn_widget
from tests.browser.hosts.plain_model import CLEAN, plain_patterns
from tests.browser.lab.atlas import assert_shows, atlas_canvas, read_atlas

# anywidget loads a widget's script through a blob's address.
WATCH_SCRIPTS = """() => {
  window.scripts = [];
  const made = URL.createObjectURL;
  URL.createObjectURL = (blob) => {
    if (/javascript/.test(blob.type)) window.scripts.push(blob.size);
    return made.call(URL, blob);
  };
}"""


@pytest.fixture
def opened(desk, request):
    """Opens a notebook of the served folder and gives the page, on which the loading of scripts is watched."""
    failed_before = request.session.testsfailed

    def opened(name):
        desk.page.evaluate(WATCH_SCRIPTS)
        return desk.open(name).page

    yield opened
    desk.clear(failed=request.session.testsfailed > failed_before)


def put(lab, name, notebook, *, signed):
    nbformat.write(notebook, lab.root / name)
    if signed:
        NotebookNotary(data_dir=str(lab.root.parent / "data")).sign(nbformat.read(lab.root / name, 4))
    return name


def trusted(page) -> bool:
    cells = "window.jupyterapp.shell.currentWidget.content.widgets"
    return page.evaluate(f"() => {cells}.every(cell => cell.model.type !== 'code' || cell.model.trusted)")


@pytest.mark.parametrize("state", ["without state", "with state"])
def test_untrusted_it_shows_the_picture(lab, opened, executed, state):
    notebook = deepcopy(executed)
    if state == "without state":
        # As JupyterLab saves it by default.
        del notebook.metadata["widgets"]
    page = opened(put(lab, f"untrusted {state}.ipynb", notebook, signed=False))
    assert not trusted(page)
    picture = page.locator(".jp-OutputArea img")
    expect(picture).to_be_visible()
    assert picture.evaluate("img => img.decode().then(() => img.naturalWidth)") == 2 * picture.bounding_box()["width"]
    expect(page.locator(".mi-widget")).to_have_count(0)
    if state == "without state":
        assert page.evaluate("window.scripts") == []


def test_trusted_it_draws_from_its_state(lab, opened, executed):
    """The kernel that JupyterLab starts for it knows nothing of the widget."""
    page = opened(put(lab, "trusted.ipynb", executed, signed=True))
    assert trusted(page)
    widget = drawn_widget(page)
    assert page.evaluate("window.scripts.length") > 0
    expect(widget).to_have_attribute("data-state", "offline")
    expect(widget).to_contain_text("Opened without a kernel")
    expect(widget.get_by_role("button", name="prompt").first).to_have_attribute("aria-disabled", "true")
    pixels = read_atlas(widget)
    assert_shows(pixels, plain_patterns(CLEAN))

    # Still to be explored: pointing at a head shows it large.
    for layer, head in ((2, 1), (0, 3)):
        x, y = pixels.origin(layer, head)
        atlas_canvas(widget).hover(position={"x": x + pixels.thumb / 2, "y": y + pixels.thumb / 2})
        expect(widget.locator("[data-part=focus]")).to_contain_text(f"L{layer}.H{head}")
