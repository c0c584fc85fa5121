"""Which modules' outputs add up to a layer: told from the numbers of one pass, not from names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

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
    """Factors that a family may put on what it adds.

    Attributes:
        known: multipliers of its config, which stand before any that is fitted: in half precision the rounding of a
            sum would otherwise choose.
    """

    known: tuple[float, ...] = ()

    @classmethod
    def of(cls, config: Any) -> Scales:
        """The multipliers that a config names."""
        known = []
        for key, value in config.to_dict().items():
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not value:
                continue
            if any(word in key for word in ("mult", "scal", "factor")):
                known.append(float(value))
            if "scaling" in key:  # families divide by what they call so
                known.append(1 / float(value))
            if key in ("hidden_size", "n_embd", "d_model"):  # what several families multiply embeddings by
                known.append(float(value) ** 0.5)
        return cls(tuple(dict.fromkeys(known)))

    def tiers(self, total: torch.Tensor, part: torch.Tensor) -> tuple[list[float], list[float]]:
        """The factors worth trying for total = c * part: 1 and those the config names; and apart, the fitted one."""
        total, part = total.double().flatten(), part.double().flatten()
        size = float(part @ part)
        if not 0 < size < float("inf"):
            return [], []
        c = float(total @ part) / size
        return [1.0, *(k for k in self.known if abs(c - k) <= 2e-2 * abs(k))], [c] if abs(c) > 1e-6 else []

    def term(self, after: torch.Tensor, before: torch.Tensor, candidates: Iterable[Call]) -> Term | None:
        """The candidate whose output, times a factor, takes `before` to `after`; the first of equals; None without."""
        before = before.double().flatten()
        step = after.double().flatten() - before
        tried = [(call, *self.tiers(step, call.y)) for call in candidates]
        for tier in (1, 2):
            found, best = None, 1.0
            for call, *scales in tried:
                for scale in scales[tier - 1]:
                    error = _error(after, before, Term(call, scale))
                    if error < best:
                        found, best = Term(call, scale), error
            if found is not None:
                return found
        return None


def _error(after: torch.Tensor, before: torch.Tensor, *terms: Term) -> float:
    """How far the terms are from taking `before` to `after`, in roundings."""
    parts = [term.scale * term.call.y.double().flatten() for term in terms]
    if any(part.numel() != before.numel() for part in parts):
        return float("inf")
    return misfit(after, sum(parts, before.double().flatten()), *parts)


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


def agreed(
    found: Sequence[Halves | None], layers: Sequence[Call], insides: Sequence[Sequence[Call]]
) -> list[Halves | None]:
    """One reading for all layers that bear it: what most layers say, wherever it also holds.

    In half precision one layer alone may take a neighbouring module, or a factor that is only near the family's.

    Args:
        found: what each layer alone says.
        layers: their calls.
        insides: the calls each made.
    """

    def shape(halves: Halves, layer: Call) -> tuple[Any, ...]:
        def name(path: str | None) -> str | None:
            return path and path.removeprefix(layer.path)

        terms = (halves.first, halves.second)
        norms = tuple(map(name, halves.norms)) if halves.norms else None
        paths = tuple(name(term.call.path) if term else None for term in terms)
        return paths, halves.parallel, norms, name(halves.mid_reader), halves.open

    told = [(shape(h, layer), h) for h, layer in zip(found, layers, strict=True) if h is not None]
    if not told:
        return list(found)
    usual = Counter(key for key, _ in told).most_common(1)[0][0]
    alike = [h for key, h in told if key == usual]
    paths, parallel, norms, reader, open_half = usual
    scales = [_usual([t.scale for h in alike if (t := (h.first, h.second)[i])]) for i in range(2)]

    def reading(layer: Call, inside: Sequence[Call]) -> Halves | None:
        calls = {c.path: c for c in inside}
        picked = [calls.get(layer.path + path) if path is not None else None for path in paths]
        if any(path is not None and call is None for path, call in zip(paths, picked, strict=True)):
            return None
        first, second = (Term(call, scale) if call else None for call, scale in zip(picked, scales, strict=True))
        both = (layer.path + norms[0], layer.path + norms[1]) if norms else None
        there = calls.get(layer.path + reader) if reader is not None else None
        halves = Halves(first, second, parallel, both, there.path if there else None, open_half)
        return halves if _holds(halves, layer, calls) else None

    return [
        # An open reading holds nearly anywhere, so it is never put where a layer itself did not find it.
        (reading(layer, inside) if not open_half or (h is not None and h.open) else None) or h
        for h, layer, inside in zip(found, layers, insides, strict=True)
    ]


def _usual(scales: Sequence[float]) -> float:
    """What most say, or the middle of what all say."""
    if not scales:
        return 1.0
    value, count = Counter(scales).most_common(1)[0]
    return value if 2 * count > len(scales) else sorted(scales)[len(scales) // 2]


def _holds(halves: Halves, layer: Call, calls: Mapping[str, Call]) -> bool:
    """The sums of a reading hold in a layer."""
    if halves.norms is not None:
        norms = [calls.get(path) for path in halves.norms]
        if norms[0] is None or norms[1] is None or halves.first is None or halves.second is None:
            return False
        return _error(norms[0].x, layer.x, halves.first) < 1 and _error(norms[1].x, norms[0].y, halves.second) < 1
    if halves.mid_reader is None:
        return _error(layer.y, layer.x, *(t for t in (halves.first, halves.second) if t)) < 1
    mid = calls[halves.mid_reader].x
    ends = halves.second is None or _error(layer.y, mid, halves.second) < 1
    return halves.first is not None and _error(mid, layer.x, halves.first) < 1 and ends
