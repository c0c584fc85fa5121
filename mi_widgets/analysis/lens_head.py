"""What a model does behind its last layer, on any stream: the final norm, and logits a block of tokens at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ..errors import SiteUnavailable
from ..model.access import projection_of
from ..model.batches import Batch
from ..model.handle import Model
from ..model.kernels import multiply
from .attribution import require_linear
from .lens_rows import CONTRIBUTIONS

CELLS = 2**21
"""Logits of a block: 8 MB, which what is then worked out of them still finds in the cache."""

PRODUCTS = 2**30
"""Multiply-adds of a block, about 20 ms on one core."""

LEAST = 256
"""Tokens of a block, at least."""


class Head:
    """The final norm and the unembedding of a model.

    Args:
        model: the model.
        rows: streams that are unembedded together, which sets how many tokens a block has.

    Attributes:
        whole: logits can only be had from the model itself, of all tokens at once.
    """

    def __init__(self, model: Model, rows: int) -> None:
        self.model, parts = model, model.architecture
        self.whole = parts.odd_logits is not None or parts.final_norm is None
        if self.whole and not model.resumes:
            raise SiteUnavailable(
                f"The lens is not defined for {model.name}: {parts.odd_logits or 'it has no final norm'}, and it can "
                f"only be run whole ({model.whole}).",
                hint="Look at its attention, or measure by patching.",
            )
        self.size = parts.d_vocab
        width = max(LEAST, min(CELLS // max(1, rows), PRODUCTS // (max(1, rows) * parts.d_model)))
        # The same number of tokens in each, as far as can be.
        blocks = 1 if self.whole else math.ceil(self.size / min(width, self.size))
        self.width = 16 * math.ceil(self.size / blocks / 16)
        self._norm = None if self.whole else model.shadow.get_submodule(str(parts.final_norm))
        self._weight: torch.Tensor | None
        self._bias: torch.Tensor | None
        self._weight, self._bias = (None, None) if self.whole else _unembedding(model)

    @property
    def device(self) -> torch.device:
        """Where logits are worked out."""
        return self.model.device if self._weight is None else self._weight.device

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Half-open ranges of token ids."""
        return [(low, min(low + self.width, self.size)) for low in range(0, self.size, self.width)]

    @torch.no_grad()
    def normed(self, stream: torch.Tensor) -> torch.Tensor:
        """The final norm recomputed on streams [row, d_model]; without one, the streams."""
        if self._norm is None:
            return stream
        found: torch.Tensor = self._norm(stream[None])[0]
        return found.to(self.device)

    @torch.no_grad()
    def logits(self, normed: torch.Tensor, low: int, high: int) -> torch.Tensor:
        """[row, d_model] as `normed` gives them -> [row, token] float32, with bias, the model's scale and softcap."""
        parts = self.model.architecture
        if self._weight is None:
            return self._by_the_model(normed)
        bias = None if self._bias is None else self._bias[low:high]
        found = _product(normed, self._weight[low:high], bias)
        if parts.logit_scale != 1.0:
            found = found.mul_(parts.logit_scale)
        if parts.softcap is not None:
            found = found.div_(parts.softcap).tanh_().mul_(parts.softcap)
        return found.float()

    @torch.no_grad()
    def direct(self, scaled: torch.Tensor, low: int, high: int) -> torch.Tensor:
        """Linear share in the logits, without bias and softcap: [row, d_model] -> [row, token] float32."""
        assert self._weight is not None
        found = _product(scaled.to(self._weight.dtype), self._weight[low:high], None).float()
        return found.mul_(self.model.architecture.logit_scale)

    def _by_the_model(self, stream: torch.Tensor) -> torch.Tensor:
        """Each row taken for a text of one token: of the model only what follows the layers runs."""
        token = self.model.tokens([int(self.model._probe_ids()[0, 0])], False)
        batch = Batch.of([token] * len(stream), self.model.text.pad_id)
        return self.model.forward(batch, resume=(self.model.n_layers, stream[:, None]))[:, 0].float()


def _unembedding(model: Model) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weight [vocab, d_model] and bias [vocab]."""
    module: Any = model.shadow.get_submodule(model.architecture.unembed)
    weight, bias = projection_of(module, model.d_model)
    return weight.detach().T, None if bias is None else bias.detach()


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The product x @ weight^T + bias, on the fastest kernel there is for float32 on a CPU."""
    return multiply(x.to(weight.device), weight, bias)


def require_contributions(model: Model, sites: Sequence[str]) -> None:
    """Raise where what a layer adds has no share of its own in the logits.

    Raises:
        SiteUnavailable: no final norm, or logits that are no linear map of the norm's output.
    """
    if set(sites) & set(CONTRIBUTIONS):
        require_linear(model)
