"""The lens table: what its cells show, what can be done with them by pointer and by key, and what a person reads."""

from __future__ import annotations

import math
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.page.lens_page import LensPage
from tests.browser.page.ramp import DIVERGING_LIGHT, SEQUENTIAL_DARK, SEQUENTIAL_LIGHT, close, colour

TWO = "{ corrupted: shim.CORRUPTED }"
EDIT = "{ label: 'zero L2H1.z', on: true, site: 'L2H1.z', note: '' }"
EDITED = f"{{ run: 'edited', edits: [{EDIT}] }}"
DEEP = (
    "{ layers: 40, heads: 8, name: 'deep', text: 'w', labels: ['‹bos›', "
    "...Array.from({length: 511}, (_, i) => '␣word' + (i * 7) % 31)] }"
)
ROWS, POSITIONS = 5, 15


def choose(lens: LensPage, group: str, name: str) -> None:
    lens.root.get_by_role("radiogroup", name=group, exact=True).get_by_role("radio", name=name, exact=True).click()


def picture(lens: LensPage) -> str:
    """The table's pixels."""
    found: str = lens.canvas.evaluate("it => it.toDataURL()")
    return found


def runs(lens: LensPage) -> list[dict[str, Any]]:
    return [request["params"] for request in lens.sent("lens.run")]


# --- what is drawn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dark", "stops"), [(False, SEQUENTIAL_LIGHT), (True, SEQUENTIAL_DARK)])
def test_every_cell_has_the_colour_of_its_probability(lens: LensPage, dark: bool, stops: list[str]) -> None:
    lens.open(dark=dark).mount()
    cells = [(row, position) for row in range(ROWS) for position in range(POSITIONS)]
    for cell, seen in zip(cells, lens.corners(cells), strict=True):
        assert close(seen, colour(stops, lens.cell(*cell)["value"])), cell


def test_the_table_in_words_is_what_the_kernel_has(lens: LensPage) -> None:
    lens.mount()
    lens.root.locator("[data-action=lens-table]").click()
    rows = lens.part("lens-grid").locator("tbody tr")
    expect(rows).to_have_count(ROWS)
    for row, name in enumerate(("input", "L0", "L1", "L2", "L3")):
        assert rows.nth(row).locator("th").inner_text() == name
        for position in range(POSITIONS):
            cell = lens.cell(row, position)
            value = cell["value"]
            number = f"{value:.2f}" if value >= 0.005 else f"{value:.4f}"
            label = cell["top"][0]["label"].replace("\n", "↵")
            assert rows.nth(row).locator("td").nth(position).inner_text() == f"{label} {number}"
    expect(lens.canvas).to_be_hidden()
    lens.root.locator("[data-action=lens-table]").click()
    expect(lens.canvas).to_be_visible()


def test_measures_have_scales_of_their_own_and_holes_are_hatched(lens: LensPage) -> None:
    lens.mount(TWO)
    choose(lens, "colour", "logit diff")
    lens.wait(measure="logit_diff", state="ready")
    expect(lens.part("lens").locator(".mi-lens-scale")).to_have_text("logit difference −8.00+8.00")
    for row, position in ((0, 3), (2, 1), (4, 14)):
        share = (lens.cell(row, position)["value"] / 8 + 1) / 2
        assert close(lens.corner(row, position), colour(DIVERGING_LIGHT, share)), (row, position)
    choose(lens, "colour", "rank")
    lens.wait(measure="rank", state="ready")
    worst = lens.kernel("k.vocabulary.length - 1")
    for row, position in ((0, 3), (2, 1), (4, 14)):
        share = 1 - math.log1p(lens.cell(row, position)["value"]) / math.log1p(worst)
        assert close(lens.corner(row, position), colour(SEQUENTIAL_LIGHT, share)), (row, position)
    choose(lens, "colour", "cross-entropy")
    lens.wait(measure="cross_entropy", state="ready")
    x, y = lens.place(4, POSITIONS - 1)
    half = (15, 8)
    near = [(x + dx, y + dy) for dx in range(-half[0], half[0], 2) for dy in (-half[1], half[1] - 1)]
    seen = set(lens.pixels("lens", near))
    assert (255, 255, 255) in seen
    assert len(seen) > 1, "hatched"
    lens.page.mouse.move(*lens.point(4, POSITIONS - 1))
    expect(lens.part("readout")).to_contain_text("no cross-entropy: no token comes after this one")
    lens.page.mouse.move(0, 0)
    choose(lens, "run", "difference")
    lens.wait(run="difference", state="ready")
    value = lens.cell(2, 4)["value"]
    assert close(lens.corner(2, 4), colour(DIVERGING_LIGHT, (value / 8 + 1) / 2))


