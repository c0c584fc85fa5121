"""Pictures of the widget in every state and size, for a person to look at: `python -m tests.browser.page.screens`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chromium import FLAGS, executable, guarded
from tests.browser.page.plain_page import Plain, serving

OUT = Path("out/screens")
LONG = "{ text: 'w '.repeat(199), labels: ['‹bos›', ...Array.from({length: 199}, (_, i) => '␣word' + (i * 7) % 31)] }"
TWO = "{ corrupted: shim.CORRUPTED }"
LARGE = "{ layers: 12, heads: 12, kvHeads: 12, name: 'gpt2' }"
HOSTILE = """{ text: 'hostile', labels: ['‹bos›', '</script><script>alert(1)</script>', '<b>bold</b>',
  '\\u202eabc', '\\u200b',
  '\\n', 'x'.repeat(20000), '‮שלום', '␣Mary', '⟨e2⟩'] }"""
FAILURE = """{ error: 'SiteUnavailable', hint: 'Choose resid_pre or resid_post.', retryable: true,
  message: 'resid_mid does not exist in GPT-NeoX: attention and MLP run in parallel.' }"""

Step = Callable[[Plain], None]


def _nothing(plain: Plain) -> None:
    plain.page.mouse.move(0, 0)


def _lock(plain: Plain) -> None:
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.page.mouse.move(0, 0)
    plain.page.wait_for_selector('[data-selection="L1H1.pattern"]')


def _hover(plain: Plain) -> None:
    _lock(plain)
    plain.page.mouse.move(*plain.cell_centre(10, 4))
    plain.page.wait_for_function("document.querySelector('.mi-readout').textContent.includes('exactly')")


def _several(plain: Plain) -> None:
    _lock(plain)
    plain.page.keyboard.down("Shift")
    plain.page.mouse.click(*plain.head_centre(2, 2))
    plain.page.keyboard.up("Shift")
    plain.page.mouse.move(0, 0)


def _difference(plain: Plain) -> None:
    plain.root.get_by_role("radio", name="difference").click()
    plain.wait(run="difference", state="ready")
    plain.page.mouse.move(0, 0)


def _edit(plain: Plain) -> None:
    plain.root.locator("[data-action=prompt]").click()
    plain.root.locator("[data-input=prompt]").fill("When Mary and Tom went to the park, Tom gave a book to")
    plain.wait(state="changed")


def _running(plain: Plain) -> None:
    plain.kernel_async("k.mode.holdAtlas = true; k.startJob(); k.partial(0, 2, 0)")
    plain.page.wait_for_selector("[data-notice=running]")


def _waiting(plain: Plain) -> None:
    plain.kernel_async("k.mode.holdAll = true")
    plain.root.locator("[data-action=swap]").click()
    plain.wait(state="waiting")


def _failed(plain: Plain) -> None:
    plain.kernel_async(f"k.mode.fail['question.set'] = {FAILURE}")
    plain.root.locator("[data-action=swap]").click()
    plain.wait(state="failed")
    plain.root.locator("[data-action=details]").click()


def _restarted(plain: Plain) -> None:
    plain.kernel_async("k.options.kernelEpoch = 'other'; k.welcome({client: m.sent[0].client})")
    plain.wait(state="restarted")


def _help(plain: Plain) -> None:
    plain.root.locator("[data-action=help]").click()


def _tip(plain: Plain) -> None:
    plain.root.get_by_role("radio", name="induction").hover()


def _menu(plain: Plain) -> None:
    plain.root.locator("[data-action=menu]").click()


def _projector(plain: Plain) -> None:
    _lock(plain)
    plain.root.locator("[data-action=projector]").click()


def _table(plain: Plain) -> None:
    plain.root.locator("[data-action=table]").click()


def _by_score(plain: Plain) -> None:
    _lock(plain)
    plain.root.get_by_role("radio", name="by score").click()
    _nothing(plain)


def _top(plain: Plain) -> None:
    plain.root.get_by_role("radio", name="top 8").click()
    _nothing(plain)


def _against(plain: Plain) -> None:
    plain.root.get_by_role("radio", name="clean − step 600").click()
    plain.wait(run="against", state="ready")
    _nothing(plain)


def _atlas_table(plain: Plain) -> None:
    _lock(plain)
    plain.root.locator("[data-action=atlas-table]").click()
    _nothing(plain)


def _rested(plain: Plain) -> None:
    expect(plain.part("intervene").get_by_text("running…")).to_be_hidden()
    _nothing(plain)


def _intervened(plain: Plain) -> None:
    _lock(plain)
    plain.root.get_by_role("radio", name="zero").click()
    _rested(plain)


def _cut(plain: Plain) -> None:
    _lock(plain)
    plain.page.mouse.click(*plain.cell_centre(14, 6))
    plain.root.get_by_role("radio", name="knock out").click()
    _rested(plain)


def _row(plain: Plain) -> None:
    _lock(plain)
    plain.root.get_by_role("radio", name="pattern…").click()
    _rested(plain)


def _writes(plain: Plain) -> None:
    _lock(plain)
    plain.root.get_by_role("radio", name="writes").click()
    _rested(plain)


def _weighted(plain: Plain) -> None:
    _lock(plain)
    plain.root.get_by_role("radio", name="value-weighted").click()
    _nothing(plain)


def _no_sink(plain: Plain) -> None:
    _lock(plain)
    plain.root.get_by_role("button", name="hide").click()
    _nothing(plain)


def _zoomed(plain: Plain) -> None:
    _lock(plain)
    for _ in range(4):
        plain.root.locator("[data-action=zoom-in]").click()
    _nothing(plain)


def _subtracted(plain: Plain) -> None:
    _several(plain)
    plain.part("focus").get_by_role("radio", name="difference").click()
    _nothing(plain)


def _mean(plain: Plain) -> None:
    plain.root.locator("[data-select='shown prompt']").select_option("mean")
    plain.wait(state="ready", atlas_rev="2")
    _nothing(plain)


def _carried(plain: Plain) -> None:
    x, y = plain.head_centre(1, 2)
    plain.page.mouse.move(x, y)
    plain.page.mouse.down()
    plain.page.mouse.move(x + 300, y + 120, steps=4)


PROMPTS = """{ more: [{ text: 'Anna sat', labels: ['‹bos›', '␣Anna', '␣sat'] }],
  mean: { text: 'When Mary|+3 and John|+3 went to the store, John|+3 gave a drink to', labels: ['‹bos›', '␣When',
  '␣Mary|+3', '␣and', '␣John|+3', '␣went', '␣to', '␣the', '␣store', ',', '␣John|+3', '␣gave', '␣a', '␣drink', '␣to'] }
}"""
GROUPED = "{ layers: 12, heads: 12, kvHeads: 4, name: 'grouped' }"
COMPARED = "{ compare: { label: 'step 600' } }"
LACKING = (
    "{ lacking: { 'resid_mid': 'attention and MLP run in parallel: choose resid_pre or resid_post', "
    "'q, k, v, scores, pattern, z, result in layers 0, 2': 'this layer has no attention: nothing in it calls the "
    "attention interface or takes a softmax over positions' } }"
)
SCENES: dict[str, tuple[str, int, Step]] = {
    "ready-1180": ("{}", 1180, _lock),
    "ready-1400": (TWO, 1400, _lock),
    "ready-480": (TWO, 480, _lock),
    "ready-760": (TWO, 760, _lock),
    "hover": (TWO, 1180, _hover),
    "several": ("{}", 1180, _several),
    "difference": (TWO, 1180, _difference),
    "large": (LARGE, 1180, _nothing),
    "large-480": (LARGE, 480, _nothing),
    "tokens-200": (LONG, 1180, _nothing),
    "tokens-200-480": (LONG, 480, _nothing),
    "hostile": (HOSTILE, 1180, _nothing),
    "one-token": ("{ text: '', labels: ['‹bos›'] }", 1180, _nothing),
    "not-finite": (
        "{ pattern: (l, h, n) => Array.from({length: n}, () => new Float64Array(n).fill(l === 1 ? NaN : 0.2)) }",
        1180,
        _lock,
    ),
    "state-changed": ("{}", 1180, _edit),
    "state-running": ("{}", 1180, _running),
    "state-waiting": ("{}", 1180, _waiting),
    "state-failed": ("{}", 1180, _failed),
    "state-restarted": ("{}", 1180, _restarted),
    "state-warning": (
        "{ warnings: ['The prompts differ in length: clean has 14 tokens, corrupted has 13: '"
        "+ '“␣Mary” is 1 token, “␣Maryam” is 2.'] }",
        1180,
        _nothing,
    ),
    "help": ("{}", 1180, _help),
    "lacking": (LACKING, 1180, _help),
    "lacking-480": (LACKING, 480, _nothing),
    "tip": ("{}", 1180, _tip),
    "menu": ("{}", 1180, _menu),
    "projector": (TWO, 1400, _projector),
    "table": ("{}", 1180, _table),
    "by-score": ("{}", 1180, _by_score),
    "by-score-480": (GROUPED, 480, _by_score),
    "top": (GROUPED, 1180, _top),
    "against": (COMPARED, 1180, _against),
    "against-480": (COMPARED, 480, _against),
    "atlas-table": ("{}", 1180, _atlas_table),
    "carried": ("{}", 1180, _carried),
    "ready-1600": (TWO, 1600, _lock),
    "large-1600": (LARGE, 1600, _lock),
    "intervened": (TWO, 1180, _intervened),
    "intervened-480": (TWO, 480, _intervened),
    "cut": (TWO, 1180, _cut),
    "row": ("{}", 1180, _row),
    "writes": ("{}", 1180, _writes),
    "weighted": ("{}", 1180, _weighted),
    "no-sink": ("{}", 1180, _no_sink),
    "zoomed": (LONG, 1180, _zoomed),
    "subtracted": ("{}", 1180, _subtracted),
    "arrays": ("{ arrays: true }", 1180, _lock),
    "mean": (PROMPTS, 1180, _mean),
    "mean-480": (PROMPTS, 480, _mean),
}
STATELESS = {
    "state-empty": ("{ empty: true }", "empty"),
    "state-loading": (
        "{ noAtlas: true, status: {...shim.status('running'), op: 'heads.atlas', job: 'k-1'} }",
        "loading",
    ),
    "state-offline": ("{ deafSend: true }", "offline"),
    "state-reload": ("{ protocol: 2 }", "reload"),
    "state-buffers": ("{ dropBuffers: true }", "failed"),
}


Scenes = Mapping[str, tuple[str, int, Any]]
"""Name -> (what the shim is given, width, what is done before the picture is taken)."""


def resting_in(states: Mapping[str, tuple[str, str]]) -> Scenes:
    """Scenes that have no picture but a state to wait for: name -> (what the shim is given, state)."""
    return {name: (options, 1180, lambda p, s=state: p.wait(state=s)) for name, (options, state) in states.items()}


ALL: Scenes = {**SCENES, **resting_in(STATELESS)}


def draw(browser: Browser, url: str, scenes: Scenes = ALL, page_of: type[Plain] = Plain, only: str = "") -> None:
    """Write all pictures, light and dark, as `<scene>-<theme>.png`.

    Args:
        browser: draws them.
        url: of the plain page.
        scenes: name -> (what the shim is given, width, what is done before the picture is taken).
        page_of: the page that they are drawn on.
        only: part of the names that are wanted.
    """
    OUT.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        for name, (options, width, step) in scenes.items():
            if only in f"{name}-{theme}":
                settings = {"viewport": {"width": width, "height": 900}, "reduced_motion": "reduce"}
                with guarded(browser, **settings) as (context, _guard):
                    plain = page_of(context.new_page(), url)
                    _shoot(plain, OUT / f"{name}-{theme}.png", theme, options, step)


def _shoot(plain: Plain, target: Path, theme: str, options: str, step: Step) -> None:
    page = plain.page
    page.set_default_timeout(10_000)
    plain.open(dark=theme == "dark")
    plain.mount(options, ready=False)
    page.wait_for_selector(".mi-widget[data-state]")
    step(plain)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.locator("body").screenshot(path=str(target), animations="disabled", caret="hide")


def main(scenes: Scenes = ALL, page_of: type[Plain] = Plain) -> None:
    with sync_playwright() as playwright, serving() as url:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        draw(browser, url, scenes, page_of, only=sys.argv[1] if len(sys.argv) > 1 else "")
        browser.close()
    print(f"pictures are in {OUT}")


if __name__ == "__main__":
    main()
