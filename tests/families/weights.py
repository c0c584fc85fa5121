"""Weights large enough that every effect is far above rounding, for any module tree.

At the library's default of 0.02 effects vanish below any tolerance and tests pass on nothing. Biases and gains are
drawn too, so that a forgotten one shows.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

# Parameters that set a recurrence's time scales: drawn freely it explodes or forgets at once.
_KEPT = ("A_log", "dt_bias", "dt_proj.bias", "time_decay", "time_first", "log_lambda", "recurrent_param")


def fill(hf: nn.Module, seed: int) -> None:
    """Draw every parameter anew.

    Args:
        hf: as the library initialised it; its constants tell a norm's gain (ones, or zeros where the family adds the
            1 itself) from a bias.
        seed: of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    d_model = hf.get_input_embeddings().weight.shape[1]
    unembed = hf.get_output_embeddings()
    tied = unembed is not None and unembed.weight is hf.get_input_embeddings().weight
    drawn: set[int] = set()
    with torch.no_grad():
        for path, module in hf.named_modules():
            for name, p in module.named_parameters(recurse=False):
                full = f"{path}.{name}"
                if id(p) in drawn or not p.is_floating_point() or full.endswith(_KEPT):
                    continue
                drawn.add(id(p))
                noise = torch.randn(p.shape, generator=generator)
                if isinstance(module, nn.Embedding):
                    token = module is hf.get_input_embeddings()
                    p.copy_(noise * ((2 * d_model**-0.5 if tied else 1.0) if token else 0.3))
                elif p.ndim < 2 or (not isinstance(module, nn.Linear | Conv1D) and bool((p == p.flatten()[0]).all())):
                    constant = bool((p == p.flatten()[0]).all())
                    p.copy_((p.flatten()[0] if constant else 0.0) + 0.3 * noise)
                else:
                    p.copy_(1.25 * noise * _fan_in(module, name, p, d_model) ** -0.5)


def _fan_in(module: nn.Module, name: str, p: torch.Tensor, d_model: int) -> int:
    if isinstance(module, Conv1D):  # [in, out]
        return p.shape[0]
    if isinstance(module, nn.Conv1d):  # [out, in per group, width]
        return p.shape[1] * p.shape[2]
    if p.ndim == 3:  # experts fused in one tensor, [expert, in, out] or [expert, out, in]
        down = "down" in name or "output" in name or name in ("w2", "wo")
        others = [size for size in p.shape[1:] if size != d_model]
        return others[0] if down and others else d_model
    return p.shape[-1]
