"""Text to tokens and back; what odd text is shown as, and what is no prompt."""

from __future__ import annotations

import copy

import pytest
import torch

import mi_widgets as mi
from mi_widgets.model.oddities import visible
from mi_widgets.model.tokenizer import Tokenizer
from tests.python.families import byte_tokenizer, ids_of, word_tokenizer, wrapped


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


@pytest.fixture(scope="module")
def octets():
    return Tokenizer(byte_tokenizer())


@pytest.mark.parametrize("bos_by_default", [True, False])
def test_beginning_tokens(bos_by_default):
    tokenizer = Tokenizer(word_tokenizer(bos=bos_by_default))
    plain = [tokenizer.hf.convert_tokens_to_ids(t) for t in ("Mary", " went")]
    assert list(tokenizer.encode("Mary went").ids) == ([1] if bos_by_default else []) + plain
    assert list(tokenizer.encode("Mary went", bos=True).ids) == [1, *plain]
    assert list(tokenizer.encode("Mary went", bos=False).ids) == plain
    assert list(tokenizer.encode([1, 1, *plain], bos=True).ids) == [1, *plain]
    doubled = tokenizer.encode([1, 1, *plain])
    assert list(doubled.ids) == [1, 1, *plain]
    assert any("two beginning tokens" in w for w in doubled.warnings)


def test_no_beginning_token_to_force():
    bare = word_tokenizer(bos=False)
    bare.bos_token = None
    with pytest.raises(mi.BadInput, match="no beginning-of-sequence"):
        Tokenizer(bare).encode("Mary", bos=True)
    assert len(Tokenizer(bare).encode("Mary", bos=False)) == 1


def test_bytes_that_are_no_text_are_hex(octets):
    tokens = octets.encode("né\n\t€")
    assert tokens.strings == ("n", "<0xC3>", "<0xA9>", "⏎", "⇥", "<0xE2>", "<0x82>", "<0xAC>")
    assert octets.encode("a b").strings == ("a", "␣", "b")
    assert octets.encode("a\rb").strings == ("a", "␍", "b")


@pytest.mark.parametrize(
    ("text", "shown"),
    [(" Mary", "␣Mary"), ("a\u202eb", "a<U+202E>b"), ("\u200b", "<U+200B>"), ("\x00", "<U+0000>"), ("<b>", "<b>"),
     ("</script>", "</script>"), ("", "‹empty›")],
)  # fmt: skip
def test_what_cannot_be_seen_is_made_visible(text, shown):
    assert visible(text) == shown


def test_warnings_say_what_is_odd(model):
    unknown = model.tokens("Mary saw Zorro")
    assert any("Unknown" in w and "position 3" in w for w in unknown.warnings)
    trailing = model.tokens("Mary went to ")
    assert any("ends with whitespace" in w for w in trailing.warnings)
    # and they reach the reader of a number
    exp = mi.Experiment(model, "Mary saw Zorro", answer=" Mary")
    assert any("Unknown" in note for note in exp.run(()).provenance.notes)
    assert any("Unknown" in w for w in exp.question()["warnings"])


@pytest.mark.parametrize("prompt", ["", "  ", "\n", []])
def test_an_empty_prompt(model, prompt):
    with pytest.raises(mi.BadInput, match="empty"):
        model.tokens(prompt)


def test_a_prompt_longer_than_a_table_of_positions():
    model = wrapped("gpt2")
    assert len(model.tokens("Mary" + " Mary" * 62)) == 64
    with pytest.raises(mi.BadInput, match=r"65 tokens.*64 positions.*Shorten"):
        model.tokens("Mary" + " Mary" * 63)


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_computed_positions_have_no_end_but_a_stated_one(family):
    """Rotary positions run on past what the config speaks of; a sliding window limits nothing."""
    model = wrapped(family)
    assert model.tokens("Mary" + " Mary" * 62).warnings == ()
    long = "Mary" + " Mary" * 63
    (warning,) = model.tokens(long).warnings
    assert "65 tokens" in warning
    assert "speaks of 64" in warning
    plain = model.hf(torch.tensor([ids_of(model, long)]), use_cache=False).logits[0, -1]
    found = mi.Experiment(model, long, answer=" Mary").run(()).logits[0]
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ids", [[1, 51], [-1], [10**9]])
def test_ids_outside_the_vocabulary(model, ids):
    with pytest.raises(mi.BadInput, match="outside the vocabulary of 51"):
        model.tokens(ids)


def test_tokens_that_were_added_and_are_not_embedded_are_neither_padding_nor_prompt(model):
    """A padding token added without resizing the embedding, as many do, has no row to be read."""
    tokenizer = copy.deepcopy(model.tokenizer)
    added = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "[PADDING]"})
    assert tokenizer.pad_token_id == added == model.hf.get_input_embeddings().weight.shape[0]
    wider = mi.wrap(copy.deepcopy(model.hf), tokenizer)
    short, long = "When Mary went", "When Mary went to the store"
    both = mi.Experiment(wider, [short, long], answer=" Mary").run(()).per_prompt["metric"]
    alone = [mi.Experiment(model, prompt, answer=" Mary").run(()).metric for prompt in (short, long)]
    assert both.tolist() == pytest.approx(alone, abs=1e-5)
    with pytest.raises(mi.BadInput, match=f"outside the vocabulary of {added}"):
        wider.tokens([1, added])
