"""Arrays as they travel to the page: bytes, described so that both sides read the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "bundle", "decode", "differences", "embedded", "f32", "i32", "u8", "weights"]

NOT_FINITE = 255
STEPS = 254
_WIRE: dict[str, np.dtype[Any]] = {"u8": np.dtype("u1"), "i32": np.dtype("<i4"), "f32": np.dtype("<f4")}


@dataclass(frozen=True)
class Array:
    """Bytes and what they mean: value = offset + scale * stored number; in u8 the byte 255 is "not finite".

    Attributes:
        dtype: of the stored numbers, little-endian.
        shape: of the array, also where only a triangle is stored.
        data: the stored numbers, row by row.
        layout: "full", or "lower": of the last two axes (a square) only the lower triangle, diagonal included.
        scale, offset: how stored numbers become values.
    """

    dtype: Literal["u8", "i32", "f32"]
    shape: tuple[int, ...]
    data: bytes
    layout: Literal["full", "lower"] = "full"
    scale: float = 1.0
    offset: float = 0.0

    def described(self) -> dict[str, Any]:
        """The wire entry without the bytes."""
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "layout": self.layout,
            "scale": self.scale,
            "offset": self.offset,
        }


def u8(values: npt.ArrayLike, *, scale: float, offset: float, lower: bool = False) -> Array:
    """One byte per value, in 254 steps from `offset`; what lies outside is clipped, NaN and infinity become 255.

    Args:
        values: any shape, float; square in the last two axes when `lower`.
        scale: size of a step.
        offset: value of byte 0.
        lower: store the lower triangle only.

    Example:
        >>> list(u8([0.0, 0.5, 1.0, float("nan")], scale=1 / 254, offset=0).data)
        [0, 127, 254, 255]
    """
    given = np.asarray(values, dtype=np.float64)
    shape = given.shape
    if lower:
        rows, columns = np.tril_indices(shape[-1])
        given = given[..., rows, columns]
    finite = np.isfinite(given)
    steps = np.clip(np.rint((np.where(finite, given, offset) - offset) / scale), 0, STEPS)
    stored = np.where(finite, steps, NOT_FINITE).astype(np.uint8)
    return Array("u8", shape, stored.tobytes(), "lower" if lower else "full", scale, offset)


def weights(values: npt.ArrayLike, *, lower: bool = False) -> Array:
    """Attention weights, 0..1, to 1/508 exact."""
    return u8(values, scale=1 / STEPS, offset=0.0, lower=lower)


def differences(values: npt.ArrayLike, *, lower: bool = False) -> Array:
    """Differences of attention weights, -1..1, to 1/254 exact; byte 127 is 0."""
    return u8(values, scale=2 / STEPS, offset=-1.0, lower=lower)


def f32(values: npt.ArrayLike) -> Array:
    """Any numbers in single precision."""
    stored = np.ascontiguousarray(values, dtype="<f4")
    return Array("f32", stored.shape, stored.tobytes())


def i32(values: npt.ArrayLike) -> Array:
    """Whole numbers."""
    stored = np.ascontiguousarray(values, dtype="<i4")
    return Array("i32", stored.shape, stored.tobytes())


def bundle(arrays: Mapping[str, Array], buffers: list[bytes]) -> dict[str, dict[str, Any]]:
    """Entries for a message; the bytes are appended to `buffers` and named by their index there."""
    entries = {}
    for name, array in arrays.items():
        entries[name] = array.described() | {"buffer": len(buffers)}
        buffers.append(array.data)
    return entries


def embedded(arrays: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Entries for a trait, which carries the bytes in place."""
    return {name: array.described() | {"data": array.data} for name, array in arrays.items()}


def decode(entry: Mapping[str, Any], data: bytes) -> npt.NDArray[Any]:
    """What an entry and its bytes mean: float32 with NaN for u8 and f32, int32 for i32; a triangle is filled with 0.

    Example:
        >>> array = weights([[1.0, 0.0], [0.5, 0.5]], lower=True)
        >>> decode(array.described(), array.data).round(2).tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    shape = tuple(entry["shape"])
    stored = np.frombuffer(data, dtype=_WIRE[entry["dtype"]])
    if entry["dtype"] == "i32":
        return stored.reshape(shape).astype(np.int32)
    values = (entry["offset"] + entry["scale"] * stored.astype(np.float64)).astype(np.float32)
    if entry["dtype"] == "u8":
        values[stored == NOT_FINITE] = np.nan
    if entry["layout"] == "full":
        return values.reshape(shape)
    rows, columns = np.tril_indices(shape[-1])
    full = np.zeros(shape, dtype=np.float32)
    full[..., rows, columns] = values.reshape(*shape[:-2], len(rows))
    return full
