"""Attention patterns of a run: whole, or pooled to thumbnails layer by layer, and a score per head."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import BadInput, MiWidgetsError, PromptMismatch
from ..interventions.draws import draws_of
from ..interventions.question import Question
from ..interventions.rerun import visitors_of
from ..model.access import Key, Visitor
from ..model.attention_tap import Weights
from ..results import PatternResult, Progress, Provenance
from .attribution import attribute
from .common import provenance
from .scores import SCORES, HeadScore, score_layer

BIGGEST = 256 * 2**20
"""Bytes of pattern that may be asked for at once."""

Run = str
"""clean, corrupted, edited, or difference (clean - corrupted)."""


@dataclass(frozen=True)
class AtlasPart:
    """Thumbnails of some layers: [layer, head, side, side] float32, for layers first..last (half open)."""

    layers: tuple[int, int]
    thumbs: torch.Tensor


@dataclass(frozen=True)
class Atlas:
    """All heads of one prompt at a glance.

    Attributes:
        rev: revision of the question it was computed for.
        run: clean, corrupted, edited or difference.
        thumbs: [layer, head, side, side] float32 (dest, src); NaN for layers without attention.
        side: edge of a thumbnail; the number of positions when the pattern was not pooled.
        positions: tokens of the prompt.
        scores: by name, in the order in which they are offered.
        missing: {layer: reason}.
        forward_ms: time of the forward pass(es).
        provenance: where it came from.
    """

    rev: int
    run: str
    thumbs: torch.Tensor
    side: int
    positions: int
    scores: dict[str, HeadScore]
    missing: dict[int, str]
    forward_ms: float
    provenance: Provenance


PatternOf = Callable[[Sequence[int] | None], torch.Tensor]
"""Computes [head, dest, src] float32 on the CPU for the heads asked for."""


def _one_run(question: Question, run: str) -> dict[int, PatternOf]:
    """One forward pass; patterns are computed later, for the layers and heads asked for.

    Attention itself runs in the usual kernel. Only layers whose scores or pattern are edited keep weights; in an
    edited run that is a mean over draws all do.
    """
    model, batch = question.model, question.batch(run)
    model.require("pattern")
    calls: dict[int, Weights] = {}
    kept: dict[int, torch.Tensor] = {}
    layers = [layer for layer in model.layers_with("pattern") if layer is not None]
    visitors: dict[Key, Visitor] = {}
    draws = draws_of(question.edits, len(batch)) if run == "edited" else [()]
    if len(draws) > 1:
        means = question.values(run, [("pattern", layer) for layer in layers])
        kept = {layer: means["pattern", layer] for layer in layers}
    elif draws[0]:
        visitors, _ = visitors_of(model, batch, draws[0], question.base, question.sources())
    rewritten = {layer for kind, layer in visitors if kind in ("scores", "pattern") and layer is not None}

    def watcher(layer: int) -> Callable[[Weights], None]:
        def watch(call: Weights) -> None:
            calls[layer] = call

        return watch

    def keeper(layer: int, edit: Visitor | None) -> Visitor:
        def keep(value: torch.Tensor) -> torch.Tensor | None:
            new = edit(value) if edit is not None else None
            kept[layer] = value if new is None else new
            return new

        return keep

    for layer in rewritten:
        visitors["pattern", layer] = keeper(layer, visitors.get(("pattern", layer)))
    if not kept:
        model.forward(batch, visitors, {layer: watcher(layer) for layer in layers if layer not in rewritten})
    pad = batch.pads[0]

    def reader(layer: int) -> PatternOf:
        def read(heads: Sequence[int] | None) -> torch.Tensor:
            chosen = list(range(model.n_heads)) if heads is None else list(heads)
            whole = kept[layer][0, chosen].float() if layer in kept else calls[layer].pattern(chosen)
            return whole[:, pad:, pad:].cpu()

        return read

    return {layer: reader(layer) for layer in layers}


@dataclass(frozen=True)
class _Side:
    """One run of what is shown: readers of its patterns by layer, and its token ids."""

    readers: dict[int, PatternOf]
    ids: tuple[int, ...]


def _sides(question: Question, run: Run) -> tuple[_Side, ...]:
    """The runs behind what is shown: one, or clean and corrupted for their difference; one forward pass each.

    Raises:
        PromptMismatch: a difference between prompts of different length.
        SiteUnavailable: the model has no attention pattern.
    """
    names = ("clean", "corrupted") if run == "difference" else (run,)
    if len(names) == 2:
        clean, corrupted = (question.batch(name).lengths[0] for name in names)
        if clean != corrupted:
            raise PromptMismatch(
                f"The prompts differ in length ({clean} and {corrupted} tokens), so their patterns have no difference.",
                hint="Look at clean and corrupted in turn, or make the prompts equally long.",
            )
    return tuple(_Side(_one_run(question, name), question.batch(name).prompts[0].ids) for name in names)


def _shown(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """The value of the one run, or the first run's minus the second's."""
    return values[0] if len(values) == 1 else values[0] - values[1]


def patterns_of(question: Question, run: Run) -> dict[int, PatternOf]:
    """Readers of each layer's patterns of a run; "difference" is clean minus corrupted.

    Args:
        question: about one prompt.
        run: clean, corrupted, edited or difference.

    Raises:
        PromptMismatch: a difference between prompts of different length.
        SiteUnavailable: the model has no attention pattern.
    """
    sides = _sides(question, run)

    def reader(layer: int) -> PatternOf:
        return lambda heads: _shown([side.readers[layer](heads) for side in sides])

    return {layer: reader(layer) for layer in sides[0].readers}


def pool(pattern: torch.Tensor, rows: int, columns: int, signed: bool = False) -> torch.Tensor:
    """Shrink [..., dest, src] to at most rows x columns by the strongest cell: a single strong key never vanishes.

    Args:
        pattern: weights, or signed differences.
        rows, columns: the size wanted; axes that are no longer stay as they are.
        signed: pool by magnitude and keep the sign.
    """
    height, width = pattern.shape[-2:]
    size = (min(rows, height), min(columns, width))
    if size == (height, width):
        return pattern
    flat = pattern.reshape(1, -1, height, width)
    high = torch.nn.functional.adaptive_max_pool2d(flat, size)
    if signed:
        low = torch.nn.functional.adaptive_max_pool2d(-flat, size)
        high = torch.where(low > high, -low, high)
    return high.reshape(*pattern.shape[:-2], *size)


def atlas_steps(
    question: Question, run: Run = "clean", side_limit: int = 48
) -> Generator[AtlasPart | Progress, None, Atlas]:
    """Thumbnails and scores of all heads, layer by layer; one layer's full patterns are held at a time.

    Args:
        question: about one prompt (`question.one(i)`).
        run: clean, corrupted, edited or difference.
        side_limit: largest edge of a thumbnail.

    Yields:
        An `AtlasPart` and a `Progress` per layer.

    Returns:
        The whole `Atlas`.
    """
    started = time.perf_counter()
    model = question.model
    model.refresh()
    sides = _sides(question, run)
    ids, readers = sides[0].ids, sides[0].readers
    forward_ms = 1000 * (time.perf_counter() - started)
    side = min(len(ids), side_limit)
    thumbs = torch.full((model.n_layers, model.n_heads, side, side), math.nan, dtype=torch.float32)
    by_layer: dict[int, dict[str, torch.Tensor]] = {}
    yield Progress(0, model.n_layers)
    for layer in range(model.n_layers):
        if layer in readers:
            weights = [one.readers[layer](None) for one in sides]
            thumbs[layer] = pool(_shown(weights), side, side, signed=run == "difference")
            scores = [score_layer(pattern, one.ids) for pattern, one in zip(weights, sides, strict=True)]
            by_layer[layer] = {name: _shown([score[name] for score in scores]) for name in scores[0]}
        yield AtlasPart((layer, layer + 1), thumbs[layer : layer + 1])
        yield Progress(
            layer + 1,
            model.n_layers,
            (time.perf_counter() - started) / (layer + 1) * (model.n_layers - layer - 1),
        )
    missing = {layer: reason for (kind, layer), reason in model.architecture.missing_at.items() if kind == "pattern"}
    return Atlas(
        rev=question.rev,
        run=run,
        thumbs=thumbs,
        side=side,
        positions=len(ids),
        scores=_scores(question, run, by_layer, ids),
        missing=missing,
        forward_ms=forward_ms,
        provenance=provenance(
            question,
            "clean" if run == "difference" else run,
            f"{len(readers)} x {model.n_heads} patterns",
            started,
        ),
    )


def _scores(
    question: Question, run: Run, by_layer: dict[int, dict[str, torch.Tensor]], ids: tuple[int, ...]
) -> dict[str, HeadScore]:
    n_layers, n_heads = question.model.n_layers, question.model.n_heads
    scores = {}
    for name, rule in SCORES.items():
        values = torch.full((n_layers, n_heads), math.nan, dtype=torch.float32)
        for layer, found in by_layer.items():
            values[layer] = found[name]
        eligible = rule.eligible(ids)
        bars = rule.bars(values, len(ids))
        scores[name] = HeadScore(
            rule.label, rule.card, rule.source, values, bars, eligible, rule.reason if eligible == 0 else None
        )
    scores["logit_effect"] = _logit_effect(question, run)
    return scores


def _logit_effect(question: Question, run: Run) -> HeadScore:
    """Direct attribution of each head at the answer position, in logits of the answer direction."""
    empty = torch.full((question.model.n_layers, question.model.n_heads), math.nan, dtype=torch.float32)
    about = ("logit effect", "What the head itself writes along the answer direction at the answer position (direct).",
             "direct logit attribution, final norm frozen")  # fmt: skip
    try:
        if run == "difference":
            values = attribute(question, "head", "clean").values - attribute(question, "head", "corrupted").values
        else:
            values = attribute(question, "head", run).values
    except MiWidgetsError as problem:
        return HeadScore(*about, empty, empty, None, str(problem))
    bars = values.abs() / values.abs().max().clamp(min=1e-12)
    return HeadScore(*about, values, bars, None, None)


def window_steps(
    question: Question,
    run: Run,
    heads: Sequence[tuple[int, int]],
    dest: tuple[int, int],
    src: tuple[int, int],
    side: int,
) -> Generator[Progress, None, torch.Tensor]:
    """Patterns of some heads inside a window, pooled when the window is larger than `side`.

    Args:
        question: about one prompt.
        run: clean, corrupted, edited or difference.
        heads: (layer, head) pairs.
        dest, src: half-open ranges of positions.
        side: largest number of rows and columns that is wanted.

    Returns:
        [head, row, column] float32.
    """
    question.model.refresh()
    length = question.batch("clean" if run == "difference" else run).lengths[0]
    for name, (low, high) in (("dest", dest), ("src", src)):
        if not 0 <= low < high <= length:
            raise BadInput(
                f"{name} [{low}, {high}) is outside the prompt's {length} tokens.", hint=f"Use 0 to {length}."
            )
    readers = patterns_of(question, run)
    yield Progress(0, len(heads))
    out = []
    for done, (layer, head) in enumerate(heads, start=1):
        question.model.require("pattern", layer)
        whole = readers[layer]([head])[0]
        out.append(pool(whole[dest[0] : dest[1], src[0] : src[1]], side, side, signed=run == "difference"))
        yield Progress(done, len(heads))
    return torch.stack(out)


def patterns(question: Question, layers: Sequence[int] | None, heads: Sequence[int] | None, run: Run) -> PatternResult:
    """Full patterns as a result; see `Experiment.patterns`."""
    started = time.perf_counter()
    model = question.model
    model.refresh()
    model.require("pattern")
    chosen = list(range(model.n_layers)) if layers is None else list(layers)
    which = list(range(model.n_heads)) if heads is None else list(heads)
    if layers is not None:
        for layer in chosen:
            model.require("pattern", layer)
    if not chosen or not which or not all(0 <= h < model.n_heads for h in which):
        raise BadInput(f"heads {which} must be numbers from 0 to {model.n_heads - 1}.", hint="Leave it out for all.")
    tokens = question.batch("clean" if run == "difference" else run).prompts[0]
    size = 4 * len(chosen) * len(which) * len(tokens) ** 2
    if size > BIGGEST:
        raise BadInput(
            f"{len(chosen)} x {len(which)} patterns of {len(tokens)} tokens take {size / 2**20:.0f} MB.",
            hint="Ask by layer or head: exp.patterns(layers=[3], heads=[1]).",
        )
    readers = patterns_of(question, run)
    values = torch.full((len(chosen), len(which), len(tokens), len(tokens)), math.nan, dtype=torch.float32)
    for i, layer in enumerate(chosen):
        if layer in readers:
            values[i] = readers[layer](which)
    where = provenance(
        question, "clean" if run == "difference" else run, f"{len(chosen)} x {len(which)} patterns", started
    )
    reasons = [f"layer {k[1]}: {reason}" for k, reason in model.architecture.missing_at.items() if k[0] == "pattern"]
    return PatternResult(
        replace(where, notes=(*where.notes, *reasons)),
        values,
        tuple(chosen),
        tuple(which),
        tokens.strings,
        run,
    )
