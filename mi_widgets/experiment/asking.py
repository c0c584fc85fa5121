"""Builds a `Question` from what a user wrote, or says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BadInput
from ..interventions.capture import Captures
from ..interventions.metrics import METRICS, Answer
from ..interventions.positions import named
from ..interventions.question import Question
from ..interventions.sequences import require_defined
from ..interventions.user_metric import UserMetric
from ..model import oddities
from ..model.alignment import source_positions
from ..model.batches import Batch
from ..model.handle import Model
from .answers import answers_of, checked_position, odd_answer, prompts_of, same_answers

SHOWN = 8
"""Sentences that `warnings_of` gives; of many prompts that are odd in one way a few tell the rest."""


@dataclass(frozen=True)
class Asked:
    """What a user asks, as written; `Batch` and ids stand for what was already tokenised.

    Attributes:
        positions: named positions; the prompts whose names are kept, if they still fit; or None.
        custom: the user's own metric that `metric` may name.
        dropped: sentences about rows of a table that are not asked.
    """

    clean: Any
    corrupted: Any
    answer: Any
    distractor: Any
    metric: Any
    base: str | None
    answer_position: Any
    positions: Any = None
    custom: UserMetric | None = None
    dropped: tuple[str, ...] = ()


def question_of(
    model: Model,
    asked: Asked,
    *,
    align: str | Mapping[int, int] | None,
    bos: bool | None,
    rev: int,
    captures: Captures,
    together: bool = True,
) -> Question:
    """Check everything and lay it out; an answer that was not given stays None.

    Args:
        model: who is asked.
        asked: what, as written.
        align, bos: as in `Experiment`.
        rev: revision of the experiment.
        captures: cache of unedited runs.
        together: answer and distractor were written at once, so that they cannot be meant to be the same; whoever
            exchanges them one by one passes through a question where they are.

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
    metric, custom = _metric_of(asked)
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
    clean, corrupted = named(clean, corrupted, asked.positions, align, base)
    answer = answers_of(model, asked.answer, len(clean), "answer")
    distractor = answers_of(model, asked.distractor, len(clean), "distractor")
    same = same_answers(answer, distractor)
    if same is not None and together:
        raise BadInput(same, hint="Give another distractor, or none.")
    question = Question(
        model=model,
        clean=clean,
        corrupted=corrupted,
        answer=answer,
        distractor=distractor,
        metric=metric,
        base=base,
        align=align,
        answer_position=checked_position(clean, asked.answer_position),
        edits=(),
        rev=rev,
        captures=captures,
        bos=bos,
        custom=custom,
        dropped=asked.dropped,
    )
    require_defined(question)
    return replace(question, warnings=(*asked.dropped, *_odd_together(question)))


def _metric_of(asked: Asked) -> tuple[str, UserMetric | None]:
    """The metric's name, and the user's own metric if there is one."""
    given, custom = asked.metric, asked.custom
    if callable(given):
        same = custom is not None and custom.function is given
        custom = custom if same else UserMetric(given)
        assert custom is not None
        return custom.name, custom
    known = [*METRICS, *((custom.name,) if custom is not None else ())]
    if not isinstance(given, str) or given not in known:
        raise BadInput(
            f"There is no metric {given!r}.",
            hint=f"Metrics: {', '.join(known)}; or a function of logits [row, vocab] and rows.",
        )
    return given, custom


def _odd_together(question: Question) -> tuple[str, ...]:
    """What is odd about how prompts and answers go together; what is odd in one prompt is kept with its tokens."""
    clean, corrupted = question.clean, question.corrupted
    found: list[str] = []
    if corrupted is not None:
        for one, other in zip(clean.prompts, corrupted.prompts, strict=True):
            found += oddities.of_pair(one, other)
    found.append(same_answers(question.answer, question.distractor) or "")
    columns = question.columns(clean)
    for name, given in (("answer", question.answer), ("distractor", question.distractor)):
        for row, (token, text) in _each(given):
            position = columns[row] - clean.pads[row]
            found += [odd_answer(question.model, name, token, text, clean.prompts[row], position) or ""]
    return tuple(dict.fromkeys(sentence for sentence in found if sentence))


def _each(answer: Answer | None) -> list[tuple[int, tuple[int, str]]]:
    if answer is None:
        return []
    rows = enumerate(zip(answer.ids, answer.texts, strict=True))
    return [(row, pair) for row, (ids, texts) in rows for pair in zip(ids, texts, strict=True)]


def warnings_of(question: Question) -> tuple[str, ...]:
    """Everything odd about a question, in plain sentences: of each prompt, and of how they go together."""
    found: list[str] = []
    for name, batch in (("", question.clean), ("Corrupted ", question.corrupted)):
        prompts = batch.prompts if batch is not None else ()
        for row, prompt in enumerate(prompts):
            which = f"{name}prompt {row}" if len(prompts) > 1 else f"{name}prompt" if name else ""
            mark = f"{which[:1].upper()}{which[1:]}: " if which else ""
            found += [mark + sentence for sentence in prompt.warnings]
    found += question.warnings
    left = len(found) - SHOWN
    if left <= 0:
        return tuple(found)
    return (*found[:SHOWN], f"{left} more such sentences stand in the provenance of results.")