def test_contributions_are_never_probabilities(lens: LensPage) -> None:
    lens.mount()
    choose(lens, "rows", "sublayers")
    expect(lens.canvas).to_have_attribute("aria-rowcount", "17")
    assert runs(lens)[-1]["sublayers"] is True
    top = lens.cell(1, 4)["top"][0]
    lens.page.mouse.move(*lens.point(1, 4))
    lens.wait(focus="L0.attn_out@4")
    expect(lens.part("readout")).to_contain_text(f"promotes {top['label']}, logit +{top['value']:.2f}")
    reach = lens.kernel(
        "Math.max(...[1, 3, 5, 7, 9, 11, 13, 15].flatMap(row => k.prompts.clean.labels.map((_, at) => "
        "k.cell(row, at).top[0].value)))"
    )
    x, y = lens.place(1, 6)
    seen = lens.pixel("lens", x - lens_width(lens) / 2 + 4, y - 6)
    assert close(seen, colour(DIVERGING_LIGHT, (lens.cell(1, 6)["top"][0]["value"] / reach + 1) / 2))
    choose(lens, "rows", "residual")
    expect(lens.canvas).to_have_attribute("aria-rowcount", "5")


def lens_width(lens: LensPage) -> float:
    return float(lens.canvas.get_attribute("data-cell") or 0)


# --- pointer ---------------------------------------------------------------------------------------------------------


def test_hover_describes_click_selects_and_other_widgets_hear_of_it(lens: LensPage) -> None:
    lens.mount(views=2)
    lens.wait(focus="L3.resid_post@14")
    lens.page.evaluate(
        "window.heard = []; window.addEventListener('mi-widgets:link', event => heard.push(event.detail))"
    )
    lens.page.mouse.move(*lens.point(2, 6))
    lens.wait(focus="L1.resid_post@6")
    top = lens.cell(2, 6)["top"][0]["label"]
    expect(lens.part("readout")).to_have_text(f"L1 · ␣to (6), {top}, probability {lens.cell(2, 6)['value']:.2f}")
    lens.page.mouse.move(*lens.point(0, 5))
    lens.wait(focus="L0.resid_pre@5")
    lens.page.mouse.click(*lens.point(3, 10))
    lens.wait(selection="L2.resid_post@10")
    lens.page.mouse.move(0, 0)
    hovers = [it["hover"] for it in lens.page.evaluate("heard") if "hover" in it]
    assert {"layer": 1, "position": 6} in hovers
    assert {"position": 5} in hovers, "the input is of no layer"
    assert hovers[-1] is None
    second = lens.page.locator(".mi-widget").nth(1)
    expect(second).to_have_attribute("data-focus", "L2.resid_post@10")
    lens.page.wait_for_function("shown.model.saved.some(it => it.selection?.[0] === 'L2.resid_post@10')")
    # The name of a row and the heading of a position move the selection along one axis.
    x, y = lens.point(1, 0)
    lens.page.mouse.click(x - lens_width(lens), y)
    lens.wait(selection="L0.resid_post@10")
    x, y = lens.point(0, 4)
    lens.page.mouse.click(x, y - 24)
    lens.wait(selection="L0.resid_post@4")
    lens.page.mouse.click(*lens.point(1, 4))
    lens.wait(selection="")
    lens.page.mouse.move(0, 0)
    for hover, focus in (("{ layer: 1, position: 3 }", "L1.resid_post@3"), ("null", "L3.resid_post@14")):
        lens.page.evaluate(
            f"""() => window.dispatchEvent(new CustomEvent('mi-widgets:link', {{ detail:
                 {{ experiment: 'experiment-1', source: {{}}, hover: {hover} }} }}))"""
        )
        lens.wait(focus=focus)
    lens.kernel_async("m.update({ selection: ['L2H1.pattern@7<3'] })")
    lens.wait(focus="L2.resid_post@7")


