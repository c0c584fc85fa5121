"""A glance at a model: is it certainly as it was? It spares the milliseconds of a stamp where nothing has changed.

A stamp keeps plain copies of every fact, so that a change can be told in words. A glance keeps the objects themselves,
and the few facts that change inside them. Where it sees a difference the stamp decides: it may be none that matters.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .stamp import ADAPTER, HOOKS, plain_of

_TABLES = ("_parameters", "_buffers", "_modules", *HOOKS)
_STILL = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.Tensor, nn.Module)
"""Kinds of attributes with nothing inside that a stamp tells: they change by being replaced."""


class Glance:
    """What was seen of a model at one look, to be compared with what is there.

    Args:
        hf: the model.

    Attributes:
        opaque: its numbers may change though its weights do not: a hook of the user's, or weights that are fetched.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> before = Glance(layer)
        >>> before.same()
        True
        >>> _ = nn.init.zeros_(layer.weight)
        >>> before.same()
        False
    """

    def __init__(self, hf: nn.Module) -> None:
        modules = list(hf.modules())
        # accelerate fetches weights from elsewhere, and makes new ones with every pass.
        self._uncertain = any("_hf_hook" in vars(m) for m in modules)
        self.opaque = self._uncertain or any(m._forward_hooks or m._forward_pre_hooks for m in modules)
        self.opaque |= any(p.is_meta for p in hf.parameters())
        tables = [vars(m)[name] for m in modules for name in _TABLES]
        self._empty = [table for table in tables if not table]
        self._full = [(table, list(table), [*map(id, table.values())]) for table in tables if table]
        self._own = [(vars(m), dict(vars(m)), m, type(m)) for m in modules]
        tensors = [t for m in modules for held in (m._parameters, m._buffers) for t in held.values() if t is not None]
        try:
            self._tensors = [(t, _inside(t)) for t in tensors]
        except RuntimeError:  # tensors of inference mode, or without storage or strides of their own
            self._uncertain = True
        self._plain: dict[int, tuple[Any, Any]] = {}
        for m in modules:
            for name, value in vars(m).items():
                told = name[0] != "_" or name in ADAPTER
                if told and not isinstance(value, _STILL) and id(value) not in self._plain:
                    self._plain[id(value)] = value, plain_of(value)

    def same(self) -> bool:
        """Whether nothing has changed that a stamp would tell; False also where that is not certain."""
        if self._uncertain or any(self._empty):
            return False
        try:
            return (
                all(_inside(t) == then for t, then in self._tensors)
                and all(list(table) == names and [*map(id, table.values())] == ids for table, names, ids in self._full)
                and all(own == then and type(m) is kind for own, then, m, kind in self._own)
                and all(plain_of(value) == then for value, then in self._plain.values())
            )
        except Exception:  # whatever an attribute that was replaced does when it is compared: of tensors, no truth
            return False


def _inside(t: torch.Tensor) -> tuple[Any, ...]:
    """What changes in a tensor that stays the same object."""
    return t.data_ptr(), t._version, t.dtype, t.shape, t.stride()
