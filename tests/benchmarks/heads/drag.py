"""A drag on the patch board, from letting go to its effect on the screen, and the talk notebook's first drag."""

from __future__ import annotations

import random
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.lab.board import chips, drag
from tests.browser.lab.notebook_page import NotebookPage
from tests.browser.lab.server import TOKEN

from .stage import Stage

TALK = Path(__file__).parents[3] / "notebooks" / "06_live_demo.ipynb"
BOARD = """
import mi_widgets as mi
exp = mi.Experiment(
    mi.load(),
    clean="When Mary and John went to the store, John gave a drink to",
    corrupted="When Mary and John went to the store, Mary gave a drink to",
    answer=" Mary", distractor=" John",
)
board = mi.PatchBoard(exp)
board
"""
DRAGS = 40
REST = 0.4
TALKS = 3
# What any notebook with a Hugging Face model waits for.
IMPORTS = """
import time
started = time.perf_counter()
import torch, transformers, transformers.models.gpt2.modeling_gpt2
print(time.perf_counter() - started)
"""
# Of a drop, until the frame that shows the effect of the new list is laid out, painted and handed over; of a move over
# a finished map, until the effect of its cell is in the page. Both are drawn in an animation frame, and what is posted
# from there is heard when that frame is done.
WATCH = """root => {
  const effect = root.querySelector('[data-part=effect]');
  const told = window.told = { dropped: [], followed: [] };
  const { port1, port2 } = new MessageChannel();
  let [moved, dropped, rev] = [0, 0, ''];
  window.addEventListener('mi-widgets:drag', () => { moved = performance.now(); });
  window.addEventListener('pointerup', () => {
    [dropped, rev] = [performance.now(), root.dataset.questionRev];
  }, true);
  port1.onmessage = () => {
    if (dropped) told.dropped.push(performance.now() - dropped);
    dropped = 0;
  };
  const look = () => {
    const { boardRev, questionRev } = root.dataset;
    if (dropped && questionRev !== rev && boardRev === questionRev && effect.dataset.of === 'run')
      port2.postMessage(null);
  };
  new MutationObserver(look).observe(root, { attributeFilter: ['data-board-rev', 'data-question-rev'] });
  new MutationObserver(() => {
    look();
    if (effect.dataset.of === 'map') told.followed.push(performance.now() - moved);
  }).observe(effect, { attributeFilter: ['data-of'] });
}"""


@dataclass(frozen=True)
class Drags:
    """What was measured.

    Attributes:
        dropped: ms from letting go to the effect of the new list on the screen, of each drag.
        followed: ms from the move that comes over a cell of a finished map to the effect of that cell.
        talk: seconds from opening the talk notebook, in a JupyterLab that is there, to the effect of a first drag.
        cold: the same with JupyterLab to be loaded into the tab first.
        imports: seconds that torch and transformers take to be imported in a kernel, which are in both.
    """

    dropped: tuple[float, ...]
    followed: tuple[float, ...]
    talk: float
    cold: float
    imports: float


def measure(stage: Stage) -> Drags:
    """Drag random cells of a board, each taken back; then the talk."""
    with stage.notebook("drag", [BOARD]) as tab:
        tab.run(0)
        board = tab.notebook.resting_widget()
        _mapped(board)
        tab.page.evaluate(WATCH, board.element_handle())
        dice = random.Random(0)
        for _ in range(DRAGS):
            drag(board, (dice.randint(1, 4), dice.randint(10, 14)))
            # Who drives the page asks it nothing meanwhile: it has two cores for itself and the kernel.
            time.sleep(REST)
            chips(board, 1)
            board.locator("[data-action=remove-edit]").click()
            chips(board, 0)
            _mapped(board)
        told = tab.page.evaluate("told")
    # Every other one is the click that takes the patch back.
    turns = [(_talk(stage, cold=False), _talk(stage, cold=True), _imports(stage)) for _ in range(TALKS)]
    talk, cold, imports = (statistics.median(column) for column in zip(*turns, strict=True))
    return Drags(tuple(told["dropped"][::2]), tuple(told["followed"]), talk, cold, imports)


def _mapped(board: Locator) -> None:
    """Wait until the map of what is carried is finished."""
    expect(board.locator("[data-part=provenance]")).not_to_contain_text("map of")


def _imports(stage: Stage) -> float:
    with stage.notebook("imports", [IMPORTS]) as tab:
        tab.run(0)
        return float(tab.notebook.output(0))


def _talk(stage: Stage, *, cold: bool) -> float:
    """Seconds from opening the notebook to the effect of its first drag; `cold` = with JupyterLab to load."""
    shutil.copy(TALK, stage.server.root / TALK.name)
    context = stage.browser.new_context(viewport={"width": 1600, "height": 1000})
    try:
        page = context.new_page()
        notebook = NotebookPage(page, stage.server, TALK.name)
        if not cold:
            page.goto(f"{stage.server.url}/lab?token={TOKEN}&reset", wait_until="commit")
            page.wait_for_function("!!window.jupyterapp")
            page.evaluate("jupyterapp.restored")
        started = time.perf_counter()
        (notebook.open if cold else notebook.open_in_the_running_lab)()
        notebook.run_all()
        board = page.locator(".mi-widget.mi-board").first
        board.wait_for(timeout=60_000)
        expect(board).to_have_attribute("data-ready", "true")
        # Until then the output is drawn anew, which ends a drag.
        notebook.until_pictured()
        drag(board, (1, 14))
        chips(board, 1)
        return time.perf_counter() - started
    finally:
        context.close()
        stage.server.end_sessions()
