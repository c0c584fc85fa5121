"""A run's attention, a few layers at a time: kept as queries, keys and values, turned into weights when asked for.

Full patterns of all layers never exist at once, long passes stop between layers so that more urgent work gets through,
and what was once computed answers later questions about the same run without another pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch

from ..errors import BadInput, SiteUnavailable
from ..interventions.draws import draws_of
from ..interventions.edits import Edit
from ..interventions.question import Question
from ..interventions.rerun import visitors_of
from ..model.access import Key, Visitor, projection_of
from ..model.attention_tap import KeptWeights, Weights
from ..model.handle import Model
from ..results import Progress
from .at_answer import Notes

T = TypeVar("T")

CELLS = 2**23
"""Cells of pattern, over heads and layers, after whose layers a pass stops and goes on in the next step."""

PRODUCTS = 2**29
"""Positions times d_model squared, over layers, after which it does too: about 0.1 s on one core."""

PROVEN = 20
"""Positions per layer from which on it pays to prove that passes can be resumed, which is done once for a model."""

WEIGHTINGS = ("attention", "value")
"""What a cell shows: A[dest, src], or A[dest, src] * ||v[src] W_O[h]||_2."""

Range = tuple[int, int]
"""Half open."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What one layer's attention was given in a run.

    Attributes:
        weights: tells its attention weights.
        value: [row, position, kv head, d_head_v]; None where the layer shows none.
    """

    weights: Weights
    value: torch.Tensor | None

    @property
    def nbytes(self) -> int:
        """What is held for it."""
        return self.weights.nbytes + (0 if self.value is None else self.value.nbytes)


def through(steps: Generator[Any, None, T], now: Progress) -> Generator[Progress, None, T]:
    """The same steps; between them it is told how far the work is."""
    kept: list[T] = []

    def whole() -> Generator[Any, None, None]:
        kept.append((yield from steps))

    for _ in whole():
        yield now
    return kept[0]


def finished(steps: Generator[Any, None, T]) -> T:
    """What steps return, run to their end at once."""
    kept: list[T] = []

    def whole() -> Generator[Any, None, None]:
        kept.append((yield from steps))

    for _ in whole():
        pass
    return kept[0]


class _Enough(Exception):
    """A pass has come as far as it was wanted; carries what enters the next layer."""

    def __init__(self, stream: torch.Tensor) -> None:
        super().__init__()
        self.stream = stream


class _Pass:
    """One forward pass over one batch, run as far as it is asked for.

    What its layers show is kept in the cache of the question. Where a layer has left that before it was read, the pass
    is run again.
    """

    def __init__(self, question: Question, run: str, edits: tuple[Edit, ...], name: tuple[Hashable, ...]) -> None:
        self.question, self.model, self.batch = question, question.model, question.batch(run)
        self.visitors: dict[Key, Visitor] = {}
        if edits:
            self.visitors, _ = visitors_of(self.model, self.batch, edits, question.base, question.sources())
        self._notes = None if edits or not _attributed(question) else Notes(question, run)
        self._name = name
        self.layers = [layer for layer in self.model.layers_with("pattern") if layer is not None]
        self.milliseconds = 0.0
        self._seen: dict[int, Seen] = {}
        self._next: tuple[int, torch.Tensor | None] = (0, None)

    def _key(self, layer: int) -> tuple[Hashable, ...]:
        return ("attention", self.model.generation, self.batch.key, *self._name, layer)

    def reach(self, layer: int) -> Generator[None, None, Seen]:
        """What a layer was given; yields between the steps of a pass that does not come there at once."""
        while True:
            found = self._seen.get(layer) or self.question.captures.look(self._key(layer))
            if found is not None:
                return found
            if layer < self._next[0]:
                self._next = (0, None)
            started = time.perf_counter()
            self._step()
            self.milliseconds += 1000 * (time.perf_counter() - started)
            if layer not in self._seen:
                yield

    def _step(self) -> None:
        """Run some layers more."""
        first, stream = self._next
        last = self._end(first)
        self._seen = {}
        weights: dict[int, Weights] = {}
        values: dict[int, torch.Tensor] = {}
        patterns: dict[int, torch.Tensor] = {}
        held = {key: visitor for key, visitor in self.visitors.items() if _at_or_behind(key, first)}
        noted = {} if self._notes is None else self._notes.visitors
        asked = {**held, **{key: visitor for key, visitor in noted.items() if _at_or_behind(key, first)}}
        layers = [layer for layer in self.layers if first <= layer < last]
        rewritten = {layer for kind, layer in held if kind in ("scores", "pattern") and layer is not None}
        parts = self.model.architecture
        for layer in layers:
            if "v" in parts.sites and ("v", layer) not in parts.missing_at:
                asked["v", layer] = _noting(values, layer, held.get(("v", layer)))
        for layer in rewritten:
            asked["pattern", layer] = _noting(patterns, layer, held.get(("pattern", layer)))
        watchers = {layer: _watching(weights, layer) for layer in layers if layer not in rewritten}
        resume = None if stream is None else (first, stream)
        whole = last == self.model.n_layers
        if not whole:
            asked = {key: visitor for key, visitor in asked.items() if not _at_or_behind(key, last)}
            asked["resid_pre", last] = _stop
        try:
            keep = self.question.unembedded(self.batch) if ("logits", None) not in asked else None
            logits = self.model.forward(self.batch, asked, watchers, resume=resume, keep=keep)
        except _Enough as enough:
            if not bool(torch.isfinite(enough.stream).all()):
                # Says where it comes from, and raises.
                self.model.forward(self.batch, self.visitors)
            self._next = (last, enough.stream)
        else:
            self._next = (self.model.n_layers, None)
            if self._notes is not None:
                self._notes.done(logits)
        weights |= {layer: KeptWeights(pattern) for layer, pattern in patterns.items()}
        for layer in layers:
            self._seen[layer] = self.question.captures.held(
                self._key(layer), partial(Seen, weights[layer], values.get(layer))
            )

    def _end(self, first: int) -> int:
        """How far the next step goes: short passes go to the end, and those that can only be run whole."""
        model, rows = self.model, len(self.batch) * self.batch.width
        several = min(CELLS // (model.n_heads * rows * self.batch.width), PRODUCTS // (rows * model.d_model**2))
        if several >= model.n_layers or model.in_place or rows < PROVEN * (model.n_layers + 1) or not model.resumes:
            return model.n_layers
        return min(model.n_layers, first + max(1, several))


def _attributed(question: Question) -> bool:
    """Whether direct attribution may be asked for, which then needs no pass of its own."""
    return question.answer is not None and {"z", "final_norm", "embed"} <= set(question.model.architecture.sites)


def _stop(stream: torch.Tensor) -> None:
    raise _Enough(stream.detach().clone())


def _at_or_behind(key: Key, layer: int) -> bool:
    """A site of that layer, of a later one, or of what follows all."""
    kind, at = key
    return layer == 0 or kind in ("final_norm", "logits") or (at is not None and at >= layer)


def _noting(kept: dict[int, torch.Tensor], layer: int, then: Visitor | None) -> Visitor:
    """Keep what is used of a site: after an edit of it."""

    def visitor(value: torch.Tensor) -> torch.Tensor | None:
        new = None if then is None else then(value)
        kept[layer] = (value if new is None else new).detach()
        return new

    return visitor


def _watching(kept: dict[int, Weights], layer: int) -> Callable[[Weights], None]:
    def watch(call: Weights) -> None:
        kept[layer] = call

    return watch


class AttentionRun:
    """The attention of one run of a question, layer by layer.

    Args:
        question: what is asked.
        run: clean, corrupted or edited; of an edited run over draws everything is the mean over them.

    Attributes:
        ids: token ids of each prompt.
        layers: those that have a pattern.

    Raises:
        SiteUnavailable: the model has no attention pattern.
    """

    def __init__(self, question: Question, run: str) -> None:
        self.model, self.batch = question.model, question.batch(run)
        self.model.require("pattern")
        edited = run == "edited" and bool(question.edits)
        draws = draws_of(question.edits, question.count) if edited else [()]
        names = [(question.key, question.edits, i) for i in range(len(draws))] if edited else [()]
        self._passes = [_Pass(question, run, *one) for one in zip(draws, names, strict=True)]
        self.ids = tuple(prompt.ids for prompt in self.batch.prompts)
        self.layers = self._passes[0].layers

    @property
    def length(self) -> int:
        """Positions, of the longest prompt."""
        return self.batch.width

    @property
    def milliseconds(self) -> float:
        """Time of the passes that were run for it; 0 where all was still there."""
        return sum(one.milliseconds for one in self._passes)

    def reach(self, layer: int, weighting: str = "attention") -> Generator[None, None, Reader]:
        """A reader of a layer's cells; yields between the steps of a long pass.

        Args:
            layer: one of `layers`.
            weighting: "attention", or "value" for A[dest, src] * ||v[src] W_O[h]||_2 (Kobayashi et al. 2020).

        Raises:
            BadInput: no such weighting.
            SiteUnavailable: values of this layer are not known, or a gate stands between pattern @ v and z.
        """
        if weighting not in WEIGHTINGS:
            raise BadInput(f"There is no weighting {weighting!r}.", hint=f"Weightings: {', '.join(WEIGHTINGS)}.")
        if weighting == "value":
            require_values(self.model, layer)
        seen: list[Seen] = []
        for one in self._passes:
            seen += [(yield from one.reach(layer))]
        return Reader(self.model, layer, tuple(seen), weighting, self.batch.pads)


def require_values(model: Model, layer: int) -> None:
    """Raise where a layer's heads have no value-weighted norm.

    Raises:
        SiteUnavailable: values are not known, or a gate stands between pattern @ v and z.
    """
    for kind in ("pattern", "v", "z"):
        model.require(kind, layer)
    if model.architecture.layers[layer].gated:
        raise SiteUnavailable(
            f"Layer {layer} of {model.name} gates what attention gave, so what a source gives is not pattern times v.",
            hint="Look at the attention itself.",
        )


@dataclass(frozen=True, eq=False)
class Reader:
    """Cells of one layer, for the heads and dests asked for.

    Attributes:
        model, layer: whose.
        seen: the layer in each draw of the run, mostly one.
        weighting: what a cell shows.
        pads: columns of padding in front of each row.
    """

    model: Model
    layer: int
    seen: tuple[Seen, ...]
    weighting: str
    pads: tuple[int, ...]

    def __call__(self, heads: Sequence[int], dest: Range, row: int = 0) -> torch.Tensor:
        """[head, dest, src] float32; sources that none of these dests can see may be left out at the end.

        Args:
            heads: query heads.
            dest: half-open range of positions of the prompt.
            row: which prompt.
        """
        total = self._of(self.seen[0], heads, dest, row)
        for one in self.seen[1:]:
            total = total + self._of(one, heads, dest, row)
        return total if len(self.seen) == 1 else total / len(self.seen)

    def _of(self, seen: Seen, heads: Sequence[int], dest: Range, row: int) -> torch.Tensor:
        pad = self.pads[row]
        weights = seen.weights.pattern(heads, row, (dest[0] + pad, dest[1] + pad))[..., pad:]
        if self.weighting == "attention":
            return weights
        assert seen.value is not None
        norms = value_norms(self.model, self.layer, seen.value[row, pad:], heads)
        return weights * norms[:, None, : weights.shape[-1]]


def value_norms(model: Model, layer: int, value: torch.Tensor, heads: Sequence[int]) -> torch.Tensor:
    """||v[src] W_O[h]||_2 of each head and source: how much a head moves from there per unit of attention.

    Args:
        model, layer: whose output projection.
        value: [src, kv head, d_head_v].
        heads: query heads.

    Returns:
        [head, src] float32, in units of the residual stream.

    Example:
        >>> import torch
        >>> import mi_widgets as mi
        >>> model = mi.load()
        >>> value_norms(model, 0, torch.zeros(5, model.n_kv_heads, model.d_head_v), [0, 3]).shape
        torch.Size([2, 5])
    """
    projection = model.shadow.get_submodule(str(model.architecture.layers[layer].out_proj))
    weight, _ = projection_of(projection, model.n_heads * value.shape[-1])
    by_head = weight.detach().reshape(model.n_heads, value.shape[-1], -1)
    groups = model.n_heads // value.shape[1]
    return torch.stack([(value[:, h // groups].float() @ by_head[h].float()).norm(dim=-1) for h in heads])
