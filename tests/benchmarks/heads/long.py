"""A prompt of 4,096 tokens: what is sent when a head is opened, zoomed into and moved about in."""

from __future__ import annotations

from dataclasses import dataclass

from tests.browser.lab.atlas import click_head

from .live import MODEL
from .stage import Stage, Tab
from .wire import Message, data_bytes

SHOWN = "widget = mi.AttentionHeads(exp)\nwidget"
ZOOMS = 8


@dataclass(frozen=True)
class Step:
    """What one gesture brought.

    Attributes:
        name: of the gesture.
        bytes: that the kernel sent.
        cells: of the largest pattern in it.
        stall: longest task of the page's main thread, ms.
    """

    name: str
    bytes: int
    cells: int
    stall: float


@dataclass(frozen=True)
class Long:
    """What was measured.

    Attributes:
        steps: in the order in which they were done.
        shown: pixels of the screen that the focus has for cells.
        whole: cells of the whole pattern of one head.
        atlas: bytes sent until the atlas stood.
    """

    steps: tuple[Step, ...]
    shown: int
    whole: int
    atlas: int


def measure(stage: Stage, tokens: int = 4096) -> Long:
    """Open a head, zoom in, pan, and zoom out again."""
    setup = f"{MODEL}\nhf, exp = model_of(4, 8, 64, {tokens})"
    with stage.notebook("long", [setup, SHOWN]) as tab:
        tab.run(0)
        tab.forget()
        tab.run(1)
        widget = tab.notebook.resting_widget()
        atlas = data_bytes(tab.messages())
        canvas = widget.locator("[data-part=focus] canvas")
        steps = [_step(tab, "open a head", lambda: click_head(widget, 3, 5))]
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.6
        ratio = tab.page.evaluate("devicePixelRatio")

        def zoom(by: int) -> None:
            canvas.focus()
            tab.page.mouse.move(x, y)
            for _ in range(ZOOMS):
                tab.page.mouse.wheel(0, by)

        def pan() -> None:
            tab.page.mouse.move(x, y)
            tab.page.mouse.down()
            tab.page.mouse.move(x - 80, y - 60, steps=12)
            tab.page.mouse.up()

        steps.append(_step(tab, "zoom in", lambda: zoom(-200)))
        steps += [_step(tab, f"pan {turn + 1}", pan) for turn in range(3)]
        steps.append(_step(tab, "zoom out", lambda: zoom(200)))
        shown = int((box["width"] * ratio) * (box["height"] * ratio))
    return Long(tuple(steps), shown, tokens * tokens, atlas)


def _step(tab: Tab, name: str, act: object) -> Step:
    assert callable(act)
    tab.forget()
    act()
    # What a gesture asks for is asked once it rests.
    tab.page.evaluate("probe.rest()")
    tab.notebook.resting_widget()
    tab.page.wait_for_function("!document.querySelector('[data-part=focus][aria-busy=true]')")
    messages = tab.messages()
    stall = max((it["ms"] for it in tab.notes("stalls")), default=0.0)
    return Step(name, data_bytes(messages), max(map(pattern_cells, messages), default=0), stall)


def pattern_cells(message: Message) -> int:
    """How many cells of a pattern a message holds."""
    data = message.content.get("data", {}) if message.kind == "comm_msg" else {}
    array = data.get("content", {}).get("arrays", {}).get("pattern")
    if array is None:
        return 0
    found = 1
    for length in array["shape"]:
        found *= length
    return int(found)
