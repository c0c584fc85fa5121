"""From the stream that leaves the last layer to logits, of all tokens or of a few."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...model.access import projection_of
from ...model.handle import Model
from ...model.kernels import fast


class Tail:
    """What a model does behind its last layer: last norm, unembedding, factor, softcap.

    Args:
        model: the model.

    Attributes:
        model: the model.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def logits(self, stream: torch.Tensor) -> torch.Tensor:
        """All logits: [row, d_model] -> [row, vocab] float32."""
        parts = self.model.architecture
        with self.model.passing(layers=()) as shadow, fast(self.model, within=parts.unembed):
            return self._shaped(shadow.get_submodule(parts.unembed)(self._normed(stream))[0])

    def of_tokens(self, stream: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """Logits of some tokens: [row, d_model] -> [row, token] float32; no other row of the unembedding is read."""
        parts = self.model.architecture
        with self.model.passing(layers=()) as shadow:
            module = shadow.get_submodule(parts.unembed)
            weight, bias = projection_of(module, self.model.d_model)
            normed = self._normed(stream)[0]
            which = torch.tensor(list(ids), device=weight.device)
            return self._shaped(normed @ weight[:, which] + (0 if bias is None else bias[which]))

    def _normed(self, stream: torch.Tensor) -> torch.Tensor:
        parts = self.model.architecture
        rows = stream[None]
        if parts.final_norm is None:
            return rows
        normed: torch.Tensor = self.model.shadow.get_submodule(parts.final_norm)(rows)
        return normed

    def _shaped(self, logits: torch.Tensor) -> torch.Tensor:
        parts = self.model.architecture
        logits = logits * parts.logit_scale if parts.logit_scale != 1.0 else logits
        if parts.softcap is not None:
            logits = torch.tanh(logits / parts.softcap) * parts.softcap
        return logits.float()
