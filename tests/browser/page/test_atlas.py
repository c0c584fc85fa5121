"""The atlas: what it shows of every head, in which order, and what can be done with it by pointer and by keyboard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.page.plain_page import Plain
from tests.browser.page.ramp import DIVERGING_LIGHT, SEQUENTIAL_LIGHT, close, colour

TWO = "{ corrupted: shim.CORRUPTED }"
COMPARED = "{ compare: { label: 'step 600' } }"
GPT2 = "{ layers: 12, heads: 12, kvHeads: 12, name: 'gpt2' }"
DEEP = "{ layers: 32, heads: 32, kvHeads: 32, name: 'large' }"


def canvas(plain: Plain) -> Locator:
    return plain.part("atlas").locator("canvas[role=grid]")


def place_centre(plain: Plain, place: int) -> tuple[float, float]:
    """The middle of the thumbnail at a place of a list, in page coordinates."""
    columns = int(canvas(plain).get_attribute("data-columns") or 1)
    return plain.head_centre(place // columns, place % columns)


def choose(plain: Plain, name: str) -> None:
    plain.root.get_by_role("radio", name=name, exact=True).click()
    plain.page.mouse.move(0, 0)


def order_of(plain: Plain, score: str) -> list[tuple[int, int]]:
    """(layer, head) by a score of the scripted kernel, strongest first; equal ones by layer."""
    bars = plain.kernel(f"k.scores().{score}.bars")
    heads = [(layer, head) for layer in range(len(bars)) for head in range(len(bars[0]))]
    return sorted(heads, key=lambda it: -bars[it[0]][it[1]])


def heard(plain: Plain) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plain.page.evaluate("window.heard")
    return found


def listen(plain: Plain) -> None:
    plain.page.evaluate(
        "window.heard = []; window.addEventListener('mi-widgets:drag', event => heard.push(event.detail))"
    )


# --- order and filter ------------------------------------------------------------------------------------------------


def test_by_score_the_heads_stand_in_its_order_with_their_names(plain: Plain) -> None:
    plain.mount()
    choose(plain, "previous")
    choose(plain, "by score")
    expect(canvas(plain)).to_have_attribute("data-listed", "")
    expect(canvas(plain)).to_have_attribute("aria-label", "Heads, strongest first")
    for place, (layer, head) in enumerate(order_of(plain, "previous")):
        plain.page.mouse.move(*place_centre(plain, place))
        plain.wait(focus=f"L{layer}H{head}")
    plain.page.mouse.move(0, 0)
    choose(plain, "first")
    layer, head = order_of(plain, "first")[0]
    plain.page.mouse.click(*place_centre(plain, 0))
    plain.wait(selection=f"L{layer}H{head}.pattern")
    choose(plain, "by layer")
    plain.page.mouse.move(*plain.head_centre(2, 3))
    plain.wait(focus="L2H3")


def test_the_order_and_the_filter_on_the_keyboard(plain: Plain) -> None:
    plain.mount(GPT2)
    order = plain.root.get_by_role("radiogroup", name="order of the heads")
    order.get_by_role("radio", name="by layer").focus()
    plain.page.keyboard.press("ArrowRight")
    expect(order.get_by_role("radio", name="by score")).to_have_attribute("aria-checked", "true")
    expect(plain.root.locator(".mi-live")).to_contain_text("all heads, strongest first: L")
    plain.page.keyboard.press("Tab")
    plain.page.keyboard.press("ArrowRight")
    expect(plain.root.locator(".mi-live")).to_contain_text("the strongest 8 heads, strongest first: L")
    ranked = order_of(plain, "duplicate")
    canvas(plain).focus()
    plain.page.keyboard.press("PageUp")
    plain.page.keyboard.press("Home")
    plain.wait(focus=f"L{ranked[0][0]}H{ranked[0][1]}")
    for layer, head in ranked[1:8]:
        plain.page.keyboard.press("ArrowRight")
        plain.wait(focus=f"L{layer}H{head}")
    plain.page.keyboard.press("ArrowRight")
    plain.wait(focus=f"L{ranked[7][0]}H{ranked[7][1]}")


def test_the_filter_fades_the_others_where_layers_keep_their_places(plain: Plain) -> None:
    plain.mount()
    strong = order_of(plain, "duplicate")[:8]
    kernel = np.array(plain.kernel("k.values().map(l => l.map(h => [...h[0]][0]))"), dtype=float)
    choose(plain, "top 8")
    expect(plain.part("atlas")).to_contain_text("the strongest 8 of 16 heads")
    data = {
        name: float(canvas(plain).get_attribute(f"data-{name}") or 0) for name in ("left", "top", "pitch-x", "pitch-y")
    }
    for layer in range(4):
        for head in range(4):
            x, y = data["left"] + head * data["pitch-x"] + 1, data["top"] + layer * data["pitch-y"] + 1
            seen = plain.pixel("atlas", x, y)
            whole = colour(SEQUENTIAL_LIGHT, kernel[layer, head])
            faded = whole + (255 - whole) * 0.82
            assert close(seen, whole if (layer, head) in strong else faded), (layer, head)


# --- scores of their own ---------------------------------------------------------------------------------------------


def test_an_undefined_score_leads_to_random_tokens(plain: Plain) -> None:
    plain.mount()
    induction = plain.root.get_by_role("radio", name="induction", exact=True)
    induction.hover()
    expect(plain.root.get_by_role("tooltip")).to_contain_text("use random tokens")
    expect(plain.root.get_by_role("tooltip")).to_contain_text("Click")
    induction.click(force=True)
    expect(plain.root.get_by_role("radio", name="induction (random)")).to_have_attribute("aria-checked", "true")
    expect(induction).to_have_attribute("aria-disabled", "true")
    plain.page.mouse.move(0, 0)
    plain.wait(focus="L3H3")
    expect(plain.root.locator(".mi-live")).to_contain_text("induction (random): L3 H3 first, 1.00")
    assert len(plain.sent("heads.random")) == 1


def test_the_way_to_random_tokens_on_the_keyboard(plain: Plain) -> None:
    plain.mount()
    more = plain.root.get_by_role("button", name="more scores")
    more.focus()
    plain.page.keyboard.press("Enter")
    entry = plain.root.get_by_role("menuitem", name="use random tokens")
    expect(entry).to_be_focused()
    plain.page.keyboard.press("Enter")
    expect(plain.root.get_by_role("radio", name="induction (random)")).to_have_attribute("aria-checked", "true")
    plain.page.mouse.move(0, 0)
    plain.wait(focus="L3H3")
    more.focus()
    plain.page.keyboard.press("Enter")
    expect(plain.root.get_by_role("menuitemradio", name="duplicate (random)")).to_be_focused()
    plain.page.keyboard.press("Enter")
    plain.wait(focus="L0H0")


def test_scores_that_find_no_room_stand_in_the_menu_and_the_chosen_one_beside_the_others(plain: Plain) -> None:
    names = [f"a mask of my own {index}" for index in range(9)]
    plain.page.set_viewport_size({"width": 700, "height": 900})
    plain.mount(f"{{ masks: {names!r} }}")
    scores = plain.root.get_by_role("radiogroup", name="score")
    shown = scores.get_by_role("radio").count()
    assert 6 <= shown < 15
    plain.root.get_by_role("button", name="more scores").click()
    entries = plain.root.get_by_role("menuitemradio")
    assert entries.count() == 15 - shown
    entries.filter(has_text=names[-1]).click()
    expect(scores.get_by_role("radio", name=names[-1])).to_have_attribute("aria-checked", "true")
    inside = plain.root.evaluate(
        """root => [...root.querySelectorAll('.mi-scores *')].every(
          el => el.getBoundingClientRect().right <= root.getBoundingClientRect().right)"""
    )
    assert inside


def test_random_tokens_are_said_to_need_a_kernel(plain: Plain) -> None:
    plain.mount("{ deafSend: true }")
    plain.wait(state="offline")
    plain.root.get_by_role("button", name="more scores").click()
    entry = plain.root.get_by_role("menuitem", name="use random tokens")
    expect(entry).to_have_attribute("aria-disabled", "true")
    expect(entry).to_have_attribute("title", "Opened without a kernel: rerunning needs one.")


# --- groups, layers, runs --------------------------------------------------------------------------------------------


def test_brackets_say_which_heads_share_a_key_value_head(plain: Plain) -> None:
    plain.mount("{ kvHeads: 2 }")
    with plain.page.expect_download() as caught:
        plain.root.locator("[data-action=menu]").click()
        plain.root.locator("[data-action=save-svg]").click()
    text = caught.value.path().read_text(encoding="utf-8")
    assert "kv0 (H0–H1)" in text
    assert "kv1 (H2–H3)" in text
    # On the canvas, a bracket's line over each pair of columns, and a gap between the two.
    lines = canvas(plain).evaluate(
        """canvas => {
          const ratio = canvas.width / canvas.clientWidth, d = canvas.dataset;
          const y = Math.round((+d.top - 20) * ratio), context = canvas.getContext('2d');
          const row = context.getImageData(0, y - 1, canvas.width, 3).data, wide = canvas.width;
          const dark = x => [0, 1, 2].some(line => row[(line * wide + x) * 4] < 200);
          return [0, 1, 2].map(h => dark(Math.round((+d.left + h * d.pitchX + +d.thumb + d.pitchX / 20) * ratio)));
        }"""
    )
    assert lines == [True, False, True]
    plain.page.mouse.move(*plain.head_centre(0, 3))
    expect(plain.part("focus")).to_contain_text("kv1 (H2–H3)")


def test_without_groups_there_are_no_brackets(plain: Plain) -> None:
    plain.mount()
    grouped = plain.page.evaluate("document.querySelector('[data-part=atlas] canvas').dataset.top")
    assert float(grouped) == 20


def test_compared_with_another_experiment(plain: Plain) -> None:
    plain.mount(COMPARED)
    plain.root.get_by_role("radio", name="clean − step 600").click()
    plain.wait(run="against", state="ready")
    plain.page.mouse.move(0, 0)
    kernel = np.array(plain.kernel("k.values('against')[1][1].map(row => [...row])"), dtype=float)
    assert (kernel > 0.01).any()
    assert (kernel < -0.01).any()
    thumb, left, top, pitch_x, pitch_y = (
        float(canvas(plain).get_attribute(f"data-{name}") or 0)
        for name in ("thumb", "left", "top", "pitch-x", "pitch-y")
    )
    for dest, src in ((5, 2), (10, 4), (14, 13), (3, 1)):
        x, y = left + pitch_x + (src + 0.5) * thumb / 15, top + pitch_y + (dest + 0.5) * thumb / 15
        assert close(plain.pixel("atlas", x, y), colour(DIVERGING_LIGHT, (kernel[dest, src] + 1) / 2), 4)
    expect(plain.root.locator(".mi-live")).to_contain_text("clean − step 600 run shown")
    plain.root.get_by_role("radio", name="step 600", exact=True).click()
    plain.wait(run="other", state="ready")
    assert [m["params"]["run"] for m in plain.sent("heads.atlas")] == ["against", "other"]


def test_alone_there_is_nothing_to_compare_with(plain: Plain) -> None:
    plain.mount()
    runs = plain.root.get_by_role("radiogroup", name="run")
    assert runs.get_by_role("radio").all_inner_texts() == ["clean", "corrupted", "edited", "difference"]


@pytest.mark.parametrize(("options", "run"), [(COMPARED, "against"), (TWO, "difference")])
def test_c_compares_and_goes_back(plain: Plain, options: str, run: str) -> None:
    plain.mount(options)
    canvas(plain).focus()
    plain.page.keyboard.press("c")
    plain.wait(run=run, state="ready")
    plain.page.keyboard.press("c")
    plain.wait(run="clean", state="ready")
    plain.page.keyboard.press("e")
    expect(plain.root.locator(".mi-live")).to_have_text("No edit is switched on.")


# --- selection -------------------------------------------------------------------------------------------------------


def test_one_selection_and_one_hover_in_two_views_and_two_widgets(plain: Plain) -> None:
    plain.mount(COMPARED, views=2)
    plain.page.evaluate("(async () => { window.second = await shim.mount(widget, { epoch: 'epoch-2' }, 1); })()")
    plain.page.wait_for_function("document.querySelectorAll('.mi-widget[data-ready]').length === 3")
    plain.root.get_by_role("radio", name="step 600", exact=True).click()
    plain.page.wait_for_function("document.querySelectorAll('.mi-widget[data-run=other]').length === 2")
    plain.page.mouse.move(*plain.head_centre(2, 0))
    plain.page.wait_for_function("document.querySelectorAll('.mi-widget[data-focus=L2H0]').length === 3")
    rings = plain.page.locator('.mi-ring[data-kind="hovered"][data-head="L2H0"]:visible')
    expect(rings).to_have_count(3)
    plain.page.mouse.click(*plain.head_centre(1, 1))
    expect(plain.page.locator('.mi-ring[data-kind="locked"][data-head="L1H1"]:visible')).to_have_count(3)
    plain.page.wait_for_function("shown.model.saved.length > 0")
    assert plain.kernel("m.saved.at(-1)") == {"selection": ["L1H1.pattern"]}


def test_space_locks_and_shift_space_adds(plain: Plain) -> None:
    plain.mount()
    canvas(plain).focus()
    plain.page.keyboard.press("ArrowUp")
    plain.page.keyboard.press(" ")
    plain.wait(selection="L2H1.pattern")
    plain.page.keyboard.press("ArrowRight")
    plain.page.keyboard.press("Shift+ ")
    plain.wait(selection="L2H1.pattern L2H2.pattern")
    plain.page.keyboard.press("ArrowUp")
    plain.page.keyboard.press(" ")
    plain.wait(selection="L1H2.pattern")
    active = canvas(plain).get_attribute("aria-activedescendant")
    cell = plain.page.evaluate(
        """id => { const el = document.getElementById(id);
          return [el.getAttribute('aria-selected'), el.getAttribute('aria-colindex'),
                  el.parentElement.getAttribute('aria-rowindex')]; }""",
        active,
    )
    assert cell == ["true", "3", "2"]
    plain.page.keyboard.press("[")
    plain.wait(selection="L0H2.pattern")
    plain.page.keyboard.press("]")
    plain.wait(selection="L1H2.pattern")


# --- carrying a head -------------------------------------------------------------------------------------------------


def test_a_thumbnail_is_dragged_with_site_layer_and_head(plain: Plain) -> None:
    plain.mount()
    listen(plain)
    x, y = plain.head_centre(1, 2)
    plain.page.mouse.move(x, y)
    plain.page.mouse.down()
    plain.page.mouse.move(x + 2, y)
    assert heard(plain) == []
    plain.page.mouse.move(x + 60, y + 40, steps=4)
    ghost = plain.page.locator("[data-mi-ghost=L1H2]")
    expect(ghost).to_be_visible()
    box = ghost.bounding_box()
    assert box is not None
    assert box["x"] > x + 60
    assert box["y"] > y + 40
    plain.page.mouse.move(900, 700)
    plain.page.mouse.up()
    events = heard(plain)
    assert events[0]["phase"] == "start"
    assert {event["phase"] for event in events[1:-1]} == {"move"}
    assert events[-1] == {
        "phase": "end",
        "experiment": "experiment-1",
        "carried": {"site": "z", "layer": 1, "head": 2},
        "clientX": 900,
        "clientY": 700,
        "keyboard": False,
        "cancelled": False,
    }
    expect(ghost).to_have_count(0)
    assert plain.root.get_attribute("data-selection") == "", "the drag selects nothing"


def test_escape_lets_a_dragged_head_go(plain: Plain) -> None:
    plain.mount()
    listen(plain)
    x, y = plain.head_centre(0, 0)
    plain.page.mouse.move(x, y)
    plain.page.mouse.down()
    plain.page.mouse.move(x + 200, y + 100, steps=3)
    plain.page.keyboard.press("Escape")
    expect(plain.page.locator("[data-mi-ghost]")).to_have_count(0)
    plain.page.mouse.up()
    assert [(event["phase"], event["cancelled"]) for event in heard(plain)][-1] == ("end", True)
    plain.page.mouse.move(*plain.head_centre(2, 2))
    plain.wait(focus="L2H2", selection="")


def test_a_head_is_picked_up_with_enter_and_put_back_with_escape_or_enter(plain: Plain) -> None:
    plain.mount()
    listen(plain)
    canvas(plain).focus()
    plain.page.keyboard.press("ArrowUp")
    for ending in ("Escape", "Enter"):
        plain.page.keyboard.press("Enter")
        expect(plain.root.locator(".mi-live")).to_contain_text("picked up z of L2 H1")
        expect(plain.root.locator('.mi-ring[data-kind="carried"]')).to_have_attribute("data-head", "L2H1")
        plain.page.keyboard.press(ending)
        expect(plain.root.locator(".mi-live")).to_contain_text("put back z of L2 H1")
        expect(plain.root.locator('.mi-ring[data-kind="carried"]:visible')).to_have_count(0)
    assert [(event["phase"], event["keyboard"], event["cancelled"]) for event in heard(plain)] == [
        ("start", True, False),
        ("end", True, True),
    ] * 2
    x, y = plain.head_centre(2, 1)
    assert heard(plain)[0]["clientX"] == pytest.approx(x, abs=1)
    assert heard(plain)[0]["clientY"] == pytest.approx(y, abs=1)
    assert plain.root.get_attribute("data-selection") == ""


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_atlas_as_a_table_sorted_by_any_score(plain: Plain) -> None:
    plain.mount(TWO)
    toggle = plain.root.locator("[data-action=atlas-table]")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    table = plain.part("atlas-table")
    assert table.locator("tbody tr").count() == 16
    values = plain.kernel("k.scores().first.values")
    expect(table.locator("tbody tr").nth(6).locator("th")).to_have_text("L1.H2")
    assert table.locator("thead th").all_inner_texts()[4].startswith("first")
    expect(table.locator("tbody tr").nth(6).locator("td").nth(3)).to_have_text(f"{values[1][2]:.2f}")
    table.locator("[data-sort=first]").focus()
    plain.page.keyboard.press("Enter")
    expect(table.locator('th[aria-sort="descending"]')).to_contain_text("first")
    shown = [float(text) for text in table.locator("tbody tr td:nth-child(5)").all_inner_texts()]
    assert shown == sorted(shown, reverse=True)
    assert max(shown) == pytest.approx(max(max(row) for row in values), abs=0.005)
    expect(plain.root.get_by_role("radio", name="first", exact=True)).to_have_attribute("aria-checked", "true")
    expect(table.locator("[data-sort=first]")).to_be_focused()
    plain.page.keyboard.press("Enter")
    expect(table.locator('th[aria-sort="ascending"]')).to_contain_text("first")
    # What has no value stands as a dash.
    assert set(table.locator("tbody tr td:nth-child(3)").all_inner_texts()) == {"–"}
    table.locator("[data-head=L2H3]").click()
    plain.wait(selection="L2H3.pattern")
    toggle.click()
    expect(canvas(plain)).to_be_visible()


def test_a_large_table_is_built_in_parts(plain: Plain) -> None:
    plain.mount(GPT2.replace("12", "20"))
    plain.root.locator("[data-action=atlas-table]").click()
    rows = plain.part("atlas-table").locator("tbody tr")
    expect(rows).to_have_count(200)
    plain.root.locator("[data-action=all-rows]").click()
    expect(rows).to_have_count(400)


# --- size and speed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [480, 1180, 1900])
def test_many_heads_stay_in_their_own_box(plain: Plain, width: int) -> None:
    plain.page.set_viewport_size({"width": width, "height": 900})
    plain.mount("{ layers: 60, heads: 64, kvHeads: 8, pattern: (l, h, n) => shim.attention(l, h, [0, 1, 2]) }")
    expect(canvas(plain)).to_have_attribute("data-rev", "1")
    scroller = plain.part("atlas").locator(".mi-atlas-scroll")
    box = scroller.bounding_box()
    assert box is not None
    assert box["height"] <= 680
    assert plain.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    canvas(plain).focus()
    scrolled = plain.page.evaluate("scrollY")
    plain.page.keyboard.press("PageDown")
    plain.page.keyboard.press("End")
    plain.wait(focus="L59H63")
    ring = plain.root.locator('.mi-ring[data-kind="cursor"]').bounding_box()
    assert ring is not None
    assert ring["y"] + ring["height"] <= box["y"] + box["height"] + 4
    assert ring["x"] + ring["width"] <= box["x"] + box["width"] + 4
    assert plain.page.evaluate("scrollY") == scrolled
    # The names of columns and rows stay at the edges of the box, clear of the head under the cursor.
    above, beside = (it.bounding_box() for it in scroller.locator(".mi-atlas-names").all())
    assert above is not None
    assert beside is not None
    now = scroller.bounding_box()
    assert now is not None
    assert above["y"] == pytest.approx(now["y"], abs=1)
    assert beside["x"] == pytest.approx(now["x"], abs=1)
    assert ring["y"] >= above["y"] + above["height"] - 4
    assert ring["x"] >= beside["x"] + beside["width"] - 4


def test_hovering_paints_nothing_and_a_streamed_layer_only_itself(plain: Plain) -> None:
    plain.mount(DEEP)
    expect(canvas(plain)).to_have_attribute("data-rev", "1")
    plain.page.evaluate(
        """() => {
          const context = document.querySelector('[data-part=atlas] canvas').getContext('2d');
          window.put = [];
          const original = context.putImageData.bind(context);
          context.putImageData = (...args) => { put.push(args[2]); original(...args); };
        }"""
    )
    for head in range(0, 32, 5):
        plain.page.mouse.move(*plain.head_centre(3, head))
        plain.wait(focus=f"L3H{head}")
    assert plain.page.evaluate("put") == []
    plain.page.mouse.move(0, 0)
    plain.kernel_async("k.mode.holdAtlas = true; k.rev++; k.startJob(); k.partial(0, 2, 0)")
    plain.wait(state="running")
    # A new atlas begins: all its rows are painted, over several frames.
    plain.page.wait_for_function("put.length >= 32")
    plain.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    before = plain.page.evaluate("put.length")
    plain.kernel_async("k.partial(2, 5, 1)")
    plain.page.wait_for_function("n => put.length >= n + 3", arg=before)
    plain.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    rows = plain.page.evaluate("n => put.slice(n)", before)
    top, pitch = (float(canvas(plain).get_attribute(f"data-{name}") or 0) for name in ("top", "pitch-y"))
    assert [round((y - top) / pitch) for y in rows] == [2, 3, 4]


@pytest.mark.parametrize("dark", [False, True])
def test_the_list_and_the_table_are_clean_in_both_themes_and_narrow(plain: Plain, dark: bool) -> None:
    plain.page.set_viewport_size({"width": 480, "height": 900})
    plain.open(dark=dark).mount(TWO)
    choose(plain, "by score")
    width = plain.root.evaluate("root => root.clientWidth")
    box = canvas(plain).bounding_box()
    assert box is not None
    assert box["width"] <= width
    ground = (17, 20, 24) if dark else (255, 255, 255)
    assert plain.pixel("atlas", 1, 1) == ground
    plain.root.locator("[data-action=atlas-table]").click()
    colours = plain.part("atlas-table").evaluate(
        "el => { const s = getComputedStyle(el.querySelector('td')); return [s.color, s.backgroundColor]; }"
    )
    assert colours[1] == f"rgb({ground[0]}, {ground[1]}, {ground[2]})"
    assert colours[0] != colours[1]
    assert plain.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("kind", ["nan", "one token", "one head"])
def test_odd_atlases(plain: Plain, kind: str) -> None:
    options = {
        "nan": "{ pattern: (l, h, n) => Array.from({length: n}, () => new Float64Array(n).fill(NaN)) }",
        "one token": "{ text: '', labels: ['‹bos›'] }",
        "one head": "{ layers: 1, heads: 1, kvHeads: 1 }",
    }[kind]
    plain.mount(options)
    for name in ("top 8", "by score"):
        plain.root.get_by_role("radio", name=name).click(force=True)
    plain.page.mouse.move(0, 0)
    # Where no head has a score there is no order by it, and the control says so.
    listed = kind == "one head"
    assert (canvas(plain).get_attribute("data-listed") is not None) == listed
    if not listed:
        plain.root.get_by_role("radio", name="by score").hover()
        expect(plain.root.get_by_role("tooltip")).to_contain_text("No head has this score here.")
    plain.root.locator("[data-action=atlas-table]").click()
    expect(plain.part("atlas-table").locator("tbody tr").first).to_contain_text("L0.H0")
