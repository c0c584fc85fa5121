"""Another experiment beside the one that is shown: its clean run, and the difference, head by head."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest

import mi_widgets as mi
from mi_widgets.jobs import Priority, Scheduler
from mi_widgets.widgets import arrays
from mi_widgets.widgets.comparing import across
from tests.python.freed import freed


@pytest.fixture(scope="module")
def models():
    return mi.load("tiny-induction"), mi.load("tiny-induction", step=mi.checkpoints("tiny-induction")[0])


@pytest.fixture(scope="module")
def ids(models):
    return [1, 11, 12, 10, 11, 12, 10]


@pytest.fixture
def exps(models, ids):
    return [mi.Experiment(model, ids) for model in models]


@pytest.fixture
def page(page_of, exps):
    page = page_of(mi.AttentionHeads(exps[0], compare=exps[1]))
    page.widget.wait(120)
    return page


def thumbs(page):
    entry = page.widget.atlas["arrays"]["thumbs"]
    return arrays.decode(entry, entry["data"])


def patterns(exp):
    return exp.patterns().values.numpy()


def test_the_header_names_what_it_is_compared_with(page, exps):
    compared = page.widget.question["compare"]
    assert compared["label"] == exps[1].model.name != exps[0].model.name
    assert compared["prompt"]["ids"] == page.widget.question["prompts"]["clean"]["ids"]
    assert page.states("question")[-1]["compare"] == compared


def test_the_other_run_and_the_difference_are_those_of_both_models(page, exps, canned):
    ours, theirs = patterns(exps[0]), patterns(exps[1])
    assert np.abs(ours - theirs).max() > 0.3
    length = ours.shape[-1]
    window = {"heads": [[0, 1], [1, 0]], "dest": [0, length], "src": [0, length], "side": 64}
    for run, expected, step in (("other", theirs, 1), ("against", ours - theirs, 2)):
        done = page.answer(page.request("heads.atlas", slot="atlas", run=run)).content
        assert (done["kind"], done["rev"], done["data"]) == ("done", exps[0].rev, {"run": run})
        assert page.widget.result.run == page.widget.atlas["run"] == run
        np.testing.assert_allclose(thumbs(page), expected, atol=step / 508 + 1e-5)
        reply = page.answer(page.request("heads.pattern", run=run, **window))
        np.testing.assert_allclose(canned.decoded(reply, "pattern"), expected[[0, 1], [1, 0]], atol=step / 508 + 1e-5)
        value = page.answer(page.request("heads.value", run=run, layer=1, head=0, dest=5, src=3)).content["data"]
        assert value["value"] == pytest.approx(float(expected[1, 0, 5, 3]), abs=1e-5)
        score = page.answer(page.request("heads.rank", run=run, dest=5, src=3)).content["data"]["score"]
        np.testing.assert_allclose(score["values"], expected[:, :, 5, 3], atol=1e-5)


def test_what_a_head_of_the_other_model_writes_is_asked_of_the_other_model(page, exps):
    params = {"layer": 1, "head": 0, "position": 4, "k": 3}
    other = page.answer(page.request("heads.writes", run="other", **params)).content["data"]
    found = exps[1].head_writes(1, 0, 4, k=3)
    assert [token["logit"] for token in other["promoted"]] == pytest.approx(
        found[found.columns[found.columns.str.contains("logit")][0]].tolist(), abs=1e-3
    )


def test_a_change_of_the_other_prompt_is_followed(page, exps):
    page.answer(page.request("heads.atlas", run="other"))
    rev = page.widget.atlas["rev"]
    exps[1].ask(clean=[1, 11, 10, 12, 11])
    page.widget.wait(120)
    assert page.widget.question["compare"]["prompt"]["ids"] == [1, 11, 10, 12, 11]
    assert page.widget.atlas["rev"] == page.widget.question["rev"] > rev
    np.testing.assert_allclose(thumbs(page), patterns(exps[1]), atol=1 / 508 + 1e-5)
    refused = page.answer(page.request("heads.atlas", run="against")).content
    assert (refused["error"], refused["message"]) == (
        "PromptMismatch",
        "The prompts differ in length (7 and 5 tokens), so their patterns have no difference.",
    )


def test_two_widgets_that_compare_their_experiments_with_each_other_come_to_rest(page_of, exps):
    first, second = (page_of(mi.AttentionHeads(a, compare=b)) for a, b in (exps, exps[::-1]))
    for page in (first, second):
        page.widget.wait(120)
    asked = [page.request("heads.atlas", run="against") for page in (first, second)]
    assert [page.answer(i).content["kind"] for page, i in zip((first, second), asked, strict=True)] == ["done", "done"]
    np.testing.assert_allclose(thumbs(first), -thumbs(second), atol=2 / 254 + 1e-6)
    exps[0].ask(clean=[1, 6, 5, 6, 5, 6, 5])
    exps[1].ask(clean=[1, 6, 5, 6, 5, 6, 5])
    for page in (first, second, first):
        page.widget.wait(120)
    np.testing.assert_allclose(thumbs(first), patterns(exps[0]) - patterns(exps[1]), atol=1 / 254 + 1e-5)


def test_two_prompts_of_one_model_are_compared_too(page_of, models, ids):
    exp, other = mi.Experiment(models[0], ids), mi.Experiment(models[0], [1, *ids[:0:-1]])
    page = page_of(mi.AttentionHeads(exp, compare=other))
    assert page.widget.question["compare"]["label"] == "the other prompt"
    assert page.answer(page.request("heads.atlas", run="against")).content["kind"] == "done"
    np.testing.assert_allclose(thumbs(page), patterns(exp) - patterns(other), atol=1 / 254 + 1e-5)


def test_models_of_another_shape_and_things_that_are_no_experiment_are_refused(exps):
    with pytest.raises(mi.BadInput, match="have no counterparts"):
        mi.AttentionHeads(exps[0], compare=mi.Experiment(mi.load("tiny-names"), "Mary went to the"))
    for wrong in (exps[0].model, "tiny-induction", 3):
        with pytest.raises(mi.BadInput, match="compare= takes an experiment"):
            mi.AttentionHeads(exps[0], compare=wrong)


def test_without_anything_to_compare_with_its_runs_are_refused(heads):
    page = heads()
    assert page.widget.question["compare"] is None
    for run in ("other", "against"):
        reply = page.answer(page.request("heads.atlas", run=run)).content
        assert (reply["error"], reply["message"]) == ("BadInput", "There is nothing to compare with.")
    assert page.widget.result.run == "clean"


def test_a_closed_widget_follows_neither_experiment(page, exps):
    page.widget.close()
    sent = len(page.comm.sent)
    exps[1].ask(clean=[1, 11, 10])
    assert len(page.comm.sent) == sent


def test_the_other_model_is_freed_with_its_widget(models, ids):
    exp, other = mi.Experiment(models[0], ids), mi.Experiment(mi.load("tiny-induction"), ids)
    widget = mi.AttentionHeads(exp, compare=other)
    widget.wait(120)
    gone = weakref.ref(other)
    widget.close()
    del widget, other
    assert freed(gone)


# Steps on another worker


def counted(n, fail=None):
    yield from range(n)
    if fail is not None:
        raise fail
    return threading.current_thread().name


def test_steps_run_on_the_other_worker_and_give_their_result():
    here, there = Scheduler("here"), Scheduler("there")
    assert "there" in here.run(across(there, counted(3)))
    with pytest.raises(TimeoutError, match="of its own"):
        here.run(across(there, counted(1, TimeoutError("of its own"))))


@pytest.mark.parametrize("priority", Priority)
def test_workers_that_wait_for_each_other_both_get_on(priority):
    here, there = Scheduler("here"), Scheduler("there")
    both = threading.Barrier(2)

    def meeting(other):
        both.wait(120)
        return (yield from across(other, counted(2)))

    jobs = [a.submit(meeting(b), priority=priority) for a, b in ((here, there), (there, here))]
    assert ["there" in jobs[0].wait(120), "here" in jobs[1].wait(120)] == [True, True]
    assert [job.priority for job in jobs] == [priority, priority]


def test_steps_that_are_not_wanted_any_more_are_stopped():
    here, there = Scheduler("here"), Scheduler("there")
    stopped, begun = threading.Event(), threading.Event()

    def endless():
        try:
            while True:
                begun.set()
                yield
        finally:
            stopped.set()

    job = here.submit(across(there, endless()))
    assert begun.wait(120)
    job.cancel()
    assert stopped.wait(120)
