"""A widget of attention that is there already: no model, and every array looked at before it is drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import mi_widgets as mi
from mi_widgets.widgets import arrays

TOKENS = ["<s>", " a", " b", " a", " b"]


def causal(*shape, seed=0, n=5):
    raw = np.random.default_rng(seed).random((*shape, n, n)) * np.tril(np.ones((n, n)))
    return raw / raw.sum(-1, keepdims=True)


@pytest.fixture
def page(page_of):
    page = page_of(mi.AttentionHeads.from_arrays(TOKENS, causal(2, 3), {"mine": np.ones((2, 3))}, title="A cousin"))
    page.widget.wait(120)
    return page


def test_the_picture_is_that_of_the_arrays(page):
    atlas = page.widget.atlas
    thumbs = arrays.decode(atlas["arrays"]["thumbs"], atlas["arrays"]["thumbs"]["data"])
    np.testing.assert_allclose(thumbs, causal(2, 3), atol=1 / 508 + 1e-6)
    assert (atlas["n_layers"], atlas["n_heads"], atlas["n_kv_heads"], atlas["positions"]) == (2, 3, 3, 5)
    assert atlas["provenance"]["forward_ms"] is None
    question = page.widget.question
    assert (question["model"], question["arrays"], question["title"]) == (None, True, "A cousin")
    assert question["prompts"]["clean"]["labels"] == ["<s>", "␣a", "␣b", "␣a", "␣b"]
    assert question["prompts"]["clean"]["ids"] == [0, 1, 2, 1, 2]
    assert page.states("question")[0] == question


def test_scores_are_read_off_the_arrays_and_those_given_stand_beside_them(page):
    scores, a = page.widget.atlas["scores"], causal(2, 3)
    assert list(scores) == ["previous", "induction", "duplicate", "first", "entropy", "mine"]
    np.testing.assert_allclose(scores["first"]["values"], a[:, :, 1:, 0].mean(-1), rtol=1e-4)
    previous = np.stack([a[:, :, d, d - 1] for d in (2, 3, 4)]).mean(0)
    np.testing.assert_allclose(scores["previous"]["values"], previous, rtol=1e-4)
    np.testing.assert_allclose(scores["duplicate"]["values"], (a[:, :, 3, 1] + a[:, :, 4, 2]) / 2, rtol=1e-4)
    np.testing.assert_allclose(scores["induction"]["values"], (a[:, :, 3, 2] + a[:, :, 4, 3]) / 2, rtol=1e-4)
    assert scores["mine"]["bars"] == [[1.0] * 3] * 2


def test_windows_values_and_ranks_come_from_the_arrays(page, canned):
    a = causal(2, 3)
    whole = {"dest": [0, 5], "src": [0, 5], "side": 64}
    reply = page.answer(page.request("heads.pattern", run="clean", heads=[[1, 2]], **whole))
    assert reply.content["arrays"]["pattern"]["layout"] == "lower"
    np.testing.assert_allclose(canned.decoded(reply, "pattern")[0], a[1, 2], atol=1 / 508 + 1e-6)
    pooled = page.answer(page.request("heads.pattern", run="clean", heads=[[1, 2]], **whole | {"side": 1}))
    assert canned.decoded(pooled, "pattern")[0, 0, 0] == pytest.approx(a[1, 2].max(), abs=1 / 508 + 1e-6)
    value = page.answer(page.request("heads.value", run="clean", layer=0, head=1, dest=4, src=2)).content["data"]
    assert value["value"] == pytest.approx(a[0, 1, 4, 2], rel=1e-4)
    score = page.answer(page.request("heads.rank", run="clean", dest=4, src=2)).content["data"]["score"]
    np.testing.assert_allclose(score["values"], a[:, :, 4, 2], rtol=1e-4)


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("question.set", {"base_rev": 1, "which": "clean", "text": "x"}),
        ("heads.random", {}),
        ("heads.writes", {"run": "clean", "layer": 0, "head": 0, "position": 0, "k": 5}),
        ("heads.effect", {"run": "clean", "what": "zero", "heads": [[0, 0]]}),
        ("heads.keep", {"run": "clean", "what": "zero", "heads": [[0, 0]], "base_rev": 1}),
        ("edits.undo", {"base_rev": 1}),
        ("edits.toggle", {"base_rev": 1, "index": 0}),
        ("heads.atlas", {"run": "corrupted"}),
        ("heads.atlas", {"run": "other"}),
        ("heads.value", {"run": "clean", "layer": 0, "head": 1, "dest": 4, "src": 2, "weighting": "value"}),
    ],
)
def test_what_needs_a_model_says_that_there_is_none(page, op, params):
    reply = page.answer(page.request(op, **params)).content
    assert (reply["kind"], reply["error"]) == ("failed", "BadInput")
    assert "made from arrays" in reply["message"]
    assert "mi.AttentionHeads(model" in reply["hint"]


def test_selection_goes_both_ways_within_the_arrays(page):
    page.widget.selection = ["L1H2.pattern@3<1"]
    assert page.states("selection")[-1] == ["L1H2.pattern@3<1"]
    page.deliver({"method": "update", "state": {"selection": ["L0H1.pattern"]}, "buffer_paths": []})
    assert [str(site) for site in page.widget.selection] == ["L0H1.pattern"]
    for wrong in ("L2H0.pattern", "L0H3.pattern", "L0H0.pattern@5", "L0H0.z"):
        with pytest.raises(mi.MiWidgetsError):
            page.widget.selection = [wrong]


@pytest.mark.parametrize("made", [torch.tensor, np.asarray, lambda a: a.tolist(), lambda a: torch.tensor(a).half()])
def test_tensors_arrays_and_lists_are_taken(page_of, made):
    page = page_of(mi.AttentionHeads.from_arrays(TOKENS, made(causal(3))))
    np.testing.assert_allclose(page.widget.wait(120).result.thumbs[0].numpy(), causal(3), atol=1e-3)


def test_the_attentions_of_transformers_are_taken(page_of):
    layers = tuple(torch.tensor(causal(1, 3, seed=seed)) for seed in range(4))
    page = page_of(mi.AttentionHeads.from_arrays(TOKENS, layers))
    assert page.widget.wait(120).result.thumbs.shape == (4, 3, 5, 5)


A = causal(3)


def changed(value, at=(1, 3, 2)):
    copy = A.copy()
    copy[at] = value
    return copy


@pytest.mark.parametrize(
    ("tokens", "attention", "scores", "words"),
    [
        ("abcde", A, None, "tokens is a list of texts"),
        (3, A, None, "tokens is a list of texts"),
        ([*TOKENS[:4], 7], A, None, r"tokens\[4\] is int, not text"),
        ([], A[:, :0, :0], None, "tokens is empty"),
        (TOKENS[:4], A, None, "There are 4 tokens, and attention is 5 x 5"),
        (TOKENS, A[0], None, r"attention is \[5, 5\], not \[head, dest, src\]"),
        (TOKENS, A[:0], None, r"attention is \[1, 0, 5, 5\]"),
        (TOKENS, A[:, :, :4], None, "attention is 5 x 4"),
        (TOKENS, [[1.0], [1.0, 2.0]], None, "attention is no array of numbers"),
        (TOKENS, "attention", None, "attention is no array of numbers"),
        (TOKENS, A.astype(complex), None, "attention holds complex128"),
        (TOKENS, changed(np.nan), None, "not finite: nan at L0H1, dest 3, src 2"),
        (TOKENS, changed(np.inf), None, "not finite: inf at L0H1, dest 3, src 2"),
        (TOKENS, changed(3.5), None, "outside 0..1: 3.5 at L0H1, dest 3, src 2"),
        (TOKENS, changed(-0.5), None, "outside 0..1: -0.5 at L0H1"),
        (TOKENS, changed(0.5, (2, 1, 4)), None, "looks ahead: 0.5 at L0H2, dest 1, src 4"),
        (TOKENS, [torch.tensor(A), torch.tensor(A[:2])], None, "tensors of attention differ in shape"),
        (TOKENS, A, [1, 2, 3], "scores is {name"),
        (TOKENS, A, {"first": [0, 0, 0]}, "cannot be called 'first'"),
        (TOKENS, A, {"": [0, 0, 0]}, "cannot be called ''"),
        (TOKENS, A, {"mine": [0, 0]}, "there are 1 layers x 3 heads"),
    ],
)
def test_arrays_that_cannot_be_meant_are_refused_with_the_place(tokens, attention, scores, words):
    with pytest.raises(mi.BadInput, match=words):
        mi.AttentionHeads.from_arrays(tokens, attention, scores)


def test_hostile_tokens_are_data(page_of):
    hostile = ["</script><script>alert(1)</script>", "\u202e\u200b", "\ud800", "", "x" * 20_000]
    page = page_of(mi.AttentionHeads.from_arrays(hostile, A, title="<b>\n"))
    page.widget.wait(120)
    clean = page.widget.question["prompts"]["clean"]
    assert clean["labels"][0] == hostile[0]
    assert "<U+202E>" in clean["labels"][1]
    json.dumps(page.widget.question).encode()
    assert page.widget._repr_mimebundle_()[0]["image/png"]


def test_one_token_is_a_prompt(page_of):
    page = page_of(mi.AttentionHeads.from_arrays(["a"], [[[1.0]]]))
    assert page.widget.wait(120).result.thumbs.tolist() == [[[[1.0]]]]
    assert page.widget.atlas["scores"]["first"]["reason"]


def test_the_output_of_a_widget_without_a_model(page):
    data = page.widget._repr_mimebundle_()[0]
    assert data["text/plain"].splitlines()[:2] == ["A cousin", "prompt: <s> a b a b"]
    assert data["image/png"]
