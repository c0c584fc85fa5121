"""Many edited runs of one question, each measured: the quickest way that is right, chosen here.

Three ways give the same numbers: variants packed into one sequence (`packed`), whole runs side by side (`rectangle`),
and one plain run after the other (`rerun`), which is the oracle of both.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import torch

from ..errors import NotFinite
from ..model.kernels import words_of
from .draws import draws_of
from .packed.base import NotPackable
from .packed.engine import Packed
from .plan import Edits, Plan, Planned
from .question import Outcome, Question
from .rectangle import Rectangle
from .rerun import start_of

BLOCK = 256
"""Edited runs that are laid out at once."""

SMALL = 2**22
"""Numbers in an unembedding up to which a run has all its logits at once: it is quick, and they outlive the model."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One finished edited run.

    Attributes:
        run: its number among those asked for.
        metric: [prompt] float32 on the CPU, the mean over draws; NaN where the run is not finite.
        failed: what was wrong with it, or None.
        same: it was not run, since it must equal the base run: it carries what both prompts have in common.
        draws: [draw, prompt] metric of each draw, or None where nothing was drawn.
    """

    run: int
    metric: torch.Tensor
    failed: NotFinite | None = None
    same: bool = False
    draws: torch.Tensor | None = None


@dataclass
class Account:
    """What was done for some edited runs, for provenance.

    Attributes:
        words: how they were run.
        floor: the largest difference between the metric of the unedited base among them and by itself.
        notes: plain sentences a reader must know.
    """

    words: str = ""
    floor: float = 0.0
    notes: list[str] = field(default_factory=list)


Steps = Generator[list[Measured] | None, None, Account]
"""Yields what has just been finished, or None to let more urgent work through."""


def measure_many(question: Question, runs: Sequence[Edits]) -> Steps:
    """Measure edited runs; the question's own edits are part of every one.

    Args:
        question: what is asked; `question.edits` are the live edits under all runs.
        runs: for each run what it changes beside the live edits.

    Raises:
        BadInput, PromptMismatch, SiteUnavailable: what is wrong with an edit.
        EditNeverFired: an edit's site was not reached.
    """
    account = Account()
    if question.sequential:
        yield from _one_by_one(question, runs, range(len(runs)))
        account.words = "runs over the prompt and the answer, one by one"
        return account
    plan = Plan(question, runs)
    packed, rectangle = Packed(question, plan), Rectangle(question, live=any(plan.live))
    ways: set[str] = set()
    block: list[tuple[int, list[Planned]]] = []
    for run, parts in plan:
        block.append((run, parts))
        if len(block) == BLOCK:
            yield from _block(packed, rectangle, block, account, ways)
            block = []
    if block:
        yield from _block(packed, rectangle, block, account, ways)
    account.words = " and ".join(sorted(ways))
    account.floor = packed.floor
    return account


def _block(
    packed: Packed, rectangle: Rectangle, block: list[tuple[int, list[Planned]]], account: Account, ways: set[str]
) -> Generator[list[Measured] | None, None, None]:
    """Run a block of runs; those that cannot be packed go side by side, those that are not finite by themselves."""
    tally = _Tally(packed.question, block)
    whole: list[Planned] = []
    together: list[Planned] = []
    for _, parts in block:
        (whole if packed.why_not(parts) else together).extend(parts)
    if together:
        why = packed.prove()
        if why is None:
            try:
                for numbers in packed.steps(together):
                    yield tally.add([(n.planned, math.nan if n.spoiled else n.metric) for n in numbers or ()])
                ways.add(packed.words)
                together = []
            except NotPackable as reason:
                why = str(reason)
        if why is not None:
            sentence = f"Runs were not packed: {why}."
            if sentence not in account.notes:
                account.notes.append(sentence)
            whole += tally.left(together)
    if whole:
        for parts, logits in rectangle.logits(whole):
            if logits is None:
                metrics = [math.nan] * len(parts)
            else:
                metrics = packed.question.measure_rows(logits, [part.prompt for part in parts]).cpu().tolist()
            yield tally.add(list(zip(parts, metrics, strict=True)))
        ways.add(rectangle.words)
    # A plain run says what is wrong with them.
    yield from _one_by_one(packed.question, packed.plan.runs, tally.spoiled)


class _Tally:
    """Gathers the numbers of prompts and draws until a run is whole; `spoiled` are runs that are not finite."""

    def __init__(self, question: Question, block: list[tuple[int, list[Planned]]]) -> None:
        self.waiting = {run: {id(part) for part in parts} for run, parts in block}
        self.same = {run for run, parts in block if all(part.same for part in parts)}
        prompts = len(question.clean)
        # A run's parts are laid out draw by draw, in each prompt by prompt.
        self.place = {id(part): divmod(i, prompts) for _, parts in block for i, part in enumerate(parts)}
        self.draws = {run: torch.full((len(parts) // prompts, prompts), math.nan) for run, parts in block}
        self.spoiled: list[int] = []

    def add(self, found: Sequence[tuple[Planned, float]]) -> list[Measured] | None:
        """Take numbers, and give the runs that they complete."""
        done: list[Measured] = []
        for part, metric in found:
            self.waiting[part.run].discard(id(part))
            draws = self.draws[part.run]
            draws[self.place[id(part)]] = metric
            if self.waiting[part.run]:
                continue
            if bool(torch.isfinite(draws).all()):
                several = draws if len(draws) > 1 else None
                done.append(Measured(part.run, draws.mean(0), same=part.run in self.same, draws=several))
            else:
                self.spoiled.append(part.run)
        return done or None

    def left(self, parts: Sequence[Planned]) -> list[Planned]:
        """Those of some parts that have no number yet."""
        return [part for part in parts if id(part) in self.waiting[part.run]]


def _one_by_one(
    question: Question, runs: Sequence[Edits], which: Sequence[int]
) -> Generator[list[Measured] | None, None, None]:
    """Plain runs, which say what is wrong with them."""
    for run in which:
        try:
            found = Measured(run, question.outcome("edited", (*question.edits, *runs[run])).metric)
        except NotFinite as problem:
            nothing = torch.full((len(question.clean),), math.nan, dtype=torch.float32)
            found = Measured(run, nothing, problem)
        yield [found]


def kernel_words(question: Question) -> str:
    """The kernels that edited runs use, for provenance: attention's, and the matrix products' where it is another."""
    attention = question.model.architecture.kernel
    model = question.model
    if model.device.type != "cpu" or model.dtype != torch.float32 or model.in_place:
        return attention
    return f"{attention}, products on {words_of(model)}"


@dataclass(frozen=True, eq=False)
class Edited:
    """The edited run, measured.

    Attributes:
        metric: [prompt] float32 on the CPU.
        draws: [draw, prompt] as in `Outcome`.
        logits: [prompt, vocab] float32 at the answer; None where the metric was told without them.
        stream: then what they are computed from, [prompt, d_model] that left the last layer at the answer.
    """

    metric: torch.Tensor
    draws: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    stream: torch.Tensor | None = None

    @classmethod
    def of(cls, outcome: Outcome) -> Edited:
        """The same, of a plain run."""
        return cls(outcome.metric, outcome.draws, outcome.logits)


def outcome_steps(question: Question) -> Generator[None, None, tuple[Edited, Account]]:
    """The edited run of a question, the quickest way that is right, and how it was done.

    Raises:
        BadInput, PromptMismatch, SiteUnavailable, EditNeverFired, NotFinite: as a plain run would.
    """
    if question.sequential or len(draws_of(question.edits, question.count)) > 1:
        return Edited.of(question.outcome("edited")), Account("full forward passes")
    if not question.edits:
        return Edited.of(question.outcome("edited")), Account("one full forward pass")
    plan = Plan(replace(question, edits=()), [question.edits])
    ((_, parts),) = list(plan)
    packed = Packed(plan.question, plan)
    if packed.why_not(parts) is None and packed.prove() is None:
        # A prompt of another kind than the one it was tried on may still not allow it.
        with suppress(NotPackable):
            stream = yield from packed.streams(parts)
            found = None if stream is None else _measured(packed, stream, parts)
            if found is not None:
                return found, Account(f"{packed.words}: {packed.extent(parts)}", packed.floor)
    start = start_of(question.model, question.batch(question.base), question.edits, question.sources())
    return Edited.of(question.outcome("edited")), Account(start.words)


def _measured(packed: Packed, stream: torch.Tensor, parts: Sequence[Planned]) -> Edited | None:
    """A packed run of every prompt, measured; None where a plain run must say what is wrong with it."""
    model = packed.question.model
    if packed.tracked and model.d_model * model.architecture.d_vocab > SMALL:
        metric = packed.measure(stream, [part.prompt for part in parts])
        return Edited(metric, stream=stream) if bool(torch.isfinite(metric).all()) else None
    logits = packed.logits(stream)
    finite = bool(torch.isfinite(logits).all())
    return Edited(packed.question.measure(logits), logits=logits) if finite else None
