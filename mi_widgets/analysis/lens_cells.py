"""Cells of one run's lens, worked out: rows times columns, a block of the vocabulary at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import torch

from ..interventions.question import Question
from ..model.batches import Batch
from .attribution import frozen_norm
from .lens_head import Head
from .lens_rows import LensRow
from .lens_streams import Streams, streams_of, written
from .lens_sums import Tally, Wanted
from .translators import Translators


@dataclass(frozen=True, eq=False)
class Cells:
    """Some cells of one run; [cell, ...] on the CPU, cells by row and then by column.

    Attributes:
        top_ids, top: [cell, k] ids and logits (on contributions relative to the mean over the vocabulary).
        picked: [cell, pick] logits of the tokens picked.
        measures: {name: [cell]}.
        shift, rest: [cell] the greatest logit, and the log of the sum of exponentials of what is left of each when that
            is taken off; of streams only. Apart they lose nothing where logits are large.
        low_ids, low: the same as the first for the smallest; of contributions only.
        ranks: [cell, token] int64 of the tokens whose ranks were asked for.
    """

    top_ids: torch.Tensor
    top: torch.Tensor
    picked: torch.Tensor
    measures: dict[str, torch.Tensor] = field(default_factory=dict)
    shift: torch.Tensor | None = None
    rest: torch.Tensor | None = None
    low_ids: torch.Tensor | None = None
    low: torch.Tensor | None = None
    ranks: torch.Tensor | None = None

    @property
    def probs(self) -> torch.Tensor:
        """[cell, k] probabilities of the top tokens; NaN on contributions."""
        return self.of(self.top)

    def of(self, logits: torch.Tensor) -> torch.Tensor:
        """[cell, token] logits -> probabilities; NaN on contributions."""
        if self.shift is None or self.rest is None:
            return torch.full_like(logits, torch.nan)
        return (logits - self.shift[:, None] - self.rest[:, None]).exp()


class Side:
    """One run as the lens reads it.

    Args:
        question: about one prompt.
        run: "clean", "corrupted" or "edited".
        rows: those that will be asked for.
        translators: of a tuned lens, or None.
    """

    def __init__(
        self, question: Question, run: str, rows: Sequence[LensRow], translators: Translators | None = None
    ) -> None:
        self.question, self.model, self.batch = question, question.model, question.batch(run)
        self.run = run
        self.streams: Streams = streams_of(question, run, rows)
        self._translators = translators
        edits = question.edits if run == "edited" else ()
        self._written = {edit.site for edit in edits} & {"final_norm", "logits"}
        self._draws = range(len(self.streams.draws))

    @property
    def final(self) -> LensRow:
        """The row that is the model's output."""
        return LensRow("resid_post", self.model.n_layers - 1)

    def stream(self, row: LensRow, columns: Sequence[int]) -> list[torch.Tensor]:
        """What a row holds at some columns, in each draw: [column, d_model]."""
        return [written(self.model, row, self.streams, draw)[list(columns)] for draw in self._draws]

    def _normed(self, head: Head, row: LensRow, columns: Sequence[int]) -> list[torch.Tensor]:
        last = row == self.final
        if last and "final_norm" in self._written:
            # An edit of the norm's output is part of what the model says.
            return [draw["final_norm", None][list(columns)].to(head.device) for draw in self.streams.draws]
        found = self.stream(row, columns)
        if self._translators is not None:
            found = [self._translators.applied(row, x) for x in found]
        return [head.normed(x) for x in found]

    def rewritten(self, row: LensRow) -> bool:
        """Whether an edit stands between a row's stream and what the row says."""
        return bool(self._written) and row == self.final

    def read(
        self,
        rows: Sequence[LensRow],
        columns: Sequence[int],
        k: int,
        measures: Sequence[str] = (),
        picks: torch.Tensor | None = None,
        *,
        only: torch.Tensor | None = None,
        ranked: Sequence[int] = (),
    ) -> Generator[None, None, Cells]:
        """Stream rows at some columns; yields between blocks of the vocabulary.

        Args:
            rows, columns: which.
            k: how many top tokens.
            measures: names.
            picks: [cell, pick] tokens whose logits are wanted; -1 = none.
            only: [cell] bool, the cells that are wanted; without measures.
            ranked: tokens whose ranks are wanted.
        """
        whole = [*rows, self.final] if "kl" in measures and self.final not in rows else list(rows)
        chosen = torch.arange(len(whole) * len(columns)) if only is None else only.nonzero()[:, 0]
        last = len(rows) * len(columns) if only is None else len(chosen)
        head = Head(self.model, len(chosen))
        block = self._block(head, whole, columns, chosen)
        targets = _Targets(self.question, self.batch, columns, len(whole), measures)
        own = torch.empty(last, 0, dtype=torch.long) if picks is None else picks
        own = torch.cat([own, own.new_full((len(chosen) - last, own.shape[1]), -1)])
        every = torch.cat([own, targets.ids[chosen]], 1)
        above = None
        if "rank" in measures or ranked:
            ids = (*(targets.answers if "rank" in measures else ()), *ranked)
            found = yield from _logits_of(head, block, ids)
            best = [found[:, : len(targets.answers)].amax(1)] if "rank" in measures else []
            above = torch.stack([*best, *found[:, len(ids) - len(ranked) :].unbind(1)], 1)
        wanted = Wanted(
            k=k,
            entropy="entropy" in measures,
            mean="logit_diff" in measures and self.question.distractor is None,
            picks=every.to(head.device) if every.shape[1] else None,
            above=above,
            finals=len(whole) if "kl" in measures else 0,
        )
        tally = Tally(wanted, len(chosen), head.device)
        for low, high in head.blocks:
            tally.add(block(low, high), low)
            yield
        picked = torch.empty(len(chosen), 0) if tally.picked is None else tally.picked.cpu()
        return Cells(
            top_ids=tally.top_ids[:last].cpu(),
            top=tally.top[:last].cpu(),
            shift=tally.shift[:last].cpu(),
            rest=tally.rest[:last].cpu(),
            picked=picked[:last, : own.shape[1]],
            measures={n: v[:last] for n, v in targets.measured(tally, picked[:, own.shape[1] :]).items()},
            ranks=None if tally.count is None else tally.count[:last, -len(ranked) :].cpu() if ranked else None,
        )

    def _block(
        self, head: Head, rows: Sequence[LensRow], columns: Sequence[int], chosen: torch.Tensor
    ) -> Callable[[int, int], torch.Tensor]:
        """Gives the logits of some cells for a range of the vocabulary; over draws the mean."""
        each = [self._normed(head, row, columns) for row in rows]
        normed = [torch.cat(one) for one in zip(*each, strict=True)]
        normed = [x if len(chosen) == len(x) else x[chosen.to(x.device)] for x in normed]
        # Cells of the last row, where an edit has written its logits.
        written = [i for i, row in enumerate(rows) if row == self.final and "logits" in self._written]
        over = (torch.isin(chosen // len(columns), torch.tensor(written))).nonzero()[:, 0] if written else None

        def block(low: int, high: int) -> torch.Tensor:
            logits = head.logits(normed[0], low, high)
            for x in normed[1:]:
                logits += head.logits(x, low, high)
            logits = logits.div_(len(normed)) if len(normed) > 1 else logits
            if over is not None:
                at = [columns[int(cell) % len(columns)] for cell in chosen[over]]
                given = [draw["logits", None][at, low:high].float() for draw in self.streams.draws]
                logits[over.to(logits.device)] = torch.stack(given).mean(0).to(logits.device)
            return logits

        return block

    def contributions(
        self, rows: Sequence[LensRow], columns: Sequence[int], k: int, picks: torch.Tensor | None = None
    ) -> Generator[None, None, Cells]:
        """Contribution rows at some columns: direct logits relative to the mean over the vocabulary; see `read`."""
        head = Head(self.model, len(rows) * len(columns))
        scaled = []
        for draw in self._draws:
            norm, scale = frozen_norm(self.model, self.streams.last(draw, self.model.n_layers)[list(columns)])
            each = [written(self.model, row, self.streams, draw)[list(columns)] for row in rows]
            scaled.append(torch.cat([norm.shape(x) / scale for x in each]))
        wanted = Wanted(
            k=k,
            bottom=True,
            probabilities=False,
            mean=True,
            picks=None if picks is None or not picks.shape[1] else picks.to(head.device),
        )
        tally = Tally(wanted, len(rows) * len(columns), head.device)
        mean = torch.stack(scaled).mean(0) if len(scaled) > 1 else scaled[0]
        for low, high in head.blocks:
            tally.add(head.direct(mean, low, high), low)
            yield
        centre = tally.mean[:, None]
        picked = torch.empty(len(centre), 0) if tally.picked is None else (tally.picked - centre).cpu()
        return Cells(
            top_ids=tally.top_ids.cpu(),
            top=(tally.top - centre).cpu(),
            low_ids=tally.low_ids.cpu(),
            low=(tally.low - centre).cpu(),
            picked=picked,
        )


def _logits_of(
    head: Head, block: Callable[[int, int], torch.Tensor], ids: Sequence[int]
) -> Generator[None, None, torch.Tensor]:
    """[cell, token] logits of some tokens, from the very products that the others will be compared with."""
    found: dict[int, torch.Tensor] = {}
    for low, high in head.blocks:
        inside = [i for i in ids if low <= i < high]
        if inside:
            logits = block(low, high)
            found |= {i: logits[:, i - low].clone() for i in inside}
            yield
    return torch.stack([found[i] for i in ids], 1)


class _Targets:
    """The tokens that measures look at, and the measures told from them."""

    def __init__(
        self, question: Question, batch: Batch, columns: Sequence[int], rows: int, measures: Sequence[str]
    ) -> None:
        self.measures, ids = measures, batch.prompts[0].ids
        answer = () if question.answer is None else question.answer.ids[0]
        distractor = () if question.distractor is None else question.distractor.ids[0]
        self.answers = tuple(answer)
        every: list[tuple[int, ...]] = []
        if "logit_diff" in measures:
            every = [(*answer, *distractor)] * len(columns)
        self._answers, self._distractors = len(answer), len(distractor)
        self._difference = len(every[0]) if every else 0
        if "cross_entropy" in measures:
            last, at = len(ids) - 1, question.answers(batch)[0]
            nexts = [(ids[c + 1],) if c < last else tuple(answer) if at == last else () for c in columns]
            most = max(1, *(len(one) for one in nexts))
            padded = [(*one, *(-1,) * (most - len(one))) for one in nexts]
            every = [(*a, *b) for a, b in zip(every or [()] * len(columns), padded, strict=True)]
        each = torch.tensor(every, dtype=torch.long).reshape(len(columns), -1)
        self.ids = each.repeat(rows, 1)

    def measured(self, tally: Tally, picked: torch.Tensor) -> dict[str, torch.Tensor]:
        """{name: [cell]} on the CPU."""
        found: dict[str, torch.Tensor] = {}
        for name in self.measures:
            if name == "prob":
                value = (tally.top[:, 0] - tally.shift - tally.rest).exp()
            elif name == "entropy":
                value = tally.entropy
            elif name == "kl":
                value = tally.divergence.flatten()
            elif name == "rank":
                assert tally.count is not None
                value = tally.count[:, 0].float()
            elif name == "logit_diff":
                answers = picked[:, : self._answers].mean(1)
                against = picked[:, self._answers : self._difference].mean(1) if self._distractors else tally.mean.cpu()
                value = answers - against
            else:
                own = picked[:, self._difference :] - tally.shift.cpu()[:, None]
                there = own.isfinite().any(1)
                sums = torch.where(own.isfinite(), own, torch.full_like(own, -torch.inf)).logsumexp(1)
                value = torch.where(there, tally.rest.cpu() - sums, torch.full_like(sums, torch.nan))
            found[name] = value.cpu()
        return found
