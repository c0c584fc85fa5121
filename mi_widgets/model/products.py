"""Products of float32 on a CPU beside torch's own: oneDNN's, which torch carries, and OpenBLAS's, which numpy does."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import nn

Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""x [..., in], weight [out, in], bias [out] or None -> [..., out]."""


STEP, PADDED = 4, 64
"""OpenBLAS takes rows by so many, and spends more on an incomplete step than on a full one: on 15 rows 1.3 times what
it does on 16. Fewer rows than `PADDED` are filled up with zeros."""


@dataclass(frozen=True)
class Named:
    """A product and what provenance calls it."""

    name: str
    product: Product


def onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The product on oneDNN, by a private operation of torch.

    Raises:
        AttributeError, RuntimeError: this torch does not have it, or has it otherwise.
    """
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


def openblas(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The product on numpy's OpenBLAS, on the same memory.

    Args:
        x, bias: see `Product`.
        weight: contiguous, or the transpose of what is.
    """
    rows = x.detach().reshape(-1, x.shape[-1]).contiguous()
    count, lacking = len(rows), -len(rows) % STEP
    if lacking and 1 < count < PADDED:
        rows = nn.functional.pad(rows, (0, 0, 0, lacking))
    y = torch.empty(len(rows), weight.shape[0], dtype=torch.float32)
    np.matmul(rows.numpy(), weight.detach().numpy().T, out=y.numpy())
    y = y[:count]
    return (y if bias is None else y.add_(bias)).view(*x.shape[:-1], len(weight))


def openblas_threads() -> int | None:
    """How many threads numpy's OpenBLAS works on; None where numpy stands on something else, or does not tell."""
    asked = _asking()
    return None if asked is None else int(asked())


@lru_cache(maxsize=1)
def _asking() -> Callable[[], int] | None:
    for module in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        path = getattr(sys.modules.get(module), "__file__", None)
        if path is None:
            continue
        try:
            # Looked up in what the extension is linked to: the library itself has another name on each system.
            linked = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix in ("scipy_openblas", "openblas"):
            for suffix in ("64_", ""):
                found: Callable[[], int] | None = getattr(linked, f"{prefix}_get_num_threads{suffix}", None)
                if found is not None:
                    return found
    return None


def products() -> list[Named]:
    """The products that may be tried here, with the threads that torch and numpy work on right now.

    OpenBLAS has threads of its own. It is left out where they are more or fewer than torch's, or more than one: the
    threads of the two would wait for work side by side and take the processor from each other.
    """
    found = [Named("onednn", onednn)] if torch.backends.mkldnn.is_available() else []
    return [*found, Named("openblas", openblas)] if torch.get_num_threads() == openblas_threads() == 1 else found
