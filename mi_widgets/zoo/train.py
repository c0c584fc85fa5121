"""Training a shipped checkpoint from its recipe, on one CPU thread, reproducibly.

The same seed, torch build and processor type give the same weights; another processor may round
differently and end at other weights of the same kind.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from mi_widgets.zoo.recipe import Batch, Recipe, Schedule


@dataclass(frozen=True)
class Trained:
    """A trained model, float32, with its course.

    Attributes:
        model: In evaluation mode.
        tokenizer: Its tokenizer.
        losses: The weighted loss of each step, in nats.
        scores: `(step, score)` along the way; the last one is the finished model's.
        kept: `{step: weights}`, float32, of the steps that the recipe keeps besides the last.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    losses: tuple[float, ...]
    scores: tuple[tuple[int, float], ...]
    kept: Mapping[int, Mapping[str, torch.Tensor]] = field(default_factory=dict)


def rate_at(schedule: Schedule, step: int) -> float:
    """The learning rate of a step, counted from 0: linear warm-up, the peak for a while, then a cosine to zero."""
    if step < schedule.warmup:
        return schedule.rate * (step + 1) / schedule.warmup
    start = schedule.warmup + schedule.hold
    done = max(0, step - start) / max(1, schedule.steps - start)
    return schedule.rate * 0.5 * (1 + math.cos(math.pi * done))


def loss_of(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The weighted mean cross-entropy of a batch, a scalar in nats."""
    from torch.nn.functional import cross_entropy

    # Padding stands on the right and weighs nothing, so causal attention needs no mask; one of ones
    # only keeps transformers from warning about it.
    mask = batch.ids.new_ones(batch.ids.shape)
    logits = model(input_ids=batch.ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    losses = cross_entropy(logits.transpose(1, 2), batch.ids[:, 1:], reduction="none")
    weights = batch.weights[:, 1:]
    return (losses * weights).sum() / weights.sum()


@contextmanager
def one_thread(seed: int = 0) -> Iterator[None]:
    """Run torch on one thread from a seed, and put the caller's threads and random state back.

    Small models are quicker so, above all on a machine that is busy: measuring tiny-names took 89 s on
    two shared threads beside a training run, 13 s on one.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def train(
    recipe: Recipe,
    seed: int | None = None,
    steps: int | None = None,
    progress: Callable[[int, int, float, float], None] | None = None,
) -> Trained:
    """Train a recipe's model.

    Args:
        recipe: What to train.
        seed: Weights and text both follow it; None is the recipe's own.
        steps: Stop after so many steps of the recipe's schedule; None is all of them.
        progress: Called after each step with (steps done, of how many, loss in nats, latest score).

    Returns:
        The model, in evaluation mode, with losses and scores. The caller's random state and thread
        count are as before.

    Example:
        >>> from mi_widgets.zoo.recipe import load
        >>> len(train(load("tiny-names"), steps=2).losses)
        2
    """
    import torch

    seed = recipe.seed if seed is None else seed
    count = recipe.schedule.steps if steps is None else min(steps, recipe.schedule.steps)
    with one_thread(seed):
        tokenizer = recipe.tokenizer()
        model = recipe.model(tokenizer).train()
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim > 1]
        vectors = [p for p in trained if p.ndim <= 1]
        optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.schedule.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.schedule.rate,
            betas=recipe.schedule.betas,
        )
        losses: list[float] = []
        scores: list[tuple[int, float]] = []
        kept = {0: _weights(model)} if 0 in recipe.keep else {}
        source = recipe.batches(tokenizer, seed)
        for step in range(count):
            for group in optimiser.param_groups:
                group["lr"] = rate_at(recipe.schedule, step)
            loss = (recipe.loss or loss_of)(model, next(source))
            optimiser.zero_grad(set_to_none=True)
            # The model was built here and is nobody else's, so its .grad fields are free to use.
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, recipe.schedule.clip)
            optimiser.step()
            losses.append(float(loss.detach()))
            if (step + 1) % recipe.score_every == 0 or step + 1 == count:
                model.eval()
                scores.append((step + 1, recipe.score(model, tokenizer)))
                model.train()
            if step + 1 in recipe.keep:
                kept[step + 1] = _weights(model)
            if progress is not None:
                progress(step + 1, count, losses[-1], scores[-1][1] if scores else float("nan"))
        return Trained(model.eval(), tokenizer, tuple(losses), tuple(scores), kept)


def _weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def save(trained: Trained, folder: Path) -> None:
    """Write a Hugging Face folder: configuration, float16 safetensors, tokenizer.

    A kept step is the *variant* `step600` of the folder: `model.step600.safetensors`, which shares
    configuration and tokenizer with the finished model and loads with
    `AutoModelForCausalLM.from_pretrained(folder, variant="step600")`.

    The model passed in stays float32.
    """
    import copy

    import torch

    folder.mkdir(parents=True, exist_ok=True)
    half: Any = copy.deepcopy(trained.model)
    half.to(torch.float16).save_pretrained(folder)
    for step, weights in trained.kept.items():
        half.load_state_dict(weights)
        half.save_pretrained(folder, variant=f"step{step}")
    trained.tokenizer.save_pretrained(folder)
