"""Prompts and answers that would give a wrong number without an error: refused, or said in plain sentences."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Core
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from transformers import GPT2Config, OPTConfig, PreTrainedTokenizerFast

import mi_widgets as mi
from mi_widgets.model.limits import Limits, limits_of
from mi_widgets.model.tokenizer import Tokenizer
from tests.python.by_hand import forward
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CLEAN,
    WORDS,
    build,
    byte_tokenizer,
    experiment,
    ids_of,
    word_tokenizer,
    wrapped,
)

SCHEMES = ("always", "first", "never", "prepend")


def piece_tokenizer(scheme: str) -> PreTrainedTokenizerFast:
    """A unigram vocabulary as SentencePiece makes it, with a BOS in front.

    Args:
        scheme: where a space is put in front: "always", "first" or "never" by a pre-tokenizer, which leaves alone what
            has one; "prepend" by a normalizer, which does not.
    """
    pieces = ["▁", *(f"▁{word}" for word in WORDS), "Mary", "When", *"MaryJohnkst"]
    vocabulary = [
        ("<unk>", 0.0),
        ("<s>", 0.0),
        ("</s>", 0.0),
        *((p, -3.0 - (len(p) == 1)) for p in dict.fromkeys(pieces)),
    ]
    core = Core(models.Unigram(list(dict(vocabulary).items()), unk_id=0))
    if scheme == "prepend":
        core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


@pytest.fixture(scope="module")
def pieced():
    """Models of the four schemes."""
    made = {}

    def model_of(scheme):
        if scheme not in made:
            tokenizer = piece_tokenizer(scheme)
            made[scheme] = mi.wrap(build("llama", vocabulary=len(tokenizer)), tokenizer)
        return made[scheme]

    return model_of


@pytest.fixture(scope="module")
def octets():
    """A model of single bytes, as GPT-2's tokenizer without merges."""
    tokenizer = byte_tokenizer()
    return mi.wrap(build("gpt2", vocabulary=len(tokenizer)), tokenizer)


