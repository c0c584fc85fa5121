"""Where the logits of all positions would take much memory, those at the answers are computed alone."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions import question
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, build, word_tokenizer, wrapped

EDITS = [mi.Patch("z", 1, head=2), mi.Zero("mlp_out", 2, position=-1)]


def numbers(model):
    """What an experiment says about two prompts."""
    exp = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], " Mary", " John", answer_position=(-1, -2)
    )
    found = [torch.tensor(exp.baselines["metric"].to_numpy()), exp.sweep("z", progress=False).metric]
    for edits in (EDITS, [*EDITS, mi.Scale("final_norm", factor=0.5)], [mi.Scale("logits", factor=2.0)], ()):
        found += [exp.run(edits).logits, exp.run(edits).per_prompt["metric"]]
    one = mi.Experiment(model, CLEAN, CORRUPTED, " Mary", " John")
    found.append(one.run(mi.Resample("z", 1, prompts=[CLEAN, CORRUPTED], n=2)).logits)
    return found


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_numbers_are_the_same(family, monkeypatch):
    model = mi.wrap(build(family), word_tokenizer())
    expected = numbers(model)
    monkeypatch.setattr(question, "LARGE", 0)
    widths = []
    plain = type(model).forward

    def forward(self, *args, **kwargs):
        logits = plain(self, *args, **kwargs)
        widths.append(logits.shape[1])
        return logits

    monkeypatch.setattr(type(model), "forward", forward)
    for one, other in zip(numbers(model), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert widths.count(1) > 6


def test_a_change_through_data_is_still_seen(monkeypatch):
    monkeypatch.setattr(question, "LARGE", 0)
    model = mi.wrap(build("llama"), word_tokenizer())
    exp = mi.Experiment(model, CLEAN, CORRUPTED, " Mary", " John")
    before = exp.run(()).metric
    model.hf.model.layers[1].mlp.down_proj.weight.data.mul_(-1)
    assert abs(exp.run(()).metric - before) > 0.01
    fresh = mi.Experiment(mi.wrap(model.hf, word_tokenizer()), CLEAN, CORRUPTED, " Mary", " John")
    assert exp.run(()).metric == pytest.approx(fresh.run(()).metric, abs=1e-5)


def test_a_trial_takes_the_start_of_a_long_prompt():
    tokens = wrapped("llama").tokens(CLEAN)
    assert tokens.start(100) is tokens
    start = tokens.start(4)
    assert start.ids == tokens.ids[:4]
    assert start.strings == tokens.strings[:4]
    assert len(start) == 4
