"""The widget's life: what it sends, who may write what, locks, waiting, errors and the end."""

from __future__ import annotations

import contextvars
import gc
import json
import threading
import weakref

import pytest
from ipywidgets import Widget

from mi_widgets.errors import BadInput, Cancelled, MiWidgetsError
from mi_widgets.interventions.sites import Site
from mi_widgets.widgets import AttentionHeads, assets
from tests.python.freed import freed

# Construction


def test_the_first_message_holds_the_whole_small_truth(heads):
    page = heads()
    opened = page.comm.sent[0]
    state = opened.data["state"]
    assert opened.type == "comm_open"
    assert state["protocol"] == 1
    assert (state["experiment"], state["selection"]) == ("exp-1", [])
    assert state["question"] == page.exp.question()
    assert state["status"]["state"] == "empty"
    assert state["revs"] == {"question": 1, "atlas": 0}
    assert len(state["epoch"]) == 32
    assert state["_esm"] == "export default {};\n"


def test_each_widget_has_its_own_epoch(heads):
    assert heads().widget.epoch != heads().widget.epoch


def test_a_missing_bundle_says_how_to_build_it(analysis, experiment, bundle, monkeypatch):
    monkeypatch.setattr(assets, "STATIC", bundle / "nowhere")
    with pytest.raises(MiWidgetsError, match="make build"):
        AttentionHeads(experiment())


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((), {}, r"AttentionHeads\(exp\)"),
        (("a prompt",), {}, "cannot show str"),
        ((3, "a prompt"), {}, "cannot show int"),
        (("exp", "a prompt"), {}, "one experiment and nothing after it"),
        (("exp",), {"layuot": 1}, "Did you mean layout="),
        (("exp",), {"prompt": 1}, "has no argument prompt="),
        (("exp",), {"atlas": {}}, "has no argument atlas="),
        ((object(), "a prompt"), {"anser": " a"}, "Did you mean answer="),
    ],
)
def test_what_cannot_be_meant_is_refused_with_help(analysis, experiment, args, options, words):
    before = dict(Widget._instances) if hasattr(Widget, "_instances") else None
    given = tuple(experiment() if arg == "exp" else arg for arg in args)
    with pytest.raises(BadInput, match=words):
        AttentionHeads(*given, **options)
    gc.collect()
    assert before is None or dict(Widget._instances) == before


def test_the_layout_goes_to_ipywidgets(analysis, experiment):
    widget = AttentionHeads(experiment(), layout={"width": "480px"})
    assert widget.layout.width == "480px"
    widget.close()


# Who may write what


def test_kernel_written_traits_are_read_only_for_users_and_pages(heads):
    page = heads()
    for name in ("protocol", "epoch", "experiment", "revs", "question", "status", "atlas"):
        before = getattr(page.widget, name)
        with pytest.raises(Exception, match="read-only"):
            setattr(page.widget, name, before)
        page.deliver({"method": "update", "state": {name: "changed"}, "buffer_paths": []})
        assert getattr(page.widget, name) == before


def test_publish_sends_one_message_and_raises_the_revisions_of_topics(heads):
    page = heads()
    sent, revs = len(page.comm.sent), dict(page.widget.revs)
    page.widget.publish(question=page.exp.question() | {"rev": 9}, status=page.widget.status | {"op": "x"})
    assert len(page.comm.sent) == sent + 1
    assert set(page.comm.sent[-1].data["state"]) == {"question", "status", "revs"}
    assert page.widget.revs == revs | {"question": revs["question"] + 1}


def test_a_change_of_the_experiment_reaches_every_view(analysis, experiment, page_of):
    exp = experiment()
    first, second = page_of(AttentionHeads(exp)), page_of(AttentionHeads(exp))
    exp.ask(clean=" b b b")
    for page in (first, second):
        page.widget.wait(120)
        assert page.widget.question["prompts"]["clean"]["text"] == " b b b"
        assert page.widget.result.rev == 2
        assert page.widget.revs["question"] == 2


# Selection


def test_selection_takes_sites_and_texts_and_is_one_for_all_views(analysis, experiment, page_of):
    exp = experiment()
    first, second = page_of(AttentionHeads(exp)), page_of(AttentionHeads(exp))
    first.widget.selection = ["L1H1.pattern@3<2", Site("z", 0, 1)]
    wanted = (Site("pattern", 1, 1, 3, 2), Site("z", 0, 1))
    assert first.widget.selection == second.widget.selection == exp.selection == wanted
    assert second.states("selection")[-1] == ["L1H1.pattern@3<2", "L0H1.z"]
    second.widget.selection = "L0.resid_pre"
    assert exp.selection == first.widget.selection == (Site("resid_pre", 0),)
    exp.selection = ()
    assert first.widget.selection == second.widget.selection == ()