# --- keys ------------------------------------------------------------------------------------------------------------


def test_every_gesture_has_a_key(lens: LensPage) -> None:
    lens.mount(EDITED)
    live = lens.root.locator(".mi-live")
    press = lens.page.keyboard.press
    lens.canvas.focus()
    press("ArrowUp")
    lens.wait(focus="L2.resid_post@14")
    expect(live).to_contain_text("L2 · ␣to (14), ␣John, probability")
    expect(live).to_contain_text("changed by the edit")
    assert lens.canvas.get_attribute("aria-activedescendant")
    expect(lens.canvas.locator("[role=gridcell]")).to_have_attribute("aria-colindex", "15")
    for key, focus in (
        ("ArrowLeft", "L2.resid_post@13"),
        ("Home", "L2.resid_post@0"),
        ("PageUp", "L0.resid_pre@0"),
        ("End", "L0.resid_pre@14"),
        ("PageDown", "L3.resid_post@14"),
        ("ArrowDown", "L3.resid_post@14"),
    ):
        press(key)
        lens.wait(focus=focus)
    press("ArrowLeft")
    press("Space")
    lens.wait(selection="L3.resid_post@13")
    press("[")
    lens.wait(selection="L2.resid_post@13")
    press("]")
    lens.wait(selection="L3.resid_post@13")
    pins = lens.root.locator(".mi-pin-chip")
    before = pins.count()
    press("Enter")
    expect(live).to_contain_text(" pinned")
    expect(pins).to_have_count(before + 1)
    press("p")
    expect(live).to_contain_text("unpinned")
    expect(pins).to_have_count(before)
    press("Escape")
    lens.wait(selection="")
    press("e")
    lens.wait(run="clean", state="ready")
    press("e")
    lens.wait(run="edited", state="ready")
    press("c")
    lens.wait(run="change", state="ready")
    press("c")
    lens.wait(run="clean", state="ready")
    press("?")
    expect(lens.root.get_by_role("dialog")).to_contain_text("open an amber row")
    press("Escape")
    expect(lens.canvas).to_be_focused()


def test_switches_ask_for_what_they_say_and_those_that_are_off_say_why(lens: LensPage) -> None:
    lens.mount("{ answers: { answer: null, distractor: null }, translators: null }")
    lens.root.get_by_role("radio", name="prob", exact=True).first.focus()
    lens.page.keyboard.press("ArrowRight")
    expect(lens.root.get_by_role("tooltip")).to_contain_text("There is no answer")
    assert runs(lens) == []
    lens.page.keyboard.press("ArrowRight")
    lens.wait(measure="entropy", state="ready")
    choose(lens, "lens", "tuned")
    lens.page.wait_for_function("shown.model.get('lens').tuned")
    lens.wait(state="ready")
    expect(lens.part("provenance")).to_contain_text("tuned lens")
    assert runs(lens) == [
        {"run": "clean", "measure": "entropy", "sublayers": False, "tuned": False},
        {"run": "clean", "measure": "entropy", "sublayers": False, "tuned": True},
    ]
    lens.root.get_by_role("radio", name="edited", exact=True).hover()
    expect(lens.root.get_by_role("tooltip")).to_contain_text("No edit is switched on.")
    lens.root.get_by_role("radio", name="KL", exact=True).hover()
    expect(lens.root.get_by_role("tooltip")).to_contain_text("KL(final ‖ row)")
    lens.part("lens").locator(".mi-lens-scale").hover()
    expect(lens.root.get_by_role("tooltip")).to_contain_text("definitions, section 5")


