"""The static picture of a lens: colours of its cells, gaps that are seen, and that hostile text does not break it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mi_widgets.export.image import LARGEST, ramp
from mi_widgets.export.lens_image import GAP, NAME_COLUMN, ROW, LensPicture, lens_png
from mi_widgets.export.pen import size_of

WORD = "␣word"


def picture(rows=3, columns=4, shades=None, **options):
    given = {
        "title": "Logit lens",
        "model": "toy",
        "prompt": (WORD,) * columns,
        "rows": tuple(f"L{row}" for row in range(rows)),
        "numbers": tuple(range(rows)),
        "n_rows": rows,
        "first": 0,
        "columns": (WORD,) * columns,
        "answer": columns - 1,
        "cells": [[WORD] * columns] * rows,
        "shades": np.linspace(0, 1, rows * columns, dtype=np.float32).reshape(rows, columns)
        if shades is None
        else shades,
        "signed": (False,) * rows,
        "changed": None,
        "footer": ("forward 1.0 ms",),
    }
    return LensPicture(**given | options)


def colours(png, near):
    """How many pixels have about this colour."""
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return int((np.abs(image - np.asarray(near)).max(-1) <= 8).sum())


def test_each_cell_has_the_colour_of_its_value():
    shades = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    png = lens_png(picture(rows=1, shades=shades))
    for value in shades[0]:
        assert colours(png, ramp(value)) > 1000
    signed = lens_png(picture(rows=1, shades=-shades, signed=(True,)))
    assert colours(signed, ramp(-1.0, signed=True)) > 1000
    assert colours(signed, ramp(1.0)) == 0


def test_a_gap_and_what_an_edit_changed_are_seen():
    amber = (245, 158, 11)
    plain = lens_png(picture())
    assert colours(plain, amber) == 0
    changed = np.zeros((3, 4), dtype=bool)
    changed[2, 3] = True
    assert 0 < colours(lens_png(picture(changed=changed)), amber) < 200
    gap = lens_png(picture(numbers=(0, 1, 7), n_rows=8))
    assert colours(gap, amber) > 500
    assert size_of(gap)[1] == size_of(plain)[1] + 2 * GAP


def test_of_a_long_prompt_the_answer_is_in_the_picture():
    shades = np.zeros((2, 32), dtype=np.float32)
    shades[:, 20] = 1.0
    png = lens_png(picture(rows=2, columns=32, shades=shades, first=480, answer=500, prompt=(WORD,) * 512))
    assert colours(png, ramp(1.0)) > 1000
    assert len(png) <= LARGEST


@pytest.mark.parametrize("text", ["", "\u202e\u200b", "</script>", "x" * 20_000, "😀\n\t", "ن" * 50])
def test_any_token_can_be_drawn(text):
    png = lens_png(picture(columns=2, cells=[[text] * 2] * 3, prompt=(text,) * 2))
    width, height = size_of(png)
    assert (width, height) >= (NAME_COLUMN, 3 * ROW)
    assert len(png) <= LARGEST
