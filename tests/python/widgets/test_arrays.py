"""Arrays on the wire: bytes that both sides read as the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from mi_widgets.widgets.arrays import bundle, decode, differences, embedded, f32, i32, u8, weights


def test_weights_keep_half_a_step_and_the_ends_exactly():
    values = np.linspace(0, 1, 1001)
    stored = weights(values)
    assert np.abs(decode(stored.described(), stored.data) - values).max() <= 0.5 / 254 + 1e-7
    assert list(weights([0.0, 1.0]).data) == [0, 254]


def test_a_difference_of_zero_is_byte_127_and_exactly_zero():
    stored = differences([-1.0, 0.0, 1.0])
    assert list(stored.data) == [0, 127, 254]
    assert decode(stored.described(), stored.data).tolist() == [-1.0, 0.0, 1.0]


def test_what_is_not_finite_is_255_and_what_is_outside_is_clipped():
    stored = weights([np.nan, np.inf, -np.inf, 7.0, -7.0])
    assert list(stored.data) == [255, 255, 255, 254, 0]
    assert np.isnan(decode(stored.described(), stored.data)[:3]).all()


def test_lower_holds_the_triangle_row_by_row():
    square = np.array([[[10, 99, 99], [20, 21, 99], [30, 31, 32]]], dtype=float)
    stored = u8(square, scale=1, offset=0, lower=True)
    assert list(stored.data) == [10, 20, 21, 30, 31, 32]
    assert (stored.layout, stored.shape) == ("lower", (1, 3, 3))
    assert decode(stored.described(), stored.data).tolist() == [[[10, 0, 0], [20, 21, 0], [30, 31, 32]]]


@pytest.mark.parametrize(
    ("make", "dtype", "values"),
    [(f32, "<f4", [[1.5, -2.25e7], [np.nan, 0]]), (i32, "<i4", [[-7, 2**31 - 1]])],
)
def test_wide_types_are_little_endian_whatever_came_in(make, dtype, values):
    stored = make(np.asarray(values).astype(">f8"))
    assert stored.data == np.asarray(values).astype(dtype).tobytes()
    np.testing.assert_array_equal(decode(stored.described(), stored.data), np.asarray(values).astype(dtype))


def test_slices_and_transposes_are_stored_in_their_own_order():
    values = np.arange(6, dtype=np.float32).reshape(2, 3).T[::2]
    assert decode(f32(values).described(), f32(values).data).tolist() == values.tolist()


def test_an_array_of_no_elements_travels():
    stored = weights(np.zeros((0, 3, 3)), lower=True)
    assert decode(stored.described(), stored.data).shape == (0, 3, 3)


def test_a_bundle_numbers_its_buffers_after_those_there_are():
    buffers = [b"before"]
    entries = bundle({"a": weights([0.0]), "b": weights([1.0])}, buffers)
    assert [entries["a"]["buffer"], entries["b"]["buffer"]] == [1, 2]
    assert buffers == [b"before", b"\x00", b"\xfe"]
    assert embedded({"a": weights([1.0])})["a"]["data"] == b"\xfe"
