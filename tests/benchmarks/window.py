"""A map over a window of positions of a long prompt: what memory it takes above the model, and that it is right."""

from __future__ import annotations

import random
import resource
import sys
import time
from dataclasses import dataclass

import torch
import transformers

import mi_widgets as mi

from .rows import Cell, Row, model_of, pair_of, tokenizer_of
from .ways import Hooks

TOKENS, WINDOW = 2048, 8
MOST = 2048
"""Megabytes above the model's own memory that were promised."""

COMPARED = 3
"""Cells that plain hooks run too."""


@dataclass(frozen=True)
class Window:
    """What a window of a long prompt took.

    Attributes:
        tokens, cells: length of the prompts, and size of the map.
        megabytes: the most that was resident, above what was when the model had been loaded and run once.
        seconds: of CPU time, for baselines and map.
        error: the largest difference from plain hooks, over `compared` cells.
    """

    tokens: int
    cells: int
    megabytes: float
    seconds: float
    error: float
    compared: int


def measure_window(config: transformers.PretrainedConfig, tokens: int = TOKENS, window: int = WINDOW) -> Window:
    """Sweep resid_pre over the last positions of a long prompt, in all layers.

    Args:
        config: of the model.
        tokens: length of both prompts; no position holds the same token in both.
        window: how many positions, the last ones.
    """
    torch.set_num_threads(1)
    row = Row("gpt2", tokens, False, "resid_pre")
    hf = model_of(config)
    pair = pair_of(row, config.vocab_size, 0)
    with torch.no_grad():
        hf(pair.clean[:, :16], use_cache=False)  # what the libraries fetch when they first run is not the map's
    before, started = _most(), time.process_time()
    exp = mi.Experiment(
        mi.wrap(hf, tokenizer_of(config.vocab_size)),
        clean=pair.clean[0].tolist(),
        corrupted=pair.corrupted[0].tolist(),
        answer=pair.answer,
        distractor=pair.distractor,
    )
    positions = list(range(tokens - window, tokens))
    result = exp.sweep("resid_pre", positions=positions, progress=False)
    taken, seconds = _most() - before, time.process_time() - started
    cells: list[Cell] = [(layer, p) for layer in range(result.metric.shape[0]) for p in positions]
    hooks = Hooks(hf, row)
    with torch.no_grad():
        hooks.prepare(pair)
        found = hooks.run(random.Random(0).sample(cells, COMPARED))
    error = max(abs(value - float(result.metric[layer, positions.index(p)])) for (layer, p), value in found.items())
    return Window(tokens, len(cells), taken / 2**20, seconds, error, len(found))


def _most() -> int:
    """Bytes: the most that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
