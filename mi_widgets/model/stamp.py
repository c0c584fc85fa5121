"""Has the user's model changed since we last looked?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Stamp:
    """A cheap fingerprint of a model.

    Attributes:
        weights: identity, storage, version, dtype and device of every parameter and buffer. An edit through
            ``p.data`` raises no version: a run also compares its baseline with the one it cached.
        structure: identity and class of every module, its own `forward`, its hooks, its attention implementation.
        training: the training flag of every module.
    """

    weights: tuple[Any, ...]
    structure: tuple[Any, ...]
    training: tuple[bool, ...]


def stamp_of(hf: nn.Module) -> Stamp:
    """Take the fingerprint of a model; about 1 ms for a hundred modules.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 2)
        >>> before = stamp_of(layer)
        >>> _ = torch.nn.init.zeros_(layer.weight)
        >>> stamp_of(layer) == before
        False
    """
    weights = []
    for named in (hf.named_parameters(), hf.named_buffers()):
        for name, t in named:
            weights.append((name, id(t), 0 if t.is_meta else t.data_ptr(), t._version, t.dtype, t.device))
    structure = []
    training = []
    for module in hf.modules():
        hooks = tuple(tuple((k, id(h)) for k, h in getattr(module, name, {}).items()) for name in _HOOKS)
        kernel = getattr(getattr(module, "config", None), "_attn_implementation", None)
        structure.append((id(module), type(module), id(vars(module).get("forward")), hooks, kernel))
        training.append(module.training)
    return Stamp(tuple(weights), tuple(structure), tuple(training))
