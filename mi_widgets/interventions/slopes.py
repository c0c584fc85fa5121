"""Values of sites in the base run and the derivatives of the metric there: one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..errors import BadInput, EditNeverFired, MiWidgetsError, UnsupportedArchitecture
from ..model.access import Key, Visitor
from ..model.batches import Batch
from .layouts import SQUARE, own
from .question import Question
from .sequences import answers_of, followed, forced
from .sources import Source
from .writes import Write


@dataclass(frozen=True, eq=False)
class Slope:
    """The base run of one prompt, to first order.

    Attributes:
        row: number of the prompt.
        metric: of the base run.
        values: {(site, layer): [position, ...site axes]}; scores and pattern are [dest, head, src].
        slopes: d metric / d site, shaped as `values`.
    """

    row: int
    metric: float
    values: Mapping[Key, torch.Tensor]
    slopes: Mapping[Key, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Line:
    """A line of runs from the base prompts' embeddings to a source run's.

    Attributes:
        source: the run at its end.
        key: the site that is moved along it.
        values: of that site in that run, read before any pass begins: passes do not nest.
    """

    source: Source
    key: Key
    values: torch.Tensor

    def move(self, x: torch.Tensor, row: int, share: float) -> torch.Tensor:
        """Part of the way: [position, d] of a prompt -> the same, moved where its positions have a partner."""
        at, pairs = self.source.row(row), self.source.pairs[row]
        there = own(self.key[0], self.values, at, self.source.batch.pads[at]).to(x)
        here, partners = list(pairs), list(pairs.values())
        moved = x.clone()
        moved[here] = x[here] + share * (there[partners] - x[here])
        return moved


@dataclass(frozen=True, eq=False)
class Base:
    """Some prompts of a question, side by side, and what is wanted of their base runs.

    Attributes:
        question: what is measured.
        batch: the prompts; with answers of several tokens behind them where these are what is measured.
        lengths: tokens of each prompt by itself.
        rows: their numbers among the question's.
        columns: of the answer positions.
        live: for each of them what the base run writes.
        keys: the sites whose values and derivatives are wanted.
    """

    question: Question
    batch: Batch
    lengths: tuple[int, ...]
    rows: Sequence[int]
    columns: Sequence[int]
    live: Sequence[Sequence[Write]]
    keys: Iterable[Key]

    @classmethod
    def of(cls, question: Question, rows: Sequence[int], live: Sequence[Sequence[Write]], keys: Iterable[Key]) -> Base:
        """The base runs of some of a question's prompts; `live` is of all of them."""
        whole = question.batch(question.base)
        columns = question.columns(whole)
        prompts = [whole.prompts[row] for row in rows]
        lengths = tuple(len(prompt) for prompt in prompts)
        if question.sequential:
            answers = answers_of(question)
            batch = followed(question.model, prompts, [answers[row] for row in rows])
        else:
            batch = Batch.of(prompts, question.model.text.pad_id)
        moved = [columns[row] - whole.pads[row] + pad for row, pad in zip(rows, batch.pads, strict=True)]
        return cls(question, batch, lengths, rows, moved, [live[row] for row in rows], list(dict.fromkeys(keys)))

    def slopes(self, line: Line | None = None, share: float = 0.0) -> list[Slope]:
        """Run them and take the derivatives.

        Args:
            line: where the run lies between base and source; None = on the base run.
            share: 0 = at the base, 1 = at the source.

        Raises:
            BadInput: the metric has no gradient.
            UnsupportedArchitecture: the model's forward pass gives none.
            EditNeverFired: a site was not reached.
        """
        model = self.question.model
        values: dict[Key, torch.Tensor] = {}
        probes: dict[Key, torch.Tensor] = {}
        written = {write.key for row in self.live for write in row}
        along = {line.key} if line is not None else set()
        visitors = {key: self._visitor(key, line, share, values, probes) for key in {*self.keys, *written, *along}}
        whole = ("logits", None) in visitors or self.question.sequential
        try:
            # Whoever calls may keep no gradients, as a job's thread does: also a sum or an index would then lose them.
            with torch.enable_grad():
                logits = model.forward(self.batch, visitors, keep=None if whole else self.columns, gradients=True)
                metric = self._metric(logits)
                lost = [key for key in self.keys if key not in probes]
                if lost:
                    raise EditNeverFired(f"{lost[0]} is never reached.", hint="Please report the model's class.")
                slopes = torch.autograd.grad(metric.sum(), [probes[key] for key in self.keys], allow_unused=True)
        except (MiWidgetsError, torch.OutOfMemoryError, RecursionError):
            raise
        except (RuntimeError, NotImplementedError) as problem:  # an operation without a derivative, or done in place
            raise UnsupportedArchitecture(
                f"The forward pass of {model.name} gives no gradient: {problem}",
                hint="Exact cells need none.",
            ) from problem
        found = {
            key: torch.zeros_like(probes[key]) if slope is None else slope
            for key, slope in zip(self.keys, slopes, strict=True)
        }
        measured = metric.detach().float().cpu()
        return [
            Slope(
                row,
                float(measured[i]),
                {key: self._prompt(key, values[key], i) for key in self.keys},
                {key: self._prompt(key, found[key], i) for key in self.keys},
            )
            for i, row in enumerate(self.rows)
        ]

    def _visitor(
        self,
        key: Key,
        line: Line | None,
        share: float,
        values: dict[Key, torch.Tensor],
        probes: dict[Key, torch.Tensor],
    ) -> Visitor:
        """Carry out what the base run writes there; keep the value and take its derivative by what is added to it."""

        def visitor(x: torch.Tensor) -> torch.Tensor:
            new = x.clone()
            for i, writes in enumerate(self.live):
                view = self._prompt(key, new, i)
                for write in writes:
                    if write.key == key:
                        at = list(write.positions)
                        view[at] = write.apply(view[at])
                if line is not None and key == line.key:
                    view[:] = line.move(view, self.rows[i], share)
            if key not in self.keys:
                return new
            values[key] = new.detach()
            probes[key] = torch.zeros_like(new).requires_grad_()
            return new + probes[key]

        return visitor

    def _prompt(self, key: Key, value: torch.Tensor, i: int) -> torch.Tensor:
        """A view of what belongs to one prompt by itself."""
        length = self.lengths[i]
        view = own(key[0], value, i, self.batch.pads[i])[:length]
        return view[..., :length] if key[0] in SQUARE else view

    def _metric(self, logits: torch.Tensor) -> torch.Tensor:
        """The metric of each row, from logits of all positions or of those at the answers alone."""
        question = self.question
        if question.sequential:
            answers = answers_of(question)
            return forced(logits, self.batch, self.lengths, [answers[row] for row in self.rows])
        at = logits[:, 0] if logits.shape[1] == 1 else logits[range(len(self.rows)), self.columns]
        try:
            metric = question.measure_rows(at, self.rows)
        except (RuntimeError, TypeError) as problem:
            if question.user_metric is None or isinstance(problem, MiWidgetsError):
                raise
            raise _flat(question.metric, f": {problem}") from problem
        if not metric.requires_grad:
            raise _flat(question.metric)
        return metric


def _flat(metric: str, why: str = "") -> BadInput:
    return BadInput(
        f"The metric {metric} has no gradient to estimate with{why}.",
        hint="Ask for exact cells; a callable must neither detach nor leave torch.",
    )
