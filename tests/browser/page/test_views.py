"""Several views of one widget, several widgets of one experiment, and leaving without a trace."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.page.plain_page import Plain


def test_two_views_of_one_widget_share_what_is_shown(plain: Plain) -> None:
    plain.mount(views=2)
    assert len(plain.sent("hello")) == 1, "one channel for both"
    second = plain.page.locator(".mi-widget").nth(1)
    plain.page.mouse.click(*plain.head_centre(1, 1))
    expect(second).to_have_attribute("data-selection", "L1H1.pattern")
    second.get_by_role("radio", name="first").click()
    expect(plain.root.get_by_role("radio", name="first")).to_have_attribute("aria-checked", "true")
    plain.root.locator("[data-action=prompt]").click()
    plain.root.locator("[data-input=prompt]").fill("Anna sat")
    expect(second).to_have_attribute("data-state", "changed")
    plain.page.keyboard.press("Enter")
    expect(second).to_have_attribute("data-atlas-rev", "2")
    expect(second.locator("[data-token]")).to_have_text(["‹bos›", "Anna", "sat"])
    assert len(plain.sent("question.set")) == 1


def test_a_view_that_is_closed_leaves_the_other_alone(plain: Plain) -> None:
    plain.mount(views=2)
    plain.page.evaluate("shown.views[0].signal.abort()")
    expect(plain.page.locator(".mi-widget")).to_have_count(1)
    plain.page.mouse.click(*plain.head_centre(2, 2))
    plain.wait(selection="L2H2.pattern")
    plain.page.evaluate("shown.views[1].cleanup()")
    expect(plain.page.locator(".mi-widget")).to_have_count(0)


def test_closing_the_widget_stops_listening(plain: Plain) -> None:
    plain.mount()
    plain.page.evaluate("shown.life.abort()")
    left = plain.kernel("[...m.listeners.values()].reduce((sum, list) => sum + list.length, 0)")
    assert left <= 1, "what is left is the host's own event of a dead comm"
    sent = len(plain.kernel("m.sent"))
    plain.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert len(plain.kernel("m.sent")) == sent


def test_widgets_of_one_experiment_follow_each_other_those_of_another_do_not(plain: Plain) -> None:
    plain.mount()
    plain.page.evaluate(
        """async () => {
          window.first = window.shown;
          window.same = await shim.mount(widget, { epoch: 'epoch-2' });
          window.other = await shim.mount(widget, { epoch: 'epoch-3', experiment: 'another' });
        }"""
    )
    plain.page.wait_for_function("document.querySelectorAll('.mi-widget[data-ready]').length === 3")
    same, other = plain.page.locator(".mi-widget").nth(1), plain.page.locator(".mi-widget").nth(2)
    before = other.get_attribute("data-focus")
    plain.page.mouse.move(*plain.head_centre(0, 2))
    expect(same).to_have_attribute("data-focus", "L0H2")
    plain.page.mouse.click(*plain.head_centre(0, 2))
    expect(same).to_have_attribute("data-focus", "L0H2")
    plain.page.mouse.move(0, 0)
    expect(same).to_have_attribute("data-focus", "L0H2")
    assert other.get_attribute("data-focus") == before


def test_a_host_that_never_initialises_still_gets_a_widget(plain: Plain) -> None:
    plain.page.evaluate(
        """async () => {
          const only = { render: widget.render };
          window.shown = await shim.mount(only, { epoch: 'late' });
        }"""
    )
    plain.page.wait_for_selector(".mi-widget[data-ready]")
    assert len(plain.sent("hello")) == 1


def test_it_works_inside_a_shadow_root(plain: Plain) -> None:
    plain.page.evaluate(
        """async () => {
          const host = document.querySelector('#host');
          const shadow = host.attachShadow({ mode: 'open' });
          const style = document.createElement('link');
          Object.assign(style, { rel: 'stylesheet', href: '/attention-heads.css' });
          const el = document.createElement('div');
          shadow.append(style, el);
          const kernel = new shim.ScriptedKernel({});
          const model = kernel.connect();
          widget.initialize({ model, signal: new AbortController().signal });
          widget.render({ model, el, signal: new AbortController().signal });
          window.shown = { kernel, model };
        }"""
    )
    plain.page.wait_for_selector(".mi-widget[data-ready]")
    plain.page.mouse.click(*plain.head_centre(1, 1))
    plain.wait(selection="L1H1.pattern")
