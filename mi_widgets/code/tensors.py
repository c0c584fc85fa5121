"""Numbers that the user gave to edits: written into the script, or into a file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import BadInput
from .text import MOST, assigned, number, quoted


@dataclass
class Tensors:
    """The tensors of a script.

    Args:
        file: where tensors go that are too long for a script; None = that is an error.

    Attributes:
        lines: their definitions.
        kept: those that belong into the file.
    """

    file: str | None
    lines: list[str] = field(default_factory=list)
    kept: dict[str, torch.Tensor] = field(default_factory=dict)

    def name(self, name: str, cells: Sequence[Sequence[torch.Tensor]], what: str) -> str:
        """The expression of some numbers in a function of an edit.

        Args:
            name: what to call them.
            cells: [prompt][draw] of them.
            what: how the user knows them.

        Raises:
            BadInput: they are too many, and there is no file for them.
        """
        every = [cell.detach().cpu() for row in cells for cell in row]
        same = all(cell.shape == every[0].shape and torch.equal(cell, every[0]) for cell in every)
        by_prompt = [row[0].detach().cpu() for row in cells]
        if same and every[0].numel() == 1 and every[0].ndim == 0:
            # A number has no axes to be broadcast along.
            return f"torch.tensor({number(every[0].item())})"
        if (every[0].numel() if same else sum(t.numel() for t in by_prompt)) > MOST:
            return self._file(name, every[0] if same else by_prompt, what)
        if same:
            self.lines.append(assigned(name, every[0].double().tolist(), before="torch.tensor(", after=")"))
            return name
        for p, tensor in enumerate(by_prompt):
            self.lines.append(assigned(f"{name}_of_{p}", tensor.double().tolist(), before="torch.tensor(", after=")"))
        self.lines.append(f"{name} = [{', '.join(f'{name}_of_{p}' for p in range(len(by_prompt)))}]")
        return f"{name}[p]"

    def _file(self, name: str, tensor: torch.Tensor | Sequence[torch.Tensor], what: str) -> str:
        given = (tensor,) if isinstance(tensor, torch.Tensor) else tensor
        several = not isinstance(tensor, torch.Tensor)
        if self.file is None:
            count = sum(one.numel() for one in given)
            raise BadInput(
                f"{what} has {count:,} numbers, more than a script should hold ({MOST:,}).",
                hint="Give a file for them: exp.to_code(tensors='edits.pt').",
            )
        for p, one in enumerate(given):
            self.kept[f"{name}_of_{p}" if several else name] = one.contiguous().clone()
        if several:
            return f'tensors[f"{name}_of_{{p}}"]'
        return f'tensors["{name}"]'

    def save(self) -> list[str]:
        """Write the file, if there is anything for it, and give the lines that read it."""
        if not self.kept or self.file is None:
            return []
        torch.save(self.kept, Path(self.file))
        return ["# Numbers that are too many for a script.",
                f"tensors = torch.load({quoted(self.file)}, weights_only=True)"]  # fmt: skip