def said(call, kind=mi.MiWidgetsError):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def warned(call):
    """What is warned of, as a user's cell shows it."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in seen if one.category is UserWarning]


# Answers


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_answer_with_its_space_is_the_word_in_every_kind_of_vocabulary(pieced, scheme):
    model = pieced(scheme)
    word = model.tokenizer.convert_tokens_to_ids("▁Mary")
    exp = mi.Experiment(model, "Anna saw", answer=" Mary")
    assert exp.answer.ids == ((word,),)
    logits = forward(model.hf, model.tokenizer("Anna saw")["input_ids"])[-1]
    assert exp.run(()).metric == pytest.approx(float(logits[word] - logits.mean()), abs=1e-4)
    # without it: the tokenizer's own reading, which puts the space itself or does not
    bare = mi.Experiment(model, "Anna saw", answer="Mary").answer.ids
    assert bare == ((model.tokenizer.convert_tokens_to_ids("Mary" if scheme == "never" else "▁Mary"),),)
    # two spaces are one more than the word has
    message = said(lambda: mi.Experiment(model, "Anna saw", answer="  Mary"), mi.AnswerNotSingleToken)
    assert "['␣', '␣Mary']" in message
    assert "' Mary'" in message.split("Did you mean")[1]


def test_what_is_near_an_answer_that_is_none(model, octets):
    split = said(lambda: experiment(model, answer=" Mary John"), mi.AnswerNotSingleToken)
    assert "2 tokens: ['␣Mary', '␣John']" in split
    assert "measure its first token, ' Mary'" in split
    for wrong in ("mary", " mary", "MARY "):
        assert "Did you mean ' Mary' or 'Mary'?" in said(lambda w=wrong: experiment(model, answer=w))
    assert "Did you mean" not in said(lambda: experiment(model, answer=" Zorro"))
    split = said(lambda: mi.Experiment(octets, "né", answer=" né"), mi.AnswerNotSingleToken)
    assert "4 tokens: ['␣', 'n', '<0xC3>', '<0xA9>']" in split
    assert "70 more" in said(lambda: mi.Experiment(octets, "n", answer="n" * 90))


@pytest.mark.parametrize("bad", ["", "\ud800", 51, -1, 10**9, True, 1.5, (), [()], {"a": 1}, b"a"])
def test_what_is_no_answer(model, bad):
    for name in ("answer", "distractor"):
        message = said(lambda n=name: experiment(model, **{n: bad}), (mi.BadInput, mi.AnswerNotSingleToken))
        assert len(message.split()) > 6


def test_answers_by_id_of_any_library(model):
    mary, john = (model.tokenizer.convert_tokens_to_ids(t) for t in (" Mary", " John"))
    for one in (np.int64(mary), torch.tensor(mary)):
        assert experiment(model, answer=one).answer.ids == ((mary,),)
    for several in (torch.tensor([mary, john]), np.array([mary, john]), [mary, john]):
        exp = mi.Experiment(model, [CLEAN, SHORT_CLEAN], answer=several)
        assert exp.answer.ids == ((mary,), (john,))


def test_a_token_that_was_added_and_has_no_logit(model):
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.add_tokens([" Zorro"])
    wider = mi.wrap(copy.deepcopy(model.hf), tokenizer)
    assert "no logit" in said(lambda: mi.Experiment(wider, CLEAN, answer=" Zorro"), mi.BadInput)


def test_a_row_of_the_model_that_no_token_has():
    tokenizer = word_tokenizer()
    model = mi.wrap(build("llama", vocabulary=len(tokenizer) + 5), tokenizer)
    (sentence,) = warned(lambda: mi.Experiment(model, CLEAN, answer=len(tokenizer) + 1))
    assert "has no text" in sentence


def test_special_tokens_as_answers(model):
    (sentence,) = warned(lambda: mi.Experiment(model, CLEAN, answer="<s>"))
    assert sentence == "The answer ‹s› is a special token."


@pytest.mark.parametrize(
    ("prompt", "answer", "misses"),
    [
        (CLEAN, "Mary", True),
        (CLEAN, " Mary", False),
        # behind a mark a word may well begin without a space
        ("Anna saw Paul .", "Mary", False),
        ("Anna saw Paul ,", " Mary", False),
        # the space stands in the prompt, which is said instead
        ("Anna saw ", "Mary", False),
        # no other spelling
        (CLEAN, ".", False),
    ],
)
def test_a_leading_space_that_is_missing(model, prompt, answer, misses):
    sentences = warned(lambda: mi.Experiment(model, prompt, answer=answer))
    assert any("has no leading space" in s for s in sentences) == misses
    if misses:
        assert sentences == [
            "The answer 'Mary' has no leading space, so it goes on with '␣to'; ' Mary' begins a new word."
        ]
        exp = mi.Experiment(model, prompt, answer=answer)
        assert sentences[0] in exp.run(()).provenance.notes
        assert sentences[0] in exp.question()["warnings"]
        exp.ask(answer=" Mary")
        assert sentences[0] not in exp.question()["warnings"]


@pytest.mark.parametrize("scheme", ["always", "first", "prepend"])
def test_a_space_that_the_tokenizer_puts_is_not_missed(pieced, scheme):
    assert warned(lambda: mi.Experiment(pieced(scheme), "Anna saw", answer="Mary")) == []


def test_an_answer_that_is_its_own_distractor(model):
    for same in ((" Mary", " Mary"), ((" Mary", " Anna"), (" Anna", " Mary"))):
        message = said(lambda s=same: experiment(model, answer=s[0], distractor=s[1]), mi.BadInput)
        assert "' Mary'" in message
        assert "the same" in message
    two = [CLEAN, SHORT_CLEAN]
    assert "of prompt 1" in said(
        lambda: mi.Experiment(model, two, answer=" Mary", distractor=[" John", " Mary"]), mi.BadInput
    )
    # who exchanges them one by one passes through it, and is told
    exp = experiment(model)
    exp.ask(answer=" John")
    assert any("are the same, ' John'" in w for w in exp.question()["warnings"])
    exp.ask(distractor=" Mary")
    assert exp.question()["warnings"] == []
    with pytest.raises(mi.BadInput):
        exp.ask(answer=" Anna", distractor=" Anna")


# Guesses


def rows_of(model, texts):
    return [forward(model.hf, ids_of(model, text))[-1] for text in texts]


def test_a_guess_over_several_prompts_never_sets_an_answer_against_itself(model):
    """Where the runs agree on some prompts only, the distractor there is the corrupted run's next best."""
    clean = [CLEAN, CLEAN, SHORT_CLEAN]
    corrupted = [CLEAN, "When Paul and Kate took it back", SHORT_CLEAN]
    good, bad = rows_of(model, clean), rows_of(model, corrupted)
    tops = [int(row.argmax()) for row in good]
    agree = [int(row.argmax()) == top for row, top in zip(bad, tops, strict=True)]
    assert agree == [True, False, True]  # what the test stands on
    exp = mi.Experiment(model, clean, corrupted)
    assert exp.answer.ids == tuple((top,) for top in tops)
    expected = [int(row.topk(2).indices[1 if same else 0]) for row, same in zip(bad, agree, strict=True)]
    assert exp.distractor.ids == tuple((i,) for i in expected)
    metric = exp.run((), base="clean").per_prompt["metric"]
    for row, (top, other) in enumerate(zip(tops, expected, strict=True)):
        assert float(metric[row]) == pytest.approx(float(good[row][top] - good[row][other]), abs=1e-4)


