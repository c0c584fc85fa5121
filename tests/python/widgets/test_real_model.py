"""AttentionHeads on a really trained model: the picture is what an independent run of the user's model gives."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch

import mi_widgets as mi
from mi_widgets.widgets import arrays
from tests.python.freed import freed

CLEAN = "When Mary and John went to the store, John gave a drink to"
CORRUPTED = "When Mary and John went to the store, Mary gave a drink to"


def eager_patterns(model, text):
    """[layer, head, dest, src] by the user's own model, eager, with nothing of ours in between."""
    inputs = model.tokenizer(text, return_tensors="pt")
    before = model.hf.config._attn_implementation
    model.hf.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            found = model.hf(**inputs, output_attentions=True).attentions
    finally:
        model.hf.set_attn_implementation(before)
    return torch.cat(found).numpy()


@pytest.fixture
def page(page_of):
    model = mi.load()
    page = page_of(mi.AttentionHeads(model, CLEAN, CORRUPTED, answer=" Mary", distractor=" John"))
    page.widget.wait(120)
    page.model = model
    return page


@pytest.mark.parametrize("run", ["clean", "corrupted", "difference"])
def test_thumbnails_and_patterns_are_those_of_the_model(page, run, canned):
    clean, corrupted = eager_patterns(page.model, CLEAN), eager_patterns(page.model, CORRUPTED)
    expected = {"clean": clean, "corrupted": corrupted, "difference": clean - corrupted}[run]
    step = (2 if run == "difference" else 1) / 254
    assert page.answer(page.request("heads.atlas", run=run)).content["kind"] == "done"
    thumbs = page.widget.atlas["arrays"]["thumbs"]
    np.testing.assert_allclose(arrays.decode(thumbs, thumbs["data"]), expected, atol=step / 2 + 1e-5)
    length = expected.shape[-1]
    window = {"dest": [0, length], "src": [0, length], "side": 1024}
    done = page.answer(page.request("heads.pattern", run=run, heads=[[1, 0], [3, 2]], **window))
    np.testing.assert_allclose(canned.decoded(done, "pattern"), expected[[1, 3], [0, 2]], atol=step / 2 + 1e-5)
    value = page.answer(page.request("heads.value", run=run, layer=1, head=0, dest=length - 1, src=10))
    assert value.content["data"]["value"] == pytest.approx(float(expected[1, 0, -1, 10]), abs=1e-5)


def test_an_edited_prompt_gives_the_picture_of_the_new_prompt(page):
    text = "When Anna and Paul went to the park, Paul gave a book to"
    reply = page.answer(
        page.request("question.set", base_rev=page.widget.question["rev"], which="clean", text=text, answer=None)
    )
    page.widget.wait(120)
    assert reply.content["kind"] == "done"
    assert page.widget.question["prompts"]["clean"]["text"] == text
    expected = eager_patterns(page.model, text)
    np.testing.assert_allclose(page.widget.result.thumbs.numpy(), expected, atol=1e-5)


def test_a_wrong_answer_is_told_and_changes_nothing(page):
    before = page.widget.question
    reply = page.answer(page.request("question.set", base_rev=before["rev"], answer=" Xylophone Quartet")).content
    assert (reply["kind"], reply["error"]) == ("failed", "AnswerNotSingleToken")
    assert page.widget.question == before


def test_close_delete_collect_frees_the_users_model(recording):
    loaded = mi.load()
    hf, tokenizer = loaded.hf, loaded.tokenizer
    del loaded
    widget = mi.AttentionHeads(hf, tokenizer, CLEAN)
    widget.wait(120)
    widget._repr_mimebundle_()
    widget.selection = ["L1H1.pattern"]
    gone = weakref.ref(hf)
    widget.close()
    del hf, tokenizer, widget
    assert freed(gone)


def test_the_text_names_the_heads_that_stand_out(page):
    text = page.widget._repr_mimebundle_()[0]["text/plain"]
    assert CLEAN in text
    values = page.widget.result.scores["first"].values
    layer, head = divmod(int(values.argmax()), values.shape[1])
    assert f"L{layer}H{head} {values.max():.2f}" in text
