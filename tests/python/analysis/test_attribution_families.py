"""Direct attribution adds up: with multipliers, parallel blocks, caps, sinks, gates, and layers without heads."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from tests.families.configs import NAMED, build
from tests.python.families import CLEAN, CORRUPTED, word_tokenizer

HYBRIDS = ("qwen3_next", "jamba", "lfm2", "nemotron_h", "granitemoeshared", "granitemoehybrid", "minicpm3")


def asked(family):
    return mi.Experiment(mi.wrap(build(family), word_tokenizer(), family), CLEAN, CORRUPTED, " Mary", " John")


@pytest.mark.parametrize("family", [*NAMED, *HYBRIDS])
def test_components_add_up_to_the_logit_difference_before_any_cap(family):
    """The total is computed anew: last stream, the model's own norm and unembedding, in plain PyTorch."""
    exp = asked(family)
    found = exp.attribution()
    parts = exp.model.architecture
    hf = exp.model.hf
    last = exp.read("resid_post", exp.model.n_layers - 1)[0, -1]
    with torch.no_grad():
        raw = hf.get_output_embeddings()(hf.get_submodule(parts.final_norm)(last[None, None]))[0, 0]
    answer, distractor = (id_of(exp, text) for text in (" Mary", " John"))
    total = float(raw[answer] - raw[distractor]) * parts.logit_scale
    scale = max(1.0, float(found.values.abs().max()))
    assert abs(float(found.values.sum()) - total) < 2e-5 * scale
    assert abs(found.total - total) < 2e-5 * scale
    if parts.softcap is None:
        assert abs(found.residue) < 2e-5 * scale
    heads = [name for name, _, head in found.components if head is not None]
    assert len(heads) == exp.model.n_heads * sum(layer.attention is not None for layer in parts.layers)


def id_of(exp, text):
    return exp.model.tokenizer(text, add_special_tokens=False)["input_ids"][0]


def test_a_layer_without_heads_is_one_component_and_has_no_heads_in_the_map():
    exp = asked("jamba")
    without = [i for i, layer in enumerate(exp.model.architecture.layers) if layer.attention is None]
    assert without
    by_head = exp.attribution(by="head").values
    assert bool(by_head[without].isnan().all())
    assert bool(by_head[[i for i in range(exp.model.n_layers) if i not in without]].isfinite().all())
    names = [name for name, _, _ in exp.attribution().components]
    assert all(f"L{i} rest" in names for i in without)


def test_sources_are_refused_where_a_gate_stands_before_z():
    exp = asked("qwen3_next")
    with pytest.raises(mi.SiteUnavailable, match=r"gates.*by='head'"):
        exp.attribution(by="source")


def test_sources_add_up_to_heads_with_sinks():
    """The sink takes its share of the softmax and gives nothing, so the sources alone are the head."""
    exp = asked("gpt_oss")
    sources, heads = exp.attribution(by="source").values, exp.attribution(by="head").values
    torch.testing.assert_close(sources.sum(-1), heads, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["openai-gpt", "bert"])
def test_models_without_a_final_norm_say_so(family):
    with pytest.raises(mi.SiteUnavailable, match="final_norm"):
        asked(family).attribution()
