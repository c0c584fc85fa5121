"""Servers of the other hosts, and one executed notebook that most of these tests open."""

from __future__ import annotations

import os
from collections.abc import Iterator

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from playwright.sync_api import Browser

from tests.browser.hosts.plain_model import CLEAN
from tests.browser.lab.desk import Desk
from tests.browser.lab.server import LabServer, start

CELLS = ["import mi_widgets as mi", f"heads = mi.AttentionHeads(mi.load(), {CLEAN!r})\nheads"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    server = start(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def desk(lab: LabServer, browser: Browser) -> Iterator[Desk]:
    desk = Desk(lab, browser)
    yield desk
    desk.close()


@pytest.fixture(scope="module")
def notebook7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    server = start(tmp_path_factory.mktemp("notebook7"), app="notebook")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """Two cells, run by nbclient in a real kernel as it does by default. Copy it before changing it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    folder = tmp_path_factory.mktemp("nbclient")
    env = {**os.environ, "IPYTHONDIR": str(folder / "ipython")}
    client = NotebookClient(notebook, timeout=240, startup_timeout=200, resources={"metadata": {"path": str(folder)}})
    return client.execute(env=env)
