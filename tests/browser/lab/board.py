"""Where things lie on a patch board in a notebook, and what its numbers are by plain hooks."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from tests.browser.lab.notebook_page import NotebookPage

HOOKS = """
import torch
plain = model.hf
ids = {{run: torch.tensor([exp.prompt(run).prompts[0].ids]) for run in ("clean", "corrupted")}}
answer, distractor = exp.answer.ids[0][0], exp.distractor.ids[0][0]
blocks, d_head = plain.transformer.h, model.d_head
# Where each site is in this model: the module that it enters, or leaves.
PLACES = {{
    "resid_pre": lambda layer: (blocks[layer], "in"),
    "resid_post": lambda layer: (blocks[layer], "out"),
    "attn_out": lambda layer: (blocks[layer].attn, "out"),
    "mlp_out": lambda layer: (blocks[layer].mlp, "out"),
    "z": lambda layer: (blocks[layer].attn.c_proj, "in"),
}}
def hooked(run, changes):
    "The logit difference of a run with changes [(site, layer, function of [position, d])]."
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
            logits = plain(ids[run]).logits[0, -1]
    finally:
        for handle in handles: handle.remove()
    return float(logits[answer] - logits[distractor])
def patched(patches):
    "patches: [(site, layer, head, position, alpha)] of the clean run, laid over the corrupted one."
    kept = {{}}
    hooked("clean", [(s, l, lambda x, k=(s, l): kept.__setitem__(k, x.clone())) for s, l, *_ in patches])
    def change(site, layer, head, position, alpha):
        part = slice(None) if head is None else slice(head * d_head, (head + 1) * d_head)
        def write(x):
            x[position, part] += alpha * (kept[site, layer][position, part] - x[position, part])
        return site, layer, write
    return hooked("corrupted", [change(*one) for one in patches])
found = exp.run()
print("numbers", found.metric, found.recovered, patched({patches!r}), hooked("clean", []), hooked("corrupted", []))
"""

Patch = tuple[str, int, "int | None", int, float]


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


def shows(notebook: NotebookPage, cell: int, board: Locator, patches: list[Patch]) -> None:
    """What the board shows is what `exp.run()` gives and what plain hooks give, within 1e-4."""
    settled(board)
    told = notebook.evaluate_in_kernel(cell, HOOKS.format(patches=patches))
    metric, recovered, plain, clean, corrupted = map(
        float, re.findall(r"^numbers (.*)$", told, re.MULTILINE)[-1].split()
    )
    shown = board.locator("[data-part=effect] canvas")
    assert abs(float(shown.get_attribute("data-after") or "nan") - metric) <= 1e-4
    assert abs(metric - plain) <= 1e-4
    assert abs(recovered - (plain - corrupted) / (clean - corrupted)) <= 1e-4
    expect(shown).to_have_attribute("aria-label", re.compile(rf"\b{abs(round(recovered * 100))} % recovered"))
