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
    **dict.fromkeys(("sliding_window", "sliding_window_size", "window_size", "attention_chunk_size"), WINDOW),
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    # Mixtures of experts.
    **dict.fromkeys(
        ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts"), 6
    ),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "moe_router_topk"), 2),
    **dict.fromkeys(("n_group", "num_expert_group"), 2),
    "topk_group": 1,
    **dict.fromkeys(("moe_intermediate_size", "expert_ffn_hidden_size"), 20),
    **dict.fromkeys(("shared_expert_intermediate_size", "shared_intermediate_size"), 28),
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
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 7),
    **dict.fromkeys(("mamba_dt_rank", "time_step_rank"), 3),
    # Multipliers that must not be forgotten.
    "embedding_multiplier": 1.7,
    "logits_scaling": 1.3,
    "residual_multiplier": 0.6,
    "attention_multiplier": 0.4,
}

# What the shared names cannot know, by family.
CHANGES: dict[str, dict[str, Any]] = {
    "bloom": {"hidden_size": 32},
    "codegen": {"rotary_dim": 4},
    "cohere": {"logit_scale": 0.7, "use_qk_norm": True},
    "cohere2": {"logit_scale": 0.7},
    "falcon": {"multi_query": False, "new_decoder_architecture": True, "bias": True},
    "gemma2": {"query_pre_attn_scalar": 9, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3_text": {"query_pre_attn_scalar": 9},
    "gpt_neo": {"attention_types": [[["global", "local"], 1], [["global"], 1]]},
    "gptj": {"rotary_dim": 4},
    "llama": {"attention_bias": True, "mlp_bias": True},
    "mpt": {"attn_config": {"alibi": True, "clip_qkv": None}, "logit_scale": 0.7},
    "olmo": {"clip_qkv": 1.5},
    "openai-gpt": {"eos_token_id": 1},
    "phi": {"num_key_value_heads": 4},
    "qwen3_moe": {"mlp_only_layers": [1]},
    "smollm3": {"no_rope_layers": [1, 0, 1]},
    "stablelm": {"use_qkv_bias": True, "qk_layernorm": True},
}


def _layer_kinds(default: list[Any]) -> list[Any]:
    """Layer kinds for a short model: each kind that the default has, then again from the first."""
    kinds = list(dict.fromkeys(default))
    return (kinds * LAYERS)[: max(LAYERS, len(kinds))]


def _rope(default: Any) -> Any:
    """The default's rotation, with the stretch of long contexts taken out."""
    if not isinstance(default, dict):
        return default
    if any(isinstance(value, dict) for value in default.values()):
        return {kind: _rope(value) for kind, value in default.items()}
    kept = {name: default[name] for name in ("rope_theta", "partial_rotary_factor") if name in default}
    if "partial_rotary_factor" in kept:
        kept["partial_rotary_factor"] = 0.5
    return {"rope_type": "default", **kept}


def config_of(family: str, **config: Any) -> PretrainedConfig:
    """The config of a tiny model.

    Args:
        family: a model type.
        **config: changes.
    """
    kind = class_of(family).config_class
    default = kind()
    has = default.to_dict()
    values = {name: value for name, value in _SHARED.items() if name in has}
    for name in ("layer_types", "mlp_layer_types", "layers_block_type"):
        if isinstance(has.get(name), list):
            values[name] = _layer_kinds(has[name])
            n_layers = max(len(values[name]), values.get("num_hidden_layers", LAYERS))
            values["num_hidden_layers"] = n_layers
    if has.get("rope_parameters") is not None:
        values["rope_parameters"] = _rope(has["rope_parameters"])
    if "qk_rope_head_dim" in has:
        # Latent attention: the width follows from its parts, and every head has its own key and value.
        values.pop("head_dim", None)
        values["num_key_value_heads"] = values["num_attention_heads"]
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
