"""Pictures of the patch board in every state and size, to look at: `python -m tests.browser.page.board_screens`."""

from __future__ import annotations

from collections.abc import Callable

from tests.browser.page.board_page import BoardPage
from tests.browser.page.screens import main, resting_in

SPEC = (
    "{ kind: 'patch', site: 'resid_post', layer: 1, head: null, positions: [10], source: 'other', "
    "source_positions: null, src: null, alpha: 1 }"
)
LATE = SPEC.replace("layer: 1", "layer: 2").replace("[10]", "[14]")


def _edit(spec: str, on: str, label: str) -> str:
    return f"{{ label: '{label}', on: {on}, site: 'L1.resid_post@10', note: '', alpha: 1, spec: {spec} }}"


PATCHED = f"edits: [{_edit(SPEC, 'true', 'resid_post L1 · Mary₁₀')}, {_edit(LATE, 'false', 'resid_post L2 · to₁₄')}]"
TWO = f"{{ {PATCHED} }}"
_OF_HEAD = SPEC.replace("'resid_post', layer: 1, head: null", "'k', layer: 2, head: 1")
_MOVED = _OF_HEAD.replace("[10]", "[10, 11, 12, 13]").replace(
    "source_positions: null", "source_positions: [11, 12, 13, 14]"
)
_ALL = _OF_HEAD.replace("'patch'", "'zero'").replace("'k'", "'z'").replace("positions: [10]", "positions: null")
_ZERO = _ALL.replace("layer: 2, head: 1, positions: null", "layer: 0, head: 2, positions: [14]")
KINDS = ", ".join(
    f"{{ label: '{label}', on: true, site: '{label}', note: '', alpha: {alpha}, spec: {spec} }}"
    for label, alpha, spec in (
        ("patch L2H1.k@[10,11,12,13]", "1", _MOVED),
        ("zero L2H1.z", "null", _ALL),
        ("zero L0H2.z@14", "null", _ZERO),
        ("knock out L1H2 from 14 to 3", "null", "null"),
    )
)
LONG = (
    "{ layers: 40, heads: 8, name: 'deep', text: 'w', labels: ['‹bos›', "
    "...Array.from({length: 511}, (_, i) => '␣word' + (i * 7) % 31)], corrupted: { text: 'v', labels: ['‹bos›', "
    "...Array.from({length: 511}, (_, i) => '␣word' + (i * 7 + (i === 490)) % 31)] } }"
)
LENGTHS = (
    "{ align: 'end', corrupted: { text: 'When Maryam and John went to the store, Maryam gave a drink to', labels: "
    "['‹bos›', '␣When', '␣Mary', 'am', '␣and', '␣John', '␣went', '␣to', '␣the', '␣store', ',', '␣Mary', 'am', "
    "'␣gave', '␣a', '␣drink', '␣to'] } }"
)
HOSTILE = """{ text: 'hostile', labels: ['‹bos›', '</script><script>alert(1)</script>', '<b>bold</b>', '\\u202eabc',
  '\\u200b', '\\n', 'x'.repeat(20000), '‮שלום', '漢字漢字', '␣Mary', '⟨e2⟩'], corrupted: { text: 'h', labels: ['‹bos›',
  '<i>', '<b>bold</b>', '\\u202eabc', '\\u200b', '\\n', 'x'.repeat(20000), '‮שלום', '漢字漢字', '␣Mary', '⟨e2⟩'] } }"""

Step = Callable[[BoardPage], None]


def _rest(board: BoardPage) -> None:
    board.page.mouse.move(0, 0)
    board.page.wait_for_selector(".mi-widget[data-ready]")


def _hover(board: BoardPage) -> None:
    _rest(board)
    board.page.mouse.move(*board.point("clean", 2, 10))


def _carry(board: BoardPage) -> None:
    _rest(board)
    board.carry(board.point("clean", 2, 10), board.point("corrupted", 3, 10), drop=False)
    board.wait(shown="preview")


def _block(board: BoardPage) -> None:
    _rest(board)
    board.page.keyboard.down("Shift")
    board.carry(board.point("clean", 1, 9), board.point("clean", 3, 11))
    board.page.keyboard.up("Shift")
    board.carry(board.point("clean", 2, 10), board.point("corrupted", 2, 12), drop=False)
    board.wait(shown="preview")


