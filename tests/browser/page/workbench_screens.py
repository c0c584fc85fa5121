"""Pictures of the workbench, to look at: `python -m tests.browser.page.workbench_screens`."""

from __future__ import annotations

from tests.browser.page.screens import main, resting_in
from tests.browser.page.workbench_page import WorkbenchPage


def _ready(bench: WorkbenchPage) -> None:
    bench.page.wait_for_function(
        "[...document.querySelectorAll('.mi-inside:not([hidden])')].every(it => it.querySelector('[data-ready]'))"
    )
    bench.page.mouse.move(0, 0)


def _projector(bench: WorkbenchPage) -> None:
    _ready(bench)
    bench.root.locator("[data-action=projector]").first.click()
    bench.page.mouse.move(0, 0)


SCENES = {
    "bench-heads": ("{}", 1180, _ready),
    "bench-two": ("{ panes: ['board', 'sweep'] }", 1600, _ready),
    "bench-two-480": ("{ panes: ['sweep', 'lens'] }", 480, _ready),
    "bench-lens": ("{ panes: ['lens'] }", 1180, _ready),
    "bench-projector": ("{ panes: ['sweep'] }", 1400, _projector),
}
STATELESS = {"bench-offline": ("{ deafSend: true, panes: ['sweep'] }", "offline")}


if __name__ == "__main__":
    main({**SCENES, **resting_in(STATELESS)}, WorkbenchPage)
