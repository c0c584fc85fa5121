"""Every supported family stays fully proven, MODELS.md says what is so, and others are refused in words."""

from __future__ import annotations

import re
from functools import lru_cache

import pytest
import torch
import transformers

import mi_widgets as mi
from tests.families.configs import NAMED, build, families
from tests.families.offered import excluded
from tests.families.page import MODELS, SUPPORTED, page, supported, versions
from tests.families.walk import Row, prove, walk
from tests.python.families import CLEAN, word_tokenizer

_LISTED = tuple(SUPPORTED.read_text(encoding="utf-8").split())
_HERE = tuple(family for family in _LISTED if family in families())


@lru_cache(None)
def proven(family: str) -> Row:
    """One walk per family for all tests of this module."""
    return prove(family)


@pytest.mark.parametrize("family", _HERE)
def test_a_supported_family_is_fully_proven(family):
    row = proven(family)
    assert row.outcome == "fully proven", row.reason or "; ".join(str(lack) for lack in row.lacks if not lack.by_nature)
    assert row.worst < 1e-5, row.proof
    assert {"embed", "resid_pre", "resid_post", "logits"} <= set(row.sites)


# Models that the library's defaults do not show.
_SHAPES = {
    "falcon-7b": ("falcon", {"new_decoder_architecture": False, "multi_query": True, "bias": False}),
    "falcon-11b": ("falcon", {"num_ln_in_parallel_attn": 1}),
    "falcon-rw": (
        "falcon",
        {"alibi": True, "new_decoder_architecture": False, "parallel_attn": False, "num_kv_heads": 4},
    ),
    "opt-350m": ("opt", {"word_embed_proj_dim": 20, "do_layer_norm_before": False}),
    "sequential gpt_neox": ("gpt_neox", {"use_parallel_residual": False}),
    "parallel stablelm": ("stablelm", {"use_parallel_residual": True}),
    "multi-head gpt_bigcode": ("gpt_bigcode", {"multi_query": False}),
    "gpt2 scaled by layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True}),
    "eager llama": ("llama", {"attn_implementation": "eager"}),
    "deepseek without a query rank": ("deepseek_v3", {"q_lora_rank": None}),
    "mistral of one kv head": ("mistral", {"num_key_value_heads": 1, "sliding_window": None}),
    "one layer": ("llama", {"num_hidden_layers": 1}),
    "one head": ("llama", {"num_attention_heads": 1, "num_key_value_heads": 1}),
    "llama-3 rotation": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            }
        },
    ),
}


@pytest.mark.parametrize("shape", _SHAPES)
def test_other_shapes_of_a_family_are_fully_proven(shape):
    family, config = _SHAPES[shape]
    row = prove(family, **config)
    assert row.outcome == "fully proven", row.reason or row.lacks


@pytest.mark.parametrize(
    ("family", "seed"), [("gpt_neox", 6), ("gpt_neox", 13), ("falcon", 1), ("falcon", 7), ("codegen", 17), ("phi", 17)]
)
def test_parallel_layers_are_found_where_the_stream_nearly_cancels(family, seed):
    """On these weights stream + attention + MLP, summed in another order, differs by more than one rounding."""
    row = prove(family, seed=seed)
    assert row.outcome == "fully proven", row.lacks


@pytest.mark.parametrize("family", [family for family in families() if family not in _LISTED])
def test_any_other_family_is_wrapped_or_refused_in_words(family):
    row = proven(family)
    assert row.outcome in ("fully proven", "proven in part", "refused"), row.reason
    assert row.expected, row.reason


@pytest.mark.parametrize(
    "family", ["mixtral", "qwen3_moe", "deepseek_v3", "glm4_moe", "jamba", "gpt_oss", "granitemoe"]
)
def test_only_layers_that_hold_experts_lack_what_is_inside_an_mlp(family):
    model = mi.wrap(build(family), word_tokenizer())
    layers = [model.hf.get_submodule(layer.path) for layer in model.architecture.layers]
    dense = [i for i, layer in enumerate(layers) if not any("experts" in name for name, _ in layer.named_parameters())]
    for site in ("mlp_pre", "mlp_post"):
        offered = model.layers_with(site) if site in model.architecture.sites else []
        assert offered == dense
    assert model.layers_with("mlp_out") == list(range(model.n_layers))


@pytest.mark.parametrize("family", ["bamba", "granitemoehybrid", "kimi_linear", "lfm2", "qwen3_5_text", "qwen3_next"])
def test_hybrids_attend_on_the_layers_that_their_config_says(family):
    model = mi.wrap(build(family), word_tokenizer())
    attending = [i for i, kind in enumerate(model.hf.config.layer_types) if kind == "full_attention"]
    assert attending
    assert len(attending) < model.n_layers
    for site in ("q", "k", "v", "scores", "pattern", "z", "result"):
        assert model.layers_with(site) == attending
    assert model.layers_with("resid_post") == list(range(model.n_layers))


def test_what_must_be_supported_is():
    assert set(NAMED) <= set(_LISTED)
    assert len(_LISTED) >= 60


def test_the_page_of_models_is_what_the_walk_gives():
    """Word for word, but for the errors' digits; with other versions of the libraries, its list of names."""
    written = MODELS.read_text(encoding="utf-8")
    if f"Made with {versions()}." in written:
        rows = [proven(family) for family in families()]
        assert _without_errors(written) == _without_errors(page(rows))
        assert supported(rows).split() == list(_LISTED)
    else:
        table = written.split("\n## ")[1]
        assert table.startswith("Fully proven")
        assert re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE) == list(_LISTED)


def _without_errors(text: str) -> str:
    return re.sub(r"\| \de[-+]\d\d \|", "| |", text)


def test_a_family_that_this_transformers_does_not_have_is_left_out_with_the_reason():
    (row,) = walk(["no_such_family"])
    assert row.outcome == "not offered"
    assert row.reason == f"transformers {transformers.__version__} has no model type 'no_such_family'"
    assert row.mark("z") == "?"
    assert "no_such_family" not in supported([row])


def test_what_is_not_walked_has_a_reason_and_nothing_is_forgotten():
    offered = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    assert set(families()) | set(excluded()) == set(offered)
    assert not set(families()) & set(excluded())
    assert all(excluded().values())
    assert excluded()["bart"] == "decoder half of an encoder-decoder"


def test_a_tiny_model_is_the_same_twice_and_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    one, two, other = build("gpt2"), build("gpt2"), build("gpt2", seed=1)
    assert torch.equal(state, torch.get_rng_state())
    weights = [dict(model.named_parameters()) for model in (one, two, other)]
    assert all(torch.equal(p, weights[1][name]) for name, p in weights[0].items())
    assert all(not torch.equal(p, weights[2][name]) for name, p in weights[0].items())


@pytest.mark.parametrize("family", [family for family in NAMED if family in families()])
def test_a_tiny_model_is_causal_and_listens_to_its_prompt(family):
    """Else a proof on it would prove nothing."""
    hf = build(family)
    ids = torch.tensor([word_tokenizer()(CLEAN)["input_ids"]])
    early, late = ids.clone(), ids.clone()
    early[0, -6] = late[0, -2] = 9
    with torch.no_grad():
        plain, changed_early, changed_late = (hf(input_ids=x, use_cache=False).logits[0] for x in (ids, early, late))
    size = plain.std()
    assert 0.3 < size < 8
    assert (plain[:-2] - changed_late[:-2]).abs().max() < 1e-5 * size
    assert (plain[-1] - changed_early[-1]).abs().max() > 1e-2 * size
