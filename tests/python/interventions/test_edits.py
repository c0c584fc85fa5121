"""`Site` and the edits as plain data: what they accept, what they refuse, how they read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import mi_widgets as mi
from mi_widgets.model.architecture import GLOBAL_SITES, HEAD_SITES, SITES


def all_sites():
    for kind in SITES:
        layers = [None] if kind in GLOBAL_SITES else [None, 0, 11]
        for layer, head, position in itertools.product(layers, [None, 0, 7], [None, 0, -1, 120]):
            if head is not None and (kind not in HEAD_SITES or layer is None):
                continue
            yield mi.Site(kind, layer, head, position)
            if kind in ("pattern", "scores") and position is not None:
                yield mi.Site(kind, layer, head, position, 3)


def test_a_site_reads_back_as_it_was_written():
    sites = list(all_sites())
    assert len({str(site) for site in sites}) == len(set(sites)) == len(sites)
    for site in sites:
        assert mi.Site.parse(str(site)) == site


def test_the_form_of_a_site():
    assert mi.Site.parse("L9H6.z@-1") == mi.Site("z", layer=9, head=6, position=-1)
    assert str(mi.Site("pattern", 1, 1, position=14, src=10)) == "L1H1.pattern@14<10"
    assert str(mi.Site("logits", position=-1)) == "logits@-1"


@pytest.mark.parametrize(
    "text",
    ["", " ", "z@", "L.z", "LH.z", "H1.z", "L1H.z", "L-1.z", "L1H1.", "L1H1", "l1h1.z", "L1H1.Z", "L1H1.zz", "L1 H1.z",
     "L1H1.z@1.5", "L1H1.z@--1", "L1H1.z@1<2", "L1H1.pattern<2", "L1H1.pattern@1<-2", "L1.embed", "L1H1.resid_pre",
     "H1.pattern", "L1H1.z@1\n", "\nL1H1.z", "L1H1.z@1;import os", "L1H1.z@" + "9" * 5000, "L" + "1" * 10**5,
     "<script>alert(1)</script>", "L１H1.z", "L1H1.z@𝟏", "L1H1.z\x00", "__class__", None, 7, b"L1H1.z", ["L1H1.z"]],
)  # fmt: skip
def test_what_is_no_site(text):
    with pytest.raises(mi.BadInput):
        mi.Site.parse(text)


@pytest.mark.parametrize(
    "own",
    [{"kind": "zz"}, {"kind": "z", "layer": True}, {"kind": "z", "layer": 1.0}, {"kind": "z", "layer": -1},
     {"kind": "z", "head": 1}, {"kind": "mlp_out", "layer": 1, "head": 1}, {"kind": "z", "layer": 1, "head": -1},
     {"kind": "z", "layer": 1, "src": 1}, {"kind": "pattern", "layer": 1, "src": 1}, {"kind": "logits", "layer": 0}],
)  # fmt: skip
def test_a_site_that_cannot_be(own):
    with pytest.raises(mi.BadInput):
        mi.Site(**own)


@pytest.mark.parametrize("make", [mi.Zero, mi.Patch])
def test_an_edit_from_a_site_or_its_parts(make):
    assert make(mi.Site("z", 9, 6, -1)) == make("z", 9, head=6, position=-1) == make("z", 9, 6, -1)
    assert make(mi.Site("z", 9, 6), position=3) == make("z", 9, 6, 3)
    assert make("z", 1) != make("z", 2)
    assert make("z", 1) != (mi.Patch if make is mi.Zero else mi.Zero)("z", 1)
    assert hash(make("z", (1, 2))) == hash(make("z", [1, 2]))
    assert make("z", 1).on(layer=2, position=4) == make("z", 2, position=4)
    with pytest.raises(mi.BadInput, match="no haed"):
        make("z", 1).on(haed=3)
    with pytest.raises(TypeError):
        make("z", 1, haed=3)
    with pytest.raises(mi.BadInput, match="whole rows"):
        make(mi.Site("pattern", 1, 1, 14, 10))


def test_edits_are_frozen():
    edit = mi.Zero("z", 1)
    with pytest.raises(AttributeError):
        edit.layer = 2
    assert edit.layer == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [(3, 3), (None, None), ((1, 2), (1, 2)), ([1], (1,)), (range(2), (0, 1)), (np.int64(4), 4), (np.arange(2), (0, 1)),
     (torch.tensor(5), 5), (torch.tensor([1, 2]), (1, 2)), (-1, -1)],
)  # fmt: skip
def test_numbers_of_any_library(given, kept):
    edit = mi.Zero("z", 1, position=given)
    assert edit.position == kept
    assert type(edit.position) is type(kept)


@pytest.mark.parametrize(
    "given", [True, 1.5, "1", (), [], (1, True), (1, 2.0), (1, "2"), [None], ((1, 2), 3), np.bool_(True), {"a": 1}]
)
def test_what_is_no_number(given):
    for name in ("layer", "head", "position", "unit"):
        with pytest.raises(mi.BadInput, match=f"{name} is a whole number"):
            mi.Zero("z", **{name: given})


def test_places_that_cannot_be():
    for wrong in (
        {"site": "zz"},
        {"site": "embed", "layer": 1},
        {"site": "mlp_out", "layer": 1, "head": 1},
        {"site": "pattern", "layer": 1, "unit": 1},
        {"site": "logits", "unit": 1},
    ):
        with pytest.raises(mi.BadInput):
            mi.Zero(**wrong)


def test_own_settings_of_a_patch():
    for wrong in (
        {"source": "corupted"},
        {"source": "Clean"},
        {"source": " "},
        {"source": None},
        {"source": ["Mary", 3.5]},
        {"source": 3},
        {"alpha": float("nan")},
        {"alpha": float("inf")},
        {"alpha": "1"},
        {"alpha": True},
        {"source_position": 3},
        {"position": (1, 2), "source_position": 3},
    ):
        with pytest.raises(mi.BadInput):
            mi.Patch("resid_pre", 1, **wrong)
    for alpha in (-0.1, 1.1):
        with pytest.raises(mi.BadInput, match=r"0\.\.1"):
            mi.Patch("pattern", 1, alpha=alpha)
    with pytest.raises(mi.BadInput, match=r"0\.\.1"):
        mi.Patch(alpha=2).on(site="pattern", layer=1)
    given = torch.ones(2, 3)
    assert mi.Patch("resid_pre", 1, source=given) == mi.Patch("resid_pre", 1, source=given.clone())
    assert mi.Patch("resid_pre", 1, source=given) != mi.Patch("resid_pre", 1, source=given + 1)
    assert mi.Patch("resid_pre", 1, source=given) != mi.Patch("resid_pre", 1)


def test_how_an_edit_reads():
    assert str(mi.Zero("z", 1, head=(0, 2), position=-1)) == "zero L1H[0,2].z@-1"
    assert str(mi.Patch("resid_pre")) == "patch L*.resid_pre"
    assert str(mi.Patch("embed", position=3, unit=4)) == "patch embed@3#4"
