"""Prompts of any lengths side by side, padded on the left, and the columns of their positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ..errors import BadInput
from .tokens import Tokens, listed

END = "end"
"""The name of every prompt's last token."""


@dataclass(frozen=True)
class Batch:
    """Prompts laid side by side, padded on the left.

    Attributes:
        prompts: one `Tokens` per row.
        ids: [prompt, position] int64; the last column is every prompt's last token.
        pads: how many columns of padding each row starts with.
        names: named positions, {name: one per row}, counted from 0 in the row's own tokens. "end" is every prompt's
            last token unless it is named otherwise.
    """

    prompts: tuple[Tokens, ...]
    ids: torch.Tensor
    pads: tuple[int, ...]
    names: Mapping[str, tuple[int, ...]] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, prompts: Sequence[Tokens], pad_id: int = 0) -> Batch:
        """Lay prompts of any lengths side by side."""
        width = max(len(p) for p in prompts)
        pads = tuple(width - len(p) for p in prompts)
        rows = [[pad_id] * pad + list(p.ids) for pad, p in zip(pads, prompts, strict=True)]
        return cls(tuple(prompts), torch.tensor(rows, dtype=torch.long), pads)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def width(self) -> int:
        """Columns, padding included."""
        return int(self.ids.shape[1])

    @property
    def key(self) -> tuple[tuple[int, ...], ...]:
        """What tells two batches apart: the ids of every prompt."""
        return tuple(p.ids for p in self.prompts)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each prompt."""
        return tuple(len(p) for p in self.prompts)

    def inputs(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Keyword arguments for the model: ids alone, or with mask and position_ids when any row is padded.

        A left-padded batch without position_ids moves learned positions by the padding (2.8 logits on GPT-2).
        """
        ids = self.ids.to(device)
        if not any(self.pads):
            return {"input_ids": ids}
        columns = torch.arange(self.width, device=device)
        pads = torch.tensor(self.pads, device=device)[:, None]
        return {
            "input_ids": ids,
            "attention_mask": (columns >= pads).long(),
            "position_ids": (columns - pads).clamp(min=0),
        }

    def take(self, row: int, pad_id: int = 0) -> Batch:
        """One of the prompts by itself, its named positions included."""
        alone = Batch.of([self.prompts[row]], pad_id)
        return replace(alone, names={name: (where[row],) for name, where in self.names.items()})

    def column(self, row: int, position: int | str) -> int:
        """Column of a position counted in the row's own tokens (negative: from its end), or of a named one.

        Raises:
            BadInput: the prompt has no such position; pads can never be named.
        """
        length = len(self.prompts[row])
        if isinstance(position, str):
            if position not in self.names and position != END:
                raise BadInput(
                    f"No position of these prompts is named {position!r}.",
                    hint=f"Names: {', '.join([*self.names, END])}; give more by Experiment(positions={{...}}).",
                )
            position = self.names[position][row] if position in self.names else -1
        if isinstance(position, bool) or not isinstance(position, int):
            raise BadInput(f"A position is a whole number, not {position!r}.", hint="Use exp.at(' word') to find one.")
        if not -length <= position < length:
            raise BadInput(
                f"Position {position} does not exist: prompt {row} has {length} tokens "
                f"{listed(self.prompts[row].strings)}.",
                hint=f"Use {-length} to {length - 1}, or exp.at(' word').",
            )
        return self.pads[row] + position % length

    def columns(self, position: int | str) -> list[int]:
        """Column of one position in every row."""
        return [self.column(row, position) for row in range(len(self))]
