"""How two prompts pair."""

from __future__ import annotations

import pytest

import mi_widgets as mi
from mi_widgets.model.alignment import source_positions, turned_round
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


def test_what_two_prompts_have_in_common_pairs_whichever_is_the_base(model):
    long = model.tokens("When Mary and John went to the store , John gave a drink to")
    short = model.tokens("When Mary and John went , Mary gave a drink to")
    pairs = source_positions(long, short, "common")
    words = [(long.strings[b], short.strings[s]) for b, s in pairs.items()]
    assert ("␣John", "␣Mary") in words  # exchanged, in the same place between what both have
    assert [a for a, b in words if a != b] == ["␣John"]
    lacking = [long.strings[p] for p in long.positions if p not in pairs]
    assert lacking == ["␣to", "␣the", "␣store"]
    assert list(pairs) == sorted(pairs)
    assert source_positions(short, long, "common") == turned_round(pairs)
    assert source_positions(long, long, "common") == {i: i for i in long.positions}


def test_pairs_seen_from_the_other_prompt():
    assert turned_round({0: 0, 3: 5}) == {0: 0, 5: 3}
    assert (turned_round(None), turned_round("common")) == (None, "common")