def test_runs_that_agree_on_every_prompt_give_no_distractor(model):
    exp = mi.Experiment(model, [CLEAN, SHORT_CLEAN], [CLEAN, SHORT_CLEAN])
    assert exp.distractor is None


def test_a_guessed_answer_is_not_the_given_distractor(model):
    (row,) = rows_of(model, [CLEAN])
    first, second = row.topk(2).indices.tolist()
    exp = mi.Experiment(model, CLEAN, distractor=first)
    assert exp.answer.ids == ((second,),)
    assert mi.Experiment(model, CLEAN, distractor=second).answer.ids == ((first,),)


# Beginning tokens


def test_a_beginning_token_that_ids_lack(model):
    ids = ids_of(model, CLEAN)
    (sentence,) = warned(lambda: mi.Experiment(model, ids[1:], answer=" Mary"))
    assert "do not start with ‹s›" in sentence
    assert "bos=True" in sentence
    assert warned(lambda: mi.Experiment(model, ids, answer=" Mary")) == []
    # forced, it is there, or was meant to be gone
    for bos, length in ((True, 15), (False, 14)):
        for given in (ids, ids[1:], [1, *ids], CLEAN):
            made = []
            assert warned(lambda g=given, b=bos, m=made: m.append(mi.Experiment(model, g, answer=" Mary", bos=b))) == []
            assert made[0].prompt().lengths == (length,)


def test_no_alarm_where_no_beginning_token_is_put(octets):
    """As GPT-2's: it has a beginning token, which is its end token too, and puts it nowhere."""
    assert octets.tokens("a b").warnings == ()
    assert octets.tokens(list(octets.tokens("a b").ids)).warnings == ()
    assert octets.tokens("a b", bos=True).strings == ("‹endoftext›", "a", "␣", "b")


def test_a_tokenizer_that_does_not_do_what_it_says():
    tokenizer = word_tokenizer(bos=False)
    assert Tokenizer(tokenizer).encode("Mary").warnings == ()
    object.__setattr__(tokenizer, "_add_bos_token", True)  # as a saved config may, without its post-processor
    (sentence,) = Tokenizer(tokenizer).encode("Mary").warnings
    assert "says that it puts ‹s› in front, and does not" in sentence


