"""Twelve layers of twelve heads from the cell to the picture: ours, CircuitsVis and BertViz on the same tensors."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .peers import SERVED
from .stage import Stage, Tab
from .wire import Message, carries_atlas, data_bytes, shows_widget

SETUP = f"""
import circuitsvis as cv, torch
import mi_widgets as mi
from bertviz import model_view
from circuitsvis.utils import render
from IPython.display import HTML, display

render.internet_on = lambda: True  # Instead of asking a search engine at each display.
NETWORK = f"https://unpkg.com/circuitsvis@{{cv.__version__}}/dist/cdn/esm.js"

def made(layers, heads, length):
    torch.manual_seed(0)
    scores = 2 * torch.randn(layers, heads, length, length)
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    return scores.masked_fill(hidden, -torch.inf).softmax(-1), [f"token{{i}}" for i in range(length)]

def circuitsvis_heads(attention, tokens):
    names = [f"L{{l}}H{{h}}" for l in range(attention.shape[0]) for h in range(attention.shape[1])]
    shown = cv.attention.attention_heads(attention=attention.flatten(0, 1), tokens=tokens, attention_head_names=names)
    display(HTML(shown.show_code().replace(NETWORK, "{SERVED}/circuitsvis.js")))

def bertviz_heads(attention, tokens):
    model_view(list(attention[:, None]), tokens, display_mode="light")

