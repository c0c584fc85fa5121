"""Tiny random models of five families, with weights large enough that every effect is far above rounding.

Weights are drawn at 1/sqrt(fan_in); at the library's default of 0.02 effects vanish below any tolerance and tests pass
on nothing. Biases and norm gains are drawn too, so that a forgotten bias or gain shows.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import mi_widgets as mi

_TEXT = "When Mary and John went to the store , Anna gave a drink book key home saw . Paul Kate then took it back"
WORDS = _TEXT.split()
FAMILIES = ("gpt2", "llama", "qwen2", "gemma2", "mistral")
WINDOW = 4

CLEAN = "When Mary and John went to the store , John gave a drink to"
CORRUPTED = "When Mary and John went to the store , Mary gave a drink to"
SHORT_CLEAN = "Mary saw Anna , Anna gave a key to"
SHORT_CORRUPTED = "Mary saw Anna , Mary gave a key to"


def word_tokenizer(bos: bool = True) -> PreTrainedTokenizerFast:
    """One token per word, its leading space included; BOS in front, pad and unk.

    Args:
        bos: put the BOS in front by default.
    """
    pieces = ["<pad>", "<s>", "<unk>", *WORDS, *(f" {word}" for word in WORDS)]
    core = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[^ ]+| "), "isolated")
    core.decoder = decoders.Fuse()
    if bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", pieces.index("<s>"))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", pad_token="<pad>", unk_token="<unk>")


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, in a byte-level vocabulary; no BOS, as GPT-2."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {ch: i for i, ch in enumerate(alphabet)} | {"<|endoftext|>": len(alphabet)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=end, eos_token=end, unk_token=end)


def _config(family: str, vocabulary: int) -> transformers.PretrainedConfig:
    gated = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    if family == "gpt2":
        return transformers.GPT2Config(
            vocab_size=vocabulary, n_embd=32, n_layer=3, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=None,
            tie_word_embeddings=False,
        )  # fmt: skip
    if family == "llama":
        return transformers.LlamaConfig(**gated, head_dim=12, attention_bias=True, mlp_bias=True)
    if family == "qwen2":
        return transformers.Qwen2Config(**gated)
    if family == "gemma2":
        return transformers.Gemma2Config(
            **gated | {"tie_word_embeddings": True}, head_dim=16, query_pre_attn_scalar=16, sliding_window=WINDOW,
            attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
        )  # fmt: skip
    if family == "mistral":
        return transformers.MistralConfig(**gated, head_dim=6, sliding_window=WINDOW)
    raise ValueError(family)


def fill(hf: torch.nn.Module, seed: int) -> None:
    """Draw every parameter anew."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in hf.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim == 1 and "norm" not in name and "ln_" not in name:
                p.copy_(0.3 * noise)
            elif p.ndim == 1:
                # Gains are near 1 (gemma2 adds the 1 itself), norm biases near 0.
                start = 0.0 if name.endswith("bias") or "gemma2" in type(hf).__name__.lower() else 1.0
                p.copy_(start + 0.3 * noise)
            elif "embed" in name or ".wte" in name or ".wpe" in name:
                p.copy_(noise * (0.3 if ".wpe" in name else p.shape[-1] ** -0.5 if "gemma2" in str(type(hf)) else 1.0))
            else:
                # GPT-2's Conv1D keeps [in, out], a Linear [out, in].
                conv = ".c_" in name
                p.copy_(1.5 * noise * p.shape[0 if conv else 1] ** -0.5)


def build(family: str, seed: int = 0, vocabulary: int | None = None, **config: object) -> transformers.PreTrainedModel:
    """A model of a family, in eval mode, float32, without touching the global random state.

    Args:
        family: one of `FAMILIES`.
        seed: of the weights.
        vocabulary: tokens; None = those of `word_tokenizer`.
        **config: changes of the config.
    """
    made = _config(family, vocabulary or 3 + 2 * len(WORDS))
    for name, value in config.items():
        setattr(made, name, value)
    with torch.random.fork_rng():
        hf = transformers.AutoModelForCausalLM.from_config(made)
    fill(hf, seed)
    return hf.eval()


@lru_cache
def wrapped(family: str) -> mi.Model:
    """One shared model per family for tests that leave it as it is; a test that changes a model builds its own."""
    return mi.wrap(build(family), word_tokenizer(), family)


def ids_of(model: mi.Model, text: str) -> list[int]:
    """Token ids as the tokenizer gives them."""
    return model.tokenizer(text)["input_ids"]


def experiment(model: mi.Model, clean=CLEAN, corrupted=CORRUPTED, answer=" Mary", distractor=" John", **more):
    """The experiment most tests ask about."""
    return mi.Experiment(model, clean, corrupted, answer, distractor, **more)