def test_clean_and_corrupted_are_treated_alike(model):
    ids = ids_of(model, CORRUPTED)
    for clean, corrupted in ((CLEAN, ids[1:]), (ids[1:], CLEAN)):
        sentences = warned(lambda c=clean, d=corrupted: mi.Experiment(model, c, d, " Mary", " John"))
        mark = "" if clean is not CLEAN else "Corrupted prompt: "
        assert sum(s.startswith(f"{mark}The token ids do not start with ‹s›") for s in sentences) == 1
        assert sum("begin differently" in s for s in sentences) == 1
    both = warned(lambda: mi.Experiment(model, [1, *ids], [1, *ids], " Mary", " John"))
    assert [s.startswith("Corrupted prompt: ") for s in both] == [False, True]
    assert all("two beginning tokens" in s for s in both)


# Length


def test_limits_are_read_off_tables_not_off_configs():
    short = build("gpt2")
    short.transformer.wpe = torch.nn.Embedding(20, 32)
    assert short.config.n_positions == 64
    assert limits_of(short) == Limits(20, 64)
    model = mi.wrap(short, word_tokenizer())
    assert len(model.tokens("Mary" + " Mary" * 18)) == 20
    message = said(lambda: mi.Experiment(model, "Mary" + " Mary" * 19, answer=" Mary"), mi.BadInput)
    assert "21 tokens" in message
    assert "20 positions" in message
    with pytest.raises(IndexError):  # what it would have come to
        short(torch.ones(1, 21, dtype=torch.long))


@pytest.mark.parametrize(("kind", "runs"), [("gpt2", 32), ("opt", 32), ("gptj", 32), ("bloom", None), ("falcon", None)])
def test_limits_are_where_the_model_stops_running(kind, runs):
    import transformers as hf

    small = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = {
        "gpt2": lambda: GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=32, **tokens),
        "opt": lambda: OPTConfig(**small, **tokens, ffn_dim=48, word_embed_proj_dim=32, max_position_embeddings=32),
        "gptj": lambda: hf.GPTJConfig(
            vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=32, rotary_dim=4, **tokens
        ),
        "bloom": lambda: hf.BloomConfig(vocab_size=50, hidden_size=32, n_layer=2, n_head=4, **tokens),
        "falcon": lambda: hf.FalconConfig(**small, **tokens, alibi=True, max_position_embeddings=32),
    }[kind]()
    with torch.random.fork_rng():
        made = hf.AutoModelForCausalLM.from_config(config).eval()
    assert limits_of(made).table == runs

    def run(length):
        with torch.no_grad():
            return made(torch.full((1, length), 3), use_cache=False).logits

    assert run(32).isfinite().all()
    if runs is None:
        assert run(40).isfinite().all()
    else:
        with pytest.raises((IndexError, RuntimeError)):
            run(33)


def test_a_very_long_word(octets, model):
    assert "5000 tokens" in said(lambda: mi.Experiment(octets, "n" * 5000, answer="n"), mi.BadInput)
    assert len(model.tokens("n" * 5000)) == 2  # one unknown word
    assert any("Unknown" in s for s in model.tokens("n" * 5000).warnings)


# Ends, and what cannot be seen


@pytest.mark.parametrize(
    ("tail", "words"),
    [(" ", "(␣): most models expect the space"), ("\n", "(⏎): the answer begins a new line"), (" \n", "(␣⏎)"),
     ("\t", "(⇥)"), ("\u3000", "(<U+3000>)")],
)  # fmt: skip
def test_whitespace_at_the_end(octets, tail, words):
    for given in ("a b" + tail, octets.tokenizer("a b" + tail)["input_ids"]):
        (sentence,) = octets.tokens(given).warnings
        assert sentence.startswith("The prompt ends with whitespace ")
        assert words in sentence
    assert octets.tokens(" \ta b").warnings == ()
    pair = warned(lambda: mi.Experiment(octets, "a b" + tail, "a b", answer="a"))
    assert sum("end differently in whitespace" in s for s in pair) == 1
    alike = warned(lambda: mi.Experiment(octets, "a b" + tail, "a c" + tail, answer="a"))
    assert sum("ends with whitespace" in s for s in alike) == 2
    assert not any("differently" in s for s in alike)


