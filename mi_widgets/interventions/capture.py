"""Activations of unedited runs: only the sites asked for, within a byte budget, least recently used dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Protocol, TypeVar, cast

import torch

from ..model.access import Key, Visitor
from ..model.batches import Batch
from ..model.handle import Model

BUDGET = 512 * 2**20


def capture(
    model: Model,
    batch: Batch,
    keys: Iterable[Key],
    visitors: dict[Key, Visitor] | None = None,
    resume: tuple[int, torch.Tensor] | None = None,
    at: Sequence[int] | None = None,
) -> dict[Key, torch.Tensor]:
    """Run once and keep sites.

    Args:
        model: the model.
        batch: prompts; columns are padded on the left.
        keys: (site, layer) pairs; ("logits", None) is the model's output.
        visitors: edits of the run; what is kept is the value after them.
        resume: the layer to begin with and what enters it; see `Model.forward`.
        at: one column of each row at which logits are wanted, which are [row, 1, vocab] then; not with edits of them.

    Returns:
        {key: value} on the model's device, shapes as in `access.Visitor`.
    """
    kept: dict[Key, torch.Tensor] = {}
    edits = visitors or {}

    def keep(key: Key) -> Visitor:
        def visitor(value: torch.Tensor) -> torch.Tensor | None:
            edit = edits.get(key)
            new = edit(value) if edit is not None else None
            kept[key] = (value if new is None else new).detach().clone()
            return new

        return visitor

    wanted = [key for key in dict.fromkeys(keys) if at is None or key != ("logits", None)]
    logits = model.forward(batch, {**edits, **{key: keep(key) for key in wanted}}, resume=resume, keep=at)
    return kept if at is None else {**kept, ("logits", None): logits}


class Sized(Protocol):
    """Something that tells how many bytes it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes."""


H = TypeVar("H", bound=Sized)


class Captures:
    """A cache of captured sites of one model, keyed by prompts, site and the model's generation.

    Args:
        budget: bytes to keep at most; one request may exceed it, it is then handed out and not kept.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self.bytes = 0

    def get(self, model: Model, batch: Batch, keys: Iterable[Key]) -> dict[Key, torch.Tensor]:
        """The sites of an unedited run, from the cache or from one forward pass for all that lack."""
        wanted = list(dict.fromkeys(keys))
        found = {key: self._kept.get((model.generation, batch.key, key)) for key in wanted}
        lacking = [key for key, value in found.items() if value is None]
        fresh = capture(model, batch, lacking) if lacking else {}
        for key, value in fresh.items():
            self._put((model.generation, batch.key, key), value)
        for key in wanted:
            if (name := (model.generation, batch.key, key)) in self._kept:
                self._kept.move_to_end(name)
        return fresh | {key: value for key, value in found.items() if value is not None}

    def peek(self, model: Model, batch: Batch, key: Key) -> torch.Tensor | None:
        """A site of an unedited run if it is there; nothing is run."""
        found: torch.Tensor | None = self._kept.get((model.generation, batch.key, key))
        return found

    def put(self, model: Model, batch: Batch, key: Key, value: torch.Tensor) -> None:
        """Keep a site of an unedited run that was come by otherwise."""
        self._put((model.generation, batch.key, key), value)

    def look(self, name: Hashable) -> Any:
        """What is held under a name, or None; nothing is made."""
        found = self._kept.get(name)
        if found is not None:
            self._kept.move_to_end(name)
        return found

    def held(self, name: Hashable, make: Callable[[], H]) -> H:
        """What was made of runs (a mean, a whole base run), made when it is not there; `name` tells it apart."""
        found = self._kept.get(name)
        if found is None:
            found = make()
            self._put(name, found)
        else:
            self._kept.move_to_end(name)
        return cast("H", found)

    def _put(self, name: Hashable, value: torch.Tensor | Sized) -> None:
        size = value.nbytes
        if size > self.budget:
            return
        self._kept[name] = value
        self.bytes += size
        while self.bytes > self.budget:
            _, old = self._kept.popitem(last=False)
            self.bytes -= old.nbytes

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.bytes = 0
