"""What a shipped checkpoint is made from: data that `train.py` follows, one module per checkpoint.

A recipe module sets `RECIPE`. Adding a checkpoint means writing that module and naming it in `MODULES`;
training, the command line, the model card and the list of shipped names need no change.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

MODULES: Mapping[str, str] = {
    "tiny-names": "mi_widgets.zoo.tiny_names",
    "tiny-induction": "mi_widgets.zoo.tiny_induction",
    "tiny-addition": "mi_widgets.zoo.tiny_addition",
}


@dataclass(frozen=True)
class Schedule:
    """AdamW with linear warm-up, a stretch at the peak rate, then a cosine to zero.

    Attributes:
        steps: Optimiser steps.
        rate: Peak learning rate.
        betas: AdamW's decay rates.
        weight_decay: On matrices and embeddings; biases and norms have none.
        warmup: Steps of linear warm-up.
        clip: Largest norm of the gradient.
        hold: Steps at the peak rate between warm-up and cosine.
    """

    steps: int
    rate: float
    betas: tuple[float, float]
    weight_decay: float
    warmup: int
    clip: float
    hold: int = 0


@dataclass(frozen=True)
class Batch:
    """One step's tokens.

    Attributes:
        ids: `[row, position]` int64.
        weights: `[row, position]` float32, the weight of predicting the token *at* that position;
            0 at the first position and at padding.
    """

    ids: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Recipe:
    """How one checkpoint is made and judged.

    Attributes:
        name: What `mi_widgets.load` calls it.
        summary: One sentence for the list of checkpoints.
        seed: The seed that is trained when none is given: the one that ships.
        schedule: The optimiser's course.
        tokenizer: Builds the tokenizer.
        model: Builds the untrained model, float32, for a tokenizer.
        batches: Endless batches for a tokenizer and a seed.
        score: A quick figure in 0..1 for the progress bar and for choosing between seeds.
        measure: Every figure of the model card, measured on a folder that `train.save` wrote.
        merit: One number from the figures; of several seeds the greatest is kept.
        headline: The few figures that the table of seeds shows.
        card: The model card's text, from the figures and the record of the training.
        keep: Training steps, before the last, whose weights are saved as well; 0 is the untrained model.
        score_every: Steps between two scores.
        loss: The loss of a batch, a scalar in nats; None is `train.loss_of`.
    """

    name: str
    summary: str
    seed: int
    schedule: Schedule
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    model: Callable[[PreTrainedTokenizerFast], PreTrainedModel]
    batches: Callable[[PreTrainedTokenizerFast, int], Iterator[Batch]]
    score: Callable[[PreTrainedModel, PreTrainedTokenizerFast], float]
    measure: Callable[[Path], dict[str, Any]]
    merit: Callable[[Mapping[str, Any]], float]
    headline: Callable[[Mapping[str, Any]], Mapping[str, float]]
    card: Callable[[Mapping[str, Any], Mapping[str, Any]], str]
    keep: tuple[int, ...] = ()
    score_every: int = 250
    loss: Callable[[PreTrainedModel, Batch], torch.Tensor] | None = None


def load(name: str) -> Recipe:
    """The recipe of a shipped checkpoint.

    Raises:
        UnknownCheckpoint: There is no checkpoint of that name.
    """
    from mi_widgets.zoo import check

    recipe = importlib.import_module(MODULES[check(name)]).RECIPE
    assert isinstance(recipe, Recipe)
    return recipe
