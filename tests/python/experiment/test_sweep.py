"""`exp.sweep` is a loop of `exp.run`, laid out as a map."""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, experiment, ids_of, wrapped


@pytest.fixture(scope="module")
def model():
    return wrapped("qwen2")


@pytest.fixture(scope="module")
def exp(model):
    return experiment(model)


def same(a, b):
    """Equal floats, NaN included."""
    return (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, abs=1e-5)


@pytest.mark.parametrize("site", ["resid_pre", "attn_out", "mlp_out"])
def test_layer_by_position(exp, site):
    result = exp.sweep(site, progress=False)
    assert result.axes == ("position",)
    assert result.metric.shape == (3, 15)
    assert bool(result.exact.all())
    assert float((result.metric - exp.run(()).metric).abs().max()) > 0.1
    for layer, position in ((0, 10), (1, 10), (2, 14), (1, 0), (2, 3)):
        cell = exp.run(mi.Patch(site, layer, position=position))
        assert same(float(result.metric[layer, position]), cell.metric)
        assert same(float(result.recovered[layer, position]), cell.recovered)
        assert same(float(result.stderr[layer, position]), cell.stderr)


@pytest.mark.parametrize(("site", "heads"), [("z", 4), ("k", 2), ("v", 2), ("pattern", 4), ("result", 4)])
def test_layer_by_head(exp, site, heads):
    result = exp.sweep(site, progress=False)
    assert result.axes == ("head",)
    assert result.metric.shape == (3, heads)
    for layer, head in ((0, 0), (1, heads - 1), (2, 1)):
        cell = exp.run(mi.Patch(site, layer, head=head))
        assert same(float(result.metric[layer, head]), cell.metric)
        assert same(float(result.recovered[layer, head]), cell.recovered)


def test_an_ablation_map_starts_at_the_clean_run(exp):
    result = exp.sweep("z", mi.Zero(), base="clean", progress=False)
    assert result.base == "clean"
    for layer in range(3):
        for head in range(4):
            cell = exp.run(mi.Zero("z", layer, head=head), base="clean")
            assert same(float(result.metric[layer, head]), cell.metric)


def test_part_of_a_map_is_that_part(exp):
    whole = exp.sweep("resid_pre", progress=False)
    part = exp.sweep("resid_pre", layers=[2, 0], positions=[10, -1], progress=False)
    torch.testing.assert_close(part.metric, whole.metric[[2, 0]][:, [10, 14]])
    assert part.layers == (2, 0)
    assert part.positions == (10, 14)
    assert part.tokens == (whole.tokens[10], whole.tokens[14])
    heads = exp.sweep("z", heads=[3], layers=[1], progress=False)
    torch.testing.assert_close(heads.metric, exp.sweep("z", progress=False).metric[1:2, 3:])
    cells = exp.sweep("z", heads=[1, 2], layers=[1], positions=[10, 14], progress=False)
    assert cells.axes == ("head", "position")
    assert same(float(cells.metric[0, 1, 0]), exp.run(mi.Patch("z", 1, head=2, position=10)).metric)


@pytest.mark.parametrize(
    "wrong",
    [{"layers": [3]}, {"layers": []}, {"layers": [1, 1]}, {"positions": [15]}, {"positions": "some"}, {"heads": [0]}],
)
def test_numbers_out_of_range(exp, wrong):
    with pytest.raises(mi.BadInput):
        exp.sweep("resid_pre", progress=False, **wrong)


def test_on_top_of_the_live_edits(model):
    exp = experiment(model)
    live = mi.Zero("mlp_out", 0, position=10)
    exp.edits.add(live)
    plain = exp.sweep("z", layers=[1], progress=False)
    on_top = exp.sweep("z", layers=[1], on_top=True, progress=False)
    for head in range(4):
        assert same(float(plain.metric[0, head]), exp.run([mi.Patch("z", 1, head=head)]).metric)
        both = exp.run([live, mi.Patch("z", 1, head=head)])
        assert same(float(on_top.metric[0, head]), both.metric)
        assert same(float(on_top.recovered[0, head]), both.recovered)
    assert plain.baselines == on_top.baselines
    assert on_top.baselines["clean"] == pytest.approx(exp.run((), base="clean").metric, abs=1e-6)