# --- edits -----------------------------------------------------------------------------------------------------------


def test_the_edited_run_is_said_and_marked_and_gone_with_the_edit(lens: LensPage) -> None:
    lens.mount(f"{{ edits: [{{ ...{EDIT}, on: false }}] }}")
    plain = picture(lens)
    edited = lens.part("edited")
    expect(edited).to_contain_text("edits off:")
    edited.locator("[data-action=toggle-edit]").click()
    lens.wait(run="edited", state="ready")
    lens.page.mouse.move(0, 0)
    expect(edited).to_contain_text("edited run:")
    expect(lens.part("lens")).to_contain_text("changed by the edit")
    assert picture(lens) != plain
    dot = (245, 158, 11)
    for row in range(ROWS):
        x, y = lens.place(row, POSITIONS - 1)
        at = lens.pixel("lens", x + lens_width(lens) / 2 - 4.5, y - 6)
        assert close(at, dot, 40) == lens.cell(row, POSITIONS - 1)["changed"], row
    edited.locator("[data-action=toggle-edit]").press("Enter")
    lens.wait(run="clean", state="ready")
    assert picture(lens) == plain, "the old table, pixel for pixel"
    edited.locator("[data-action=remove-edit]").click()
    expect(edited.locator(".mi-edit")).to_have_count(0)
    lens.canvas.focus()
    lens.page.keyboard.press("Control+z")
    expect(edited.locator(".mi-edit")).to_have_count(1)


# --- folds and windows -----------------------------------------------------------------------------------------------


def test_folded_rows_and_positions_open_where_they_are(lens: LensPage) -> None:
    lens.mount(DEEP)
    assert lens.sent("lens.cells") == [], "what is on screen at first came with the picture"
    lines = lens.canvas.get_attribute("data-rows") or ""
    assert lines.split()[:3] == ["0", "-", "2"] or lines.split().count("-") > 5
    rows = int(lens.canvas.get_attribute("aria-rowcount") or 0)
    assert rows == 41
    expect(lens.part("lens")).to_contain_text("rows folded, click to open")
    low, high = (int(lens.canvas.get_attribute(f"data-{name}") or 0) for name in ("first", "end"))
    lens.page.mouse.click(*lens.point(None, 505))
    expect(lens.root.locator(".mi-live")).to_contain_text("opened")
    lens.page.wait_for_function("shown.model.sent.some(it => it.op === 'lens.cells')")
    lens.wait(state="ready")
    asked = lens.sent("lens.cells")[0]["params"]
    assert asked["columns"] == [low, high], "only what is on screen"
    opened = asked["rows"][0]
    lens.page.wait_for_function("document.querySelector('.mi-widget').dataset.cells >= 2")
    assert close(lens.corner(opened, 505), colour(SEQUENTIAL_LIGHT, lens.cell(opened, 505)["value"]))
    # The strip on the left stands for the positions before, and turns a page.
    x, y = lens.point(0, low)
    lens.page.mouse.click(x - lens_width(lens) / 2 - 8, y)
    expect(lens.canvas).to_have_attribute("data-end", str(low + 1))
    lens.page.wait_for_function("document.querySelector('.mi-widget').dataset.cells >= 3")
    position = low - 3
    assert close(lens.corner(0, position), colour(SEQUENTIAL_LIGHT, lens.cell(0, position)["value"]))
    lens.page.mouse.click(*lens.point(0, position))
    lens.wait(selection=f"L0.resid_pre@{position}")
    # The same by keys: on to a fold, open it; a step beyond the edge brings the next positions.
    lens.canvas.focus()
    lens.page.keyboard.press("End")
    expect(lens.canvas).to_have_attribute("data-end", "512")
    lens.page.keyboard.press("PageDown")
    before = (lens.canvas.get_attribute("data-rows") or "").split()
    for _ in range(2):
        lens.page.keyboard.press("ArrowUp")
        if "folded: Enter opens" in lens.root.locator(".mi-live").inner_text():
            break
    expect(lens.root.locator(".mi-live")).to_contain_text("folded: Enter opens")
    lens.page.keyboard.press("Enter")
    lens.page.wait_for_function(
        "count => document.querySelector('canvas').dataset.rows.split(' ').length > count", arg=len(before)
    )
    lens.page.keyboard.press("Home")
    lens.wait(focus=(lens.root.get_attribute("data-focus") or "").split("@")[0] + "@0")
    expect(lens.canvas).to_have_attribute("data-first", "0")
    lens.root.locator("[data-action=fold]").click()
    expect(lens.root.locator("[data-action=fold]")).to_be_hidden()
    # Python selects a cell in a fold: its row opens, its position comes into view.
    lens.kernel_async("m.update({ selection: ['L1.resid_post@300'] })")
    lens.wait(focus="L1.resid_post@300")
    lens.page.wait_for_function(
        """() => { const { rows, first, end } = document.querySelector('canvas').dataset;
                 return rows.split(' ').includes('2') && first <= 300 && end > 300; }"""
    )


