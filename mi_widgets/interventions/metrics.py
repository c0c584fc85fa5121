"""What is measured at the answer position, and how much of it an edit brings back. Plain functions of logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import BadInput


@dataclass(frozen=True)
class Answer:
    """Answers (or distractors) of each prompt, as token ids.

    Attributes:
        ids: for each prompt the alternatives.
        texts: the same as text.
        guessed: taken from the model's own top token because none was given.
    """

    ids: tuple[tuple[int, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    guessed: bool = False


@dataclass(frozen=True)
class Rows:
    """What a metric may look at besides the logits; aligned by row.

    Attributes:
        answer, distractor: ids of each row's alternatives; distractor is None without one.
        clean_logits: [row, vocab] float32 of the unedited clean run.
    """

    answer: tuple[tuple[int, ...], ...]
    distractor: tuple[tuple[int, ...], ...] | None
    clean_logits: torch.Tensor | None = None


Metric = Callable[[torch.Tensor, Rows], torch.Tensor]


def _pick(
    values: torch.Tensor, ids: tuple[tuple[int, ...], ...], how: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    return torch.stack([how(values[row, list(alternatives)]) for row, alternatives in enumerate(ids)])


def logit_diff(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Mean logit of the answers minus that of the distractors (without any: minus the mean over the vocabulary)."""
    against = logits.mean(-1) if rows.distractor is None else _pick(logits, rows.distractor, torch.mean)
    return _pick(logits, rows.answer, torch.mean) - against


def prob(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Probability of the answer; of alternatives, the sum."""
    return _pick(logits.softmax(-1), rows.answer, torch.sum)


def logprob(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Log-probability of the answer in nats; of alternatives, log of the sum."""
    return _pick(logits.log_softmax(-1), rows.answer, lambda v: v.logsumexp(-1))


def rank(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """How many tokens have a strictly greater logit (0 = top); of alternatives, the best."""
    best = _pick(logits, rows.answer, torch.amax)
    return (logits > best[:, None]).sum(-1).to(logits.dtype)


def kl(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """KL(clean || run) in nats at the answer position."""
    assert rows.clean_logits is not None
    clean = rows.clean_logits.log_softmax(-1)
    return (clean.exp() * (clean - logits.log_softmax(-1))).sum(-1)


METRICS: dict[str, tuple[Metric, str]] = {
    "logit_diff": (logit_diff, "logit difference"),
    "prob": (prob, "probability"),
    "logprob": (logprob, "log-probability"),
    "rank": (rank, "rank"),
    "kl": (kl, "KL from clean"),
}
"""{name: (function, what people read)}."""


def measure(name: str, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """A metric by name over float32 logits.

    Args:
        name: a key of `METRICS`.
        logits: [row, vocab], any dtype; cast to float32 first.
        rows: what belongs to the rows.

    Returns:
        [row] float32.
    """
    if name not in METRICS:
        raise BadInput(f"There is no metric {name!r}.", hint=f"Metrics: {', '.join(METRICS)}.")
    return METRICS[name][0](logits.float(), rows)


@dataclass(frozen=True)
class Recovered:
    """Share of the clean-corrupted difference that a run has; see `recovered`."""

    mean: torch.Tensor
    stderr: torch.Tensor
    per_prompt: torch.Tensor


def recovered(
    run: torch.Tensor, clean: torch.Tensor, corrupted: torch.Tensor | None, floor: float, name: str
) -> Recovered:
    """Ratio of means: mean(run - corrupted) / mean(clean - corrupted); 1 = clean, 0 = corrupted, never clipped.

    Args:
        run: [prompt, ...] metric of the edited runs.
        clean, corrupted: [prompt] metrics of the unedited runs; without corrupted everything is NaN.
        floor: noise floor; below ten of them the difference means nothing and the share is NaN.
        name: the metric. For kl this is 1 - KL / KL of corrupted; rank has no share (NaN).

    Returns:
        mean and stderr [...], per_prompt [prompt, ...]. stderr = sqrt(sum e^2 / (P (P-1))) / |mean d| with
        e = n - R d; NaN for one prompt.
    """
    nan = torch.full_like(run, float("nan"))
    if corrupted is None or name == "rank":
        return Recovered(nan.mean(0), nan.mean(0), nan)
    shape = (-1,) + (1,) * (run.ndim - 1)
    d = (clean - corrupted).reshape(shape)
    n = run - corrupted.reshape(shape)
    if float(d.mean().abs()) < 10 * floor:
        return Recovered(nan.mean(0), nan.mean(0), nan)
    mean = n.mean(0) / d.mean(0)
    prompts = run.shape[0]
    error = n - mean * d
    stderr = (
        (error.square().sum(0) / (prompts * (prompts - 1))).sqrt() / d.mean(0).abs() if prompts > 1 else nan.mean(0)
    )
    own = torch.where(d.abs() < floor, torch.full_like(d, float("nan")), d)
    return Recovered(mean, stderr, n / own)