@pytest.mark.parametrize("ch", ["\u200b", "\ufeff", "\u00a0", "\u202e", "\u00ad", "\x00", "\ufffd"])
def test_what_cannot_be_told_by_eye_is_said(octets, ch):
    (sentence,) = octets.tokens(f"ab{ch}c").warnings
    assert f"U+{ord(ch):04X} at character 2" in sentence


@pytest.mark.parametrize("text", ["né naïve — “quoted” …", "日本語", "שלום", "👩\u200d🔬", "می\u200cخواهم", "a\nb\tc"])
def test_other_scripts_are_no_alarm(octets, text):
    assert octets.tokens(text).warnings == ()
    assert octets.tokens(list(octets.tokens(text).ids)).text == text


def test_special_tokens_and_padding_among_ids(model):
    ids = ids_of(model, CLEAN)
    assert model.tokens([1]).warnings == ("The prompt holds only special tokens.",)
    (ending,) = model.tokens([*ids, 1]).warnings
    assert "ends with the special token ‹s›" in ending
    padded = model.tokenizer([CLEAN, "Mary"], padding=True, padding_side="left")["input_ids"]
    assert warned(lambda: mi.Experiment(model, padded[0], answer=" Mary")) == []
    assert any("start with padding" in s for s in model.tokens(padded[1]).warnings)
    right = model.tokenizer([CLEAN, "Mary"], padding=True, padding_side="right")["input_ids"]
    assert any("ends with the special token ‹pad›" in s for s in model.tokens(right[1]).warnings)


def test_a_tokenizer_that_ends_prompts_itself():
    tokenizer = word_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A <pad>", special_tokens=[("<s>", 1), ("<pad>", 0)]
    )
    (sentence,) = Tokenizer(tokenizer).encode("Mary went").warnings
    assert "ends with the special token ‹pad›, and the answer is read behind it" in sentence


# Where they are said


def test_sentences_reach_the_cell_the_results_and_the_widget(model):
    clean, corrupted = "Mary saw Zorro ", "Mary saw Anna"
    made = []
    sentences = warned(lambda: made.append(mi.Experiment(model, clean, corrupted, " Mary", base="clean")))
    assert [s for s in sentences if "Unknown" in s]
    assert [s for s in sentences if "ends with whitespace" in s]
    assert [s for s in sentences if "end differently" in s]
    (exp,) = made
    for notes in (exp.run(()).provenance.notes, exp.patterns().provenance.notes, exp.question()["warnings"]):
        assert set(sentences) <= set(notes)
    # a change in the widget is answered there, not in whatever cell ran last
    assert warned(lambda: exp.ask(clean="Mary saw Paul ")) == []
    assert any("ends with whitespace" in s for s in exp.question()["warnings"])


def test_a_warning_points_at_the_line_that_asks(model):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        mi.Experiment(model, "Mary saw ", answer=" Mary")
    assert seen
    assert {one.filename for one in seen} == {__file__}


def test_many_odd_prompts_do_not_flood_a_cell(model):
    sentences = warned(lambda: mi.Experiment(model, ["Mary saw Zorro "] * 30, answer=" Mary"))
    assert len(sentences) == 9
    assert sentences[0].startswith("Prompt 0: ")
    assert sentences[-1].startswith("52 more")


def test_an_experiment_is_neither_copied_nor_pickled(model):
    exp = experiment(model)
    for act in (copy.copy, copy.deepcopy, pickle.dumps):
        message = said(lambda a=act: a(exp), mi.BadInput)
        assert "cannot be copied or pickled" in message
        assert "same arguments" in message
    assert exp.run(()).metric == pytest.approx(experiment(model).run(()).metric)
