"""The live list of edits, its undo, the callbacks of views, and the selection."""

from __future__ import annotations

import gc
import logging
import random
import threading

import pytest

import mi_widgets as mi
from tests.python.families import CLEAN, CORRUPTED, SHORT_CORRUPTED, experiment, wrapped

A, B, C, D = (mi.Zero("z", 0, head=h) for h in range(4))


@pytest.fixture
def exp():
    return experiment(wrapped("llama"))


def test_adding_moving_replacing_toggling_removing(exp):
    edits = exp.edits
    assert [edits.add(e) for e in (A, B, C)] == [0, 1, 2]
    edits.move(0, 2)
    assert list(edits) == [B, C, A]
    edits.move(-1, 0)
    assert list(edits) == [A, B, C]
    edits.replace(1, D)
    assert list(edits) == [A, D, C]
    assert edits.toggle(0) is False
    assert edits.enabled == (D, C)
    edits.replace(0, B)
    assert edits.enabled == (D, C)  # switched as it was
    assert edits.toggle(0) is True
    edits.remove(1)
    assert list(edits) == [B, C]
    assert edits[-1] == C
    edits.clear()
    assert len(edits) == 0
    assert repr(edits) == "no edits"


@pytest.mark.parametrize("index", [2, -3, True, "0", None, 1.0])
def test_an_edit_that_is_not_there(exp, index):
    exp.edits.add(A)
    exp.edits.add(B)
    for call in (exp.edits.remove, exp.edits.toggle, lambda i: exp.edits.move(i, 0), lambda i: exp.edits.move(0, i),
                 lambda i: exp.edits.replace(i, C), lambda i: exp.edits[i]):  # fmt: skip
        with pytest.raises(mi.BadInput, match="the list has 2"):
            call(index)
    assert list(exp.edits) == [A, B]


def test_what_cannot_run_does_not_enter(exp):
    exp.edits.add(A)
    rev = exp.rev
    bad = [
        mi.Zero("z", 3), mi.Zero("z", 0, head=4), mi.Zero("resid_pre", 0, position=15), mi.Zero("k", 0, head=2),
        mi.Patch("resid_pre", 0, source="corrupted"), mi.Patch(), "zero", None,
    ]  # fmt: skip
    for edit in bad:
        for call in (exp.edits.add, lambda e: exp.edits.replace(0, e)):
            with pytest.raises(mi.BadInput):
                call(edit)
    assert list(exp.edits) == [A]
    assert exp.rev == rev
    assert exp.edits.undo()
    assert not exp.edits.undo()


@pytest.mark.parametrize("seed", range(5))
def test_undo_and_redo_walk_the_whole_history(exp, seed):
    """Random changes: undo steps through every state back, redo forth, and a new change cuts the future."""
    dice = random.Random(seed)
    edits, states = exp.edits, [exp.edits.entries]
    for _ in range(25):
        n = len(edits)
        act = dice.choice(["add", "remove", "move", "toggle", "replace", "clear"]) if n else "add"
        if act == "add":
            edits.add(dice.choice([A, B, C, D]))
        elif act == "move":
            edits.move(dice.randrange(n), dice.randrange(n))
        elif act == "replace":
            edits.replace(dice.randrange(n), dice.choice([A, B, C, D]))
        elif act == "clear":
            edits.clear()
        else:
            getattr(edits, act)(dice.randrange(n))
        states.append(edits.entries)
    for state in states[-2::-1]:
        assert edits.undo()
        assert edits.entries == state
    assert not edits.undo()
    for state in states[1:]:
        assert edits.redo()
        assert edits.entries == state
    assert not edits.redo()
    edits.undo()
    edits.add(A)
    assert not edits.redo()


def test_only_what_is_switched_on_runs(exp):
    exp.edits.add(A)
    exp.edits.add(mi.Zero("mlp_out", 1))
    assert exp.run().metric == exp.run([A, mi.Zero("mlp_out", 1)]).metric
    exp.edits.toggle(1)
    assert exp.run().metric == exp.run([A]).metric
    exp.edits.toggle(0)
    assert exp.run().metric == exp.run(()).metric


def test_views_are_called_back(exp):
    seen = []
    stop = exp.observe(seen.append)
    rev = exp.rev
    exp.edits.add(A)
    exp.edits.undo()
    exp.base = "clean"
    exp.selection = ["L1H1.pattern@14<10"]
    exp.selection = ["L1H1.pattern@14<10"]  # no change, no call
    assert seen == ["edits", "edits", "question", "selection"]
    assert exp.rev == rev + 3
    stop()
    stop()
    exp.edits.add(A)
    assert len(seen) == 4


def test_an_observer_that_raises_breaks_nothing(exp, caplog):
    seen = []

    def bad(topic):
        raise RuntimeError(topic)

    exp.observe(bad)
    exp.observe(seen.append)
    with caplog.at_level(logging.ERROR, "mi_widgets"):
        exp.edits.add(A)
    assert seen == ["edits"]
    assert "observer" in caplog.text


