"""`exp.run`: metrics, recovered, its standard error, the noise floor, answers; each number worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from tests.python.by_hand import forward, logit_diff
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, experiment, ids_of, wrapped

THIRD = ("Anna and Paul saw a book , Paul gave it to", "Anna and Paul saw a book , Anna gave it to")
EDIT = mi.Patch("resid_pre", layer=1, position=-5)


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def model(request):
    return wrapped(request.param)


@pytest.fixture(scope="module")
def three(model):
    """Three prompts of three lengths, answers and distractors one per prompt."""
    return mi.Experiment(
        model, [CLEAN, SHORT_CLEAN, THIRD[0]], [CORRUPTED, SHORT_CORRUPTED, THIRD[1]],
        [" Mary", " Mary", " Anna"], [" John", " Anna", " Paul"],
    )  # fmt: skip


def token(model, text):
    return model.tokenizer.convert_tokens_to_ids(text)


def logits(model, text):
    """[vocab] of a plain forward pass of the user's model at the last position."""
    with torch.no_grad():
        return model.hf(input_ids=torch.tensor([ids_of(model, text)])).logits[0, -1]


def by_hand(name, run, clean, answers, distractors):
    """A metric from logits [vocab] in double precision."""
    run, clean = run.double(), clean.double()
    probs = [math.exp(float(x)) for x in run]
    total = sum(probs)
    if name == "logit_diff":
        return logit_diff(run, answers, distractors)
    if name == "prob":
        return sum(probs[i] for i in answers) / total
    if name == "logprob":
        return math.log(sum(probs[i] for i in answers) / total)
    if name == "rank":
        return sum(float(x) > max(float(run[i]) for i in answers) for x in run)
    p = torch.softmax(clean, 0)
    q = torch.softmax(run, 0)
    return float((p * (p.log() - q.log())).sum())


@pytest.mark.parametrize("metric", ["logit_diff", "prob", "logprob", "rank", "kl"])
@pytest.mark.parametrize("alternatives", [False, True])
@pytest.mark.parametrize("with_distractor", [False, True])
def test_every_metric(model, metric, alternatives, with_distractor):
    answer = (" Mary", " Anna", " book") if alternatives else " Mary"
    distractor = ((" John", " Kate") if alternatives else " John") if with_distractor else None
    exp = experiment(model, answer=answer, distractor=distractor, metric=metric)
    ids = [token(model, t) for t in (answer if alternatives else (answer,))]
    against = [token(model, t) for t in (distractor if alternatives else (distractor,))] if with_distractor else None
    clean, corrupted = logits(model, CLEAN), logits(model, CORRUPTED)
    result = exp.run(EDIT)
    expected = [by_hand(metric, x, clean, ids, against) for x in (result.logits[0], clean, corrupted)]
    run, high, low = expected
    assert result.metric == pytest.approx(run, abs=2e-5)
    frame = exp.baselines
    assert frame.loc["clean", "metric"] == pytest.approx(high, abs=2e-5)
    assert frame.loc["corrupted", "metric"] == pytest.approx(low, abs=2e-5)
    if metric == "rank":
        assert math.isnan(result.recovered)
    else:
        assert result.recovered == pytest.approx((run - low) / (high - low), abs=1e-4)
    if metric == "kl":
        assert result.recovered == pytest.approx(1 - run / low, abs=1e-4)
    assert math.isnan(result.stderr)
    assert math.isnan(result.metric_stderr)


def test_the_ends_of_the_scale(model):
    exp = experiment(model)
    assert exp.run((), base="corrupted").recovered == pytest.approx(0, abs=1e-4)
    assert exp.run((), base="clean").recovered == pytest.approx(1, abs=1e-4)
    assert exp.run(mi.Patch("resid_post", 2)).recovered == pytest.approx(1, abs=1e-4)
    assert exp.run(mi.Patch("resid_post", 2), base="clean").recovered == pytest.approx(0, abs=1e-4)
    # beyond the ends nothing is clipped
    assert exp.run(mi.Patch("logits", alpha=3)).recovered == pytest.approx(3, abs=1e-3)
    assert exp.run(mi.Patch("logits", alpha=-2)).recovered == pytest.approx(-2, abs=1e-3)


