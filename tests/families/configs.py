"""Tiny random models of every decoder family of the installed transformers.

One generic shrinker sets the names that configs share; `CHANGES` holds only what that cannot know. Widths are all
different numbers, so that a transposed axis cannot pass unseen.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from tests.python.families import WORDS

from .offered import class_of, excluded, families
from .weights import fill

__all__ = ["NAMED", "build", "config_of", "excluded", "families"]

NAMED = (
    "gpt2", "gpt_neo", "gptj", "gpt_neox", "gpt_bigcode", "opt", "bloom", "falcon", "mpt", "codegen", "phi", "phi3",
    "llama", "mistral", "mixtral", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3", "qwen3_moe", "olmo", "olmo2",
    "stablelm", "cohere", "cohere2", "starcoder2", "granite", "gpt_oss", "deepseek_v3", "smollm3", "glm", "nemotron",
    "persimmon", "biogpt", "xglm",
)  # fmt: skip
"""The families that must be fully proven, whatever else is."""

VOCABULARY = 3 + 2 * len(WORDS)
LAYERS = 3
WINDOW = 4

# Those of `word_tokenizer`, in every config.
_TOKENS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0}

# Names that several configs share. Only those that a family's own config has are set.
_SHARED: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    "head_dim": 12,
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"), 52),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 64),
    **dict.fromkeys(("sliding_window", "sliding_window_size", "window_size"), WINDOW),
    "type_vocab_size": 2,
    # Mixtures of experts.
    **dict.fromkeys(
        ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts"), 6
    ),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "moe_router_topk"), 2),
    **dict.fromkeys(("n_group", "num_expert_group"), 2),
    "topk_group": 1,
    **dict.fromkeys(("moe_intermediate_size", "expert_ffn_hidden_size"), 20),
    **dict.fromkeys(
        (
            "shared_expert_intermediate_size",
            "shared_experts_intermediate_size",
            "shared_intermediate_size",
            "moe_shared_expert_intermediate_size",
        ),
        28,
    ),
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    # Latent attention.
    "q_lora_rank": 18,
    "kv_lora_rank": 14,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 6,
    "v_head_dim": 11,
    # Linear attention and state spaces.
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 6,
    "linear_value_head_dim": 5,
    "linear_num_heads": 4,
    "linear_head_dim": 6,
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), 4),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim", "mamba_headdim"), 16),
    **dict.fromkeys(("n_groups", "mamba_n_groups", "mamba_ngroups"), 2),
    **dict.fromkeys(("mamba_chunk_size", "chunk_size"), 8),
    "lru_width": 32,
    "attention_window_size": WINDOW,
    "attention_chunk_size": 7,
    # Sparse attention: fewer keys than a prompt has.
    "index_topk": 6,
    "index_head_dim": 8,
    "index_n_heads": 4,
    # Sliding layers of their own shape, and what is added per layer.
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2,
    "swa_head_dim": 12,
    "d_rel": 6,
    "rel_extent": 8,
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size_per_layer_input": 6,
    "per_layer_config": None,
    "num_dense_layers": 1,
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 7),
    **dict.fromkeys(("mamba_dt_rank", "time_step_rank"), 3),
    # Multipliers that must not be forgotten.
    "embedding_multiplier": 1.7,
    "logits_scaling": 1.3,
    "residual_multiplier": 0.6,
    "attention_multiplier": 0.4,
}

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}

# What the shared names cannot know, by family.
CHANGES: dict[str, dict[str, Any]] = {
    "codegen": {"rotary_dim": 4},
    "cohere": {"logit_scale": 0.7, "use_qk_norm": True},
    "cohere2": {"logit_scale": 0.7},
    "cohere2_moe": {"logit_scale": 0.7},
    "cohere_compass_text": {"logit_scale": 0.7, "rope_parameters": {"full_attention": _ROPE}},
    "bamba": {"attn_layer_indices": [1]},
    "ctrl": {"dff": 52},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 1.5, "rope_theta": 10000.0},
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 20, "moe_num_experts": 6, "moe_top_k": 2},
    },
    "deepseek_v4": {
        "num_key_value_heads": 1,
        "head_dim": 16,
        "partial_rotary_factor": 0.25,
        "rope_parameters": None,
        "compress_rates": {"compressed_sparse_attention": 2, "heavily_compressed_attention": 3},
        "o_groups": 2,
        "o_lora_rank": 10,
        "index_head_dim": 16,
    },
    "dots3_note_text": {
        # As in the released model, sliding layers have fewer and wider heads.
        "head_dim": 16,
        "per_layer_config": {
            "1": {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 20, "qk_nope_head_dim": 14}
        },
    },
    "falcon": {"multi_query": False, "new_decoder_architecture": True, "bias": True},
    "falcon_h1": {
        "mamba_d_ssm": 64,
        "lm_head_multiplier": 0.8,
        "key_multiplier": 0.7,
        "attention_in_multiplier": 1.2,
        "attention_out_multiplier": 0.9,
        "mlp_multipliers": [1.2, 0.8],
        "ssm_multipliers": [0.9, 1.1, 0.8, 1.2, 0.9],
        "ssm_in_multiplier": 1.1,
        "ssm_out_multiplier": 0.8,
    },
    "fuyu": {"image_size": 30, "patch_size": 30},
    "gemma2": {"query_pre_attn_scalar": 9, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3_text": {"query_pre_attn_scalar": 9},
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "intermediate_size": [52] * 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "activation_sparsity_pattern": [0.9, 0.0, 0.0, 0.0],
        "laurel_rank": 6,
    },
    # As in the released models, layers of full attention have wider heads.
    "gemma4_text": {"per_layer_config": {"1": {"head_dim": 16}, "2": {"head_dim": 16}}},
    "gemma4_unified_text": {"per_layer_config": {"1": {"head_dim": 16}, "2": {"head_dim": 16}}},
    "gpt_neo": {"attention_types": [[["global", "local"], 1], [["global"], 1]]},
    "gptj": {"rotary_dim": 4},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention", "linear_attention"]},
    "helium": {"head_dim": 8},
    "inkling_text": {"logits_mup_width_multiplier": 1.3},
    "jamba": {"attn_layer_period": 3, "attn_layer_offset": 1},
    "jetmoe": {"kv_channels": 12},
    "laguna": {"num_attention_heads_per_layer": [4] * LAYERS},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"]},
    "llama": {"attention_bias": True, "mlp_bias": True},
    "longcat_flash": {"zero_expert_num": 2, "head_dim": 6},
    "mamba2": {"head_dim": 16},
    "minicpm3": {"scale_emb": 1.7, "dim_model_base": 20},
    "minimax": {
        "block_size": 8,
        "full_attn_alpha_factor": 1.1,
        "linear_attn_beta_factor": 0.9,
        "mlp_alpha_factor": 0.8,
    },
    "mpt": {"attn_config": {"alibi": True, "clip_qkv": None}, "logit_scale": 0.7},
    "olmo": {"clip_qkv": 1.5},
    "phi": {"num_key_value_heads": 4},
    "phi4_multimodal": {
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 20,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "crop_size": 28,
        },
        "audio_config": {
            "hidden_size": 16,
            "intermediate_size": 20,
            "num_blocks": 1,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 16,
            "depthwise_separable_out_channel": 16,
            "nemo_conv_channels": 16,
        },
    },
    "qwen3_moe": {"mlp_only_layers": [1]},
    "qwen4_exp_text": {
        "hc_lowrank": 9,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 12,
        "indexer_budget": 6,
        "indexer_compress_ratio": 2,
    },
    "rembert": {"input_embedding_size": 20, "output_embedding_size": 28},
    "roc_bert": {
        "pronunciation_embed_dim": 10,
        "pronunciation_vocab_size": 60,
        "shape_embed_dim": 14,
        "shape_vocab_size": 60,
    },
    "rwkv": {"context_length": 64, "attention_hidden_size": 32},
    "smollm3": {"no_rope_layers": [1, 0, 1]},
    "stablelm": {"use_qkv_bias": True, "qk_layernorm": True},
    "xlm": {"emb_dim": 32, "causal": True},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "num_hidden_layers": 5,
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid", "linear_attention"],
    },
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 10},
}


def _by_layer(default: list[Any]) -> list[Any]:
    """A value per layer for a short model: each kind that the default has, then again from the first."""
    if not isinstance(default[0], str):
        return default[:LAYERS]
    kinds = list(dict.fromkeys(default))
    # Never as many layers as heads.
    return (kinds * LAYERS)[: LAYERS if len(kinds) <= LAYERS else len(kinds) + 1]


def _rope(default: Any) -> Any:
    """The default's rotation for a short model; half of a head is rotated where only a part is."""
    if not isinstance(default, dict):
        return default
    if any(isinstance(value, dict) for value in default.values()):
        return {kind: _rope(value) for kind, value in default.items()}
    short = {"partial_rotary_factor": 0.5, "original_max_position_embeddings": 16, "max_position_embeddings": 64}
    return {name: short.get(name, value) for name, value in default.items()} | (
        {"factor": 4.0} if "factor" in default else {}
    )


