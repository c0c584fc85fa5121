"""Themes and sizes: dark and light follow the page, nothing overlaps, nothing scrolls the page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.page.plain_page import Plain

TWO = "{ corrupted: shim.CORRUPTED }"
LONG = "{ text: 'w '.repeat(199), labels: ['‹bos›', ...Array.from({length: 199}, (_, i) => '␣word' + i % 31)] }"
OVERLAPS = """root => {
  const kinds = 'button, select, .mi-chip, .mi-title, .mi-word, canvas[role], [data-token], .mi-note';
  const seen = [...root.querySelectorAll(kinds)]
    .filter(el => el.getClientRects().length && !el.closest('[hidden], .mi-help, .mi-tip'));
  const leaves = seen.filter(el => !seen.some(other => other !== el && el.contains(other)));
  const boxes = leaves.map(el => [el, el.getBoundingClientRect()]);
  const clipped = el => { const box = el.closest('.mi-strip-text')?.getBoundingClientRect(); return box; };
  const found = [];
  for (const [i, [a, p]] of boxes.entries()) for (const [b, q] of boxes.slice(i + 1)) {
    if (clipped(a) || clipped(b)) { if (!(clipped(a) && clipped(b))) continue; }
    const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (wide > 1 && high > 1) found.push(a.textContent.slice(0, 30) + ' | ' + b.textContent.slice(0, 30));
  }
  return found;
}"""
OUTSIDE = """root => {
  const frame = root.getBoundingClientRect();
  return [...root.querySelectorAll('button, select, canvas, .mi-chip, [data-token], .mi-note, .mi-bar-row')]
    .filter(el => el.getClientRects().length).map(el => [el, el.getBoundingClientRect()])
    .filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1)
    .map(([el]) => el.className + ' ' + el.textContent.slice(0, 30));
}"""


@pytest.mark.parametrize("width", [480, 700, 980, 1180, 1400, 1900])
@pytest.mark.parametrize("options", [TWO, LONG, "{ layers: 12, heads: 12, kvHeads: 12 }"])
def test_nothing_overlaps_and_nothing_sticks_out(plain: Plain, width: int, options: str) -> None:
    plain.page.set_viewport_size({"width": width, "height": 900})
    plain.mount(options)
    assert plain.root.evaluate(OVERLAPS) == []
    assert plain.root.evaluate(OUTSIDE) == []
    assert plain.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_panels_stack_when_narrow_and_stand_side_by_side_when_wide(plain: Plain) -> None:
    plain.page.set_viewport_size({"width": 480, "height": 900})
    plain.mount()
    tops = [plain.part(name).bounding_box() for name in ("atlas", "focus", "strip")]
    assert all(box is not None for box in tops)
    assert [box["y"] for box in tops if box] == sorted({box["y"] for box in tops if box})
    plain.page.set_viewport_size({"width": 1400, "height": 900})
    plain.page.wait_for_selector('.mi-widget[data-size="wide"]')
    lefts = [box["x"] for name in ("atlas", "focus", "strip") if (box := plain.part(name).bounding_box())]
    assert lefts == sorted(lefts)
    assert lefts[2] > 800


def test_a_long_prompt_stays_inside_its_widget(plain: Plain) -> None:
    plain.mount(LONG)
    box = plain.root.bounding_box()
    assert box is not None
    assert box["height"] < 700
    strip = plain.part("strip").get_by_role("listbox")
    assert strip.evaluate("el => el.scrollHeight > el.clientHeight"), "the strip scrolls, not the page"
    plain.page.mouse.click(*plain.head_centre(0, 0))
    expect(plain.part("focus").locator("canvas[role=grid]")).to_have_attribute("data-size", "200")
    assert "label is drawn, all 200 rows and columns are" in plain.part("focus").inner_text()
    scrolled = plain.page.evaluate("scrollY")
    plain.root.locator("[data-action=prompt]").hover()
    plain.page.mouse.wheel(0, 0)
    assert plain.page.evaluate("scrollY") == scrolled


@pytest.mark.parametrize(
    ("background", "theme"), [("#ffffff", "light"), ("#111111", "dark"), ("#1e1e1e", "dark"), ("#fdf6e3", "light")]
)
def test_the_theme_is_decided_by_the_background_that_is_there(plain: Plain, background: str, theme: str) -> None:
    plain.page.evaluate("colour => { document.body.style.background = colour; }", background)
    plain.mount()
    plain.wait(theme=theme)
    shown = plain.root.evaluate("root => getComputedStyle(root).backgroundColor")
    wanted = ", ".join(str(int(background[at : at + 2], 16)) for at in (1, 3, 5))
    assert shown == f"rgb({wanted})"


def test_it_is_redrawn_when_the_host_switches(plain: Plain) -> None:
    plain.mount()
    plain.wait(theme="light")
    corner = (float(plain.part("atlas").locator("canvas[role=grid]").get_attribute("data-left") or 0) - 10, 5.0)
    assert plain.pixel("atlas", *corner) == (255, 255, 255)
    plain.page.evaluate("document.body.classList.add('dark')")
    plain.wait(theme="dark")
    plain.page.wait_for_function(
        """() => { const c = document.querySelector('[data-part=atlas] canvas');
          return c.getContext('2d').getImageData(3, 3, 1, 1).data[0] === 17; }"""
    )
    assert plain.pixel("atlas", *corner) == (17, 20, 24)
    plain.page.evaluate("document.body.classList.remove('dark')")
    plain.wait(theme="light")


def test_a_new_style_sheet_is_a_switch_too(plain: Plain) -> None:
    plain.mount()
    plain.wait(theme="light")
    plain.page.add_style_tag(content="body { background: #101010 !important; }")
    plain.wait(theme="dark")


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read(plain: Plain, dark: bool) -> None:
    plain.open(dark=dark).mount()
    weak = plain.root.evaluate(
        """root => {
          const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
          const light = text => {
            const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => linear(v / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ground = el => {
            for (; el; el = el.parentElement) {
              const colour = getComputedStyle(el).backgroundColor;
              if (!/, 0\\)/.test(colour)) return colour;
            }
            return 'rgb(255, 255, 255)';
          };
          const shown = el => el.getClientRects().length && !el.closest('[aria-disabled], canvas, .mi-live');
          const texts = [...root.querySelectorAll('*')].filter(
            el => shown(el) && [...el.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
          return texts.map(el => {
            const [a, b] = [light(getComputedStyle(el).color), light(ground(el))].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), el.textContent];
          }).filter(([ratio]) => ratio < 4.4);
        }"""
    )
    assert weak == []


def test_the_projector_enlarges_type_and_contrast(plain: Plain) -> None:
    plain.page.set_viewport_size({"width": 1400, "height": 900})
    plain.mount()
    size = "root => parseFloat(getComputedStyle(root).fontSize)"
    before = plain.root.evaluate(size)
    button = plain.root.locator("[data-action=projector]")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert plain.root.evaluate(size) > 1.2 * before
    assert plain.root.evaluate(OUTSIDE) == []
    button.click()
    assert plain.root.evaluate(size) == before


def test_reduced_motion_is_respected(plain: Plain) -> None:
    plain.mount()
    plain.kernel_async("k.mode.holdAtlas = true; k.startJob()")
    expect(plain.part("progress")).to_be_visible()
    assert plain.part("progress").evaluate("el => getComputedStyle(el).animationName") == "none"


def test_a_view_that_is_shown_again_in_another_width_is_laid_out_for_it_whatever_else_is_drawn(plain: Plain) -> None:
    plain.page.set_viewport_size({"width": 1200, "height": 900})
    plain.mount()
    plain.page.wait_for_selector('.mi-widget[data-size="wide"]')
    holder = "document.querySelector('.mi-widget').parentElement.style"
    plain.page.evaluate(f"{holder}.display = 'none'")
    plain.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    # What is drawn in the frame in which it comes back asks for its width before that is told.
    plain.kernel_async(f"m.update({{ selection: ['L1.H1'] }}); {holder}.cssText = 'width: 500px'")
    plain.page.wait_for_selector('.mi-widget[data-size="narrow"]')
