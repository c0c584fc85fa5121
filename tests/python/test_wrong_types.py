"""What is of the wrong kind is answered in our own words, wherever users pass it; what any library counts is taken."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import mi_widgets as mi
from tests.python.families import CLEAN, experiment, wrapped


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


@pytest.fixture(scope="module")
def exp(model):
    return experiment(model)


@pytest.mark.parametrize(
    "ids",
    [(1, 5, 6), np.array([1, 5, 6]), [np.int64(1), np.int64(5), np.int64(6)], torch.tensor([1, 5, 6])],
)
def test_token_ids_of_any_library_are_one_prompt(model, ids):
    asked = mi.Experiment(model, ids, answer=7)
    assert [tokens.ids for tokens in asked.prompt().prompts] == [(1, 5, 6)]


@pytest.mark.parametrize("rows", [np.array([[1, 5], [6, 7]]), torch.tensor([[1, 5], [6, 7]]), [[1, 5], (6, 7)]])
def test_rows_of_token_ids_are_several_prompts(model, rows):
    asked = mi.Experiment(model, rows, answer=7)
    assert [tokens.ids for tokens in asked.prompt().prompts] == [(1, 5), (6, 7)]


@pytest.mark.parametrize(
    "prompt",
    [
        [1.5, 2.5], [True, False], b"abc", None, 5, torch.tensor(3), torch.tensor([1.5, 2.0]), [], [[]], {"a": 1},
        ["Mary", None], "Mary \ud800 went",
    ],
)  # fmt: skip
def test_what_is_no_prompt(model, prompt):
    with pytest.raises(mi.BadInput):
        mi.Experiment(model, prompt)


@pytest.mark.parametrize(
    "asked",
    [{"metric": ["prob"]}, {"metric": ""}, {"base": ""}, {"bos": "yes"}, {"align": {"a": 1}}, {"align": {0: 0.5}}],
)
def test_what_is_no_question(model, asked):
    with pytest.raises(mi.BadInput):
        experiment(model, **asked)


@pytest.mark.parametrize(
    "call",
    [
        lambda exp: exp.run("zero"),
        lambda exp: exp.run(5),
        lambda exp: exp.run(["zero"]),
        lambda exp: exp.run([None]),
        lambda exp: exp.edits.add([mi.Zero("z", 0)]),
        lambda exp: exp.at(5),
        lambda exp: exp.at(" John", "last"),
        lambda exp: exp.sweep("z", edit="zero", progress=False),
        lambda exp: exp.sweep("z", edit=mi.Zero, progress=False),
        lambda exp: exp.sweep("z", layers="all", progress=False),
        lambda exp: exp.patterns(layers="all"),
        lambda exp: exp.patterns(layers=[]),
        lambda exp: exp.patterns(prompt="first"),
        lambda exp: exp.head_scores(prompt=0.5),
        lambda exp: exp.attribution(prompt="first"),
        lambda exp: exp.run(()).top("all"),
        lambda exp: setattr(exp, "selection", None),
        lambda exp: setattr(exp, "selection", 5),
        lambda exp: mi.Patch("resid_pre", 0, source=np.zeros((15, 8))),
        lambda exp: mi.wrap(exp.model.hf, str),
        lambda exp: mi.load(dtype="float33"),
        lambda exp: mi.load(no_such_option=True),
        lambda exp: mi.AttentionHeads(exp.model),
        lambda exp: mi.AttentionHeads(exp.model.hf, exp.model.tokenizer),
    ],
)
def test_what_cannot_be_meant(exp, call):
    edits, rev = exp.edits.entries, exp.rev
    with pytest.raises(mi.BadInput) as raised:
        call(exp)
    assert raised.value.hint
    assert (exp.edits.entries, exp.rev) == (edits, rev)


def test_numbers_of_any_library_name_layers(exp):
    one = exp.patterns(layers=np.int64(1), heads=torch.tensor(2))
    assert (one.layers, one.heads) == ((1,), (2,))
    assert torch.equal(one.values, exp.patterns(layers=[1], heads=[2]).values)
    assert exp.sweep("z", layers=np.int64(1), heads=0, progress=False).metric.shape == (1, 1)


def test_threads_that_wrap_one_model_get_one(model):
    hf, start, found = AutoModelForCausalLM.from_config(model.hf.config), threading.Barrier(4), []

    def wrap():
        start.wait()
        found.append(mi.wrap(hf, model.tokenizer))

    threads = [threading.Thread(target=wrap) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert len({id(one) for one in found}) == 1
    assert found[0].tokens(CLEAN).ids == model.tokens(CLEAN).ids
