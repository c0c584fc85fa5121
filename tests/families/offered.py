"""Which model types of the installed transformers are decoder-only causal language models, and why others are not."""

from __future__ import annotations

from functools import lru_cache

import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

# What no rule below can tell.
_NOT_A_DECODER = {
    "blt": "reads bytes through an encoder and a patcher, not tokens",
    "cpmant": "attends to its whole prompt at once: not causal",
    "gemma4_assistant": "drafts for another model and reads that model's hidden states",
    "gemma4_unified_assistant": "drafts for another model and reads that model's hidden states",
    "git": "captions images: its text attends to the image's tokens",
    "moshi": "speech model: its tokens run beside audio codes",
    "musicgen": "predicts audio codes, several at a time",
    "musicgen_melody": "predicts audio codes, several at a time",
    "reformer": "which earlier tokens its hashed attention sees depends on later ones: not causal",
    "trocr": "decoder half of an encoder-decoder",
    "xlnet": "permutation language model: its attention is not causal",
}


def class_of(family: str) -> type[transformers.PreTrainedModel]:
    """The causal language model class of a model type.

    Raises:
        KeyError: the installed transformers has no such model type.
    """
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]
    return getattr(transformers, name if isinstance(name, str) else name[0])


@lru_cache
def excluded() -> dict[str, str]:
    """{model type: why it is not walked}."""
    by_class: dict[type, list[str]] = {}
    for family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        by_class.setdefault(class_of(family), []).append(family)
    return {
        family: reason
        for cls, sharing in by_class.items()
        for family in sharing
        if (reason := _reason(family, cls, sharing))
    }


def _reason(family: str, cls: type[transformers.PreTrainedModel], sharing: list[str]) -> str | None:
    own = getattr(cls.config_class, "model_type", None)
    if family in _NOT_A_DECODER:
        return _NOT_A_DECODER[family]
    if own != family and own in sharing:
        return f"the class of {own}"
    if getattr(CONFIG_MAPPING[family], "is_encoder_decoder", False):
        return "decoder half of an encoder-decoder"
    if cls.__name__.endswith("ForConditionalGeneration"):
        return "wraps a text decoder together with other inputs"
    return None


@lru_cache
def families() -> tuple[str, ...]:
    """All model types that the installed transformers offers as decoder-only causal language models, sorted."""
    return tuple(sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(excluded())))
