"""A prompt in tokens, and where in it a token is."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from tests.python.families import CLEAN, wrapped


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


def test_a_prompt_in_tokens(model):
    tokens = model.tokens("When Mary went to")
    assert tokens.strings == ("‹s›", "When", "␣Mary", "␣went", "␣to")
    assert tokens.pieces[1:] == ("When", " Mary", " went", " to")
    assert list(tokens.ids) == model.tokenizer("When Mary went to")["input_ids"]
    assert list(tokens.positions) == [0, 1, 2, 3, 4]
    assert tokens.special == (0,)
    assert tokens.warnings == ()
    assert model.tokens(list(tokens.ids)).text == "When Mary went to"
    assert model.tokens(torch.tensor(tokens.ids)).ids == tokens.ids


def test_finding_a_token(model):
    tokens = model.tokens(CLEAN)
    at = [i for i, piece in enumerate(tokens.pieces) if piece == " John"]
    assert at == [4, 10]
    assert (tokens.find(" John"), tokens.find(" John", 0), tokens.find(" John", -2)) == (10, 4, 4)
    assert tokens.find("John") == 10  # the space may be left out when nothing reads so without it
    for text, occurrence, words in (
        (" Paul", -1, "␣Mary"),
        (" John", 2, "2 times"),
        (" John", -3, "2 times"),
        ("", 0, "No token"),
    ):
        with pytest.raises(mi.BadInput, match=words):
            tokens.find(text, occurrence)


def test_at_names_the_prompt(model):
    exp = mi.Experiment(model, CLEAN, CLEAN.replace(", John", ", Mary"), " Mary", " John")
    assert exp.at(" John") == 10
    assert exp.at(" Mary", run="corrupted") == 10
    assert exp.at(" John", 0) == 4
    with pytest.raises(mi.BadInput, match="no prompt 1"):
        exp.at(" John", prompt=1)
