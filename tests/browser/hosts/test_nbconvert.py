"""nbconvert: what a reader of the HTML page sees with no network at all."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy

import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect
from traitlets.config import Config

from tests.browser.chromium import guarded

# nbconvert's template asks these for formulas and for its module loader, whatever is in the notebook.
TEMPLATE = "https://cdnjs.cloudflare.com/ajax/libs/"
BLOCKED = "Failed to load resource: net::ERR_INTERNET_DISCONNECTED"
MANAGER = "https://unpkg.com/@jupyter-widgets/html-manager"


@contextmanager
def page_of(browser, folder, notebook, config=None, allowed=()):
    """The notebook as a web page, read offline; also gives the addresses it asked for."""
    html, _ = HTMLExporter(config=config).from_notebook_node(notebook)
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    with guarded(browser, allowed=(TEMPLATE, BLOCKED, *allowed), viewport={"width": 1200, "height": 900}) as (
        context,
        _,
    ):
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        context.set_offline(True)
        page = context.new_page()
        page.goto(path.as_uri())
        yield page, asked


@pytest.mark.parametrize("how", ["saved by JupyterLab", "converted without its metadata"])
def test_the_picture_is_on_the_page(browser, tmp_path, executed, how):
    notebook, config = deepcopy(executed), None
    if how == "saved by JupyterLab":
        # JupyterLab saves no widget state unless it is told to.
        del notebook.metadata["widgets"]
    else:
        config = Config(ClearMetadataPreprocessor={"enabled": True})
    with page_of(browser, tmp_path, notebook, config) as (page, asked):
        picture = page.locator(".jp-OutputArea img")
        expect(picture).to_have_count(1)
        expect(picture).to_be_visible()
        assert (
            picture.evaluate("img => img.decode().then(() => img.naturalWidth)") == 2 * picture.bounding_box()["width"]
        )
        assert all(url.startswith((TEMPLATE, "file:", "data:")) for url in asked), asked


def test_with_widget_state_the_page_needs_a_network(browser, tmp_path, executed):
    """nbconvert prefers the widget to the picture, and takes what draws widgets from the network."""
    with page_of(browser, tmp_path, executed, allowed=(MANAGER,)) as (page, asked):
        page.wait_for_load_state("load")
        expect(page.locator(".jp-OutputArea img")).to_have_count(0)
        expect(page.locator(".mi-widget")).to_have_count(0)
        assert any(url.startswith(MANAGER) for url in asked), asked
