"""The base runs of some prompts, laid end to end: what their variants share, captured once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ...model.access import Key, Visitor
from ...model.attention_math import Terms
from ...model.batches import Batch
from ...model.handle import Model
from ...model.kernels import fast
from ...model.watch import input_of, logits_of, tensor_of

VisitorsOf = Callable[[Batch, Sequence[int]], Mapping[Key, Visitor]]
"""Edits of the base run: the visitors of a batch of some of the prompts, named by their numbers."""


class NotPackable(Exception):
    """A model, or a run of it, whose variants cannot share one sequence; the text is the reason."""


class _Enough(Exception):
    """Ends a pass whose rest nobody needs."""


@dataclass(frozen=True)
class LayerBase:
    """One layer of the base runs. Axis `token` runs over all prompts, end to end.

    Attributes:
        args, kwargs: what the layer was called with beside the stream; tensors that go by position are [token, ...].
        by_keyword: the name under which the stream was handed over, or None when it came first.
        stream: [token, d_model], what entered.
        key: [token, kv head, d_head], after rotary.
        value: [token, kv head, d_head_v].
        attended: [token, head, d_head_v], what attention gave before its projection (and before any gate).
        terms: for each prompt what the family adds to plain attention; mask and bias are its own.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    by_keyword: str | None
    stream: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    attended: torch.Tensor
    terms: tuple[Terms, ...]


@dataclass(frozen=True)
class BaseRuns:
    """Base runs of several prompts.

    Attributes:
        starts: where each prompt begins on the token axis.
        lengths: tokens of each prompt.
        layers: from the first to the last.
        final: [token, d_model], what left the last layer.
    """

    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    layers: tuple[LayerBase, ...]
    final: torch.Tensor

    def stream(self, layer: int) -> torch.Tensor:
        """[token, d_model] that enters a layer; after the last one what leaves it."""
        return self.final if layer == len(self.layers) else self.layers[layer].stream

    @property
    def nbytes(self) -> int:
        """What is held, roughly: positional arguments are shared between layers and left out."""
        tensors = [self.final, *(t for at in self.layers for t in (at.stream, at.key, at.value, at.attended))]
        return sum(t.nbytes for t in tensors)


