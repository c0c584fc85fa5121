"""Every gesture with the pointer, and its twin on the keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.page.plain_page import Plain


def readout(plain: Plain, text: str) -> None:
    expect(plain.part("readout")).to_contain_text(text)


def test_hover_previews_click_locks_shift_click_adds(plain: Plain) -> None:
    plain.mount()
    plain.page.mouse.move(*plain.head_centre(2, 0))
    plain.wait(focus="L2H0", selection="")
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.wait(selection="L1H1.pattern")
    plain.page.mouse.move(*plain.head_centre(3, 3))
    plain.wait(focus="L3H3")
    plain.page.mouse.move(0, 0)
    plain.wait(focus="L1H1")
    plain.page.keyboard.down("Shift")
    plain.page.mouse.click(*plain.head_centre(0, 3))
    plain.page.keyboard.up("Shift")
    plain.page.mouse.move(0, 0)
    plain.wait(focus="L1H1 L0H3")
    plain.root.get_by_role("radio", name="max").click()
    expect(plain.root.get_by_role("radio", name="max")).to_have_attribute("aria-checked", "true")
    plain.page.wait_for_function("shown.model.saved.at(-1)?.selection.length === 2")
    assert plain.kernel("m.saved.at(-1)") == {"selection": ["L1H1.pattern", "L0H3.pattern"]}


def test_the_atlas_on_the_keyboard(plain: Plain) -> None:
    plain.mount()
    canvas = plain.part("atlas").locator("canvas[role=grid]")
    canvas.focus()
    start = plain.root.get_attribute("data-focus")
    assert start == "L3H1"
    plain.page.keyboard.press("ArrowUp")
    plain.wait(focus="L2H1")
    plain.page.keyboard.press("ArrowRight")
    plain.wait(focus="L2H2")
    active = canvas.get_attribute("aria-activedescendant")
    label = plain.page.evaluate("id => document.getElementById(id).getAttribute('aria-label')", active)
    assert label.startswith("L2 H2, duplicate ")
    expect(plain.root.locator(".mi-live")).to_contain_text("L2 H2, duplicate")
    plain.page.keyboard.press(" ")
    plain.wait(selection="L2H2.pattern")
    plain.page.keyboard.press("Home")
    plain.wait(focus="L2H0")
    plain.page.keyboard.press("Shift+ ")
    plain.wait(selection="L2H2.pattern L2H0.pattern")
    plain.page.keyboard.press("Escape")
    plain.wait(selection="")


def test_a_cell_under_the_pointer_tells_its_value_then_the_exact_one(plain: Plain) -> None:
    plain.mount()
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.page.mouse.move(*plain.cell_centre(10, 4))
    value = plain.kernel("k.values()[1][1][10][4]")
    readout(plain, f"from ␣John (10) to ␣John (4): {round(value * 254) / 254:.2f}")
    readout(plain, f"exactly {value:.5f}")
    plain.page.mouse.move(*plain.cell_centre(4, 10))
    readout(plain, "the causal mask forbids this")
    plain.page.mouse.click(*plain.cell_centre(10, 4))
    plain.wait(selection="L1H1.pattern@10<4")
    plain.page.mouse.move(0, 0)
    readout(plain, "from ␣John (10) to ␣John (4)")


def test_the_pattern_on_the_keyboard(plain: Plain) -> None:
    plain.mount()
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.page.mouse.move(0, 0)
    canvas = plain.part("focus").locator("canvas[role=grid]")
    canvas.focus()
    for _ in range(4):
        plain.page.keyboard.press("ArrowUp")
    for _ in range(10):
        plain.page.keyboard.press("ArrowLeft")
    readout(plain, "from ␣John (10) to ␣John (4)")
    plain.page.keyboard.press("Enter")
    plain.wait(selection="L1H1.pattern@10<4")
    plain.page.keyboard.press("Escape")
    plain.wait(selection="")


def test_the_strip_shows_where_a_token_looks_and_who_looks_at_it(plain: Plain) -> None:
    plain.mount()
    plain.page.mouse.click(*plain.head_centre(1, 1))
    tokens = plain.part("strip").locator("[data-token]")
    assert tokens.count() == 15
    tokens.nth(10).click()
    plain.page.mouse.move(0, 0)
    plain.wait(selection="L1H1.pattern@10")
    shades = plain.part("strip").evaluate(
        """strip => [...strip.querySelectorAll('[data-token]')].map(
          token => [token.dataset.role, getComputedStyle(token).backgroundColor])"""
    )
    assert [role for role, _ in shades] == ["attends to"] * 11 + ["attended by"] * 4
    distance = [sum(255 - int(part) for part in shade[4:-1].split(",")) for _, shade in shades]
    weights = plain.kernel("[...k.values()[1][1][10]]")
    assert distance.index(max(distance[:11])) == weights.index(max(weights)) == 4
    red, _green, blue = (int(part) for part in shades[4][1][4:-1].split(","))
    assert red - blue > 60, "orange"


def test_tokens_out_of_sight_take_their_tint_when_the_pointer_rests(plain: Plain) -> None:
    plain.mount("{ text: 'w '.repeat(199), labels: ['‹bos›', ...Array.from({length: 199}, (_, i) => '␣word' + i)] }")
    strip = plain.part("strip").get_by_role("listbox")
    tints = """strip => { const box = strip.getBoundingClientRect();
      return [...strip.querySelectorAll('[data-token]')].map(token => {
        const { top, bottom } = token.getBoundingClientRect();
        return [bottom < box.top || top > box.bottom, token.style.backgroundColor]; }); }"""
    plain.page.mouse.move(*plain.head_centre(0, 0))
    plain.page.wait_for_selector('[data-part=strip] [data-token="199"][aria-label]')
    before = [tint for hidden, tint in strip.evaluate(tints) if hidden]
    assert len(before) > 20
    plain.page.mouse.move(*plain.head_centre(1, 1))
    plain.page.wait_for_function(
        f"""before => {{ const now = ({tints})(document.querySelector('[data-part=strip] [role=listbox]'));
          return String(now.filter(([hidden]) => hidden).map(([, tint]) => tint)) !== before; }}""",
        arg=",".join(before),
    )


def test_the_strip_on_the_keyboard(plain: Plain) -> None:
    plain.mount()
    strip = plain.part("strip").get_by_role("listbox")
    strip.focus()
    plain.page.keyboard.press("Home")
    expect(strip).to_have_attribute("data-focus", "0")
    plain.page.keyboard.press("ArrowRight")
    plain.page.keyboard.press("ArrowRight")
    expect(strip).to_have_attribute("data-focus", "2")
    selected = strip.locator('[aria-selected="true"]')
    expect(selected).to_have_text("Mary")
    plain.page.keyboard.press("Enter")
    plain.page.mouse.move(0, 0)
    expect(strip).to_have_attribute("data-focus", "2")


def test_scores_by_pointer_and_arrows_skip_no_reason(plain: Plain) -> None:
    plain.mount()
    scores = plain.root.get_by_role("radiogroup", name="score")
    scores.get_by_role("radio", name="first").click()
    expect(scores.get_by_role("radio", name="first")).to_have_attribute("aria-checked", "true")
    plain.page.keyboard.press("ArrowRight")
    expect(scores.get_by_role("radio", name="entropy")).to_have_attribute("aria-checked", "true")
    off = scores.get_by_role("radio", name="induction")
    expect(off).to_have_attribute("aria-disabled", "true")
    off.hover()
    expect(plain.root.get_by_role("tooltip")).to_contain_text("no repeated token here: use random tokens")
    # A click is the way out that the reason names.
    off.click(force=True)
    expect(scores.locator("[data-name=induction_random]")).to_have_attribute("aria-checked", "true")


def test_help_lists_keys_and_scores_and_gives_the_focus_back(plain: Plain) -> None:
    plain.mount()
    plain.part("atlas").locator("canvas[role=grid]").focus()
    plain.page.keyboard.press("?")
    card = plain.part("help")
    expect(card).to_be_visible()
    for words in ("shift", "duplicate", "Attention to earlier copies", "causal mask"):
        assert words.lower() in card.inner_text().lower()
    plain.page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    assert plain.page.evaluate("document.activeElement.tagName") == "CANVAS"


def test_what_the_model_lacks_is_told_with_its_reason(plain: Plain) -> None:
    plain.mount("{ lacking: { 'resid_mid': 'run in parallel', 'z, result in layers 0, 2': 'no <b>attention</b>' } }")
    expect(plain.part("footer")).to_contain_text("3 sites not offered: see ?")
    plain.root.locator("[data-action=help]").click()
    told = plain.part("lacking")
    assert told.locator("dt").all_inner_texts() == ["resid_mid", "z, result in layers 0, 2"]
    assert told.locator("dd").all_inner_texts() == ["run in parallel", "no <b>attention</b>"]


def test_a_model_that_has_every_site_says_nothing_of_it(plain: Plain) -> None:
    plain.mount()
    plain.root.locator("[data-action=help]").click()
    expect(plain.part("lacking")).to_be_hidden()
    assert "not offered" not in plain.part("footer").inner_text()


def test_a_canvas_as_a_table(plain: Plain) -> None:
    plain.mount()
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.root.locator("[data-action=table]").click()
    row = plain.root.locator(".mi-table tbody tr").nth(10)
    value = plain.kernel("k.values()[1][1][10][4]")
    expect(row.locator("td").nth(4)).to_have_text(f"{round(value * 254) / 254:.2f}")
    expect(row.locator("td").nth(12)).to_have_text("")


@pytest.mark.parametrize("key", ["d", "a", "?", "ArrowDown", "Enter"])
def test_keys_in_the_widget_do_not_reach_the_host(plain: Plain, key: str) -> None:
    plain.mount()
    plain.page.evaluate("window.heard = []; document.addEventListener('keydown', e => heard.push(e.key))")
    plain.part("atlas").locator("canvas[role=grid]").focus()
    plain.page.keyboard.press(key)
    assert plain.page.evaluate("heard") == []
    assert plain.root.get_attribute("data-lm-suppress-shortcuts") == "true"
    plain.page.evaluate("document.activeElement.blur()")
    plain.page.keyboard.press("d")
    assert plain.page.evaluate("heard") == ["d"]
