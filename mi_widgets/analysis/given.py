"""Attention that was given as arrays: the same thumbnails, windows and scores, and no model."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import BadInput
from ..results import Progress, Provenance
from .attention import Atlas, AtlasPart
from .masks import TAKEN
from .pooling import pool
from .scores import SCORES, HeadScore, facts_of, score_layer, scored

SLACK = 1e-3
"""How far a weight may lie outside 0..1, or in front of the diagonal beside 0: rounding of half precision."""

SHAPES = "[head, dest, src] or [layer, head, dest, src]"


@dataclass(frozen=True, eq=False)
class GivenHeads:
    """Attention patterns and scores as somebody gave them.

    Attributes:
        tokens: of the prompt.
        patterns: [layer, head, dest, src], in the dtype they came in.
        own: {name: [layer, head] float32}, scores that came with them.
        rev: revision; they never change.
    """

    tokens: tuple[str, ...]
    patterns: torch.Tensor
    own: Mapping[str, torch.Tensor]
    rev: int = 1

    @property
    def n_layers(self) -> int:
        """Layers."""
        return self.patterns.shape[0]

    @property
    def n_heads(self) -> int:
        """Heads of each layer."""
        return self.patterns.shape[1]

    @property
    def ids(self) -> tuple[int, ...]:
        """A number for each token, the same for the same text."""
        numbers = {token: i for i, token in enumerate(dict.fromkeys(self.tokens))}
        return tuple(numbers[token] for token in self.tokens)

    def length(self, run: str) -> int:
        """Tokens.

        Raises:
            BadInput: there is one run.
        """
        if run != "clean":
            raise BadInput(f"There is no run {run!r}: this widget was made from arrays.", hint=MODEL)
        return len(self.tokens)

    def require(self, layer: int) -> None:
        """Every layer has attention."""

    def scheduler(self, run: str) -> None:
        """Steps of arrays belong nowhere else."""

    def atlas_steps(self, run: str, side: int) -> Generator[AtlasPart | Progress, None, Atlas]:
        """Thumbnails and scores, layer by layer; see `attention.atlas_steps`."""
        length = self.length(run)
        side = min(side, length)
        ids = self.ids
        shape = (self.n_layers, self.n_heads)
        thumbs = torch.empty(*shape, side, side)
        by_layer: dict[int, dict[str, torch.Tensor]] = {}
        yield Progress(0, self.n_layers)
        for layer in range(self.n_layers):
            pattern = self.patterns[layer].float()
            thumbs[layer] = pool(pattern, side, side)
            by_layer[layer] = score_layer(pattern, ids)
            yield AtlasPart((layer, layer + 1), thumbs[layer : layer + 1])
            yield Progress(layer + 1, self.n_layers)
        return Atlas(
            rev=self.rev,
            run=run,
            thumbs=thumbs,
            side=side,
            positions=length,
            scores=scored(SCORES, shape, by_layer, facts_of(ids)) | {n: _given(n, v) for n, v in self.own.items()},
            missing={},
            forward_ms=math.nan,
            provenance=Provenance(
                "", str(self.patterns.dtype).removeprefix("torch."), "", "", recomputed="from arrays"
            ),
        )

    def window_steps(
        self,
        run: str,
        heads: Sequence[tuple[int, int]],
        dest: tuple[int, int],
        src: tuple[int, int],
        side: int,
        weighting: str,
    ) -> Generator[Progress, None, torch.Tensor]:
        """Cells of some heads, [head, row, column] float32; see `attention.window_steps`."""
        self._require(weighting)
        yield Progress(0, 1)
        cells = [self.patterns[layer, head, dest[0] : dest[1], src[0] : src[1]].float() for layer, head in heads]
        return pool(torch.stack(cells), side, side)

    def cell_steps(self, run: str, dest: int, src: int, weighting: str) -> Generator[Progress, None, HeadScore]:
        """One cell of every head as a score; see `edges.edge_steps`."""
        self._require(weighting)
        yield Progress(0, 1)
        values = self.patterns[:, :, dest, src].float()
        card = f"How much position {dest} takes from position {src}: A[dest, src] with dest {dest} and src {src}."
        bars = values.clamp(0, 1)
        return HeadScore(f"cell {dest}<{src}", card, "one cell of the pattern", values, bars, None, None)

    def _require(self, weighting: str) -> None:
        if weighting != "attention":
            raise BadInput("This widget was made from arrays, which hold no values to weight by.", hint=MODEL)


MODEL = "Make it from a model: mi.AttentionHeads(model, 'a prompt')."


def given_heads(tokens: Any, attention: Any, scores: Any = None) -> GivenHeads:
    """Check arrays, and keep them as they are.

    Args:
        tokens: texts, one for each position.
        attention: [head, dest, src] or [layer, head, dest, src] weights in 0..1, zero where src comes after dest:
            tensor, array or nested lists; or what transformers calls attentions, a tensor [1, head, dest, src] for each
            layer.
        scores: {name: [head] or [layer, head]}, NaN where undefined; or None.

    Raises:
        BadInput: says which of them cannot be meant, where, and what was expected.

    Example:
        >>> heads = given_heads(["a", "b"], [[[1.0, 0.0], [0.25, 0.75]]])
        >>> heads.n_layers, heads.n_heads
        (1, 1)
    """
    texts = _texts(tokens)
    patterns = _patterns(attention, len(texts))
    shape = (patterns.shape[0], patterns.shape[1])
    return GivenHeads(texts, patterns, _scores(scores, shape))


def _texts(tokens: Any) -> tuple[str, ...]:
    if isinstance(tokens, (str, bytes)) or not hasattr(tokens, "__iter__"):
        raise BadInput("tokens is a list of texts, one for each position.", hint="model.tokens('text').strings is one.")
    texts = tuple(tokens)
    for i, token in enumerate(texts):
        if not isinstance(token, str):
            raise BadInput(f"tokens[{i}] is {type(token).__name__}, not text.", hint="Decode token ids first.")
    if not texts:
        raise BadInput("tokens is empty.", hint="Give one text for each position.")
    # Half of a surrogate pair cannot travel to a page.
    return tuple(text.encode("utf-8", "replace").decode() for text in texts)


def _tensor(name: str, given: Any, expected: str) -> torch.Tensor:
    if isinstance(given, (list, tuple)) and given and all(isinstance(one, torch.Tensor) for one in given):
        if len({one.shape for one in given}) > 1:
            raise BadInput(f"The tensors of {name} differ in shape.", hint=f"Give {expected}.")
        given = torch.stack([one.detach().cpu() for one in given])
    try:
        found = given.detach().cpu() if isinstance(given, torch.Tensor) else torch.as_tensor(np.asarray(given))
    except (TypeError, ValueError, RuntimeError) as problem:
        raise BadInput(f"{name} is no array of numbers: {problem}", hint=f"Give {expected}.") from None
    if found.is_complex() or found.dtype == torch.bool:
        raise BadInput(f"{name} holds {_named(found.dtype)}, not numbers.", hint=f"Give {expected}.")
    return found


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _patterns(attention: Any, length: int) -> torch.Tensor:
    found = _tensor("attention", attention, SHAPES)
    if found.ndim == 5 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim == 3:
        found = found[None]
    if found.ndim != 4 or 0 in found.shape:
        raise BadInput(f"attention is {list(found.shape)}, not {SHAPES}.", hint="One pattern alone is attention[None].")
    if found.shape[2:] != (length, length):
        raise BadInput(
            f"There are {length} tokens, and attention is {found.shape[2]} x {found.shape[3]}.",
            hint="Give one token for each row and column.",
        )
    for layer, pattern in enumerate(found):
        # A layer at a time: whole models do not fit twice.
        _check(pattern.float(), layer)
    return found


def _check(pattern: torch.Tensor, layer: int) -> None:
    """Raise unless a layer's [head, dest, src] are weights of causal attention."""

    def first(wrong: torch.Tensor) -> str:
        head, dest, src = (int(i) for i in wrong.nonzero()[0])
        return f"{float(pattern[head, dest, src]):.4g} at L{layer}H{head}, dest {dest}, src {src}"

    odd = ~pattern.isfinite()
    if bool(odd.any()):
        raise BadInput(f"attention is not finite: {first(odd)}.", hint="Take weights after the softmax.")
    outside = (pattern < -SLACK) | (pattern > 1 + SLACK)
    if bool(outside.any()):
        raise BadInput(f"attention lies outside 0..1: {first(outside)}.", hint="Take weights after the softmax.")
    ahead = (pattern.abs() > SLACK).triu(1)
    if bool(ahead.any()):
        raise BadInput(
            f"attention looks ahead: {first(ahead)}.",
            hint="Causal attention is drawn, [dest, src] with src up to dest; transpose it if it is [src, dest].",
        )


