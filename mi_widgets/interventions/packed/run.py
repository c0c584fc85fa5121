"""Runs variants together: one unpadded sequence per layer, which each variant joins where it first differs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ...model.attention_math import Terms
from ...model.attention_tap import Kernel
from ...model.handle import Model
from ...model.kernels import fast
from ...model.resume import forward_replaced
from ...model.watch import tensor_of
from .attention import Group, attend
from .base import BaseRuns, at_tokens
from .variants import Lot, Variant, Writing

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""q, k, v [row, head, d] of packed rows -> what attention gives them, [row, head, d_head_v]."""


def _zeros(module: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    width = module.nf if isinstance(module, Conv1D) else module.out_features
    return lambda x: x.new_zeros(*x.shape[:-1], width)


class _KeysAndValues(Exception):
    """Ends the call of the last layer once its keys and values are known."""


@dataclass(frozen=True, eq=False)
class _Abreast:
    """Variants with the same own positions, and their stream: [variant, position, d_model]."""

    variants: tuple[Variant, ...]
    stream: torch.Tensor

    @property
    def start(self) -> int:
        return self.variants[0].start

    @property
    def end(self) -> int:
        return self.variants[0].end


def run_variants(
    model: Model, runs: BaseRuns, variants: Sequence[Variant], spoiled: set[Variant]
) -> Generator[None, None, torch.Tensor]:
    """The stream that leaves the last layer at each variant's answer position; yields after each layer.

    A variant joins at its first layer with the base run's stream from its first position on. In the last layer keys
    and values are computed for all rows, and the rest for the answer positions alone.

    Args:
        model: the model.
        runs: the base runs of its prompts.
        variants: edited runs, at least one; some hundreds to thousands of rows together are the quickest.
        spoiled: is given the variants whose writes are too large to be squared, as norms do.

    Returns:
        [variant, d_model] in the model's dtype.

    Raises:
        EditNeverFired: a site that is written was not reached.
    """
    packing = _Packing(model, runs, spoiled)
    last = len(runs.layers) - 1
    final: dict[Variant, torch.Tensor] = {}
    under_way: list[_Abreast] = []
    arriving: list[tuple[Variant, torch.Tensor]] = []
    for layer in range(min(v.layer for v in variants), last + 1):
        here = [v for v in variants if v.layer == layer]
        whole = [(v, _base_rows(runs, layer, v)) for v in here if not v.late]
        under_way = _joined(under_way, [*whole, *arriving])
        arriving = packing.late(layer, [v for v in here if v.late])
        if layer < last:
            under_way = packing.whole(layer, under_way)
        else:
            final |= dict(arriving) | packing.answers(layer, under_way)
        yield
    return torch.stack([final[variant] for variant in variants])


def _tokens(runs: BaseRuns, variants: Sequence[Variant], first: int, count: int) -> torch.Tensor:
    """Places on the token axis of some positions of each variant's prompt, [variant * count]."""
    begins = torch.tensor([runs.starts[v.prompt] + first for v in variants])
    return (begins[:, None] + torch.arange(count)).flatten()


def _base_rows(runs: BaseRuns, layer: int, variant: Variant) -> torch.Tensor:
    """[position, d_model] of the base run from the variant's first position on."""
    begin = runs.starts[variant.prompt]
    return runs.stream(layer)[begin + variant.start : begin + variant.end]


def _joined(under_way: list[_Abreast], joining: list[tuple[Variant, torch.Tensor]]) -> list[_Abreast]:
    """Put those that join beside those that have the same positions."""
    found: dict[tuple[int, int], list[tuple[tuple[Variant, ...], torch.Tensor]]] = {}
    for several in under_way:
        found.setdefault((several.start, several.end), []).append((several.variants, several.stream))
    added: dict[tuple[int, int], list[tuple[Variant, torch.Tensor]]] = {}
    for variant, rows in joining:
        added.setdefault((variant.start, variant.end), []).append((variant, rows))
    for where, new in added.items():
        found.setdefault(where, []).append((tuple(v for v, _ in new), torch.stack([rows for _, rows in new])))
    return [
        _Abreast(tuple(v for variants, _ in parts for v in variants), torch.cat([stream for _, stream in parts]))
        for _, parts in sorted(found.items())
    ]


def _lots(under_way: Sequence[_Abreast], positions: Callable[[Variant], range]) -> list[Lot]:
    lots: list[Lot] = []
    row = 0
    for several in under_way:
        for variant in several.variants:
            own = positions(variant)
            lots.append(Lot(variant, row, own))
            row += len(own)
    return lots


@dataclass(frozen=True, eq=False)
class _Packing:
    """Calls layers on packed rows."""

    model: Model
    runs: BaseRuns
    spoiled: set[Variant]

    def late(self, layer: int, variants: list[Variant]) -> list[tuple[Variant, torch.Tensor]]:
        """Run the edited positions of variants that first differ behind this layer's attention.

        Returns:
            Each with the stream that enters the next layer, [position, d_model] from its first position on; after
            the last layer [d_model] at its answer.
        """
        if not variants:
            return []
        runs = self.runs
        base, last = runs.layers[layer], layer == len(runs.layers) - 1
        lots: list[Lot] = []
        tokens: list[int] = []
        for variant in variants:
            positions = (variant.answer,) if last else variant.late
            lots.append(Lot(variant, len(tokens), positions))
            tokens += [runs.starts[variant.prompt] + p for p in positions]
        where = torch.tensor(tokens)
        attended = base.attended[where]
        with self._unasked(layer):
            stream = self.call(layer, base.stream[where], where, lots, lambda q, k, v: attended)
        found = []
        for lot in lots:
            own = stream[lot.row : lot.row + len(lot.positions)]
            if last:
                found.append((lot.variant, own[0]))
                continue
            rows = _base_rows(runs, layer + 1, lot.variant).clone()
            rows[[p - lot.variant.start for p in lot.positions]] = own
            found.append((lot.variant, rows))
        return found

    @contextmanager
    def _unasked(self, layer: int) -> Iterator[None]:
        """Leave out the products that only attention reads, for calls that do without it: zeros stand for them."""
        parts, shadow = self.model.architecture.layers[layer], self.model.shadow
        with ExitStack() as stack:
            if parts.attention is not None and parts.out_proj is not None and not parts.gated:
                behind = set(shadow.get_submodule(parts.out_proj).modules())
                for module in shadow.get_submodule(parts.attention).modules():
                    if type(module) in (nn.Linear, Conv1D) and module not in behind and "forward" not in vars(module):
                        stack.enter_context(forward_replaced(module, _zeros(module)))
            yield

    def whole(self, layer: int, under_way: list[_Abreast]) -> list[_Abreast]:
        """Run a layer on all rows."""
        if not under_way:
            return []
        runs = self.runs
        lots = _lots(under_way, lambda v: range(v.start, v.end))
        where = torch.cat([_tokens(runs, a.variants, a.start, a.end - a.start) for a in under_way])

        def attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            found, row = [], 0
            for a in under_way:
                count, rows = a.end - a.start, len(a.variants) * (a.end - a.start)
                own = [t[row : row + rows].unflatten(0, (-1, count)) for t in (q, k, v)]
                group = Group(a.variants, a.start, a.end, a.start, count)
                found.append(attend(runs, layer, group, *own).flatten(0, 1))
                row += rows
            return torch.cat(found)

        rows = torch.cat([a.stream.flatten(0, 1) for a in under_way])
        stream = self.call(layer, rows, where, lots, attended)
        parts = stream.split([a.stream.shape[0] * a.stream.shape[1] for a in under_way])
        return [_Abreast(a.variants, part.view_as(a.stream)) for a, part in zip(under_way, parts, strict=True)]

    def answers(self, layer: int, under_way: list[_Abreast]) -> dict[Variant, torch.Tensor]:
        """Run the last layer: keys and values of all rows, then the rest of the answer positions."""
        if not under_way:
            return {}
        runs = self.runs
        lots = _lots(under_way, lambda v: range(v.start, v.end))
        where = torch.cat([_tokens(runs, a.variants, a.start, a.end - a.start) for a in under_way])
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []

        def enough(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            kept.append((k, v))
            raise _KeysAndValues

        with suppress(_KeysAndValues):
            self.call(layer, torch.cat([a.stream.flatten(0, 1) for a in under_way]), where, lots, enough)
        ((keys, values),) = kept

        # Answers of one group may differ when its prompts do; each asks alone then.
        asking: list[tuple[Group, torch.Tensor, torch.Tensor, torch.Tensor]] = []
        row = 0
        for a in under_way:
            count, rows = a.end - a.start, len(a.variants) * (a.end - a.start)
            own = [t[row : row + rows].unflatten(0, (-1, count)) for t in (keys, values)]
            row += rows
            by_answer: dict[int, list[int]] = {}
            for i, variant in enumerate(a.variants):
                by_answer.setdefault(variant.answer, []).append(i)
            for answer, some in by_answer.items():
                group = Group(tuple(a.variants[i] for i in some), a.start, a.end, answer, 1)
                asking.append((group, a.stream[some, answer - a.start], own[0][some], own[1][some]))
        lots = [
            Lot(variant, place, (variant.answer,))
            for place, variant in enumerate(v for group, *_ in asking for v in group.variants)
        ]
        where = torch.cat([_tokens(runs, group.variants, group.first, 1) for group, *_ in asking])

        def attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            queries = q.split([len(group.variants) for group, *_ in asking])
            return torch.cat(
                [
                    attend(runs, layer, group, own[:, None], k_all, v_all)[:, 0]
                    for own, (group, _, k_all, v_all) in zip(queries, asking, strict=True)
                ]
            )

        stream = self.call(layer, torch.cat([rows for _, rows, _, _ in asking]), where, lots, attended)
        return {lot.variant: stream[lot.row] for lot in lots}

    def call(
        self,
        layer: int,
        rows: torch.Tensor,
        tokens: torch.Tensor,
        lots: Sequence[Lot],
        attended: Attend,
    ) -> torch.Tensor:
        """Call a layer on packed rows, with the variants' writes: [row, d_model] -> [row, d_model]."""
        base = self.runs.layers[layer]

        def around(_: Kernel, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, __: Terms) -> torch.Tensor:
            return attended(*(t[0].transpose(0, 1) for t in (q, k, v)))[None]

        where = tokens.to(rows.device)
        args, kwargs = at_tokens(base.args, where), at_tokens(base.kwargs, where)
        if base.by_keyword is None:
            args = (rows[None], *args)
        else:
            kwargs[base.by_keyword] = rows[None]
        writing = Writing(lots, layer, self.spoiled)
        path = self.model.architecture.layers[layer].path
        passing = self.model.passing(writing.visitors, arounds={layer: around}, layers=[layer])
        with passing as shadow, fast(self.model, within=path):
            output = shadow.get_submodule(path)(*args, **kwargs)
        writing.require_fired()
        return tensor_of(output)[0]
