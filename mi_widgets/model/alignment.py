"""Pairing two prompts: which position of one stands for which of the other."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import BadInput, PromptMismatch
from .numbers import whole
from .tokens import Tokens, listed


def source_positions(base: Tokens, source: Tokens, align: str | Mapping[int, int] | None) -> dict[int, int]:
    """Which source position stands for which base position.

    Args:
        base: the prompt that is edited.
        source: the prompt that is read.
        align: None = position by position, for equal lengths; "suffix" pairs the ends (and the beginning tokens);
            a mapping {base position: source position}.

    Raises:
        PromptMismatch: lengths differ and no alignment was given; shows both tokenisations.
        BadInput: a mapping that names positions which are not there.
    """
    if isinstance(align, Mapping):
        for where, what, tokens in (("base", align.keys(), base), ("source", align.values(), source)):
            wrong = [p for p in what if whole(p) is None or not 0 <= p < len(tokens)]
            if wrong:
                raise BadInput(
                    f"align names {where} positions {wrong}; that prompt has {len(tokens)} tokens.",
                    hint="Count from 0.",
                )
        return dict(align)
    if align == "suffix":
        pairs = {len(base) - 1 - i: len(source) - 1 - i for i in range(min(len(base), len(source)))}
        if len(base) != len(source) and base.special[:1] == (0,) == source.special[:1]:
            pairs.pop(0, None)
            pairs = {b: s for b, s in pairs.items() if s != 0} | {0: 0}
        return dict(sorted(pairs.items()))
    if align is not None:
        raise BadInput(f"align is None, 'suffix' or a mapping, not {align!r}.", hint="'suffix' pairs the ends.")
    if len(base) != len(source):
        raise PromptMismatch(
            f"The prompts differ in length: {len(base)} tokens {listed(base.strings)} against {len(source)} tokens "
            f"{listed(source.strings)}.",
            hint="Pass align='suffix' or a mapping {base position: source position}.",
        )
    return {i: i for i in range(len(base))}