def test_several_prompts_share_one_ratio_of_means(model, three):
    result = three.run(EDIT)
    texts = [(CLEAN, CORRUPTED), (SHORT_CLEAN, SHORT_CORRUPTED), THIRD]
    answers = [(" Mary", " John"), (" Mary", " Anna"), (" Anna", " Paul")]
    n, d, run = [], [], []
    for row, ((clean, corrupted), (good, bad)) in enumerate(zip(texts, answers, strict=True)):
        right, wrong = [token(model, good)], [token(model, bad)]
        high, low = (logit_diff(logits(model, t), right, wrong) for t in (clean, corrupted))
        alone = mi.Experiment(model, clean, corrupted, good, bad).run(EDIT)
        torch.testing.assert_close(result.logits[row], alone.logits[0], atol=1e-5, rtol=1e-5)
        run.append(logit_diff(result.logits[row], right, wrong))
        n.append(run[-1] - low)
        d.append(high - low)
        assert float(result.per_prompt["recovered"][row]) == pytest.approx(n[-1] / d[-1], abs=1e-3)
        assert float(result.per_prompt["metric"][row]) == pytest.approx(run[-1], abs=1e-5)
    ratio = sum(n) / sum(d)
    errors = [a - ratio * b for a, b in zip(n, d, strict=True)]
    mean = sum(run) / 3
    assert result.metric == pytest.approx(mean, abs=1e-5)
    assert result.metric_stderr == pytest.approx(math.sqrt(sum((m - mean) ** 2 for m in run) / 2 / 3), rel=1e-4)
    assert result.recovered == pytest.approx(ratio, rel=1e-3)
    assert result.stderr == pytest.approx(math.sqrt(sum(e * e for e in errors) / (3 * 2)) / abs(sum(d) / 3), rel=1e-3)
    # the ratio of means is not the mean of ratios, or this test would not tell them apart
    assert abs(ratio - sum(a / b for a, b in zip(n, d, strict=True)) / 3) > 1e-3


def test_below_the_noise_floor_there_is_no_share(model):
    """The same prompt twice differs by nothing: recovered is NaN, the metric is not, and provenance counts it."""
    exp = mi.Experiment(model, CLEAN, CLEAN, " Mary", " John")
    result = exp.run(mi.Zero("z", 1))
    assert math.isnan(result.recovered)
    assert math.isfinite(result.metric)
    assert any("1 of 1 prompts" in note for note in result.provenance.notes)
    without = mi.Experiment(model, CLEAN, None, " Mary", " John").run(mi.Zero("z", 1))
    assert math.isnan(without.recovered)
    assert without.metric == pytest.approx(result.metric, abs=1e-5)


def test_one_prompt_below_the_floor_is_kept_and_counted(model):
    exp = mi.Experiment(model, [CLEAN, CLEAN], [CORRUPTED, CLEAN], " Mary", " John")
    result = exp.run(EDIT)
    alone = experiment(model).run(EDIT)
    base = exp.baselines.loc["corrupted", "metric"].tolist()
    high = exp.baselines.loc["clean", "metric"].tolist()
    expected = (alone.metric - base[0] + float(result.per_prompt["metric"][1]) - base[1]) / (sum(high) - sum(base))
    assert result.recovered == pytest.approx(expected, abs=1e-3)
    assert math.isnan(float(result.per_prompt["recovered"][1]))
    assert any(note.startswith("1 of 2 prompts") for note in result.provenance.notes)


def test_the_noise_floor(model, three):
    """Largest |metric in the batch - metric of a plain model(**inputs)|, and at least 4 ulp at the answer logit."""
    rows = {"corrupted": [CORRUPTED, SHORT_CORRUPTED, THIRD[1]], "clean": [CLEAN, SHORT_CLEAN, THIRD[0]]}
    pairs = [(" Mary", " John"), (" Mary", " Anna"), (" Anna", " Paul")]
    for base, texts in rows.items():
        result = three.run((), base=base)
        gaps, largest = [], 0.0
        for row, (text, (good, bad)) in enumerate(zip(texts, pairs, strict=True)):
            plain = logits(model, text)
            metric = logit_diff(plain, [token(model, good)], [token(model, bad)])
            gaps.append(abs(float(result.per_prompt["metric"][row]) - metric))
            largest = max(largest, abs(float(plain[token(model, good)])))
        ulp = 2.0 ** (math.floor(math.log2(largest)) - 23)
        floor = result.provenance.noise_floor
        assert max(4 * ulp, max(gaps) - 1e-6) <= floor * (1 + 1e-6)
        assert floor <= max(8 * ulp, max(gaps) + 1e-6)


