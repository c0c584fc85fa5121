"""Answers of several tokens: measured by runs over the prompt and the answer behind it (teacher forcing)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..errors import BadInput
from ..model.batches import Batch
from ..model.tokens import Tokens
from .capture import capture
from .longer import Span, by_prompt, visitors_in
from .writes import writes_of

if TYPE_CHECKING:
    from ..model.handle import Model
    from .question import Question

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Sequence:
    """An answer of several tokens: ``answer=mi.Sequence(" New York")``.

    Only the metric ``logprob`` is defined for it: log p(answer | prompt), the sum over its tokens of the
    log-probability of each, given the prompt and the tokens before it (teacher forcing). Edits act on prompt positions
    only. A list of these gives one per prompt.

    Attributes:
        text: as written, its leading space included; or token ids.

    Raises:
        BadInput: neither text nor token ids.

    Example:
        >>> import mi_widgets as mi
        >>> exp = mi.Experiment(mi.load(), "When Mary and John went to the store, John gave a drink to",
        ...     answer=Sequence(" Mary."), metric="logprob")
        >>> exp.answer.sequences[0] == tuple(exp.model.text.ids_of(" Mary."))
        True
    """

    text: str | tuple[int, ...]

    def __post_init__(self) -> None:
        ids = self.text
        if not isinstance(ids, str):
            given = ids.tolist() if hasattr(ids, "tolist") else ids
            if not isinstance(given, (list, tuple)) or not all(type(i) is int for i in given):
                raise BadInput(f"A Sequence is text or token ids, not {ids!r}.", hint="mi.Sequence(' New York').")
            object.__setattr__(self, "text", tuple(given))
        if not self.text:
            raise BadInput("The Sequence is empty: it gives no token.", hint="mi.Sequence(' New York').")


def require_defined(question: Question) -> None:
    """Raise when a question about an answer of several tokens asks for what is not defined for it.

    Raises:
        BadInput: another metric, a distractor, or an answer that does not follow the prompt.
    """
    if question.distractor is not None and question.distractor.sequences is not None:
        raise BadInput("A distractor of several tokens has no metric.", hint="Give one token, or leave it out.")
    if not question.sequential:
        return
    if question.metric != "logprob":
        raise BadInput(
            f"The metric {question.metric} is not defined for an answer of several tokens.",
            hint="Use metric='logprob', or an answer of one token.",
        )
    for batch in (question.clean, question.corrupted):
        if batch is not None and question.columns(batch) != [batch.width - 1] * len(batch):
            raise BadInput(
                "An answer of several tokens follows the prompt, and answer_position points elsewhere.",
                hint="Leave answer_position out.",
            )


def followed(model: Model, prompts: Iterable[Tokens], answers: Iterable[Ids]) -> Batch:
    """Prompts with their answers behind them, but for each answer's last token, which nothing is read after."""
    rows = [
        prompt if len(answer) == 1 else model.tokens([*prompt.ids, *answer[:-1]])
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    return Batch.of(rows, model.text.pad_id)


def forced(logits: torch.Tensor, text: Batch, lengths: Ids, answers: Iterable[Ids]) -> torch.Tensor:
    """What a pass over prompts and answers says of the answers; gradients flow.

    Args:
        logits: [row, position, vocab] of that pass.
        text: see `followed`.
        lengths: tokens of each prompt by itself.
        answers: token ids.

    Returns:
        [row] float32: the sum of the log-probabilities of each answer's tokens, in nats.
    """
    sums = []
    for row, answer in enumerate(answers):
        first = text.pads[row] + lengths[row] - 1
        own = logits[row, first : first + len(answer)].float()
        sums.append(own.log_softmax(-1).gather(1, torch.tensor(answer, device=own.device)[:, None]).sum())
    return torch.stack(sums)


def teacher_forced(question: Question, run: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A run over prompts and answers.

    Args:
        question: with an answer of several tokens.
        run: "clean", "corrupted" or "edited".

    Returns:
        Logits [prompt, vocab] float32 at the prompts' last tokens, and [prompt] float32 on the CPU: see `forced`.
    """
    batch, answers = question.batch(run), answers_of(question)
    text = followed(question.model, batch.prompts, answers)
    key = ("logits", None)
    if run == "edited" and question.edits:
        sources = question.sources()
        found = [writes_of(question.model, batch, edit, question.base, sources) for edit in question.edits]
        span = Span(text.pads, batch.lengths, text.width)
        logits = capture(question.model, text, [key], visitors_in(by_prompt(found), span))[key]
    else:
        logits = question.captures.get(question.model, text, [key])[key]
    ends = [pad + length - 1 for pad, length in zip(text.pads, batch.lengths, strict=True)]
    return logits[range(len(batch)), ends].float(), forced(logits, text, batch.lengths, answers).cpu()


def answers_of(question: Question) -> tuple[tuple[int, ...], ...]:
    """The tokens of each prompt's answer, of a question that is `sequential`."""
    assert question.answer is not None
    assert question.answer.sequences is not None
    return question.answer.sequences
