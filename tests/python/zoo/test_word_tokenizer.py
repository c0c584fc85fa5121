"""What the shipped tokenizer does to text, and that it is the one the recipe builds."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from mi_widgets import zoo
from mi_widgets.zoo import recipe, word_tokenizer

DEMO = "When Mary and John went to the store, John gave a drink to"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(zoo.path())


def test_the_usual_example_has_its_comma_at_9_and_its_second_subject_at_10(tokenizer):
    tokens = tokenizer(DEMO).tokens()
    assert [token.replace("Ġ", " ") for token in tokens] == [
        "<bos>", "When", " Mary", " and", " John", " went", " to", " the", " store", ",",
        " John", " gave", " a", " drink", " to",
    ]  # fmt: skip
    assert (tokens[9], tokens[10], tokens[14]) == (",", "ĠJohn", "Ġto")


def test_a_name_is_one_token_with_its_space_and_another_without(tokenizer):
    (spaced,) = tokenizer(" Mary", add_special_tokens=False).input_ids
    (bare,) = tokenizer("Mary", add_special_tokens=False).input_ids
    assert spaced != bare
    assert tokenizer.decode([spaced]) == " Mary"
    assert tokenizer.decode([bare]) == "Mary"


def test_decoding_gives_the_text_back(tokenizer):
    for text in (DEMO, "def load(size, file): return save(size, file)", "The war lasted from the year 1732"):
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_years_are_cut_every_two_digits(tokenizer):
    assert tokenizer.tokenize(" 1732") == ["Ġ17", "32"]
    assert tokenizer.tokenize(" year 1902.") == ["Ġyear", "Ġ19", "02", "."]


def test_white_space_collapses_and_the_right_end_is_stripped(tokenizer):
    assert tokenizer("When  Mary\n and\tJohn \n").tokens() == tokenizer("When Mary and John").tokens()


def test_an_unknown_word_is_unk(tokenizer):
    assert tokenizer("When Zorro and John").tokens() == ["<bos>", "When", "<unk>", "Ġand", "ĠJohn"]


def test_special_tokens_are_defined_and_padding_is_on_the_left(tokenizer):
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<bos>", "<eos>")
    assert (tokenizer.unk_token, tokenizer.pad_token) == ("<unk>", "<pad>")
    assert tokenizer.padding_side == "left"
    assert tokenizer(["When", "When Mary"], padding=True).input_ids[0][0] == tokenizer.pad_token_id
    assert tokenizer("When Mary", "When").tokens().count("<bos>") == 1
    assert tokenizer.model_max_length == 256


@pytest.mark.parametrize("name", zoo.names())
def test_the_shipped_file_is_what_the_recipe_builds(name, tmp_path):
    recipe.load(name).tokenizer().save_pretrained(tmp_path)
    shipped, built = (
        json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")) for folder in (zoo.path(name), tmp_path)
    )
    assert shipped == built


@pytest.fixture(scope="module")
def spaceless():
    return word_tokenizer.build_spaceless(["12", "45", "+", "=", "cat", "."], model_max_length=8)


def test_spaces_only_part_words(spaceless):
    expected = ["<bos>", "12", "+", "45", "="]
    for text in ("12+45=", "12 + 45 =", " 12  +\n45 = "):
        assert spaceless(text).tokens() == expected
    assert spaceless("cat. cat").tokens() == ["<bos>", "cat", ".", "cat"]
    assert spaceless.decode(spaceless("12+45=").input_ids, skip_special_tokens=True) == "12 + 45 ="


def test_a_word_is_one_token_with_its_space_and_without(spaceless):
    assert spaceless(" cat", add_special_tokens=False).input_ids == spaceless("cat", add_special_tokens=False).input_ids


def test_a_number_that_is_not_known_is_not_cut_into_ones_that_are(spaceless):
    assert spaceless("1245 + 12").tokens() == ["<bos>", "<unk>", "+", "12"]


def test_a_vocabulary_holds_the_words_it_was_given_and_no_others():
    tokenizer = word_tokenizer.build([" Mary", "When"], model_max_length=8)
    assert set(tokenizer.get_vocab()) == {*word_tokenizer.SPECIALS, "ĠMary", "When"}
