"""Where the time of one of our maps goes, by kind of operation."""

from __future__ import annotations

import time

import torch
from torch._C._profiler import _ExperimentalConfig
from torch.profiler import ProfilerActivity
from transformers import PretrainedConfig

from .rows import Row, model_of, pair_of
from .ways import Ours

KINDS = {
    "matrix products": ("addmm", "::mm", "linear", "matmul", "_linear_pointwise", "mkl_linear"),
    "attention": ("attention", "bmm", "softmax"),
    "norms and activations": ("norm", "gelu", "silu", "tanh", "pow", "rsqrt", "mean"),
    "gather, scatter, copy": ("index", "cat", "copy_", "clone", "gather", "scatter", "slice", "narrow"),
}
"""Words in an operation's name; the first kind that has one counts it."""


def kind_of(name: str) -> str:
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other operations")


def profile(row: Row, config: PretrainedConfig) -> str:
    """One map of a row, with torch's profiler; the second one, so that nothing is there for the first time."""
    torch.set_num_threads(1)
    with torch.no_grad():
        ours = Ours(model_of(config), row)
        cells = row.cells(config.num_hidden_layers, config.num_attention_heads)
        ours.prepare(pair_of(row, config.vocab_size, 0))
        ours.run(cells)
        ours.prepare(pair_of(row, config.vocab_size, 1))
        started = time.process_time()
        ours.run(cells)
        plain = time.process_time() - started
        ours.prepare(pair_of(row, config.vocab_size, 2))
        # The work is done on the model's worker.
        every_thread = _ExperimentalConfig(profile_all_threads=True)
        with torch.profiler.profile(activities=[ProfilerActivity.CPU], experimental_config=every_thread) as watched:
            ours.run(cells)
    spent: dict[str, float] = {}
    for event in watched.key_averages():
        spent[kind_of(event.key)] = spent.get(kind_of(event.key), 0.0) + event.self_cpu_time_total / 1e6
    inside = sum(spent.values())
    lines = [f"{row.name}: {1000 * plain:.0f} ms CPU; under the profiler {1000 * inside:.0f} ms on the clock, of these"]
    for kind, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        lines.append(f"  {kind:24} {1000 * seconds:8.1f} ms  {seconds / inside:5.1%}")
    return "\n".join([*lines, watched.key_averages().table(sort_by="self_cpu_time_total", row_limit=20)])
