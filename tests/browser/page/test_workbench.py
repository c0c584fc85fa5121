"""The workbench: one question over views that are opened when they are first shown, in tabs or side by side."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.page.workbench_page import WorkbenchPage


def tab(bench: WorkbenchPage, name: str, group: str = "view") -> None:
    bench.root.get_by_role("radiogroup", name=group, exact=True).get_by_role("radio", name=name, exact=True).click()


def test_a_view_is_opened_when_it_is_shown_and_all_share_question_edits_and_selection(bench: WorkbenchPage) -> None:
    bench.mount()
    bench.wait(panes="heads", opened="heads")
    expect(bench.inside("heads").locator(".mi-attention-heads")).to_be_visible()
    assert bench.sent("bench.show") == []
    # One prompt bar: the views have none of their own, nor titles.
    expect(bench.root.locator("[data-action=prompt]:visible")).to_have_count(1)
    expect(bench.root.locator(".mi-title:visible")).to_have_text("Workbench")
    tab(bench, "Patch sweep")
    bench.wait(panes="sweep", opened="heads sweep")
    expect(bench.inside("sweep").locator("[data-site=resid_pre][data-ready]")).to_be_visible()
    expect(bench.inside("heads")).to_be_hidden()
    assert [request["params"] for request in bench.sent("bench.show")] == [{"panes": [{"name": "sweep"}]}]
    # Side by side, what is selected in one is selected in the other.
    bench.root.locator("[data-action=beside]").click()
    bench.wait(panes="sweep board", opened="heads board sweep")
    expect(bench.inside("board").locator(".mi-board[data-ready]")).to_be_visible()
    left, right = (bench.inside(name).bounding_box() for name in ("sweep", "board"))
    assert left is not None
    assert right is not None
    assert left["x"] + left["width"] <= right["x"] + 1
    assert abs(left["y"] - right["y"]) <= 1
    tab(bench, "Logit lens", "second view")
    bench.wait(panes="sweep lens")
    canvas = bench.inside("sweep").locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    at = {key: float(canvas.get_attribute(f"data-{key}") or 0) for key in ("left", "top", "cell", "row")}
    x, y = box["x"] + at["left"] + 11.5 * at["cell"], box["y"] + at["top"] + 1.5 * at["row"]
    bench.page.mouse.click(x, y)
    expect(bench.inside("sweep").locator(".mi-sweep")).to_have_attribute("data-selection", "L1.resid_pre@11")
    expect(bench.inside("lens").locator(".mi-lens")).to_have_attribute("data-focus", "L1.resid_post@11")
    bench.page.mouse.move(0, 0)
    # What enters layer 1 is what layer 0 left.
    expect(bench.inside("lens").locator(".mi-lens")).to_have_attribute("data-focus", "L0.resid_post@11")
    expect(bench.inside("lens").locator(".mi-edit")).to_have_count(1)
    # The question is asked at the top, of all.
    bench.root.locator("[data-action=swap]").first.click()
    bench.page.wait_for_function(
        "Object.values(shown.kernel.inside).every(it => it.answers.answer.labels[0] === '␣John')"
    )
    # Where the other pane has it, they change places.
    tab(bench, "Logit lens")
    bench.wait(panes="lens sweep")
    # By keys.
    bench.inside("lens").locator("canvas").first.focus()
    bench.page.keyboard.press("1")
    bench.wait(panes="heads sweep")
    bench.page.keyboard.press("Shift+Digit2")
    bench.wait(panes="heads lens")
    bench.root.locator("[data-action=beside]").press("Enter")
    bench.wait(panes="heads")
    # Large type reaches the views in it.
    bench.root.locator("[data-action=projector]").first.click()
    expect(bench.inside("heads").locator(".mi-attention-heads")).to_have_attribute("data-projector", "")
    tab(bench, "Patch sweep")
    expect(bench.inside("sweep").locator(".mi-sweep")).to_have_attribute("data-projector", "")


def test_without_a_kernel_the_opened_views_are_there_and_the_others_say_why(bench: WorkbenchPage) -> None:
    bench.mount("{ panes: ['lens'], deafSend: true }")
    bench.wait(state="offline", panes="lens")
    expect(bench.inside("lens").locator(".mi-lens[data-ready]")).to_be_visible()
    bench.root.get_by_role("radio", name="Patch board", exact=True).hover()
    expect(bench.root.get_by_role("tooltip").first).to_contain_text("kernel")
    bench.page.reload()
    bench.open().mount("{ lost: true }", ready=False)
    expect(bench.inside("heads")).to_contain_text("no such model")


def test_export_gives_the_views_that_are_shown_one_below_the_other(bench: WorkbenchPage) -> None:
    bench.mount("{ panes: ['sweep'] }")
    # One view: what there is to export is asked for once, at the top.
    menus = bench.root.locator("[data-action=menu]:visible")
    expect(menus).to_have_count(1)
    alone = _figure(bench)
    assert "recovered: resid_pre patched into the corrupted run" in alone["texts"]
    bench.root.locator("[data-action=beside]").click()
    bench.wait(panes="sweep board")
    expect(bench.inside("board").locator(".mi-board[data-ready]")).to_be_visible()
    both = _figure(bench)
    caption = both["texts"].index("recovered: resid_pre patched into the corrupted run")
    # The board's runs stand below the map's last line, and nothing reaches out of the figure.
    title = both["texts"].index("Corrupted", caption)
    assert both["tops"][title] > both["tops"][caption]
    assert both["height"] > alone["height"]
    assert both["right"] <= both["width"]
    assert both["bottom"] <= both["height"]
    # Each pane still exports its own.
    expect(menus).to_have_count(3)
    own = _figure(bench, bench.inside("sweep"))
    assert "recovered: resid_pre patched into the corrupted run" in own["texts"]
    assert "Corrupted" not in own["texts"]
    assert own["height"] < both["height"]


def _figure(bench: WorkbenchPage, within: Locator | None = None) -> dict[str, Any]:
    """Texts, their places and the bounds of what a menu gives as SVG, as a browser lays it out."""
    (within or bench.root).locator("[data-action=menu]:visible").first.click()
    with bench.page.expect_download() as caught:
        bench.root.locator("[data-action=save-svg]:visible").click()
    found: dict[str, Any] = bench.page.evaluate(
        """svg => {
          const holder = document.createElement('div');
          holder.append(new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement);
          document.body.append(holder);
          const { left, top, width, height } = holder.firstChild.getBoundingClientRect();
          const texts = [...holder.querySelectorAll('text')];
          const boxes = texts.map(it => it.getBoundingClientRect());
          const bounds = {
            width, height,
            texts: texts.map(it => it.textContent.replace(/[\u2068\u2069]/g, '')),
            tops: boxes.map(it => it.top - top),
            right: Math.max(...boxes.map(it => it.right)) - left,
            bottom: Math.max(...boxes.map(it => it.bottom)) - top,
          };
          holder.remove();
          return bounds;
        }""",
        caught.value.path().read_text(encoding="utf-8"),
    )
    return found


def test_full_screen_by_button_and_by_key(bench: WorkbenchPage) -> None:
    bench.mount("{ panes: ['board'] }")
    filled = "document.fullscreenElement === document.querySelector('.mi-workbench')"
    bench.root.locator("[data-action=full-screen]").click()
    bench.page.wait_for_function(filled)
    box, screen = bench.root.bounding_box(), bench.page.evaluate("[innerWidth, innerHeight]")
    assert box is not None
    assert [box["width"], box["height"]] == screen
    # A card of a control is seen there too.
    bench.root.locator("[data-action=beside]").hover()
    expect(bench.root.get_by_role("tooltip").first).to_contain_text("side by side")
    bench.root.locator("[data-action=full-screen]").click()
    bench.page.wait_for_function("!document.fullscreenElement")
    bench.page.keyboard.press("f")
    bench.page.wait_for_function(filled)
    # On a page that may not fill the screen it is said.
    bench.page.keyboard.press("f")
    bench.page.wait_for_function("!document.fullscreenElement")
    bench.page.evaluate("void (Element.prototype.requestFullscreen = () => Promise.reject(new TypeError()))")
    bench.page.keyboard.press("f")
    expect(bench.root.get_by_role("status").filter(has_text="this page may not fill the screen")).to_have_count(1)


def test_the_second_pane_is_divided_from_the_first_wherever_it_stands(bench: WorkbenchPage) -> None:
    bench.mount("{ panes: ['board', 'sweep'] }")
    border = "it => ['left', 'top'].map(side => getComputedStyle(it)[`border-${side}-width`])"
    assert bench.inside("board").evaluate(border) == ["0px", "0px"]
    assert bench.inside("sweep").evaluate(border) == ["1px", "0px"]
    # Their footers are on one line.
    low = [bench.inside(name).locator("footer").bounding_box() for name in ("board", "sweep")]
    assert low[0] is not None
    assert low[1] is not None
    assert abs(low[0]["y"] + low[0]["height"] - low[1]["y"] - low[1]["height"]) <= 1
    bench.page.set_viewport_size({"width": 480, "height": 900})
    expect(bench.root).to_have_attribute("data-size", "narrow")
    assert bench.inside("sweep").evaluate(border) == ["0px", "3px"]
    assert bench.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