def test_bound_methods_are_held_weakly(exp):
    class View:
        seen: list[str] = []  # noqa: RUF012  (it must outlive the view)

        def see(self, topic):
            View.seen.append(topic)

    view = View()
    exp.observe(view.see)
    exp.edits.add(A)
    del view
    gc.collect()
    exp.edits.add(B)
    assert View.seen == ["edits"]


def test_an_observer_may_run_the_experiment(exp):
    seen = []
    exp.observe(lambda topic: seen.append(exp.run().metric))
    exp.edits.add(A)
    assert seen == [exp.run([A]).metric]


def test_the_selection(exp):
    exp.selection = "L2H3.z@-1"
    assert exp.selection == (mi.Site("z", 2, 3, -1),)
    exp.selection = [mi.Site("resid_pre", 1), "L0H1.k@14"]
    kept = exp.selection
    wrong = ["L3.resid_pre", "L0H4.z", "L0H2.k", "L0H0.z@15", "L0H0.z@-16", "L0H0.pattern@3<15", "what"]
    for text in wrong:
        with pytest.raises(mi.BadInput):
            exp.selection = ["L0.mlp_out", text]
        assert exp.selection == kept
    exp.selection = ()
    assert exp.selection == ()


def test_asking_anew_checks_everything_first(exp):
    exp.edits.add(mi.Patch("resid_pre", 1, position=14))
    before, rev = exp.question(), exp.rev
    for wrong in (
        {"clean": ""},
        {"answer": " Zorro"},
        {"metric": "accuracy"},
        {"base": "middle"},
        {"corrupted": [CLEAN, CLEAN]},
    ):
        with pytest.raises((mi.MiWidgetsError, ValueError)):
            exp.ask(**wrong)
        assert exp.question() == before
        assert exp.rev == rev
    assert exp.ask(metric="prob") == rev + 1
    assert exp.metric == "prob"
    fresh = mi.Experiment(exp.model, CLEAN, CORRUPTED, " Mary", " John", "prob")
    assert exp.run(()).metric == pytest.approx(fresh.run(()).metric, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"corrupted": None}, "reads the same run"),  # the clean prompt becomes the base
        ({"clean": SHORT_CORRUPTED, "corrupted": SHORT_CORRUPTED}, "Position 14"),
        ({"base": "clean"}, "reads the same run"),
    ],
)
def test_an_edit_that_cannot_run_any_more_stays_switched_off_and_marked(exp, change, reason):
    exp.edits.add(mi.Zero("z", 1, head=0))
    exp.edits.add(mi.Patch("resid_pre", 1, position=14, source="clean"))
    exp.ask(**change)
    kept, lost = exp.edits.entries
    assert (kept.on, kept.note) == (True, "")
    assert not lost.on
    assert reason in lost.note
    chip = exp.question()["edits"][1]
    assert (chip["label"], chip["on"], chip["site"]) == (str(lost.edit), False, lost.edit.where)
    assert (chip["note"], chip["alpha"]) == (lost.note, 1.0)
    assert chip["spec"] is None or chip["spec"]["positions"] == [14]
    assert exp.run().metric == pytest.approx(exp.run([mi.Zero("z", 1, head=0)]).metric)
    assert exp.edits.undo()
    assert exp.edits.entries == (kept, lost)


def test_a_taken_away_prompt_leaves_the_clean_base(exp):
    exp.ask(corrupted=None)
    assert exp.base == "clean"
    with pytest.raises(mi.BadInput, match="no corrupted"):
        exp.read("z", run="corrupted")


def test_what_cannot_run_is_not_switched_on_and_comes_back_switched_off(exp):
    late = mi.Zero("resid_pre", 0, position=14)
    exp.edits.add(late)
    exp.ask(clean="Mary went to", corrupted="John went to")
    rev, entries = exp.rev, exp.edits.entries
    assert [entry.on for entry in entries] == [False]
    assert "Position 14" in entries[0].note
    with pytest.raises(mi.BadInput, match="Position 14"):
        exp.edits.toggle(0)
    assert (exp.rev, exp.edits.entries) == (rev, entries)
    assert exp.edits.undo()
    assert exp.edits.entries == entries
    assert exp.run().metric == exp.run(()).metric


def test_threads_that_ask_and_edit_at_once(exp):
    """No change is lost, and no revision is given to two of them."""
    start, told = threading.Barrier(3), []
    exp.observe(lambda _: told.append(exp.rev))
    first = exp.rev

    def ask(change):
        start.wait()
        for value in change:
            exp.ask(**value)

    def edit():
        start.wait()
        for _ in range(20):
            exp.edits.add(A)

    prompts = [{"clean": CLEAN.replace("store", word)} for word in ("garden", "store") * 4]
    answers = [{"answer": word} for word in (" John", " Mary") * 4]
    threads = [threading.Thread(target=ask, args=(it,)) for it in (prompts, answers)]
    threads.append(threading.Thread(target=edit))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert len(exp.edits) == 20
    assert exp.rev == first + 36
    assert max(told) == exp.rev
    assert exp.prompt().prompts[0].text == CLEAN
    assert exp.answer.texts == ((" Mary",),)
