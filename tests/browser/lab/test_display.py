"""A widget is displayed before its result is there; the picture for readers without a kernel follows unnoticed."""

from __future__ import annotations

import base64
import io

from PIL import Image
from playwright.sync_api import expect

from tests.browser.lab.conftest import SLOW

# What each frame of the page shows of the widget: which views there are.
WATCH = """() => {
  window.seen = new Set();
  const look = () => {
    const roots = [...document.querySelectorAll(".jp-Cell .mi-widget")];
    window.seen.add(roots.map((root) => root.dataset.first ?? "other").join() || "none");
    requestAnimationFrame(look);
  };
  document.querySelector(".jp-Cell .mi-widget").dataset.first = "first";
  look();
}"""
PICTURE = """() => window.jupyterapp.shell.currentWidget.content.widgets[1].model.outputs.toJSON()
  .map((output) => output.data?.["image/png"]).find(Boolean)"""


def test_the_cell_ends_before_the_result_and_the_view_stays_when_its_picture_comes(open_notebook, signal):
    hold = signal("hold")
    hold.touch()
    notebook = open_notebook([SLOW, "widget = mi.AttentionHeads(exp)\nwidget"])
    page = notebook.page
    for index in (0, 1):
        notebook.run_cell(index)
        notebook.until_run(index)
    widget = page.locator(".jp-Cell .mi-widget")
    # The atlas is held in its first layer, and yet the cell has ended and the widget is there.
    expect(widget).to_have_attribute("data-state", "loading")
    assert "The picture follows" in notebook.output(1)
    button = widget.locator("button").first
    button.focus()
    page.evaluate(WATCH)
    hold.unlink()

    picture = page.wait_for_function(PICTURE).json_value()
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    assert min(image.size) > 400
    expect(widget).to_have_attribute("data-ready", "true")
    expect(widget).to_have_count(1)
    expect(button).to_be_focused()
    assert page.evaluate("[...window.seen]") == ["first"]
    assert "The picture follows" not in notebook.output(1)
