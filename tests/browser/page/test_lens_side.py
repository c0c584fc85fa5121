"""The panel beside the lens: the card of a cell, pinned tokens and their lines, attribution; by pointer and by key."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.page.lens_page import LensPage

TWO = "{ corrupted: shim.CORRUPTED }"
EDIT = "{ label: 'zero L2H1.z', on: true, site: 'L2H1.z', note: '' }"
EDITED = f"{{ choice: {{ run: 'edited' }}, edits: [{EDIT}] }}"
HOSTILE = """{ text: 'hostile', labels: ['‹bos›', '</script><script>window.hacked = 1</script>', '<b>bold</b>',
  '\\u202eabc', '\\u200b', '\\n', 'x'.repeat(20000), '␣Mary'] }"""


def number(value: float, *, signed: bool = False) -> str:
    """A number as labels have it."""
    size = abs(value)
    sign = "−" if value < 0 else "+" if signed else ""
    if 0 < size < 0.005:
        mantissa, power = f"{size:.1e}".split("e")
        return f"{sign}{mantissa}e{int(power)}"
    return f"{sign}{size:.2f}"


def options(lens: LensPage, place: Locator | None = None) -> Locator:
    return (place or lens.part("lens-card")).locator("[role=option]:visible")


def bare(label: str) -> str:
    return label.removeprefix("␣").replace("\n", "↵") or "␣"


def pins(lens: LensPage) -> Locator:
    return lens.part("trajectories").locator(".mi-pin-chip span")


def listed(lens: LensPage, row: int, position: int, count: int = 5) -> list[tuple[str, str]]:
    """Name and number of each token that the card should have."""
    cell: dict[str, Any] = lens.kernel(f"k.cell({row}, {position}, undefined, {count})")
    return [(bare(it["label"]), number(it["value"])) for it in cell["top"]]


def shown(lens: LensPage) -> list[tuple[str, str]]:
    rows = options(lens)
    return list(
        zip(
            rows.locator(".mi-top-name").all_inner_texts(),
            rows.locator(".mi-bar-value").all_inner_texts(),
            strict=True,
        )
    )


def plot(lens: LensPage) -> Locator:
    return lens.part("trajectories").locator("canvas")


def plot_x(lens: LensPage, row: int, rows: int = 5) -> float:
    """Where a row stands in the plot, in page coordinates."""
    expect(plot(lens)).to_be_visible()
    box = plot(lens).bounding_box()
    assert box is not None
    letter = 11 * 0.602
    left, right = 3 * letter + 8, box["width"] - 7 * letter - 10
    return box["x"] + left + row / (rows - 1) * (right - left)


def test_the_card_follows_the_cell_and_says_what_the_kernel_has(lens: LensPage) -> None:
    lens.mount()
    card = lens.part("lens-card")
    expect(card.locator("h3")).to_have_text("L3 · to14")
    assert shown(lens) == listed(lens, 4, 14)
    lens.page.mouse.move(*lens.point(2, 6))
    expect(card.locator("h3")).to_have_text("L1 · to6")
    assert shown(lens) == listed(lens, 2, 6)
    assert lens.sent("lens.card") == [], "the table's own numbers are enough"
    widths = [float(it.evaluate("it => it.clientWidth")) for it in options(lens).locator(".mi-bar").all()]
    values = [it["value"] for it in lens.kernel("k.cell(2, 6)")["top"]]
    for width, value in zip(widths, values, strict=True):
        assert width == pytest.approx(max(2, widths[0] * value / values[0]), abs=1)
    lens.page.mouse.click(*lens.point(2, 6))
    lens.page.mouse.move(0, 0)
    expect(card.locator("h3")).to_have_text("L1 · to6")
    card.locator("[data-action=more-tokens]").click()
    expect(options(lens)).to_have_count(20)
    assert shown(lens) == listed(lens, 2, 6, 20)
    assert lens.sent("lens.card")[-1]["params"] == {
        "run": "clean", "row": 2, "position": 6, "k": 20, "sublayers": False, "tuned": False,
    }  # fmt: skip
    card.locator("[data-action=more-tokens]").click()
    expect(options(lens)).to_have_count(5)
    assert card.locator(".mi-measures").is_hidden()
    card.locator("[data-action=all-measures]").click()
    measures = card.locator("[data-measure]")
    expect(measures).to_have_count(6)
    expect(measures.nth(2)).not_to_contain_text("…")
    found = lens.kernel("k.cardOf({ run: 'clean', row: 2, position: 6, k: 5, sublayers: false, tuned: false })")[
        "measures"
    ]
    for name, value in found.items():
        text = str(int(value)) if name == "rank" else number(value, signed=name == "logit_diff")
        expect(card.locator(f"[data-measure={name}] dd")).to_have_text(text)


def test_tokens_are_pinned_by_click_by_key_and_by_their_text(lens: LensPage) -> None:
    lens.mount()
    expect(pins(lens)).to_have_text(["Mary", "John"])
    names = [name for name, _ in shown(lens)]
    at = next(at for at, name in enumerate(names) if name not in ("Mary", "John"))
    row = options(lens).nth(at)
    row.click()
    expect(row).to_have_attribute("aria-selected", "true")
    expect(pins(lens)).to_have_text(["Mary", "John", names[at]])
    dot, chip = (it.evaluate("it => getComputedStyle(it).backgroundColor") for it in (
        row.locator(".mi-pin"), lens.part("trajectories").locator(".mi-pin-chip .mi-pin").nth(2),
    ))  # fmt: skip
    assert dot == chip != "rgba(0, 0, 0, 0)"
    row.click()
    expect(pins(lens)).to_have_text(["Mary", "John"])
    # By key: one tab stop, arrows, Enter, Space and P pin, Delete unpins.
    box = lens.part("lens-card").locator("[role=listbox]:visible")
    box.focus()
    for _ in range(at):
        lens.page.keyboard.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == row.get_attribute("id")
    for key in ("Enter", " ", "p"):
        lens.page.keyboard.press(key)
        expect(row).to_have_attribute("aria-selected", "true")
        expect(lens.root.locator(".mi-live")).to_have_text(f"␣{names[at]} pinned")
        lens.page.keyboard.press("Delete")
        expect(row).to_have_attribute("aria-selected", "false")
    # From the table: P on the cursor's cell.
    lens.page.mouse.click(*lens.point(0, 0))
    top = bare(lens.kernel("k.cell(0, 0)")["top"][0]["label"])
    lens.canvas.focus()
    lens.page.keyboard.press("p")
    expect(pins(lens).last).to_have_text(top)
    # By its text.
    field = lens.part("trajectories").locator("input")
    field.fill(" store")
    field.press("Enter")
    expect(lens.part("typed")).to_have_text("␣store pinned")
    expect(pins(lens).last).to_have_text("store")
    expect(field).to_have_value("")
    field.fill("nosuchword")
    field.press("Enter")
    expect(lens.part("typed")).to_contain_text("no single token")
    # Chips unpin, those of the question too.
    chips = lens.part("trajectories").locator(".mi-pin-chip")
    chips.last.focus()
    lens.page.keyboard.press("Delete")
    chips.first.click()
    expect(pins(lens)).to_have_text(["John", top])
    tracked = "shown.model.sent.filter(it => it.op === 'lens.track').at(-1).params.tokens.length"
    lens.page.wait_for_function(f"() => {tracked} === 2")


def test_lines_have_their_values_and_lead_to_the_rows(lens: LensPage) -> None:
    lens.mount()
    # What is pinned is asked for once the table is there.
    expect(plot(lens)).to_be_visible()
    box = plot(lens).bounding_box()
    assert box is not None
    chips = lens.part("trajectories").locator(".mi-pin-chip b")
    mary = [lens.kernel(f"k.distribution(k.rowsOf()[{row}], 14, 'clean')[0]") for row in range(5)]
    expect(chips.first).to_have_text(number(mary[4]))
    for row in (0, 2, 3):
        lens.page.mouse.move(plot_x(lens, row), box["y"] + 50)
        expect(chips.first).to_have_text(number(mary[row]))
        expect(plot(lens)).to_have_attribute("data-row", ("input", "L0", "L1", "L2", "L3")[row])
        # A dot of the answer's colour stands at the value.
        x, y = plot_x(lens, row) - box["x"], 110 - mary[row] * 102
        near = lens.pixels("trajectories", [(x + dx, y + dy) for dx in (-1, 1) for dy in (-1, 0, 1)])
        assert (15, 127, 134) in near or mary[row] < 0.05
    lens.wait(focus="L2.resid_post@14")
    expect(lens.part("lens-card").locator("h3")).to_have_text("L2 · to14")
    lens.page.mouse.click(plot_x(lens, 2), box["y"] + 50)
    lens.page.mouse.move(0, 0)
    lens.wait(selection="L1.resid_post@14")
    # The same by key.
    plot(lens).focus()
    lens.page.keyboard.press("ArrowRight")
    expect(plot(lens)).to_have_attribute("data-row", "L2")
    assert (plot(lens).get_attribute("aria-valuetext") or "").startswith(f"L2: Mary {number(mary[3])}; John")
    lens.page.keyboard.press("Home")
    expect(plot(lens)).to_have_attribute("data-row", "input")
    lens.page.keyboard.press("End")
    lens.page.keyboard.press("Enter")
    lens.wait(selection="L3.resid_post@14")
    # Another position has lines of its own.
    lens.page.mouse.click(*lens.point(4, 3))
    expect(lens.part("trajectories").locator("h3")).to_have_text("Pinned at and3")
    here = lens.kernel("k.distribution(k.rowsOf()[4], 3, 'clean')[0]")
    expect(chips.first).to_have_text(number(here))
    lens.part("trajectories").get_by_role("radio", name="rank").click()
    rank = lens.kernel("(l => l.filter(it => it > l[0]).length)(k.logits(k.rowsOf()[4], 3, 'clean'))")
    expect(chips.first).to_have_text(str(rank))
    lens.part("trajectories").get_by_role("radio", name="logit").click()
    logit = lens.kernel("k.logits(k.rowsOf()[4], 3, 'clean')[0]")
    expect(chips.first).to_have_text(number(logit, signed=True))
    lens.part("trajectories").locator("[data-action=tracks-table]").click()
    cells = lens.part("trajectories").locator("tbody tr")
    expect(cells).to_have_count(5)
    expect(cells.nth(4).locator("td").first).to_have_text(number(logit, signed=True))
    assert plot(lens).is_hidden()


def test_an_edited_run_is_told_beside_the_unedited_one(lens: LensPage) -> None:
    lens.mount(EDITED)
    card = lens.part("lens-card")
    expect(card).to_contain_text("edited, marks: unedited")
    expect(lens.part("trajectories")).to_contain_text("dashed: unedited")
    found = lens.kernel("k.cardOf({ run: 'edited', row: 4, position: 14, k: 5, sublayers: false, tuned: false })")
    rows = options(lens)
    pinned = {"␣Mary", "␣John"}
    for at, token in enumerate(found["tokens"]):
        place = token["before_rank"]
        words = [
            f"{token['label']} {number(token['value'])}",
            f"unedited {number(token['before'])}",
            *([f"from place {place + 1} to {at + 1}"] if place != at else []),
            *(["pinned"] if token["label"] in pinned else []),
        ]
        expect(rows.nth(at)).to_have_attribute("aria-label", ", ".join(words).replace("\n", "↵"))
        arrow = f"{'▲' if place > at else '▼'}{abs(place - at)}" if place != at else ""
        expect(rows.nth(at).locator(".mi-top-move")).to_have_text(arrow)
    assert any(it["before_rank"] != at for at, it in enumerate(found["tokens"])), "an edit that moves something"
    most = max(max(it["value"], it["before"]) for it in found["tokens"])
    for at, token in enumerate(found["tokens"]):
        mark = rows.nth(at).locator(".mi-was")
        if abs(token["before"] - token["value"]) / most > 0.02:
            left = mark.evaluate("it => parseFloat(it.style.left)")
            assert left == pytest.approx(100 * token["before"] / most, abs=0.5)
        elif abs(token["before"] - token["value"]) / most < 0.01:
            assert mark.is_hidden()
    lens.kernel_async(
        "k.mode.fail['lens.card'] = { error: 'X', message: 'The cell is lost.', hint: '', retryable: true }"
    )
    lens.page.mouse.move(*lens.point(2, 6))
    expect(card).to_contain_text("The cell is lost.")
    lens.kernel_async("k.mode.fail = {}")
    lens.page.mouse.click(*lens.point(2, 6))
    card.locator("[data-action=retry-card]").click()
    expect(card).not_to_contain_text("The cell is lost.")


def test_contributions_promote_and_suppress(lens: LensPage) -> None:
    lens.mount("{ choice: { sublayers: true } }")
    lens.page.mouse.move(*lens.point(1, 4))
    card = lens.part("lens-card")
    expect(card.locator("h3")).to_have_text("L0 attn · John4")
    expect(card).to_contain_text("direct effect, in logits")
    expect(options(lens)).to_have_count(10)
    found = lens.kernel("k.cardOf({ run: 'clean', row: 1, position: 4, k: 5, sublayers: true, tuned: false })")
    wanted = [*found["tokens"], *found["suppressed"]]
    assert shown(lens) == [(bare(it["label"]), number(it["value"], signed=True)) for it in wanted]
    assert card.locator(".mi-bar.mi-down:visible").count() == 5
    assert lens.sent("lens.track")[-1]["params"]["sublayers"] is True
    # Their rows are no stops on a token's way.
    expect(plot(lens)).to_have_attribute("aria-valuemax", "8")
    plot(lens).focus()
    lens.page.keyboard.press("Home")
    lens.page.keyboard.press("ArrowRight")
    expect(plot(lens)).to_have_attribute("data-row", "L0 mid")


def test_attribution_adds_up_and_leads_to_heads_and_sources(lens: LensPage) -> None:
    lens.mount(TWO)
    part = lens.part("attribution")
    assert lens.sent("lens.attribution") == []
    fold = part.locator("[data-action=attribution]")
    fold.focus()
    lens.page.keyboard.press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "true")
    expect(part).to_contain_text("of the logit difference Mary − John · direct effect · clean run")
    value = "(at, place) => 2.4 * Math.sin(at * 1.9 + place * 0.8) * ((at + 1) / 4)"
    heads = {f"L{at}.H{place}": lens.kernel(f"({value})({at}, {place})") for at in range(4) for place in range(4)}
    whole = heads | {"input": 0.31} | {f"L{at} mlp": 0.4 - at * 0.2 for at in range(4)}
    largest = sorted(whole.items(), key=lambda it: -abs(it[1]))[:12]
    rows = lens.part("shares").locator(".mi-bar-row")
    expect(rows).to_have_count(12)
    assert [it.locator("> span").first.inner_text() for it in rows.all()] == [name for name, _ in largest]
    assert rows.locator(".mi-bar-value").all_inner_texts() == [number(it, signed=True) for _, it in largest]
    rest = sum(whole.values()) - sum(it for _, it in largest)
    expect(part).to_contain_text(f"{len(whole) - 12} others together {number(rest, signed=True)}")
    expect(lens.part("sum")).to_have_text(f"sum {number(sum(whole.values()), signed=True)} · residue +2.0e-6")
    # A click on the map selects the head for every widget and shows what it reads from.
    canvas = part.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    left, top, cell, row = (float(canvas.get_attribute(f"data-{name}") or 0) for name in ("left", "top", "cell", "row"))
    heard = "window.heard = []; window.addEventListener('mi-widgets:link', it => window.heard.push(it.detail.hover))"
    lens.page.evaluate(f"() => {{ {heard} }}")
    lens.page.mouse.move(box["x"] + left + 2.5 * cell, box["y"] + top + 1.5 * row)
    expect(part).to_contain_text(f"L1.H2: {number(heads['L1.H2'], signed=True)} logits")
    assert {"layer": 1, "head": 2} in lens.page.evaluate("window.heard")
    lens.page.mouse.click(box["x"] + left + 2.5 * cell, box["y"] + top + 1.5 * row)
    lens.wait(selection="L1H2.z")
    sources = lens.part("sources")
    expect(sources).to_contain_text("L1.H2 by the position it reads from")
    strongest = sources.locator(".mi-bar-row").first
    expect(strongest.locator("> span").first).to_have_text("to14")
    expect(strongest.locator(".mi-bar-value")).to_have_text(number(heads["L1.H2"], signed=True))
    # The same by key, and from a bar.
    canvas.focus()
    lens.page.keyboard.press("ArrowDown")
    lens.page.keyboard.press("ArrowLeft")
    expect(lens.root.locator(".mi-live")).to_have_text(f"L2.H1: {number(heads['L2.H1'], signed=True)} logits")
    lens.page.keyboard.press("Enter")
    lens.wait(selection="L2H1.z")
    lens.page.keyboard.press("Escape")
    expect(sources).to_be_hidden()
    lens.part("shares").locator("button").first.click()
    lens.wait(selection=largest[0][0].replace(".", "") + ".z")
    # Whatever the metric it is of the logit difference, and says so; of a difference it is of the clean run.
    lens.root.locator("[data-select=metric]").select_option("prob")
    expect(part).to_contain_text("whatever the metric (probability)")
    lens.root.get_by_role("radio", name="difference", exact=True).click()
    lens.wait(run="difference", state="ready")
    assert lens.sent("lens.attribution")[-1]["params"]["run"] == "clean"


def test_attribution_that_cannot_be_says_why(lens: LensPage) -> None:
    lens.mount("{ answers: { answer: null, distractor: null } }")
    part = lens.part("attribution")
    part.locator("[data-action=attribution]").click()
    expect(lens.part("attribution-off")).to_contain_text("Attribution needs an answer: click the answer chip")
    assert lens.sent("lens.attribution") == []
    expect(pins(lens)).to_have_count(0)
    expect(lens.part("trajectories")).to_contain_text("No token is pinned")
    failure = "{ error: 'SiteUnavailable', message: 'No final norm.', hint: 'Patch instead.', retryable: true }"
    lens.kernel_async(f"k.mode.fail['lens.attribution'] = {failure}")
    chip = lens.root.locator("[data-action=answer]")
    chip.click()
    lens.root.locator("[data-input=answer]").fill("␣Mary")
    lens.page.keyboard.press("Enter")
    expect(part).to_contain_text("No final norm. Patch instead.")
    lens.kernel_async("k.mode.fail = {}")
    part.locator("[data-action=retry-attribution]").click()
    expect(lens.part("sum")).to_contain_text("sum")
    expect(pins(lens).first).to_have_text("Mary")


def test_hostile_tokens_stay_text_in_the_panel(lens: LensPage) -> None:
    lens.mount(HOSTILE)
    lens.part("attribution").locator("[data-action=attribution]").click()
    lens.part("lens-card").locator("[data-action=more-tokens]").click()
    expect(options(lens)).not_to_have_count(5)
    for at in range(options(lens).count()):
        if options(lens).nth(at).get_attribute("aria-selected") == "false":
            options(lens).nth(at).click()
    lens.page.mouse.click(*lens.point(4, 6))
    expect(lens.part("trajectories").locator("h3")).to_contain_text("…")
    assert lens.page.evaluate("window.hacked") is None
    assert lens.root.locator("b:text-is('bold'), script").count() == 0
    assert lens.root.evaluate("it => it.scrollWidth <= it.clientWidth + 1")
    assert lens.root.locator(".mi-pin-chip").count() == 12


@pytest.mark.parametrize("width", [480, 800, 1180])
def test_nothing_sticks_out_in_either_theme_or_on_a_projector(lens: LensPage, width: int) -> None:
    lens.page.set_viewport_size({"width": width + 24, "height": 900})
    lens.open(dark=width == 800).mount(EDITED)
    lens.part("attribution").locator("[data-action=attribution]").click()
    lens.part("lens-card").locator("[data-action=all-measures]").click()
    expect(lens.part("sum")).to_be_visible()
    for large in (False, True):
        if large:
            lens.root.locator("[data-action=projector]").click()
        lens.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        outside = lens.root.evaluate(
            """root => {
              const edge = root.getBoundingClientRect();
              return [...root.querySelectorAll('.mi-lens-side *, .mi-attribution *')].filter(it => {
                const box = it.getBoundingClientRect();
                return box.width && (box.right > edge.right + 1 || box.left < edge.left - 1);
              }).map(it => it.className + ' ' + it.textContent.slice(0, 30));
            }"""
        )
        assert outside == [], (width, large)
        rows = options(lens)
        for at in range(5):
            name, value = (rows.nth(at).locator(it).bounding_box() for it in (".mi-top-name", ".mi-bar-value"))
            assert name is not None
            assert value is not None
            assert name["x"] + name["width"] <= value["x"]
