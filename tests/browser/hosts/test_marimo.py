"""marimo: shown as it is or through `mo.ui.anywidget`, the widget is alive; the latter also feeds other cells."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import IMPORTS, guarded
from tests.browser.hosts.live_widget import assert_alive
from tests.browser.lab.atlas import click_head
from tests.browser.lab.server import free_port

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def marimo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the app, served by `marimo run` from a folder of its own: marimo keeps files beside an app."""
    folder = tmp_path_factory.mktemp("marimo")
    app = shutil.copy(Path(__file__).with_name("marimo_app.py"), folder)
    port, log = free_port(), folder / "log"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MARIMO", "XDG", "PYTEST"))}
    env |= {"HOME": str(folder), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "marimo", "run", "--headless", "--no-token", "--host", "127.0.0.1"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port), app], cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 200
        while not answers(f"{url}/health"):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("marimo did not start:\n" + log.read_text()[-3000:])
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def opened(browser, url):
    """The page of the app, and its two widgets once they have drawn."""
    with guarded(browser, viewport={"width": 1400, "height": 2000}) as (context, _):
        page = context.new_page()
        page.goto(url, wait_until="commit")
        widgets = page.locator(".mi-widget[data-ready]")
        # The first page of a server waits for torch to be imported.
        widgets.nth(1).wait_for(timeout=IMPORTS)
        yield page, widgets


def test_draws_answers_and_reruns(marimo, browser):
    with opened(browser, marimo) as (_, widgets):
        assert_alive(widgets.nth(0))


def test_a_selection_runs_the_cells_that_use_it(marimo, browser):
    with opened(browser, marimo) as (page, widgets):
        expect(page.get_by_text("on the wire")).to_have_text("on the wire [], in Python ()")
        click_head(widgets.nth(1), 1, 3)
        site = "Site(kind='pattern', layer=1, head=3, position=None, src=None)"
        expect(page.get_by_text("on the wire")).to_have_text(f"on the wire ['L1H3.pattern'], in Python ({site},)")
