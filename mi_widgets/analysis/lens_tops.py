"""The top token of cells of a lens and nothing else: what a picture of several runs side by side needs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch

from ..interventions.question import Question
from .lens_cells import Side
from .lens_rows import LensRow


@dataclass(frozen=True, eq=False)
class Tops:
    """The top tokens of a rectangle of cells.

    Attributes:
        ids: [row, column] int64.
        probs: [row, column] float32.
        changed: [row, column] bool, an edit gave the cell another top token; None of an unedited run.
    """

    ids: torch.Tensor
    probs: torch.Tensor
    changed: torch.Tensor | None = None


def tops_steps(
    question: Question, run: str, rows: Sequence[LensRow], columns: Sequence[int]
) -> Generator[None, None, Tops]:
    """Cells of one run; yields between blocks of the vocabulary.

    Args:
        question: about one prompt.
        run: "clean", "corrupted" or "edited".
        rows: streams of a lens.
        columns: positions of the run's prompt.

    Raises:
        NotFinite: the run holds NaN or infinity.

    Example:
        >>> import mi_widgets as mi
        >>> from mi_widgets.analysis.attention_runs import finished
        >>> from mi_widgets.analysis.lens_rows import rows_of
        >>> exp = mi.Experiment(mi.load(), "Mary went to the store")
        >>> finished(tops_steps(exp.snapshot(), "clean", rows_of(exp.model), range(6))).probs.shape
        torch.Size([5, 6])
    """
    found = yield from Side(question, run, rows).read(rows, columns, 1)
    shape = len(rows), len(columns)
    return Tops(found.top_ids[:, 0].reshape(shape), found.probs[:, 0].reshape(shape))


def edited_steps(
    question: Question, rows: Sequence[LensRow], columns: Sequence[int], base: Tops, cone: torch.Tensor
) -> Generator[None, None, Tops]:
    """The same cells of the edited run: those that the edits can change are worked out, the others are the base's.

    Args:
        question: about one prompt, with the edits.
        rows, columns: which.
        base: what the unedited base has there.
        cone: [row, column] bool, what the edits can change.

    Raises:
        NotFinite: the run holds NaN or infinity.
    """
    ids, probs = base.ids.clone(), base.probs.clone()
    if bool(cone.any()):
        found = yield from Side(question, "edited", rows).read(rows, columns, 1, only=cone.flatten())
        ids[cone], probs[cone] = found.top_ids[:, 0], found.probs[:, 0]
    return Tops(ids, probs, ids != base.ids)