def _choose(name: str) -> Step:
    def step(board: BoardPage) -> None:
        _rest(board)
        board.root.get_by_role("radio", name=name, exact=True).first.click()
        board.page.mouse.move(0, 0)
        board.page.wait_for_selector(f"[data-carry={'z' if name == 'head z' else name}]")

    return step


def _heads(board: BoardPage) -> None:
    _choose("head z")(board)
    board.carry(board.point("clean", 3, 2), board.point("corrupted", 2, 1), drop=False)
    board.wait(shown="preview")


def _projector(board: BoardPage) -> None:
    _rest(board)
    board.root.locator("[data-action=projector]").click()
    board.page.mouse.move(0, 0)


def _history(board: BoardPage) -> None:
    _rest(board)
    board.root.locator("[data-action=toggle-edit]").nth(1).click()
    board.wait(board_rev="2")
    board.root.locator("[data-action=toggle-edit]").nth(0).click()
    board.wait(board_rev="3")
    board.root.locator("[data-action=history]").click()
    compare = board.root.locator("[data-action=compare-run]")
    compare.nth(0).click()
    compare.nth(1).click()
    board.page.wait_for_selector(".mi-runs-compared canvas >> nth=1")


def _form(board: BoardPage) -> None:
    _rest(board)
    board.root.locator("[data-action=add-form]").click()


def _table(board: BoardPage) -> None:
    _rest(board)
    board.root.locator("[data-action=board-table]").click()


def _code(board: BoardPage) -> None:
    _rest(board)
    board.root.locator("[data-action=python]").click()
    board.page.wait_for_selector("[data-part=code]:not([hidden])")


def _prompt(board: BoardPage) -> None:
    _rest(board)
    board.part("panel-corrupted").locator("[data-action=prompt]").click()
    board.root.locator("[data-input=prompt]:visible").fill("When Mary and John went to the park, Mary gave a book to")
    board.wait(state="changed")


def _help(board: BoardPage) -> None:
    _rest(board)
    board.root.locator("[data-action=help]").click()


SCENES: dict[str, tuple[str, int, Step]] = {
    "board-ready": ("{}", 1180, _rest),
    "board-patched": (TWO, 1180, _rest),
    "board-kinds": (f"{{ edits: [{KINDS}] }}", 1180, _rest),
    "board-hover": (TWO, 1180, _hover),
    "board-carry": (TWO, 1180, _carry),
    "board-block": ("{}", 1180, _block),
    "board-heads": ("{}", 1180, _choose("head z")),
    "board-heads-carry": ("{}", 1180, _heads),
    "board-480": (TWO, 480, _rest),
    "board-760": (TWO, 760, _rest),
    "board-1600": (TWO, 1600, _rest),
    "board-long": (LONG, 1180, _rest),
    "board-long-480": (LONG, 480, _rest),
    "board-lengths": (LENGTHS, 1180, _rest),
    "board-hostile": (HOSTILE, 1180, _rest),
    "board-alone": ("{ alone: true }", 1180, _rest),
    "board-several": (f"{{ {PATCHED}, prompts: 8, stderr: 0.05, more: [shim.CORRUPTED] }}", 1180, _rest),
    "board-noising": (
        f"{{ {PATCHED}, effect: {{ base: 'clean', before: 4.71, after: -1.2, recovered: 0.37, destroyed: 0.63 }} }}",
        1180,
        _rest,
    ),
    "board-beyond": ("{ effect: { after: 9.4, recovered: 1.5 } }", 1180, _rest),
    "board-equal": (
        "{ effect: { clean: 1.5, corrupted: 1.5, before: 1.5, after: 1.5, recovered: null } }",
        1180,
        _rest,
    ),
    "board-nan": ("{ notFinite: true, nan: (row, position) => position === 5 }", 1180, _rest),
    "board-projector": (TWO, 1400, _projector),
    "board-history": (TWO, 1180, _history),
    "board-form": (TWO, 1180, _form),
    "board-table": (TWO, 1180, _table),
    "board-code": (TWO, 1180, _code),
    "board-prompt": (TWO, 1180, _prompt),
    "board-help": (TWO, 1180, _help),
}
STATELESS = {
    "board-empty": ("{ empty: true }", "empty"),
    "board-loading": (
        "{ noBoard: true, status: {...shim.status('running'), op: 'board.run', job: 'k-1'} }",
        "loading",
    ),
    "board-offline": ("{ deafSend: true }", "offline"),
    "board-buffers": ("{ dropBuffers: true }", "failed"),
}


if __name__ == "__main__":
    main({**SCENES, **resting_in(STATELESS)}, BoardPage)