def config_of(family: str, **config: Any) -> PretrainedConfig:
    """The config of a tiny model.

    Args:
        family: a model type.
        **config: changes.
    """
    kind = class_of(family).config_class
    default = kind()
    has = default.to_dict()
    values = _TOKENS | {name: value for name, value in _SHARED.items() if name in has}
    depth = getattr(default, "num_hidden_layers", None)
    for name, value in has.items():
        if isinstance(value, list) and value and len(value) == depth:
            values[name] = _by_layer(value)
            if "num_hidden_layers" in has:
                values["num_hidden_layers"] = max(len(values[name]), values["num_hidden_layers"])
    if has.get("rope_parameters") is not None:
        values["rope_parameters"] = _rope(has["rope_parameters"])
    if "qk_rope_head_dim" in has:
        # Latent attention: the width follows from its parts, and every head has its own key and value.
        values.pop("head_dim", None)
        values["num_key_value_heads"] = values["num_attention_heads"]
    if family == "fuyu":
        values["text_config"] = config_of("persimmon").to_dict()
    if "is_decoder" in has:
        values["is_decoder"] = True
    return kind(**values | CHANGES.get(family, {}) | config)


def build(family: str, seed: int = 0, **config: Any) -> PreTrainedModel:
    """A tiny random model in eval mode, float32, default attention implementation.

    The global random state is left as it is; the same seed gives the same weights.

    Args:
        family: a model type.
        seed: of the weights.
        **config: changes of the config.
    """
    made = config_of(family, **config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hf = class_of(family)._from_config(made, dtype=torch.float32)
    fill(hf, seed)
    return hf.eval()
