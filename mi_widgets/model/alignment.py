"""Pairing two prompts: which position of one stands for which of the other."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher

from ..errors import BadInput, PromptMismatch
from .numbers import whole
from .tokens import Tokens, listed


def source_positions(base: Tokens, source: Tokens, align: str | Mapping[int, int] | None) -> dict[int, int]:
    """Which source position stands for which base position.

    Args:
        base: the prompt that is edited.
        source: the prompt that is read.
        align: None = position by position, for equal lengths; "suffix" pairs the ends (and the beginning tokens);
            "common" pairs the tokens that both have, in order, and those that stand in the same place between them;
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
    if align == "common":
        return _common(base.ids, source.ids)
    if align is not None:
        raise BadInput(
            f"align is None, 'suffix', 'common' or a mapping, not {align!r}.", hint="'suffix' pairs the ends."
        )
    if len(base) != len(source):
        raise PromptMismatch(
            f"The prompts differ in length: {len(base)} tokens {listed(base.strings)} against {len(source)} tokens "
            f"{listed(source.strings)}.",
            hint="Pass align='suffix', 'common' or a mapping {base position: source position}.",
        )
    return {i: i for i in range(len(base))}


def turned_round(align: str | Mapping[int, int] | None) -> str | Mapping[int, int] | None:
    """The same pairs seen from the other prompt: for a base that was the source.

    Example:
        >>> turned_round({0: 0, 5: 10}), turned_round("suffix")
        ({0: 0, 10: 5}, 'suffix')
    """
    return {there: here for here, there in align.items()} if isinstance(align, Mapping) else align


def _common(base: tuple[int, ...], source: tuple[int, ...]) -> dict[int, int]:
    """Pairs of what two prompts have in common, the same whichever of them is the base.

    Between two runs of common tokens those that are as many in both are paired one by one: an exchanged name is.
    """
    # The matcher looks for the longest runs of its first argument, so that an order must be fixed.
    if (len(source), source) < (len(base), base):
        return dict(sorted((b, s) for s, b in _common(source, base).items()))
    pairs: dict[int, int] = {}
    for _, low, high, there, end in SequenceMatcher(None, base, source, autojunk=False).get_opcodes():
        if high - low == end - there:
            pairs |= {low + i: there + i for i in range(high - low)}
    return dict(sorted(pairs.items()))
