"""`LensResult`: a finished lens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import BadInput
from ..results import BaseResult
from .lens_rows import LensRow


@dataclass(frozen=True, eq=False)
class LensResult(BaseResult):
    """What the model would say at every row and position.

    Frame columns: site, layer, position, token, place (0 = top), top_token, prob, logit.

    Attributes:
        places: (site, layer) of each row.
        positions: in the prompt's own tokens, counted from 0.
        tokens: strings of the prompt at these positions.
        run: "clean", "corrupted", "edited", "difference" (clean - corrupted) or "change" (edited - unedited base).
        top_ids: [row, position, k] int64, the tokens with the greatest logits, the greatest first; of a difference
            those of the clean run, of a change those of the edited run.
        probs: [row, position, k] float32; NaN on contributions.
        logits: [row, position, k] float32; on contributions direct logits, relative to the mean over the vocabulary.
        bottom_ids, bottom_logits: the same for the smallest; -1 and NaN on streams.
        before: [row, position, k] float32, of the same tokens in the other run the probability (on contributions the
            logit): the corrupted run of a difference, the unedited base of a change or of an edited run; NaN where
            there is none.
        track: ids of the tokens that were followed.
        tracked: [row, position, token] float32, their logits.
        tracked_probs: the same, probabilities; NaN on contributions.
        measures: {name: [row, position] float32}; see `measure`.
        changed: [row, position] bool, the top token is another one than in the unedited base; None without edits.
        labels: (id, text) of every token named here.
        forward_ms: of the milliseconds those of forward passes; 0 where what they gave was still there.
    """

    places: tuple[tuple[str, int], ...]
    positions: tuple[int, ...]
    tokens: tuple[str, ...]
    run: str
    top_ids: torch.Tensor
    probs: torch.Tensor
    logits: torch.Tensor
    bottom_ids: torch.Tensor
    bottom_logits: torch.Tensor
    before: torch.Tensor
    track: tuple[int, ...]
    tracked: torch.Tensor
    tracked_probs: torch.Tensor
    measures: dict[str, torch.Tensor] = field(default_factory=dict)
    changed: torch.Tensor | None = None
    labels: tuple[tuple[int, str], ...] = ()
    forward_ms: float = 0.0

    @property
    def rows(self) -> tuple[LensRow, ...]:
        """Each row's site, layer, label and kind."""
        return tuple(LensRow(site, layer) for site, layer in self.places)

    def measure(self, name: str) -> torch.Tensor:
        """[row, position] float32; NaN where it is not defined.

        Args:
            name: one of those that were asked for: prob, rank, entropy, kl, logit_diff, cross_entropy.

        Raises:
            BadInput: it was not asked for.
        """
        if name not in self.measures:
            raise BadInput(
                f"The measure {name!r} was not asked for; there are: {', '.join(self.measures) or 'none'}.",
                hint=f"Ask for it: exp.lens(measures=({name!r},)).",
            )
        return self.measures[name]

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        text = dict(self.labels)
        for i, (site, layer) in enumerate(self.places):
            for j, (position, token) in enumerate(zip(self.positions, self.tokens, strict=True)):
                cells = zip(*(t[i, j].tolist() for t in (self.top_ids, self.probs, self.logits)), strict=True)
                for place, (top, prob, logit) in enumerate(cells):
                    yield {
                        "site": site, "layer": layer, "position": position, "token": token, "place": place,
                        "top_token": text.get(top, str(top)), "prob": prob, "logit": logit,
                    }  # fmt: skip
