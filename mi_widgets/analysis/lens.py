"""The logit lens: what the model would say at every layer, of one run or of two runs compared.

lens(x) = the model's own final norm recomputed on x, its unembedding with bias, scale and softcap, then softmax
(nostalgebraist 2020). Logits of all tokens exist for a block of the vocabulary at a time.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..interventions.question import Question
from ..results import Progress
from .attention_runs import through
from .common import provenance
from .lens_compare import LensCells, Reading
from .lens_result import LensResult
from .lens_rows import LensRow
from .lens_spec import LensSpec, check_lens

AT_ONCE = 512
"""Cells that are worked out together; a part is as many columns of all rows."""


@dataclass(frozen=True, eq=False)
class LensPart:
    """Some columns of all rows that were asked for, finished.

    Attributes:
        rows: the rows.
        positions: of the prompt, counted from 0.
        cells: their numbers.
    """

    rows: tuple[LensRow, ...]
    positions: tuple[int, ...]
    cells: LensCells


def lens_steps(question: Question, spec: LensSpec) -> Generator[LensPart | Progress, None, LensResult]:
    """A lens, some columns at a time.

    Args:
        question: about one prompt (`question.one(i)`).
        spec: what is asked.

    Yields:
        A `LensPart` for each group of columns, and `Progress` between blocks of the vocabulary.

    Returns:
        All of it.

    Raises:
        BadInput, PromptMismatch, SiteUnavailable: see `check_lens`.
        NotFinite: a run holds NaN or infinity.

    Example:
        >>> import mi_widgets as mi
        >>> question = mi.Experiment(mi.load(), "Mary went to the store").snapshot()
        >>> parts = [part for part in lens_steps(question, LensSpec(k=3)) if isinstance(part, LensPart)]
        >>> parts[0].cells.probs.shape
        torch.Size([5, 6, 3])
    """
    started = time.perf_counter()
    model = question.model
    model.refresh()
    rows, positions = check_lens(question, spec)
    step = max(1, AT_ONCE // len(rows))
    chunks = [positions[i : i + step] for i in range(0, len(positions), step)]
    now = Progress(0, len(chunks))
    yield now
    reading = Reading(question, spec, rows)
    yield now
    parts = []
    for done, columns in enumerate(chunks, 1):
        cells = yield from through(reading.cells(columns), now)
        parts.append(cells)
        yield LensPart(rows, columns, cells)
        pace = (time.perf_counter() - started) / done
        now = Progress(done, len(chunks), pace * (len(chunks) - done))
        yield now
    return _result(question, spec, rows, positions, parts, reading, started)


def _result(
    question: Question,
    spec: LensSpec,
    rows: tuple[LensRow, ...],
    positions: tuple[int, ...],
    parts: Sequence[LensCells],
    reading: Reading,
    started: float,
) -> LensResult:
    def joined(name: str) -> Any:
        return torch.cat([getattr(part, name) for part in parts], 1)

    names = ("top_ids", "probs", "logits", "bottom_ids", "bottom_logits", "before", "tracked", "tracked_probs")
    every = {name: joined(name) for name in names}
    used = {int(i) for name in ("top_ids", "bottom_ids") for i in every[name].unique().tolist() if i >= 0}
    side = reading.sides[0]
    prompt = side.batch.prompts[0]
    where = provenance(question, side.run, "a lens of each row", started, notes=_notes(question, spec))
    return LensResult(
        provenance=where,
        places=tuple(row.key for row in rows),
        positions=positions,
        tokens=tuple(prompt.strings[p] for p in positions),
        run=spec.run,
        track=spec.track,
        measures={name: torch.cat([part.measures[name] for part in parts], 1) for name in spec.measures},
        changed=None if parts[0].changed is None else joined("changed"),
        labels=tuple((i, question.model.text.piece(i)) for i in sorted(used | set(spec.track))),
        forward_ms=sum(one.streams.milliseconds for one in reading.sides),
        **every,
    )


def _notes(question: Question, spec: LensSpec) -> tuple[str, ...]:
    notes = []
    if spec.run == "difference":
        notes.append("Clean minus corrupted; the tokens are those of the clean run.")
    if spec.run == "change":
        notes.append(f"Edited minus the unedited {question.base} run; the tokens are those of the edited run.")
    if question.sequential and {"rank", "logit_diff", "cross_entropy"} & set(spec.measures):
        notes.append("Of an answer of several tokens the lens looks at the first.")
    if spec.translators is not None:
        notes += spec.translators.notes(question.model)
        if "resid_mid" in spec.at:
            notes.append("There are no translators for the stream between attention and MLP: those rows are plain.")
    return tuple(notes)
