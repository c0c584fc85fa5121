"""Pictures of the logit lens in every state and size, to look at: `python -m tests.browser.page.lens_screens`."""

from __future__ import annotations

from collections.abc import Callable

from tests.browser.page.lens_page import LensPage
from tests.browser.page.screens import HOSTILE, LONG, TWO, main, resting_in

EDIT = "{ label: 'zero L2H1.z', on: true, site: 'L2H1.z', note: '' }"
EDITED = f"{{ run: 'edited', edits: [{EDIT}] }}"
DEEP = (
    "{ layers: 40, heads: 8, name: 'deep', text: 'w', labels: ['‹bos›', "
    "...Array.from({length: 511}, (_, i) => '␣word' + (i * 7) % 31)] }"
)

Step = Callable[[LensPage], None]


def _rest(lens: LensPage) -> None:
    lens.page.mouse.move(0, 0)


def _pick(lens: LensPage) -> None:
    lens.page.mouse.click(*lens.point(3, 10))
    lens.page.mouse.move(*lens.point(2, 6))


def _choose(name: str) -> Step:
    def step(lens: LensPage) -> None:
        lens.root.get_by_role("radio", name=name, exact=True).first.click()
        lens.wait(state="ready")
        lens.page.mouse.move(0, 0)

    return step


def _projector(lens: LensPage) -> None:
    lens.root.locator("[data-action=projector]").click()
    lens.page.mouse.move(0, 0)


def _open_fold(lens: LensPage) -> None:
    lens.page.mouse.click(*lens.point(None, 500))
    lens.page.mouse.move(0, 0)
    lens.wait(state="ready")


def _table(lens: LensPage) -> None:
    lens.root.locator("[data-action=lens-table]").click()


def _prompt(lens: LensPage) -> None:
    lens.root.locator("[data-action=prompt]").click()
    lens.root.locator("[data-input=prompt]").fill("When Mary and Tom went to the park, Tom gave a book to")
    lens.wait(state="changed")


def _help(lens: LensPage) -> None:
    lens.root.locator("[data-action=help]").click()


def _tip(lens: LensPage) -> None:
    lens.root.get_by_role("radio", name="cross-entropy").hover()


SCENES: dict[str, tuple[str, int, Step]] = {
    "lens-ready": (TWO, 1180, _rest),
    "lens-picked": ("{}", 1180, _pick),
    "lens-edited": (EDITED, 1180, _rest),
    "lens-change": (f"{{ choice: {{ run: 'change' }}, run: 'change', edits: [{EDIT}] }}", 1180, _rest),
    "lens-480": (EDITED, 480, _rest),
    "lens-760": (EDITED, 760, _pick),
    "lens-1600": (EDITED, 1600, _rest),
    "lens-deep": (DEEP, 1180, _rest),
    "lens-deep-open": (DEEP, 1180, _open_fold),
    "lens-deep-480": (DEEP, 480, _rest),
    "lens-tokens": (LONG, 1180, _rest),
    "lens-sublayers": ("{}", 1180, _choose("sublayers")),
    "lens-sublayers-deep": (DEEP, 1180, _choose("sublayers")),
    "lens-diff": (TWO, 1180, _choose("logit diff")),
    "lens-difference": (TWO, 1180, _choose("difference")),
    "lens-rank": ("{}", 1180, _choose("rank")),
    "lens-cross-entropy": ("{ translators: null }", 1180, _choose("cross-entropy")),
    "lens-projector": (EDITED, 1400, _projector),
    "lens-hostile": (HOSTILE, 1180, _rest),
    "lens-one-token": ("{ text: '', labels: ['‹bos›'] }", 1180, _rest),
    "lens-table": (EDITED, 1180, _table),
    "lens-changed": ("{}", 1180, _prompt),
    "lens-help": ("{}", 1180, _help),
    "lens-tip": ("{}", 1180, _tip),
}
STATELESS = {
    "lens-empty": ("{ empty: true }", "empty"),
    "lens-loading": ("{ noLens: true, status: {...shim.status('running'), op: 'lens.run', job: 'k-1'} }", "loading"),
    "lens-offline": ("{ deafSend: true }", "offline"),
    "lens-buffers": ("{ dropBuffers: true }", "failed"),
}


if __name__ == "__main__":
    main({**SCENES, **resting_in(STATELESS)}, LensPage)
