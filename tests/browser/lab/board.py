"""Where things lie on a patch board in a notebook, how hands use it, and what its numbers are by plain hooks."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.lab.notebook_page import NotebookPage

HOOKS = """
import json, torch
plain = model.hf
ids = {run: torch.tensor([exp.prompt(run).prompts[0].ids]) for run in ("clean", "corrupted")}
answer, distractor = exp.answer.ids[0][0], exp.distractor.ids[0][0]
blocks, d_head = plain.transformer.h, model.d_head
# Where each site is in this model: the module that it enters, or leaves.
PLACES = {
    "resid_pre": lambda layer: (blocks[layer], "in"),
    "resid_post": lambda layer: (blocks[layer], "out"),
    "attn_out": lambda layer: (blocks[layer].attn, "out"),
    "mlp_out": lambda layer: (blocks[layer].mlp, "out"),
    "z": lambda layer: (blocks[layer].attn.c_proj, "in"),
}
def hooked(run, changes=()):
    "The logits at the end of a run with changes [(site, layer, function of [position, d])]."
    handles = []
    for site, layer, change in changes:
        module, side = PLACES[site](layer)
        def before(_, given, change=change):
            x = given[0].clone(); change(x[0]); return (x, *given[1:])
        def after(_, given, out, change=change):
            x = (out[0] if isinstance(out, tuple) else out).clone(); change(x[0])
            return (x, *out[1:]) if isinstance(out, tuple) else x
        hook = module.register_forward_pre_hook(before) if side == "in" else module.register_forward_hook(after)
        handles.append(hook)
    try:
        with torch.no_grad():
            return plain(ids[run]).logits[0, -1]
    finally:
        for handle in handles: handle.remove()
def patched(patches):
    "patches: [(site, layer, head, position, alpha)] of the clean run, laid over the corrupted one."
    kept = {}
    hooked("clean", [(s, l, lambda x, k=(s, l): kept.__setitem__(k, x.clone())) for s, l, *_ in patches])
    def change(site, layer, head, position, alpha):
        part = slice(None) if head is None else slice(head * d_head, (head + 1) * d_head)
        def write(x):
            x[position, part] += alpha * (kept[site, layer][position, part] - x[position, part])
        return site, layer, write
    return hooked("corrupted", [change(*one) for one in patches])
def difference(logits):
    return float(logits[answer] - logits[distractor])