def test_answers_by_id_by_text_and_one_per_prompt(model):
    text = experiment(model).run(EDIT)
    by_id = experiment(model, answer=token(model, " Mary"), distractor=token(model, " John")).run(EDIT)
    assert by_id.metric == text.metric
    both = experiment(model, answer={" Mary", " Anna"}, distractor=None).run(EDIT)
    ids = [token(model, " Mary"), token(model, " Anna")]
    assert both.metric == pytest.approx(logit_diff(both.logits[0], ids), abs=1e-5)
    twice = experiment(model, answer=(" Mary", " Mary"), metric="prob").run(EDIT)
    assert twice.metric == pytest.approx(float(twice.logits[0].softmax(-1)[ids[0]]), abs=1e-6)


def test_a_list_is_one_per_prompt(model):
    pair = [CLEAN, SHORT_CLEAN]
    exp = mi.Experiment(model, pair, answer=[(" Mary", " Anna"), " John"])
    expected = [[token(model, " Mary"), token(model, " Anna")], [token(model, " John")]]
    result = exp.run(())
    for row, ids in enumerate(expected):
        assert float(result.per_prompt["metric"][row]) == pytest.approx(logit_diff(result.logits[row], ids), abs=1e-5)
    with pytest.raises(mi.BadInput, match=r"list of 3.*2 prompts.*tuple"):
        mi.Experiment(model, pair, answer=[" Mary", " John", " Anna"])
    with pytest.raises(mi.BadInput, match=r"list of 2.*1 prompts.*tuple"):
        mi.Experiment(model, CLEAN, answer=[" Mary", " John"])


def test_token_ids_are_prompts_too(model):
    ids = ids_of(model, CLEAN)
    for given in (ids, tuple(ids), torch.tensor(ids), [ids], torch.tensor([ids])):
        exp = mi.Experiment(model, given, answer=" Mary")
        torch.testing.assert_close(exp.run(()).logits[0], logits(model, CLEAN), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Mary John", [r"2 tokens", "Mary", "John"]),
        (" Zorro", ["not in this model's vocabulary"]),
        ("and", ["'and'"]),
    ],
)
def test_answers_that_are_no_token(model, answer, words):
    if answer == "and":
        assert experiment(model, answer=answer).answer.ids == ((token(model, "and"),),)
        return
    with pytest.raises(mi.AnswerNotSingleToken) as caught:
        experiment(model, answer=answer)
    for word in words:
        assert word in str(caught.value)


def test_other_bad_answers(model):
    for bad in (10**6, -1, 1.5, True, (), ""):
        with pytest.raises((mi.BadInput, mi.AnswerNotSingleToken)):
            experiment(model, answer=bad)


def test_the_guess_is_the_runs_own_top_token(model):
    top = [int(logits(model, text).argmax()) for text in (CLEAN, CORRUPTED)]
    exp = mi.Experiment(model, CLEAN, CORRUPTED)
    assert exp.answer.ids == ((top[0],),)
    assert exp.answer.guessed
    if top[0] != top[1]:
        assert exp.distractor.ids == ((top[1],),)
        assert exp.distractor.guessed
    alone = mi.Experiment(model, CLEAN)
    assert alone.distractor is None
    # the guess follows the prompt, a given answer stays
    exp.ask(clean=CORRUPTED, corrupted=CLEAN)
    assert exp.answer.ids == ((top[1],),)
    given = experiment(model)
    given.ask(clean=CORRUPTED, corrupted=CLEAN)
    assert given.answer.texts == ((" Mary",),)
    assert not given.answer.guessed


def test_the_base_is_a_switch(model):
    exp = experiment(model)
    assert exp.base == "corrupted"
    exp.edits.add(mi.Patch("resid_pre", layer=1, position=10))
    denoised = exp.run()
    exp.base = "clean"
    noised = exp.run()
    assert noised.metric == pytest.approx(exp.run(exp.edits[0], base="clean").metric, abs=1e-5)
    assert denoised.metric == pytest.approx(exp.run(exp.edits[0], base="corrupted").metric, abs=1e-5)
    assert abs(denoised.metric - noised.metric) > 1e-4
    with pytest.raises(mi.BadInput, match="base"):
        exp.base = "edited"
    with pytest.raises(mi.BadInput, match="corrupted"):
        mi.Experiment(model, CLEAN, answer=" Mary").run((), base="corrupted")
    with pytest.raises(mi.BadInput, match="base"):
        mi.Experiment(model, CLEAN, answer=" Mary", base="corrupted")


