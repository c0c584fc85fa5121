"""The engine's own copy of a module tree. It shares every weight with the user's model and nothing else."""

from __future__ import annotations

import copy

import torch
from torch import nn


def shadow_of(hf: nn.Module) -> nn.Module:
    """Copy modules, config and hooks, and share every parameter and buffer.

    Taps, stubs and the attention implementation live on the copy only, so the user's own forward, hooks, training
    step or `save_pretrained` in another cell is unaffected by construction. The copy is in eval mode, whatever the
    user's model is in. Hooks that the user has registered are part of what the model computes: the copy calls the
    same functions, so a hook that records sees the engine's passes too.

    Example:
        >>> import mi_widgets as mi
        >>> hf = mi.load().hf
        >>> shadow_of(hf).lm_head.weight is hf.lm_head.weight
        True
    """
    memo: dict[int, object] = {}
    for module in hf.modules():
        # Also buffers and parameters outside the state dict, and plain tensors kept as attributes.
        for value in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            if isinstance(value, torch.Tensor):
                memo[id(value)] = value
    with torch.no_grad():
        twin = copy.deepcopy(hf, memo)
    return twin.eval()