def test_many_open_rows_scroll_inside_the_widget_under_their_headings(lens: LensPage) -> None:
    lens.mount(DEEP)
    while "-" in (lens.canvas.get_attribute("data-rows") or "").split():
        rows = len((lens.canvas.get_attribute("data-rows") or "").split())
        lens.page.mouse.click(*lens.point(None, 505))
        lens.page.wait_for_function(
            "count => document.querySelector('canvas').dataset.rows.split(' ').length !== count", arg=rows
        )
    scroller = lens.root.locator(".mi-lens-scroll")
    assert scroller.evaluate("it => it.scrollHeight > it.clientHeight")
    assert (lens.root.bounding_box() or {})["height"] < 900
    lens.page.evaluate("scrollTo(0, 0)")
    lens.canvas.focus()
    for row, key in ((0, "PageUp"), (40, "PageDown")):
        lens.page.keyboard.press(key)
        lens.page.wait_for_function(
            "([row]) => { const it = document.querySelector('.mi-lens-scroll');"
            " return row ? it.scrollTop > 0 : it.scrollTop === 0; }",
            arg=[row],
        )
        lens.wait(state="ready")
        lens.page.wait_for_function("shown.kernel.held.length === 0")
        site = "L0.resid_pre" if row == 0 else "L39.resid_post"
        lens.wait(focus=f"{site}@511")
        assert close(lens.corner(row, 509), colour(SEQUENTIAL_LIGHT, lens.cell(row, 509)["value"])), row
    assert lens.page.evaluate("scrollY") == 0
    x, y = lens.point(40, 508)
    lens.page.mouse.move(x, y)
    lens.wait(focus="L39.resid_post@508")


def test_a_prompt_is_whole_where_the_panel_beside_the_table_can_spare_the_room(lens: LensPage) -> None:
    lens.mount("{}")
    for width in (900, 960, 1080, 1220):
        lens.page.set_viewport_size({"width": width, "height": 900})
        # It is drawn anew in the frames that follow.
        lens.page.wait_for_function(
            "() => document.querySelector('.mi-lens-table').clientWidth"
            " >= document.querySelector('.mi-lens-table canvas').clientWidth"
        )
        expect(lens.canvas).to_have_attribute("data-end", "15")
        expect(lens.canvas).to_have_attribute("data-first", "0")
        boxes = [lens.root.locator(part).bounding_box() for part in (".mi-lens-table", ".mi-lens-side")]
        table, side = (box for box in boxes if box)
        assert side["x"] >= table["x"] + table["width"], "the panel is beside the table"
        assert side["width"] >= 250


