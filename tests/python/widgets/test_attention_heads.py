"""The ops of AttentionHeads, its traits, and its sizes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mi_widgets.widgets import AttentionHeads, arrays

WINDOW = {"run": "clean", "heads": [[0, 1]], "dest": [0, 4], "src": [0, 4], "side": 256}


def test_the_first_atlas_is_drawn_without_being_asked_for(heads, canned):
    page = heads()
    atlas = page.widget.atlas
    thumbs = arrays.decode(atlas["arrays"]["thumbs"], atlas["arrays"]["thumbs"]["data"])
    expected = np.array([[canned.pattern(layer, head, "clean") for head in (0, 1)] for layer in (0, 1)])
    np.testing.assert_allclose(thumbs, expected, atol=0.5 / 254 + 1e-6)
    assert (atlas["run"], atlas["rev"], atlas["positions"], atlas["side"]) == ("clean", 1, 4, 4)
    assert atlas["provenance"]["patterns"] == 4
    assert atlas["provenance"]["bytes"] == 4 * 10
    assert atlas["scores"]["previous"]["values"] == [[0.0, 0.25], [0.5, 0.75]]
    assert atlas["scores"]["induction"]["values"] == [[None, None], [None, None]]
    assert atlas["scores"]["induction"]["reason"] == "no repeated token here: use random tokens"
    assert page.widget.revs == {"question": 1, "atlas": 1}
    assert [status["state"] for status in page.states("status")] == ["empty", "running", "idle"]


def test_thumbnails_stream_to_every_client_and_the_trait_is_set_once(analysis, experiment, page_of, canned):
    analysis.hold()
    page = page_of(AttentionHeads(experiment(layers=3)))
    page.unlimited()
    analysis.let(9)
    page.widget.wait(120)
    parts = [m for m in page.messages("partial", "k-1") if m.content["arrays"]]
    assert [m.content["data"]["layers"] for m in parts] == [[0, 1], [1, 2], [2, 3]]
    assert [m.content["seq"] for m in page.messages("partial", "k-1")] == list(range(6))
    for m in parts:
        layer = m.content["data"]["layers"][0]
        assert {k: m.content["data"][k] for k in ("run", "rev", "positions", "side")} == {
            "run": "clean",
            "rev": 1,
            "positions": 4,
            "side": 4,
        }
        expected = [[canned.pattern(layer, head, "clean") for head in (0, 1)]]
        np.testing.assert_allclose(canned.decoded(m, "thumbs"), expected, atol=0.5 / 254 + 1e-6)
    assert len([a for a in page.states("atlas") if a]) == 1
    assert page.messages("done") == page.messages("accepted") == []


@pytest.mark.parametrize("run", ["corrupted", "edited", "difference"])
def test_a_page_shows_another_run(heads, canned, run):
    page = heads()
    done = page.answer(page.request("heads.atlas", slot="atlas", run=run))
    assert done.content["data"] == {"run": run}
    assert page.widget.result.run == page.widget.atlas["run"] == run
    thumbs = page.widget.atlas["arrays"]["thumbs"]
    assert thumbs["offset"] == (-1.0 if run == "difference" else 0.0)
    expected = canned.pattern(1, 0, run)
    assert np.abs(arrays.decode(thumbs, thumbs["data"])[1, 0] - expected).max() <= 1 / 254 + 1e-6
    # The run that is shown is the one that a change of the question draws anew.
    page.exp.ask(clean=" b")
    page.widget.wait(120)
    assert (page.widget.result.run, page.widget.result.rev) == (run, 2)


def test_an_edit_draws_anew_only_what_it_changes(heads, analysis):
    page = heads()
    before = len(analysis.started)

    def edit():
        page.exp.rev += 1
        page.exp.notify("edits")
        page.widget.wait(120)

    edit()
    assert len(analysis.started) == before
    # The clean run is the same under any edits, and the page is told that its picture is not stale.
    assert page.widget.result.rev == page.widget.atlas["rev"] == page.widget.question["rev"] == 2
    assert page.widget.revs == {"question": 2, "atlas": 2}
    page.answer(page.request("heads.atlas", run="edited"))
    edit()
    assert analysis.started[before:] == [("atlas", "edited", 2), ("atlas", "edited", 3)]
    assert page.widget.result.rev == 3


def test_an_edit_made_while_a_picture_is_drawn_draws_it_again(analysis, experiment, page_of):
    analysis.hold()
    page = page_of(AttentionHeads(experiment()))
    page.widget._exp.rev += 1
    page.widget._exp.notify("edits")
    analysis.let(50)
    page.widget.wait(120)
    assert page.widget.result.rev == page.widget.question["rev"] == 2


def test_without_a_corrupted_prompt_its_runs_are_refused_and_left(heads):
    page = heads(corrupted=False)
    for run in ("corrupted", "difference"):
        for op, params in (("heads.atlas", {}), ("heads.pattern", WINDOW), ("heads.value", {"dest": 1, "src": 0})):
            more = {"layer": 0, "head": 0} if op == "heads.value" else {}
            reply = page.answer(page.request(op, **{**params, **more, "run": run})).content
            assert (reply["error"], reply["message"]) == ("BadInput", "There is no corrupted prompt.")
    both = heads()
    both.answer(both.request("heads.atlas", run="difference"))
    both.exp.has_corrupted = False
    both.exp.ask(clean=" b")
    both.widget.wait(120)
    assert both.widget.result.run == "clean"


def test_patterns_come_in_windows(heads, canned):
    page = heads()
    done = page.answer(page.request("heads.pattern", **WINDOW | {"dest": [1, 3], "src": [0, 2]}))
    assert done.content["arrays"]["pattern"]["layout"] == "full"
    assert done.content["data"] == {
        "run": "clean",
        "heads": [[0, 1]],
        "dest": [1, 3],
        "src": [0, 2],
        "pooled": False,
        "weighting": "attention",
        "top": 1.0,
    }
    expected = canned.pattern(0, 1, "clean")[1:3, 0:2]
    np.testing.assert_allclose(canned.decoded(done, "pattern")[0], expected, atol=0.5 / 254 + 1e-6)


def test_pooled_patterns_say_so_and_are_never_a_triangle(heads):
    page = heads()
    data = page.answer(page.request("heads.pattern", **WINDOW | {"side": 2})).content
    assert data["data"]["pooled"] is True
    assert data["arrays"]["pattern"]["layout"] == "full"
    assert data["arrays"]["pattern"]["shape"] == [1, 2, 2]


def test_a_layer_without_attention_says_why(heads):
    page = heads(without=(1,))
    for op, params in (
        ("heads.pattern", WINDOW | {"heads": [[0, 0], [1, 0]]}),
        ("heads.value", {"run": "clean", "layer": 1, "head": 0, "dest": 1, "src": 0}),
    ):
        reply = page.answer(page.request(op, **params)).content
        assert (reply["error"], reply["hint"]) == ("SiteUnavailable", "Look at layer 0.")
    assert page.widget.atlas["missing"] == {"1": "it is recurrent"}
    assert page.widget.atlas["provenance"]["patterns"] == 2


def test_the_question_is_set_through_the_experiment(heads):
    page = heads()
    done = page.answer(page.request("question.set", base_rev=1, which="corrupted", text=" b a a", answer=None))
    assert (done.content["data"], done.content["rev"]) == ({"rev": 2}, 2)
    assert page.exp.asked == [{"corrupted": " b a a", "answer": None}]
    page.widget.wait(120)
    assert page.widget.question["answer"]["guessed"] is True
    assert page.widget.result.rev == 2


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"which": "clean"},
        {"text": " b"},
        {"which": "edited", "text": " b"},
        {"which": "clean", "text": None},
        {"which": "clean", "text": 3},
        {"answer": 5},
        {"answer": " a" * 1000},
        {"metric": "loss"},
        {"metric": None},
        {"base": "edited"},
        {"model": "other"},
        {"metric": "prob", "edits": []},
    ],
)
def test_a_question_that_cannot_be_meant_changes_nothing(heads, params):
    page = heads()
    reply = page.answer(page.request("question.set", base_rev=1, **params)).content
    assert (reply["kind"], reply["error"]) == ("failed", "BadInput")
    assert (page.exp.asked, page.widget.revs["question"]) == ([], 1)


def test_a_change_made_for_an_older_question_is_stale(heads):
    page = heads()
    page.exp.ask(clean=" b")
    reply = page.answer(page.request("question.set", base_rev=1, metric="prob")).content
    assert (reply["error"], reply["retryable"]) == ("Stale", True)
    assert len(page.exp.asked) == 1


def test_a_change_that_grows_stale_while_it_waits_is_refused_too(heads, analysis):
    page = heads()
    analysis.hold()
    page.request("heads.value", run="clean", layer=0, head=0, dest=1, src=0)  # keeps the worker busy
    request_id = page.request("question.set", base_rev=1, metric="prob")
    page.exp.ask(clean=" b")
    analysis.let(50)
    assert page.answer(request_id).content["error"] == "Stale"
    assert page.exp.asked == [{"clean": " b"}]


def test_an_old_atlas_never_replaces_a_newer_one(heads):
    page = heads()
    old = page.widget._atlas_task("corrupted")
    page.exp.ask(clean=" b")
    page.widget.wait(120)
    late = page.exp.scheduler.run(old.work)
    assert late.rev == 1
    assert old.done(late).data == {"run": "corrupted"}
    assert (page.widget.result.rev, page.widget.atlas["rev"], page.widget.atlas["run"]) == (2, 2, "clean")


@pytest.mark.parametrize(
    ("layers", "n_heads", "length", "side"), [(2, 2, 4, 4), (2, 2, 100, 48), (12, 12, 256, 48), (32, 32, 64, 24)]
)
def test_thumbnails_are_as_large_as_the_saved_state_allows(heads, layers, n_heads, length, side):
    page = heads(layers=layers, heads=n_heads, length=length)
    assert page.widget.atlas["side"] == side
    assert side == min(48, length, math.isqrt(600_000 // (layers * n_heads)))
    saved = page.widget._get_embed_state()
    assert len(json.dumps(saved)) < 1_000_000


def test_the_parts_of_a_large_atlas_stay_small(analysis, experiment, page_of):
    analysis.hold()
    page = page_of(AttentionHeads(experiment(layers=12, heads=12, length=256)))
    page.unlimited()
    analysis.let(99)
    page.widget.wait(120)
    parts = [m for m in page.messages("partial", "k-1") if m.content["arrays"]]
    # Of each pattern the lower triangle.
    assert sum(len(m.buffers[0]) for m in parts) == 12 * 12 * 48 * 49 // 2
    assert max(len(m.buffers[0]) for m in parts) <= 64_000


def test_an_atlas_that_comes_quickly_is_sent_once(analysis, experiment, page_of):
    analysis.hold()
    page = page_of(AttentionHeads(experiment(layers=3)))
    page.widget._channel._quick = 1e9
    analysis.let(9)
    page.widget.wait(120)
    assert [m for m in page.messages("partial") if m.content["arrays"]] == []
    assert len([atlas for atlas in page.states("atlas") if atlas]) == 1
