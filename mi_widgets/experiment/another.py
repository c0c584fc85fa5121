"""The same question for another model: tokenised anew, and refused where positions would mean something else."""

from __future__ import annotations

from typing import Any

from ..errors import BadInput
from ..interventions.metrics import Answer
from ..interventions.question import Question
from ..interventions.sequences import Sequence as AnswerSequence
from ..model.handle import Model
from ..model.tokens import Tokens


def arguments_for(model: Model, question: Question) -> dict[str, Any]:
    """What `Experiment` takes besides the model, so that it asks another model the same.

    Args:
        model: the other one.
        question: what is asked of the first.

    Raises:
        BadInput: positions were named or paired by number, and a prompt has other tokens for that model.
    """
    alike = same_tokens(model, question)
    if not alike:
        _require_no_numbers(model, question)
    corrupted = question.corrupted
    return {
        "clean": [_prompt(prompt, alike) for prompt in question.clean.prompts],
        "corrupted": None if corrupted is None else [_prompt(prompt, alike) for prompt in corrupted.prompts],
        "answer": _answer(question, question.answer, alike),
        "distractor": _answer(question, question.distractor, alike),
        "metric": question.metric if question.user_metric is None else question.user_metric.function,
        "base": question.base,
        "align": question.align,
        "answer_position": question.answer_position,
        "positions": {name: list(where) for name, where in question.clean.names.items()} or None,
        "bos": question.bos,
    }


def same_tokens(model: Model, question: Question) -> bool:
    """Whether every token of a question has the same id and text for another model."""
    text = model.text
    rows = text.rows or text.vocabulary()
    here = question.model.text
    return all(i < min(text.vocabulary(), rows) and text.piece(i) == here.piece(i) for i in question.tokens) and all(
        model.tokens(prompt.text, question.bos).ids == prompt.ids
        for run in question.unedited
        for prompt in question.batch(run).prompts
        if question.model.tokens(prompt.text, question.bos).ids == prompt.ids
    )


def _prompt(prompt: Tokens, alike: bool) -> Any:
    return list(prompt.ids) if alike else prompt.text


def _answer(question: Question, answer: Answer | None, alike: bool) -> Any:
    """An answer as the constructor takes it: by id where ids mean the same, by text elsewhere."""
    if answer is None:
        return None
    if answer.sequences is not None:
        piece = question.model.text.piece
        return [AnswerSequence(ids if alike else "".join(map(piece, ids))) for ids in answer.sequences]
    return list(answer.ids if alike else answer.texts)


def _require_no_numbers(model: Model, question: Question) -> None:
    """Raise where a number counts tokens that the other model has not."""
    numbered = [f"the position {name!r}" for name in question.clean.names]
    if not isinstance(question.align, (str, type(None))):
        numbered.append("align, by pairs of positions,")
    where = question.answer_position
    if isinstance(where, tuple) or where >= 0:
        numbered.append("answer_position")
    if not numbered:
        return
    for prompt in question.clean.prompts:
        other = model.tokens(prompt.text, question.bos)
        if other.strings != prompt.strings:
            raise BadInput(
                f"For {model.name} the prompt {prompt.text[:60]!r} has {len(other)} tokens, for {question.model.name} "
                f"{len(prompt)}, so {numbered[0]} would stand elsewhere.",
                hint="Write mi.Experiment(other, ...) with positions of its own.",
            )