"""
"""By plain hooks on the model of an experiment: what a list of patches gives."""

_TOLD = """
found = exp.run()
runs = {{"clean": hooked("clean"), "corrupted": hooked("corrupted"), "patched": patched({patches!r})}}
chances = {{run: logits.softmax(-1).tolist() for run, logits in runs.items()}}
print(json.dumps({{
    "metric": found.metric, "recovered": found.recovered,
    **{{run: difference(logits) for run, logits in runs.items()}},
    "tokens": {{model.text.label(i): both for i, both in enumerate(zip(chances["corrupted"], chances["patched"]))}},
}}))
"""

Patch = tuple[str, int, "int | None", int, float]
"""Site, layer, head, position, strength."""


def point(board: Locator, grid: str, row: int, column: int) -> tuple[float, float]:
    """The middle of a cell in page coordinates."""
    canvas = board.locator(f"canvas[data-grid={grid}]")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    names = (canvas.get_attribute("data-rows") or "").split()
    tops = [float(top) for top in (canvas.get_attribute("data-tops") or "").split()]
    first, left, cell, top = (float(canvas.get_attribute(f"data-{it}") or 0) for it in ("first", "left", "cell", "top"))
    line = names.index(str(row))
    return box["x"] + left + (column - first + 0.5) * cell, box["y"] + top + (tops[line] + tops[line + 1]) / 2


def drag(board: Locator, cell: tuple[int, int], target: tuple[int, int] | None = None) -> None:
    """Carry a cell (row, column) of the clean grid onto the corrupted one, by pointer."""
    mouse = board.page.mouse
    board.locator("canvas[data-grid=corrupted]").scroll_into_view_if_needed()
    mouse.move(*point(board, "clean", *cell))
    mouse.down()
    mouse.move(*point(board, "corrupted", *(target or cell)), steps=8)
    mouse.up()


class Pointer:
    """A board used with the mouse.

    Args:
        board: the widget.
    """

    def __init__(self, board: Locator) -> None:
        self.board = board

    def carry(self, name: str) -> None:
        """Choose what is carried."""
        self.board.locator(f"[role=radiogroup][aria-label=carry] [data-name='{name}']").click()

    def heads_at(self, position: int) -> None:
        """Choose the position at which heads are carried."""
        self.board.locator(f"[data-token='{position}']").click()

    def drop(self, row: int, column: int) -> None:
        """Carry a cell of the clean grid onto its place in the corrupted one."""
        drag(self.board, (row, column))

    def halve(self) -> float:
        """Move the strength of the first patch to about a half; gives where it is."""
        slider = self.board.locator("input[data-input=alpha]").first
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None
        mouse, height = self.board.page.mouse, box["y"] + box["height"] / 2
        # The handle is at the right end.
        mouse.move(box["x"] + box["width"] - 6, height)
        mouse.down()
        mouse.move(box["x"] + box["width"] / 2, height, steps=4)
        mouse.up()
        return float(slider.input_value())

    def undo(self) -> None:
        """Take the last change back."""
        self.board.locator("[data-action=undo]").click()

    def redo(self) -> None:
        """Make it again."""
        self.board.locator("[data-action=redo]").click()


_WAY = """(it, selector) => {
  const [here, there] = [document.activeElement, it.querySelector(selector)];
  if (here === there) return null;
  return here.compareDocumentPosition(there) & Node.DOCUMENT_POSITION_FOLLOWING ? "Tab" : "Shift+Tab";
}"""
"""The key that leads on to an element of the board; none where the focus is there."""


class Keys:
    """A board used by keys alone. It is entered at the clean grid; from there Tab leads to everything else.

    Args:
        board: the widget.
    """

    def __init__(self, board: Locator) -> None:
        self.board, self.press = board, board.page.keyboard.press

    def _go(self, selector: str) -> None:
        """Press Tab, or Shift and Tab, until the focus is there."""
        if not self.board.evaluate("it => it.contains(document.activeElement)"):
            self.board.locator("canvas[data-grid=clean]").focus()
        for _ in range(60):
            key = self.board.evaluate(_WAY, selector)
            if key is None:
                return
            self.press(key)
        raise AssertionError(f"no way by Tab to {selector}")

    def carry(self, name: str) -> None:
        """Choose what is carried: arrows choose as they move."""
        group = "[role=radiogroup][aria-label=carry]"
        self._go(f"{group} [tabindex='0']")
        chosen = self.board.locator(f"{group} [aria-checked=true]")
        for _ in range(10):
            before = chosen.get_attribute("data-name")
            if before == name:
                return
            self.press("ArrowRight")
            # The choice is drawn in a frame of its own.
            expect(chosen).not_to_have_attribute("data-name", before or "")
        raise AssertionError(f"the arrows do not lead to {name}")

    def heads_at(self, position: int) -> None:
        """Choose the position at which heads are carried."""
        self._go("[data-token][tabindex='0']")
        for _ in range(position):
            self.press("ArrowRight")
        self.press("Space")

    def drop(self, row: int, column: int) -> None:
        """Carry a cell of the clean grid onto its place in the corrupted one."""
        self._go("canvas[data-grid=clean]")
        for key in ("Home", "PageUp", *["ArrowDown"] * row, *["ArrowRight"] * column, "Enter"):
            self.press(key)
        expect(self.board).to_have_attribute("data-carrying", "keyboard")
        self.press("Tab")
        self.press("Enter")

    def halve(self) -> float:
        """Move the strength of the first patch to about a half; gives where it is."""
        self._go("input[data-input=alpha]")
        slider = self.board.locator("input[data-input=alpha]").first
        for _ in range(60):
            if float(slider.input_value()) <= 0.5:
                break
            self.press("PageDown")
        half = float(slider.input_value())
        self.press("Tab")
        return half

    def undo(self) -> None:
        """Take the last change back."""
        self._go("canvas[data-grid=clean]")
        self.press("Control+z")

    def redo(self) -> None:
        """Make it again."""
        self._go("canvas[data-grid=clean]")
        self.press("Control+Shift+z")


def chips(board: Locator, count: int) -> None:
    """Wait until the list has so many patches, and what is shown is of them."""
    expect(board.locator(".mi-edit")).to_have_count(count)
    settled(board)


def settled(board: Locator) -> None:
    """Wait until the effect that is shown is that of the live list."""
    expect(board).to_have_attribute("data-state", "ready")
    board.page.wait_for_function(
        """it => it.dataset.boardRev === it.dataset.questionRev
          && it.querySelector('[data-part=effect]').dataset.of === 'run'""",
        arg=board.element_handle(),
    )


def plain_numbers(notebook: NotebookPage, cell: int, patches: list[Patch]) -> dict[str, Any]:
    """What `exp.run()` gives for the live list, and what plain hooks give for these patches."""
    told = notebook.evaluate_in_kernel(cell, HOOKS + _TOLD.format(patches=patches))
    numbers: dict[str, Any] = json.loads(told.strip().splitlines()[-1])
    return numbers


def shows(notebook: NotebookPage, cell: int, board: Locator, patches: list[Patch]) -> None:
    """What the board shows is what `exp.run()` and plain hooks give: within 1e-4, or as far as it is written out."""
    settled(board)
    expect(board.locator(".mi-edit")).to_have_count(len(patches))
    sites = [str(chip.get_attribute("data-site")) for chip in board.locator(".mi-edit").all()]
    wanted = [f"L{layer}{'' if head is None else f'H{head}'}.{site}@{at}" for site, layer, head, at, _ in patches]
    assert sites == wanted, f"{sites}, not {wanted}"
    strengths = [float(it.input_value()) for it in board.locator("input[data-input=alpha]").all()]
    assert strengths == [alpha for *_, alpha in patches]
    told = plain_numbers(notebook, cell, patches)
    clean, corrupted = told["clean"], told["corrupted"]
    assert abs(told["metric"] - told["patched"]) <= 1e-4
    assert abs(told["recovered"] - (told["patched"] - corrupted) / (clean - corrupted)) <= 1e-4
    line = board.locator("[data-part=effect] canvas")
    assert abs(float(line.get_attribute("data-after") or "nan") - told["patched"]) <= 1e-4
    words = (line.get_attribute("aria-label") or "").replace("−", "-")
    assert re.search(rf"\b{abs(round(told['recovered'] * 100))} % recovered", words), words
    for run in ("clean", "corrupted"):
        (shown,) = re.findall(rf"\b{run} (-?[\d.]+)", words)
        assert abs(float(shown) - told[run]) <= 0.0051, words
    rows = board.locator("[data-part=effect-tokens] .mi-next")
    assert rows.count() > 2
    for row in rows.all():
        name = row.locator("span[title][dir=auto]").first.get_attribute("title")
        shown = re.findall(r"\d[\d.e-]*", row.locator(".mi-bar-value").inner_text())
        for text, chance in zip(shown, told["tokens"][name], strict=True):
            # Two decimals, or two digits of what is smaller.
            assert abs(float(text) - chance) <= max(1e-4, 0.0051 if chance > 0.004 else 0.051 * chance)
