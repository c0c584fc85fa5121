"""Edits that can be done at some positions and not at others, so that a map of them has holes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .attention_edits import Knockout, SetPattern
from .edits import DoesNotFit, Edit
from .question import Question
from .writes import Write, writes_of

Fits = Callable[[Edit], DoesNotFit | None]
"""Says why an edit cannot be done where it acts; None: it can."""


def fits_of(question: Question) -> Fits:
    """Looks at edits one by one, each on top of a question's own.

    A cut edge needs a source that its destination sees, and leaves it another one; weights need sources that come
    before. What is wrong with an edit wherever it acts is not told here but when it runs.

    Example:
        >>> import mi_widgets as mi
        >>> exp = mi.Experiment(mi.load(), "Mary saw John", answer=" Mary")
        >>> fits = fits_of(exp.snapshot())
        >>> fits(mi.Knockout(layer=1, dest=3, src=2)) is None
        True
        >>> print(fits(mi.Knockout(layer=1, dest=1, src=2)).message)
        knockout L1.scores@1<2 cuts nothing: position 1 sees only what is up to it.
    """
    model, batch, sources = question.model, question.batch(question.base), question.sources()
    cuts = [edit for edit in question.edits if isinstance(edit, Knockout)]
    live = [writes_of(model, batch, cut, question.base, sources) for cut in cuts]
    known: dict[object, DoesNotFit | None] = {}

    def look(edit: Edit) -> DoesNotFit | None:
        try:
            by_row = writes_of(model, batch, edit, question.base, sources)
            for row, writes in enumerate(by_row if isinstance(edit, Knockout) else ()):
                before = [write for several in live for write in several[row]]
                for write in writes:
                    _cut_on_top(write, before, model.n_heads, batch.lengths[row])
        except DoesNotFit as problem:
            return problem
        return None

    def fits(edit: Edit) -> DoesNotFit | None:
        if not isinstance(edit, (Knockout, SetPattern)):
            return None
        what = edit.src if isinstance(edit, Knockout) else edit.weights
        # Layers are alike but for what other edits do there.
        name = (what, edit.layer if live else None, edit.head, edit.position)
        if name not in known:
            known[name] = look(edit)
        return known[name]

    return fits


def _cut_on_top(write: Write, before: list[Write], heads: int, length: int) -> None:
    """Cut edges where others are cut already.

    Raises:
        DoesNotFit: some destination would be left without any source.
    """
    same = [other for other in before if other.key == write.key]
    if not same:
        return
    scores = torch.full((length, length), -torch.inf).triu(1)[:, None].repeat(1, heads, 1)
    for one in (*same, write):
        at = list(one.positions)
        scores[at] = one.apply(scores[at])
