"""Edits as plain JSON values and back; what is read is checked, since a file may come from anywhere."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch

from ..errors import BadInput, MiWidgetsError
from ..interventions.attention_edits import Knockout, SetPattern
from ..interventions.edit_kinds import Add, Patch, Project, Scale, Zero
from ..interventions.edits import Edit
from ..interventions.set_edits import Mean, Resample

KINDS: dict[str, type[Edit]] = {
    kind.__name__: kind for kind in (Patch, Zero, Scale, Add, Project, Mean, Resample, SetPattern, Knockout)
}
"""The edits a file may hold."""

MOST_BYTES = 32 * 2**20
"""Of all tensors in one file."""

MOST_DRAWS = 10_000

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.bool,
    )
}  # fmt: skip


class Budget:
    """How many bytes of tensors may still come."""

    def __init__(self, left: int = MOST_BYTES) -> None:
        self.left = left

    def take(self, size: int, what: str) -> None:
        """Count a tensor.

        Raises:
            BadInput: there are too many.
        """
        self.left -= size
        if self.left < 0:
            raise BadInput(
                f"{what} would hold more than {MOST_BYTES // 2**20} MiB of tensors in its edits.",
                hint="Keep large tensors in a file of their own, and add those edits again.",
            )


def plain_edit(edit: Edit, budget: Budget) -> dict[str, Any]:
    """An edit as JSON values.

    Raises:
        BadInput: an edit of another program, or too many tensors.
    """
    kind = type(edit).__name__
    if KINDS.get(kind) is not type(edit):
        raise BadInput(f"{edit} is no edit of this package and cannot be saved.", hint=f"Edits: {', '.join(KINDS)}.")
    return {"type": kind, **{f.name: _plain(getattr(edit, f.name), edit, budget) for f in fields(edit)}}


def _plain(value: Any, edit: Edit, budget: Budget) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tuple):
        return [_plain(v, edit, budget) for v in value]
    if isinstance(value, torch.Tensor):
        whole = value.detach().cpu().contiguous()
        name = str(whole.dtype).removeprefix("torch.")
        if name not in _DTYPES:
            raise BadInput(f"{edit} holds a tensor of {name}, which cannot be saved.", hint="Make it float32.")
        raw = whole.reshape(-1).view(torch.uint8).numpy().tobytes()
        budget.take(len(raw), "The file")
        data = base64.b64encode(raw).decode()
        return {"tensor": data, "dtype": name, "shape": list(whole.shape)}
    raise BadInput(f"{edit} holds a {type(value).__name__}, which cannot be saved.", hint="Use numbers and tensors.")


def edit_of(value: Any, where: str, budget: Budget) -> Edit:
    """The edit that JSON values stand for; its constructor checks it as one that a user wrote.

    Raises:
        BadInput: says where in the file, and what is wrong.
    """
    given = mapping(value, where)
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadInput(f"{where}.type is {short(kind)}; edits are {', '.join(KINDS)}.", hint=NEWER)
    names = {f.name for f in fields(KINDS[kind])}
    unknown = set(given) - names - {"type"}
    if unknown:
        raise BadInput(f"{where} holds {short(sorted(unknown)[0])}, which a {kind} does not have.", hint=NEWER)
    own = {name: _value(given[name], f"{where}.{name}", budget) for name in names if name in given}
    try:
        edit = KINDS[kind](**own)
    except (MiWidgetsError, TypeError) as problem:
        raise BadInput(f"{where} is no edit that can be meant: {problem}", hint=DAMAGED) from None
    if isinstance(edit, Resample) and edit.n > MOST_DRAWS:
        raise BadInput(f"{where}.n asks for {short(edit.n)} draws.", hint=f"At most {MOST_DRAWS} are taken.")
    return edit


def _value(value: Any, where: str, budget: Budget) -> Any:
    if isinstance(value, int) and value.bit_length() > 63:
        raise BadInput(f"{where} is {short(value)}, no number that can be meant.", hint=DAMAGED)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return tuple(_value(v, f"{where}[{i}]", budget) for i, v in enumerate(value))
    return _tensor(mapping(value, where), where, budget)


def _tensor(given: Mapping[str, Any], where: str, budget: Budget) -> torch.Tensor:
    if set(given) != {"tensor", "dtype", "shape"}:
        raise BadInput(f"{where} is neither a number, a text, a list nor a tensor.", hint=DAMAGED)
    dtype, shape, data = given["dtype"], given["shape"], given["tensor"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise BadInput(f"{where}.dtype is {short(dtype)}; dtypes are {', '.join(_DTYPES)}.", hint=DAMAGED)
    sizes = whole_numbers(shape, f"{where}.shape", low=0)
    try:
        raw = base64.b64decode(data, validate=True) if isinstance(data, str) else b""
    except (binascii.Error, ValueError):
        raise BadInput(f"{where}.tensor is not base64.", hint=DAMAGED) from None
    expected = math.prod(sizes) * _DTYPES[dtype].itemsize
    if not isinstance(data, str) or len(raw) != expected:
        raise BadInput(
            f"{where} holds {len(raw)} bytes, and {short(sizes)} of {dtype} are {short(expected)}.", hint=DAMAGED
        )
    budget.take(len(raw), "The file")
    if not raw:
        return torch.zeros(sizes, dtype=_DTYPES[dtype])
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(_DTYPES[dtype]).reshape(sizes)


# What is read

NEWER = "The file may be of a newer version of mi_widgets."
DAMAGED = "The file was changed or damaged; save the experiment anew."


def short(value: Any) -> str:
    """A value in a message: not all of it."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    text = repr(value) if not isinstance(value, (dict, list)) or len(value) < 10 else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        BadInput: something else.
    """
    if not isinstance(value, dict):
        raise BadInput(f"{where} is {short(value)}, not a mapping.", hint=DAMAGED)
    return value


def whole_numbers(value: Any, where: str, low: int | None = None) -> list[int]:
    """A list of whole numbers of at most 32 bits.

    Raises:
        BadInput: something else.
    """
    if not isinstance(value, list):
        raise BadInput(f"{where} is {short(value)}, not a list of whole numbers.", hint=DAMAGED)
    for i, number in enumerate(value):
        fits = type(number) is int and -(2**31) <= number < 2**31 and (low is None or number >= low)
        if not fits:
            raise BadInput(f"{where}[{i}] is {short(number)}, not a whole number that can be meant.", hint=DAMAGED)
    return list(value)
