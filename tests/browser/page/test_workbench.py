"""The workbench: one question over views that are opened when they are first shown, in tabs or side by side."""

from __future__ import annotations

from playwright.sync_api import expect

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
