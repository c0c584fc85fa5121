"""A JupyterLab for all tests of this layer, and notebooks opened in its watched tab."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.lab.desk import Desk
from tests.browser.lab.notebook_page import NotebookPage, write_notebook
from tests.browser.lab.ready_kernels import PREFIX, ready_kernels
from tests.browser.lab.server import LabServer, environment, start

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"

EXPERIMENT = """
import mi_widgets as mi
exp = mi.Experiment(
    mi.load(),
    clean="When Mary and John went to the store, John gave a drink to",
    corrupted="When Mary and John went to the store, Mary gave a drink to",
    answer=" Mary", distractor=" John",
)
"""

SLOW = """
# 40 layers, each a step of the work. While the file `hold` lies here the atlas stays in its first layer unless it is
# cancelled, so that no test must be quicker than the work it watches.
import pathlib, time, torch, transformers
import mi_widgets as mi
import mi_widgets.analysis.attention as attention
from mi_widgets.jobs import Job, current_job
plain_pool = attention.pool
def held(*args, **kwargs):
    job = current_job()
    while job.op == "heads.atlas" and pathlib.Path("hold").exists() and not job.cancelled():
        time.sleep(0.01)
    return plain_pool(*args, **kwargs)
attention.pool = held
torch.manual_seed(0)
small = mi.load()
config = transformers.GPT2Config(
    vocab_size=len(small.tokenizer), n_positions=128, n_embd=64, n_layer=40, n_head=4, bos_token_id=0, eos_token_id=0
)
slow = mi.wrap(transformers.GPT2LMHeadModel(config).eval(), small.tokenizer)
words = [i for i in range(len(small.tokenizer)) if i not in small.tokenizer.all_special_ids]
ids = [words[(7 * i) % len(words)] for i in range(60)]
exp = mi.Experiment(slow, clean=ids, corrupted=ids[:-2] + [words[3], ids[-1]], answer=words[0])
"""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    folder = tmp_path_factory.mktemp("lab")
    with ready_kernels(folder / "data" / "kernels", environment(folder)):
        server = start(folder)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def desk(lab: LabServer, browser: Browser) -> Iterator[Desk]:
    desk = Desk(lab, browser)
    yield desk
    desk.close()


@pytest.fixture
def signal(lab: LabServer) -> Iterator[Callable[[str], Path]]:
    """Names files beside the notebooks, by which a test holds a kernel and lets it go; none is left behind."""
    made: list[Path] = []

    def named(name: str) -> Path:
        made.append(lab.root / name)
        made[-1].unlink(missing_ok=True)
        return made[-1]

    yield named
    for file in made:
        file.unlink(missing_ok=True)


OpenNotebook = Callable[..., NotebookPage]


@pytest.fixture
def open_notebook(desk: Desk, request: pytest.FixtureRequest) -> Iterator[OpenNotebook]:
    """Open cells, or a notebook of the repository, in JupyterLab's tab; `tab_of` opens a notebook in a second tab.

    Kernels have imported torch already, except those of the repository's notebooks.
    """
    failed_before = request.session.testsfailed

    def opened(
        cells: list[str] | str,
        *,
        kernel: str = PREFIX,
        tab_of: NotebookPage | None = None,
        allowed: tuple[str, ...] = (),
    ) -> NotebookPage:
        if tab_of is not None:
            return desk.open_in_second_tab(tab_of.name)
        if isinstance(cells, str):
            name = cells
            shutil.copy(NOTEBOOKS / cells, desk.server.root / cells)
        else:
            name = write_notebook(desk.server, f"{request.node.name[:60].translate(_SAFE)}.ipynb", cells, kernel)
        return desk.open(name, allowed)

    yield opened
    desk.clear(failed=request.session.testsfailed > failed_before)


_SAFE = str.maketrans("[]/. ", "-----")
