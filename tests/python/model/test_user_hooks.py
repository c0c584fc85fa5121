"""Hooks of the user's own are part of the model: what they do is never taken for the work of a part."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from tests.families.configs import build as family
from tests.python.families import CLEAN, CORRUPTED, build, word_tokenizer

VECTOR = torch.linspace(-1, 1, 32)


def asked(hf):
    return mi.Experiment(mi.wrap(hf, word_tokenizer()), CLEAN, CORRUPTED, " Mary", " John")


def shift(output):
    return (output[0] + VECTOR, *output[1:]) if isinstance(output, tuple) else output + VECTOR


def test_a_steering_hook_on_a_layer_is_not_the_mlps_work():
    hf = build("llama")
    hf.model.layers[1].register_forward_hook(lambda _, __, output: shift(output))
    exp = asked(hf)
    assert "hook" in exp.model.architecture.missing_at["mlp_out", 1]
    with pytest.raises(mi.SiteUnavailable, match="hook"):
        exp.read("mlp_out", 1)
    found = exp.attribution()
    assert "L1 rest" in [name for name, _, _ in found.components]
    assert abs(found.residue) < 1e-4
    torch.testing.assert_close(exp.read("resid_pre", 2), exp.read("resid_post", 1))


def test_a_steering_hook_is_told_apart_where_the_other_layers_mlps_are_read_off_the_stream():
    """Granite's shared experts are two modules, so that mlp_out is what a layer adds after its attention."""
    hf = family("granitemoeshared")
    hf.model.layers[1].register_forward_hook(lambda _, __, output: shift(output))
    model = mi.wrap(hf, word_tokenizer())
    assert [layer.open for layer in model.architecture.layers] == [True, False, True]
    assert "hook" in model.architecture.missing_at["mlp_out", 1]


def test_a_steering_hook_on_an_attention_is_booked_apart_from_its_heads():
    hf = build("llama")
    plain = asked(build("llama")).attribution(by="head").values
    hf.model.layers[0].self_attn.register_forward_hook(lambda _, __, output: shift(output))
    exp = asked(hf)
    found = exp.attribution()
    assert abs(found.residue) < 1e-4
    assert "L0 rest" in [name for name, _, _ in found.components]
    assert found.components[0][0] == "embed"
    assert exp.attribution(by="head").values.shape == plain.shape


def test_a_pre_hook_on_a_layer_is_booked_as_the_rest_of_the_layer_before():
    hf = build("llama")
    hf.model.layers[2].register_forward_pre_hook(lambda _, args: (args[0] + VECTOR, *args[1:]))
    exp = asked(hf)
    assert ("resid_post", 1) in exp.model.architecture.missing_at
    assert abs(exp.attribution().residue) < 1e-4


def test_a_hook_on_the_unembedding_makes_attribution_refuse():
    hf = build("llama")
    hf.lm_head.register_forward_hook(lambda _, __, output: 0.5 * output.roll(1, -1))
    with pytest.raises(mi.SiteUnavailable, match="unembedding"):
        asked(hf).attribution()
