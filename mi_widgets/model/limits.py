"""How long a prompt a model takes: where its positions end, and how far it was trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from .architecture import text_config

_STATED = ("max_position_embeddings", "n_positions", "max_seq_len")


@dataclass(frozen=True)
class Limits:
    """Longest prompts, in tokens.

    Attributes:
        table: beyond this the model has no position to give and cannot run; None = it can run any length.
        trained: beyond this it runs at positions that its config does not speak of; None = the config sets no limit.
    """

    table: int | None = None
    trained: int | None = None


def limits_of(hf: Any) -> Limits:
    """Limits of a model: a table of positions ends where it ends, whatever the config says.

    Rotary and ALiBi positions are computed for any length: transformers runs them past ``max_position_embeddings``
    without a word. A sliding window is no limit: it only says how far back a token looks.

    Args:
        hf: a transformers causal language model.
    """
    config = text_config(hf)
    stated = next((n for name in _STATED if isinstance(n := getattr(config, name, None), int) and n > 0), None)
    tables = _learned(hf)
    # Sinusoids and causal masks are laid out once, one row for each position the config states.
    fixed = stated is not None and any(b.ndim >= 2 and b.shape[-2] == stated for _, b in hf.named_buffers())
    # MPT lays its ALiBi out for max_seq_len positions in each pass, and cannot go past them.
    if stated is not None and (fixed or stated == getattr(config, "max_seq_len", None)):
        tables.append(stated)
    return Limits(min(tables, default=None), stated)


def _learned(hf: Any) -> list[int]:
    """Positions of each learned position embedding: its rows, less those in front of position 0."""
    found = []
    tokens = hf.get_input_embeddings()
    config = text_config(hf)
    widths = {getattr(tokens, "embedding_dim", 0), getattr(config, "hidden_size", 0)}
    for path, module in hf.named_modules():
        name = path.rpartition(".")[2]
        # Towers for pictures and sound have tables of their own, of another width.
        if (
            isinstance(module, nn.Embedding)
            and module is not tokens
            and module.embedding_dim in widths
            and ("pos" in name or name == "wpe")
        ):
            skipped = getattr(module, "offset", 0 if module.padding_idx is None else module.padding_idx + 1)
            found.append(module.num_embeddings - int(skipped))
    return found
