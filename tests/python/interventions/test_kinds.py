"""What each kind of edit writes, against the same write in a forward pass written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions.draws import draws_of
from tests.python.by_hand import changed, forward, record
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CLEAN,
    SHORT_CORRUPTED,
    experiment,
    ids_of,
    wrapped,
)

OTHERS = (
    "When Anna and Paul went to the store , Kate gave a key to",
    "When Paul and John took to the home , Anna saw a drink to",
    "When Kate and Anna went to the book , John gave a key to",
)
LENGTH = 15


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request):
    return wrapped(request.param)


@pytest.fixture(scope="module")
def exp(model):
    return experiment(model)


@pytest.fixture(scope="module")
def base(model):
    return record(model.hf, ids_of(model, CORRUPTED))


@pytest.fixture(scope="module")
def noise():
    generator = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(shape, generator=generator)


def edited(exp, *edits, base="corrupted"):
    """Logits [vocab] at the answer position."""
    return exp.snapshot(edits, base).answer_logits("edited")[0]


def by_hand(model, changes, text=CORRUPTED):
    """Logits [vocab] at the last position of a run in which `{(site, layer): function of the value}` is done."""
    return changed(model.hf, ids_of(model, text), {key: [one] for key, one in changes.items()})[0][-1]


def near(a, b):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def moved(exp, logits):
    assert not torch.allclose(logits, edited(exp), atol=1e-4)


# Scale and Add


@pytest.mark.parametrize("site", ["resid_mid", "z", "k", "scores", "pattern", "mlp_post", "final_norm", "logits"])
def test_scale(model, exp, site):
    layer = None if site in ("final_norm", "logits") else 1
    for factor in (-0.5, 0.0, 3.0):
        logits = edited(exp, mi.Scale(site, layer, factor=factor))
        near(logits, by_hand(model, {(site, layer): lambda x, f=factor: x.where(x == -math.inf, f * x)}))
        moved(exp, logits)
    near(edited(exp, mi.Scale(site, layer, factor=1)), edited(exp))


def test_scale_of_one_head_unit_and_position(model, exp):
    def change(x):
        x[[3, 14], 1, 2] *= 2.5
        return x

    edit = mi.Scale("z", 1, head=1, unit=2, position=(3, -1), factor=2.5)
    near(edited(exp, edit), by_hand(model, {("z", 1): change}))


def test_add_a_vector_of_any_shape(model, exp, noise):
    d, heads, width = model.d_model, model.n_heads, model.d_head_v
    one, each = noise(d), noise(LENGTH, d)
    near(edited(exp, mi.Add("resid_post", 1, vector=one)), by_hand(model, {("resid_post", 1): lambda x: x + one}))
    near(
        edited(exp, mi.Add("resid_post", 1, vector=each, scale=-2)),
        by_hand(model, {("resid_post", 1): lambda x: x - 2 * each}),
    )
    near(
        edited(exp, mi.Add("resid_post", 1, position=(2, -1), vector=each[None])),
        by_hand(model, {("resid_post", 1): lambda x: x + each * torch.eye(LENGTH)[[2, 14]].sum(0)[:, None]}),
    )
    for vector in (noise(width), noise(heads, width), noise(LENGTH, heads, width)):
        logits = edited(exp, mi.Add("z", 1, vector=vector))
        near(logits, by_hand(model, {("z", 1): lambda x, v=vector: x + v}))
        moved(exp, logits)
    third = torch.eye(heads)[2][:, None]
    by_head = noise(heads, width)
    near(edited(exp, mi.Add("z", 1, head=2, vector=by_head)), by_hand(model, {("z", 1): lambda x: x + third * by_head}))

    def neuron(x):
        x[:, 5] += 2
        return x

    near(edited(exp, mi.Add("mlp_post", 1, unit=5, vector=2)), by_hand(model, {("mlp_post", 1): neuron}))


def test_add_to_attention_unmasks_nothing(model, exp, noise):
    seen = torch.ones(LENGTH, LENGTH).tril().bool()
    for vector in (noise(LENGTH), noise(LENGTH, LENGTH), noise(model.n_heads, LENGTH, LENGTH)):
        near(
            edited(exp, mi.Add("scores", 1, vector=vector)),
            by_hand(model, {("scores", 1): lambda x, v=vector: x + v}),
        )
        near(
            edited(exp, mi.Add("pattern", 1, vector=vector)),
            by_hand(model, {("pattern", 1): lambda x, v=vector: torch.where(seen, x + v, x)}),
        )


@pytest.mark.parametrize(
    ("site", "shape"), [("resid_post", (5,)), ("resid_post", (3, 32)), ("z", (5,)), ("z", (3, 8)), ("pattern", (4,)),
                        ("resid_post", (2, 15, 32)), ("logits", (2, 3))],
)  # fmt: skip
def test_a_vector_that_does_not_fit_is_refused(exp, site, shape):
    with pytest.raises(mi.BadInput):
        edited(exp, mi.Add(site, None if site == "logits" else 1, vector=torch.ones(shape)))


# Project


def test_project_out_a_subspace(model, exp, noise):
    """Whatever the columns are (not orthogonal, dependent), what the value has in their span is gone."""
    basis = noise(model.d_model, 3)
    basis = torch.cat([basis, basis[:, :1] - 2 * basis[:, 1:2]], 1)
    span = basis[:, :3]
    keeps = torch.eye(model.d_model) - span @ torch.linalg.inv(span.T @ span) @ span.T
    logits = edited(exp, mi.Project("resid_mid", 1, basis=basis))
    near(logits, by_hand(model, {("resid_mid", 1): lambda x: x @ keeps}))
    moved(exp, logits)
    asked = experiment(model)
    asked.edits.add(mi.Project("resid_mid", 1, basis=basis))
    gone = asked.read("resid_mid", 1, run="edited")[0] @ basis
    assert float(gone.abs().max()) < 1e-4
    assert mi.Project(basis=basis).axes.shape == (model.d_model, 3)


def test_project_takes_the_subspace_from_elsewhere(model, exp, noise):
    clean = record(model.hf, ids_of(model, CLEAN))
    basis = noise(model.d_head_v)
    along = torch.outer(basis, basis) / basis.square().sum()
    for source in ("other", "clean", CLEAN, clean["z", 1]):
        near(
            edited(exp, mi.Project("z", 1, head=3, position=(9, 10, 14), basis=basis, source=source)),
            by_hand(model, {("z", 1): lambda x: _in_part(x, clean["z", 1], along)}),
        )
    whole = mi.Project("resid_pre", 1, basis=torch.eye(model.d_model), source="clean")
    near(edited(exp, whole), edited(exp, mi.Patch("resid_pre", 1)))


def _in_part(x, source, along):
    for p in (9, 10, 14):
        x[p, 3] = x[p, 3] + (source[p, 3] - x[p, 3]) @ along
    return x


def test_a_basis_of_edited_units(model, exp):
    def change(x):
        x[:, [4, 7]] = x[:, [4, 7]].mean(-1, keepdim=True)
        return x

    edit = mi.Project("mlp_post", 1, unit=(4, 7), basis=torch.tensor([1.0, -1.0]))
    near(edited(exp, edit), by_hand(model, {("mlp_post", 1): change}))
    with pytest.raises(mi.BadInput, match="2 rows"):
        edited(exp, mi.Project("mlp_post", 1, unit=4, basis=torch.tensor([1.0, -1.0])))


# Mean


def test_mean_by_position_over_a_set(model, exp):
    runs = [record(model.hf, ids_of(model, text)) for text in OTHERS]
    for site in ("z", "k", "scores", "pattern", "resid_post", "mlp_pre"):
        mean = torch.stack([run[site, 1] for run in runs]).mean(0)
        for given in (list(OTHERS), pd.Series(OTHERS), [ids_of(model, text) for text in OTHERS]):
            logits = edited(exp, mi.Mean(site, 1, over=given))
            near(logits, by_hand(model, {(site, 1): lambda x, m=mean: m}))
            moved(exp, logits)
    near(edited(exp, mi.Mean("z", 1, over="clean")), edited(exp, mi.Patch("z", 1)))


def test_mean_over_all_positions(model, exp):
    """All but special tokens count, whatever the lengths; the beginning token is written, never averaged."""
    texts = (*OTHERS, SHORT_CLEAN)
    every = torch.cat([record(model.hf, ids_of(model, text))["z", 1][1:] for text in texts])

    def change(x):
        x[:, 2] = every.mean(0)[2]
        return x

    logits = edited(exp, mi.Mean("z", 1, head=2, over=texts, pool="all"))
    near(logits, by_hand(model, {("z", 1): change}))
    moved(exp, logits)


def test_mean_over_nothing_is_over_the_prompts_own_positions(model, base):
    """Of a pair of prompts each has its own mean; provenance and the chip say so."""
    pair = mi.Experiment(model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], " Mary", " John")
    result = pair.run(mi.Mean("resid_mid", 1, position=-1))
    for row, text in enumerate((CORRUPTED, SHORT_CORRUPTED)):
        mean = record(model.hf, ids_of(model, text))["resid_mid", 1][1:].mean(0)

        def change(x, mean=mean):
            x[-1] = mean
            return x

        near(result.logits[row], by_hand(model, {("resid_mid", 1): change}, text))
    assert any("own non-special positions" in note for note in result.provenance.notes)
    assert mi.Mean("z", 1).words(2) == "mean L1.z over its own positions"
    assert mi.Mean("z", 1).words(8) == "mean L1.z over the 8 prompts"


def test_mean_over_nothing_of_many_prompts_is_over_them(model):
    texts = [CORRUPTED, *OTHERS] * 2
    many = mi.Experiment(model, texts, answer=" Mary", distractor=" John")
    result = many.run(mi.Mean("z", 1))
    mean = torch.stack([record(model.hf, ids_of(model, text))["z", 1] for text in texts]).mean(0)
    for row in (0, 3):
        near(result.logits[row], by_hand(model, {("z", 1): lambda x: mean}, texts[row]))
    assert not any("own" in note for note in result.provenance.notes)


def test_mean_at_named_positions_of_prompts_of_different_length(model):
    texts, others = [CLEAN, SHORT_CLEAN] * 4, [CORRUPTED, SHORT_CORRUPTED] * 4
    many = mi.Experiment(
        model, texts, others, " Mary", " John", positions={"again": [10, 5] * 4, "end": -1}
    )  # fmt: skip
    runs = [record(model.hf, ids_of(model, text))["resid_mid", 1] for text in texts[:2]]
    again, end = ((runs[0][a] + runs[1][b]) / 2 for a, b in ((10, 5), (14, 9)))
    result = many.run(mi.Mean("resid_mid", 1, position=("again", "end"), over="clean"))
    for row, place in ((0, 10), (1, 5)):

        def change(x, place=place):
            x[place], x[-1] = again, end
            return x

        near(result.logits[row], by_hand(model, {("resid_mid", 1): change}, others[row]))
    with pytest.raises(mi.BadInput, match="different positions"):
        many.run(mi.Mean("k", 1, position="again", over="clean"))


def test_mean_at_a_name_is_over_each_runs_own_position_also_where_lengths_agree(model):
    texts = [CLEAN, OTHERS[0]] * 4
    many = mi.Experiment(model, texts, answer=" Mary", distractor=" John", positions={"there": [10, 3] * 4})
    one, other = (record(model.hf, ids_of(model, text))["z", 1] for text in texts[:2])

    def change(x):
        x[10] = (one[10] + other[3]) / 2
        return x

    near(many.run(mi.Mean("z", 1, position="there")).logits[0], by_hand(model, {("z", 1): change}, CLEAN))


def test_a_mean_that_was_made_before(model, exp, noise):
    heads, width = model.n_heads, model.d_head_v
    for given in (noise(heads, width), noise(LENGTH, heads, width), noise(4, LENGTH, heads, width)):
        mean = given.mean(0) if given.ndim == 4 else given
        near(
            edited(exp, mi.Mean("z", 1, over=given)),
            by_hand(model, {("z", 1): lambda x, m=mean: m.expand(x.shape).clone()}),
        )
    runs = noise(4, LENGTH, heads, width)
    near(
        edited(exp, mi.Mean("z", 1, over=runs, pool="all")),
        by_hand(model, {("z", 1): lambda x: runs.mean((0, 1)).expand(x.shape).clone()}),
    )


def test_a_mean_that_cannot_be(exp):
    for site in ("q", "k"):
        with pytest.raises(mi.BadInput, match="rotations average out"):
            mi.Mean(site, 1, over="clean", pool="all")
        with pytest.raises(mi.BadInput, match="rotations average out"):
            edited(exp, mi.Mean(site, 1))
    with pytest.raises(mi.BadInput, match="other sources"):
        mi.Mean("pattern", 1, pool="all")
    with pytest.raises(mi.BadInput, match="pool"):
        mi.Mean("z", 1, pool="mean")
    with pytest.raises(mi.PromptMismatch, match=r"\[10, 15\]"):
        edited(exp, mi.Mean("z", 1, over=[SHORT_CLEAN]))
    with pytest.raises(mi.BadInput, match="'clean'"):
        mi.Mean("z", 1, over="claen")


# Other prompts, Resample


def test_a_patch_from_another_prompt(model, exp):
    other = record(model.hf, ids_of(model, OTHERS[0]))
    for source in (
        OTHERS[0],
        ids_of(model, OTHERS[0]),
        [OTHERS[0]],
        np.array(ids_of(model, OTHERS[0])),
        torch.tensor(ids_of(model, OTHERS[0])),
    ):
        logits = edited(exp, mi.Patch("z", 1, head=1, source=source))
        near(logits, by_hand(model, {("z", 1): lambda x: torch.cat([x[:, :1], other["z", 1][:, 1:2], x[:, 2:]], 1)}))
    with pytest.raises(mi.PromptMismatch, match="10 tokens"):
        edited(exp, mi.Patch("z", 1, source=SHORT_CLEAN))
    short = record(model.hf, ids_of(model, SHORT_CLEAN))

    def change(x):
        x[12] = short["resid_post", 0][4]
        return x

    edit = mi.Patch("resid_post", 0, position=12, source=SHORT_CLEAN, source_position=4)
    near(edited(exp, edit), by_hand(model, {("resid_post", 0): change}))


def test_one_source_prompt_for_each(model):
    pair = mi.Experiment(model, [CORRUPTED, OTHERS[0]], answer=" Mary", distractor=" John")
    logits = pair.run(mi.Patch("z", 1, source=list(OTHERS[1:]))).logits
    for row, (text, source) in enumerate(((CORRUPTED, OTHERS[1]), (OTHERS[0], OTHERS[2]))):
        z = record(model.hf, ids_of(model, source))["z", 1]
        near(logits[row], by_hand(model, {("z", 1): lambda x, z=z: z}, text))
    rows = np.array([ids_of(model, text) for text in OTHERS[1:]])
    assert torch.equal(pair.run(mi.Patch("z", 1, source=rows)).logits, logits)
    with pytest.raises(mi.BadInput, match="3 prompts"):
        pair.run(mi.Patch("z", 1, source=list(OTHERS)))


def test_other_prompts_are_tokenised_as_the_experiments_own(model):
    bare = mi.Experiment(model, CORRUPTED, answer=" Mary", distractor=" John", bos=False)
    other = record(model.hf, ids_of(model, OTHERS[0])[1:])["z", 1]
    logits = changed(model.hf, ids_of(model, CORRUPTED)[1:], {("z", 1): [lambda x: other]})[0][-1]
    near(bare.run(mi.Patch("z", 1, source=OTHERS[0])).logits[0], logits)


def test_resample_is_the_mean_over_its_draws(model, exp):
    edit = mi.Resample("z", 1, head=(0, 1), prompts=OTHERS, n=4, seed=5)
    draws = draws_of([mi.Zero("mlp_out", 0), edit])
    assert len(draws) == 4
    each = []
    for zero, patch in draws:
        assert zero == mi.Zero("mlp_out", 0)
        z = record(model.hf, ids_of(model, patch.source[0]))["z", 1]
        logits = by_hand(
            model,
            {("z", 1): lambda x, z=z: torch.cat([z[:, :2], x[:, 2:]], 1), ("mlp_out", 0): torch.zeros_like},
        )
        each.append(float(logits[ids_of(model, " Mary")[-1]] - logits[ids_of(model, " John")[-1]]))
    result = exp.run([mi.Zero("mlp_out", 0), edit])
    assert result.metric == pytest.approx(sum(each) / 4, abs=1e-4)
    error = torch.tensor(each).std() / 2
    assert result.metric_stderr == pytest.approx(float(error), abs=1e-4)
    whole = exp.run((), base="clean").metric - exp.run(()).metric
    assert result.stderr == pytest.approx(float(error) / abs(whole), abs=1e-4)
    assert "Numbers are means over 4 draws." in result.provenance.notes


def test_draws_are_seeded_even_and_shared():
    edit = mi.Resample("z", (0, 1), prompts=OTHERS, n=7, seed=1)
    (first,) = zip(*draws_of([edit], prompts=5), strict=True)
    assert [one.source for one in first] == [one.source for (one,) in draws_of([edit], prompts=5)]
    assert [one.source for one in first] != [one.source for (one,) in draws_of([edit.on(seed=2)], prompts=5)]
    for prompt in range(5):
        drawn = [one.source[prompt] for one in first]
        assert {drawn.count(text) for text in OTHERS} == {2, 3}
    assert {len(set(one.source)) for one in first} != {1}, "each prompt draws for itself"
    both = draws_of([edit, mi.Resample("mlp_out", 1, prompts=OTHERS, n=7, seed=1), mi.Zero("z", 2)], prompts=2)
    assert all(a.source == b.source for a, b, _ in both)
    assert draws_of([mi.Zero("z", 1)]) == [(mi.Zero("z", 1),)]
    assert draws_of([]) == [()]


def test_resample_in_the_live_list(model):
    """It is checked when added, runs, and what is read of the edited run is the mean over draws."""
    asked = experiment(model)
    with pytest.raises(mi.PromptMismatch):
        asked.edits.add(mi.Resample("z", 1, prompts=[OTHERS[0], SHORT_CLEAN]))
    asked.edits.add(mi.Resample("z", 1, prompts=OTHERS, n=3))
    z = torch.stack([record(model.hf, ids_of(model, text))["z", 1] for text in OTHERS]).mean(0)
    near(asked.read("z", 1, run="edited")[0], z)
    near(asked.patterns(layers=1, run="edited").values[0], asked.patterns(layers=1, run="corrupted").values[0])
    later = asked.read("pattern", 2, run="edited")[0]
    near(asked.patterns(layers=2, run="edited").values[0], later)
    assert not torch.allclose(later, asked.read("pattern", 2, run="corrupted")[0], atol=1e-4)


# Attention


def test_knockout_cuts_before_the_softmax(model, exp, base):
    """The rest of the row is renormalised, whatever the kernel is."""

    def change(x):
        x[1, [13, 14], 11] = x[1, [13, 14], 12] = -math.inf
        return x

    edit = mi.Knockout(layer=1, head=1, dest=(13, -1), src=(11, -3))
    logits = edited(exp, edit)
    near(logits, by_hand(model, {("scores", 1): change}))
    moved(exp, logits)
    asked = experiment(model)
    asked.edits.add(edit)
    cut = asked.read("pattern", 1, run="edited")[0]
    row = base["pattern", 1][1, 14].clone()
    row[[11, 12]] = 0
    near(cut[1, 14], row / row.sum())
    near(cut[0], base["pattern", 1][0])


def test_knockout_of_all_heads_layers_and_destinations(model, exp):
    """Without a destination every position that sees the source loses it; here each has another to look at."""

    def change(x):
        x[:, 3:, 2] = -math.inf
        return x

    edit = mi.Knockout(dest=range(3, LENGTH), src=2)
    near(edited(exp, edit), by_hand(model, {("scores", layer): change for layer in range(3)}))
    every = mi.Knockout(layer=2, src=2)

    def cut(x):
        x[:, :, 2] = -math.inf
        return x

    near(edited(exp, every), by_hand(model, {("scores", 2): cut}))


def test_the_last_source_cannot_be_cut(model, exp):
    with pytest.raises(mi.BadInput, match="last source of position 0"):
        edited(exp, mi.Knockout(layer=1, src=0))
    with pytest.raises(mi.BadInput, match="last source of position 2"):
        experiment(model).edits.add(mi.Knockout(layer=1, dest=2, src=(0, 1, 2)))
    with pytest.raises(mi.BadInput, match="cuts nothing"):
        edited(exp, mi.Knockout(layer=1, dest=2, src=3))
    # In a window of 4 the last position sees 11 to 14 only.
    with pytest.raises(mi.BadInput, match="last source"):
        edited(experiment(wrapped("mistral")), mi.Knockout(layer=0, dest=14, src=(11, 12, 13, 14)))


def test_two_cuts_of_one_row_are_both_there(model, exp):
    one = mi.Knockout(layer=1, head=2, dest=14, src=(12, 13))
    two = [mi.Knockout(layer=1, head=2, dest=14, src=12), mi.Knockout(layer=1, head=2, dest=14, src=13)]
    near(edited(exp, one), edited(exp, *two))


@pytest.mark.filterwarnings("ignore:.*do not sum to 1")
def test_set_pattern_uses_weights_as_they_are(model, exp, noise):
    whole = noise(model.n_heads, LENGTH, LENGTH).tril()
    logits = edited(exp, mi.SetPattern(layer=1, weights=whole))
    near(logits, by_hand(model, {("pattern", 1): lambda x: whole}))
    moved(exp, logits)

    def one_head(x):
        x[2] = whole[2]
        return x

    for weights in (whole, whole[2], whole[[2]], whole[None]):
        edit = mi.SetPattern(layer=1, head=2, weights=weights)
        near(edited(exp, edit), by_hand(model, {("pattern", 1): one_head}))

    def rows(x):
        x[1, [12, 14]] = whole[1, [12, 14]]
        return x

    for weights in (whole[1], whole[1, [12, 14]], whole[[1]][:, [12, 14]]):
        edit = mi.SetPattern(layer=1, head=1, position=(12, -1), weights=weights)
        near(edited(exp, edit), by_hand(model, {("pattern", 1): rows}))

    def last(x):
        x[:, 14] = whole[1, 14]
        return x

    near(
        edited(exp, mi.SetPattern(layer=1, position=14, weights=whole[1, 14])),
        by_hand(model, {("pattern", 1): last}),
    )


def test_weights_that_cannot_be(exp):
    even = torch.full((LENGTH, LENGTH), 1 / LENGTH)
    with pytest.raises(mi.BadInput, match="source comes after"):
        edited(exp, mi.SetPattern(layer=1, weights=even))
    with pytest.raises(mi.BadInput, match=r"\[14, 14\]"):
        edited(exp, mi.SetPattern(layer=1, weights=torch.eye(14)))
    with pytest.warns(UserWarning, match=r"15 of 15 rows.*the first to 2"):
        mi.SetPattern(layer=1, weights=2 * torch.eye(LENGTH))


# What does not depend on the kind


def test_edits_at_different_sites_in_any_order(model, exp, noise):
    edits = [
        mi.Scale("resid_pre", 1, factor=0.7),
        mi.Add("k", 1, vector=noise(model.d_head)),
        mi.Knockout(layer=1, dest=14, src=12),
        mi.SetPattern(layer=2, head=0, position=14, weights=torch.eye(LENGTH)[3]),
        mi.Mean("z", 1, head=1, over=OTHERS),
        mi.Project("resid_mid", 2, basis=noise(model.d_model, 2)),
        mi.Patch("mlp_post", 2, unit=(1, 2), alpha=-1),
        mi.Zero("result", 0, head=3),
    ]
    expected = edited(exp, *edits)
    for order in ((7, 6, 5, 4, 3, 2, 1, 0), (3, 0, 6, 1, 7, 4, 2, 5)):
        assert torch.equal(edited(exp, *(edits[i] for i in order)), expected)


def test_what_holds_for_every_model(exp):
    """All heads' z is attn_out; the last residual is the answer; nothing is changed by its own value."""
    near(edited(exp, mi.Patch("z", 1)), edited(exp, mi.Patch("attn_out", 1)))
    near(edited(exp, mi.Patch("resid_post", 2)), forward(exp.model.hf, ids_of(exp.model, CLEAN))[-1])
    own = exp.read("z", 1, run="corrupted")[0]
    for edit in (
        mi.Scale("z", 1, factor=1), mi.Add("z", 1, vector=own, scale=0),
        mi.Project("z", 1, basis=torch.eye(own.shape[-1]), source=own), mi.Mean("z", 1, over=own),
        mi.SetPattern(layer=1, weights=exp.read("pattern", 1, run="corrupted")[0]),
    ):  # fmt: skip
        near(edited(exp, edit), edited(exp))


def test_an_edit_leaves_what_it_is_given(exp):
    """Neither captured values, nor the user's tensors, nor the run's own value are written into."""
    z = exp.read("z", 1, run="corrupted")[0]
    vector, basis = torch.ones(z.shape[-1]), torch.eye(z.shape[-1])[:, :2].clone()
    kept = vector.clone(), basis.clone()
    clean = exp.read("z", 1)
    edited(exp, mi.Patch("z", 1), mi.Add("z", 1, vector=vector), mi.Project("z", 1, basis=basis), mi.Zero("z", 1))
    assert torch.equal(exp.read("z", 1), clean)
    assert torch.equal(vector, kept[0])
    assert torch.equal(basis, kept[1])
