"""The static picture: its colours, its size, and that hostile text does not break it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mi_widgets.export.image import LARGEST, AtlasPicture, atlas_png, coarser, ramp
from mi_widgets.export.pen import size_of


def picture(layers=2, heads=3, side=8, tokens=("a", "␣b"), run="clean", thumbs=None, bars=None, **options):
    if thumbs is None:
        thumbs = np.tril(np.ones((layers, heads, side, side), dtype=np.float32)) * 0.5
    given = {"title": "Attention heads", "model": "toy", "score": "first", "footer": ("forward 1.0 ms",)} | options
    return AtlasPicture(tokens=tuple(tokens), run=run, thumbs=thumbs, bars=bars, **given)


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_the_ramp_rises_from_paper_and_keeps_nothing_apart_from_zero():
    colours = ramp([0.0, 0.25, 0.5, 0.75, 1.0]).astype(int)
    luminance = colours @ [299, 587, 114]
    assert (np.diff(luminance) < 0).all()
    assert not (ramp(np.nan) == ramp(0.0)).all()
    assert not (ramp(np.nan, signed=True) == ramp(0.0, signed=True)).all()


def test_the_signed_ramp_is_neutral_at_zero_and_two_hues_apart():
    low, middle, high = ramp([-1.0, 0.0, 1.0], signed=True).astype(int)
    assert np.ptp(middle) <= 2
    assert low[0] > low[1]
    assert high[1] > high[0]


def test_cells_of_the_pattern_are_in_the_picture_where_they_belong():
    thumbs = np.zeros((1, 1, 4, 4), dtype=np.float32)
    thumbs[0, 0, 2, 1] = 1.0
    pixels = opened(atlas_png(picture(thumbs=thumbs)))
    strong = ramp(1.0).astype(int)
    rows, columns = np.nonzero(np.abs(pixels - strong).max(-1) <= 3)
    assert len(rows) > 100
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert height == width == 84 * 2 // 4  # one cell of four across a thumbnail of 84 points


def test_bars_are_as_long_as_their_share():
    def blue(share):
        thumbs = np.full((1, 1, 4, 4), np.nan, dtype=np.float32)
        pixels = opened(atlas_png(picture(thumbs=thumbs, bars=np.array([[share]], dtype=np.float32))))
        return int((np.abs(pixels - [0x25, 0x63, 0xEB]).max(-1) <= 3).sum())

    whole = blue(1.0)
    assert blue(0.5) == pytest.approx(whole / 2, rel=0.03)
    assert blue(0.0) == blue(float("nan")) == 0


@pytest.mark.parametrize(("layers", "heads", "side"), [(1, 1, 1), (4, 4, 15), (12, 12, 48), (32, 32, 24), (48, 25, 22)])
def test_the_picture_stays_small_whatever_the_model(layers, heads, side):
    rng = np.random.default_rng(0)
    thumbs = np.tril(rng.random((layers, heads, side, side), dtype=np.float32))
    png = atlas_png(picture(thumbs=thumbs, bars=rng.random((layers, heads), dtype=np.float32)))
    assert len(png) <= LARGEST
    assert size_of(png) == Image.open(io.BytesIO(png)).size
    assert size_of(png)[0] % 2 == 0


@pytest.mark.parametrize(
    "tokens",
    [
        (),
        ("",),
        ("x" * 20_000,),
        ("\u202egnp.exe", "\u200b", "\x00", "\ud83d\ude00", "\n", "␣日本語", "é"),
        ("token",) * 5000,
    ],
)
def test_any_token_can_be_drawn(tokens):
    png = atlas_png(picture(tokens=tokens))
    assert len(png) <= LARGEST
    assert size_of(png)[1] < 1000


def test_a_difference_is_drawn_on_its_own_scale():
    thumbs = np.zeros((1, 1, 2, 2), dtype=np.float32)
    thumbs[0, 0, 1, 0] = -1.0
    pixels = opened(atlas_png(picture(thumbs=thumbs, run="difference")))
    assert (np.abs(pixels - ramp(-1.0, signed=True).astype(int)).max(-1) <= 3).sum() > 1000


def test_every_head_of_a_wide_model_is_in_the_picture():
    heads = 64
    thumbs = np.full((1, heads, 4, 4), np.nan, dtype=np.float32)
    pixels = opened(atlas_png(picture(thumbs=thumbs, bars=np.ones((1, heads), dtype=np.float32))))
    row = (np.abs(pixels - [0x25, 0x63, 0xEB]).max(-1) <= 3).any(0).astype(int)
    assert int((np.diff(row) == 1).sum()) == heads


@pytest.mark.parametrize("run", ["clean", "against"])
def test_the_colours_of_the_scale_survive_the_palette(run):
    values = np.linspace(-1 if run == "against" else 0, 1, 16, dtype=np.float32)
    thumbs = np.full((1, 16, 4, 4), np.nan, dtype=np.float32)
    thumbs[0, :, 2, 1] = values
    pixels = opened(atlas_png(picture(thumbs=thumbs, run=run))).reshape(-1, 3)
    for value in values:
        wanted = ramp(value, signed=run == "against").astype(int)
        assert np.abs(pixels - wanted).max(-1).min() <= 6, value


def test_a_picture_that_is_too_large_loses_colours_then_cells_and_no_text():
    noise = np.tril(np.random.default_rng(0).random((12, 12, 48, 48), dtype=np.float32))
    noise /= noise.sum(-1, keepdims=True)
    whole = opened(atlas_png(picture(layers=12, heads=12, side=48)))
    for largest in (LARGEST, 30_000):
        png = atlas_png(picture(thumbs=noise), largest)
        assert len(png) <= largest
        # The title, the model and the prompt, whose colours stay: the darkest pixels are the same.
        dark = [pixels[:120].sum(-1) < 200 for pixels in (opened(png), whole)]
        assert dark[0].sum() > 500
        assert np.array_equal(*dark)


@pytest.mark.parametrize("side", [1, 4, 7, 12, 16])
def test_coarser_patterns_keep_every_strong_key(side):
    rng = np.random.default_rng(side)
    thumbs = rng.random((2, 3, 16, 16), dtype=np.float32) / 2
    head, dest, src = 2, int(rng.integers(16)), int(rng.integers(16))
    thumbs[1, head, dest, src] = 0.875
    small = coarser(thumbs, side)
    assert small.shape == (2, 3, side, side)
    assert small[1, head].max() == 0.875
    assert small.max() == 0.875
    signed = coarser(-thumbs, side, signed=True)
    assert np.array_equal(signed, -small)