@dataclass
class _Seen:
    """What one pass of prompts of one length showed of a layer."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    by_keyword: str | None = None
    stream: torch.Tensor | None = None
    calls: list[tuple[torch.Tensor, torch.Tensor, Terms]] | None = None
    attended: torch.Tensor | None = None
    left: torch.Tensor | None = None


def capture_base(model: Model, batch: Batch, visitors_of: VisitorsOf | None = None) -> BaseRuns:
    """Run the prompts once, those of one length together and without padding.

    Args:
        model: the model.
        batch: the prompts.
        visitors_of: edits of the base run; what is kept of a layer's stream is the value before them, since a variant
            meets them again, and of keys, values and attention the value after them.

    Raises:
        NotPackable: a layer has no attention, or one that does not go through the attention interface exactly once.
    """
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(batch.lengths):
        by_length.setdefault(length, []).append(row)
    order = [row for rows in by_length.values() for row in rows]
    passes = [(_one_pass(model, batch, rows, visitors_of), len(rows), length) for length, rows in by_length.items()]
    starts, begin = [0] * len(batch), 0
    for row in order:
        starts[row] = begin
        begin += batch.lengths[row]
    rank = {row: place for place, row in enumerate(order)}
    layers = tuple(
        _joined(
            [(seen[layer], rows, length) for seen, rows, length in passes], [rank[row] for row in range(len(batch))]
        )
        for layer in range(model.n_layers)
    )
    final = torch.cat([_flat(seen[-1].left) for seen, _, _ in passes])
    return BaseRuns(tuple(starts), tuple(batch.lengths), layers, final)


def _one_pass(model: Model, batch: Batch, rows: list[int], visitors_of: VisitorsOf | None) -> list[_Seen]:
    parts = model.architecture
    some = Batch.of([batch.prompts[row] for row in rows], model.text.pad_id)
    seen = [_Seen(calls=[]) for _ in parts.layers]
    edits = {} if visitors_of is None else visitors_of(some, rows)

    def around(index: int) -> Any:
        def attend(kernel: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, terms: Terms) -> torch.Tensor:
            calls = seen[index].calls
            assert calls is not None
            calls.append((k, v, terms))
            out: torch.Tensor = kernel(q, k, v)
            return out

        return attend

    def attended(index: int) -> Visitor:
        def visitor(value: torch.Tensor) -> None:
            seen[index].attended = value.clone()  # some families gate it in place

        return visitor

    def entering(index: int) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            x = input_of(args, kwargs)
            if x is None or x.shape[:2] != some.ids.shape:
                raise NotPackable(f"layer {index} is not given the stream as [row, position, d_model]")
            at = seen[index]
            at.by_keyword = next((name for name, value in kwargs.items() if value is x), None)
            at.args, at.kwargs, at.stream = args if at.by_keyword else args[1:], kwargs, x.clone()

        return hook

    def leaving(index: int) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if index == len(seen) - 1:
                seen[index].left = tensor_of(output)
                raise _Enough

        return hook

    for index, layer in enumerate(parts.layers):
        if layer.attention is None:
            raise NotPackable(f"layer {index} has no attention")
    arounds = {index: around(index) for index in range(len(seen))}
    seeing: dict[Key, Visitor] = {("attended", index): attended(index) for index in range(len(seen))}
    # Before the edits' own hooks: what is kept of the stream is the value that edits have yet to meet.
    modules = [model.shadow.get_submodule(layer.path) for layer in parts.layers]
    handles = [m.register_forward_pre_hook(entering(i), with_kwargs=True) for i, m in enumerate(modules)]
    try:
        # On the products that variants run on: what both compute differs by how many rows there are alone.
        with model.passing({**edits, **seeing}, arounds=arounds) as shadow, fast(model):
            handles.append(modules[-1].register_forward_hook(leaving(len(seen) - 1)))
            logits_of(shadow, **some.inputs(model.device))
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    for index, at in enumerate(seen):
        if at.stream is None or at.attended is None or len(at.calls or ()) != 1:
            raise NotPackable(
                f"layer {index} calls the attention interface {len(at.calls or ())} times in one pass, not once"
            )
    return seen


def _flat(value: torch.Tensor | None) -> torch.Tensor:
    """[row, position, ...] -> [token, ...]."""
    assert value is not None
    return value.flatten(0, 1)


def _joined(passes: list[tuple[_Seen, int, int]], ranks: list[int]) -> LayerBase:
    """One layer of all passes, end to end; `ranks` tells where in that order each prompt stands."""
    first = passes[0][0]
    keys, values, terms = [], [], []
    for at, rows, _ in passes:
        assert at.calls is not None
        k, v, given = at.calls[0]
        keys.append(_flat(k.transpose(1, 2)))
        values.append(_flat(v.transpose(1, 2)))
        terms += [_row_of(given, row) for row in range(rows)]
    args = tuple(_by_token([(at.args[i], rows, length) for at, rows, length in passes]) for i in range(len(first.args)))
    assert first.kwargs is not None
    kwargs = {
        name: _by_token([((at.kwargs or {}).get(name), rows, length) for at, rows, length in passes])
        for name in first.kwargs
        if name != first.by_keyword
    }
    return LayerBase(
        args=args,
        kwargs=kwargs,
        by_keyword=first.by_keyword,
        stream=torch.cat([_flat(at.stream) for at, _, _ in passes]),
        key=torch.cat(keys),
        value=torch.cat(values),
        attended=torch.cat([_flat(at.attended) for at, _, _ in passes]),
        terms=tuple(terms[rank] for rank in ranks),
    )


def _row_of(terms: Terms, row: int) -> Terms:
    def cut(t: torch.Tensor | None) -> torch.Tensor | None:
        return t if t is None or t.shape[0] == 1 else t[row : row + 1]

    sinks = terms.sinks if terms.sinks is None or terms.sinks.ndim == 1 else cut(terms.sinks)
    return replace(terms, mask=cut(terms.mask), bias=cut(terms.bias), sinks=sinks)


@dataclass(frozen=True)
class ByToken:
    """An argument that goes by position: [token, ...], and whether a row axis stood in front of it."""

    table: torch.Tensor
    with_row: bool

    def at(self, tokens: torch.Tensor) -> torch.Tensor:
        """The same argument for some tokens, as one row."""
        picked = self.table[tokens]
        return picked[None] if self.with_row else picked


def _by_token(given: list[tuple[Any, int, int]]) -> Any:
    """An argument of all passes, each with its rows and length, made to be picked from by token."""
    values = [value for value, _, _ in given]
    first = values[0]
    if isinstance(first, (tuple, list)):
        several = ([(value[i], rows, length) for value, rows, length in given] for i in range(len(first)))
        return type(first)(_by_token(one) for one in several)
    if isinstance(first, dict):
        return {key: _by_token([(value[key], rows, length) for value, rows, length in given]) for key in first}
    if not isinstance(first, torch.Tensor):
        # A cache would be read and written; everything else is plain (a flag, a name, None).
        return first if first is None or isinstance(first, (bool, int, float, str)) else None
    if all(v.ndim in (2, 3) and v.shape[1] == n and v.shape[0] in (1, rows) for v, rows, n in given):
        tables = [v.expand(rows, *v.shape[1:]).flatten(0, 1) for v, rows, _ in given]
        return ByToken(torch.cat(tables), with_row=True)
    if all(v.ndim == 1 and v.shape[0] == n for v, _, n in given):
        return ByToken(torch.cat([v.repeat(rows) for v, rows, _ in given]), with_row=False)
    # Masks: attention has its own.
    return None if first.ndim == 4 else first


def at_tokens(given: Any, tokens: torch.Tensor) -> Any:
    """An argument, or several, for some tokens as one row."""
    if isinstance(given, ByToken):
        return given.at(tokens)
    if isinstance(given, (tuple, list)):
        return type(given)(at_tokens(one, tokens) for one in given)
    if isinstance(given, dict):
        return {key: at_tokens(one, tokens) for key, one in given.items()}
    return given
