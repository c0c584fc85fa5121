"""What means over prompts and draws from them write, against the same in a forward pass written out by hand."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions.draws import draws_of
from tests.python.by_hand import record
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, experiment, ids_of
from tests.python.interventions.edited import LENGTH, OTHERS, by_hand, edited, moved, near


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
