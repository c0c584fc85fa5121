"""Named positions: the same role at another place in each prompt (``io``, ``s1``, ``s2``, ``end``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import BadInput, PromptMismatch
from ..model.alignment import source_positions
from ..model.batches import END, Batch
from ..model.numbers import whole

Names = Mapping[str, tuple[int, ...]]
"""{name: one position per prompt, counted from 0 in the prompt's own tokens}."""


def positions_of(batch: Batch, given: Any) -> dict[str, tuple[int, ...]]:
    """Named positions as users write them, laid out and checked.

    Args:
        batch: the prompts they are in.
        given: {name: one position for all prompts, or one per prompt}; negative counts from the end. None = no names.

    Returns:
        {name: one position per prompt}, counted from 0.

    Raises:
        BadInput: a name that could be taken for a number, too few or too many positions, or one that is not there.

    Example:
        >>> import mi_widgets as mi
        >>> model = mi.load()
        >>> batch = Batch.of([model.tokens("Mary went to"), model.tokens("John and Mary went to")])
        >>> positions_of(batch, {"name": [1, 3], "verb": -2})
        {'name': (1, 3), 'verb': (2, 4)}
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadInput(
            f"positions is a mapping of names to positions, not {given!r}.",
            hint="For example positions={'io': 3, 's2': [10, 11]}, one for all prompts or one per prompt.",
        )
    return {_name(name): _per_prompt(batch, str(name), value) for name, value in given.items()}


def is_name(value: Any) -> bool:
    """Whether something can name a position: text with a letter, so that it is never taken for a number.

    Example:
        >>> is_name("s2"), is_name("2"), is_name("all")
        (True, False, False)
    """
    return isinstance(value, str) and any(ch.isalpha() for ch in value) and value not in ("all", "from_end")


def _name(name: Any) -> str:
    if not is_name(name):
        raise BadInput(f"{name!r} cannot name a position.", hint="Take a word, for example 'io' or 's2'.")
    return str(name)


def _per_prompt(batch: Batch, name: str, value: Any) -> tuple[int, ...]:
    one = whole(value)
    given = value.tolist() if one is None and hasattr(value, "tolist") else value
    several = [one] * len(batch)
    if one is None:
        several = [whole(p) for p in given] if isinstance(given, Iterable) and not isinstance(given, str) else [None]
        if None in several or len(several) != len(batch):
            raise BadInput(
                f"The position {name!r} is a whole number, or one per prompt ({len(batch)}), not {value!r}.",
                hint="exp.at(' word') finds one by its token.",
            )
    columns = [batch.column(row, p) for row, p in enumerate(several) if p is not None]
    return tuple(column - pad for column, pad in zip(columns, batch.pads, strict=True))


def carried(clean: Batch, corrupted: Batch, align: str | Mapping[int, int] | None, base: str) -> Names:
    """Where the names of the clean prompts lie in the corrupted ones.

    Args:
        clean: with its names.
        corrupted: the prompts that pair with them.
        align: as in `alignment.source_positions`; a mapping goes from the base to the other prompt.
        base: "clean" or "corrupted".

    Returns:
        The names whose position has a partner in every prompt.

    Raises:
        PromptMismatch: prompts of different length that no alignment pairs.
    """
    partners = []
    for one, other in zip(clean.prompts, corrupted.prompts, strict=True):
        if len(one) == len(other) and not isinstance(align, Mapping):
            partners.append({i: i for i in one.positions})
        elif base == "clean":
            partners.append(source_positions(one, other, align))
        else:
            partners.append({there: here for here, there in source_positions(other, one, align).items()})
    return {
        name: tuple(pairs[p] for pairs, p in zip(partners, where, strict=True))
        for name, where in clean.names.items()
        if all(p in pairs for pairs, p in zip(partners, where, strict=True))
    }


def named(
    clean: Batch, corrupted: Batch | None, given: Any, align: str | Mapping[int, int] | None, base: str
) -> tuple[Batch, Batch | None]:
    """The same prompts with names for their positions.

    Args:
        clean: the prompts whose tokens the positions are counted in.
        corrupted: the names lie where the alignment pairs them.
        given: as in `positions_of`; or the prompts of before, whose names are kept if lengths are what they were.
        align: how positions pair.
        base: "clean" or "corrupted".

    Raises:
        BadInput, PromptMismatch: says which name is wrong.
    """
    kept = isinstance(given, Batch)
    if kept:
        given = given.names if given.lengths == clean.lengths else None
    clean = replace(clean, names=positions_of(clean, given))
    if corrupted is None:
        return clean, None
    if not clean.names:
        return clean, replace(corrupted, names={})
    try:
        there = carried(clean, corrupted, align, base)
    except PromptMismatch as problem:
        if kept:
            return clean, replace(corrupted, names={})
        raise PromptMismatch(
            f"Named positions are counted in the clean prompts, and must be found in the corrupted ones: "
            f"{problem.message}",
            hint=problem.hint,
        ) from None
    return clean, replace(corrupted, names=there)


def rows_of(batch: Batch, position: int | str | Sequence[int | str] | None) -> list[list[int]]:
    """Positions of each prompt, counted from 0 in its own tokens.

    Args:
        batch: the prompts.
        position: a number, a name, several of these, or None for all.

    Raises:
        BadInput: a prompt has no such position, or there is no such name.
    """
    if position is None:
        return [list(range(length)) for length in batch.lengths]
    several = [position] if isinstance(position, (int, str)) else list(position)
    return [[batch.column(row, p) - batch.pads[row] for p in several] for row in range(len(batch))]


def from_end(batch: Batch) -> tuple[int, ...]:
    """(-1, -2, ...): positions that all prompts have, counted from their ends.

    Example:
        >>> import mi_widgets as mi
        >>> model = mi.load()
        >>> from_end(Batch.of([model.tokens("Mary went"), model.tokens("John and Mary went")]))
        (-1, -2, -3)
    """
    return tuple(range(-1, -min(batch.lengths) - 1, -1))


def label_of(batch: Batch, position: int | str, row: int = 0) -> str:
    """What people read at a position of one prompt: its token, and its name where it has one."""
    token = batch.prompts[row].strings[batch.column(row, position) - batch.pads[row]]
    return f"{position} {token}" if isinstance(position, str) else token


def position_of(batch: Batch, name: str, prompt: int) -> int | None:
    """The position a name stands for in one prompt; None where there is no such name, and a token may read "end"."""
    if name not in batch.names and (name != END or any(piece.strip() == END for piece in batch.prompts[prompt].pieces)):
        return None
    return batch.column(prompt, name) - batch.pads[prompt]
