"""Scores of one's own: the attention that a head puts on the cells one marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import BadInput
from .scores import SCORES, Facts, Range, Rule

TAKEN = frozenset({*SCORES, "logit_effect", "edge", "cell", "layer", "head", "induction_n"})
"""Names that mean something already."""


def mask_of(name: str, given: Any) -> torch.Tensor:
    """A mask as [dest, src] bool.

    Args:
        name: how it is called.
        given: [dest, src] of 0 and 1 or False and True: tensor, array or nested lists.

    Raises:
        BadInput: the name is taken, it is no square, or holds something else.
    """
    if not isinstance(name, str) or not name or name in TAKEN:
        raise BadInput(f"A mask cannot be called {name!r}.", hint=f"These names are taken: {', '.join(sorted(TAKEN))}.")
    try:
        mask = torch.as_tensor(given).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as problem:
        raise BadInput(f"The mask {name!r} is no array: {problem}.", hint="Give [dest, src] of 0 and 1.") from problem
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        raise BadInput(f"The mask {name!r} is {list(mask.shape)}, not [dest, src].", hint="Give one cell per pair.")
    if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise BadInput(f"The mask {name!r} holds other numbers than 0 and 1.", hint="Mark a cell with 1 or True.")
    mask = mask.bool()
    if not bool(mask.any()):
        raise BadInput(f"The mask {name!r} marks no cell.", hint="Mark the cells whose attention is asked for.")
    if bool(mask.triu(1).any()):
        dest, src = (int(i) for i in mask.triu(1).nonzero()[0])
        raise BadInput(
            f"The mask {name!r} marks source {src} of dest {dest}, which comes after it.",
            hint="Mark sources up to the dest: the mask is [dest, src].",
        )
    return mask


def mask_rules(masks: Mapping[str, Any], length: int) -> dict[str, Rule]:
    """A score for each mask: mean over the dests with a marked source of the attention on their marked sources.

    A mask of another length than the prompt gives a score that is undefined and says so: prompts are edited in place.

    Args:
        masks: {name: [dest, src]}; see `mask_of`.
        length: tokens of the prompt.

    Raises:
        BadInput: a mask that cannot be meant.
    """
    return {name: _rule(name, mask_of(name, given), length) for name, given in masks.items()}


def _rule(name: str, mask: torch.Tensor, length: int) -> Rule:
    fits = len(mask) == length

    def total(block: torch.Tensor, rows: Range, _: Facts) -> torch.Tensor:
        if not fits:
            return block.new_zeros(len(block))
        marked = mask[rows[0] : rows[1], : block.shape[-1]].to(block)
        return torch.einsum("hds,ds->h", block, marked)

    return Rule(
        name,
        f"Attention on the cells marked in {name!r}: mean over dests with any of the sum over their marked sources.",
        "a mask of your own",
        total,
        lambda _: int(mask.any(-1).sum()) if fits else 0,
        f"this mask is {len(mask)} x {len(mask)} and the prompt has {length} tokens",
    )
