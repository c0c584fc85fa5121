"""Attention of a run as people look at it: thumbnails of all heads, windows of some, whole patterns."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import BadInput, MiWidgetsError, PromptMismatch
from ..interventions.question import Question
from ..model.batches import Batch
from ..results import PatternResult, Progress, Provenance
from .attention_runs import AttentionRun, Range, Reader, finished, through
from .attribution import attribute
from .common import provenance
from .masks import mask_rules
from .pooling import pool, strongest
from .scores import SCORES, HeadScore, Rule, Tally, facts_of, scored

BIGGEST = 256 * 2**20
"""Bytes of pattern that may be asked for at once."""

BLOCK = 2**20
"""Cells of pattern that are worked out at once."""

MOST_TOKENS = 2**15
"""Tokens of all prompts whose mean may be asked for at once."""

Run = str
"""clean, corrupted, edited, difference (clean - corrupted), or against (clean - another question's clean)."""

_TWO_SIDED = ("difference", "against")


@dataclass(frozen=True)
class AtlasPart:
    """Thumbnails of some layers: [layer, head, side, side] float32, for layers first..last (half open)."""

    layers: tuple[int, int]
    thumbs: torch.Tensor


@dataclass(frozen=True)
class Atlas:
    """All heads of one prompt at a glance, or the mean over several.

    Attributes:
        rev: revision of the question it was computed for.
        run: clean, corrupted, edited, difference or against.
        thumbs: [layer, head, side, side] float32 (dest, src); NaN for layers without attention.
        side: edge of a thumbnail; the number of positions when the pattern was not pooled.
        positions: tokens of the prompt.
        scores: by name, in the order in which they are offered.
        missing: {layer: reason}.
        forward_ms: time of the forward pass(es); NaN where none was run, since what it gave was still there.
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


def sides_of(question: Question, run: Run, other: AttentionRun | None = None) -> tuple[AttentionRun, ...]:
    """The runs behind what is shown: one, or the two whose difference it is. Nothing is run yet.

    Args:
        question: about one prompt; or about several of one length, of which everything is the mean.
        run: which run, or difference.
        other: of another question or model: what "against" takes from the clean run.

    Raises:
        PromptMismatch: a mean over prompts of different length, or a difference between them.
        BadInput: models of different shape, or prompts whose mean is too much at once.
        SiteUnavailable: the model has no attention pattern.
    """
    sides = _sides(question, run, other)
    for one in sides:
        if (reason := no_mean(one.batch)) is not None:
            raise PromptMismatch(reason, hint="Look at one prompt at a time, or make the prompts equally long.")
    return sides


def no_mean(batch: Batch) -> str | None:
    """Why the attention of several prompts has no mean that is drawn; None where it has one."""
    lengths, tokens = batch.lengths, sum(batch.lengths)
    if len(set(lengths)) > 1:
        few, many = min(lengths), max(lengths)
        return f"The prompts differ in length ({few} to {many} tokens), so there is no mean cell by cell."
    if len(lengths) > 1 and tokens > MOST_TOKENS:
        return f"The prompts have {tokens:,} tokens; a mean is drawn of at most {MOST_TOKENS:,}."
    return None


def _sides(question: Question, run: Run, other: AttentionRun | None) -> tuple[AttentionRun, ...]:
    if run == "difference":
        sides = (AttentionRun(question, "clean"), AttentionRun(question, "corrupted"))
    elif run == "against":
        if other is None:
            raise BadInput("There is nothing to hold the clean run against.", hint="Give another experiment.")
        sides = (AttentionRun(question, "clean"), other)
    else:
        return (AttentionRun(question, run),)
    shapes = [(one.model.n_layers, one.model.n_heads) for one in sides]
    if shapes[0] != shapes[1]:
        words = [f"{layers} x {heads}" for layers, heads in shapes]
        raise BadInput(
            f"The models have {words[0]} and {words[1]} heads, so there is no head by head difference.",
            hint="Compare models of one shape, or checkpoints of one model.",
        )
    counts = [len(one.ids) for one in sides]
    if counts[0] != counts[1]:
        raise PromptMismatch(
            f"There are {counts[0]} and {counts[1]} prompts, so there is no difference prompt by prompt.",
            hint="Ask both experiments as many prompts, or look at one prompt at a time.",
        )
    lengths = [one.length for one in sides]
    if lengths[0] != lengths[1]:
        raise PromptMismatch(
            f"The prompts differ in length ({lengths[0]} and {lengths[1]} tokens), so their patterns have no "
            "difference.",
            hint="Look at one after the other, or make the prompts equally long.",
        )
    return sides


def _shown(blocks: Sequence[torch.Tensor]) -> torch.Tensor:
    """The block of the one run, or the first run's minus the second's."""
    if len(blocks) == 1:
        return blocks[0]
    width = max(block.shape[-1] for block in blocks)
    first, second = (_wide(block.cpu(), width) for block in blocks)
    return first - second


def _wide(block: torch.Tensor, width: int) -> torch.Tensor:
    """The sources that were left out are not seen: 0."""
    return torch.nn.functional.pad(block, (0, width - block.shape[-1])) if block.shape[-1] < width else block


def windowed(
    readers: Sequence[Reader],
    heads: Sequence[int],
    dest: Range,
    src: Range,
    side: int,
    tallies: Sequence[Sequence[Tally]] = (),
) -> Generator[None, None, torch.Tensor]:
    """Cells of some heads inside a window, pooled to at most side x side; yields between blocks.

    Of several prompts the mean is pooled, block by block: no prompt's pattern exists as a whole.

    Args:
        readers: of the one run, or of two whose difference is shown.
        heads: query heads of the layer.
        dest, src: half-open ranges.
        side: largest number of rows and columns.
        tallies: of each run one for each prompt: are shown each of its cells once. Heads are counted as they come.

    Returns:
        [head, row, column] float32 on the CPU.
    """
    signed = len(readers) > 1
    length, width = dest[1] - dest[0], src[1] - src[0]
    rows, columns = min(side, length), min(side, width)
    out = torch.empty(len(heads), rows, columns, dtype=torch.float32)
    edge = [row * length // rows for row in range(rows + 1)]
    far = [-(-(row + 1) * length // rows) for row in range(rows)]
    most = BLOCK // max(len(reader.pads) for reader in readers)
    tall = max(1, most // (len(heads) * dest[1]) * rows // length)
    wide = max(1, min(len(heads), most // (-(-length // rows) * dest[1])))
    for start in range(0, len(heads), wide):
        which = slice(start, start + wide)
        for top in range(0, rows, tall):
            bottom = min(top + tall, rows)
            first, last = edge[top], far[bottom - 1]
            own = (dest[0] + first, dest[0] + edge[bottom])
            blocks = []
            for reader, counted in zip(readers, tallies or [()] * len(readers), strict=True):
                blocks += [_mean_block(reader, heads, which, (dest[0] + first, dest[0] + last), counted, own)]
            shown = _shown(blocks)[..., src[0] : src[1]]
            if rows < length:
                each = [strongest(shown[:, edge[r] - first : far[r] - first], signed) for r in range(top, bottom)]
                shown = torch.stack(each, dim=1)
            out[which, top:bottom] = pool(_wide(shown, width), bottom - top, columns, signed).cpu()
            yield
    return out


def _mean_block(
    reader: Reader, heads: Sequence[int], which: slice, dest: Range, tallies: Sequence[Tally], counted: Range
) -> torch.Tensor:
    """Some dests of some heads, the mean over a run's prompts; the first of these dests are counted for each prompt."""
    total: torch.Tensor | None = None
    for row in range(len(reader.pads)):
        block = reader(heads[which], dest, row)
        if tallies:
            tallies[row].add(block[:, : counted[1] - counted[0]], which, counted)
        total = block if total is None else total + block
    assert total is not None
    return total if len(reader.pads) == 1 else total / len(reader.pads)


def atlas_steps(
    question: Question,
    run: Run = "clean",
    side_limit: int = 48,
    *,
    masks: Mapping[str, torch.Tensor] | None = None,
    other: AttentionRun | None = None,
) -> Generator[AtlasPart | Progress, None, Atlas]:
    """Thumbnails and scores of all heads, layer by layer; a few million cells of pattern exist at a time.

    Of several prompts a pattern is the mean, cell by cell, and a score the mean over the prompts where it is defined.

    Args:
        question: about one prompt (`question.one(i)`), or about several of one length.
        run: clean, corrupted, edited, difference or against.
        side_limit: largest edge of a thumbnail.
        masks: {name: [dest, src]} for scores of one's own; see `masks.mask_rules`.
        other: see `sides_of`.

    Yields:
        An `AtlasPart` per layer, and `Progress` between steps.

    Returns:
        The whole `Atlas`.
    """
    started = time.perf_counter()
    model = question.model
    model.refresh()
    sides = sides_of(question, run, other)
    facts = [[facts_of(ids) for ids in one.ids] for one in sides]
    rules = SCORES | mask_rules(masks or {}, sides[0].length)
    length = sides[0].length
    side = min(length, side_limit)
    layers = set(sides[0].layers).intersection(*(one.layers for one in sides))
    thumbs = torch.full((model.n_layers, model.n_heads, side, side), math.nan, dtype=torch.float32)
    by_layer: dict[int, dict[str, torch.Tensor]] = {}
    now = Progress(0, model.n_layers)
    yield now
    for layer in range(model.n_layers):
        if layer in layers:
            readers = []
            for one in sides:
                readers += [(yield from through(one.reach(layer), now))]
            tallies = [[Tally(rules, own, model.n_heads) for own in each] for each in facts]
            everything = (0, length)
            drawn = windowed(readers, range(model.n_heads), everything, everything, side, tallies)
            thumbs[layer] = yield from through(drawn, now)
            each = [[tally.values() for tally in pair] for pair in zip(*tallies, strict=True)]
            by_layer[layer] = {
                name: torch.stack([_shown([own[name] for own in pair]) for pair in each]).nanmean(0) for name in rules
            }
        yield AtlasPart((layer, layer + 1), thumbs[layer : layer + 1])
        pace = (time.perf_counter() - started) / (layer + 1)
        now = Progress(layer + 1, model.n_layers, pace * (model.n_layers - layer - 1))
        yield now
    scores = scored(rules, (model.n_layers, model.n_heads), by_layer, *facts[0])
    scores["logit_effect"] = logit_effect(question, run)
    return Atlas(
        rev=question.rev,
        run=run,
        thumbs=thumbs,
        side=side,
        positions=length,
        scores=scores,
        missing=_missing(sides),
        forward_ms=sum(one.milliseconds for one in sides) or math.nan,
        provenance=provenance(question, _first(run), f"{len(layers)} x {model.n_heads} patterns", started),
    )


def _first(run: Run) -> str:
    """The run of the question itself that is shown, or that something is taken from."""
    return "clean" if run in _TWO_SIDED else run


def _missing(sides: Sequence[AttentionRun]) -> dict[int, str]:
    found = {}
    for one in reversed(sides):
        for (kind, layer), reason in one.model.architecture.missing_at.items():
            if kind == "pattern":
                found[layer] = reason
    return found


def logit_effect(question: Question, run: Run) -> HeadScore:
    """Direct attribution of each head at the answer position, in logits of the answer direction, as a score.

    Where it is not defined the values are NaN and `reason` says why.
    """
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
    dest: Range,
    src: Range,
    side: int,
    *,
    weighting: str = "attention",
    other: AttentionRun | None = None,
) -> Generator[Progress, None, torch.Tensor]:
    """Cells of some heads inside a window, pooled when the window is larger than `side`.

    Only the rows asked for are worked out, of queries and keys that are kept from an earlier pass where there was one.

    Args:
        question: about one prompt, or about several of one length: then the mean, cell by cell.
        run: clean, corrupted, edited, difference or against.
        heads: (layer, head) pairs.
        dest, src: half-open ranges of positions.
        side: largest number of rows and columns that is wanted.
        weighting: "attention"; or "value": A[dest, src] * ||v[src] W_O[h]||_2, before any post-norm (Kobayashi et al.
            2020), in units of the residual stream.
        other: see `sides_of`.

    Returns:
        [head, row, column] float32.

    Raises:
        BadInput: a range outside the prompt, an unknown weighting.
        SiteUnavailable: a layer without a pattern, or without values to weight by.

    Example:
        >>> import mi_widgets as mi
        >>> question = mi.Experiment(mi.load(), "Mary went to the store").snapshot()
        >>> steps = window_steps(question, "clean", [(1, 0)], (0, 3), (0, 3), 48, weighting="value")
        >>> next(steps).total
        1
    """
    question.model.refresh()
    sides = sides_of(question, run, other)
    length = sides[0].length
    for name, (low, high) in (("dest", dest), ("src", src)):
        if not 0 <= low < high <= length:
            raise BadInput(
                f"{name} [{low}, {high}) is outside the prompt's {length} tokens.", hint=f"Use 0 to {length}."
            )
    for layer, _ in heads:
        for one in sides:
            one.model.require("pattern", layer)
    now = Progress(0, len(heads))
    yield now
    found: dict[int, torch.Tensor] = {}
    # By layer, since a pass goes through them in order.
    for layer in sorted({layer for layer, _ in heads}):
        readers = []
        for one in sides:
            readers += [(yield from through(one.reach(layer, weighting), now))]
        for place, (at, head) in enumerate(heads):
            if at == layer:
                found[place] = (yield from through(windowed(readers, [head], dest, src, side), now))[0]
                now = Progress(len(found), len(heads))
                yield now
    return torch.stack([found[place] for place in range(len(heads))])


