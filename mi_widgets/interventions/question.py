"""`Question`: what is asked of a model, frozen. Jobs take one when submitted and never look at anything live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..errors import BadInput, NotFinite
from ..model.access import Key
from ..model.batches import Batch
from ..model.finite import require_finite_values
from ..model.handle import Model
from ..model.numbers import whole
from .capture import Captures
from .draws import draws_of
from .edits import Edit
from .metrics import METRICS, Answer, Rows, measure
from .notes import notes_of
from .rerun import rerun
from .sequences import teacher_forced
from .sources import Sources
from .user_metric import UserMetric

LARGE = 64 * 2**20
"""Bytes of float32 logits of all positions from which on those at the answers are computed alone."""

RUNS = ("clean", "corrupted", "edited")


@dataclass(frozen=True)
class Outcome:
    """A run, measured.

    Attributes:
        logits: [prompt, vocab] float32 at the answer position.
        metric: [prompt] float32 on the CPU.
        draws: [draw, prompt] the metric of each draw, of which the others are means; None where nothing is drawn.
    """

    logits: torch.Tensor
    metric: torch.Tensor
    draws: torch.Tensor | None = None


@dataclass(frozen=True)
class Question:
    """Prompts, answer direction, metric, base and edits of one moment.

    Attributes:
        model: who is asked.
        clean, corrupted: the prompts; corrupted is None when there is none.
        answer, distractor: the direction that is measured; None = none.
        metric: name of the metric: of a built-in one, or of `custom`.
        base: "clean" or "corrupted": where edited runs start.
        align: how positions pair; see `alignment.source_positions`.
        answer_position: one for all prompts, or one per prompt; in the prompt's own tokens.
        edits: the enabled edits of the live list.
        rev: revision of the experiment.
        captures: cache of unedited runs.
        warnings: plain sentences about what is odd in how prompts and answers go together.
        bos: how further prompts are tokenised; see `Model.tokens`.
        custom: the user's own metric, measured when `metric` is its name; kept while another one is measured.
        dropped: those of the warnings that are about rows of a table which are not asked.
        which: number of the only prompt among those it was taken from; None for all prompts.
        among: the question it was taken from, whose edits it has: means and draws are those of all its prompts.
    """

    model: Model
    clean: Batch
    corrupted: Batch | None
    answer: Answer | None
    distractor: Answer | None
    metric: str
    base: str
    align: str | Mapping[int, int] | None
    answer_position: int | tuple[int, ...]
    edits: tuple[Edit, ...]
    rev: int
    captures: Captures
    warnings: tuple[str, ...] = ()
    bos: bool | None = None
    custom: UserMetric | None = None
    dropped: tuple[str, ...] = ()
    which: int | None = None
    among: Question | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What the baselines depend on, what names of positions stand for, and how positions pair."""
        corrupted = self.corrupted.key if self.corrupted is not None else None
        metric = self.user_metric or self.metric
        names = tuple(sorted(self.clean.names.items()))
        align = tuple(self.align.items()) if isinstance(self.align, Mapping) else self.align
        where = self.answer_position
        own = self.clean.key, corrupted, self.answer, self.distractor, metric, self.base, where, names, align
        return own if self.among is None else (*own, self.which, self.among.key)

    @property
    def count(self) -> int:
        """How many prompts the edits were made for, of which this may be one."""
        return len((self.among or self).clean)

    @property
    def user_metric(self) -> UserMetric | None:
        """The user's own metric when it is what is measured; None for a built-in one."""
        return self.custom if self.custom is not None and self.custom.name == self.metric else None

    @property
    def sequential(self) -> bool:
        """The answer has several tokens, so that each run is one over the prompt and the answer; see `sequences`."""
        return self.answer is not None and self.answer.sequences is not None

    @property
    def tokens(self) -> frozenset[int]:
        """Every token of its prompts and answers."""
        prompts = [p for run in self.unedited for p in self.batch(run).prompts]
        answers = [answer.ids for answer in (self.answer, self.distractor) if answer is not None]
        return frozenset([*(i for p in prompts for i in p.ids), *(i for a in answers for row in a for i in row)])

    @property
    def unedited(self) -> tuple[str, ...]:
        """The runs there are without edits."""
        return ("clean",) if self.corrupted is None else ("clean", "corrupted")

    def batch(self, run: str) -> Batch:
        """Prompts of a run.

        Raises:
            BadInput: no such run, or there is no corrupted prompt.
        """
        name = self.base if run == "edited" else run
        if name == "clean":
            return self.clean
        if name == "corrupted" and self.corrupted is not None:
            return self.corrupted
        if name == "corrupted":
            raise BadInput("There is no corrupted prompt.", hint="Give the experiment one: corrupted='...'.")
        raise BadInput(f"There is no run {run!r}.", hint=f"Runs: {', '.join(RUNS)}.")

    def sources(self) -> Sources:
        """The unedited runs that edits may read, paired with the base."""
        whole = self.among or self
        batches, among = ({name: one.batch(name) for name in one.unedited} for one in (self, whole))
        return Sources(
            self.model, self.base, batches, self.align, self.captures, self.bos, among=among, first=self.which or 0
        )

    def values(self, run: str, keys: Sequence[Key]) -> dict[Key, torch.Tensor]:
        """Sites of a run; the unedited runs come from the cache.

        Raises:
            NotFinite: its logits, or the sites asked for, hold NaN or infinity.
        """
        batch = self.batch(run)
        if run == "edited" and self.edits:
            values = self._edited(batch, keys)
        else:
            values = self.captures.get(self.model, batch, keys)
        require_finite_values(batch, {key: value for key, value in values.items() if key != ("logits", None)})
        return values

    def _edited(self, batch: Batch, keys: Sequence[Key], at: Sequence[int] | None = None) -> dict[Key, torch.Tensor]:
        """Sites of the edited run; over draws the mean."""
        sources = self.sources()
        total: dict[Key, torch.Tensor] = {}
        draws = draws_of(self.edits, self.count)
        for edits in draws:
            values = rerun(self.model, batch, edits, self.base, sources, keys, resume=True, at=at)
            for key, value in values.items():
                total[key] = total[key] + value if key in total else value
        return {key: value / len(draws) if len(draws) > 1 else value for key, value in total.items()}

    def notes(self, edits: Sequence[Edit]) -> tuple[str, ...]:
        """What a reader must know about edits of this question."""
        return notes_of(self.model, self.batch(self.base), edits, self.base, self.sources())

    def columns(self, batch: Batch) -> list[int]:
        """Column of the answer position in each row."""
        where = self.answer_position
        positions = where if isinstance(where, tuple) else (where,) * len(batch)
        return [batch.column(row, p) for row, p in enumerate(positions)]

    def answers(self, batch: Batch) -> list[int]:
        """The answer position of each row, counted from 0 in the prompt's own tokens."""
        return [column - pad for column, pad in zip(self.columns(batch), batch.pads, strict=True)]

    def at_answer(self, batch: Batch, logits: torch.Tensor) -> torch.Tensor:
        """[row, position or 1, vocab] -> [row, vocab] float32 at the answer position."""
        if logits.shape[1] == 1:
            return logits[:, 0].float()
        return logits[torch.arange(len(batch)), self.columns(batch)].float()

    def answer_logits(self, run: str, edits: Sequence[Edit] | None = None) -> torch.Tensor:
        """[prompt, vocab] float32 at the answer position; `edits` in place of the question's own."""
        asked = self if edits is None else replace(self, edits=tuple(edits))
        batch, edited = self.batch(run), run == "edited" and bool(asked.edits)
        at = self.unembedded(batch)
        if at is None or (edited and any(edit.site == "logits" for edit in asked.edits)):
            return self.at_answer(batch, asked.values(run, [("logits", None)])["logits", None])
        if edited:
            return self.at_answer(batch, asked._edited(batch, (), at)["logits", None])
        name = ("answers", self.model.generation, batch.key, tuple(at))
        return self.captures.held(name, lambda: self.model.forward(batch, keep=at)[:, 0]).float()

    def plain_logits(self, batch: Batch) -> torch.Tensor:
        """[prompt, vocab] float32 at the answer position, of an unedited pass that is done now."""
        return self.at_answer(batch, self.model.forward(batch, keep=self.unembedded(batch)))

    def unembedded(self, batch: Batch) -> list[int] | None:
        """The columns whose logits alone are computed where all would take much memory; None = all, which shows more.

        Whether a run is finite is looked at everywhere when all are there.
        """
        size = len(batch) * batch.width * self.model.architecture.d_vocab * 4
        return self.columns(batch) if size > LARGE else None

    def outcome(self, run: str, edits: Sequence[Edit] | None = None) -> Outcome:
        """A run and its metric; `edits` in place of the question's own.

        Raises:
            BadInput, NotFinite: as `measure`.
        """
        asked = self if edits is None else replace(self, edits=tuple(edits))
        draws = draws_of(asked.edits, self.count) if run == "edited" else []
        if len(draws) > 1:
            each = [asked.outcome(run, one) for one in draws]
            logits, metric = (torch.stack([getattr(one, name) for one in each]) for name in ("logits", "metric"))
            return Outcome(logits.mean(0), metric.mean(0), metric)
        asked = replace(asked, edits=draws[0]) if draws else asked
        if asked.sequential:
            return Outcome(*teacher_forced(asked, run))
        logits = asked.answer_logits(run)
        return Outcome(logits, self.measure(logits))

    def rows(self, prompts: Sequence[int] | None = None) -> Rows:
        """What a metric may look at, for rows that each belong to a prompt.

        Args:
            prompts: for each row its prompt; None = one row for each prompt.
        """
        which = range(len(self.clean)) if prompts is None else prompts
        answer, distractor = self.answer, self.distractor

        def unedited(run: str) -> torch.Tensor | None:
            return self.answer_logits(run)[list(which)] if run in self.unedited else None

        return Rows(
            index=torch.tensor([p if self.which is None else self.which for p in which], dtype=torch.long),
            answer_ids=tuple(answer.ids[p] if answer is not None else () for p in which),
            distractor_ids=None if distractor is None else tuple(distractor.ids[p] for p in which),
            unedited=unedited,
        )

    def measure_rows(self, logits: torch.Tensor, prompts: Sequence[int]) -> torch.Tensor:
        """The metric of rows that each belong to a prompt: [row] float32, on the device of the logits.

        Numbers that are not finite are given as they are; gradients flow where the metric has one.

        Args:
            logits: [row, vocab] at the answer position.
            prompts: for each row its prompt.

        Raises:
            BadInput: the metric needs an answer, is of an answer of several tokens, or is a callable that gives what is
                no metric.
        """
        if self.answer is None and self.metric != "kl":
            raise BadInput(
                f"The metric {self.metric} needs an answer.",
                hint=f"Give answer=' word', or metric='kl'. Metrics: {', '.join(METRICS)}.",
            )
        if self.sequential:
            raise BadInput(
                "An answer of several tokens is measured by runs over prompt and answer, not from these logits.",
                hint="Ask for the run's outcome, or give an answer of one token.",
            )
        rows = self.rows(prompts)
        if self.user_metric is not None:
            return self.user_metric(logits.float(), rows)
        return measure(self.metric, logits, rows)

    def measure(self, logits: torch.Tensor) -> torch.Tensor:
        """The metric of each prompt: [prompt] float32 on the CPU.

        Args:
            logits: [prompt, vocab] float32 at the answer position.

        Raises:
            BadInput: as `measure_rows`.
            NotFinite: finite logits so far apart that the metric of them is not finite.
        """
        found = self.measure_rows(logits, range(len(self.clean))).cpu()
        if not bool(torch.isfinite(found).all()):
            raise NotFinite(
                f"The {self.metric} of these logits is not finite: they reach {float(logits.abs().max()):.3g}.",
                hint="Look at the edits, or take another metric.",
            )
        return found

    def one(self, prompt: Any) -> Question:
        """The same question about one of several prompts; its edits do to it what they do to it among the others.

        Raises:
            BadInput: there is no such prompt.
        """
        number = whole(prompt)
        if number == 0 and len(self.clean) == 1:
            return self
        if number is None or not 0 <= number < len(self.clean):
            raise BadInput(
                f"There is no prompt {prompt!r}: there are {len(self.clean)}.",
                hint=f"Use 0 to {len(self.clean) - 1}.",
            )

        pad_id = self.model.text.pad_id
        where = self.answer_position
        return replace(
            self,
            clean=self.clean.take(number, pad_id),
            corrupted=None if self.corrupted is None else self.corrupted.take(number, pad_id),
            answer=None if self.answer is None else self.answer.one(number),
            distractor=None if self.distractor is None else self.distractor.one(number),
            answer_position=where[number] if isinstance(where, tuple) else where,
            which=number,
            among=self,
        )
