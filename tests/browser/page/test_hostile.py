"""Tokens are data, whatever they contain."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.page.plain_page import Plain

TOKENS = {
    "script": "</script><script>window.hacked = 1</script>",
    "image": "</script><img src=x onerror='window.hacked = 1'>",
    "bold": "<b>bold</b>",
    "override": "\u202eabc",
    "zero width": "\u200b",
    "newline": "\n",
    "huge": "x" * 20_000,
    "right to left": "שלום",
    "lone surrogate": "\ud800",
    "nothing": "",
    "entity": "&lt;b&gt;",
}


def options(plain: Plain) -> str:
    """All of them as labels, as the prompt, as answers, as the model's name and as a warning."""
    plain.page.evaluate(
        "tokens => { window.tokens = tokens; }", {name: t for name, t in TOKENS.items() if name != "lone surrogate"}
    )
    plain.page.evaluate("() => { tokens['lone surrogate'] = '\\ud800'; }")
    return """{ labels: ['‹bos›', ...Object.values(tokens)], text: Object.values(tokens).join(' '), name: tokens.image,
      warnings: [tokens.script, tokens.image], missing: { 3: tokens.image },
      answers: { answer: { texts: [tokens.huge], labels: [tokens.image], ids: [1], guessed: false } } }"""


def test_nothing_runs_and_nothing_is_markup(plain: Plain) -> None:
    plain.mount(options(plain))
    plain.root.locator("[data-action=help]").click()
    plain.root.locator("[data-action=close-help]").click()
    plain.root.locator("[data-action=prompt]").hover()
    plain.root.locator("[data-action=answer]").hover()
    plain.root.locator("[data-action=table]").click()
    assert plain.page.evaluate("window.hacked") is None
    assert plain.root.locator("script, img, b b, .mi-strip b b").count() == 0
    assert plain.part("strip").get_by_text("<b>bold</b>", exact=True).count() == 1
    assert plain.part("strip").get_by_text("&lt;b&gt;", exact=True).count() == 1


def test_every_token_is_seen_and_none_is_wide(plain: Plain) -> None:
    plain.mount(options(plain))
    tokens = plain.part("strip").locator("[data-token]")
    assert tokens.count() == len(TOKENS) + 1
    for index in range(tokens.count()):
        box = tokens.nth(index).bounding_box()
        assert box is not None
        assert 6 <= box["width"] <= 320, tokens.nth(index).inner_text()
        assert tokens.nth(index).inner_text().strip() != ""
    frame = plain.root.bounding_box()
    assert frame is not None
    assert frame["width"] <= 1180
    assert frame["height"] < 1200


@pytest.mark.parametrize(
    ("name", "shown"), [("newline", "↵"), ("zero width", "⟨200B⟩"), ("override", "⟨202E⟩abc"), ("nothing", "∅")]
)
def test_what_cannot_be_seen_has_a_name(plain: Plain, name: str, shown: str) -> None:
    plain.mount(options(plain))
    order = [key for key in TOKENS if key != "lone surrogate"] + ["lone surrogate"]
    token = plain.part("strip").locator(f'[data-token="{order.index(name) + 1}"]')
    assert token.inner_text() == shown


def test_a_right_to_left_token_does_not_turn_its_neighbours_over(plain: Plain) -> None:
    plain.mount(
        "{ labels: ['‹bos›', 'one', '\\u05e9\\u05dc\\u05d5\\u05dd', 'two', '\\u202ethree', 'four'], text: 'x' }"
    )
    boxes = [plain.part("strip").locator(f'[data-token="{at}"]').bounding_box() for at in range(6)]
    lefts = [box["x"] for box in boxes if box]
    assert lefts == sorted(lefts)
    assert len(lefts) == 6


def test_the_whole_of_a_long_token_is_told_on_hover_without_filling_the_page(plain: Plain) -> None:
    plain.mount(options(plain))
    token = plain.part("strip").locator('[data-token="7"]')
    title = token.get_attribute("title") or ""
    assert title.startswith("xxxx")
    assert "position 7" in title
    assert len(title) < 400


@pytest.mark.parametrize("labels", ["['‹bos›']", "['␣one']"])
def test_a_prompt_of_one_token(plain: Plain, labels: str) -> None:
    plain.mount(f"{{ labels: {labels}, text: '' }}")
    plain.wait(state="ready")
    expect(plain.part("focus").locator("canvas[role=grid]")).to_have_attribute("data-size", "1")
    assert plain.part("strip").locator("[data-token]").count() == 1
    radio = plain.root.get_by_role("radio", name="first")
    expect(radio).to_have_attribute("aria-disabled", "true")


def test_an_empty_prompt_is_said_to_be_empty(plain: Plain) -> None:
    plain.mount("{ labels: ['‹bos›'], text: '' }")
    expect(plain.root.locator("[data-action=prompt]")).to_contain_text("(empty prompt)")


def test_the_exported_figure_is_clean_too(plain: Plain) -> None:
    plain.mount(options(plain))
    plain.root.locator("[data-action=menu]").click()
    with plain.page.expect_download() as caught:
        plain.root.locator("[data-action=save-svg]").click()
    text = caught.value.path().read_text(encoding="utf-8")
    parsed = plain.page.evaluate(
        """text => { const d = new DOMParser().parseFromString(text, 'image/svg+xml');
          const count = what => d.querySelectorAll(what).length;
          return [count('parsererror, script, image, foreignObject'), count('text')]; }""",
        text,
    )
    assert parsed[0] == 0
    assert parsed[1] > 20
