"""What an experiment's public calls do on the worker: jobs in steps that end in a result."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..analysis.common import provenance
from ..interventions.baselines import Baselines, share_notes
from ..interventions.many import Edited, kernel_words, outcome_steps
from ..interventions.metrics import Recovered, recovered
from ..interventions.question import Question
from ..results import Progress, Result
from .answers import guessed
from .later import Later

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Steps = Generator[Any, None, T]
"""Work on the worker: each `yield` lets more urgent work through."""

Fresh = Callable[[Question], Steps[Baselines]]
"""Gives the baselines of a question, after a look whether the user's model has changed."""


def guess_steps(question: Question, look: Callable[[Question], Steps[None]]) -> Steps[Question]:
    """The clean run's top token as answer and, with a corrupted prompt, its top token as distractor.

    Where both runs agree on some prompts only, the distractor there is the corrupted run's best other token; where they
    agree on all, there is none. A distractor that was given is never the answer.

    Args:
        question: without an answer.
        look: drops caches when the user's model has changed.
    """
    yield Progress(0, 1)
    yield from look(question)
    clean = question.answer_logits("clean")
    top = _best(clean, question.distractor.ids if question.distractor is not None else ((),) * len(clean))
    question = replace(question, answer=guessed(question.model, top))
    if question.distractor is None and question.corrupted is not None:
        corrupted = question.answer_logits("corrupted")
        if corrupted.argmax(-1).tolist() != top:
            other = _best(corrupted, [(answer,) for answer in top])
            question = replace(question, distractor=guessed(question.model, other))
    return question


def _best(logits: torch.Tensor, not_these: Sequence[Sequence[int]]) -> list[int]:
    """The top token of each row that is none of those."""
    left = logits.clone()
    for row, ids in enumerate(not_these):
        left[row, list(ids)] = -torch.inf
    return [int(best) for best in left.argmax(-1)]


def run_steps(question: Question, fresh: Fresh) -> Steps[Result]:
    """One edited run, measured; see `Experiment.run`."""
    started = time.perf_counter()
    yield Progress(0, 1)
    base = yield from fresh(question)
    found, account = yield from outcome_steps(question)
    floor = max(base.floor, account.floor)
    metric = found.metric
    share = recovered(metric, base.clean, base.corrupted, floor, question.metric)
    stderr, metric_stderr = _errors(found, share, base)
    later = Later(question, found)
    return Result(
        provenance=provenance(
            question,
            "edited",
            account.words,
            started,
            floor=floor,
            notes=share_notes(question, base),
            kernel=kernel_words(question) if question.edits else None,
        ),
        logits=later.logits if found.logits is None else found.logits.cpu(),
        metric=float(metric.mean()),
        recovered=float(share.mean),
        stderr=stderr,
        metric_stderr=metric_stderr,
        per_prompt={"metric": metric, "recovered": share.per_prompt},
        metric_name=question.metric,
        labels=later.labels,
    )


def _errors(found: Edited, share: Recovered, base: Baselines) -> tuple[float, float]:
    """Standard errors of the share and of the metric; NaN for one prompt, unless it is a mean over draws.

    Each prompt draws for itself, so draws are part of what several prompts differ by.
    """
    if len(found.metric) > 1:
        return float(share.stderr), float(found.metric.std() / len(found.metric) ** 0.5)
    if found.draws is None:
        return float("nan"), float("nan")
    error = float(found.draws.std() / len(found.draws) ** 0.5)
    whole = float("nan") if base.corrupted is None else abs(float((base.clean - base.corrupted).mean()))
    return (error / whole if bool(share.mean.isfinite()) else float("nan")), error


def baseline_frame(question: Question, base: Baselines) -> pd.DataFrame:
    """The unedited runs as a table; see `Experiment.baselines`."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    runs = (("clean", base.clean, base.clean_logits), ("corrupted", base.corrupted, base.corrupted_logits))
    for run, metric, logits in runs:
        if metric is None or logits is None:
            continue
        # Of an answer of several tokens the whole has a probability, and its first token a rank.
        answer = question.answer
        first = question if answer is None else replace(question, answer=replace(answer, sequences=None))
        prob, rank, better = (replace(first, metric=m).measure(logits) for m in ("prob", "rank", "logit_diff"))
        prob = metric.exp() if question.sequential else prob
        for p in range(len(metric)):
            correct = rank[p] == 0 if question.distractor is None else better[p] > 0
            rows.append(
                {
                    "run": run,
                    "prompt": p,
                    "metric": float(metric[p]),
                    "probability": float(prob[p]),
                    "rank": int(rank[p]),
                    "correct": bool(correct),
                    "top": question.model.text.piece(int(logits[p].argmax())),
                }
            )
    return pd.DataFrame(rows).set_index("run")