def test_a_page_selects_and_gets_no_echo(heads):
    page = heads()
    sent = len(page.states("selection"))
    page.deliver({"method": "update", "state": {"selection": ["L1H0.pattern"]}, "buffer_paths": []})
    assert page.exp.selection == (Site("pattern", 1, 0),)
    assert "echo_update" not in [m.data.get("method") for m in page.comm.sent]
    assert all(value == ["L1H0.pattern"] for value in page.states("selection")[sent:])


@pytest.mark.parametrize("bad", ["nonsense", "L9H0.pattern", "L1H9.pattern", "L1H1.pattern@4", 7, [7], [["L1H1.z"]]])
def test_a_selection_that_is_not_there_is_refused(heads, bad):
    page = heads()
    page.widget.selection = ["L0H0.pattern"]
    with pytest.raises(BadInput):
        page.widget.selection = bad
    page.deliver({"method": "update", "state": {"selection": bad}, "buffer_paths": []})
    assert page.widget.selection == page.exp.selection == (Site("pattern", 0, 0),)
    assert isinstance(page.widget.last_error, BadInput)
    assert page.states("selection")[-1] == ["L0H0.pattern"]  # the page is told what stands


def test_too_many_or_too_long_sites_are_refused(heads):
    page = heads()
    for bad in (["L0H0.pattern"] * 257, ["L" + "9" * 5000 + ".resid_pre"]):
        page.deliver({"method": "update", "state": {"selection": bad}, "buffer_paths": []})
        assert isinstance(page.widget.last_error, BadInput)
        assert page.widget.selection == ()


# Locks


def test_observers_run_with_no_lock_held_whoever_caused_the_change(heads):
    page = heads()
    free = []

    def observer(_):
        # Another thread can take the lock while this one is inside an observer.
        def take():
            with page.widget.exclusive():
                free.append(True)

        thread = threading.Thread(target=take)
        thread.start()
        thread.join(120)
        free.append(not thread.is_alive())

    page.widget.observe(observer, ["selection", "question", "status"])
    page.widget.selection = ["L0H0.pattern"]
    page.deliver({"method": "update", "state": {"selection": ["L1H0.pattern"]}, "buffer_paths": []})
    page.answer(page.request("question.set", base_rev=1, metric="prob"))
    page.widget.wait(120)
    assert len(free) >= 10
    assert all(free)


def test_an_observer_may_use_the_widget_and_the_experiment(heads):
    page = heads()

    def observer(change):
        if change["new"]:
            page.exp.ask(clean=" changed by an observer")
            page.widget.selection = []

    page.widget.observe(observer, "selection")
    page.deliver({"method": "update", "state": {"selection": ["L1H0.pattern"]}, "buffer_paths": []})
    page.widget.wait(120)
    assert page.widget.selection == page.exp.selection == ()
    assert page.widget.result.rev == 2


def test_what_an_observer_raises_is_kept_and_breaks_nothing(heads, swallowed):
    swallowed.expect(ZeroDivisionError)
    page = heads()
    page.widget.observe(lambda _: 1 / 0, "selection")
    page.deliver({"method": "update", "state": {"selection": ["L1H0.pattern"]}, "buffer_paths": []})
    assert isinstance(page.widget.last_error, ZeroDivisionError)
    assert page.exp.selection == (Site("pattern", 1, 0),)
    assert page.hello().content["epoch"] == page.widget.epoch


