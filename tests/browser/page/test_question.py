"""Asking one's own question in the widget: prompt, answer, distractor, metric, base, run."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.page.plain_page import Plain

TWO = "{ corrupted: shim.CORRUPTED }"
NEW = "Anna and Tom sat"


def last_question(plain: Plain) -> dict[str, object]:
    found: dict[str, object] = plain.sent("question.set")[-1]["params"]
    return found


def test_the_prompt_is_edited_in_place_and_enter_runs_it(plain: Plain) -> None:
    plain.mount()
    plain.root.locator("[data-action=prompt]").click()
    area = plain.root.locator("[data-input=prompt]")
    expect(area).to_be_focused()
    area.fill(NEW)
    plain.wait(state="changed")
    expect(plain.root).to_contain_text("prompt changed")
    expect(plain.root.locator(".mi-picture")).to_have_attribute("data-stale", "")
    assert plain.sent("question.set") == []
    area.press("Enter")
    plain.wait(state="ready", atlas_rev="2", question_rev="2")
    assert last_question(plain) == {"which": "clean", "text": NEW, "base_rev": 1}
    expect(area).to_be_hidden()
    expect(plain.part("strip").locator("[data-token]")).to_have_text(["‹bos›", "Anna", "and", "Tom", "sat"])
    expect(plain.part("focus").locator("canvas[role=grid]")).to_have_attribute("data-size", "5")
    expect(plain.root.locator(".mi-picture")).not_to_have_attribute("data-stale", "")


def test_of_several_prompts_the_picker_shows_one_at_a_time(plain: Plain) -> None:
    plain.mount("{ more: [{ text: 'Anna sat', labels: ['‹bos›', '␣Anna', '␣sat'] }] }")
    picker = plain.root.locator("[data-select='shown prompt']")
    expect(picker.locator("option")).to_have_text(["1 of 2", "2 of 2", "mean"])
    # Prompts of other words have no mean to draw, and it says so.
    mean = picker.locator("option[value=mean]")
    expect(mean).to_be_disabled()
    expect(mean).to_have_attribute("title", re.compile("tokens of one prompt"))
    picker.select_option("1")
    plain.wait(state="ready", atlas_rev="2", question_rev="2")
    assert last_question(plain) == {"prompt": 1, "base_rev": 1}
    expect(picker).to_have_value("1")
    expect(plain.part("strip").locator("[data-token]")).to_have_text(["‹bos›", "Anna", "sat"])
    picker.focus()
    plain.page.keyboard.press("ArrowUp")
    plain.wait(state="ready", atlas_rev="3", question_rev="3")
    expect(plain.root.locator("[data-action=prompt]")).to_contain_text("When Mary and John went")


SEVERAL = "more: [{ text: 'Anna sat', labels: ['‹bos›', '␣Anna', '␣sat'] }]"
MEAN = "{ text: 'Mary|Anna went|sat', labels: ['‹bos›', '␣Mary|Anna', '␣went|sat'] }"


def test_the_mean_over_prompts_is_chosen_like_one_of_them(plain: Plain) -> None:
    plain.mount(f"{{ {SEVERAL}, mean: {MEAN} }}")
    picker = plain.root.locator("[data-select='shown prompt']")
    expect(picker.locator("option[value=mean]")).to_be_enabled()
    picker.focus()
    plain.page.keyboard.press("End")
    plain.wait(state="ready", atlas_rev="2", question_rev="2")
    assert last_question(plain) == {"mean": True, "base_rev": 1}
    expect(picker).to_have_value("mean")
    expect(plain.part("strip").locator("[data-token]")).to_have_text(["‹bos›", "Mary|Anna", "went|sat"])
    # It is no text that could be run.
    prompt = plain.root.locator("[data-action=prompt]")
    expect(prompt).to_contain_text("Mary|Anna went|sat")
    expect(prompt).to_have_attribute("aria-disabled", "true")
    prompt.hover()
    expect(plain.root.locator(".mi-tip")).to_contain_text("Choose one prompt to edit it")
    prompt.click(force=True)
    expect(plain.root.locator("[data-input=prompt]")).to_be_hidden()
    picker.select_option("1")
    plain.wait(state="ready", atlas_rev="3", question_rev="3")
    assert last_question(plain) == {"prompt": 1, "base_rev": 2}
    expect(prompt).not_to_have_attribute("aria-disabled", "true")


def test_a_mean_that_cannot_be_says_why(plain: Plain) -> None:
    plain.mount(f"{{ {SEVERAL}, mean: 'The prompts differ in length (3 to 5 tokens).' }}")
    mean = plain.root.locator("[data-select='shown prompt'] option[value=mean]")
    expect(mean).to_be_disabled()
    expect(mean).to_have_attribute("title", re.compile("differ in length"))


def test_one_prompt_needs_no_picker(plain: Plain) -> None:
    plain.mount()
    expect(plain.root.locator("[data-select='shown prompt']")).to_be_hidden()


def test_escape_restores_what_was_run(plain: Plain) -> None:
    plain.mount()
    button = plain.root.locator("[data-action=prompt]")
    button.click()
    area = plain.root.locator("[data-input=prompt]")
    area.fill(NEW)
    plain.wait(state="changed")
    area.press("Escape")
    plain.wait(state="ready")
    expect(button).to_contain_text("When Mary and John went")
    expect(button).to_be_focused()
    assert plain.sent("question.set") == []


def test_leaving_a_changed_prompt_keeps_it_marked(plain: Plain) -> None:
    plain.mount()
    plain.root.locator("[data-action=prompt]").click()
    plain.root.locator("[data-input=prompt]").fill(NEW)
    plain.part("footer").click()
    plain.wait(state="changed")
    expect(plain.root.locator("[data-input=prompt]")).to_have_value(NEW)


def test_a_prompt_that_fails_says_why_and_keeps_the_text(plain: Plain) -> None:
    plain.mount(
        """{ mode: { fail: { 'question.set': { error: 'PromptMismatch', hint: 'Shorten it.', retryable: true,
             message: 'The prompt has 3,000 tokens; the model reads 1,024.' } } } }"""
    )
    plain.root.locator("[data-action=prompt]").click()
    area = plain.root.locator("[data-input=prompt]")
    area.fill(NEW)
    area.press("Enter")
    plain.wait(state="failed")
    notice = plain.root.locator("[data-notice=failed]")
    expect(notice).to_contain_text("the model reads 1,024. Shorten it.")
    expect(notice).not_to_contain_text("PromptMismatch")
    notice.locator("[data-action=details]").click()
    expect(notice).to_contain_text("PromptMismatch")
    expect(area).to_have_value(NEW)
    plain.kernel_async("k.mode.fail = {}")
    notice.locator("[data-action=retry]").click()
    plain.wait(atlas_rev="2", state="ready")
    assert [message["params"]["text"] for message in plain.sent("question.set")] == [NEW, NEW]


def test_answer_and_distractor_chips(plain: Plain) -> None:
    plain.mount()
    chip = plain.root.locator("[data-action=answer]")
    expect(chip).to_contain_text("␣Mary")
    chip.click()
    field = plain.root.locator("[data-input=answer]")
    expect(field).to_have_value("␣Mary")
    field.fill("")
    plain.page.keyboard.type(" Anna")
    expect(field).to_have_value("␣Anna")
    plain.page.keyboard.press("Enter")
    plain.wait(question_rev="2", state="ready")
    assert last_question(plain) == {"answer": " Anna", "base_rev": 1}
    expect(chip).to_contain_text("␣Anna")
    plain.root.locator("[data-action=swap]").click()
    plain.wait(question_rev="3", state="ready")
    assert last_question(plain) == {"answer": " John", "distractor": " Anna", "base_rev": 2}


def test_an_empty_answer_asks_for_a_guess_and_says_so(plain: Plain) -> None:
    plain.mount()
    plain.root.locator("[data-action=distractor]").click()
    field = plain.root.locator("[data-input=distractor]")
    field.fill("")
    field.press("Enter")
    plain.wait(question_rev="2", state="ready")
    assert last_question(plain)["distractor"] is None
    expect(plain.root.locator("[data-action=distractor]")).to_contain_text("guessed")


def test_escape_leaves_a_chip_as_it_was(plain: Plain) -> None:
    plain.mount()
    plain.root.locator("[data-action=answer]").click()
    plain.page.keyboard.type("xyz")
    plain.page.keyboard.press("Escape")
    expect(plain.root.locator("[data-action=answer]")).to_be_focused()
    assert plain.sent("question.set") == []


def test_metric_and_base(plain: Plain) -> None:
    plain.mount(TWO)
    plain.root.locator("[data-select=metric]").select_option("prob")
    plain.wait(question_rev="2", state="ready")
    assert last_question(plain) == {"metric": "prob", "base_rev": 1}
    plain.root.locator("[data-select=base]").select_option("clean")
    plain.wait(question_rev="3", state="ready")
    assert last_question(plain) == {"base": "clean", "base_rev": 2}


def test_the_shown_prompt_follows_the_run(plain: Plain) -> None:
    plain.mount(TWO)
    prompt = plain.root.locator("[data-action=prompt]")
    expect(prompt).to_contain_text("store, John gave")
    plain.root.get_by_role("radio", name="corrupted").click()
    plain.wait(run="corrupted", state="ready")
    expect(prompt).to_contain_text("store, Mary gave")
    expect(plain.part("strip").locator('[data-token="10"]')).to_have_text("Mary")
    prompt.click()
    area = plain.root.locator("[data-input=prompt]")
    area.fill(NEW)
    area.press("Enter")
    plain.wait(question_rev="2", atlas_rev="2", state="ready")
    assert last_question(plain)["which"] == "corrupted"


def test_runs_that_cannot_be_shown_say_why(plain: Plain) -> None:
    plain.mount()
    for name, reason in (("corrupted", "needs a corrupted prompt"), ("edited", "No edit is switched on")):
        radio = plain.root.get_by_role("radio", name=name)
        expect(radio).to_have_attribute("aria-disabled", "true")
        radio.hover()
        expect(plain.root.get_by_role("tooltip")).to_contain_text(reason)
        radio.click(force=True)
    assert plain.sent("heads.atlas") == []
