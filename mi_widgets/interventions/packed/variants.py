"""A variant: one edited run of one prompt, known by where it first differs from the base run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from ...errors import EditNeverFired
from ...model.access import Key, Visitor
from ...model.architecture import SITES
from ..layouts import SQUARE, squares
from ..writes import Write

LATE = frozenset({"z", "result", "attn_out", "resid_mid", "mlp_pre", "mlp_post", "mlp_out", "resid_post"})
"""Sites behind a layer's attention: an edit there leaves what attention gives as it was."""

_PLACE = {site: place for place, site in enumerate(SITES)}


def in_order(writes: Iterable[Write]) -> list[Write]:
    """By place in the computation; at one site as they come."""
    return sorted(writes, key=lambda w: (-1 if w.key[1] is None else w.key[1], _PLACE[w.key[0]]))


@dataclass(frozen=True, eq=False)
class Variant:
    """An edited run of one prompt.

    Attributes:
        prompt: number of the prompt.
        layer: the first layer that must run on rows of its own; n_layers when none must.
        start: the first position that differs from there on.
        end: positions that are computed are `start` to `end` - 1.
        answer: the position that is read; below `end`.
        writes: {(site, layer): what is written there, in order}.
        late: positions that run through `layer` alone, with the base run's attention, because its edits there come
            after attention; () when `layer` is run whole from `start`.
    """

    prompt: int
    layer: int
    start: int
    end: int
    answer: int
    writes: dict[Key, tuple[Write, ...]]
    late: tuple[int, ...] = ()


def variant_of(
    prompt: int, own: Sequence[Write], live: Sequence[Write], length: int, answer: int, n_layers: int
) -> Variant | None:
    """Lay out an edited run, or None when it cannot differ from the base run at the answer position.

    Args:
        prompt: number of the prompt.
        own: what it writes and the base run does not.
        live: what the base run writes too; it comes first where both write.
        length: tokens of the prompt.
        answer: the position that is read.
        n_layers: layers of the model.
    """
    # What comes after the answer cannot reach it. Rows of weights are as long as the prompt, so those keep it whole.
    end = length if any(w.key[0] in SQUARE for w in (*own, *live)) else answer + 1
    own = [w for w in own if any(p <= answer for p in w.positions)]
    if not own:
        return None
    by_key: dict[Key, list[Write]] = {}
    for write in (*live, *own):
        by_key.setdefault(write.key, []).append(write)
    layer = min(_layer(w) for w in own)
    here = [w for w in own if _layer(w) == layer]
    start = min(p for w in own for p in w.positions)
    late: tuple[int, ...] = ()
    if all(w.key[0] in LATE for w in here):
        late = tuple(sorted({p for w in here for p in w.positions if p < end}))
        if layer == n_layers - 1 and answer not in late:
            return None
    return Variant(prompt, layer, start, end, answer, {key: tuple(several) for key, several in by_key.items()}, late)


def _layer(write: Write) -> int:
    layer = write.key[1]
    assert layer is not None, "sites outside of the layers are not packed"
    return layer


@dataclass(frozen=True, eq=False)
class Lot:
    """Rows of one variant among the rows of a packed call.

    Attributes:
        variant: whose they are.
        row: the first of them.
        positions: the position of each.
    """

    variant: Variant
    row: int
    positions: range | tuple[int, ...]

    @cached_property
    def row_of(self) -> dict[int, int]:
        """{position: row}."""
        return {p: self.row + i for i, p in enumerate(self.positions)}

    def here(self, write: Write) -> tuple[list[int], Write]:
        """The rows that a write reaches, and the write cut to them."""
        row_of = self.row_of
        kept = [i for i, p in enumerate(write.positions) if p in row_of]
        rows = [row_of[write.positions[i]] for i in kept]
        return rows, write if len(kept) == len(write.positions) else write.at(kept)


class Writing:
    """Carries out what variants write in a layer, on their own rows of a packed call.

    Scores and patterns have rows of sources and are left to the attention.

    Args:
        lots: whose rows are which.
        layer: the layer.
        spoiled: is given the variants that write numbers too large to be squared.

    Attributes:
        visitors: for `access.visiting`.
    """

    def __init__(self, lots: Sequence[Lot], layer: int, spoiled: set[Variant]) -> None:
        self._spoiled = spoiled
        self._waiting: dict[Key, Write] = {}
        found: dict[Key, list[tuple[list[int], Write, Variant]]] = {}
        for lot in lots:
            for key, writes in lot.variant.writes.items():
                if key[1] != layer or key[0] in SQUARE:
                    continue
                for write in writes:
                    rows, here = lot.here(write)
                    if rows:
                        found.setdefault(key, []).append((rows, here, lot.variant))
                        self._waiting[key] = write
        self.visitors: dict[Key, Visitor] = {key: self._visitor(key, several) for key, several in found.items()}

    def require_fired(self) -> None:
        """Raise unless every site that is written was reached.

        Raises:
            EditNeverFired: one was not.
        """
        for write in self._waiting.values():
            raise EditNeverFired(f"{write.edit} was never reached in the run.", hint="Please report the model's class.")

    def _visitor(self, key: Key, several: list[tuple[list[int], Write, Variant]]) -> Visitor:
        def visitor(value: torch.Tensor) -> torch.Tensor:
            self._waiting.pop(key, None)
            new = value.clone()
            for rows, write, _ in several:
                where = _where(rows, new)
                new[0, where] = write.apply(new[0, where])
            if not squares(new):
                self._spoiled.update(variant for rows, _, variant in several if not squares(new[0, _where(rows, new)]))
            return new

        return visitor


def _where(rows: list[int], value: torch.Tensor) -> slice | torch.Tensor:
    """Rows of a value; of neighbours a slice, which copies nothing."""
    if rows == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows))
    return torch.tensor(rows, device=value.device)
