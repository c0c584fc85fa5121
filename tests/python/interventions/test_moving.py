"""Values carried to another position: turned queries and keys, residuals that take their old place along."""

from __future__ import annotations

import warnings

import pytest
import torch

import mi_widgets as mi
from tests.python.by_hand import changed, record
from tests.python.families import CLEAN, CORRUPTED, SHORT_CORRUPTED, build, experiment, ids_of, word_tokenizer, wrapped


def turned_by_hand(x, steps, theta=10000.0):
    """[head, d] a number of positions further on, in pairs (i, i + d/2)."""
    half = x.shape[-1] // 2
    angle = steps * theta ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def edited(exp, edit):
    return exp.snapshot([edit], "corrupted").answer_logits("edited")[0]


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "mistral"])
def test_queries_and_keys_are_turned_by_the_distance(family):
    """At every layer, forwards and back, in a family whose angles are known."""
    model = wrapped(family)
    exp, clean = experiment(model), record(model.hf, ids_of(model, CLEAN))
    for site, places, sources in (("k", (3, 13), (11, 2)), ("q", (14, 4), (9, 5))):

        def change(x, site=site, places=places, sources=sources):
            for to, of in zip(places, sources, strict=True):
                x[to] = turned_by_hand(clean[site, 1][of], to - of)
            return x

        edit = mi.Patch(site, 1, position=places, source_position=sources)
        expected = changed(model.hf, ids_of(model, CORRUPTED), {(site, 1): [change]})[0][-1]
        torch.testing.assert_close(edited(exp, edit), expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(expected, edited(exp, mi.Zero(site, 1, unit=0, position=0, head=0)), atol=1e-4)


def test_aligned_prompts_of_different_length_turn_what_they_carry():
    model = wrapped("llama")
    uneven = mi.Experiment(model, CLEAN, SHORT_CORRUPTED, " Mary", " John", align="suffix")
    clean = record(model.hf, ids_of(model, CLEAN))

    def change(x):
        x[0] = clean["k", 1][0]
        for p in range(1, 10):
            x[p] = turned_by_hand(clean["k", 1][p + 5], -5)
        return x

    expected = changed(model.hf, ids_of(model, SHORT_CORRUPTED), {("k", 1): [change]})[0][-1]
    torch.testing.assert_close(edited(uneven, mi.Patch("k", 1)), expected, atol=1e-5, rtol=1e-5)


def test_angles_that_depend_on_the_length_are_those_of_each_prompt():
    """Dynamic scaling turns by other angles in prompts longer than the model was trained on."""
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    hf = build("llama", max_position_embeddings=12, rope_parameters=rope)
    model = mi.wrap(hf, word_tokenizer(), "dynamic")
    same = "Anna Anna Anna Anna Anna Anna Anna Anna"
    longer = " ".join(["Anna"] * 20)
    exp = mi.Experiment(model, longer, same, " Mary", " John")
    # Equal vectors at all positions of layer 0, so a moved key is the one that stands there.
    own = exp.read("k", 0, run="corrupted")[0]
    assert float((exp.read("k", 0)[0, 6] - own[6]).abs().max()) > 1e-2
    exp.edits.add(mi.Patch("k", 0, position=6, source_position=17))
    torch.testing.assert_close(exp.read("k", 0, run="edited")[0], own, atol=1e-4, rtol=1e-4)


def test_what_is_turned_in_no_way_that_is_known_is_refused(monkeypatch):
    model = mi.wrap(build("llama", seed=4), word_tokenizer(), "odd")
    from mi_widgets.interventions import moving

    monkeypatch.setattr(moving, "_rotation", lambda a, b: (torch.arange(12), *torch.ones(2, a.shape[1], 12).double()))
    with pytest.raises(mi.BadInput, match=r"turns k by position in layer 1 could not be told"):
        experiment(model).run(mi.Patch("k", 1, position=3, source_position=7))


def test_a_residual_that_moves_under_learned_positions_is_warned_of_once():
    edit = mi.Patch("resid_pre", 1, position=3, source_position=7)
    exp = experiment(wrapped("gpt2"))
    with pytest.warns(UserWarning, match="position embedding of its old one"):
        result = exp.run(edit)
    assert any("position embedding" in note for note in result.provenance.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exp.run(edit)
        experiment(wrapped("llama")).run(edit)
        experiment(wrapped("gpt2")).run([mi.Patch("resid_pre", 1, position=3), mi.Patch("z", 1)])
