"""The causal cone: every cell that edits change lies in it, and where one edit is whole nothing else does."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.analysis.cone import cone_of
from mi_widgets.analysis.lens_rows import rows_of
from tests.python.families import CLEAN, SHORT_CORRUPTED, experiment, wrapped

SITES = (
    "resid_pre",
    "q",
    "k",
    "v",
    "z",
    "result",
    "attn_out",
    "resid_mid",
    "mlp_pre",
    "mlp_post",
    "mlp_out",
    "resid_post",
)
ROUNDING = 1e-5


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def exp(request):
    return experiment(wrapped(request.param))


def changed(exp, edits, rows):
    """[row, position] bool: the streams that an edited run has otherwise."""
    keys = [row.key for row in rows]
    run, base = exp.snapshot(edits).values("edited", keys), exp.snapshot(()).values(exp.base, keys)
    return torch.stack([(run[key][0] - base[key][0]).abs().amax(-1) > ROUNDING for key in keys])


def both(exp, *edits):
    rows = rows_of(exp.model, ("resid_post", "resid_mid"))
    return cone_of(exp.snapshot(edits), edits, rows), changed(exp, edits, rows)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("site", SITES)
def test_what_one_edit_of_one_position_can_change_is_what_it_changes(exp, site, layer):
    cone, found = both(exp, mi.Zero(site, layer, position=5))
    assert bool(found.any())
    assert bool((cone == found).all())


@pytest.mark.parametrize("site", ["resid_pre", "k"])
def test_windows_of_attention_change_less(site):
    cone, found = both(experiment(wrapped("gemma2")), mi.Zero(site, 0, position=5))
    assert bool(found.any())
    assert not bool((found & ~cone).any())
    assert bool((cone & ~found).any())


@pytest.mark.parametrize(
    "edits",
    [
        (mi.Zero("embed", position=3),),
        (mi.Knockout(layer=1, dest=6, src=2),),
        (mi.Scale("pattern", 0, head=1, position=4, factor=0.5),),
        (mi.Patch("resid_pre", 1),),
        (mi.Patch("z", 1, head=0, position=[-1, 4], alpha=0.5),),
        (mi.Patch("resid_post", 0, position=12, source_position=3),),
        (mi.Patch("resid_post", 0, position=4, source="corrupted", source_position=9),),
        (mi.Zero("mlp_out", 1, position=8), mi.Patch("attn_out", 0, position=6, source="clean", source_position=2)),
        (mi.Resample("z", 0, prompts=[CLEAN.replace("store", "lake")], n=1),),
    ],
)
def test_every_cell_that_edits_change_is_in_the_cone(exp, edits):
    cone, found = both(exp, *edits)
    assert bool(found.any())
    assert not bool((found & ~cone).any())


def test_patches_where_prompts_are_the_same_change_nothing(exp):
    position = [
        c != d for c, d in zip(*(exp.prompt(run).prompts[0].ids for run in ("clean", "corrupted")), strict=True)
    ]
    first = position.index(True)
    cone, found = both(exp, mi.Patch("resid_pre", 1), mi.Patch("z", 1))
    assert bool((cone == found).all())
    assert not bool(cone[:, :first].any())
    assert bool(cone[-1, first:].all())
    # Another edit before them, and the same patch does change something.
    cone, found = both(exp, mi.Zero("attn_out", 0, position=2), mi.Patch("resid_pre", 1))
    assert bool(cone[:, 2].any())
    assert not bool((found & ~cone).any())


def test_what_the_norm_gives_is_what_the_last_row_says(exp):
    rows = rows_of(exp.model)
    for site in ("final_norm", "logits"):
        cone = cone_of(exp.snapshot(), [mi.Zero(site, position=5)], rows)
        assert cone.nonzero().tolist() == [[len(rows) - 1, 5]]
    assert not bool(cone_of(exp.snapshot(), [], rows).any())


def test_prompts_of_two_lengths_and_a_position_by_name():
    exp = mi.Experiment(
        wrapped("llama"), CLEAN, SHORT_CORRUPTED, " Mary", " John", base="clean", align="common", positions={"s2": 10}
    )
    cone, found = both(exp, mi.Patch("resid_post", 0, position="s2"))
    assert bool((cone == found).all())
    cone, found = both(exp, mi.Patch("resid_mid", 1))
    assert not bool((found & ~cone).any())
