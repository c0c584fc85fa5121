"""The language of tiny-names: what is held out, what is right, and that the tokenizer knows every word."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from mi_widgets.zoo import names_batches, names_text, names_words, tiny_names


def drawn(count: int, seed: int = 0) -> list[names_text.Sentence]:
    rng = random.Random(seed)
    return [names_text.draw(rng) for _ in range(count)]


def named(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text) if word in names_words.NAMES}


def test_fifteen_percent_of_the_pairs_of_names_never_meet_in_a_training_sentence():
    assert len(names_words.NAMES) == len(set(names_words.NAMES)) == 60
    everything = {frozenset(pair) for pair in itertools.combinations(names_words.NAMES, 2)}
    assert everything == names_text.HELD_OUT_PAIRS | names_text.TRAIN_PAIRS
    assert len(names_text.HELD_OUT_PAIRS) == round(0.15 * len(everything))
    assert frozenset(("Mary", "John")) in names_text.HELD_OUT_PAIRS
    met = set()
    for sentence in drawn(5000):
        met |= {frozenset(pair) for pair in itertools.combinations(named(sentence.text), 2)}
    assert len(met) > 1000
    assert not met & names_text.HELD_OUT_PAIRS


def test_held_out_sentences_are_about_held_out_pairs():
    rng = random.Random(1)
    for _ in range(200):
        sentence = names_text.indirect_object(rng, True)
        assert frozenset(named(sentence.text)) in names_text.HELD_OUT_PAIRS


def test_the_receiver_is_the_name_that_does_not_give():
    rng = random.Random(2)
    for _ in range(200):
        sentence = names_text.indirect_object(rng)
        ((prompt, answer),) = sentence.questions
        words = [word for word in re.findall(r"\w+", prompt) if word in names_words.NAMES]
        (once,) = (name for name in words if words.count(name) == 1)
        assert answer == f" {once}"
        assert sentence.foil == f" {words[-1]}"


def test_every_later_year_and_no_earlier_one():
    rng = random.Random(3)
    for _ in range(200):
        ((prompt, answer),) = names_text.years(rng).questions
        start = re.search(r"year \d\d(\d\d) ", prompt)
        assert start is not None
        assert int(answer) > int(start[1])


def test_the_same_seed_draws_the_same_sentences():
    assert drawn(50, seed=5) == drawn(50, seed=5)
    assert drawn(50, seed=5) != drawn(50, seed=6)


def test_the_tokenizer_knows_every_word_and_every_answer_is_one_token():
    tokenizer = tiny_names.tokenizer()
    for sentence in drawn(3000):
        assert tokenizer.unk_token_id not in tokenizer(sentence.text).input_ids, sentence.text
        for prompt, answer in sentence.questions:
            ids = tokenizer(prompt + answer).input_ids
            assert ids[:-1] == tokenizer(prompt).input_ids
            assert tokenizer.decode([ids[-1]]) == answer


def test_the_weight_of_a_token_says_whether_it_is_an_answer():
    layout = names_batches.Layout(answer_weight=1.0, other_weight=0.25)
    tokenizer = tiny_names.tokenizer()
    sentence = names_text.Sentence("successor", (("After three comes", False), (" four", True), (".", False)))
    for follows in (False, True):
        ids, weights = names_batches.weigh(tokenizer, sentence, layout, follows)
        assert tokenizer.decode(ids) == (" " if follows else "") + "After three comes four."
        assert weights == [0.25, 0.25, 0.25, 1.0, 0.25]


@pytest.mark.parametrize("step", [1, 4])
def test_batches_have_the_layouts_shape_and_weigh_no_padding(step):
    layout = names_batches.Layout(rows=16, width=24, long_every=4, long_width=96)
    tokenizer = tiny_names.tokenizer()
    batch = list(itertools.islice(names_batches.batches(tokenizer, 0, layout), 4))[step - 1]
    assert tuple(batch.ids.shape) == tuple(batch.weights.shape) == ((16, 24) if step == 1 else (4, 96))
    assert batch.ids[:, 0].tolist() == [tokenizer.bos_token_id] * len(batch.ids)
    padding = batch.ids == tokenizer.pad_token_id
    assert batch.weights[padding].sum() == 0
    assert padding.any() == (step == 1)
    if step == 4:
        text = tokenizer.decode(batch.ids.flatten())
        assert " gave " not in text
        assert "capital" in text