def _scores(scores: Any, shape: tuple[int, int]) -> dict[str, torch.Tensor]:
    if scores is None:
        return {}
    if not isinstance(scores, Mapping):
        raise BadInput(f"scores is {{name: [layer, head]}}, not {type(scores).__name__}.", hint="Give each one a name.")
    found = {}
    for name, given in scores.items():
        if not isinstance(name, str) or not name or name in TAKEN:
            raise BadInput(f"A score cannot be called {name!r}.", hint=f"Taken are: {', '.join(sorted(TAKEN))}.")
        values = _tensor(f"scores[{name!r}]", given, "[layer, head]").float()
        if values.ndim == 1 and shape[0] == 1:
            values = values[None]
        if tuple(values.shape) != shape:
            raise BadInput(
                f"scores[{name!r}] is {list(values.shape)}, and there are {shape[0]} layers x {shape[1]} heads.",
                hint="Give one number for each head; NaN where there is none.",
            )
        found[name] = values
    return found


def _given(name: str, values: torch.Tensor) -> HeadScore:
    finite = values[values.isfinite()].abs()
    top = float(finite.max()) if len(finite) else 0.0
    bars = (values.abs() / (top or 1.0)).clamp(max=1)
    reason = None if len(finite) else "no number was given"
    return HeadScore(
        name, "Given with the arrays; bars are shares of the largest.", "given", values, bars, None, reason
    )
