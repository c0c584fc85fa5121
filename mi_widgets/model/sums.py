"""Which modules' outputs add up to a layer: told from the numbers of one pass, not from names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import torch

from .watch import Call


def misfit(a: torch.Tensor, b: torch.Tensor, *added: torch.Tensor) -> float:
    """How far a is from b, in roundings of one sum: below 1 they are equal.

    Judged element by element (at the 98th percentile), so that one huge position, as attention sinks make them, cannot
    hide the others.

    Args:
        a, b: what should be equal.
        added: the terms of b that were rounded on their own.
    """
    if a.numel() != b.numel():
        return float("inf")
    eps = torch.finfo(a.dtype).eps
    a, b = a.double().flatten(), b.double().flatten()
    size = a.abs() + sum((part.double().flatten().abs() for part in added), torch.zeros_like(a))
    error = (a - b).abs() / (eps * size + 1e-30)
    return float(error.kthvalue(max(1, int(0.98 * error.numel()))).values)


@dataclass(frozen=True)
class Term:
    """One module's output as a term of the stream: `scale` times `call.y`."""

    call: Call
    scale: float


@dataclass(frozen=True)
class Scales:
    """Factors that a family may put on what it adds, read from its config, so that a fitted one is exact."""

    known: tuple[float, ...] = ()

    def of(self, total: torch.Tensor, part: torch.Tensor) -> list[float]:
        """The factors worth trying for total = c * part: 1, and the one that fits best."""
        total, part = total.double().flatten(), part.double().flatten()
        size = float(part @ part)
        if not 0 < size < float("inf"):
            return []
        c = float(total @ part) / size
        if abs(c) < 1e-6:
            return [1.0]
        return [1.0, next((k for k in self.known if abs(c - k) <= 1e-2 * abs(k)), c)]

    def term(self, after: torch.Tensor, before: torch.Tensor, candidates: Iterable[Call]) -> Term | None:
        """The candidate whose output, times a factor, takes `before` to `after`; the first of equals; None without."""
        found, best = None, 1.0
        before = before.double().flatten()
        for call in candidates:
            part = call.y.double().flatten()
            for scale in self.of(after.double().flatten() - before, part):
                error = misfit(after, before + scale * part, scale * part)
                if error < best:
                    found, best = Term(call, scale), error
        return found


@dataclass(frozen=True)
class Halves:
    """How a layer adds up.

    Attributes:
        first: what attention (or what stands in its place) adds; None when nothing does.
        second: what the MLP adds; None when nothing does, or when no module's output is what it adds.
        parallel: both read the layer's input.
        norms: in post-norm blocks the two norms that the stream passes, one after each addition.
        mid_reader: path of the first module that reads the stream between the two, in sequence.
        open: something reads the stream after `first`, and what is added after that is no single module's output.
    """

    first: Term | None = None
    second: Term | None = None
    parallel: bool = False
    norms: tuple[str, str] | None = None
    mid_reader: str | None = None
    open: bool = False


def halves(layer: Call, inside: Sequence[Call], mixer: Call | None, norms: Set[str], scales: Scales) -> Halves | None:
    """Find the one or two terms that take a layer's input to its output.

    Args:
        layer: the layer's call.
        inside: the calls it made of modules that run once per pass, in the order in which they returned.
        mixer: the attention's call, or None in a layer without attention.
        norms: paths of modules that could be norms.
        scales: factors the family may use.

    Returns:
        None when no such terms were found.
    """
    before, after = layer.x, layer.y
    inside = [c for c in inside if c.x.is_floating_point() and c.y.is_floating_point()]
    wide = [c for c in reversed(inside) if c.y.numel() == before.numel() and c.y.shape[-1] == before.shape[-1]]
    since = 0 if mixer is None else mixer.end
    last = next((c for c in wide if c.path in norms and misfit(c.y, after) < 1), None)
    half_open = None
    # In sequence: somebody reads the input plus a first term, and a second term takes that to the output.
    readers = sorted((c for c in inside if c.x.numel() == before.numel() and c.start > since), key=lambda c: c.start)
    for reader in readers:
        if misfit(reader.x, before) < 1:
            continue
        first = scales.term(reader.x, before, (c for c in wide if since <= c.end < reader.start))
        if first is None and mixer is not None:
            # Families that add the stream inside their attention module: the term is one of its own parts.
            first = scales.term(reader.x, before, (c for c in wide if mixer.start < c.start and c.end < reader.start))
        if first is None:
            continue
        rest = [c for c in wide if c.end > reader.start]
        second = scales.term(after, reader.x, rest)
        if second is not None:
            return Halves(first, second, mid_reader=reader.path)
        if last is not None and reader.path in norms and reader.path != last.path:
            second = scales.term(last.x, reader.y, (c for c in rest if c.start > reader.end and c.end < last.start))
            if second is not None:
                return Halves(first, second, norms=(reader.path, last.path))
        if last is None and half_open is None:
            half_open = Halves(first, mid_reader=reader.path, open=True)
    if mixer is not None:
        around = [c for c in wide if c.start <= mixer.start and mixer.end <= c.end]
        apart = [c for c in wide if c.end < mixer.start or mixer.end < c.start]
        for one in (*around, *(c for c in wide if mixer.start < c.start and c.end < mixer.end)):
            two = Scales().term(after, before.double() + one.y.double().reshape(before.shape), apart)
            if two is not None:
                return Halves(Term(one, 1.0), two, parallel=True)
    only = scales.term(after, before, wide)
    if only is not None:
        return Halves(first=only) if mixer is not None else Halves(second=only)
    return half_open
