"""`Site` and the edits as plain data: what they accept, what they refuse, how they read."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle

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
    assert make("z", 1, head=2, position=3).on(site=mi.Site("q", 2, 1)) == make("q", 2, head=1)
    assert make("z", 1, head=2).on(site=mi.Site("resid_pre", 2), position=4) == make("resid_pre", 2, position=4)
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


def every_kind():
    return [
        mi.Patch("z", 1, head=2, source="Mary went to", alpha=0.5),
        mi.Patch("resid_pre", 1, position=3, source=(1, 5, 6), source_position=2),
        mi.Patch("z", 1, source=("Mary went to", (1, 5, 6))),
        mi.Zero("logits"),
        mi.Scale("attn_out", (1, 2), factor=-2),
        mi.Add("resid_post", 1, vector=torch.arange(4.0), scale=3),
        mi.Add("mlp_post", 1, unit=3, vector=2.0),
        mi.Project("resid_mid", 1, basis=torch.eye(4)[:, :2]),
        mi.Project("resid_mid", 1, position=2, basis=torch.eye(4)[0], source="clean", source_position=1),
        mi.Mean("z", 1, over=("Mary went to", "Anna saw the"), pool="all"),
        mi.Mean("z", 1, over=torch.ones(4, 8)),
        mi.Resample("z", 1, prompts=("Mary went to", (1, 5, 6)), n=3, seed=2),
        mi.Knockout(layer=1, head=2, dest=(13, 14), src=-3),
        mi.SetPattern(layer=1, head=2, position=2, weights=torch.tensor([0.5, 0.25, 0.25])),
    ]


@pytest.mark.parametrize("edit", every_kind(), ids=str)
def test_every_kind_is_data(edit, tmp_path):
    """Equal to itself made again, unlike its neighbours, frozen, moved by `on`, and kept by a saved result."""
    (again,) = [other for other in every_kind() if other == edit]
    assert again is not edit
    assert hash(again) == hash(edit)
    assert edit.on(layer=None) == again.on(layer=None) if edit.site == "logits" else edit.on(layer=0) != edit
    assert str(edit.on()) == str(edit)
    with pytest.raises(AttributeError):
        edit.layer = 5
    with pytest.raises(mi.BadInput, match="no weight"):
        edit.on(weight=1)
    with pytest.raises(TypeError):
        type(edit)(nonsense=1)
    one, two, three = torch.zeros(3, 1, 1).unbind()
    kept = mi.SweepResult(
        provenance=mi.Provenance("m", "float32", "cpu", "eager"), metric=one.clone(), recovered=two.clone(),
        stderr=three.clone(), exact=one > 0,
        same=two > 0, site=str(edit.site), axes=("position",), layers=(0,), positions=(0,), template=edit,
    )  # fmt: skip
    assert mi.SweepResult.load(kept.save(tmp_path / "edit.safetensors")).template == edit


def test_how_every_kind_reads():
    assert [str(edit) for edit in every_kind()] == [
        "patch L1H2.z from 'Mary went to' by 0.5",
        "patch L1.resid_pre@3 from 3 token ids@2",
        "patch L1.z from 2 prompts",
        "zero logits",
        "scale L[1,2].attn_out by -2",
        "add 3 x vector[4] to L1.resid_post",
        "add 2 to L1.mlp_post#3",
        "project out 2 directions of L1.resid_mid",
        "project 1 direction of L1.resid_mid@2 onto clean@1",
        "mean L1.z over 2 prompts, all positions",
        "mean L1.z over a tensor [4, 8]",
        "resample L1.z from 2 prompts, 3 draws",
        "knockout L1H2.scores@[13,14]<-3",
        "set pattern L1H2.pattern@2 to weights[3]",
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: mi.Scale("z", 1, factor=float("nan")),
        lambda: mi.Scale("z", 1, factor="2"),
        lambda: mi.Scale("z", 1, factor=10**400),
        lambda: mi.Add("z", 1, vector=[1.0, 2.0]),
        lambda: mi.Add("z", 1, vector=torch.ones(8), scale=True),
        lambda: mi.Project("z", 1, basis=torch.zeros(8, 2)),
        lambda: mi.Project("z", 1, basis=torch.full((8,), float("nan"))),
        lambda: mi.Project("z", 1, basis=torch.ones(8, 2, 2)),
        lambda: mi.Project("z", 1, basis=torch.arange(8)),
        lambda: mi.Project("z", 1, basis=[1.0, 2.0]),
        lambda: mi.Project("scores", 1, basis=torch.ones(8)),
        lambda: mi.Project(basis=torch.ones(8)).on(site="pattern", layer=1),
        lambda: mi.Project("z", 1, position=1, source_position=2, basis=torch.ones(8)),
        lambda: mi.Mean("z", 1, over=[]),
        lambda: mi.Mean("z", 1, over={"a": 1}),
        lambda: mi.Mean("z", 1, pool="some"),
        lambda: mi.Mean(pool="all").on(site="q", layer=1),
        lambda: mi.Resample("z", 1, prompts=[]),
        lambda: mi.Resample("z", 1, prompts=torch.ones(3)),
        lambda: mi.Resample("z", 1, prompts=["Mary"], n=0),
        lambda: mi.Resample("z", 1, prompts=["Mary"], seed=0.5),
        lambda: mi.Knockout(layer=1, dest=3),
        lambda: mi.Knockout("z", 1, dest=3, src=1),
        lambda: mi.Knockout(layer=1, position=2, dest=3, src=1),
        lambda: mi.Knockout(layer=1, dest=3, src=1.5),
        lambda: mi.Knockout(layer=1, dest=3, src=1, unit=1),
        lambda: mi.SetPattern("scores", 1, weights=torch.ones(3)),
        lambda: mi.SetPattern(layer=1, weights=[1.0]),
        lambda: mi.SetPattern(layer=1, weights=torch.tensor([float("inf")])),
        lambda: mi.SetPattern(layer=1, weights=torch.ones(1, 1, 1, 1, 1)),
    ],
)
def test_what_no_edit_can_be(make):
    with pytest.raises(mi.BadInput) as raised:
        make()
    assert raised.value.hint


def test_a_knockout_is_an_edge():
    edge = mi.Knockout(layer=1, head=1, dest=14, src=10)
    assert edge == mi.Knockout(mi.Site("pattern", 1, 1, 14, 10)) == mi.Knockout(mi.Site("scores", 1, 1, 14), src=10)
    assert edge == mi.Knockout("pattern", 1, 1, 14, src=10)
    assert (edge.site, edge.dest, edge.position) == ("scores", 14, 14)
    assert edge.on(dest=13, src=(1, 2)) == mi.Knockout(layer=1, head=1, position=13, src=[1, 2])
    assert edge.on(site=mi.Site("pattern", 2, 0, 9, 3)) == mi.Knockout(layer=2, head=0, dest=9, src=3)
    assert edge.on(site=mi.Site("scores", 2, 0, 9)) == mi.Knockout(layer=2, head=0, dest=9, src=10)
    with pytest.raises(mi.BadInput, match="same thing"):
        edge.on(dest=13, position=12)
    assert mi.SetPattern(mi.Site("pattern", 1, 1, 2), weights=torch.eye(3)[0]).where == "L1H1.pattern@2"


def test_a_constructor_shows_the_place_and_its_own_arguments():
    places = ["site", "layer", "head", "position", "unit"]
    own = {
        mi.Patch: {"source": "other", "source_position": None, "alpha": 1.0},
        mi.Zero: {},
        mi.Scale: {"factor": inspect.Parameter.empty},
        mi.Add: {"vector": inspect.Parameter.empty, "scale": 1.0},
        mi.Project: {"basis": inspect.Parameter.empty, "source": None, "source_position": None},
        mi.Mean: {"over": None, "pool": "position"},
        mi.Resample: {"prompts": inspect.Parameter.empty, "n": 8, "seed": 0},
        mi.Knockout: {"dest": None, "src": None},
        mi.SetPattern: {"weights": inspect.Parameter.empty},
    }
    for kind, expected in own.items():
        parameters = inspect.signature(kind).parameters
        assert list(parameters)[:5] == places
        assert all(parameters[name].default is None for name in places)
        found = {name: p for name, p in parameters.items() if name not in places}
        assert {name: p.default for name, p in found.items()} == expected
        assert all(p.kind is p.KEYWORD_ONLY for p in found.values())
        with pytest.raises(TypeError):
            kind("z", 1, None, None, None, 2)


def test_an_edit_survives_copying_and_pickling():
    for edit in every_kind():
        assert copy.deepcopy(edit) == pickle.loads(pickle.dumps(edit)) == edit


@pytest.mark.parametrize("number", [np.float32(2), np.float16(2), np.int64(2), 2])
def test_numbers_of_numpy_are_numbers(number):
    made = mi.Scale("z", 1, factor=number)
    assert made == mi.Scale("z", 1, factor=2.0)
    assert type(made.factor) is float


@pytest.mark.parametrize("number", [np.float32("nan"), np.inf, 10**400, True, np.True_, 2j, "2", None])
def test_what_is_no_finite_number(number):
    with pytest.raises(mi.BadInput, match="finite number"):
        mi.Scale("z", 1, factor=number)
