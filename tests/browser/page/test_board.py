"""The patch board: what its grids show, every drag with its twin on the keyboard, and what a person reads of it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.page.board_page import BoardPage
from tests.browser.page.board_screens import HOSTILE, KINDS, LENGTHS, LONG, TWO
from tests.browser.page.ramp import SEQUENTIAL_LIGHT, close, colour


def says(board: BoardPage, words: str) -> None:
    expect(board.root.locator(".mi-live")).to_contain_text(words)


def added(board: BoardPage) -> list[tuple[Any, ...]]:
    """What was asked to be added last: site, layer, head, positions, source, source positions of each edit."""
    names = ("site", "layer", "head", "positions", "source", "source_positions")
    return [tuple(edit[name] for name in names) for edit in board.sent("edits.add")[-1]["params"]["edits"]]


def frames(board: BoardPage) -> None:
    board.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_the_grids_show_both_runs_and_what_differs(board: BoardPage) -> None:
    board.mount()
    for grid, side in (("clean", "clean"), ("corrupted", "corrupted")):
        for row, column in ((0, 3), (2, 10), (4, 14)):
            cell = board.kernel(f"k.boardCell(k.rowsOf(false)[{row}], {column}, '{side}', [], 'corrupted')")
            assert close(board.corner(grid, row, column), colour(SEQUENTIAL_LIGHT, cell["value"])), (grid, row, column)
    expect(board.part("panel-clean").locator("u")).to_have_text(["John"])
    expect(board.part("panel-corrupted").locator("u")).to_have_text(["Mary"])
    board.page.mouse.move(*board.point("clean", 2, 10))
    expect(board.part("readout-clean")).to_contain_text("L1 · ␣John (10)")
    expect(board.part("readout-clean")).to_contain_text("probability")
    assert "corrupted −4.62" in board.effect
    assert "clean 4.71" in board.effect


def test_a_cell_is_dragged_previewed_dropped_and_undone(board: BoardPage) -> None:
    board.mount("{ mode: { noMap: true } }")
    board.carry(board.point("clean", 2, 10), board.point("corrupted", 4, 10), drop=False)
    board.wait(carrying="pointer", target="corrupted resid_post L1")
    ghost = board.page.locator("[data-mi-ghost]")
    expect(ghost).to_contain_text("resid_post L1 position 10")
    expect(ghost).to_contain_text("from clean")
    marks = board.root.locator(".mi-board-panel[data-part=panel-corrupted] .mi-lens-ring")
    expect(marks.and_(board.root.locator("[data-kind=target]"))).to_have_count(1)
    expect(marks.and_(board.root.locator("[data-kind=row]"))).to_have_count(1)
    board.wait(shown="preview")
    wanted = board.kernel("k.effect([{ site: 'resid_post', layer: 1, head: null, positions: [10], alpha: 1 }])")
    line = board.part("effect").locator("canvas")
    expect(line).to_have_attribute("data-after", f"{wanted['after']:.4f}")
    expect(board.part("effect")).to_contain_text("preview")
    expect(board.part("panel-edited")).to_contain_text("preview")
    assert board.sent("edits.add") == []
    board.page.mouse.up()
    board.wait(board_rev="2", carrying="")
    assert added(board) == [("resid_post", 1, None, [10], "other", None)]
    expect(board.page.locator("[data-mi-ghost]")).to_have_count(0)
    says(board, "patched resid_post L1 position 10: logit difference 0.98, 60 % recovered")
    assert board.effect.startswith("patched: logit difference 0.98, 60 % recovered")
    expect(board.part("effect-tokens").locator(".mi-bar-row").first).to_contain_text("▲ 1")
    assert board.chips() == ["resid_post L1, John position 10 of clean onto Mary position 10, on"]
    expect(board.root.locator(".mi-edit-label")).to_have_text(
        "●resid_post L1 · \u2068John\u2069₁₀ → \u2068Mary\u2069₁₀"
    )
    expect(board.part("panel-edited")).to_contain_text("only the bright cells can change")
    # Beside the cone the patched run is faded, in it as strong as it is.
    inside = board.kernel("k.boardCell(k.rowsOf(false)[2], 10, 'edited', k.live(), 'corrupted')")
    assert close(board.corner("edited", 2, 10), colour(SEQUENTIAL_LIGHT, inside["value"]))
    outside = board.kernel("k.boardCell(k.rowsOf(false)[4], 9, 'edited', k.live(), 'corrupted')")
    assert not outside["cone"]
    assert sum(board.corner("edited", 4, 9)) > sum(colour(SEQUENTIAL_LIGHT, outside["value"])) + 60
    board.root.locator("[data-action=undo]").click()
    board.wait(board_rev="3")
    assert board.chips() == []
    board.grid("clean").focus()
    board.page.keyboard.press("Control+Shift+z")
    board.wait(board_rev="4")
    assert len(board.chips()) == 1


def test_what_follows_the_pointer_stays_in_the_window(board: BoardPage) -> None:
    board.mount("{ mode: { noMap: true } }")
    board.page.set_viewport_size({"width": 1180, "height": 700})
    board.carry(board.point("clean", 2, 10), (1176, 696), drop=False)
    box = board.page.locator("[data-mi-ghost]").bounding_box() or {}
    assert box["x"] + box["width"] <= 1180
    assert box["y"] + box["height"] <= 700
    assert box["width"] > 60


def test_the_base_is_chosen_in_the_header_and_the_footer_tells_the_run(board: BoardPage) -> None:
    board.mount(TWO)
    base = board.root.get_by_role("combobox", name="base")
    expect(base).to_have_value("corrupted")
    base.select_option("clean")
    board.page.wait_for_function("shown.model.sent.some(it => it.op === 'question.set')")
    assert board.sent("question.set")[-1]["params"]["base"] == "clean"
    expect(board.part("provenance")).to_contain_text("forward 1.8 ms")
    expect(board.part("provenance")).to_contain_text("resumed at L2 from position 10 · run 1 of 1")


def test_the_smallest_probabilities_stay_in_the_panel(board: BoardPage) -> None:
    small = "{ id: 9, label: '␣her', before: 1.2e-10, after: 3.4e-11, before_rank: 7, after_rank: 9 }"
    board.mount(f"{{ tokens: [{small}] }}")
    row = board.part("effect-tokens").locator(".mi-bar-row").last
    expect(row).to_contain_text("1.2e-10 → 3.4e-11")
    for width in (480, 1180):
        board.page.set_viewport_size({"width": width, "height": 900})
        frames(board)
        assert row.evaluate(
            "it => { const text = it.lastChild; return text.scrollWidth <= text.clientWidth && "
            "text.getBoundingClientRect().right <= it.getBoundingClientRect().right + 0.5; }"
        ), width


def test_put_back_by_escape_by_nowhere_and_where_it_came_from(board: BoardPage) -> None:
    board.mount()
    board.carry(board.point("clean", 2, 10), board.point("corrupted", 2, 10), drop=False)
    board.page.keyboard.press("Escape")
    board.wait(carrying="")
    says(board, "put back resid_post L1 position 10")
    board.page.mouse.up()
    board.carry(board.point("clean", 2, 10), (4, 4))
    board.carry(board.point("clean", 2, 10), board.point("clean", 3, 10))
    says(board, "that is where it came from")
    frames(board)
    assert board.sent("edits.add") == []
    board.wait(selection="")


def test_a_finished_map_answers_in_the_same_frame(board: BoardPage) -> None:
    board.mount("{ mode: { holdPreview: true } }")
    board.page.wait_for_function("Number(document.querySelector('.mi-widget').dataset.map) > 0")
    board.carry(board.point("clean", 2, 9), board.point("corrupted", 2, 8), drop=False)
    board.wait(target="corrupted resid_post L1", shown="run")  # not between positions that are the same
    before, after, shown, target = board.page.evaluate(
        """async ([x, y]) => {
          const root = document.querySelector('.mi-widget');
          const line = root.querySelector('[data-part=effect] canvas');
          const before = line.dataset.after;
          const held = { pointerId: 1, clientX: x, clientY: y, bubbles: true, pointerType: 'mouse' };
          document.querySelector('canvas[data-grid=clean]').dispatchEvent(new PointerEvent('pointermove', held));
          await new Promise(requestAnimationFrame);
          return [before, line.dataset.after, root.dataset.shown, root.dataset.target];
        }""",
        list(board.point("corrupted", 2, 9)),
    )
    assert (shown, target) == ("map", "corrupted resid_post L1")
    assert float(after) != float(before)
    board.kernel_async("k.releasePreviews()")
    board.wait(shown="preview")
    board.page.mouse.up()


def test_rows_columns_and_blocks_by_pointer(board: BoardPage) -> None:
    board.mount("{ mode: { noMap: true } }")
    board.carry(board.point("clean", 2, None), board.point("corrupted", 3, 5))
    board.wait(board_rev="2")
    assert added(board) == [("resid_post", 1, None, None, "other", None)]
    board.carry(board.point("clean", None, 10), board.point("corrupted", 2, 12))
    board.wait(board_rev="3")
    assert added(board) == [
        ("resid_pre", 0, None, [12], "other", [10]),
        *(("resid_post", layer, None, [12], "other", [10]) for layer in range(4)),
    ]
    board.page.keyboard.down("Shift")
    board.carry(board.point("corrupted", 1, 9), board.point("corrupted", 2, 11))
    board.page.keyboard.up("Shift")
    says(board, "selected resid_post L0–L1 positions 9–11")
    board.carry(board.point("corrupted", 2, 10), board.point("clean", 2, 10))
    board.wait(board_rev="4")
    assert board.sent("edits.add")[-1]["params"]["base"] == "clean"
    assert added(board) == [("resid_post", layer, None, [9, 10, 11], "other", None) for layer in (0, 1)]
    assert "destroyed" in board.effect
    # Within one run.
    board.page.mouse.click(*board.point("clean", 4, 3))
    board.wait(selection="L3.resid_post@3")
    board.carry(board.point("clean", 4, 3), board.point("clean", 4, 7))
    board.wait(board_rev="5")
    assert added(board) == [("resid_post", 3, None, [7], "clean", [3])]


def test_the_same_by_keyboard_alone(board: BoardPage) -> None:
    board.mount("{ mode: { noMap: true } }")
    keys = board.page.keyboard
    board.grid("clean").focus()
    for key in ("ArrowUp", "ArrowUp", *["ArrowLeft"] * 4):
        keys.press(key)
    says(board, "L1 · ␣John (10)")
    keys.press("Enter")
    board.wait(carrying="keyboard")
    says(board, "picked up resid_post L1 position 10")
    keys.press("Tab")
    expect(board.grid("corrupted")).to_be_focused()
    board.wait(target="corrupted resid_post L1", shown="preview")
    keys.press("Enter")
    board.wait(board_rev="2", carrying="")
    assert added(board) == [("resid_post", 1, None, [10], "other", None)]
    says(board, "patched resid_post L1 position 10: logit difference 0.98, 60 % recovered")
    # On to another position.
    board.grid("clean").focus()
    keys.press("Enter")
    keys.press("Tab")
    keys.press("ArrowRight")
    says(board, "over ␣gave (11)")
    keys.press("Enter")
    board.wait(board_rev="3")
    assert added(board)[0][3:] == ([11], "other", [10])
    # A block, a row, a column; and put back.
    board.grid("clean").focus()
    keys.press(" ")
    for key in ("Shift+ArrowDown", "Shift+ArrowRight"):
        keys.press(key)
    says(board, "selected resid_post L1–L2 positions 10–11")
    keys.press("r")
    says(board, "selected resid_post L2")
    keys.press("v")
    says(board, "selected resid_post input–L3 position 11")
    keys.press("Enter")
    board.wait(carrying="keyboard")
    keys.press("Escape")
    board.wait(carrying="")
    says(board, "put back")
    keys.press("Escape")
    says(board, "selection cleared")
    keys.press("Control+z")
    board.wait(board_rev="4")
    assert len(board.chips()) == 1
    keys.press("?")
    expect(board.part("help")).to_contain_text("pick up")


def test_chips_by_pointer_and_by_key(board: BoardPage) -> None:
    board.mount(TWO)
    chips = board.root.locator(".mi-edit-label")
    first = board.effect
    chips.nth(1).click()
    board.wait(board_rev="2")
    assert board.effect != first
    # Strength: previews while it moves, one change when it is let go.
    slider = board.root.locator("[data-input=alpha]").first
    slider.evaluate("it => { it.value = 0.5; it.dispatchEvent(new Event('input', { bubbles: true })); }")
    board.wait(shown="preview")
    expect(board.root.locator(".mi-alpha-value").first).to_have_text("α 0.50")
    half = board.part("effect").locator("canvas").get_attribute("data-after")
    slider.evaluate("it => it.dispatchEvent(new Event('change', { bubbles: true }))")
    board.wait(board_rev="3", shown="run")
    expect(board.part("effect").locator("canvas")).to_have_attribute("data-after", half or "")
    assert [it["params"]["alpha"] for it in board.sent("edits.replace")] == [0.5]
    says(board, "strength 0.50: logit difference")
    # By keys, each of which moves it: one change when they rest, or when the keyboard leaves.
    board.root.locator("[data-input=alpha]").first.focus()
    for _ in range(5):
        board.page.keyboard.press("ArrowLeft")
    board.page.keyboard.press("Tab")
    board.wait(board_rev="4", shown="run")
    assert [it["params"]["alpha"] for it in board.sent("edits.replace")] == [0.5, 0.45]
    # Order, by key and by pointer.
    chips.first.focus()
    board.page.keyboard.press("Shift+ArrowRight")
    board.wait(board_rev="5")
    assert board.sent("edits.move")[-1]["params"]["to"] == 1
    boxes = [chips.nth(at).bounding_box() for at in (0, 1)]
    start, end = (box for box in boxes if box)
    board.carry((start["x"] + 30, start["y"] + 8), (end["x"] + end["width"] - 4, end["y"] + 8))
    board.wait(board_rev="6")
    assert board.sent("edits.move")[-1]["params"] == {"index": 0, "to": 1, "base_rev": 5}
    board.root.locator("[data-action=remove-edit]").first.click()
    board.wait(board_rev="7")
    chips.first.focus()
    board.page.keyboard.press("Delete")
    board.wait(board_rev="8")
    assert board.chips() == []
    board.root.locator("[data-action=undo]").click()
    board.wait(board_rev="9")
    board.root.locator("[data-action=clear-edits]").click()
    board.wait(board_rev="10")
    says(board, "all patches removed")


def test_chips_of_other_kinds_and_of_hidden_edits(board: BoardPage) -> None:
    hidden = KINDS.replace("note: ''", "note: 'has no effect: overwritten by zero L2H1.z'", 1)
    board.mount(f"{{ edits: [{hidden}] }}")
    texts = [
        it.replace("\u2068", "").replace("\u2069", "") for it in board.root.locator(".mi-edit-label").all_inner_texts()
    ]
    assert texts == [
        "●k L2.H1 · gave₁₁ … to₁₄ → Mary₁₀ … drink₁₃",
        "●zero L2H1.z · all positions",
        "●zero L0H2.z · to₁₄",
        "●knock out L1H2 from 14 to 3",
    ]
    assert board.chips()[0] == (
        "k L2.H1, gave position 11 to to position 14 of clean onto Mary position 10 to drink position 13, on"
    )
    expect(board.root.locator(".mi-edit-note")).to_have_text("has no effect: overwritten by zero L2H1.z")
    # Nothing to undo, and with nothing in the list nothing to clear.
    for step in ("undo", "redo"):
        expect(board.root.locator(f"[data-action={step}]")).to_have_attribute("aria-disabled", "true")
    board.root.locator("[data-action=clear-edits]").click()
    board.wait(board_rev="2")
    expect(board.root.locator("[data-action=clear-edits]")).to_be_hidden()
    expect(board.root.locator("[data-action=undo]")).not_to_have_attribute("aria-disabled", "true")


def test_heads_are_layers_by_heads_at_chosen_positions(board: BoardPage) -> None:
    board.mount()
    board.root.get_by_role("radio", name="head z").click()
    expect(board.grid("clean")).to_have_attribute("aria-colcount", "4")
    board.page.wait_for_function("Number(document.querySelector('.mi-widget').dataset.map) > 0")
    board.page.mouse.move(*board.point("clean", 3, 2))
    wanted = board.kernel("k.effect([{ site: 'z', layer: 2, head: 2, positions: null, alpha: 1 }]).recovered")
    expect(board.part("readout-clean")).to_contain_text(f"L2 · H2, {wanted:.2f} recovered")
    board.carry(board.point("clean", 3, 2), board.point("corrupted", 1, 0))
    board.wait(board_rev="2")
    assert added(board) == [("z", 2, 2, None, "other", None)]
    tokens = board.part("positions").locator("[data-token]")
    board.page.mouse.click(*board.point("clean", 3, 2))
    board.wait(selection="L2H2.z")
    tokens.nth(10).click()
    tokens.nth(10).focus()
    board.page.keyboard.press("End")
    board.page.keyboard.press("Enter")
    says(board, "heads at ␣Mary (10), ␣to (14)")
    board.grid("clean").focus()
    board.page.keyboard.press("Enter")
    board.page.keyboard.press("Tab")
    board.page.keyboard.press("Enter")
    board.wait(board_rev="3")
    assert added(board) == [("z", 2, 2, [10, 14], "other", None)]
    board.part("positions").locator("[data-action=all-positions]").click()
    # A head of the atlas, by pointer and by key.
    tell = """([phase, x, y, keyboard]) => window.dispatchEvent(new CustomEvent('mi-widgets:drag', { detail: {
      phase, experiment: 'experiment-1', carried: { site: 'z', layer: 1, head: 3 }, clientX: x, clientY: y, keyboard,
      cancelled: false } }))"""
    x, y = board.point("corrupted", 2, 1)
    for phase in ("start", "move", "end"):
        board.page.evaluate(tell, [phase, x, y, False])
    board.wait(board_rev="4")
    assert added(board) == [("z", 1, 3, None, "other", None)]
    board.page.evaluate("window.heard = []; addEventListener('mi-widgets:drag', it => heard.push(it.detail.phase))")
    board.page.evaluate(tell, ["start", 0, 0, True])
    board.grid("clean").focus()
    board.page.keyboard.press("Enter")
    board.wait(board_rev="5")
    assert board.page.evaluate("heard") == ["start", "end"]
    assert board.sent("edits.add")[-1]["params"]["base"] == "clean"


def test_what_a_drag_carries_and_before_or_after_the_layer(board: BoardPage) -> None:
    board.mount("{ off: { pattern: 'no patterns here' }, mode: { noMap: true } }")
    off = board.root.get_by_role("radio", name="pattern")
    off.hover()
    expect(board.root.get_by_role("tooltip")).to_contain_text("no patterns here")
    board.root.get_by_role("radio", name="pre", exact=True).click()
    board.carry(board.point("clean", 2, 10), board.point("corrupted", 2, 10))
    board.wait(board_rev="2")
    assert added(board)[0][:2] == ("resid_pre", 2)
    board.root.get_by_role("radio", name="MLP").click()
    board.carry(board.point("clean", 2, 10), board.point("corrupted", 2, 10))
    board.wait(board_rev="3")
    assert added(board)[0][:2] == ("mlp_out", 1)
    board.grid("clean").focus()
    board.page.keyboard.press("PageUp")
    board.page.keyboard.press("Enter")
    says(board, "input has no mlp to carry")


def test_the_form_adds_a_patch_without_a_drag(board: BoardPage) -> None:
    board.mount("{ mode: { noMap: true } }")
    board.root.locator("[data-action=add-form]").click()
    form = board.part("add-form")
    form.locator("[data-input=carry]").select_option("attention")
    form.locator("[data-input=layer]").select_option(label="L2")
    form.locator("[data-input=from]").select_option("10")
    form.locator("[data-input=to]").select_option("12")
    form.locator("[data-input=strength]").fill("2")
    form.locator("[data-action=add-patch]").click()
    expect(form).to_contain_text("from 0 to 1")
    form.locator("[data-input=strength]").fill("0.5")
    form.locator("[data-action=add-patch]").click()
    board.wait(board_rev="2")
    assert added(board) == [("attn_out", 2, None, [12], "other", [10])]
    assert board.sent("edits.add")[-1]["params"]["edits"][0]["alpha"] == 0.5


def test_history_restores_and_compares(board: BoardPage) -> None:
    board.mount(TWO)
    board.root.locator("[data-action=toggle-edit]").nth(1).click()
    board.wait(board_rev="2")
    board.root.locator("[data-action=toggle-edit]").nth(0).click()
    board.wait(board_rev="3")
    board.root.locator("[data-action=history]").click()
    rows = board.root.locator(".mi-runs li")
    expect(rows).to_have_count(2)
    for at in (0, 1):
        rows.nth(at).locator("[data-action=compare-run]").click()
    expect(board.root.locator(".mi-runs-compared canvas")).to_have_count(2)
    expect(board.root.locator(".mi-runs-compared")).to_contain_text("B − A: +5.60")
    rows.nth(1).locator("[data-action=restore-run]").click()
    board.wait(board_rev="4")
    assert len(board.chips()) == 2
    says(board, "run 1 restored: logit difference")
    board.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    board.root.locator("[data-action=python]").click()
    expect(board.part("code").locator("textarea")).to_have_value("import torch\n# logit difference\nprint(2.31)\n")
    expect(board.part("code")).to_contain_text("copy it from here")


def test_one_prompt_moves_within_itself_and_asks_for_a_second(board: BoardPage) -> None:
    board.mount("{ alone: true }")
    expect(board.part("panel-corrupted")).to_contain_text("Give a second one to compare with")
    board.carry(board.point("clean", 2, 10), board.point("clean", 2, 12))
    board.wait(board_rev="2")
    assert added(board) == [("resid_post", 1, None, [12], "clean", [10])]
    assert board.sent("sweep.start") == []
    board.part("panel-corrupted").locator("[data-action=prompt]").click()
    area = board.root.locator("[data-input=prompt]:visible")
    expect(area).to_have_value("When Mary and John went to the store, John gave a drink to")
    area.fill("When Mary and John went to the store, Mary gave a drink to")
    board.page.keyboard.press("Enter")
    board.wait(board_rev="3")
    expect(board.grid("corrupted")).to_be_visible()
    assert board.sent("question.set")[-1]["params"]["which"] == "corrupted"


def test_prompts_of_different_length_show_how_they_pair(board: BoardPage) -> None:
    board.mount(LENGTHS)
    expect(board.part("align")).to_be_visible()
    expect(board.part("align")).to_contain_text("2 of corrupted without a partner")
    pairs = board.part("align").locator("canvas").get_attribute("aria-label") or ""
    assert pairs.startswith("clean and corrupted positions that pair: 0–0, 1–3, 2–4")
    board.carry(board.point("clean", 2, 10), board.point("corrupted", 2, 12))
    board.wait(board_rev="2")
    assert added(board)[0][3:] == ([12], "other", None)
    board.part("align").locator("select").select_option("start")
    board.wait(board_rev="3")
    assert board.sent("question.set")[-1]["params"]["align"] == "start"


def test_long_prompts_and_deep_models_fold_and_open(board: BoardPage) -> None:
    board.mount(LONG)
    canvas = board.grid("clean")
    assert "-" in (canvas.get_attribute("data-rows") or "")
    end = int(canvas.get_attribute("data-end") or 0)
    assert end == 512
    before = len((canvas.get_attribute("data-rows") or "").split())
    board.page.mouse.click(*board.point("clean", None, None))
    board.page.wait_for_function(
        "count => document.querySelector('canvas[data-grid=clean]').dataset.rows.split(' ').length !== count",
        arg=before,
    )
    canvas.focus()
    board.page.keyboard.press("Home")
    expect(canvas).to_have_attribute("data-first", "0")
    expect(board.grid("corrupted")).to_have_attribute("data-first", "0")
    board.page.wait_for_function("shown.model.sent.filter(it => it.op === 'lens.cells').length >= 3")
    assert board.page.evaluate("scrollY") == 0
    assert (board.root.bounding_box() or {})["height"] < 1700


def test_hostile_tokens_are_text(board: BoardPage) -> None:
    board.mount(HOSTILE)
    for column in range(11):
        board.page.mouse.move(*board.point("clean", 3, column))
        expect(board.part("readout-clean")).to_contain_text(f"({column})")
    board.root.locator("[data-action=board-table]").click()
    expect(board.part("table-clean").locator("thead")).to_contain_text("⟨200B⟩ 4")
    expect(board.part("table-edited").locator("tbody tr")).to_have_count(5)
    assert board.root.locator("script, img, i:not(.mi-special) i, b b").count() == 0
    board.page.evaluate(
        "() => { URL.createObjectURL = blob => { blob.text().then(text => { window.svg = text; }); return '#'; }; }"
    )
    board.root.get_by_role("button", name="Export").click()
    board.root.get_by_role("menuitem", name="Download SVG").click()
    board.page.wait_for_function("window.svg")
    assert board.page.evaluate(
        """() => { const made = new DOMParser().parseFromString(svg, 'image/svg+xml');
             return [made.querySelector('parsererror') === null, made.querySelectorAll('script, img').length]; }"""
    ) == [True, 0]


@pytest.mark.parametrize(
    ("options", "state", "words"),
    [
        ("{ deafSend: true }", "offline", "Opened without a kernel"),
        ("{ dropBuffers: true }", "failed", "The picture did not arrive"),
        ("{ empty: true }", "empty", "mi.PatchBoard("),
        ("{ noBoard: true, status: {...shim.status('running'), op: 'board.run', job: 'k-1'} }", "loading", ""),
        ("{ notFinite: true, nan: () => true }", "ready", "no number"),
        ("{ noAnswer: true }", "ready", "choose an answer"),
    ],
)
def test_states_have_words(board: BoardPage, options: str, state: str, words: str) -> None:
    board.mount(options, ready=False)
    board.wait(state=state)
    if words == "no number":
        board.page.wait_for_function(
            "document.querySelector('[data-part=effect] canvas').ariaLabel.includes('not finite')"
        )
    else:
        expect(board.root).to_contain_text(words)
    if state == "offline":
        board.page.mouse.move(*board.point("clean", 2, 6))
        expect(board.part("readout-clean")).to_contain_text("L1 ·")
        board.carry(board.point("clean", 2, 10), board.point("corrupted", 2, 10))
        says(board, "rerunning needs one")


def test_failures_restarts_and_a_second_view(board: BoardPage) -> None:
    board.mount("{ mode: { noMap: true } }", views=2)
    failure = "{ error: 'OutOfMemory', message: 'Not enough memory.', hint: 'Patch less.', retryable: true }"
    board.kernel_async(f"k.mode.fail['edits.add'] = {failure}")
    board.carry(board.point("clean", 2, 10), board.point("corrupted", 2, 10))
    board.wait(state="failed")
    expect(board.part("notice")).to_contain_text("This patch could not be made")
    board.kernel_async("delete k.mode.fail['edits.add']")
    board.root.locator("[data-action=retry]").click()
    board.wait(board_rev="2", state="ready")
    # Both views show it, and of one drop there is one patch.
    expect(board.page.locator(".mi-edit")).to_have_count(2)
    assert len(board.sent("edits.add")) == 2
    # What arrives late of an older list is marked as on its way.
    board.kernel_async("k.mode.holdBoard = true")
    board.root.locator("[data-action=toggle-edit]").click()
    expect(board.part("panel-edited")).to_have_attribute("data-pending", "")
    expect(board.root.locator(".mi-picture")).not_to_have_attribute("data-stale", "")
    board.kernel_async("k.mode.holdBoard = false; k.finishJob()")
    expect(board.part("panel-edited")).not_to_have_attribute("data-pending", "")
    board.kernel_async("k.options.kernelEpoch = 'other'; k.welcome({client: m.sent[0].client})")
    board.wait(state="restarted")


def test_nothing_overlaps_or_sticks_out_at_any_width(board: BoardPage) -> None:
    from tests.browser.page.test_looks import OUTSIDE, OVERLAPS

    board.mount(TWO)
    for width in (480, 700, 980, 1180, 1400, 1900):
        board.page.set_viewport_size({"width": width, "height": 900})
        for pressed in ("true", "false"):
            board.root.locator("[data-action=projector]").click()
            expect(board.root.locator("[data-action=projector]")).to_have_attribute("aria-pressed", pressed)
            frames(board)
            assert board.root.evaluate(OVERLAPS) == [], (width, pressed)
            assert board.root.evaluate(OUTSIDE) == [], (width, pressed)
        assert board.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