def test_the_model_chip_is_short_and_tells_the_whole_on_hover(lens: LensPage) -> None:
    lens.mount("{}")
    for width in (480, 1180):
        lens.page.set_viewport_size({"width": width, "height": 900})
        chip = lens.root.locator(".mi-model")
        name, title = chip.inner_text(), chip.get_attribute("title") or ""
        assert name.endswith(" layers")
        assert title.startswith(f"{name} × ")
        assert chip.evaluate("it => it.scrollWidth <= it.clientWidth"), "nothing of it is cut off"


def test_hidden_while_the_theme_changes_it_comes_back_in_its_width(lens: LensPage) -> None:
    lens.mount("{}")
    before = lens.canvas.evaluate("it => [it.clientWidth, it.dataset.cell]")
    lens.page.evaluate("""async () => {
      const frames = async () => { for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame); };
      document.body.style.display = 'none';
      await frames();
      document.body.classList.add('dark');
      await frames();
      document.body.style.display = '';
      await frames();
    }""")
    assert lens.canvas.evaluate("it => [it.clientWidth, it.dataset.cell]") == before


def test_480_pixels_fold_the_positions_round_the_selected_one(lens: LensPage) -> None:
    lens.page.set_viewport_size({"width": 480, "height": 900})
    lens.mount(EDITED)
    assert lens.canvas.get_attribute("data-end") == "15"
    assert int(lens.canvas.get_attribute("data-first") or 0) > 3
    lens.kernel_async("m.update({ selection: ['L1.resid_post@2'] })")
    lens.wait(focus="L1.resid_post@2")
    expect(lens.canvas).to_have_attribute("data-first", "0")
    expect(lens.part("readout")).to_be_visible()
    table, card = lens.part("lens").bounding_box(), lens.part("lens-card").bounding_box()
    assert table is not None
    assert card is not None
    assert card["y"] >= table["y"] + table["height"]
    assert lens.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- hostile tokens, states, export ----------------------------------------------------------------------------------

HOSTILE = """{ text: '</script><img src=x onerror=alert(1)>', labels: ['‹bos›',
  '</script><script>window.hacked = 1</script>',
  "<img src=x onerror='window.hacked = 1'>", '<b>bold</b>', '\\u202eabc', '\\u200b', '\\n', 'x'.repeat(20000), 'שלום',
  '', '\\ud800', '漢字漢字漢字', '␣Mary'] }"""


def test_hostile_tokens_are_text_and_stay_in_their_cells(lens: LensPage) -> None:
    lens.mount(HOSTILE)
    for position in range(13):
        lens.page.mouse.move(*lens.point(4, position))
        lens.wait(focus=f"L3.resid_post@{position}")
        said = lens.part("readout").inner_text()
        assert said.startswith("L3 · ")
        assert len(said) < 120
    lens.root.locator("[data-action=lens-table]").click()
    grid = lens.part("lens-grid")
    expect(grid.locator("thead")).to_contain_text("⟨200B⟩ 5")
    expect(grid.locator("thead")).to_contain_text("↵ 6")
    assert lens.root.locator("script, img, b b").count() == 0
    assert lens.page.evaluate("window.hacked") is None
    lens.page.evaluate(
        """() => { URL.createObjectURL = blob => { blob.text().then(text => { window.svg = text; }); return '#'; }; }"""
    )
    lens.root.get_by_role("button", name="Export").click()
    lens.root.get_by_role("menuitem", name="Download SVG").click()
    lens.page.wait_for_function("window.svg")
    assert lens.page.evaluate(
        """() => { const made = new DOMParser().parseFromString(svg, 'image/svg+xml');
             return [made.querySelector('parsererror') === null, made.querySelectorAll('script, img').length,
                     made.querySelectorAll('text').length > 65,
                     made.documentElement.textContent.includes('probability 0.00')]; }"""
    ) == [True, 0, True, True]


