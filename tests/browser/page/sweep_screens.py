"""Pictures of the patch sweep in every state and size, to look at: `python -m tests.browser.page.sweep_screens`."""

from __future__ import annotations

from collections.abc import Callable

from tests.browser.page.screens import HOSTILE, main, resting_in
from tests.browser.page.sweep_page import SweepPage

Step = Callable[[SweepPage], None]

SPEC = (
    "{ kind: 'patch', site: 'resid_pre', layer: 1, head: null, positions: [10], source: 'other', "
    "source_positions: null, src: null, alpha: 1 }"
)
EDIT = f"{{ label: 'patch L1.resid_pre@10', on: true, site: 'L1.resid_pre@10', note: '', alpha: 1, spec: {SPEC} }}"
LONG = (
    "(() => { const labels = ['‹bos›', ...Array.from({length: 255}, (_, i) => '␣word' + (i * 7) % 31)]; "
    "return { text: 'w', labels, corrupted: { text: 'v', labels: labels.map((it, at) => at === 140 ? '␣other' : it) } "
    "}; })()"
)
MIDDLE = LONG.replace("255", "47").replace("140", "30")
DEEP = f"{{ ...{MIDDLE}, layers: 48, heads: 25, name: 'deep' }}"


def _rest(sweep: SweepPage) -> None:
    sweep.page.mouse.move(0, 0)


def _hover(sweep: SweepPage) -> None:
    sweep.page.mouse.move(*sweep.point(1, 11))
    sweep.page.wait_for_function("document.querySelector('.mi-sweep-next') !== null")


def _running(sweep: SweepPage) -> None:
    sweep.kernel_async("k.mode.holdSweep = true; k.ask(); k.estimates(); k.step(17)")
    sweep.page.wait_for_selector("[data-action=sweep-cancel]:not([hidden])")
    sweep.page.wait_for_function("document.querySelector('.mi-progress').hidden === false")
    sweep.page.mouse.move(0, 0)


def _begun(sweep: SweepPage) -> None:
    sweep.kernel_async("k.mode.holdSweep = true; k.ask(); k.step(3)")
    sweep.page.wait_for_function("document.querySelector('.mi-progress').hidden === false")


def _cancelled(sweep: SweepPage) -> None:
    _running(sweep)
    sweep.root.locator("[data-action=sweep-cancel]").click()
    sweep.wait(state="ready")
    sweep.page.mouse.move(0, 0)


def _site(name: str) -> Step:
    def step(sweep: SweepPage) -> None:
        sweep.root.get_by_role("radio", name=name, exact=True).first.click()
        sweep.wait(state="ready", site=name)
        sweep.page.mouse.move(0, 0)

    return step


def _view(name: str) -> Step:
    def step(sweep: SweepPage) -> None:
        sweep.root.get_by_role("radio", name=name, exact=True).click()
        sweep.wait(view=name)

    return step


def _projector(sweep: SweepPage) -> None:
    sweep.page.mouse.click(*sweep.point(1, 10))
    sweep.wait(selection="L1.resid_pre@10")
    sweep.root.locator("[data-action=projector]").click()
    sweep.page.mouse.move(0, 0)


def _brush(sweep: SweepPage) -> None:
    sweep.kernel_async("k.mode.holdSweep = true")
    sweep.page.mouse.move(*sweep.point(0, 11))
    sweep.page.mouse.down()
    sweep.page.mouse.move(*sweep.point(2, 13), steps=4)
    sweep.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def _table(sweep: SweepPage) -> None:
    sweep.root.locator("[data-action=sweep-table]").click()


def _form(sweep: SweepPage) -> None:
    sweep.root.locator("[data-action=sweep-form]").click()


def _help(sweep: SweepPage) -> None:
    sweep.root.locator("[data-action=help]").click()


