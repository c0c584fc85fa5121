"""What is measured at the answer position, and how much of it an edit brings back. Plain functions of logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from ..errors import BadInput


@dataclass(frozen=True)
class Answer:
    """Answers (or distractors) of each prompt, as token ids.

    Attributes:
        ids: for each prompt the alternatives; of a `Sequence` its first token.
        texts: the same as text.
        guessed: taken from the model's own top token because none was given.
        sequences: for each prompt all tokens of its `Sequence`, in order; None for answers of one token.
    """

    ids: tuple[tuple[int, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    guessed: bool = False
    sequences: tuple[tuple[int, ...], ...] | None = None

    def one(self, prompt: int) -> Answer:
        """The answer of one of the prompts."""
        sequences = None if self.sequences is None else (self.sequences[prompt],)
        return replace(self, ids=(self.ids[prompt],), texts=(self.texts[prompt],), sequences=sequences)


def _nothing(run: str) -> torch.Tensor | None:
    return None


@dataclass(frozen=True, eq=False)
class Rows:
    """What a metric may look at besides the logits; everything is aligned by row.

    A row is one run of one prompt. In a sweep many rows belong to one prompt: ``rows.index`` says which.

    Attributes:
        index: [row] int64, the prompt each row belongs to; ``labels[rows.index]`` lines anything per prompt up.
        answer_ids: for each row the token ids of its alternatives.
        distractor_ids: the same; None without a distractor.
        unedited: gives [row, vocab] of the unedited "clean" or "corrupted" run, or None where there is none.
    """

    index: torch.Tensor
    answer_ids: tuple[tuple[int, ...], ...]
    distractor_ids: tuple[tuple[int, ...], ...] | None = None
    unedited: Callable[[str], torch.Tensor | None] = field(default=_nothing, repr=False)

    def __len__(self) -> int:
        return len(self.answer_ids)

    @cached_property
    def clean_logits(self) -> torch.Tensor:
        """[row, vocab] float32 of the unedited clean run at the answer position."""
        found = self.unedited("clean")
        if found is None:
            raise BadInput("These rows have no clean run.", hint="Measure through an experiment.")
        return found

    @cached_property
    def corrupted_logits(self) -> torch.Tensor | None:
        """[row, vocab] float32 of the unedited corrupted run at the answer position; None without one."""
        return self.unedited("corrupted")

    def take(self, rows: Sequence[int]) -> Rows:
        """Some of the rows, by their numbers."""
        which = list(rows)

        def unedited(run: str) -> torch.Tensor | None:
            whole = self.unedited(run)
            return None if whole is None else whole[which]

        others = self.distractor_ids
        return Rows(
            index=self.index[which],
            answer_ids=tuple(self.answer_ids[r] for r in which),
            distractor_ids=None if others is None else tuple(others[r] for r in which),
            unedited=unedited,
        )


Metric = Callable[[torch.Tensor, Rows], torch.Tensor]


def _pick(
    values: torch.Tensor, ids: tuple[tuple[int, ...], ...], how: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """[row] from the values [row, vocab] of each row's alternatives; `how` takes [row, alternative] to [row]."""
    counts = {len(alternatives) for alternatives in ids}
    if len(counts) == 1:
        return how(values.gather(1, torch.tensor(ids, device=values.device)))
    return torch.cat([how(values[row : row + 1, list(several)]) for row, several in enumerate(ids)])


def logit_diff(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Mean logit of the answers minus that of the distractors (without any: minus the mean over the vocabulary)."""
    against = logits.mean(-1) if rows.distractor_ids is None else _pick(logits, rows.distractor_ids, _mean)
    return _pick(logits, rows.answer_ids, _mean) - against


def _mean(values: torch.Tensor) -> torch.Tensor:
    return values.mean(-1)


def prob(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Probability of the answer; of alternatives, the sum."""
    return _pick(logits.softmax(-1), rows.answer_ids, lambda v: v.sum(-1))


def logprob(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Log-probability of the answer in nats; of alternatives, log of the sum."""
    return _pick(logits.log_softmax(-1), rows.answer_ids, lambda v: v.logsumexp(-1))


def rank(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """How many tokens have a strictly greater logit (0 = top); of alternatives, the best."""
    best = _pick(logits, rows.answer_ids, lambda v: v.amax(-1))
    return (logits > best[:, None]).sum(-1).to(logits.dtype)


def kl(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    """KL(clean || run) in nats at the answer position; the reference is the unedited clean run whatever the base."""
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
