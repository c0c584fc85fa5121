"""What is on the canvas: colours compared with the values the scripted kernel really has."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.page.plain_page import Colour, Plain, numbers
from tests.browser.page.ramp import DIVERGING_LIGHT, SEQUENTIAL_DARK, SEQUENTIAL_LIGHT, close, colour

TWO = "{ corrupted: shim.CORRUPTED }"


def values(plain: Plain, run: str = "clean") -> np.ndarray:
    """[layer, head, dest, src] of the scripted kernel."""
    found = plain.kernel(f"k.values('{run}').map(l => l.map(h => h.map(row => [...row])))")
    return np.array(found, dtype=float)


def thumb_pixel(plain: Plain, layer: int, head: int, dest: int, src: int, side: int) -> tuple[int, int, int]:
    it = numbers(plain.part("atlas").locator("canvas[role=grid]"))
    x = it["left"] + head * it["pitchX"] + (src + 0.5) * it["thumb"] / side
    y = it["top"] + layer * it["pitchY"] + (dest + 0.5) * it["thumb"] / side
    return plain.pixel("atlas", x, y)


def focus_pixels(plain: Plain, cells: list[tuple[int, int]]) -> list[Colour]:
    it = numbers(plain.part("focus").locator("canvas[role=grid]"))
    left, top, cell = it["left"], it["top"], it["cell"]
    # Off the middle, where the crosshair would be.
    return plain.pixels("focus", [(left + (src + 0.7) * cell, top + (dest + 0.3) * cell) for dest, src in cells])


@pytest.mark.parametrize(("dark", "stops"), [(False, SEQUENTIAL_LIGHT), (True, SEQUENTIAL_DARK)])
def test_thumbnails_and_focus_have_the_colour_of_their_value(plain: Plain, dark: bool, stops: list[str]) -> None:
    plain.open(dark=dark).mount()
    kernel = values(plain)
    for layer, head in ((0, 0), (1, 1), (2, 3), (3, 2)):
        for dest, src in ((0, 0), (5, 2), (10, 4), (14, 13), (14, 0)):
            seen = thumb_pixel(plain, layer, head, dest, src, 15)
            assert close(seen, colour(stops, kernel[layer, head, dest, src])), (layer, head, dest, src)
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.wait(focus="L1H1")
    plain.page.mouse.move(0, 0)
    cells = [(dest, src) for dest in range(15) for src in range(dest + 1)]
    for (dest, src), seen in zip(cells, focus_pixels(plain, cells), strict=True):
        assert close(seen, colour(stops, kernel[1, 1, dest, src])), (dest, src)


def test_what_the_mask_forbids_is_apart_from_zero(plain: Plain) -> None:
    plain.mount(
        """{ pattern: (l, h, n) =>
          Array.from({length: n}, (_, i) => Float64Array.from({length: n}, (_, j) => +(i === j))) }"""
    )
    zero, future = focus_pixels(plain, [(8, 3), (3, 8)])
    assert zero == (255, 255, 255)
    assert future != zero
    assert max(future) - min(future) < 8, "the mask's ground is a grey, no value's colour"


def test_a_difference_is_centred_on_the_background(plain: Plain) -> None:
    plain.mount(TWO)
    plain.root.get_by_role("radio", name="difference").click()
    plain.wait(run="difference", state="ready")
    plain.page.mouse.move(0, 0)
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.wait(focus="L1H1")
    plain.page.mouse.move(0, 0)
    kernel = values(plain, "difference")[1, 1]
    assert kernel[10, 4] > 0.3
    assert kernel[10, 2] < -0.3
    cells = [(10, 4), (10, 2), (5, 2), (14, 6)]
    for (dest, src), seen in zip(cells, focus_pixels(plain, cells), strict=True):
        assert close(seen, colour(DIVERGING_LIGHT, (kernel[dest, src] + 1) / 2), 4), (dest, src)
    assert close(focus_pixels(plain, [(0, 0)])[0], np.array([255, 255, 255]))


def test_cells_that_are_not_finite_are_hatched_not_white(plain: Plain) -> None:
    plain.mount("{ pattern: (l, h, n) => Array.from({length: n}, () => new Float64Array(n).fill(l === 1 ? NaN : 0)) }")
    plain.page.mouse.click(*plain.head_centre(1, 0))
    plain.wait(focus="L1H0")
    plain.page.mouse.move(0, 0)
    shades = (
        plain.part("focus")
        .locator("canvas[role=grid]")
        .evaluate(
            """canvas => {
          const cell = +canvas.dataset.cell, x = +canvas.dataset.left + 3 * cell, y = +canvas.dataset.top + 9 * cell;
          const data = canvas.getContext('2d').getImageData(x, y, cell, cell).data;
          return new Set(Array.from({length: data.length / 4}, (_, i) => data[4 * i])).size;
        }"""
        )
    )
    assert shades > 1, "a hatch has lines and ground"
    plain.page.mouse.move(*plain.cell_centre(9, 3))
    plain.page.wait_for_function("document.querySelector('.mi-readout').textContent.includes('not finite')")


def test_the_bar_is_as_long_as_the_score(plain: Plain) -> None:
    plain.mount()
    plain.root.get_by_role("radio", name="previous").click()
    plain.page.wait_for_selector('[data-name=previous][aria-checked="true"]')
    score = plain.kernel("k.scores().previous.bars")
    canvas = plain.part("atlas").locator("canvas[role=grid]")
    thumb = float(canvas.get_attribute("data-thumb") or 0)
    for layer, head in ((0, 1), (1, 2), (3, 3)):
        length = canvas.evaluate(
            """(canvas, [layer, head]) => {
              const d = canvas.dataset, x = +d.left + head * d.pitchX, y = +d.top + layer * d.pitchY + +d.thumb + 4;
              const data = canvas.getContext('2d').getImageData(x, y, +d.thumb, 1).data;
              let coloured = 0;
              for (let i = 0; i < data.length; i += 4) {
                if (Math.max(...data.slice(i, i + 3)) - Math.min(...data.slice(i, i + 3)) > 30) coloured++;
              }
              return coloured;
            }""",
            [layer, head],
        )
        assert length == pytest.approx(max(3, score[layer][head] * thumb), abs=2)


def test_long_patterns_keep_every_strong_key_and_are_fetched_once(plain: Plain) -> None:
    plain.mount(
        """{ text: 'long', labels: Array.from({length: 200}, (_, i) => '␣w' + i),
             pattern: (l, h, n) => Array.from({length: n}, (_, i) =>
               Float64Array.from({length: n}, (_, j) => +(j === 0 || (i === 150 && j === 77)))) }"""
    )
    assert plain.kernel("k.side()") == 48
    # Token 150 is in thumbnail row 36, token 77 in column 18: one strong key among 200 x 200 is still there.
    assert close(thumb_pixel(plain, 2, 2, 36, 18, 48), colour(SEQUENTIAL_LIGHT, 1.0), 60)
    plain.page.mouse.click(*plain.head_centre(2, 2))
    plain.page.wait_for_selector('[data-part=focus] canvas[data-size="200"]')
    assert plain.part("focus-note").inner_text().startswith("every ")
    plain.page.mouse.move(0, 0)
    asked = [m for m in plain.sent("heads.pattern") if [2, 2] in m["params"]["heads"]]
    assert len(asked) == 1
    assert asked[0]["params"]["dest"] == [0, 200]


def test_streamed_layers_appear_before_the_whole_is_there(plain: Plain) -> None:
    plain.mount()
    plain.kernel_async("k.mode.holdAtlas = true; k.rev++; k.startJob(); k.partial(0, 2, 0)")
    plain.page.wait_for_function("!document.querySelector('[data-part=work]').textContent.includes('kernel is free')")
    plain.wait(state="running")
    expect(plain.part("work")).to_contain_text("2 of 4 layers · 0.4 s left")
    kernel = values(plain)
    assert close(thumb_pixel(plain, 1, 1, 10, 4, 15), colour(SEQUENTIAL_LIGHT, kernel[1, 1, 10, 4]))
    waiting = thumb_pixel(plain, 3, 0, 10, 4, 15)
    assert waiting == thumb_pixel(plain, 3, 0, 4, 10, 15), "a layer still to come is one flat ground"
    plain.kernel_async("k.finishJob()")
    plain.wait(state="ready")
    assert close(thumb_pixel(plain, 3, 1, 10, 4, 15), colour(SEQUENTIAL_LIGHT, kernel[3, 1, 10, 4]))


def test_the_exported_svg_has_the_same_cells(plain: Plain) -> None:
    plain.mount()
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.wait(focus="L1H1")
    plain.root.locator("[data-action=menu]").click()
    with plain.page.expect_download() as caught:
        plain.root.locator("[data-action=save-svg]").click()
    text = caught.value.path().read_text(encoding="utf-8")
    wanted = colour(SEQUENTIAL_LIGHT, values(plain)[1, 1, 10, 4])
    fills = plain.page.evaluate(
        """text => {
          const parsed = new DOMParser().parseFromString(text, 'image/svg+xml');
          const focus = [...parsed.querySelectorAll('g')].at(-1);
          // The run that holds cell (10, 4): a rectangle of a path that starts at or before column 4 of row 10.
          return [...focus.children].filter(path => /M4 10h/.test(path.getAttribute('d')))
            .map(path => path.getAttribute('fill'));
        }""",
        text,
    )
    assert len(fills) == 1
    seen = tuple(int(part) for part in fills[0][4:-1].split(","))
    assert close((seen[0], seen[1], seen[2]), wanted)
    with plain.page.expect_download() as caught:
        plain.root.locator("[data-action=menu]").click()
        plain.root.locator("[data-action=save-png]").click()
    assert caught.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
