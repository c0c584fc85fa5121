"""What an intervention does to a run that is shown: a preview, which changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..interventions.baselines import Baselines, share_notes
from ..interventions.edits import Edit
from ..interventions.question import Question
from ..results import Progress, Provenance, Result
from .runs import Fresh, Steps, run_steps

TOP = 5
MOST_TOKENS = 8


@dataclass(frozen=True)
class TokenShift:
    """A next token before and after.

    Attributes:
        id: token id.
        label: as shown.
        before, after: its probability at the answer position.
        before_rank, after_rank: how many tokens are likelier; 0 is the top.
    """

    id: int
    label: str
    before: float
    after: float
    before_rank: int
    after_rank: int


@dataclass(frozen=True)
class Effect:
    """What some edits do to the run that they are laid over.

    Attributes:
        before, after: the metric without and with them.
        recovered: share of the way from corrupted to clean at which the run ends; NaN where there is none.
        destroyed: 1 - recovered on the clean prompt, where a run begins at 1 and falls; NaN on the corrupted one.
        tokens: answer, distractor and the likeliest next tokens of both runs, at most 8, the likeliest after the edits
            first.
        notes: sentences about the edits that a reader must know.
        base: "clean" or "corrupted": where the run begins.
        clean, corrupted: the metric of the unedited runs; NaN where there is no such prompt.
        result: the edited run.
    """

    before: float
    after: float
    recovered: float
    destroyed: float
    tokens: tuple[TokenShift, ...]
    notes: tuple[str, ...]
    base: str
    clean: float
    corrupted: float
    result: Result

    @property
    def provenance(self) -> Provenance:
        """Where the numbers come from."""
        return self.result.provenance


def effect_steps(question: Question, edits: Sequence[Edit], fresh: Fresh, prompt: int = 0) -> Steps[Effect]:
    """Run the base of a question with its own edits, and with some more; measure both.

    Args:
        question: its edits are those of the run that is shown, () for an unedited one.
        edits: what is tried.
        fresh: gives the unedited runs.
        prompt: whose tokens are told; numbers are of all prompts of the question.

    Raises:
        BadInput, SiteUnavailable, PromptMismatch, NotFinite, EditNeverFired: as a run of these edits.
    """
    yield Progress(0, 2)
    base = yield from fresh(question)

    def known(_: Question) -> Steps[Baselines]:
        # The runs below look at no other unedited ones, and one look at the user's model is enough.
        yield from ()
        return base

    if question.edits:
        found = yield from run_steps(question, known)
        before, logits = found.per_prompt["metric"], found.logits
    else:
        unedited = base.corrupted_logits if question.base == "corrupted" else base.clean_logits
        assert unedited is not None
        before, logits = base.of(question.base), unedited
    yield Progress(1, 2)
    result = yield from run_steps(replace(question, edits=(*question.edits, *edits)), known)
    return Effect(
        before=float(before.mean()),
        after=result.metric,
        recovered=result.recovered,
        destroyed=1 - result.recovered if question.base == "clean" else float("nan"),
        tokens=_shifts(question, prompt, logits[prompt], result.logits[prompt]),
        notes=(*question.notes(edits), *share_notes(question, base)),
        base=question.base,
        clean=float(base.clean.mean()),
        corrupted=float("nan") if base.corrupted is None else float(base.corrupted.mean()),
        result=result,
    )


def _shifts(question: Question, prompt: int, before: torch.Tensor, after: torch.Tensor) -> tuple[TokenShift, ...]:
    """The answers of a prompt and tokens among the likeliest of either run; `before` and `after` are [vocab] logits."""
    was, now = before.float().softmax(-1), after.float().softmax(-1)
    top = min(TOP, len(now))
    ids = {*was.topk(top).indices.tolist(), *now.topk(top).indices.tolist()}
    asked = [answer.ids[prompt][0] for answer in (question.answer, question.distractor) if answer is not None]
    likeliest = sorted(ids.difference(asked), key=lambda i: -max(float(was[i]), float(now[i])))
    kept = [*dict.fromkeys(asked), *likeliest][:MOST_TOKENS]
    kept.sort(key=lambda i: -float(now[i]))
    label = question.model.text.label

    def place(run: torch.Tensor, token: int) -> int:
        return int((run > run[token]).sum())

    return tuple(TokenShift(i, label(i), float(was[i]), float(now[i]), place(before, i), place(after, i)) for i in kept)