tiny, small, large = made(2, 2, 4), made(12, 12, 64), made(12, 12, 256)
"""
OURS, CIRCUITSVIS, BERTVIZ, LARGE = range(4, 8)
CELLS = [
    SETUP,
    "display(mi.AttentionHeads.from_arrays(tiny[1], tiny[0]))",
    "circuitsvis_heads(*tiny)",
    "bertviz_heads(*tiny)",
    "attention, tokens = small\nmi.AttentionHeads.from_arrays(tokens, attention)",
    "attention, tokens = small\ncircuitsvis_heads(attention, tokens)",
    "attention, tokens = small\nbertviz_heads(attention, tokens)",
    "attention, tokens = large\nmi.AttentionHeads.from_arrays(tokens, attention)",
]
HEADS, LENGTH = 144, 64
WHOLE = {
    OURS: "node.querySelector('.mi-widget[data-state=ready][data-ready=true] [data-part=atlas] canvas[data-rev]')",
    # One more canvas for the head that is shown large.
    CIRCUITSVIS: f"node.getElementsByTagName('canvas').length >= {HEADS}",
    BERTVIZ: f"node.getElementsByTagName('line').length === {HEADS * LENGTH * LENGTH}",
}
WHOLE[LARGE] = WHOLE[OURS]
# The thumbnails of all heads; the pattern of the head in focus is still fetched.
DRAWN = "node.querySelector('.mi-widget:not([data-atlas-rev=\"0\"]) [data-part=atlas] canvas[data-rev]')"

# Colours in the middle half of each canvas, or in each thumbnail of ours: a blank one has one.
_BLANK = """() => {
  const colours = (canvas, x, y, width, height) => {
    const data = canvas.getContext('2d').getImageData(x, y, width, height).data;
    return new Set(new Uint32Array(data.buffer)).size;
  };
  const atlas = document.querySelector('.jp-Cell .mi-widget [data-part=atlas] canvas');
  const whole = [...document.querySelectorAll('.jp-Cell canvas')].filter((it) => !it.closest('.mi-widget'));
  const counts = whole.map((it) => colours(it, 0, 0, it.width, it.height));
  if (atlas) {
    const ratio = atlas.width / atlas.getBoundingClientRect().width;
    const { thumb, left, top, pitchX, pitchY } = atlas.dataset;
    for (let layer = 0; layer < 12; layer++)
      for (let head = 0; head < 12; head++)
        counts.push(colours(atlas, (+left + head * pitchX) * ratio, (+top + layer * pitchY) * ratio,
          thumb * ratio, thumb * ratio));
  }
  return { canvases: counts.length, blank: counts.filter((it) => it < 8).length };
}"""


@dataclass
class Shown:
    """One way of showing the heads.

    Attributes:
        seconds: from running the cell to the picture, each round.
        bytes: that the kernel sent in all, without program text.
        early: those of them until the picture stood.
        whole: all bytes with program text.
    """

    seconds: list[float] = field(default_factory=list)
    bytes: int = 0
    early: int = 0
    whole: int = 0


@dataclass
class FirstPaint:
    """What was measured.

    Attributes:
        shown: by the name of the library.
        after_data: ms from the message after which the page had all it needs to the atlas, 12 x 12 at 256 tokens.
        focus: ms from then to the last change, which is the exact pattern of the head in focus.
        large_bytes: that the kernel sent for it before anybody touched it, without program text.
        large_early: those of them until the last change.
        parts: where a median round of ours at 64 tokens spent its time, in ms.
    """

    shown: dict[str, Shown]
    after_data: list[float]
    focus: list[float]
    large_bytes: int
    large_early: int
    parts: dict[str, float]


def measure(stage: Stage, rounds: int, say: Callable[[str], None] = lambda text: None) -> FirstPaint:
    """Everybody in turn, in one tab; what is first shown of each, small, is not counted.

    Args:
        stage: the running parts.
        rounds: of everybody.
        say: told how it goes, since it takes minutes.
    """
    shown = {"ours": Shown(), "circuitsvis": Shown(), "bertviz": Shown()}
    cells = dict(zip((OURS, CIRCUITSVIS, BERTVIZ), shown, strict=True))
    after: list[float] = []
    focus: list[float] = []
    parts: list[dict[str, float]] = []
    large_bytes = large_early = 0
    template = (Path(stage.python) / "bertviz" / "model_view.js").read_text(encoding="utf-8")
    scripts = [part for part in template.split("PYTHON_PARAMS") if len(part) > 100]
    with stage.notebook("first-paint", CELLS) as tab:
        tab.run(0)
        for cell in (1, 2, 3):
            tab.run(cell)
        # BertViz's script runs before the loader that it needs has come; the second time it is there.
        tab.page.wait_for_function("window.requirejs")
        tab.run(3)
        tab.page.wait_for_function("document.querySelectorAll('svg line').length === 64")
        for turn in range(rounds):
            for cell, name in cells.items():
                if cell == BERTVIZ and turn:
                    continue  # It takes minutes, and is nowhere near.
                tab.clear()
                found = tab.timed(cell, WHOLE[cell])
                _check(tab, cell)
                shown[name].seconds.append((found["end"] - found["start"]) / 1000)
                say(f"round {turn + 1} of {rounds}: {name} {shown[name].seconds[-1]:.2f} s")
                if cell == OURS:
                    tab.until_pictured(cell)
                    parts.append(_parts(found, tab.messages()))
                if turn == 0:
                    messages = tab.messages()
                    shown[name].bytes = data_bytes(messages, scripts)
                    shown[name].early = data_bytes(until(found["end"], messages), scripts)
                    shown[name].whole = sum(message.size for message in messages)
            tab.clear()
            found = tab.timed(LARGE, WHOLE[LARGE], DRAWN)
            _check(tab, LARGE)
            tab.until_pictured(LARGE)
            messages = tab.messages()
            after.append(found["drawn"] - first_shown(messages))
            focus.append(found["end"] - first_shown(messages))
            large_bytes = max(large_bytes, data_bytes(messages))
            large_early = max(large_early, data_bytes(until(found["end"], messages)))
    typical = {name: statistics.median(part[name] for part in parts) for name in parts[0]}
    return FirstPaint(shown, after, focus, large_bytes, large_early, typical)


def until(end: float, messages: Sequence[Message]) -> list[Message]:
    """Those that had come by then."""
    return [message for message in messages if message.at <= end]


def first_shown(messages: Sequence[Message]) -> float:
    """When the page had all that the picture needs, in ms: thumbnails of all heads, and the output to draw them in."""
    whole = min(it.at for it in messages if carries_atlas(it) and "state" in it.content["data"])
    return max(whole, *(it.at for it in messages if shows_widget(it)))


def _parts(found: dict[str, float], messages: Sequence[Message]) -> dict[str, float]:
    def last(which: Any) -> float:
        return max((it.at for it in messages if which(it)), default=found["start"]) - found["start"]

    opened = min((it.at for it in messages if it.kind == "comm_open"), default=found["start"]) - found["start"]
    return {
        "widget opened": opened,
        "thumbnails there": last(carries_atlas),
        "output there": last(shows_widget),
        "last change": found["changed"] - found["start"],
        "picture": found["end"] - found["start"],
    }


def _check(tab: Tab, cell: int) -> None:
    """Raise when something that was timed is not there."""
    if cell == BERTVIZ:
        return  # Its lines were counted.
    found = tab.page.evaluate(_BLANK)
    if found["canvases"] < HEADS or found["blank"]:
        raise RuntimeError(f"Cell {cell} was timed, but {found['blank']} of {found['canvases']} pictures are blank.")
