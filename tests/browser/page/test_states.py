"""Every state is designed: what it says, what can be done, and that the last picture stays."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.page.plain_page import Plain


def said(plain: Plain, name: str, *texts: str) -> None:
    card = plain.root.locator(f"[data-notice={name}]")
    expect(card).to_be_visible()
    for text in texts:
        expect(card).to_contain_text(text, use_inner_text=True)


def test_empty(plain: Plain) -> None:
    plain.mount("{ empty: true }")
    plain.wait(state="empty")
    said(plain, "empty", "Nothing to show yet")


def test_loading_shows_progress_and_cancel_after_300_ms(plain: Plain) -> None:
    plain.mount("{ noAtlas: true, status: {...shim.status('running'), op: 'heads.atlas', job: 'k-1'} }", ready=False)
    plain.wait(state="loading")
    said(plain, "running", "Running")
    box = plain.part("progress").bounding_box()
    root = plain.root.bounding_box()
    assert box is not None
    assert root is not None
    assert box["height"] == 2
    assert abs(box["y"] - root["y"]) <= 1, "on the top edge"
    plain.root.locator("[data-action=cancel]").click()
    assert plain.sent("cancel")[-1]["id"] == "k-1"


def test_waiting_for_a_busy_kernel_can_be_cancelled(plain: Plain) -> None:
    plain.mount("{ corrupted: shim.CORRUPTED }")
    plain.kernel_async("k.mode.holdAll = true")
    plain.root.get_by_role("radio", name="corrupted").click()
    plain.wait(state="waiting")
    said(plain, "waiting", "Waiting for the kernel", "Another cell is running. This starts when the kernel is free.")
    expect(plain.root.locator(".mi-picture")).to_have_attribute("data-stale", "")
    plain.root.locator("[data-action=cancel]").click()
    plain.wait(state="ready", run="clean")
    expect(plain.root.get_by_role("radio", name="clean")).to_have_attribute("aria-checked", "true")


def test_waiting_ends_by_itself_when_the_kernel_is_free(plain: Plain) -> None:
    plain.mount("{ corrupted: shim.CORRUPTED }")
    plain.kernel_async("k.mode.holdAll = true")
    plain.root.get_by_role("radio", name="corrupted").click()
    plain.wait(state="waiting")
    plain.kernel_async("k.release()")
    plain.wait(state="ready", run="corrupted")


def test_failed_work_of_the_kernel_says_what_why_and_retries(plain: Plain) -> None:
    plain.mount()
    plain.kernel_async(
        """m.update({status: {...shim.status('failed'), error: {error: 'NotFinite', retryable: true,
           message: 'not finite from resid_post 2 on', hint: 'Load it in float32.'}}})"""
    )
    plain.wait(state="failed")
    said(plain, "failed", "not finite from resid_post 2 on Load it in float32.")
    expect(plain.root.locator("[data-notice=failed]")).not_to_contain_text("NotFinite")
    plain.root.locator("[data-action=details]").click()
    said(plain, "failed", "NotFinite")
    plain.root.locator("[data-action=retry]").click()
    plain.page.wait_for_function("shown.model.sent.some(it => it.op === 'heads.atlas')")


def test_prompts_of_different_length_get_a_plain_notice(plain: Plain) -> None:
    words = "The prompts differ in length: clean has 14 tokens, corrupted has 13."
    plain.mount(f"{{ warnings: ['{words}'] }}")
    said(plain, "warning", words)
    plain.root.locator("[data-action=hide]").click()
    expect(plain.root.locator("[data-notice=warning]")).to_have_count(0)


def test_a_restarted_kernel_keeps_the_picture_and_switches_the_controls_off(plain: Plain) -> None:
    plain.mount("{ kernelEpoch: 'another' }")
    plain.wait(state="restarted")
    said(plain, "restarted", "The kernel was restarted", "The picture is from before. Run the cell again to go on.")
    plain.page.mouse.click(*plain.head_centre(2, 2))
    plain.wait(focus="L2H2")
    prompt = plain.root.locator("[data-action=prompt]")
    expect(prompt).to_have_attribute("aria-disabled", "true")
    prompt.hover()
    expect(plain.root.get_by_role("tooltip")).to_contain_text("run the cell again")


def test_without_a_kernel_everything_drawn_can_be_explored(plain: Plain) -> None:
    plain.mount("{ deafSend: true, corrupted: shim.CORRUPTED }")
    plain.wait(state="offline")
    said(
        plain, "offline", "Opened without a kernel", "Everything drawn can still be explored. Rerunning needs a kernel."
    )
    plain.page.mouse.move(*plain.head_centre(1, 1))
    plain.wait(focus="L1H1")
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.page.mouse.move(*plain.cell_centre(10, 4))
    expect(plain.part("readout")).to_contain_text("␣John (10) to ␣John (4): 0.8")
    plain.root.get_by_role("radio", name="first").click()
    expect(plain.root.get_by_role("radio", name="first")).to_have_attribute("aria-checked", "true")
    radio = plain.root.get_by_role("radio", name="corrupted")
    expect(radio).to_have_attribute("aria-disabled", "true")
    radio.hover()
    expect(plain.root.get_by_role("tooltip")).to_contain_text("Opened without a kernel")


@pytest.mark.parametrize("options", ["{ protocol: 2 }", "{ v: 2 }"])
def test_another_protocol_asks_for_a_reload(plain: Plain, options: str) -> None:
    plain.mount(options)
    plain.wait(state="reload")
    said(plain, "reload", "Reload the page")


def test_dropped_buffers_are_said_in_a_sentence(plain: Plain) -> None:
    plain.mount("{ dropBuffers: true }", ready=False)
    plain.wait(state="failed")
    said(plain, "failed", "arrived without its binary data")


def test_layers_without_attention_say_why(plain: Plain) -> None:
    plain.mount("{ missing: { 2: 'layer 2 has no attention: it is recurrent' } }")
    assert "layer 2 has no attention: it is recurrent" in plain.part("atlas").inner_text()
    plain.page.mouse.move(*plain.head_centre(1, 1))
    plain.wait(focus="L1H1")
    plain.page.mouse.move(*plain.head_centre(2, 1))
    plain.page.wait_for_function("!document.querySelector('.mi-widget').dataset.focus.startsWith('L1')")
    assert not (plain.root.get_attribute("data-focus") or "").startswith("L2")


def test_replies_are_counted_and_states_are_announced(plain: Plain) -> None:
    plain.mount()
    before = int(plain.root.get_attribute("data-replies") or 0)
    plain.root.locator("[data-action=swap]").click()
    plain.wait(replies=str(before + 1), state="ready")
    live = plain.root.locator(".mi-live")
    expect(live).to_have_attribute("aria-live", "polite")
    plain.kernel_async("k.options.kernelEpoch = 'other'; k.welcome({client: m.sent[0].client})")
    expect(live).to_contain_text("The kernel was restarted")
