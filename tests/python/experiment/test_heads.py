"""What an experiment tells about attention heads: tables of scores and of what they write."""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, build, experiment, word_tokenizer, wrapped

COLUMNS = ["layer", "head", "previous", "induction", "duplicate", "first", "entropy", "induction_n", "logit_effect"]
RANDOM = ["layer", "head", "previous_random", "induction_random", "duplicate_random", "induction_n"]
REPEATED = "Mary saw John , Mary saw John , Mary saw Anna"


@pytest.fixture(scope="module", params=["gpt2", "mistral"])
def model(request):
    return wrapped(request.param)


def test_the_columns_are_those_of_the_definitions_and_never_mixed(model):
    exp = experiment(model)
    assert sorted(exp.head_scores().columns) == sorted(COLUMNS)
    more = exp.head_scores(edge=(3, 1), masks={"mine": torch.eye(15)})
    assert sorted(more.columns) == sorted([*COLUMNS, "mine", "edge"])
    assert list(exp.head_scores(on="random").columns) == RANDOM
    assert len(more) == len(exp.head_scores(on="random")) == 12


def test_the_difference_of_runs_is_that_of_their_scores(model):
    exp = experiment(model)
    clean, corrupted, found = (exp.head_scores(run=run) for run in ("clean", "corrupted", "difference"))
    for name in ("previous", "first", "entropy", "logit_effect"):
        assert found[name].tolist() == pytest.approx((clean[name] - corrupted[name]).tolist(), abs=1e-5)


def test_edits_show_in_the_edited_run(model):
    exp = experiment(model)
    before = exp.head_scores(run="edited")
    assert before["entropy"].tolist() == pytest.approx(exp.head_scores(run="corrupted")["entropy"].tolist(), abs=1e-5)
    exp.edits.add(mi.SetPattern(layer=1, head=2, position=14, weights=torch.eye(15)[0]))
    exp.edits.add(mi.Zero("z", 0, head=0))
    after = exp.head_scores(run="edited")
    own = exp.patterns(layers=1, heads=2, run="edited").values[0, 0]
    assert own[14].tolist() == [1.0] + [0.0] * 14
    row = after[(after.layer == 1) & (after["head"] == 2)].iloc[0]
    assert row["first"] == pytest.approx(float(own[1:, 0].mean()), abs=1e-5)
    assert row["entropy"] == pytest.approx(float(torch.special.entr(own[1:]).sum(-1).mean()), abs=1e-5)
    later = after[after.layer == 2]["entropy"].to_numpy() - before[before.layer == 2]["entropy"].to_numpy()
    assert float(abs(later).max()) > 1e-3


def test_the_mean_over_prompts_is_over_those_where_a_score_is_defined(model):
    """Of three prompts one repeats nothing: it has no say in induction, and its rows count for none."""
    texts = [REPEATED, "Mary saw John", SHORT_CLEAN]
    exp = mi.Experiment(model, texts, answer=" Mary")
    alone = [mi.Experiment(model, text, answer=" Mary").head_scores() for text in texts]
    found = exp.head_scores(prompt="mean")
    for i, text_frame in enumerate(alone):
        own = exp.head_scores(prompt=i)
        assert own["previous"].tolist() == pytest.approx(text_frame["previous"].tolist(), abs=1e-5)
    for row in range(12):
        for name in ("previous", "induction", "duplicate", "first", "entropy", "logit_effect"):
            values = [float(frame[name][row]) for frame in alone]
            known = [value for value in values if not math.isnan(value)]
            assert found[name][row] == pytest.approx(sum(known) / len(known), abs=1e-5)
    assert math.isnan(alone[1]["induction"][0])
    assert set(found["induction_n"]) == {sum(int(frame["induction_n"][0]) for frame in alone)}
    assert found[["layer", "head"]].to_numpy().tolist() == [[i, h] for i in range(3) for h in range(4)]


