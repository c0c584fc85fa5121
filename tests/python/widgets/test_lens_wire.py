"""Which cells of a lens open first, and what their colours run over."""

from __future__ import annotations

import itertools
import math

import pytest

from mi_widgets.analysis.lens_rows import LensRow
from mi_widgets.widgets import lens_wire as wire

ALL = ("attn_out", "resid_mid", "mlp_out", "resid_post")


def rows(layers, sites=("resid_post",)):
    return (LensRow("resid_pre", 0), *(LensRow(site, layer) for layer in range(layers) for site in sites))


@pytest.mark.parametrize(("length", "most"), list(itertools.product((1, 2, 15, 31, 32, 33, 40, 512), (4, 32))))
def test_the_columns_that_open_hold_the_answer_and_as_many_as_fit(length, most):
    for answer in {0, 1, length // 2, length - 2, length - 1} - {-1, length}:
        low, high = wire.columns_at_first(length, answer, most)
        assert 0 <= low <= answer < high <= length
        assert high - low == min(length, most)


def test_an_answer_at_the_end_opens_the_end_and_one_in_the_middle_has_tokens_on_both_sides():
    assert wire.columns_at_first(512, 511) == (480, 512)
    low, high = wire.columns_at_first(512, 100)
    assert low < 100 < high - 1


@pytest.mark.parametrize("layers", [1, 4, 17])
def test_rows_that_fit_all_open(layers):
    assert wire.rows_at_first(rows(layers)) == tuple(range(layers + 1))


@pytest.mark.parametrize(("layers", "sites"), list(itertools.product((5, 12, 18, 24, 40, 126), (("resid_post",), ALL))))
def test_rows_that_do_not_fit_open_by_a_stride_with_the_input_and_the_last(layers, sites):
    every = rows(layers, sites)
    shown = wire.rows_at_first(every)
    assert len(shown) <= max(wire.MOST_ROWS, 1 + len(sites))
    assert shown == tuple(sorted(set(shown)))
    assert (shown[0], shown[-1]) == (0, len(every) - 1)
    # Of a layer all rows open or none, and from layer to layer it is as far.
    open_layers = sorted({every[at].layer for at in shown[1:]})
    assert [every[at] for at in shown[1:]] == [LensRow(site, layer) for layer in open_layers for site in sites]
    assert len({b - a for a, b in itertools.pairwise(open_layers)}) <= 1
    # One more layer between any two would be too many.
    if len(open_layers) > 1 and open_layers[1] - open_layers[0] > 2:
        stride = open_layers[1] - open_layers[0] - 1
        assert 1 + len(sites) * len(range(layers - 1, -1, -stride)) > wire.MOST_ROWS


def test_labels_are_told_once_and_very_long_ones_are_shortened_in_their_middle():
    labels = {7: "␣Mary", 8: "x" * 20_000, 9: "a" * 40 + "b" * 40}
    found = wire.labelled([9, 7, 7, 8], labels.get)
    assert list(found) == ["7", "8", "9"]
    assert found["7"] == "␣Mary"
    assert max(map(len, found.values())) == wire.LONGEST_LABEL
    assert (found["9"][:32], found["9"][-31:]) == ("a" * 32, "b" * 31)
    assert "…" in found["9"]


def test_scales_have_ends_of_their_own_or_those_of_the_cells():
    values = [[0.25, -3.0], [math.nan, 2.0]]
    assert wire.scale_of("prob", values, "clean", 100) == {"low": 0.0, "high": 1.0, "signed": False, "unit": ""}
    assert wire.scale_of("rank", values, "clean", 100)["high"] == 99
    assert wire.scale_of("entropy", values, "clean", 100)["high"] == pytest.approx(math.log(100))
    assert wire.scale_of("kl", values, "edited", 100) == {"low": 0.0, "high": 3.0, "signed": False, "unit": "nats"}
    for measure, run in (("logit_diff", "clean"), ("prob", "difference"), ("rank", "change")):
        scale = wire.scale_of(measure, values, run, 100)
        assert (scale["low"], scale["high"], scale["signed"]) == (-3.0, 3.0, True)
    # Where nothing is defined, or nothing differs, a scale still has two ends.
    assert wire.scale_of("kl", [[math.nan, 0.0]], "clean", 100)["high"] == 1.0