def score_steps(
    run: AttentionRun, rules: Mapping[str, Rule]
) -> Generator[Progress, None, dict[int, dict[str, torch.Tensor]]]:
    """Scores of all heads without thumbnails, the mean over a run's prompts.

    Returns:
        {layer: {name: [head] float32}} for the layers that have a pattern.
    """
    n_heads = run.model.n_heads
    facts = [facts_of(ids) for ids in run.ids]
    found: dict[int, dict[str, torch.Tensor]] = {}
    now = Progress(0, run.model.n_layers)
    yield now
    for layer in run.layers:
        reader = yield from through(run.reach(layer), now)
        each = []
        for row, own in enumerate(facts):
            tally = Tally(rules, own, n_heads)
            step = max(1, BLOCK // (n_heads * own.length))
            for first in range(0, own.length, step):
                dest = (first, min(first + step, own.length))
                tally.add(reader(range(n_heads), dest, row), slice(None), dest)
                yield now
            each.append(tally.values())
        found[layer] = {name: torch.stack([one[name] for one in each]).mean(0) for name in rules}
        now = Progress(layer + 1, run.model.n_layers)
        yield now
    return found


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
    tokens = question.batch(_first(run)).prompts[0]
    size = 4 * len(chosen) * len(which) * len(tokens) ** 2
    if size > BIGGEST:
        raise BadInput(
            f"{len(chosen)} x {len(which)} patterns of {len(tokens)} tokens take {size / 2**20:.0f} MB.",
            hint="Ask by layer or head: exp.patterns(layers=[3], heads=[1]).",
        )
    sides = sides_of(question, run)
    values = torch.full((len(chosen), len(which), len(tokens), len(tokens)), math.nan, dtype=torch.float32)
    everything = (0, len(tokens))
    for layer in sorted(set(chosen).intersection(sides[0].layers)):
        readers = [finished(one.reach(layer)) for one in sides]
        found = finished(windowed(readers, which, everything, everything, len(tokens)))
        for place, asked in enumerate(chosen):
            if asked == layer:
                values[place] = found
    where = provenance(question, _first(run), f"{len(chosen)} x {len(which)} patterns", started)
    reasons = [f"layer {layer}: {reason}" for layer, reason in _missing(sides).items()]
    return PatternResult(
        replace(where, notes=(*where.notes, *reasons)),
        values,
        tuple(chosen),
        tuple(which),
        tokens.strings,
        run,
    )