@pytest.mark.parametrize(
    "live", [mi.Zero("z", 1, head=1), mi.Patch("mlp_out", 0, position=-1, alpha=0.5), mi.Scale("attn_out", 2, factor=3)]
)
@pytest.mark.parametrize("lengths", ["one", "several"])
def test_live_edits_behind_the_cells_are_no_noise(model, live, lengths):
    pairs = [(CLEAN, CORRUPTED, " John"), (SHORT_CLEAN, SHORT_CORRUPTED, " Anna")][: 1 if lengths == "one" else 2]
    clean, corrupted, distractors = (list(column) for column in zip(*pairs, strict=True))
    exp = mi.Experiment(model, clean, corrupted, [" Mary"] * len(pairs), distractors)
    exp.edits.add(live)
    assert abs(exp.run().metric - exp.run(()).metric) > 0.01
    found = exp.sweep("resid_pre", on_top=True, positions="from_end", progress=False)
    assert found.provenance.noise_floor < 1e-4
    # By its definition, from plain runs: what is under the cells changes neither end of the line.
    start, end = exp.run((), base="corrupted").metric, exp.run((), base="clean").metric
    for layer, column in ((0, -1), (1, -3), (2, -1), (2, -2)):
        at = found.positions[column]
        metric = exp.run([live, mi.Patch("resid_pre", layer, position=at)]).metric
        assert float(found.metric[layer, column]) == pytest.approx(metric, abs=1e-5)
        assert float(found.recovered[layer, column]) == pytest.approx((metric - start) / (end - start), abs=1e-4)


def test_several_prompts(model):
    pair = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], [" Mary", " Mary"], [" John", " Anna"]
    )
    result = pair.sweep("z", layers=[1], progress=False)
    assert result.per_prompt["metric"].shape == (2, 1, 4)
    for head in range(4):
        cell = pair.run(mi.Patch("z", 1, head=head))
        for name in ("metric", "recovered", "stderr"):
            assert same(float(getattr(result, name)[0, head]), getattr(cell, name))
    with pytest.raises(mi.PromptMismatch, match="one length"):
        pair.sweep("resid_pre", progress=False)


def test_positions_without_a_partner_are_not_offered(model):
    uneven = mi.Experiment(model, SHORT_CORRUPTED, CLEAN, " Mary", " Anna", align="suffix")
    result = uneven.sweep("resid_pre", layers=[1], progress=False)
    short, long = len(ids_of(model, SHORT_CORRUPTED)), 15
    paired = {0} | set(range(long - short + 1, long))
    assert {p for p in range(long) if bool(result.metric[0, p].isfinite())} == paired
    assert [p for p in range(long) if not result.source_tokens[p]] == sorted(set(range(long)) - paired)
    assert bool((result.exact[0] == result.metric[0].isfinite()).all())
    assert same(float(result.metric[0, 12]), uneven.run(mi.Patch("resid_pre", 1, position=12)).metric)
    with pytest.raises(mi.PromptMismatch, match="no partner"):
        uneven.sweep("resid_pre", positions=[2], progress=False)


def test_cells_give_their_edits(exp):
    result = exp.sweep("resid_pre", mi.Patch(alpha=0.5), progress=False)
    edit = result.edit(1, position=10)
    assert edit == mi.Patch("resid_pre", 1, position=10, alpha=0.5)
    assert same(exp.run(edit).metric, float(result.metric[1, 10]))
    start = exp.run(()).metric
    moved = (result.metric - start).abs().flatten()
    best = result.top(3)
    assert [float(moved[15 * e.layer + e.position]) for e in best] == pytest.approx(moved.topk(3).values.tolist())


def test_the_table_of_a_map(exp):
    result = exp.sweep("resid_pre", layers=[1, 2], positions=[3, 10], progress=False)
    frame = result.to_frame()
    assert list(frame.columns) == [
        "site", "layer", "head", "position", "token", "metric", "recovered", "stderr", "exact",
    ]  # fmt: skip
    assert frame[["layer", "position"]].to_numpy().tolist() == [[1, 3], [1, 10], [2, 3], [2, 10]]
    assert frame["metric"].tolist() == pytest.approx(result.metric.flatten().tolist())
    assert frame["token"].tolist() == [result.tokens[0], result.tokens[1]] * 2


def test_a_site_the_model_does_not_have(exp):
    with pytest.raises(mi.BadInput, match="resid_middle"):
        exp.sweep("resid_middle", progress=False)
    with pytest.raises(mi.BadInput, match="no layer"):
        exp.sweep("embed", progress=False)
    with pytest.raises(mi.BadInput, match="none"):
        mi.Experiment(exp.model, CLEAN, answer=" Mary").sweep("z", progress=False)


def test_a_template_with_a_place_of_its_own_is_refused(exp):
    with pytest.raises(mi.BadInput, match="no place of its own"):
        exp.sweep("z", edit=mi.Patch("z", 1), progress=False)
