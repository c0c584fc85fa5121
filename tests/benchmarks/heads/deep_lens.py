"""A logit lens of 40 layers and 512 tokens on a live model: what is sent as it opens, how long the page is busy."""

from __future__ import annotations

from dataclasses import dataclass

from .live import MODEL
from .stage import Stage
from .wire import data_bytes

WARM = "mi.LogitLens(mi.load(), 'When Mary and John went to the store')"
SHOWN = "widget = mi.LogitLens(exp)\nwidget"
DRAWN = """() => {
  const root = document.querySelector('.jp-Cell .mi-widget.mi-lens[data-ready]');
  return root && root.dataset.lensRev !== "0" ? performance.now() : null;
}"""


@dataclass(frozen=True)
class DeepLens:
    """What was measured.

    Attributes:
        drawn: seconds from running the cell to the table on the canvas.
        bytes: data sent before the first interaction.
        opening, moving: longest task of the page's main thread until the widget rested, and while the pointer and the
            arrow keys moved over its cells, ms.
    """

    drawn: float
    bytes: int
    opening: float
    moving: float


def measure(stage: Stage, layers: int = 40, tokens: int = 512) -> DeepLens:
    """Open it, let it rest, then move over it."""
    setup = f"{MODEL}\nhf, exp = model_of({layers}, 8, 128, {tokens})"
    with stage.notebook("deep-lens", [setup, WARM, SHOWN]) as tab:
        tab.run(0)
        tab.run(1)
        tab.clear()
        tab.forget()
        started = tab.page.evaluate("performance.now()")
        tab.notebook.run_cell(2)
        drawn = tab.page.wait_for_function(DRAWN, polling="raf").json_value()
        widget = tab.notebook.resting_widget()
        tab.until_pictured(2)
        tab.page.evaluate("probe.rest()")
        sent = data_bytes(tab.messages())
        opening = max((it["ms"] for it in tab.notes("stalls")), default=0.0)
        tab.forget()
        canvas = widget.locator("[data-part=lens] canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        for step in range(200):
            across, down = (step * 7 % 100) / 100, (step * 3 % 80) / 100
            tab.page.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
        canvas.focus()
        for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown") * 10:
            tab.page.keyboard.press(key)
        tab.page.evaluate("probe.rest()")
        moving = max((it["ms"] for it in tab.notes("stalls")), default=0.0)
    return DeepLens((drawn - started) / 1000, sent, opening, moving)
