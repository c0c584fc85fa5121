"""One cell of every head's pattern as a score: which heads move something from this source to that dest?"""

from __future__ import annotations

import math
from collections.abc import Generator

import torch

from ..errors import BadInput, SiteUnavailable
from ..interventions.question import Question
from ..results import Progress
from .attention import Run, sides_of, windowed
from .attention_runs import AttentionRun, finished, through
from .scores import HeadScore


def edge_steps(
    question: Question,
    run: Run,
    dest: int,
    src: int,
    weighting: str = "attention",
    *,
    other: AttentionRun | None = None,
) -> Generator[Progress, None, HeadScore]:
    """One cell of every head's pattern as a score, to rank heads by it.

    Args:
        question: about one prompt, or about several of one length: then the mean.
        run: clean, corrupted, edited, difference or against.
        dest, src: positions in the prompt's own tokens, counted from 0.
        weighting: as in `window_steps`.
        other: see `sides_of`.

    Returns:
        A `HeadScore`: values are A[dest, src], or what it is weighted to; bars are shares of the largest where it is
        not attention.

    Raises:
        BadInput: a position outside the prompt, a source behind its dest, or an unknown weighting.
    """
    model = question.model
    model.refresh()
    sides = sides_of(question, run, other)
    length = sides[0].length
    for name, place in (("dest", dest), ("src", src)):
        if not 0 <= place < length:
            raise BadInput(f"{name} {place} is outside the prompt's {length} tokens.", hint=f"Use 0 to {length - 1}.")
    if src > dest:
        raise BadInput(
            f"Position {dest} cannot see position {src}, which comes after it.", hint="Take a source up to the dest."
        )
    values = torch.full((model.n_layers, model.n_heads), math.nan, dtype=torch.float32)
    now = Progress(0, model.n_layers)
    yield now
    reason: str | None = None
    for layer in range(model.n_layers):
        if all(layer in one.layers for one in sides):
            readers = []
            try:
                for one in sides:
                    readers += [(yield from through(one.reach(layer, weighting), now))]
            except SiteUnavailable as problem:
                reason = str(problem)
            else:
                drawn = windowed(readers, range(model.n_heads), (dest, dest + 1), (src, src + 1), 1)
                cells = yield from through(drawn, now)
                values[layer] = cells[:, 0, 0]
        now = Progress(layer + 1, model.n_layers)
        yield now
    weighted = weighting != "attention"
    known = values[~values.isnan()]
    if not len(known) and reason is None:
        reason = "no layer has an attention pattern"
    top = float(known.abs().max()) if weighted and len(known) else 1.0
    what = "A[dest, src] * ||v[src] W_O||" if weighted else "A[dest, src]"
    return HeadScore(
        label=f"cell {dest}<{src}",
        card=f"{'What' if weighted else 'How much'} position {dest} takes from position {src}: {what} with dest {dest} "
        f"and src {src}.",
        source="value-weighted norm, Kobayashi et al. 2020" if weighted else "one cell of the pattern",
        values=values,
        bars=(values.abs() / max(top, 1e-12)).clamp(max=1),
        n=None,
        reason=reason if not len(known) else None,
    )


def edge_scores(question: Question, run: Run, dest: int, src: int, weighting: str = "attention") -> torch.Tensor:
    """One cell of every head's pattern, [layer, head] float32; see `edge_steps`.

    Example:
        >>> import mi_widgets as mi
        >>> question = mi.Experiment(mi.load(), "Mary went to the store").snapshot()
        >>> edge_scores(question, "clean", 2, 1).shape
        torch.Size([4, 4])
    """
    return finished(edge_steps(question, run, dest, src, weighting)).values
