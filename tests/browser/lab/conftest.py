"""A JupyterLab for all tests of this layer, and notebooks opened in watched tabs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.chromium import guarded
from tests.browser.lab.notebook_page import NotebookPage, write_notebook
from tests.browser.lab.server import LabServer, start

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
    server = start(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


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
def open_notebook(lab: LabServer, browser: Browser, request: pytest.FixtureRequest) -> Iterator[OpenNotebook]:
    """Open cells, or a notebook of the repository, in a tab of their own; `tab_of` opens a second tab of a first."""
    with ExitStack() as stack:
        made: list[BrowserContext] = []

        def opened(
            cells: list[str] | str,
            *,
            kernel: str = "python3",
            tab_of: NotebookPage | None = None,
            allowed: tuple[str, ...] = (),
            wait: bool = True,
        ) -> NotebookPage:
            if tab_of is not None:
                return NotebookPage(tab_of.page.context.new_page(), lab, tab_of.name).open(kernel=wait)
            if isinstance(cells, str):
                name = cells
                shutil.copy(NOTEBOOKS / cells, lab.root / cells)
            else:
                name = write_notebook(
                    lab, f"{request.node.name[:40].translate(_SAFE)}-{len(made)}.ipynb", cells, kernel
                )
            context, _ = stack.enter_context(
                guarded(browser, allowed=allowed, viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
            )
            made.append(context)
            return NotebookPage(context.new_page(), lab, name).open(kernel=wait)

        yield opened
        lab.end_sessions()


_SAFE = str.maketrans("[]/. ", "-----")
