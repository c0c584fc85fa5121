"""How two prompts pair."""

from __future__ import annotations

import pytest

import mi_widgets as mi
from mi_widgets.model.alignment import source_positions
from mi_widgets.model.tokenizer import Tokenizer
from tests.python.families import word_tokenizer, wrapped


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


def test_how_two_prompts_pair(model):
    long, short = model.tokens("When Mary went to the store"), model.tokens("Mary went home")
    assert source_positions(long, long, None) == {i: i for i in range(7)}
    suffix = source_positions(long, short, "suffix")
    assert suffix == {0: 0, 4: 1, 5: 2, 6: 3}
    assert source_positions(short, long, "suffix") == {0: 0, 1: 4, 2: 5, 3: 6}
    assert source_positions(long, short, {2: 1}) == {2: 1}
    with pytest.raises(mi.PromptMismatch) as caught:
        source_positions(long, short, None)
    for word in ("7 tokens", "4 tokens", "␣store", "␣home", "suffix"):
        assert word in str(caught.value)
    for bad in ({7: 0}, {0: 4}, {-1: 0}, "prefix"):
        with pytest.raises(mi.BadInput):
            source_positions(long, short, bad)


def test_suffix_without_beginning_tokens_pairs_ends_only():
    tokenizer = Tokenizer(word_tokenizer(bos=False))
    long, short = tokenizer.encode("When Mary went to"), tokenizer.encode("Mary went")
    assert source_positions(long, short, "suffix") == {2: 0, 3: 1}