def _failed(sweep: SweepPage) -> None:
    sweep.kernel_async(
        "k.mode.fail['sweep.start'] = { error: 'SiteUnavailable', retryable: true, hint: 'Choose resid_pre.', "
        "message: 'resid_mid does not exist in GPT-NeoX: attention and MLP run in parallel.' }"
    )
    sweep.root.get_by_role("radio", name="resid_mid").click()
    sweep.wait(state="failed")


def _edit(name: str) -> Step:
    def step(sweep: SweepPage) -> None:
        sweep.root.get_by_role("radio", name=name, exact=True).click()
        sweep.page.wait_for_function(f"shown.model.get('sweep').edit === '{name}'")
        sweep.wait(state="ready")
        sweep.page.mouse.move(0, 0)

    return step


MEANS = "['Every cell is the mean over 3 prompts. The tokens beside them are those of prompt 1.']"
GROUPED = "{ layers: 12, heads: 12, kvHeads: 4, name: 'grouped' }"
WIDE_GROUPED = "{ layers: 8, heads: 96, kvHeads: 32, name: 'grouped' }"
MANY = "{ more: [{ text: 'x', labels: shim.CORRUPTED.labels }, { text: 'y', labels: shim.CORRUPTED.labels }] }"
SCENES: dict[str, tuple[str, int, Step]] = {
    "sweep-ready": ("{}", 1180, _rest),
    "sweep-hover": (f"{{ edits: [{EDIT}] }}", 1180, _hover),
    "sweep-running": ("{}", 1180, _running),
    "sweep-begun": ("{}", 1180, _begun),
    "sweep-cancelled": ("{}", 1180, _cancelled),
    "sweep-brush": ("{}", 1180, _brush),
    "sweep-heads": ("{ layers: 12, heads: 12 }", 1180, _site("z")),
    "sweep-raw": (MANY, 1180, _view("raw")),
    "sweep-480": (f"{{ edits: [{EDIT}] }}", 480, _hover),
    "sweep-760": ("{}", 760, _rest),
    "sweep-760-hover": ("{}", 760, _hover),
    "sweep-grouped": (GROUPED, 1180, _site("k")),
    "sweep-grouped-480": (WIDE_GROUPED, 480, _site("v")),
    "sweep-equal": ("{ baselines: { clean: 1.2, corrupted: 1.2 } }", 1180, _rest),
    "sweep-beyond": ("{ times: 2.6 }", 1180, _rest),
    "sweep-zero": ("{}", 1180, _edit("zero")),
    "sweep-mean": ("{ choice: { site: 'mlp_out' } }", 1180, _edit("mean")),
    "sweep-many": (f"{{ warnings: {MEANS}, ...{MANY} }}", 1180, _rest),
    "sweep-1600": ("{}", 1600, _rest),
    "sweep-long": (LONG, 1180, _rest),
    "sweep-deep": (DEEP, 1180, _rest),
    "sweep-deep-480": (DEEP, 480, _rest),
    "sweep-projector": ("{}", 1400, _projector),
    "sweep-hostile": (f"{{ ...{HOSTILE}, alone: true, choice: {{ edit: 'zero' }} }}", 1180, _rest),
    "sweep-nan": (
        "{ nan: (row, at) => row === 2 && at === 12, missing: { 3: 'layer 3 has no attention' } }",
        1180,
        _rest,
    ),
    "sweep-result": ("{ result: true }", 1180, _rest),
    "sweep-table": ("{}", 1180, _table),
    "sweep-form": ("{}", 1180, _form),
    "sweep-help": ("{}", 1180, _help),
    "sweep-failed": ("{}", 1180, _failed),
}
STATELESS = {
    "sweep-empty": ("{ empty: true }", "empty"),
    "sweep-loading": (
        "{ noSweep: true, status: {...shim.status('running'), op: 'sweep.start', job: 'k-1'} }",
        "loading",
    ),
    "sweep-offline": ("{ deafSend: true }", "offline"),
    "sweep-buffers": ("{ dropBuffers: true }", "failed"),
}


if __name__ == "__main__":
    main({**SCENES, **resting_in(STATELESS)}, SweepPage)
