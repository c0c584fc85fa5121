"""The focus pattern: zoom, pan, weightings, the hidden sink, numbers and the table, by pointer and keyboard."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.page.plain_page import Plain
from tests.browser.page.ramp import SEQUENTIAL_LIGHT, close, colour

LONG = """{ layers: 2, heads: 2, kvHeads: 2, text: 'long', labels: ['‹bos›',
  ...Array.from({length: COUNT}, (_, i) => '␣w' + (i * 7) % 31)] }"""


def long(count: int) -> str:
    return LONG.replace("COUNT", str(count - 1))


def window(plain: Plain) -> tuple[int, int, int]:
    """First dest, first src and span of what is in view, in tokens."""
    dest, src, span = (plain.part("focus").locator("canvas[role=grid]").get_attribute("data-window") or "").split()
    return int(dest), int(src), int(span)


def lock(plain: Plain, options: str = "{}", head: tuple[int, int] = (1, 1)) -> Plain:
    plain.mount(options)
    plain.page.mouse.click(*plain.head_centre(*head))
    plain.page.mouse.move(0, 0)
    return plain


def cell_in_view(plain: Plain, dest: int, src: int) -> tuple[float, float]:
    """The middle of a cell of a zoomed pattern, in page coordinates."""
    first_dest, first_src, _ = window(plain)
    return plain.cell_centre(dest - first_dest, src - first_src)


def settled(plain: Plain) -> None:
    """Wait until every request has its answer."""
    plain.page.wait_for_function(
        "Number(document.querySelector('.mi-widget').dataset.replies) >= "
        "shown.model.sent.filter(it => it.kind === 'request').length"
    )


def test_the_wheel_zooms_only_after_a_click_and_keeps_what_is_under_it(plain: Plain) -> None:
    lock(plain)
    at = plain.cell_centre(10, 4)
    plain.page.mouse.move(*at)
    plain.page.mouse.wheel(0, -400)
    plain.page.mouse.move(at[0] + 1, at[1])
    expect(plain.part("readout")).to_contain_text("from ␣John (10) to ␣John (4)")
    assert window(plain) == (0, 0, 15)
    plain.page.mouse.click(*at)
    plain.page.mouse.wheel(0, -400)
    plain.page.wait_for_function("document.querySelector('.mi-focus canvas').dataset.window !== '0 0 15'")
    plain.page.mouse.move(at[0], at[1])
    expect(plain.part("readout")).to_contain_text("from ␣John (10) to ␣John (4)")
    plain.page.mouse.dblclick(*at)
    plain.page.wait_for_function("document.querySelector('.mi-focus canvas').dataset.window === '0 0 15'")


def test_zoom_and_pan_on_the_keyboard(plain: Plain) -> None:
    lock(plain)
    canvas = plain.part("focus").locator("canvas[role=grid]")
    canvas.focus()
    plain.page.keyboard.press("+")
    plain.page.keyboard.press("+")
    expect(plain.root.locator(".mi-live")).to_contain_text("6 of 15 tokens in view")
    expect(canvas).to_have_attribute("data-zoomed", "")
    plain.page.keyboard.press("End")
    expect(plain.part("readout")).to_contain_text("␣to (14)")
    assert window(plain)[1] == 15 - window(plain)[2], "the picture scrolled along with the cursor"
    plain.page.keyboard.press("Home")
    expect(plain.part("readout")).to_contain_text("to ‹bos› (0)")
    assert window(plain)[1] == 0
    plain.page.keyboard.press("-")
    plain.page.keyboard.press("0")
    expect(canvas).not_to_have_attribute("data-zoomed", "")


def test_zoom_buttons_say_where_one_is(plain: Plain) -> None:
    lock(plain)
    out = plain.root.locator("[data-action=zoom-out]")
    expect(out).to_have_attribute("aria-disabled", "true")
    overview = plain.part("overview")
    expect(overview).to_be_hidden()
    plain.root.locator("[data-action=zoom-in]").click()
    expect(overview).to_be_visible()
    expect(out).not_to_have_attribute("aria-disabled", "true")
    before = window(plain)
    overview.focus()
    plain.page.keyboard.press("ArrowDown")
    expect(overview).to_have_attribute("aria-valuenow", str(min(15 - before[2], before[0] + round(before[2] / 4))))
    box = overview.bounding_box()
    assert box is not None
    plain.page.mouse.click(box["x"] + 1, box["y"] + 1)
    expect(overview).to_have_attribute(
        "aria-valuetext", f"from 0 to {before[2] - 1}, sources 0 to {before[2] - 1} of 15"
    )
    plain.root.locator("[data-action=zoom-all]").click()
    expect(overview).to_be_hidden()


def test_a_drag_pans_what_is_zoomed_and_picks_nothing(plain: Plain) -> None:
    lock(plain)
    plain.part("focus").locator("canvas[role=grid]").focus()
    for _ in range(3):
        plain.page.keyboard.press("+")
    plain.page.wait_for_function("document.querySelector('.mi-focus canvas').dataset.window.endsWith(' 6')")
    start = window(plain)
    cell = float(plain.part("focus").locator("canvas[role=grid]").get_attribute("data-cell") or 0)
    x, y = plain.cell_centre(3, 2)
    plain.page.mouse.move(x, y)
    plain.page.mouse.down()
    plain.page.mouse.move(x - 2 * cell, y + cell, steps=6)
    plain.page.mouse.up()
    assert window(plain) == (start[0] - 1, start[1] + 2, 6)
    plain.wait(selection="L1H1.pattern")
    plain.page.mouse.move(0, 0)
    plain.page.mouse.click(*plain.cell_centre(5, 0))
    plain.page.wait_for_function("document.querySelector('.mi-widget').dataset.selection.includes('<')")


def test_two_fingers_zoom(plain: Plain) -> None:
    lock(plain)
    plain.part("focus").locator("canvas[role=grid]").evaluate(
        """canvas => {
          const box = canvas.getBoundingClientRect();
          const at = (type, id, x) => canvas.dispatchEvent(new PointerEvent(type, {
            pointerId: id, pointerType: 'touch', buttons: 1, bubbles: true,
            clientX: box.left + x, clientY: box.top + 150 }));
          at('pointerdown', 11, 150); at('pointerdown', 12, 190);
          at('pointermove', 12, 230); at('pointerup', 11, 150); at('pointerup', 12, 230);
        }"""
    )
    plain.page.wait_for_function("document.querySelector('.mi-focus canvas').dataset.window.split(' ')[2] < 15")
    assert window(plain)[2] == 8, "twice as far apart, half as many tokens"


def test_large_cells_hold_their_numbers(plain: Plain) -> None:
    lock(plain)
    plain.part("focus").locator("canvas[role=grid]").focus()
    for _ in range(3):
        plain.page.keyboard.press("+")
    plain.page.wait_for_function("document.querySelector('.mi-focus canvas').dataset.window.endsWith(' 6')")
    with plain.page.expect_download() as download:
        plain.root.locator("[data-action=menu]").click()
        plain.root.locator("[data-action=save-svg]").click()
    figure = download.value.path().read_text()
    dest, src, span = window(plain)
    values = plain.kernel("k.values()[1][1].map(row => [...row])")
    shown = [values[row][col] for row in range(dest, dest + span) for col in range(src, min(src + span, row + 1))]
    assert len(shown) > span
    assert all(f"\u2068{round(value * 254) / 254:.2f}\u2069" in figure for value in shown)


def test_of_a_long_prompt_only_what_is_in_view_is_fetched(plain: Plain) -> None:
    lock(plain, long(600))
    settled(plain)
    first = plain.sent("heads.pattern")[-1]["params"]
    assert (first["dest"], first["src"]) == ([0, 600], [0, 600])
    assert first["side"] < 600, "no finer than it is drawn"
    canvas = plain.part("focus").locator("canvas[role=grid]")
    canvas.focus()
    for _ in range(7):
        plain.page.keyboard.press("+")
    # The window rests where the last key left it; where keys came slowly, a window on the way may have brought all that
    # is in view, token by token.
    plain.page.wait_for_function(
        """() => {
          const [dest, src, span] = document.querySelector('.mi-focus canvas').dataset.window.split(' ').map(Number);
          const { params } = shown.model.sent.filter(it => it.op === 'heads.pattern').at(-1);
          return span < 30 && [[params.dest, dest], [params.src, src]].every(([[low, high], start]) =>
            (low === start && high === start + span) ||
            (low <= start && start + span <= high && high - low <= params.side));
        }"""
    )
    settled(plain)
    dest, src, span = window(plain)
    plain.page.mouse.move(*cell_in_view(plain, dest + span - 1, src))
    value = plain.kernel(f"k.values()[1][1][{dest + span - 1}][{src}]")
    expect(plain.part("readout")).to_contain_text(f"({dest + span - 1}) to ")
    expect(plain.part("readout")).to_contain_text(f": {round(value * 254) / 254:.2f}")


def test_value_weighting_has_its_own_scale(plain: Plain) -> None:
    lock(plain)
    plain.root.get_by_role("radio", name="value-weighted").click()
    note = plain.part("focus-note")
    expect(note).to_contain_text("colours end at")
    values = plain.kernel("k.values('clean', 'value')[1][1].map(row => [...row])")
    top = max(max(row) for row in values)
    expect(note).to_contain_text(f"colours end at {top:.2f}")
    plain.page.mouse.move(*plain.cell_centre(10, 4))
    expect(plain.part("readout")).to_contain_text(f"exactly {values[10][4]:.5f}")
    plain.page.mouse.move(0, 0)
    canvas = plain.part("focus").locator("canvas[role=grid]")
    cell, left, edge = (float(canvas.get_attribute(f"data-{name}") or 0) for name in ("cell", "left", "top"))
    seen = plain.pixel("focus", left + 6.2 * cell, edge + 14.2 * cell)
    assert close(seen, colour(SEQUENTIAL_LIGHT, values[14][6] / top), within=4)
    radio = plain.root.get_by_role("radio", name="attention", exact=True)
    plain.root.get_by_role("radio", name="value-weighted").press("ArrowLeft")
    expect(radio).to_have_attribute("aria-checked", "true")
    expect(note).not_to_contain_text("colours end at")


def test_the_hidden_sink_is_blank_and_its_mass_is_stated(plain: Plain) -> None:
    lock(plain, head=(0, 0))
    canvas = plain.part("focus").locator("canvas[role=grid]")
    cell, left, top = (float(canvas.get_attribute(f"data-{name}") or 0) for name in ("cell", "left", "top"))
    at = (left + 0.5 * cell, top + 8.5 * cell)
    assert plain.pixel("focus", *at) != (255, 255, 255)
    other = plain.pixel("focus", at[0] + cell, at[1])
    button = plain.root.locator("[data-action=hide-sink]")
    button.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    column = plain.kernel("k.values()[0][0].map(row => row[0])")
    mean = sum(column[1:]) / 14
    expect(plain.part("focus-note")).to_contain_text(
        f"hides {mean:.2f} of the attention (mean of the rows, {round(column[14] * 254) / 254:.2f} in the row in focus)"
    )
    assert plain.pixel("focus", *at) == (255, 255, 255)
    assert plain.pixel("focus", at[0] + cell, at[1]) == other, "nothing is rescaled"
    tinted = re.compile("background-color: rgb")
    sink = plain.part("strip").locator("[data-token='0']")
    expect(sink).not_to_have_attribute("style", tinted)
    button.click()
    expect(plain.part("focus-note")).not_to_contain_text("hides")
    expect(sink).to_have_attribute("style", tinted)


def test_a_long_pattern_as_a_table_shows_a_page_of_it(plain: Plain) -> None:
    lock(plain, long(200))
    settled(plain)
    plain.part("focus").locator("[data-action=table]").click()
    table = plain.part("table")
    expect(table.locator("tbody tr")).to_have_count(32)
    expect(table).to_contain_text("rows 169–200, columns 169–200 of 200")
    table.locator("[tabindex]").focus()
    plain.page.keyboard.press("Home")
    plain.page.keyboard.press("PageUp")
    expect(table).to_contain_text("rows 1–32, columns 1–32 of 200")
    value = plain.kernel("k.values()[1][1][20][3]")
    cell = table.locator("tbody tr").nth(20).locator("td").nth(3)
    expect(cell).to_have_text(f"{round(value * 254) / 254:.2f}")
    expect(table.locator("tbody tr").nth(3).locator("td").nth(20)).to_have_text("")


def test_the_strip_of_a_long_prompt_is_folded_with_visible_gaps(plain: Plain) -> None:
    lock(plain, long(1000))
    strip = plain.part("strip")
    expect(strip.locator("[data-token]")).to_have_count(400)
    gap = strip.get_by_role("button")
    expect(gap).to_have_text("… 600 tokens")
    gap.click()
    expect(strip.get_by_role("button").first).to_have_text("… 200 tokens")
    expect(strip.locator("[data-token]").first).to_have_attribute("data-token", "200")


def test_not_finite_cells_stay_hatched_when_zoomed(plain: Plain) -> None:
    lock(
        plain, "{ pattern: (l, h, n) => Array.from({length: n}, () => new Float64Array(n).fill(l === 1 ? NaN : 0.2)) }"
    )
    plain.part("focus").locator("canvas[role=grid]").focus()
    plain.page.keyboard.press("+")
    plain.page.keyboard.press("ArrowLeft")
    expect(plain.part("readout")).to_contain_text("not finite")


def test_one_token_can_be_zoomed_without_harm(plain: Plain) -> None:
    plain.mount("{ text: '', labels: ['‹bos›'] }")
    plain.part("focus").locator("canvas[role=grid]").focus()
    for key in ("+", "ArrowRight", "-", "0", "Enter"):
        plain.page.keyboard.press(key)
    assert window(plain) == (0, 0, 1)
    expect(plain.part("readout")).to_contain_text("from ‹bos› (0) to ‹bos› (0): 1.00")
