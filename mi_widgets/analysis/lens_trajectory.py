"""How tokens fare from row to row of a lens, at one position."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import BadInput
from ..interventions.question import Question
from ..results import Progress
from .attention_runs import through
from .lens_cells import Side
from .lens_rows import LensRow
from .lens_spec import LensSpec, check_lens, runs_of


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Some tokens over all rows at one position, [row, token] on the CPU.

    Attributes:
        rows: the rows.
        position: in the prompt's own tokens.
        tokens: ids.
        probs, logits: of each token; on contributions probs are NaN and logits relative to the mean.
        ranks: how many tokens have a strictly greater logit; NaN on contributions.
        unedited: the same of the unedited base; None where the run is not an edited one.
    """

    rows: tuple[LensRow, ...]
    position: int
    tokens: tuple[int, ...]
    probs: torch.Tensor
    logits: torch.Tensor
    ranks: torch.Tensor
    unedited: Trajectory | None = None


def trajectory_steps(
    question: Question, spec: LensSpec, position: int, tokens: Sequence[int]
) -> Generator[Progress, None, Trajectory]:
    """How some tokens fare from row to row at one position.

    Args:
        question: about one prompt.
        spec: run, rows and translators; of a difference the clean run, of a change the edited one.
        position: counted from 0.
        tokens: ids.

    Raises:
        BadInput: no tokens, or what `check_lens` finds.
    """
    question.model.refresh()
    asked = tuple(dict.fromkeys(tokens))
    if not asked:
        raise BadInput("No token is followed.", hint="Name one.")
    run = runs_of(question, spec.run)[0]
    spec = replace(spec, run=run, positions=(position,), columns=None, track=asked, measures=(), k=1)
    rows, _ = check_lens(question, spec)
    yield Progress(0, 1)
    found = yield from _trajectory(question, run, spec, rows, position)
    if run != "edited" or not question.edits:
        return found
    unedited = yield from _trajectory(question, question.base, spec, rows, position)
    return replace(found, unedited=unedited)


def _trajectory(
    question: Question, run: str, spec: LensSpec, rows: tuple[LensRow, ...], position: int
) -> Generator[Progress, None, Trajectory]:
    side = Side(question, run, rows, spec.translators)
    shape = (len(rows), len(spec.track))
    probs, logits, ranks = (torch.full(shape, torch.nan, dtype=torch.float32) for _ in range(3))
    for kind in ("stream", "contribution"):
        which = [i for i, row in enumerate(rows) if row.kind == kind]
        if not which:
            continue
        picks = torch.tensor([spec.track] * len(which))
        own = [rows[i] for i in which]
        read = (
            side.read(own, (position,), 1, (), picks, ranked=spec.track)
            if kind == "stream"
            else side.contributions(own, (position,), 1, picks)
        )
        cells = yield from through(read, Progress(0, 1))
        logits[which] = cells.picked
        probs[which] = cells.of(cells.picked)
        if cells.ranks is not None:
            ranks[which] = cells.ranks.float()
    return Trajectory(rows, position, spec.track, probs, logits, ranks)
