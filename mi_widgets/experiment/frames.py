"""A table of prompts as one question: every row is checked, and all that cannot be asked are told at once."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, MiWidgetsError
from ..interventions.positions import is_name
from ..model.alignment import source_positions
from ..model.handle import Model
from ..model.numbers import whole
from ..model.tokens import Tokens
from .answers import answers_of, same_answers

if TYPE_CHECKING:
    import pandas as pd

ASKED = ("clean", "corrupted", "answer", "distractor")
"""Columns that are no positions."""


@dataclass(frozen=True)
class Rows:
    """What a frame asks, laid out as `Experiment` takes it.

    Attributes:
        clean, corrupted, answer, distractor: one per row; None without such a column.
        positions: {name: one per row}.
        notes: sentences about rows and columns that were left out.
    """

    clean: list[Any]
    corrupted: list[Any] | None
    answer: list[Any] | None
    distractor: list[Any] | None
    positions: dict[str, list[int]]
    notes: tuple[str, ...]


def rows_of_frame(
    model: Model, frame: Any, on_error: str, base: str | None, align: str | Mapping[int, int] | None, bos: bool | None
) -> Rows:
    """Read a frame row by row.

    Args:
        model: whose tokens the prompts become.
        frame: a DataFrame, or what makes one: columns clean (required), corrupted, answer, distractor. Every other
            column of whole numbers is a named position in the clean prompt, and every other column of text names the
            token that stands there, its last occurrence. Columns that are neither are left out, with a note.
        on_error: "raise" lists every bad row; "drop" leaves them out, with a note.
        base, align, bos: as in `Experiment`.

    Raises:
        BadInput: a column is missing, or rows cannot be asked; each is listed with what is wrong.
    """
    import pandas as pd

    if on_error not in ("raise", "drop"):
        raise BadInput(f"on_error is 'raise' or 'drop', not {on_error!r}.", hint="'raise' lists every bad row.")
    try:
        table = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(frame)
    except (TypeError, ValueError) as problem:
        raise BadInput(f"This is no table: {problem}.", hint="Give a DataFrame with a column 'clean'.") from None
    if "clean" not in table.columns or not len(table):
        raise BadInput(
            f"The frame has {len(table)} rows and the columns {[str(c) for c in table.columns]}; expected at least one "
            "row, and a column 'clean'.",
            hint="Columns: clean, corrupted, answer, distractor, and named positions.",
        )
    if not table.columns.is_unique:
        raise BadInput("Two columns of the frame have the same name.", hint="Rename one.")
    asked = {name: _values(table[name]) for name in ASKED if name in table.columns}
    problems: dict[int, list[str]] = {row: [] for row in range(len(table))}
    prompts = [
        _check(model, {name: values[row] for name, values in asked.items()}, base, align, bos, problems[row])
        for row in range(len(table))
    ]
    places, left_out = _places(table, prompts, problems)
    bad = [row for row, found in problems.items() if found]
    listed = [f"row {table.index[row]!r}: {' '.join(problems[row])}" for row in bad]
    notes = list(left_out)
    if bad and (on_error == "raise" or len(bad) == len(table)):
        count = f"{len(bad)} of {len(table)} rows cannot be asked" if len(bad) > 1 else "One row cannot be asked"
        raise BadInput("\n  ".join([f"{count}:", *listed]), hint="\nMend them, or drop them with on_error='drop'.")
    if bad:
        notes.append(f"{len(bad)} of {len(table)} rows were dropped: {'; '.join(listed)}")
    for note in notes:
        warnings.warn(note, stacklevel=3)  # at whoever called from_frame
    good = [row for row in range(len(table)) if row not in bad]

    def kept(name: str) -> list[Any] | None:
        return [asked[name][row] for row in good] if name in asked else None

    return Rows(
        clean=kept("clean") or [],
        corrupted=kept("corrupted"),
        answer=kept("answer"),
        distractor=kept("distractor"),
        positions={name: [found[row] for row in good] for name, found in places.items()},
        notes=tuple(notes),
    )


def _values(column: pd.Series[Any]) -> list[Any]:
    """The cells as Python has them; lists of alternatives are tuples, as `Experiment` takes them."""
    return [tuple(v) if isinstance(v, list) else v for v in column.tolist()]


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"


def _check(
    model: Model,
    row: Mapping[str, Any],
    base: str | None,
    align: str | Mapping[int, int] | None,
    bos: bool | None,
    problems: list[str],
) -> Tokens | None:
    """Collect what is wrong with one row; returns its clean prompt when there is one."""

    def tried(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except MiWidgetsError as problem:
            problems.append(str(problem))
            return None

    def prompt(name: str) -> Tokens | None:
        found: Tokens | None = tried(lambda: model.tokens(row[name], bos))
        return found

    empty = [name for name in ASKED if name in row and _missing(row[name])]
    if empty:
        problems.append(f"No {' and no '.join(empty)}.")
    clean = None if "clean" in empty else prompt("clean")
    corrupted = prompt("corrupted") if "corrupted" in row and "corrupted" not in empty else None
    if clean is not None and corrupted is not None:
        here, there = (clean, corrupted) if base == "clean" else (corrupted, clean)
        tried(lambda: source_positions(here, there, align))
    answers = [
        tried(partial(answers_of, model, [row[name]], 1, name))
        for name in ("answer", "distractor")
        if name in row and name not in empty
    ]
    if len(answers) == 2 and (same := same_answers(*answers)) is not None:
        problems.append(same)
    return clean


def _places(
    table: pd.DataFrame, prompts: list[Tokens | None], problems: dict[int, list[str]]
) -> tuple[dict[str, list[int]], list[str]]:
    """Named positions of every other column, and sentences about columns that name none."""
    found: dict[str, list[int]] = {}
    left_out: list[str] = []
    for column in table.columns:
        if column in ASKED:
            continue
        values = _values(table[column])
        kind = _kind(values, prompts)
        if kind is None or not is_name(column):
            left_out.append(
                f"The column {str(column)!r} names no position and is left out: it holds neither whole numbers nor "
                "tokens of the clean prompts."
            )
            continue
        found[column] = [_place(column, value, prompts[row], problems[row]) for row, value in enumerate(values)]
    return found, left_out


def _number(value: Any) -> int | None:
    """A whole number, also where a gap in the column made floats of them."""
    one = whole(value)
    return int(value) if one is None and isinstance(value, float) and value.is_integer() else one


def _kind(values: list[Any], prompts: list[Tokens | None]) -> type | None:
    """Int for a column of positions, str for one of tokens, None for another; gaps are for the rows to tell."""
    there = [(value, prompt) for value, prompt in zip(values, prompts, strict=True) if not _missing(value)]
    if there and all(_number(value) is not None for value, _ in there):
        return int
    texts = all(isinstance(value, str) for value, _ in there)
    if there and texts and any(prompt is not None and _find(prompt, value) is not None for value, prompt in there):
        return str
    return None


def _find(prompt: Tokens, text: str) -> int | None:
    try:
        return prompt.find(text)
    except BadInput:
        return None


def _place(name: str, value: Any, prompt: Tokens | None, problems: list[str]) -> int:
    """The position one cell names; what is wrong is added to the row's problems."""
    if prompt is None:
        return 0
    if _missing(value):
        problems.append(f"No {name}.")
        return 0
    if isinstance(value, str):
        at = _find(prompt, value)
        if at is None:
            problems.append(f"{name} {value!r} is no token of {list(prompt.strings)}.")
        return at or 0
    number = _number(value)
    if number is None or not -len(prompt) <= number < len(prompt):
        problems.append(f"{name} {value!r} is no position: the prompt has {len(prompt)} tokens.")
        return 0
    return number % len(prompt)