def test_messages_and_changes_from_many_threads_leave_one_consistent_state(heads):
    page = heads()
    start = threading.Barrier(6)

    def write(i):
        start.wait(120)
        for n in range(25):
            site = f"L{(i + n) % 2}H{n % 2}.pattern"
            if i % 3 == 0:
                page.widget.selection = [site]
            elif i % 3 == 1:
                page.deliver({"method": "update", "state": {"selection": [site]}, "buffer_paths": []})
            else:
                page.hello()
                page.widget.publish(status=page.widget.status | {"op": site})

    threads = [threading.Thread(target=write, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert page.widget.selection == page.exp.selection
    assert page.states("selection")[-1] == [str(site) for site in page.widget.selection]


def test_sends_happen_in_the_context_of_the_pages_last_message(heads, monkeypatch):
    page = heads()
    parent = contextvars.ContextVar("parent", default="cell")
    seen = []
    real = page.comm.publish_msg
    monkeypatch.setattr(page.comm, "publish_msg", lambda *a, **k: (seen.append(parent.get()), real(*a, **k)))
    contextvars.copy_context().run(lambda: (parent.set("message 1"), page.hello()))
    page.answer(page.request("heads.atlas", run="clean"))  # handled, and so routed, in the test's own context
    assert set(seen) == {"message 1", "cell"}
    seen.clear()
    contextvars.copy_context().run(lambda: (parent.set("message 2"), page.request("heads.atlas", run="clean")))
    page.widget.wait(120)
    page.widget.selection = ["L0H0.pattern"]  # a cell writes to the widget
    assert set(seen) == {"message 2"}


# hello and welcome


def test_welcome_brings_what_the_page_lacks_and_nothing_else(heads, canned):
    page = heads()
    everything = page.hello()
    assert set(everything.content["snapshot"]) == {"question", "atlas"}
    assert everything.content["revs"] == page.widget.revs
    thumbs = everything.content["snapshot"]["atlas"]["arrays"]["thumbs"]
    assert "data" not in thumbs
    assert len(everything.buffers) == 1
    assert everything.buffers[thumbs["buffer"]] == page.widget.atlas["arrays"]["thumbs"]["data"]
    nothing = page.hello(page.widget.revs)
    assert (nothing.content["snapshot"], nothing.buffers) == ({}, [])
    page.send({"v": 1, "kind": "hello", "client": page.client, "have": None})
    opened = page.messages("welcome")[-1]
    assert (opened.content["snapshot"], opened.buffers, opened.content["revs"]) == ({}, [], page.widget.revs)
    ahead = page.hello({"question": 99, "atlas": page.widget.revs["atlas"]})
    assert set(ahead.content["snapshot"]) == {"question"}


def test_welcome_names_running_work_and_leaves_out_what_never_settled(analysis, experiment, page_of):
    analysis.hold()
    page = page_of(AttentionHeads(experiment()))
    page.unlimited()
    analysis.let()
    page.wait_for(lambda: page.messages("partial", "k-1"))
    welcome = page.hello().content
    assert set(welcome["snapshot"]) == {"question"}
    assert [job["id"] for job in welcome["running"]] == ["k-1"]
    analysis.let(9)
    page.widget.wait(120)
    assert page.hello().content["running"] == []


# Requests


def test_a_broken_message_is_refused_and_the_next_one_works(heads):
    page = heads()
    page.send({"v": 1, "kind": "request", "id": "tab-77", "op": 3})
    assert page.answer("tab-77").content["error"] == "BadMessage"
    assert page.messages("accepted", "tab-77") == []
    page.send("nonsense")
    page.deliver({"method": "unheard of"})
    page.deliver({})
    assert page.answer(page.request("heads.atlas", run="clean")).content["kind"] == "done"


def test_unknown_ops_and_foreign_slots_are_refused(heads):
    page = heads()
    for op, slot in (("heads.close", None), ("__init__", None), ("heads.atlas", "pattern")):
        assert page.answer(page.request(op, slot=slot, run="clean")).content["error"] == "BadMessage"


def test_a_request_sent_twice_is_answered_once(heads, analysis):
    page = heads()
    analysis.hold()
    request_id = page.request("heads.atlas", run="clean")
    page.send({"v": 1, "kind": "request", "id": request_id, "op": "heads.atlas", "params": {"run": "clean"}})
    page.send({"v": 1, "kind": "request", "id": request_id, "op": "nonsense", "params": {}})
    page.send({"v": 1, "kind": "request", "id": request_id, "op": 3})
    analysis.let(9)
    assert page.answer(request_id).content["kind"] == "done"
    page.widget.wait(120)
    assert [m.content["kind"] for m in page.messages(request_id=request_id)].count("done") == 1


def test_an_error_in_a_handler_is_answered_and_kept(heads, swallowed, monkeypatch):
    swallowed.expect(ZeroDivisionError)
    page = heads()
    monkeypatch.setattr(page.exp, "snapshot", lambda: 1 / 0)
    reply = page.answer(page.request("heads.pattern", run="clean")).content
    assert (reply["kind"], reply["error"], reply["message"]) == (
        "failed",
        "ZeroDivisionError",
        "ZeroDivisionError: division by zero",
    )
    assert isinstance(page.widget.last_error, ZeroDivisionError)
    assert "Traceback" not in json.dumps(reply)


def test_newest_wins_per_client_and_slot(heads, analysis):
    page = heads()
    other = type(page)(page.widget, "other")
    analysis.hold()
    window = {"run": "clean", "heads": [[0, 0]], "dest": [0, 4], "src": [0, 4], "side": 8}
    ids = [page.request("heads.pattern", slot="pattern", **window) for _ in range(4)]
    elsewhere = other.request("heads.pattern", slot="pattern", **window)
    loose = page.request("heads.pattern", slot=None, **window)
    analysis.let(20)
    assert [page.answer(i).content.get("reason") for i in ids] == ["superseded"] * 3 + [None]
    for request_id in (ids[-1], elsewhere, loose):
        assert page.answer(request_id).content["kind"] == "done"
    for request_id in ids:
        assert len(page.messages("accepted", request_id)) == 1


def test_a_cancel_is_seen_within_one_chunk(heads, analysis):
    page = heads(layers=50)
    page.unlimited()
    analysis.chunks = 0
    analysis.hold()
    request_id = page.request("heads.atlas", slot="atlas", run="clean")
    analysis.let(3)
    page.wait_for(lambda: len(page.messages("partial", request_id)) >= 5)  # parts and progress of two chunks at least
    page.cancel(request_id)
    seen = analysis.chunks
    closed = analysis.closed
    analysis.let(100)
    assert page.answer(request_id).content == {"v": 1, "kind": "cancelled", "id": request_id, "reason": "user"}
    assert analysis.chunks <= seen + 1 < 50
    assert analysis.closed == closed + 1
    assert page.widget.result.run == "clean"


# Waiting, cancelling, failing


def test_wait_returns_the_widget_and_cancel_stops_its_own_work(analysis, experiment, page_of):
    analysis.hold()
    page = page_of(AttentionHeads(experiment(layers=50)))
    with pytest.raises(TimeoutError):
        page.widget.wait(0.01)
    page.widget.cancel()
    analysis.let(100)
    with pytest.raises(Cancelled):
        page.widget.wait(120)
    assert analysis.chunks <= 1
    assert page.widget.status["state"] == "failed"
    assert page.widget.status["error"]["error"] == "Cancelled"
    assert page.widget.status["error"]["retryable"] is True
    assert page.answer(page.request("heads.atlas", run="clean")).content["kind"] == "done"
    assert page.widget.wait(120) is page.widget


def test_work_of_the_kernel_that_fails_is_shown_raised_and_can_be_repeated(analysis, experiment, page_of, swallowed):
    swallowed.expect(RuntimeError)
    analysis.fail = RuntimeError("no luck")
    page = page_of(AttentionHeads(experiment()))
    with pytest.raises(RuntimeError, match="no luck"):
        page.widget.wait(120)
    assert page.widget.status["error"]["message"] == "RuntimeError: no luck"
    assert page.widget.last_error is analysis.fail
    analysis.fail = None
    assert page.answer(page.request("heads.atlas", run="clean")).content["kind"] == "done"
    assert page.widget.status["state"] == "idle"
    page.widget.wait(120)


# The end


def test_close_ends_jobs_observers_and_messages(analysis, experiment, page_of):
    analysis.hold()
    exp = experiment(layers=50)
    page = page_of(AttentionHeads(exp))
    called = []
    page.widget.observe(called.append, "selection")
    jobs = exp.scheduler.jobs
    page.widget.close()
    sent = len(page.comm.sent)
    analysis.let(100)
    for job in jobs:
        with pytest.raises(Cancelled, match="closed"):
            job.wait(120)
    exp.selection = ["L0H0.pattern"]
    exp.ask(clean=" b")
    page.widget.close()
    assert (len(page.comm.sent), called, exp.observers) == (sent, [], [])
    assert page.comm.sent[-1].type == "comm_close"
    assert analysis.started == [("atlas", "clean", 1)] or analysis.started == []


def test_a_closed_widget_is_freed_and_so_is_its_experiment(analysis, experiment):
    exp = experiment()
    widget = AttentionHeads(exp)
    widget.wait(120)
    widget.observe(lambda _: None, "selection")
    gone = weakref.ref(widget), weakref.ref(exp), weakref.ref(exp.scheduler)
    widget.close()
    del widget, exp
    assert freed(*gone)