def test_another_answer_position(model):
    """Counted in each prompt's own tokens, from its front or its end, one for all or one per prompt."""
    pair = [CLEAN, SHORT_CLEAN]
    for where in (-3, 4, (2, -4)):
        exp = mi.Experiment(model, pair, answer=" Mary", answer_position=where)
        result = exp.run(())
        for row, text in enumerate(pair):
            own = where[row] if isinstance(where, tuple) else where
            expected = forward(model.hf, ids_of(model, text))[own]
            torch.testing.assert_close(result.logits[row], expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(mi.BadInput, match="Position 12 does not exist: prompt 1 has 10 tokens"):
        mi.Experiment(model, pair, answer=" Mary", answer_position=12)


def test_prompts_that_do_not_pair(model):
    """Both tokenisations are shown; edits that read no other prompt are not refused."""
    exp = mi.Experiment(model, CLEAN, SHORT_CORRUPTED, " Mary", " Anna")
    with pytest.raises(mi.PromptMismatch) as caught:
        exp.run(mi.Patch("resid_pre", 1, position=3))
    message = str(caught.value)
    assert "15 tokens" in message
    assert f"{len(ids_of(model, SHORT_CORRUPTED))} tokens" in message
    assert "␣store" in message
    assert "␣key" in message
    assert math.isfinite(exp.run(mi.Zero("z", 1, head=1)).recovered)
    assert exp.sweep("z", mi.Zero(), progress=False).metric.isfinite().all()
    with pytest.raises(mi.BadInput, match="2 clean prompts and 1 corrupted"):
        mi.Experiment(model, [CLEAN, CLEAN], [CORRUPTED], " Mary")


def test_top_tokens_and_the_table(model):
    result = experiment(model).run(EDIT)
    frame = result.top(4)
    values, ids = result.logits[0].topk(4)
    assert frame["id"].tolist() == ids.tolist()
    assert frame["token"].tolist() == [model.tokenizer.convert_ids_to_tokens(i) for i in ids.tolist()]
    assert frame["logit"].tolist() == pytest.approx(values.tolist())
    assert frame["prob"].tolist() == pytest.approx(result.logits[0].softmax(-1)[ids].tolist())
    assert result.to_frame().to_dict("list") == {
        "prompt": [0], "metric": [result.metric], "recovered": [pytest.approx(result.recovered)],
    }  # fmt: skip
    for k in (0, 51):
        with pytest.raises(mi.BadInput):
            result.top(k)


def test_baselines_table(model):
    frame = experiment(model).baselines
    for run, text in (("clean", CLEAN), ("corrupted", CORRUPTED)):
        x = logits(model, text)
        good, bad = token(model, " Mary"), token(model, " John")
        row = frame.loc[run]
        assert row["probability"] == pytest.approx(float(x.softmax(-1)[good]), abs=1e-6)
        assert row["rank"] == int((x > x[good]).sum())
        assert bool(row["correct"]) == bool(x[good] > x[bad])
        assert row["top"] == model.tokenizer.convert_ids_to_tokens(int(x.argmax()))


def test_what_cannot_be_asked(model):
    with pytest.raises(mi.BadInput, match="metric"):
        experiment(model, metric="accuracy")
    with pytest.raises(mi.BadInput, match="Model"):
        mi.Experiment(model.hf, CLEAN)
    for empty in ("", "   ", [], [[]], None, 3):
        with pytest.raises(mi.BadInput):
            mi.Experiment(model, empty)
    with pytest.raises(TypeError):
        mi.Zero("z", 1, haed=2)
    exp = experiment(model)
    for bad in (
        mi.Zero("z", 9),
        mi.Zero("z", 0, head=7),
        mi.Zero("z", 0, position=15),
        mi.Zero("z", 0, unit=99),
        mi.Zero(),
    ):
        with pytest.raises(mi.BadInput):
            exp.run(bad)
