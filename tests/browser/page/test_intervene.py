"""Interventions: choosing, the effect before and after, keeping, the list of edits, what a head writes."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.page.plain_page import Plain

TWO = "{ corrupted: shim.CORRUPTED }"


def lock(plain: Plain, options: str = "{}") -> Plain:
    plain.mount(options)
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.page.mouse.move(0, 0)
    plain.wait(selection="L1H1.pattern")
    return plain


def kind(plain: Plain, name: str) -> Locator:
    return plain.part("intervene").get_by_role("radio", name=name, exact=True)


def effect(plain: Plain, *texts: str) -> None:
    for text in texts:
        expect(plain.part("effect")).to_contain_text(text)


def test_nothing_runs_before_a_person_chooses(plain: Plain) -> None:
    lock(plain)
    effect(plain, "logit difference Mary − John", "clean", "+4.71")
    assert plain.sent("heads.effect") == []
    kind(plain, "zero").click()
    effect(plain, "total effect", "base", "+4.71", "ablated", "+1.64", "Next token", "0.93 → 0.61")
    assert [it["params"] for it in plain.sent("heads.effect")] == [{"run": "clean", "what": "zero", "heads": [[1, 1]]}]
    expect(plain.root.locator(".mi-live")).to_contain_text("zero L1H1: logit difference 1.64, was 4.71")


def test_bars_have_the_roles_and_lengths_of_their_values(plain: Plain) -> None:
    lock(plain)
    kind(plain, "zero").click()
    effect(plain, "ablated")
    bars = (
        plain.part("effect")
        .locator(".mi-bar")
        .evaluate_all(
            "bars => bars.map(bar => [getComputedStyle(bar).backgroundColor, bar.getBoundingClientRect().width])"
        )
    )
    (base, long), (ablated, short) = bars[:2]
    assert (base, ablated) == ("rgb(15, 127, 134)", "rgb(37, 99, 235)"), "clean is teal, what is edited blue"
    assert short / long == pytest.approx(1.64 / 4.71, abs=0.01)


def test_kinds_on_the_keyboard_and_put_away(plain: Plain) -> None:
    lock(plain)
    kind(plain, "zero").focus()
    plain.page.keyboard.press("Enter")
    effect(plain, "+1.64")
    plain.page.keyboard.press("ArrowRight")
    expect(kind(plain, "mean")).to_have_attribute("aria-checked", "true")
    effect(plain, "+2.71")
    plain.page.keyboard.press("Enter")
    expect(kind(plain, "mean")).to_have_attribute("aria-checked", "false")
    expect(plain.part("effect")).not_to_contain_text("ablated")
    plain.part("atlas").locator("canvas[role=grid]").first.focus()
    plain.page.keyboard.press("a")
    effect(plain, "+1.64")


def test_an_edge_is_cut_by_clicking_its_cell(plain: Plain) -> None:
    lock(plain)
    kind(plain, "knock out").click()
    expect(plain.part("intervene-hint")).to_contain_text("Pick a cell of the pattern")
    assert plain.sent("heads.effect") == []
    plain.page.mouse.click(*plain.cell_centre(10, 4))
    effect(plain, "cut", f"+{4.71 - 1.54:.2f}")
    sent = plain.sent("heads.effect")[-1]["params"]
    assert (sent["what"], sent["dest"], sent["src"]) == ("knockout", 10, 4)
    plain.page.mouse.click(*plain.cell_centre(12, 3))
    effect(plain, f"+{4.71 - 1.73:.2f}")


def test_a_picked_cell_offers_to_be_cut_and_to_rank_by(plain: Plain) -> None:
    lock(plain)
    canvas = plain.part("focus").locator("canvas[role=grid]")
    canvas.focus()
    for key in ("ArrowUp",) * 4 + ("ArrowLeft",) * 10 + ("Enter",):
        plain.page.keyboard.press(key)
    expect(plain.root.locator("[data-action=cut-cell]")).to_be_visible()
    plain.page.keyboard.press("k")
    effect(plain, "cut", f"+{4.71 - 1.54:.2f}")
    plain.page.keyboard.press("r")
    plain.page.wait_for_function("shown.model.sent.some(it => it.op === 'heads.rank')")
    assert plain.sent("heads.rank")[-1]["params"]["dest"] == 10


def test_a_row_is_drawn_and_overwrites_the_pattern(plain: Plain) -> None:
    lock(plain)
    plain.part("strip").locator("[data-token]").nth(10).click()
    plain.page.mouse.move(0, 0)
    kind(plain, "pattern…").click()
    rail = plain.part("row")
    expect(rail.locator("i")).to_have_count(11)
    box = rail.bounding_box()
    assert box is not None
    before = plain.part("intervene").inner_text()
    assert "sum 1.00" in before
    plain.root.locator("[data-action=row-first]").click()
    effect(plain, "new row", "+4.71")
    plain.page.wait_for_function(
        "shown.model.sent.filter(it => it.op === 'heads.effect').at(-1).params.weights[0] === 1"
    )
    x = box["x"] + (2.5 / 11) * box["width"]
    plain.page.mouse.move(x, box["y"] + box["height"] * 0.9)
    plain.page.mouse.down()
    plain.page.mouse.move(x, box["y"] + box["height"] * 0.25, steps=4)
    plain.page.mouse.up()
    expect(plain.part("intervene")).to_contain_text("to Mary (2)")
    expect(plain.part("intervene")).to_contain_text("sum 1.7")
    rail.focus()
    plain.page.keyboard.press("ArrowUp")
    plain.page.keyboard.press("ArrowLeft")
    expect(rail).to_have_attribute("aria-valuetext", "to When (1): 0.00")
    plain.root.locator("[data-action=row-sum]").click()
    expect(plain.part("intervene")).to_contain_text("sum 1.00")
    plain.page.wait_for_function(
        "shown.model.sent.filter(it => it.op === 'heads.effect').at(-1).params.weights[0] < 0.6"
    )
    weights = plain.sent("heads.effect")[-1]["params"]["weights"]
    assert len(weights) == 15
    assert sum(weights) == pytest.approx(1)
    assert weights[11:] == [0, 0, 0, 0]


def test_kept_edits_are_chips_that_can_be_switched_moved_removed_and_undone(plain: Plain) -> None:
    lock(plain, TWO)
    for name in ("zero", "mean"):
        kind(plain, name).click()
        effect(plain, "ablated")
        plain.root.locator("[data-action=keep]").click()
        expect(plain.part("edits")).to_contain_text(f"{name} L1H1")
        expect(plain.part("effect")).not_to_contain_text("ablated")
    expect(plain.root.get_by_role("combobox", name="base")).to_have_value("clean")
    labels = plain.part("edits").locator("[data-action=toggle-edit]")
    assert labels.all_inner_texts() == ["zero L1H1", "mean L1H1"]
    labels.first.click()
    expect(labels.first).to_have_attribute("aria-pressed", "false")
    labels.first.focus()
    plain.page.keyboard.press("Shift+ArrowRight")
    expect(labels.first).to_have_text("mean L1H1")
    plain.page.keyboard.press("Control+z")
    expect(labels.first).to_have_text("zero L1H1")
    labels.nth(1).focus()
    plain.page.keyboard.press("Delete")
    expect(labels).to_have_count(1)
    plain.page.keyboard.press("Control+z")
    expect(labels).to_have_count(2)
    plain.page.keyboard.press("Control+Shift+z")
    expect(labels).to_have_count(1)
    plain.root.locator("[data-action=clear-edits]").click()
    expect(labels).to_have_count(0)
    plain.root.locator("[data-action=undo]").click()
    expect(labels).to_have_count(1)
    plain.root.locator("[data-action=remove-edit]").click()
    expect(labels).to_have_count(0)


def test_undo_in_a_text_is_the_text_s_own(plain: Plain) -> None:
    lock(plain)
    kind(plain, "zero").click()
    effect(plain, "ablated")
    plain.root.locator("[data-action=keep]").click()
    labels = plain.part("edits").locator("[data-action=toggle-edit]")
    expect(labels).to_have_count(1)
    plain.root.locator("[data-action=prompt]").click()
    plain.page.keyboard.press("Control+z")
    plain.page.keyboard.press("Escape")
    expect(labels).to_have_count(1)
    assert plain.sent("edits.undo") == []


def test_what_a_head_writes_is_asked_for_when_it_is_looked_at(plain: Plain) -> None:
    lock(plain)
    assert plain.sent("heads.writes") == []
    plain.part("intervene").get_by_role("radio", name="writes").click()
    writes = plain.part("writes")
    expect(writes).to_contain_text("L1.H1 at to (14) · direct effect · answer direction +3.80 logits")
    expect(writes).to_contain_text("+4.24")
    expect(writes).to_contain_text("−4.24")
    plain.part("strip").locator("[data-token]").nth(4).click()
    expect(writes).to_contain_text("L1.H1 at John (4)")
    assert [it["params"]["position"] for it in plain.sent("heads.writes")] == [14, 4]


def test_a_failure_says_why_in_place_and_can_be_tried_again(plain: Plain) -> None:
    lock(plain)
    plain.kernel_async(
        "k.mode.fail['heads.effect'] = { error: 'BadInput', message: 'resample needs a corrupted prompt.', "
        "hint: 'Give one.', retryable: true }"
    )
    kind(plain, "resample").click()
    alert = plain.part("intervene").get_by_role("alert")
    expect(alert).to_contain_text("resample needs a corrupted prompt. Give one.")
    expect(plain.root.locator("[data-action=keep]")).to_have_attribute("aria-disabled", "true")
    plain.wait(state="ready")
    plain.kernel_async("delete k.mode.fail['heads.effect']")
    plain.root.locator("[data-action=retry-effect]").click()
    effect(plain, "+3.71")
    expect(alert).to_be_hidden()


def test_a_slow_effect_is_announced_and_the_old_one_stays_dimmed(plain: Plain) -> None:
    lock(plain)
    kind(plain, "zero").click()
    effect(plain, "+1.64")
    plain.kernel_async("k.mode.holdEffect = true")
    kind(plain, "mean").click()
    expect(plain.part("effect")).to_have_attribute("aria-busy", "true")
    expect(plain.part("effect")).to_contain_text("+1.64")
    expect(plain.root.locator("[data-notice=running]")).to_be_visible()
    plain.kernel_async("k.pendingEffect()")
    effect(plain, "+2.71")
    expect(plain.part("effect")).to_have_attribute("aria-busy", "false")


@pytest.mark.parametrize(
    ("facts", "seen"),
    [
        ("{ after: -2.3 }", "−2.30"),
        ("{ base: 0, after: 0 }", "0.00"),
        ("{ after: 3.2e9 }", "+3.2e9"),
        ("{ after: null }", "not finite"),
    ],
)
def test_values_beyond_the_usual_draw_sensibly(plain: Plain, facts: str, seen: str) -> None:
    lock(plain, f"{{ effect: {facts} }}")
    kind(plain, "zero").click()
    effect(plain, seen)
    panel = plain.part("effect").bounding_box()
    assert panel is not None
    for bar in plain.part("effect").locator(".mi-bar").all():
        box = bar.bounding_box()
        assert box is not None
        assert panel["x"] - 1 <= box["x"] <= box["x"] + box["width"] <= panel["x"] + panel["width"] + 1


def test_hostile_tokens_and_notes_are_text(plain: Plain) -> None:
    label = "</script><img src=x onerror=alert(1)>"
    lock(plain, f"{{ note: '<b>x</b>', tokens: [{{ id: 1, label: '{label}', before: 0.5, after: null }}] }}")
    kind(plain, "zero").click()
    effect(plain, "<b>x</b>", "0.50 → not finite")
    assert plain.part("effect").locator("img, script, .mi-note b").count() == 0
    plain.root.locator("[data-action=keep]").click()
    expect(plain.part("edits")).to_be_visible()


def test_without_a_kernel_the_kinds_say_why_they_are_off(plain: Plain) -> None:
    plain.mount("{ deafSend: true }")
    plain.wait(state="offline")
    expect(kind(plain, "zero")).to_have_attribute("aria-disabled", "true")
    expect(plain.part("intervene-hint")).to_contain_text("Opened without a kernel")
    kind(plain, "zero").hover()
    expect(plain.root.get_by_role("tooltip")).to_contain_text("Opened without a kernel")


def test_made_from_arrays_there_is_no_model_to_intervene_on(plain: Plain) -> None:
    lock(plain, "{ arrays: true }")
    plain.wait(state="ready")
    expect(kind(plain, "zero")).to_have_attribute("aria-disabled", "true")
    expect(plain.part("intervene-hint")).to_contain_text("Made from arrays: there is no model to run")
    plain.part("intervene").get_by_role("radio", name="writes").click()
    expect(plain.part("intervene-hint")).to_contain_text("Made from arrays")
    expect(plain.root.get_by_role("radio", name="value-weighted")).to_have_attribute("aria-disabled", "true")
    plain.page.mouse.move(*plain.cell_centre(10, 4))
    expect(plain.part("readout")).to_contain_text("exactly")
    assert plain.sent("heads.effect") == plain.sent("heads.writes") == []


def test_two_views_show_one_intervention(plain: Plain) -> None:
    plain.mount(views=2)
    plain.page.mouse.click(*plain.head_centre(1, 1))
    kind(plain, "zero").click()
    for view in plain.page.locator(".mi-widget").all():
        expect(view.locator("[data-part=effect]")).to_contain_text("+1.64")
    assert len(plain.sent("heads.effect")) == 1


@pytest.mark.parametrize("width", [480, 760, 1180])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_overlaps_or_leaves_its_panel(plain: Plain, width: int, dark: bool) -> None:
    plain.page.set_viewport_size({"width": width, "height": 900})
    if dark:
        plain.page.evaluate("document.body.classList.add('dark')")
    lock(plain, TWO)
    plain.page.mouse.click(*plain.cell_centre(10, 4))
    kind(plain, "pattern…").click()
    effect(plain, "new row")
    plain.root.locator("[data-action=keep]").click()
    expect(plain.part("edits")).to_be_visible()
    kind(plain, "pattern…").click()
    effect(plain, "new row")
    clashes = plain.root.evaluate(
        """root => {
          const parts = [...root.querySelectorAll('.mi-focus, .mi-side')].flatMap(
            it => [...it.querySelectorAll('button, canvas, input, .mi-bar-row, .mi-token, .mi-row-rail')]);
          const seen = parts.filter(it => it.checkVisibility() && it.getClientRects().length)
            .map(it => [it, it.getBoundingClientRect()]);
          const frame = root.getBoundingClientRect();
          const out = seen.filter(([, box]) => box.left < frame.left || box.right > frame.right + 0.5);
          const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1
            || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
          const over = seen.flatMap(([a, p], i) => seen.slice(i + 1)
            .filter(([b, q]) => !a.contains(b) && !apart(p, q)).map(([b]) => [a, b]));
          const name = it => it.className + ' ' + it.textContent.slice(0, 20);
          return [...out.map(([it]) => name(it)), ...over.map(pair => pair.map(name).join(' × '))];
        }"""
    )
    assert clashes == []
