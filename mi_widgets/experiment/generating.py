"""`exp.generate`: going on from the prompts with edits, as a result with provenance."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..analysis.common import provenance
from ..errors import BadInput
from ..interventions.edits import several
from ..interventions.generate import PHASES, Sampling, generate_steps
from ..interventions.question import Question
from ..model.handle import Model
from ..model.numbers import whole
from ..model.tokens import Tokens
from ..results import BaseResult
from .runs import Steps


@dataclass(frozen=True)
class Generation(BaseResult):
    """What the model wrote after the prompts.

    Frame columns: prompt, step, position, id, token, prob, top_token, top_prob.

    Attributes:
        texts: what came after each prompt, special tokens left out.
        ids: the new tokens of each prompt; a token that ended the text is the last.
        tokens: their texts, visible whitespace.
        starts: position of each prompt's first new token, in its own tokens.
        probs: [prompt, step] float32, the probability of each new token at temperature 1; NaN after the end.
        top_ids: [prompt, step, k] int64, the most probable tokens at each step; -1 after the end.
        top_probs: [prompt, step, k] float32.
        base: the run that was gone on from.
        phase: where edits acted.
        labels: (id, text) of the tokens in `top_ids`.
    """

    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    tokens: tuple[tuple[str, ...], ...]
    starts: tuple[int, ...]
    probs: torch.Tensor
    top_ids: torch.Tensor
    top_probs: torch.Tensor
    base: str
    phase: str
    labels: tuple[tuple[int, str], ...] = field(default=(), repr=False)

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        texts = dict(self.labels)
        for p, ids in enumerate(self.ids):
            for step, token in enumerate(ids):
                yield {
                    "prompt": p,
                    "step": step,
                    "position": self.starts[p] + step,
                    "id": token,
                    "token": self.tokens[p][step],
                    "prob": float(self.probs[p, step]),
                    "top_token": texts[int(self.top_ids[p, step, 0])],
                    "top_prob": float(self.top_probs[p, step, 0]),
                }


def checked(tokens: Any, phase: Any, temperature: Any, seed: Any) -> tuple[int, str, Sampling]:
    """The arguments of `exp.generate`, checked.

    Raises:
        BadInput: one that cannot be meant.
    """
    count, number = whole(tokens), whole(seed)
    if count is None or count < 1:
        raise BadInput(f"tokens is a whole number from 1, not {tokens!r}.", hint="For example 20.")
    if phase not in PHASES:
        raise BadInput(f"There is no phase {phase!r}.", hint=f"Phases: {', '.join(PHASES)}.")
    real = isinstance(temperature, (int, float)) and not isinstance(temperature, bool)
    if not real or not 0 <= temperature < math.inf:
        raise BadInput(f"temperature is a number from 0, not {temperature!r}.", hint="0 takes the most probable token.")
    if number is None or not 0 <= number < 2**63:
        raise BadInput(f"seed is a whole number from 0, not {seed!r}.", hint="For example 0.")
    return count, phase, Sampling(float(temperature), number)


def generation_steps(
    question: Question, tokens: int, phase: str, sampling: Sampling, look: Callable[[Question], Steps[None]]
) -> Steps[Generation]:
    """Go on from the base prompts; see `Experiment.generate`."""
    started = time.perf_counter()
    yield from look(question)
    found = yield from generate_steps(question, tokens, phase, sampling)
    model, batch = question.model, question.batch(question.base)
    done = max(map(len, found.ids))
    how = (
        f"the prompt, then {done - 1} steps of one token, with the model's cache"
        if found.uncached is None
        else f"{done} passes over the whole text, without a cache: {found.uncached}"
    )
    chosen = "the most probable token each time"
    if sampling.temperature:
        chosen = f"drawn at temperature {sampling.temperature:g}, seed {sampling.seed}"
    where = {"all": "edits act on the prompt and on new tokens", "prompt": "edits act on the prompt only",
             "decode": "edits act on new tokens only"}[phase]  # fmt: skip
    notes = (f"{done} new tokens, {chosen}{f'; {where}' if question.edits else ''}.", *found.unreached)
    kept = {int(i) for i in found.top_ids.unique() if i >= 0}
    what = f"continuation of {'the prompt' if len(batch) == 1 else f'{len(batch)} prompts'}"
    edits = f"{', '.join(map(str, question.edits)) or 'no edits'}"
    return Generation(
        provenance=replace(
            provenance(question, question.base, how, started, notes=(*_edit_notes(question), *notes)),
            question=f"{what} (base {question.base}; {edits})",
        ),
        texts=tuple(_text_after(model, p, ids) for p, ids in zip(batch.prompts, found.ids, strict=True)),
        ids=found.ids,
        tokens=tuple(tuple(model.text.label(i) for i in ids) for ids in found.ids),
        starts=batch.lengths,
        probs=found.probs,
        top_ids=found.top_ids,
        top_probs=found.top_probs,
        base=question.base,
        phase=phase,
        labels=tuple((i, model.text.label(i)) for i in sorted(kept)),
    )


def _edit_notes(question: Question) -> tuple[str, ...]:
    """What a reader must know about the edits that act on the prompt."""
    shortest = min(question.batch(question.base).lengths)
    inside = [e for e in question.edits if all(isinstance(p, str) or p < shortest for p in several(e.position))]
    return question.notes(inside)


def _text_after(model: Model, prompt: Tokens, ids: tuple[int, ...]) -> str:
    """The new tokens as text that goes on from the prompt's: decoders drop a space at the start of a text."""

    def decoded(tokens: tuple[int, ...]) -> str:
        return str(model.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    before, whole_text = decoded(prompt.ids), decoded((*prompt.ids, *ids))
    return whole_text[len(before) :] if whole_text.startswith(before) else decoded(ids)