def test_long_prompts_have_scores_though_their_patterns_would_not_fit(monkeypatch):
    monkeypatch.setattr("mi_widgets.analysis.attention.BIGGEST", 1000)
    exp = experiment(wrapped("gpt2"))
    with pytest.raises(mi.BadInput, match="by layer or head"):
        exp.patterns()
    assert exp.head_scores()["previous"].notna().all()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"on": "text"}, "on is 'prompt' or 'random'"),
        ({"run": "middle"}, "no run 'middle'"),
        ({"prompt": 3}, "no prompt 3"),
        ({"prompt": "all"}, "no prompt 'all'"),
        ({"normalise": "rows"}, "normalise is None or 'all'"),
        ({"on": "random", "edge": (2, 1)}, "edge and masks are about the prompt"),
        ({"on": "random", "masks": {"a": torch.eye(15)}}, "edge and masks are about the prompt"),
        ({"on": "random", "run": "corrupted"}, "only the clean run"),
        ({"on": "random", "period": "long"}, "period is a whole number"),
    ],
)
def test_what_cannot_be_meant(bad, words):
    with pytest.raises(mi.BadInput, match=words):
        experiment(wrapped("gpt2")).head_scores(**bad)


def test_a_run_that_is_not_there_says_so():
    exp = mi.Experiment(wrapped("gpt2"), CLEAN, answer=" Mary")
    for ask in (exp.head_scores, exp.patterns):
        with pytest.raises(mi.BadInput, match="no corrupted prompt"):
            ask(run="difference")


def test_the_table_of_what_a_head_writes(model):
    exp = experiment(model, positions={"giver": 10})
    found = exp.head_writes(1, 2, "giver", 3)
    assert list(found.columns) == [
        "rank", "promoted", "promoted_id", "promoted_logit", "suppressed", "suppressed_id", "suppressed_logit",
    ]  # fmt: skip
    assert found["rank"].tolist() == [0, 1, 2]
    assert found["promoted_logit"].is_monotonic_decreasing
    assert found["suppressed_logit"].is_monotonic_increasing
    assert found.equals(exp.head_writes(1, 2, 10, 3))
    assert found["promoted"].tolist() == [model.text.piece(i) for i in found["promoted_id"]]
    assert not found.equals(exp.head_writes(1, 2, 10, 3, run="corrupted"))
    both = mi.Experiment(model, [SHORT_CLEAN, CLEAN], answer=" Mary")
    second = both.head_writes(1, 2, 10, 3, prompt=1)
    assert second["promoted_logit"].tolist() == pytest.approx(found["promoted_logit"].tolist(), abs=1e-5)


def test_weights_changed_in_place_are_noticed_by_every_one_of_them():
    """Also those written through `.data`, which leave no trace: what was read before is not used again."""
    hf = build("llama", seed=11)
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    before = (exp.head_scores(edge=(9, 3)), exp.head_writes(1, 1), exp.head_scores(on="random"))
    hf.model.layers[0].self_attn.q_proj.weight.data.mul_(1.5)
    after = (exp.head_scores(edge=(9, 3)), exp.head_writes(1, 1), exp.head_scores(on="random"))
    fresh = build("llama", seed=11)
    fresh.model.layers[0].self_attn.q_proj.weight.data.mul_(1.5)
    expected = experiment(mi.wrap(fresh, word_tokenizer()))
    expected = (expected.head_scores(edge=(9, 3)), expected.head_writes(1, 1), expected.head_scores(on="random"))
    for old, now, right in zip(before, after, expected, strict=True):
        assert now.equals(right)
        assert not now.equals(old)


def test_grouped_heads_are_told_apart():
    """Two query heads that share keys and values attend and write differently, and cells are query heads."""
    exp = experiment(wrapped("mistral"))
    assert exp.model.n_kv_heads < exp.model.n_heads
    frame = exp.head_scores(edge=(12, 10))
    assert len(frame) == exp.model.n_layers * exp.model.n_heads
    assert frame["edge"].nunique() == len(frame)
    assert not exp.head_writes(0, 0).equals(exp.head_writes(0, 1))


def test_both_prompts_of_a_pair_are_read(model):
    exp = experiment(model)
    assert not exp.head_scores(run="clean").equals(exp.head_scores(run="corrupted"))
    turned = mi.Experiment(model, CORRUPTED, CLEAN, " Mary", " John")
    assert exp.head_scores(run="corrupted").equals(turned.head_scores(run="clean"))
