"""`Question`: what is asked of a model, frozen. Jobs take one when submitted and never look at anything live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..errors import BadInput, NotFinite
from ..model.access import Key
from ..model.finite import require_finite_values
from ..model.handle import Model
from ..model.numbers import whole
from ..model.tokens import Batch
from .capture import Captures
from .edits import Edit
from .metrics import METRICS, Answer, Rows, measure
from .rerun import rerun
from .sources import Sources

RUNS = ("clean", "corrupted", "edited")


@dataclass(frozen=True)
class Question:
    """Prompts, answer direction, metric, base and edits of one moment.

    Attributes:
        model: who is asked.
        clean, corrupted: the prompts; corrupted is None when there is none.
        answer, distractor: the direction that is measured; None = none.
        metric: name of the metric.
        base: "clean" or "corrupted": where edited runs start.
        align: how positions pair; see `tokens.source_positions`.
        answer_position: one for all prompts, or one per prompt; in the prompt's own tokens.
        edits: the enabled edits of the live list.
        rev: revision of the experiment.
        captures: cache of unedited runs.
        warnings: plain sentences about what is odd in how prompts and answers go together.
        bos: how further prompts are tokenised; see `Model.tokens`.
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

    @property
    def key(self) -> tuple[object, ...]:
        """What the baselines depend on."""
        corrupted = self.corrupted.key if self.corrupted is not None else None
        return (self.clean.key, corrupted, self.answer, self.distractor, self.metric, self.base, self.answer_position)

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
        batches = {name: self.batch(name) for name in self.unedited}
        return Sources(self.model, self.base, batches, self.align, self.captures, self.bos)

    def values(self, run: str, keys: Sequence[Key]) -> dict[Key, torch.Tensor]:
        """Sites of a run; the unedited runs come from the cache.

        Raises:
            NotFinite: its logits, or the sites asked for, hold NaN or infinity.
        """
        batch = self.batch(run)
        if run == "edited" and self.edits:
            values = rerun(self.model, batch, self.edits, self.base, self.sources(), keys)
        else:
            values = self.captures.get(self.model, batch, keys)
        require_finite_values(batch, {key: value for key, value in values.items() if key != ("logits", None)})
        return values

    def columns(self, batch: Batch) -> list[int]:
        """Column of the answer position in each row."""
        where = self.answer_position
        positions = where if isinstance(where, tuple) else (where,) * len(batch)
        return [batch.column(row, p) for row, p in enumerate(positions)]

    def at_answer(self, batch: Batch, logits: torch.Tensor) -> torch.Tensor:
        """[row, position, vocab] -> [row, vocab] float32 at the answer position."""
        return logits[torch.arange(len(batch)), self.columns(batch)].float()

    def answer_logits(self, run: str, edits: Sequence[Edit] | None = None) -> torch.Tensor:
        """[prompt, vocab] float32 at the answer position; `edits` in place of the question's own."""
        asked = self if edits is None else replace(self, edits=tuple(edits))
        return self.at_answer(self.batch(run), asked.values(run, [("logits", None)])["logits", None])

    def measure(self, logits: torch.Tensor) -> torch.Tensor:
        """The metric of each prompt: [prompt] float32 on the CPU.

        Args:
            logits: [prompt, vocab] float32 at the answer position.

        Raises:
            BadInput: the metric needs an answer.
            NotFinite: finite logits so far apart that the metric of them is not finite.
        """
        if self.answer is None and self.metric != "kl":
            raise BadInput(
                f"The metric {self.metric} needs an answer.",
                hint=f"Give answer=' word', or metric='kl'. Metrics: {', '.join(METRICS)}.",
            )
        clean = self.answer_logits("clean") if self.metric == "kl" else None
        ids = self.answer.ids if self.answer is not None else ((),) * len(self.clean)
        rows = Rows(ids, self.distractor.ids if self.distractor is not None else None, clean)
        found = measure(self.metric, logits, rows).cpu()
        if not bool(torch.isfinite(found).all()):
            raise NotFinite(
                f"The {self.metric} of these logits is not finite: they reach {float(logits.abs().max()):.3g}.",
                hint="Look at the edits, or take another metric.",
            )
        return found

    def one(self, prompt: Any) -> Question:
        """The same question about one of several prompts.

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

        def row(answer: Answer | None) -> Answer | None:
            return None if answer is None else replace(answer, ids=(answer.ids[prompt],), texts=(answer.texts[prompt],))

        def batch(several: Batch) -> Batch:
            return Batch.of([several.prompts[prompt]], self.model.text.pad_id)

        where = self.answer_position
        return replace(
            self,
            clean=batch(self.clean),
            corrupted=None if self.corrupted is None else batch(self.corrupted),
            answer=row(self.answer),
            distractor=row(self.distractor),
            answer_position=where[prompt] if isinstance(where, tuple) else where,
        )
