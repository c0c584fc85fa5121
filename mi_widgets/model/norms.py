"""A norm of any family as numbers: does it centre, its gain, its bias, and its scale frozen at one run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import UnsupportedArchitecture

FAINT = 2.0**-12
"""A stream so small that a norm's epsilon shows, and large enough for what comes out to be told from the bias."""


@dataclass(frozen=True)
class Norm:
    """y = (x - mean(x) if `centres`) / s * gain + bias, with s set by the run.

    Attributes:
        centres: subtracts the mean (LayerNorm) or not (RMSNorm).
        gain, bias: [d_model] float32; gain up to one common factor, which `scale` takes up.
        least: the scale of a stream that is zero, which the norm's epsilon alone sets.
    """

    centres: bool
    gain: torch.Tensor
    bias: torch.Tensor
    least: float

    def shape(self, x: torch.Tensor) -> torch.Tensor:
        """The numerator: (x - mean(x) if it centres) * gain."""
        x = x.float()
        return (x - x.mean(-1, keepdim=True) if self.centres else x) * self.gain

    def scale(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The scale s that took x to y in a run: [..., 1] float32.

        Raises:
            UnsupportedArchitecture: y is not of this form.
        """
        top, out = self.shape(x), y.float() - self.bias
        s = top.square().sum(-1, keepdim=True) / (top * out).sum(-1, keepdim=True)
        # A zero, which an edit may well have written, does not show what it was divided by.
        s = torch.where((top == 0).all(-1, keepdim=True), self.least, s)
        error, size = (top / s - out).norm(), out.norm()
        if not float(error) <= (64 * torch.finfo(y.dtype).eps + 1e-5) * float(size):
            raise UnsupportedArchitecture(
                f"A norm is not of the form (x - mean) / s * gain + bias (relative error {float(error / size):.1e}).",
                hint="Attribution through this norm is not defined.",
            )
        return s


def read_norm(module: nn.Module, d_model: int) -> Norm:
    """Find out what a norm does by asking it about four vectors; no family is known here.

    Args:
        module: maps [..., d_model] to [..., d_model].
        d_model: an even width.

    Raises:
        UnsupportedArchitecture: the module has no parameter to tell dtype and device from.
    """
    # Asked by name first: on a shadow that is where a weight shows which is offloaded.
    like = getattr(module, "weight", None)
    like = like if isinstance(like, torch.Tensor) else next(iter(module.parameters()), None)
    dtype, device = (like.dtype, like.device) if like is not None else (torch.float32, torch.device("cpu"))
    signs = torch.ones(d_model, dtype=dtype, device=device)
    signs[1::2] = -1
    with torch.no_grad():
        bias = module(torch.zeros_like(signs)[None, None])[0, 0].float()
        shaped = module(signs[None, None])[0, 0].float() - bias
        lifted = module((signs + 2)[None, None])[0, 0].float() - bias
        faint = module((signs * FAINT)[None, None])[0, 0].float() - bias
    centres = bool((lifted - shaped).norm() < 1e-2 * shaped.norm())
    # What comes out is divided by sqrt(mean square + epsilon), in units of that of the signs.
    s = FAINT * float(shaped.square().sum() / (shaped * faint).sum())
    least = math.sqrt(max(s**2 - FAINT**2, 0.0) / (1 - FAINT**2))
    return Norm(centres, shaped * signs.float(), bias, least)
