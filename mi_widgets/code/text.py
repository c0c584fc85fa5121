"""Python as text: numbers, lists that are wrapped, paths of modules, and tables of what differs from run to run."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch

T = TypeVar("T")

WIDTH = 88
"""Columns of a line, as black has them."""

MOST = 4096
"""Numbers of a tensor that are written into a script; a longer one belongs into a file."""


def quoted(text: str) -> str:
    """Text as a literal, in double quotes where it has none itself; nothing in it can leave the line.

    Example:
        >>> print(quoted(" Mary"), quoted('a "b"'))
        " Mary" 'a "b"'
    """
    shown = repr(text)
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in shown else shown


def comment(text: str, indent: str = "") -> str:
    """A comment line, cut where it is too long."""
    line = f"{indent}# {text if text.isprintable() else repr(text)[1:-1]}"
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


def number(value: Any) -> str:
    """The shortest text that reads as the same number, in float32 where it is one."""
    if isinstance(value, (bool, int)):
        return str(value)
    narrow = np.float32(value)
    wide = float(value)
    shown = str(narrow) if float(narrow) == wide else repr(wide)
    return {"inf": 'float("inf")', "-inf": '-float("inf")', "nan": 'float("nan")'}.get(shown, shown)


def literal(value: Any, indent: str = "", room: int = WIDTH, tail: int = 0) -> str:
    """Numbers and lists of lists of them, filled into lines.

    Args:
        value: a number, or lists and tuples of such.
        indent: of the line it begins on.
        room: columns there are on that line.
        tail: columns that follow on its last line.
    """
    if not isinstance(value, (list, tuple)):
        return number(value)
    flat = _flat(value)
    if len(flat) + tail <= room:
        return flat
    inner = f"{indent}    "
    lines: list[str] = []
    if any(isinstance(v, (list, tuple)) for v in value):
        lines = [f"{inner}{literal(v, inner, WIDTH - len(inner), 1)}," for v in value]
    else:
        line = inner
        for item in map(number, value):
            if len(line) + len(item) + 2 > WIDTH and line.strip():
                lines.append(line.rstrip())
                line = inner
            line += f"{item}, "
        lines.append(line.rstrip())
    return "\n".join(["[", *lines, f"{indent}]"])


def _flat(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_flat, value))}]"
    return number(value)


def assigned(name: str, value: Any, indent: str = "", before: str = "", after: str = "") -> str:
    """``name = value`` with a value of numbers; filled lists are kept from being reformatted to an item a line."""
    head = f"{indent}{name} = {before}"
    text = f"{head}{literal(value, indent, WIDTH - len(head), len(after))}{after}"
    return text if "\n" not in text else f"{text}  # fmt: skip"


def wrapped(head: str, items: Sequence[str], tail: str, indent: str = "") -> str:
    """Items between brackets, on one line where they fit, else one a line."""
    one = f"{indent}{head}{', '.join(items)}{tail}"
    if len(one) <= WIDTH or not items:
        return one
    return "\n".join([f"{indent}{head}", *(f"{indent}    {item}," for item in items), f"{indent}{tail}"])


def unbroken(head: str, item: str, tail: str, indent: str = "") -> str:
    """One item between brackets, on a line of its own where it does not fit."""
    one = f"{indent}{head}{item}{tail}"
    return one if len(one) <= WIDTH else f"{indent}{head}\n{indent}    {item}\n{indent}{tail}"


def called(text: str, indent: str) -> str:
    """An item that ends in brackets, what stands in them one a line where it does not fit."""
    one = f"{indent}{text},"
    if len(one) <= WIDTH or text[-1] not in ")]":
        return one
    start = min(i for i in (text.find("("), text.find("[", text.find('": ') + 1 or 0)) if i >= 0)
    if text.startswith("["):
        start = 0
    depth, items = 0, [""]
    for ch in text[start + 1 : -1]:
        depth += (ch in "([") - (ch in ")]")
        if ch == "," and depth == 0:
            items.append("")
        else:
            items[-1] += ch
    inner = [called(item.strip(), f"{indent}    ") for item in items]
    return "\n".join([f"{indent}{text[: start + 1]}", *inner, f"{indent}{text[-1]},"])


def module(path: str) -> str:
    """A module of ``model`` by its dotted path.

    Example:
        >>> module("model.layers.3.self_attn.o_proj")
        'model.model.layers[3].self_attn.o_proj'
        >>> module("blocks.layer-1")
        'model.get_submodule("blocks.layer-1")'
    """
    text = "model"
    for part in path.split("."):
        if part.isdigit():
            text += f"[{part}]"
        elif part.isidentifier() and not keyword.iskeyword(part):
            text += f".{part}"
        else:
            return f"model.get_submodule({quoted(path)})"
    return text


def numbers(values: Sequence[int]) -> str:
    """Whole numbers to loop over: a range where they are one."""
    first, last = values[0], values[-1]
    if len(values) > 2 and list(values) == list(range(first, last + 1)):
        return f"range({last + 1})" if first == 0 else f"range({first}, {last + 1})"
    return f"[{', '.join(map(str, values))}]"


def site_name(kind: str, layer: int | None) -> str:
    """A site of a whole layer, as a script calls it: ``L2.resid_pre``."""
    return kind if layer is None else f"L{layer}.{kind}"


def site_names(kind: str, layers: Sequence[int | None]) -> str:
    """Names of one site in some layers, as the items of a list."""
    known = [layer for layer in layers if layer is not None]
    if len(known) < 4:
        return ", ".join(quoted(site_name(kind, layer)) for layer in layers)
    return f'*[f"L{{i}}.{kind}" for i in {numbers(known)}]'


def nested(tensor: torch.Tensor, what: str) -> Any:
    """A tensor as lists.

    Raises:
        TooLong: it has more numbers than a reader would want in a script.
    """
    if tensor.numel() > MOST:
        raise TooLong(what, tensor)
    return tensor.detach().cpu().double().tolist()


class TooLong(Exception):
    """A tensor that is not written into a script.

    Args:
        what: how the reader knows it.
        tensor: its numbers.
    """

    def __init__(self, what: str, tensor: torch.Tensor) -> None:
        super().__init__(what)
        self.what, self.tensor = what, tensor


@dataclass(frozen=True)
class Varying(Generic[T]):
    """What an edit has for each prompt and each draw.

    Attributes:
        values: [prompt][draw].
    """

    values: tuple[tuple[T, ...], ...]

    @property
    def same(self) -> bool:
        """It is the same everywhere."""
        return all(v == self.values[0][0] for row in self.values for v in row)

    @property
    def first(self) -> T:
        """Of the first prompt and draw."""
        return self.values[0][0]

    def table(self) -> tuple[Any, str]:
        """Lists of it, and how they are indexed: "" (the value itself), "[p]", "[draw]" or "[p][draw]"."""
        if self.same:
            return self.first, ""
        if all(v == row[0] for row in self.values for v in row):
            return [row[0] for row in self.values], "[p]"
        if all(row == self.values[0] for row in self.values):
            return list(self.values[0]), "[draw]"
        if len(self.values) == 1:
            return list(self.values[0]), "[draw]"
        return [list(row) for row in self.values], "[p][draw]"
