"""The same question to another model."""

from __future__ import annotations

import pytest
import torch
import transformers

import mi_widgets as mi
from tests.python.families import CLEAN, CORRUPTED, wrapped

PAIR = (
    "When Mary and John went to the store, John gave a drink to",
    "When Mary and John went to the store, Mary gave a drink to",
)


@pytest.fixture(scope="module")
def names() -> mi.Model:
    return mi.load()


@pytest.fixture(scope="module")
def other(names: mi.Model) -> mi.Model:
    """A random model with the same tokenizer."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(names.tokenizer), n_positions=64, n_embd=16, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0
    )
    return mi.wrap(transformers.GPT2LMHeadModel(config).eval(), names.tokenizer)


def character_model() -> mi.Model:
    """A model whose tokens are characters."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    letters = sorted(set("".join(PAIR)) | {"?"})
    backend = Tokenizer(models.WordLevel({c: i for i, c in enumerate(letters)}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(letters), n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return mi.wrap(transformers.GPT2LMHeadModel(config).eval(), tokenizer)


def test_a_model_with_the_same_tokens_is_asked_the_same_with_the_same_edits(names, other):
    exp = mi.Experiment(names, *PAIR, answer=" Mary", distractor=" John", base="clean", positions={"s2": 10})
    exp.edits.add(mi.Zero("z", 1, head=2, position="s2"))
    exp.edits.add(mi.Zero("z", 3, head=1))
    exp.edits.toggle(1)
    there = exp.with_model(other)
    plain = mi.Experiment(other, *PAIR, answer=" Mary", distractor=" John", base="clean", positions={"s2": 10})
    assert there.baselines.equals(plain.baselines)
    assert there.run().metric == pytest.approx(plain.run(mi.Zero("z", 1, head=2, position=10)).metric, abs=1e-6)
    assert there.prompt("clean").prompts[0].ids == exp.prompt("clean").prompts[0].ids
    assert [entry.on for entry in there.edits.entries] == [True, False]
    assert exp.model is names
    there.edits.clear()
    assert len(exp.edits) == 2, "they share no list"


def test_edits_that_cannot_run_there_are_switched_off_and_say_why(names):
    exp = mi.Experiment(names, PAIR[0], answer=" Mary")
    exp.edits.add(mi.Zero("z", names.n_layers - 1, head=1))
    config = transformers.GPT2Config(
        vocab_size=len(names.tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    small = mi.wrap(transformers.GPT2LMHeadModel(config).eval(), names.tokenizer)
    (entry,) = exp.with_model(small).edits.entries
    assert not entry.on
    assert "layer" in entry.note


def test_guesses_stay_guesses_and_functions_stay(names, other):
    def own(logits, rows):
        return logits.amax(-1)

    exp = mi.Experiment(names, *PAIR)
    assert exp.answer.guessed
    there = exp.with_model(other)
    assert there.answer == exp.answer
    measured = mi.Experiment(names, PAIR[0], metric=own).with_model(other)
    assert measured.metric == "own"


def test_other_tokens_are_tokenised_anew(names):
    exp = mi.Experiment(names, *PAIR, answer=" Mary", metric="kl")
    exp.edits.add(mi.Zero("z", 1, head=1))
    letters = character_model()
    with pytest.raises(mi.AnswerNotSingleToken, match="Mary"):
        exp.with_model(letters)
    exp = mi.Experiment(names, *PAIR, answer=mi.Sequence(" Mary"), metric="logprob")
    exp.edits.add(mi.Zero("z", 1, head=1))
    there = exp.with_model(letters)
    assert there.prompt("clean").prompts[0].text == PAIR[0]
    assert there.prompt("clean").lengths == (len(PAIR[0]),)
    assert len(there.edits) == 0, "they would stand at other tokens"
    named = mi.Experiment(names, *PAIR, answer=mi.Sequence(" Mary"), metric="logprob", positions={"s2": 10})
    with pytest.raises(mi.BadInput, match="'s2' would stand elsewhere"):
        named.with_model(letters)


def test_families_of_one_tokenizer(names):
    exp = mi.Experiment(wrapped("gpt2"), [CLEAN, CLEAN], [CORRUPTED, CORRUPTED], answer=" Mary", distractor=" John")
    there = exp.with_model(wrapped("llama"))
    assert there.prompt("clean").prompts[1].text == exp.prompt("clean").prompts[1].text
    assert len(there.run(mi.Patch("resid_pre", 1)).per_prompt["metric"]) == 2


def test_what_is_no_model_is_refused(names):
    with pytest.raises(mi.BadInput, match=r"mi\.wrap"):
        mi.Experiment(names, PAIR[0], answer=" Mary").with_model("gpt2")