@pytest.mark.parametrize(
    ("options", "state", "words"),
    [
        ("{ deafSend: true }", "offline", "Opened without a kernel"),
        ("{ dropBuffers: true }", "failed", "The picture did not arrive"),
        ("{ empty: true }", "empty", "mi.LogitLens("),
        ("{ noLens: true, status: {...shim.status('running'), op: 'lens.run', job: 'k-1'} }", "loading", ""),
        ("{ text: '', labels: ['‹bos›'] }", "ready", "(empty prompt)"),
    ],
)
def test_states_have_words(lens: LensPage, options: str, state: str, words: str) -> None:
    lens.mount(options, ready=False)
    lens.wait(state=state)
    expect(lens.root).to_contain_text(words)
    if state == "offline":
        lens.page.mouse.move(*lens.point(2, 6))
        lens.wait(focus="L1.resid_post@6")
        lens.root.get_by_role("radio", name="sublayers").hover()
        expect(lens.root.get_by_role("tooltip")).to_contain_text("rerunning needs one")


def test_what_fails_can_be_tried_again_and_what_is_changed_is_dimmed(lens: LensPage) -> None:
    lens.mount(DEEP)
    failure = "{ error: 'OutOfMemory', message: 'Not enough memory.', hint: 'Show fewer rows.', retryable: true }"
    lens.kernel_async(f"k.mode.fail['lens.cells'] = {failure}")
    lens.page.mouse.click(*lens.point(None, 505))
    lens.wait(state="failed")
    expect(lens.part("notice")).to_contain_text("These cells could not be computed")
    lens.kernel_async("delete k.mode.fail['lens.cells']")
    lens.root.locator("[data-action=retry]").click()
    lens.wait(state="ready")
    lens.page.wait_for_function("document.querySelector('.mi-widget').dataset.cells >= 2")
    lens.kernel_async(f"k.mode.fail['lens.run'] = {failure}")
    choose(lens, "colour", "KL")
    lens.wait(state="failed", measure="prob")
    expect(lens.root.get_by_role("radio", name="prob", exact=True).first).to_have_attribute("aria-checked", "true")
    lens.kernel_async("delete k.mode.fail['lens.run']")
    lens.root.locator("[data-action=dismiss]").click()
    lens.root.locator("[data-action=prompt]").click()
    lens.root.locator("[data-input=prompt]").fill("Anna sat")
    lens.wait(state="changed")
    expect(lens.root.locator(".mi-picture")).to_have_attribute("data-stale", "")
    expect(lens.root.locator(".mi-stale")).to_be_visible()
    lens.page.keyboard.press("Enter")
    lens.wait(state="ready", lens_rev="2")
    expect(lens.canvas).to_have_attribute("aria-colcount", "3")
    lens.kernel_async("k.options.kernelEpoch = 'other'; k.welcome({client: m.sent[0].client})")
    lens.wait(state="restarted")


def test_nothing_overlaps_or_sticks_out_at_any_width(lens: LensPage) -> None:
    from tests.browser.page.test_looks import OUTSIDE, OVERLAPS

    lens.mount(f"{{ corrupted: shim.CORRUPTED, run: 'edited', edits: [{EDIT}] }}")
    for width in (480, 700, 980, 1180, 1400, 1900):
        lens.page.set_viewport_size({"width": width, "height": 900})
        for pressed in ("true", "false"):
            lens.root.locator("[data-action=projector]").click()
            expect(lens.root.locator("[data-action=projector]")).to_have_attribute("aria-pressed", pressed)
            lens.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert lens.root.evaluate(OVERLAPS) == [], (width, pressed)
            assert lens.root.evaluate(OUTSIDE) == [], (width, pressed)
        assert lens.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
