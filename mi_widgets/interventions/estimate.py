"""What many edits would do, estimated from one gradient instead of one run each (attribution patching)."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

import torch

from ..errors import BadInput, OutOfMemory
from ..model.access import Key
from ..results import Progress
from .edit_kinds import Reading
from .edits import Edit
from .first_order import Plan
from .question import Question
from .reading import source_of
from .sequences import answers_of
from .slopes import Base, Line, Slope
from .sources import Source
from .writes import Write, writes_of

BUDGET = 64 * 2**20
"""Bytes that one pass may keep for its gradient, roughly; it also bounds how long others wait for it."""

Steps = Generator[Progress, None, torch.Tensor]


def estimate_steps(question: Question, cells: Sequence[Edit], steps: int = 1) -> Steps:
    """The metric under each of some edits, estimated from gradients; yields after each pass of some prompts.

    Attribution patching (Nanda 2023; Syed et al. 2023): the metric of the base run + the sum over what the edit writes
    of (value written - value of the base run) . d metric / d site, the derivative taken on the base run. What is
    written is the edit's own: the source run's value for a patch, 0 for `Zero`, and so on. A `Knockout` writes scores
    of -inf, so there the change and the derivative are those of the weights after the softmax. `Resample` is the mean
    over its draws.

    With more steps the derivative is a mean along a line (EAP-IG on the inputs; Hanna et al. 2024): over runs whose
    token embeddings go from the base prompt's to the source prompt's at the positions that pair, 0, 1/steps, 2/steps,
    ... of the way. That paper too takes the point where the prompt is the one that is patched, and leaves out the other
    end. The values written and replaced stay those of the two runs themselves.

    The work is that of three passes for each step, whatever the number of edits. The user's weights take no part:
    their `.grad` and `requires_grad` stay as they are.

    Args:
        question: what is asked; `question.edits` are part of the base run.
        cells: the edits, each by itself.
        steps: 1 = on the base run alone.

    Returns:
        [prompt, cell] float32 on the CPU, in the metric's units.

    Raises:
        BadInput: the metric has no gradient (rank, a callable that detaches), the base run is drawn (a live
            `Resample`), or steps are asked for edits that do not all read one run.
        UnsupportedArchitecture: the model's forward pass gives no gradient.
        OutOfMemory: a single prompt does not fit.

    Example:
        >>> import mi_widgets as mi
        >>> exp = mi.Experiment(mi.load(), "When Mary and John went to the store, John gave a drink to",
        ...     "When Mary and John went to the store, Mary gave a drink to", answer=" Mary", distractor=" John")
        >>> [at.done for at in estimate_steps(exp.snapshot(), [mi.Patch("resid_pre", 1), mi.Zero("z", 1, head=2)])]
        [1]
    """
    _require_gradient(question, steps)
    plan = Plan.of(question, cells)
    line = _line(question, cells) if steps > 1 else None
    live = _live(question)
    found = torch.empty(len(live), len(cells))
    done, size = 0, _rows_at_once(question)
    started = time.perf_counter()
    while done < len(live):
        rows = range(done, min(done + size, len(live)))
        base = Base.of(question, rows, live, plan.keys)
        slopes: list[Slope] = []
        try:
            for step in range(steps):
                slopes = _added(slopes, base.slopes(line, step / steps))
                if step + 1 < steps:
                    yield Progress(done, len(live))
        except torch.OutOfMemoryError as problem:
            if len(rows) == 1:
                raise OutOfMemory(
                    f"The gradient of prompt {done} does not fit.", hint="Shorten it, or ask for some exact cells."
                ) from problem
            size = len(rows) // 2
            continue
        for slope in slopes:
            found[slope.row] = slope.metric + plan.effects(slope) / steps
        done = rows.stop
        yield Progress(done, len(live), (time.perf_counter() - started) / done * (len(live) - done))
    return found


def words_of(steps: int) -> str:
    """How an estimate is made, for provenance.

    Example:
        >>> words_of(4)
        'an estimate by gradients at 4 points between the prompts'
    """
    if steps == 1:
        return "an estimate by gradients: two forward passes and one backward"
    return f"an estimate by gradients at {steps} points between the prompts"


def _added(sums: list[Slope], more: list[Slope]) -> list[Slope]:
    """Derivatives added up; metric and values are those of the first."""
    if not sums:
        return more
    return [
        Slope(a.row, a.metric, a.values, {key: a.slopes[key] + b.slopes[key] for key in a.slopes})
        for a, b in zip(sums, more, strict=True)
    ]


def _require_gradient(question: Question, steps: int) -> None:
    if question.metric == "rank" and question.user_metric is None:
        raise BadInput("The metric rank has no gradient here: it counts tokens.", hint="Ask for exact cells.")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise BadInput(f"steps is a whole number from 1, not {steps!r}.", hint="1 takes the gradient on the base run.")
    if any(p.is_inference() for p in question.model.hf.parameters()):
        raise BadInput(
            f"{question.model.name} was made in inference mode, and its weights pass no gradient on.",
            hint="Load it outside of torch.inference_mode(), or ask for exact cells.",
        )


def _live(question: Question) -> list[list[Write]]:
    """For each prompt what the base run writes."""
    batch, sources = question.batch(question.base), question.sources()
    live: list[list[Write]] = [[] for _ in range(len(batch))]
    for edit in question.edits:
        for row, writes in enumerate(writes_of(question.model, batch, edit, question.base, sources)):
            live[row] += writes
    return live


def _line(question: Question, cells: Sequence[Edit]) -> Line:
    sources = question.sources()
    found: set[Source] = set()
    for cell in cells:
        if not isinstance(cell, Reading) or cell.source is None or isinstance(cell.source, torch.Tensor):
            raise BadInput(f"{cell} reads no run, so no line leads from the base run to it.", hint="Leave steps out.")
        found.add(source_of(cell, sources))
    if len(found) != 1:
        raise BadInput(f"Steps lead to one source run, and the edits read {len(found)}.", hint="Leave steps out.")
    (source,) = found
    key: Key = ("embed", None) if "embed" in question.model.architecture.sites else ("resid_pre", 0)
    return Line(source, key, source.read([key])[key])


def _rows_at_once(question: Question) -> int:
    model, length = question.model, question.batch(question.base).width
    if question.sequential:
        length += max(map(len, answers_of(question)))
    # Per token and layer: about six numbers as wide as the stream in attention, and the rest in an MLP four times as
    # wide; and each head's weights a few times over.
    numbers = length * model.n_layers * (24 * model.d_model + 4 * model.n_heads * length)
    return max(1, int(BUDGET // (numbers * torch.finfo(model.dtype).bits // 8)))
