"""The unedited runs of a question, measured, with the noise floor below which a difference means nothing."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import torch

from .capture import Captures
from .question import Question


@dataclass(frozen=True)
class Baselines:
    """What edited runs are compared with.

    Attributes:
        clean, corrupted: [prompt] float32 metric; corrupted is None when there is no such prompt.
        clean_logits, corrupted_logits: [prompt, vocab] float32 at the answer position.
        floor: noise floor in metric units.
    """

    clean: torch.Tensor
    corrupted: torch.Tensor | None
    clean_logits: torch.Tensor
    corrupted_logits: torch.Tensor | None
    floor: float

    def of(self, base: str) -> torch.Tensor:
        """[prompt] metric of the base run."""
        return self.corrupted if base == "corrupted" and self.corrupted is not None else self.clean


def baseline_steps(question: Question) -> Generator[None, None, Baselines]:
    """Measure the unedited runs, one forward pass a step.

    The noise floor is the largest difference over prompts between the metric of the unedited base in its batch and in
    a forward pass of its own, and at least 4 units in the last place of the dtype at the largest answer logit.
    """
    logits, metric = {}, {}
    for run in question.unedited:
        found = question.outcome(run)
        logits[run], metric[run] = found.logits, found.metric
        yield
    floor = _ulps(question, logits[question.base])
    if len(question.clean) > 1:
        alone = []
        for row in range(len(question.clean)):
            alone.append(_alone(question, row))
            yield
        floor = max(floor, float((metric[question.base] - torch.cat(alone)).abs().max()))
    on_cpu = {run: found.cpu() for run, found in logits.items()}
    return Baselines(metric["clean"], metric.get("corrupted"), on_cpu["clean"], on_cpu.get("corrupted"), floor)


def _alone(question: Question, row: int) -> torch.Tensor:
    """[1] the metric of one unedited base prompt in a forward pass of its own."""
    one = question.one(row)
    if one.sequential:
        return replace(one, captures=Captures(0)).outcome(one.base).metric
    logits = one.plain_logits(one.batch(one.base))
    # The reference of kl, and what a callable looks at, are the baselines' own.
    return question.measure_rows(logits, [row]).cpu()


def share_notes(question: Question, base: Baselines) -> tuple[str, ...]:
    """Sentences about a share that is not there, or that leaves prompts out of `per_prompt`."""
    if question.metric == "rank":
        return ("rank counts tokens and has no recovered share.",)
    if base.corrupted is None:
        return ()
    found: list[str] = []
    d = base.clean - base.corrupted
    if float(d.mean().abs()) < 10 * base.floor:
        found.append("The clean and the corrupted metric differ by less than ten noise floors: there is no share.")
    low = int((d.abs() < base.floor).sum())
    if low:
        found.append(f"{low} of {len(d)} prompts differ by less than the noise floor.")
    return tuple(found)


def _ulps(question: Question, logits: torch.Tensor) -> float:
    ids = (
        [list(row) for row in question.answer.ids]
        if question.answer is not None
        else [[int(r.argmax())] for r in logits]
    )
    largest = max(float(logits[row, several].abs().max()) for row, several in enumerate(ids))
    return 4 * float(torch.finfo(question.model.dtype).eps) * max(largest, 1e-3)


def still_true(question: Question, run: str) -> bool:
    """Run a prompt once more and compare with the cache; False when weights changed without raising a version.

    ``p.data.add_()`` leaves no trace in the stamp: the numbers tell.
    """
    batch = question.batch(run)
    cached = question.answer_logits(run)
    fresh = question.at_answer(batch, question.model.forward(batch, keep=question.columns(batch)))
    limit = 16 * float(torch.finfo(question.model.dtype).eps) * float(cached.abs().max().clamp(min=1e-3))
    return bool((cached - fresh).abs().max() <= limit)
