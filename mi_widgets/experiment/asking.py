"""Builds a `Question` from what a user wrote, or says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput
from ..interventions.capture import Captures
from ..interventions.metrics import METRICS
from ..interventions.question import Question
from ..model.handle import Model
from ..model.tokens import Batch, source_positions
from .answers import answers_of, checked_position, prompts_of


@dataclass(frozen=True)
class Asked:
    """What a user asks, as written; `Batch` and ids stand for what was already tokenised."""

    clean: Any
    corrupted: Any
    answer: Any
    distractor: Any
    metric: str
    base: str | None
    answer_position: Any


def question_of(
    model: Model,
    asked: Asked,
    *,
    align: str | Mapping[int, int] | None,
    bos: bool | None,
    rev: int,
    captures: Captures,
) -> Question:
    """Check everything and lay it out; an answer that was not given stays None.

    Raises:
        BadInput, AnswerNotSingleToken: says what was wrong and what to do.
    """
    clean = asked.clean if isinstance(asked.clean, Batch) else prompts_of(model, asked.clean, bos)
    corrupted = asked.corrupted
    if corrupted is not None and not isinstance(corrupted, Batch):
        corrupted = prompts_of(model, corrupted, bos)
    if corrupted is not None and len(corrupted) != len(clean):
        raise BadInput(
            f"There are {len(clean)} clean prompts and {len(corrupted)} corrupted ones.", hint="Give as many of each."
        )
    if not isinstance(asked.metric, str) or asked.metric not in METRICS:
        raise BadInput(f"There is no metric {asked.metric!r}.", hint=f"Metrics: {', '.join(METRICS)}.")
    default_base = "corrupted" if corrupted is not None else "clean"
    base = default_base if asked.base is None else asked.base
    if base not in ("clean", "corrupted") or (base == "corrupted" and corrupted is None):
        raise BadInput(
            f"base {base!r} is not there.", hint="base is 'clean', or 'corrupted' when there is a corrupted prompt."
        )
    if align is not None and corrupted is not None:
        here, there = (clean, corrupted) if base == "clean" else (corrupted, clean)
        for row in range(len(clean)):
            source_positions(here.prompts[row], there.prompts[row], align)
    if corrupted is not None:
        checked_position(corrupted, asked.answer_position)
    return Question(
        model=model,
        clean=clean,
        corrupted=corrupted,
        answer=answers_of(model, asked.answer, len(clean), "answer"),
        distractor=answers_of(model, asked.distractor, len(clean), "distractor"),
        metric=asked.metric,
        base=base,
        align=align,
        answer_position=checked_position(clean, asked.answer_position),
        edits=(),
        rev=rev,
        captures=captures,
    )
