"""The patch sweep: what its cells show, how it fills, what can be done with it by pointer, key and form."""

from __future__ import annotations

import math
import re
from typing import Any

from playwright.sync_api import expect

from tests.browser.page.ramp import DIVERGING_LIGHT, close, colour
from tests.browser.page.sweep_page import SweepPage
from tests.browser.page.sweep_screens import DEEP, LONG, MANY, MIDDLE

ROWS, COLUMNS, DIFFERS = 4, 15, 10


def choose(sweep: SweepPage, group: str, name: str) -> None:
    sweep.root.get_by_role("radiogroup", name=group, exact=True).get_by_role("radio", name=name, exact=True).click()


def starts(sweep: SweepPage) -> list[dict[str, Any]]:
    return [request["params"] for request in sweep.sent("sweep.start")]


def added(sweep: SweepPage) -> list[dict[str, Any]]:
    return [spec for request in sweep.sent("edits.add") for spec in request["params"]["edits"]]


def wanted(value: float, centre: float, reach: float) -> Any:
    """The colour of a number: more than the centre is the warm end."""
    return colour(DIVERGING_LIGHT, (1 - (value - centre) / reach) / 2)


def number(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def test_every_cell_has_its_number_in_each_view(sweep: SweepPage) -> None:
    sweep.mount()
    table = sweep.part("heatmap-table")
    sweep.root.locator("[data-action=sweep-table]").click()
    for view, centre in (("recovered", 0.0), ("raw", -4.62), ("change", 0.0)):
        choose(sweep, "numbers", view)
        sweep.wait(view=view)
        found = table.locator("tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(it => it.innerText))"
        )
        assert [row[0] for row in found] == ["L0", "L1", "L2", "L3"]
        ends = sweep.root.locator(".mi-sweep-ticks").locator("span").all_inner_texts()
        assert len(ends) == 5
        for row in range(ROWS):
            for column in range(COLUMNS):
                if column < DIFFERS:
                    assert found[row][column + 1] == "same"
                    continue
                cell = sweep.cell(row, column)
                value = {"recovered": cell["recovered"], "raw": cell["metric"], "change": cell["metric"] + 4.62}[view]
                assert found[row][column + 1] == number(value), (view, row, column)
        reach = float(ends[-1].replace("−", "-")) - centre
        sweep.root.locator("[data-action=sweep-table]").click()
        for row, column in ((0, 10), (1, 11), (2, 14), (3, 10)):
            cell = sweep.cell(row, column)
            value = {"recovered": cell["recovered"], "raw": cell["metric"], "change": cell["metric"] + 4.62}[view]
            assert close(sweep.corner(row, column), wanted(value, centre, reach)), (view, row, column)
        sweep.root.locator("[data-action=sweep-table]").click()
    expect(table.locator("caption")).to_contain_text("resid_pre patched into the corrupted run")


def test_estimates_come_first_and_exact_cells_replace_them(sweep: SweepPage) -> None:
    sweep.mount()
    sweep.kernel_async("k.mode.holdSweep = true; k.ask()")
    sweep.wait(exact="0")
    expect(sweep.part("exact")).to_have_text("0 % exact")
    x, y = sweep.place(1, 12)
    quiet = sweep.pixel("heatmap", x, y)
    assert quiet != (255, 255, 255), "cells that are waited for have their own ground"
    expect(sweep.part("heatmap")).to_contain_text("same tokens up to there")
    sweep.kernel_async("k.estimates()")
    expect(sweep.part("heatmap")).to_contain_text("~ estimate")
    sweep.page.mouse.move(*sweep.point(2, 12))
    expect(sweep.part("readout")).to_contain_text("estimate")
    sweep.page.mouse.move(0, 0)
    sweep.kernel_async("k.step(17)")
    sweep.wait(exact="17")
    expect(sweep.part("exact")).to_have_text("85 % exact")
    expect(sweep.part("footer")).to_contain_text("17 of 20 reruns · 0.4 s left")
    expect(sweep.part("footer")).to_contain_text("hatched: same tokens up to there, cannot differ")
    expect(sweep.part("progress")).to_be_visible()
    assert sweep.part("progress").evaluate("it => it.style.width") == "85%"
    # Cancelled it keeps what is exact, and says so; it goes on from there.
    sweep.root.locator("[data-action=sweep-cancel]").click()
    expect(sweep.part("footer")).to_contain_text("cancelled: 17 of 20 exact")
    sweep.wait(exact="17", state="ready")
    assert sweep.sent("cancel")
    expect(sweep.root.locator("[data-action=sweep-cancel]")).to_be_hidden()
    # The kernel may tell of it, and there is still one way to go on.
    sweep.kernel_async(
        "m.update({ status: { ...shim.status('failed'), op: 'sweep.start', error: "
        "{ error: 'Cancelled', message: 'Cancelled.', hint: '', retryable: true } } })"
    )
    expect(sweep.root.locator("[data-notice=cancelled]")).to_contain_text("The cells that were run stay.")
    expect(sweep.root.locator("[data-action=retry]")).to_have_count(0)
    expect(sweep.root.locator("[data-action=sweep-again]")).to_be_visible()
    sweep.kernel_async("m.update({ status: shim.status('idle') }); k.mode.holdSweep = false")
    sweep.root.locator("[data-action=sweep-again]").click()
    sweep.wait(exact="20", whole="")
    expect(sweep.part("exact")).to_have_text("100 % exact")


def test_the_column_under_a_resting_pointer_is_run_first_and_its_cell_at_once(sweep: SweepPage) -> None:
    sweep.mount()
    sweep.kernel_async("k.mode.holdSweep = true; k.ask(); k.estimates()")
    sweep.wait(exact="0")
    sweep.page.mouse.move(*sweep.point(3, 12))
    sweep.page.wait_for_function("shown.model.sent.some(it => it.op === 'sweep.start')")
    assert starts(sweep)[0] == {
        "site": "resid_pre", "edit": "patch", "base": "corrupted", "on_top": False, "first": 12, "part": None,
    }  # fmt: skip
    cell = sweep.part("sweep-card")
    expect(cell).to_contain_text("exact: the model was run with this edit")
    asked = sweep.sent("sweep.cell")[-1]["params"]
    assert (asked["layer"], asked["column"]) == (3, 12)
    value = sweep.cell(3, 12)
    expect(cell.locator("[data-measure=recovered] dd")).to_have_text(number(value["recovered"]))
    expect(cell.locator("[data-measure=metric] dd")).to_have_text(number(value["metric"]))
    expect(cell.locator(".mi-sweep-next").first).to_contain_text("Mary")
    expect(cell.locator(".mi-sweep-next").first).to_contain_text("▲3")


def test_click_adds_the_edit_brush_runs_a_part_and_both_have_keys(sweep: SweepPage) -> None:
    sweep.mount()
    spec = {
        "kind": "patch", "site": "resid_pre", "layer": 1, "head": None, "positions": [10], "source": "other",
        "source_positions": None, "src": None, "alpha": 1,
    }  # fmt: skip
    sweep.page.mouse.click(*sweep.point(1, 10))
    sweep.wait(selection="L1.resid_pre@10")
    expect(sweep.root.locator(".mi-edit")).to_have_count(1)
    assert added(sweep) == [spec]
    assert sweep.sent("edits.add")[0]["params"]["base"] == "corrupted"
    live = sweep.root.locator(".mi-live")
    expect(live).to_contain_text("added L1.resid_pre@10 to the patch board")
    expect(sweep.part("heatmap")).to_contain_text("on the patch board")
    sweep.page.mouse.click(*sweep.point(1, 10))
    expect(live).to_contain_text("already")
    assert len(added(sweep)) == 1
    # A brush runs its rectangle again; Escape on the way lets it go.
    sweep.kernel_async("k.mode.holdSweep = true")
    sweep.page.mouse.move(*sweep.point(0, 11))
    sweep.page.mouse.down()
    sweep.page.mouse.move(*sweep.point(2, 13), steps=5)
    expect(sweep.part("readout")).to_contain_text("9 cells: layers 0 to 2, positions 11 to 13")
    sweep.page.keyboard.press("Escape")
    sweep.page.mouse.up()
    assert starts(sweep) == []
    sweep.page.mouse.move(*sweep.point(2, 13))
    sweep.page.mouse.down()
    sweep.page.mouse.move(*sweep.point(0, 11), steps=5)
    sweep.page.mouse.up()
    expect(live).to_contain_text("running 9 cells again: layers 0 to 2, positions 11 to 13")
    assert starts(sweep)[-1]["part"] == {"layers": [0, 1, 2], "columns": [11, 12, 13]}
    assert len(added(sweep)) == 1, "the click that ends a brush adds nothing"
    expect(sweep.root.locator('[data-kind="rerunning"]')).to_have_count(1)
    sweep.kernel_async("k.step(4); k.mode.holdSweep = false; k.finish()")
    sweep.wait(state="ready", exact="20")
    # By keys.
    press = sweep.page.keyboard.press
    sweep.canvas.focus()
    press("Escape")
    press("Escape")
    sweep.wait(selection="")
    for key, focus in (
        ("End", "L0.resid_pre@14"),
        ("PageDown", "L3.resid_pre@14"),
        ("ArrowUp", "L2.resid_pre@14"),
        ("ArrowLeft", "L2.resid_pre@13"),
        ("Home", "L2.resid_pre@0"),
        ("End", "L2.resid_pre@14"),
    ):
        press(key)
        sweep.wait(focus=focus)
    expect(live).to_contain_text(f"L2 · ␣to (14), recovered {number(sweep.cell(2, 14)['recovered'])}, exact")
    assert sweep.canvas.get_attribute("aria-activedescendant")
    expect(sweep.canvas.locator("[role=gridcell]")).to_have_attribute("aria-colindex", "15")
    press("Space")
    sweep.wait(selection="L2.resid_pre@14")
    press("]")
    sweep.wait(selection="L3.resid_pre@14")
    press("Enter")
    expect(sweep.root.locator(".mi-edit")).to_have_count(2)
    assert added(sweep)[-1] == {**spec, "layer": 2, "positions": [14]}
    press("Shift+ArrowLeft")
    press("Shift+ArrowDown")
    expect(live).to_contain_text("4 cells: layers 2 to 3, positions 13 to 14")
    press("r")
    sweep.wait(state="ready")
    assert starts(sweep)[-1]["part"] == {"layers": [2, 3], "columns": [13, 14]}
    press("Control+z")
    expect(sweep.root.locator(".mi-edit")).to_have_count(1)
    press("?")
    expect(sweep.root.get_by_role("dialog")).to_contain_text("rectangle")
    press("Escape")
    expect(sweep.canvas).to_be_focused()
    # By form.
    sweep.root.locator("[data-action=sweep-form]").click()
    for name, value in (("layer", "3"), ("column", "12"), ("to layer", "3"), ("to column", "14")):
        sweep.root.locator(f"[data-select='{name}']").select_option(value)
    sweep.root.locator("[data-action=form-add]").click()
    sweep.wait(selection="L3.resid_pre@12")
    assert added(sweep)[-1] == {**spec, "layer": 3, "positions": [12]}
    sweep.root.locator("[data-action=form-run]").click()
    sweep.page.wait_for_function("shown.model.sent.filter(it => it.op === 'sweep.start').length === 3")
    assert starts(sweep)[-1]["part"] == {"layers": [3], "columns": [12, 13, 14]}


def test_a_map_that_failed_half_way_is_tried_again_and_not_gone_on_with(sweep: SweepPage) -> None:
    sweep.mount()
    sweep.kernel_async("k.mode.holdSweep = true; k.ask(); k.step(5)")
    sweep.wait(exact="5")
    sweep.kernel_async(
        "m.update({ status: { ...shim.status('failed'), op: 'sweep.start', error: "
        "{ error: 'OutOfMemory', message: 'no room', hint: 'Close something.', retryable: true } } })"
    )
    expect(sweep.root.get_by_role("alert")).to_contain_text("The map failed")
    expect(sweep.root.locator("[data-action=sweep-again]")).to_be_hidden()
    sweep.kernel_async("m.update({ status: shim.status('idle') }); k.mode.holdSweep = false")
    sweep.root.locator("[data-action=sweep-again]").click()
    sweep.wait(exact="20", state="ready")


def test_a_finger_that_rests_brushes_and_one_that_moves_at_once_scrolls(sweep: SweepPage) -> None:
    sweep.mount()
    touch = sweep.page.context.new_cdp_session(sweep.page)

    def finger(kind: str, *points: tuple[float, float]) -> None:
        dots = [{"x": x, "y": y} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": dots})

    from_here, to_there = sweep.point(0, 11), sweep.point(2, 13)
    sweep.page.evaluate("document.body.style.paddingBottom = '4000px'")
    finger("Start", from_here)
    expect(sweep.part("readout")).to_contain_text("1 cell: layers 0, positions 11")
    finger("Move", to_there)
    expect(sweep.part("readout")).to_contain_text("9 cells: layers 0 to 2, positions 11 to 13")
    assert sweep.page.evaluate("scrollY") == 0, "the page stays where it is"
    finger("End")
    expect(sweep.root.locator(".mi-live")).to_contain_text("running 9 cells again")
    assert starts(sweep)[-1]["part"] == {"layers": [0, 1, 2], "columns": [11, 12, 13]}
    sweep.wait(state="ready")
    # One that moves at once takes the page with it.
    x, y = sweep.point(2, 13)
    finger("Start", (x, y))
    for far in range(20, 121, 20):
        finger("Move", (x, y - far))
    finger("End")
    sweep.page.wait_for_function("scrollY > 0")
    assert len(starts(sweep)) == 1
    # A tap adds its cell.
    x, y = sweep.point(1, 10)
    finger("Start", (x, y))
    finger("End")
    sweep.wait(selection="L1.resid_pre@10")
    assert [spec["positions"] for spec in added(sweep)] == [[10]]


def test_narrow_columns_name_both_tokens_and_tell_them_whole(sweep: SweepPage) -> None:
    sweep.mount(MIDDLE)
    assert sweep.number("cell") < 32
    box = sweep.canvas.bounding_box()
    assert box is not None
    x, _ = sweep.point(0, 30)
    sweep.page.mouse.move(x, box["y"] + sweep.number("top") - 12)
    expect(sweep.canvas).to_have_attribute("title", "␣word17 / ␣other (30) · clean / corrupted")
    # Teal at the foot of the heading, magenta over it.
    left, half = x - box["x"] - 6, sweep.number("top") / 2

    def hues(low: float, high: float) -> set[str]:
        top = sweep.number("top")
        seen = set(
            sweep.pixels("heatmap", [(left + dx, top - dy) for dx in range(13) for dy in range(int(low), int(high))])
        )
        return {"teal" if green > red + 40 else "magenta" for red, green, _ in seen if abs(green - red) > 40}

    assert hues(6, half - 6) == {"teal"}
    assert hues(half + 6, 2 * half - 2) == {"magenta"}


def test_sites_edits_and_live_edits_are_switched_and_say_why_not(sweep: SweepPage) -> None:
    sweep.mount("{ lacks: { resid_mid: 'attention and MLP run in parallel' } }")
    sweep.root.get_by_role("radio", name="resid_mid").hover()
    expect(sweep.root.get_by_role("tooltip")).to_contain_text("run in parallel")
    sweep.root.get_by_role("radio", name="resid_mid").click(force=True)
    assert starts(sweep) == []
    choose(sweep, "site", "z")
    sweep.wait(site="z", state="ready")
    expect(sweep.canvas).to_have_attribute("aria-colcount", "4")
    sweep.page.mouse.click(*sweep.point(1, 1))
    sweep.wait(selection="L1H1.z")
    assert {key: added(sweep)[-1][key] for key in ("site", "layer", "head", "positions")} == {
        "site": "z", "layer": 1, "head": 1, "positions": None,
    }  # fmt: skip
    choose(sweep, "edit", "zero")
    sweep.page.wait_for_function("shown.model.get('sweep').edit === 'zero'")
    sweep.wait(state="ready")
    toggle = sweep.root.locator("[data-action=on-top]")
    expect(toggle).to_have_attribute("aria-pressed", "false")
    sweep.canvas.press("e")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    sweep.wait(state="ready")
    assert starts(sweep)[-1] == {
        "site": "z", "edit": "zero", "base": "corrupted", "on_top": True, "first": 1, "part": None,
    }  # fmt: skip
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "false")
    sweep.page.wait_for_function("shown.model.get('sweep').on_top === false")
    sweep.wait(state="ready")
    # Another widget, and Python.
    sweep.page.evaluate(
        """() => window.dispatchEvent(new CustomEvent('mi-widgets:link', { detail:
             { experiment: 'experiment-1', source: {}, hover: { layer: 2, head: 3 } } }))"""
    )
    sweep.wait(focus="L2H3.z")
    sweep.kernel_async("m.update({ selection: ['L3H0.pattern@5'] })")
    expect(sweep.root).to_have_attribute("data-selection", "L3H0.pattern@5")
    sweep.root.locator("[data-select=base]").select_option("clean")
    sweep.wait(state="ready", question_rev="3")
    choose(sweep, "numbers", "destroyed")
    expect(sweep.part("heatmap").locator(".mi-sweep-legend")).to_contain_text("destroyed")


def test_long_prompts_and_deep_models_draw_what_is_on_screen(sweep: SweepPage) -> None:
    sweep.mount(LONG)
    assert sweep.number("first") == 137, "from a little before the tokens differ"
    end = int(sweep.number("end"))
    assert end < 256
    box = sweep.canvas.bounding_box()
    assert box is not None
    sweep.page.mouse.click(box["x"] + sweep.number("left") - 5, box["y"] + sweep.number("top") + 10)
    expect(sweep.root.locator(".mi-live")).to_contain_text("of 256")
    assert sweep.number("first") < 137
    sweep.canvas.press("End")
    sweep.wait(focus="L0.resid_pre@255")
    assert sweep.number("end") == 256
    sweep.kernel_async("m.update({ selection: ['L2.resid_pre@4'] })")
    sweep.page.wait_for_function("Number(document.querySelector('canvas').dataset.first) <= 4")
    sweep.page.reload()
    sweep.open().mount(DEEP)
    assert sweep.canvas.get_attribute("aria-rowcount") == "48"
    sweep.canvas.focus()
    sweep.page.keyboard.press("ArrowDown")
    sweep.page.keyboard.press("PageDown")
    sweep.wait(focus="L47.resid_pre@47")
    assert sweep.page.evaluate("scrollY") == 0 or sweep.canvas.is_visible()


def test_holes_errors_and_hostile_tokens(sweep: SweepPage) -> None:
    hostile = "labels: ['‹bos›', '</script><script>alert(1)</script>', '<b>bold</b>', '\\u202eabc', 'x'.repeat(20000)]"
    sweep.mount(
        f"{{ alone: true, choice: {{ edit: 'zero' }}, text: 'hostile', {hostile}, "
        "nan: (row, at) => row === 1 && at === 2, missing: { 3: 'layer 3 has no attention' } }"
    )
    sweep.wait(view="change")
    sweep.root.get_by_role("radio", name="destroyed", exact=True).hover()
    expect(sweep.root.get_by_role("tooltip")).to_contain_text("no corrupted prompt")
    expect(sweep.part("heatmap").locator("b")).to_have_count(0)
    sweep.page.mouse.move(*sweep.point(1, 2))
    expect(sweep.part("readout")).to_contain_text("the run gave no number")
    sweep.page.mouse.move(*sweep.point(3, 2))
    expect(sweep.part("readout")).to_contain_text("layer 3 has no attention")
    sweep.page.mouse.click(*sweep.point(3, 2))
    assert added(sweep) == []
    x, y = sweep.place(3, 2)
    seen = set(sweep.pixels("heatmap", [(x + dx, y + dy) for dx in range(-12, 13, 3) for dy in (-6, 0, 6)]))
    assert (255, 255, 255) in seen
    assert len(seen) > 1, "hatched"
    # A failure keeps the map, gives the choice back and can be tried again.
    sweep.kernel_async("k.mode.fail['sweep.start'] = { error: 'X', message: 'no', hint: '', retryable: true }")
    sweep.root.get_by_role("radio", name="attn_out", exact=True).click()
    sweep.wait(state="failed", site="resid_pre")
    expect(sweep.root.get_by_role("alert")).to_contain_text("The map failed")
    expect(sweep.root.get_by_role("radio", name="resid_pre", exact=True)).to_be_checked()
    sweep.kernel_async("k.mode.fail = {}")
    sweep.root.locator("[data-action=retry]").click()
    sweep.wait(state="ready")


def test_several_prompts_have_an_error_and_a_finished_map_needs_no_kernel(sweep: SweepPage) -> None:
    sweep.mount(MANY)
    sweep.page.mouse.move(*sweep.point(0, 10))
    expect(sweep.part("readout")).to_have_text(re.compile(r"recovered [\d.]+ ± 0\.04, exact"))
    expect(sweep.part("sweep-card")).to_contain_text("mean of 3 prompts")
    expect(sweep.part("footer")).to_contain_text("mean over 3 prompts")
    expect(sweep.part("sweep-card").locator("[data-measure=recovered] dd")).to_contain_text("± 0.04")
    sweep.page.reload()
    sweep.open().mount("{ result: true }")
    expect(sweep.root).to_contain_text("A finished sweep")
    sweep.page.mouse.click(*sweep.point(1, 10))
    sweep.wait(selection="L1.resid_pre@10")
    choose(sweep, "numbers", "change")
    sweep.wait(view="change")
    sweep.root.get_by_role("radio", name="z", exact=True).click(force=True)
    assert sweep.sent("request") == []
    value = sweep.cell(1, 10)["metric"] + 4.62
    expect(sweep.part("sweep-card").locator("[data-measure=change] dd")).to_have_text(f"+{value:.2f}")
    assert math.isfinite(value)


def test_the_figure_is_the_map(sweep: SweepPage) -> None:
    sweep.mount()
    sweep.root.locator("[data-action=menu]").click()
    with sweep.page.expect_download() as waiting:
        sweep.root.locator("[data-action=save-svg]").click()
    svg = waiting.value.path().read_text(encoding="utf-8")
    for row, column in ((0, 10), (1, 11), (3, 14)):
        assert number(sweep.cell(row, column)["recovered"]) in svg
    for text in ("John", "Mary", "L3", "recovered: resid_pre patched into the corrupted run"):
        assert text in svg
