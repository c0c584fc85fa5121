"""What people do first with the shipped models: ask a question, find the heads, change the answer."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi

FIRST = "fox lamp river coat bell song"


@pytest.fixture(scope="module")
def induction():
    clean, corrupted = (f"{words} fox lamp river coat" for words in (FIRST, FIRST.replace("bell", "drum")))
    return mi.Experiment(mi.load("tiny-induction"), clean, corrupted, answer="bell", distractor="drum")


@pytest.fixture(scope="module")
def addition():
    return mi.Experiment(mi.load("tiny-addition"), "12 + 45 =", "12 + 50 =", answer="57", distractor="62")


def test_scores_tell_the_heads_of_tiny_induction(induction):
    scores = induction.head_scores()
    previous = scores.loc[scores["layer"] == 0, "previous"]
    repeats = scores.loc[scores["layer"] == 1, "induction"]
    assert (scores["induction_n"] == 4).all()
    assert previous.max() > 0.8
    assert (previous > 0.5).sum() == 1
    assert (repeats > 0.7).all()
    assert (scores.loc[scores["layer"] == 0, "induction"] < 0.1).all()
    assert (scores.loc[scores["layer"] == 1, "logit_effect"] > 0.5).all()


def test_the_answer_of_tiny_induction_follows_what_was_said(induction):
    assert induction.baselines.loc["clean", "correct"].all()
    said = induction.at("bell")
    patched = induction.run([mi.Patch("resid_pre", layer=0, position=said)])
    assert patched.recovered == pytest.approx(1, abs=1e-3)
    before = induction.run([mi.Patch("resid_pre", layer=0, position=said - 1)])
    assert before.recovered == pytest.approx(0, abs=1e-3)


def test_an_early_step_cannot_do_it_yet():
    model = mi.load("tiny-induction", step=400)
    scores = mi.Experiment(model, f"{FIRST} fox lamp river coat").head_scores()
    assert scores["induction"].max() < 0.3
    assert scores["previous"].max() < 0.4


def test_a_patch_changes_the_answer_of_tiny_addition(addition):
    model, unedited = addition.model, addition.run(())
    assert model.tokenizer.decode([unedited.logits[0].argmax()]) == "62"
    patched = addition.run([mi.Patch("attn_out", layer=0, position=-1)])
    assert model.tokenizer.decode([patched.logits[0].argmax()]) == "57"
    assert patched.recovered == pytest.approx(1, abs=1e-3)
    plus = addition.run([mi.Patch("resid_pre", layer=0, position=addition.at("+"))])
    torch.testing.assert_close(plus.logits, unedited.logits)


def test_numbers_may_touch_and_unknown_ones_are_said():
    model = mi.load("tiny-addition")
    assert model.tokens("12+45=").ids == model.tokens("12 + 45 =").ids
    assert "‹unk›" in model.tokens("12 + 97 =").strings
    assert any("Unknown" in warning and "position 3" in warning for warning in model.tokens("12 + 97 =").warnings)


def test_an_answer_may_be_written_with_or_without_its_space():
    model = mi.load("tiny-addition")
    bare, spaced = (mi.Experiment(model, "60 + 45 =", answer=answer).run(()).metric for answer in ("8", " 8"))
    assert bare == pytest.approx(spaced)
    assert bare > 5
