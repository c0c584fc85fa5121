"""Pictures of the workbench, to look at: `python -m tests.browser.page.workbench_screens`."""

from __future__ import annotations

from tests.browser.page.screens import FAILURE, OUT, main, resting_in
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


def _export(bench: WorkbenchPage) -> None:
    """The menu over the views; what it gives lies beside the pictures."""
    _ready(bench)
    bench.root.locator("[data-action=menu]").first.click()
    with bench.page.expect_download() as download:
        bench.root.locator("[data-action=save-png]").first.click()
    download.value.save_as(OUT / "bench-exported.png")
    bench.root.locator("[data-action=menu]").first.click()


def _failed(bench: WorkbenchPage) -> None:
    """The sweep cannot be had; the lens beside it can."""
    _ready(bench)
    bench.kernel_async(f"k.inside.sweep.mode.fail['sweep.start'] = {FAILURE}")
    bench.inside("sweep").get_by_role("radio", name="attn_out").first.click()
    bench.page.wait_for_selector("[data-view=sweep] [data-notice=failed]")
    bench.page.mouse.move(0, 0)


SCENES = {
    "bench-heads": ("{}", 1180, _ready),
    "bench-two": ("{ panes: ['board', 'sweep'] }", 1600, _ready),
    "bench-two-480": ("{ panes: ['sweep', 'lens'] }", 480, _ready),
    "bench-lens": ("{ panes: ['lens'] }", 1180, _ready),
    "bench-480": ("{ panes: ['board'] }", 480, _ready),
    "bench-760": ("{ panes: ['board', 'sweep'] }", 760, _ready),
    "bench-1000": ("{ panes: ['board', 'sweep'] }", 1000, _ready),
    "bench-export": ("{ panes: ['heads', 'sweep'] }", 1600, _export),
    "bench-failed": ("{ panes: ['lens', 'sweep'] }", 1400, _failed),
    "bench-projector-two": ("{ panes: ['board', 'sweep'] }", 1600, _projector),
    "bench-projector": ("{ panes: ['sweep'] }", 1400, _projector),
}
STATELESS = {"bench-offline": ("{ deafSend: true, panes: ['sweep'] }", "offline")}


if __name__ == "__main__":
    main({**SCENES, **resting_in(STATELESS)}, WorkbenchPage)
