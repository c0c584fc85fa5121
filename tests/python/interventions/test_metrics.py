"""Metrics row by row: the user's own, of several rows per prompt, of answers of several tokens."""

from __future__ import annotations

import functools
import json
import math

import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions.metrics import METRICS
from tests.python import by_hand
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, experiment, ids_of, wrapped

EDIT = mi.Patch("resid_pre", layer=1, position=-5)


@pytest.fixture(scope="module", params=["gpt2", "gemma2"])
def model(request):
    return wrapped(request.param)


def two(model, **more):
    """Two prompts of two lengths, answers and distractors one per prompt."""
    return mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], [" Mary", (" Mary", " Kate")], [" John", " Anna"],
        **more,
    )  # fmt: skip


def plain(model, text):
    """[vocab] of a plain pass of the user's model at the last position."""
    with torch.no_grad():
        return model.hf(input_ids=torch.tensor([ids_of(model, text)])).logits[0, -1]


# The user's own


def margin(logits, rows):
    """Answer minus the best other token, less than what the clean run has."""
    ids = torch.tensor([several[0] for several in rows.answer_ids])
    own = logits.gather(1, ids[:, None])[:, 0]
    best = logits.scatter(1, ids[:, None], -torch.inf).amax(-1)
    return own - best - 0.5 * rows.clean_logits[:, 7] + 0.25 * rows.corrupted_logits[:, 9] + 100 * rows.index


def margin_by_hand(logits, answer, clean, corrupted, prompt):
    others = [float(x) for i, x in enumerate(logits) if i != answer]
    return float(logits[answer]) - max(others) - 0.5 * float(clean[7]) + 0.25 * float(corrupted[9]) + 100 * prompt


def test_a_callable_sees_its_rows_and_is_measured(model):
    exp = two(model, metric=margin)
    result = exp.run(EDIT)
    assert result.metric_name == exp.metric == "margin"
    mary = model.tokenizer.convert_tokens_to_ids(" Mary")
    expected = [
        margin_by_hand(result.logits[p], mary, plain(model, clean), plain(model, corrupted), p)
        for p, (clean, corrupted) in enumerate(((CLEAN, CORRUPTED), (SHORT_CLEAN, SHORT_CORRUPTED)))
    ]
    assert result.per_prompt["metric"].tolist() == pytest.approx(expected, abs=1e-4)
    base, high = exp.baselines.loc["corrupted", "metric"], exp.baselines.loc["clean", "metric"]
    share = (sum(expected) - base.sum()) / (high.sum() - base.sum())
    assert result.recovered == pytest.approx(share, abs=1e-3)


def test_a_map_of_a_callable_is_a_loop_of_runs(model):
    exp = experiment(model, metric=margin)
    found = exp.sweep("resid_pre", layers=[1], positions=[3, 10], progress=False)
    for k, position in enumerate((3, 10)):
        one = exp.run(mi.Patch("resid_pre", 1, position=position))
        assert float(found.metric[0, k]) == pytest.approx(one.metric, abs=1e-5)
    assert found.metric_name == "margin"


def test_rows_of_many_runs_belong_to_their_prompts(model):
    """Cells of a sweep are rows: each is measured with its own prompt's answers."""
    torch.manual_seed(0)
    logits = torch.randn(5, model.architecture.d_vocab)
    prompts = [1, 0, 0, 1, 1]
    for name in METRICS:
        question = two(model, metric=name).snapshot(())
        found = question.measure_rows(logits, prompts)
        for row, prompt in enumerate(prompts):
            alone = question.one(prompt).measure(logits[row : row + 1])
            assert float(found[row]) == pytest.approx(float(alone), abs=1e-5)
    seen = []
    question = two(model, metric=lambda logits, rows: seen.append(rows) or logits[:, 0]).snapshot(())
    question.measure_rows(logits, prompts)
    assert seen[0].index.tolist() == prompts
    assert seen[0].answer_ids == tuple(question.answer.ids[p] for p in prompts)
    assert seen[0].distractor_ids == tuple(question.distractor.ids[p] for p in prompts)
    torch.testing.assert_close(seen[0].clean_logits, question.answer_logits("clean")[prompts])
    torch.testing.assert_close(seen[0].corrupted_logits, question.answer_logits("corrupted")[prompts])
    assert len(question.one(1).rows().index) == 1
    assert question.one(1).rows().index.tolist() == [1]


def centred(logits, rows):
    return logits[:, 5] - logits[:, 5].mean()


def softmax_over_rows(logits, rows):
    return logits.softmax(0)[:, 5]


@pytest.mark.parametrize("wrong", [centred, softmax_over_rows])
@pytest.mark.parametrize("make", [experiment, two])
def test_a_metric_that_depends_on_the_batch_is_refused(model, wrong, make):
    exp = make(model, metric=wrong)
    with pytest.raises(mi.BadInput, match=r"depends on how rows are batched: row \d gives .* by itself"):
        exp.run(EDIT)


def in_place(logits, rows):
    return logits.sub_(1)[:, 0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda logits, rows: float(logits[0, 0]), "gives float"),
        (lambda logits, rows: None, "gives NoneType"),
        (lambda logits, rows: logits, r"gives a tensor \[1, "),
        (lambda logits, rows: logits[:, 0].mean(), r"gives a tensor \[\]"),
        (lambda logits, rows: [1.0], "gives list"),
        (in_place, "writes into the logits"),
    ],
)
def test_what_is_no_metric(model, wrong, says):
    with pytest.raises(mi.BadInput, match=says):
        experiment(model, metric=wrong).run(EDIT)


def test_a_metric_that_is_not_finite_and_one_that_fails(model):
    with pytest.raises(mi.NotFinite, match="custom"):
        experiment(model, metric=lambda logits, rows: logits[:, 0] / 0).run(EDIT)
    with pytest.raises(ZeroDivisionError):
        experiment(model, metric=lambda logits, rows: 1 / 0).run(EDIT)
    with pytest.raises(mi.BadInput, match="no metric 7"):
        experiment(model, metric=7)


def test_names_are_safe_and_never_a_built_in_one(model):
    def logit_diff(logits, rows):
        return logits[:, 3]

    class Weird:
        __name__ = "a\nb\ud800"

        def __call__(self, logits, rows):
            return logits[:, 4]

    def scaled(logits, rows, by):
        return by * logits[:, 3]

    for given, name in (
        (logit_diff, "logit_diff (custom)"), (Weird(), "custom"), (functools.partial(scaled, by=2), "scaled"),
        (lambda logits, rows: logits[:, 0], "custom"),
    ):  # fmt: skip
        exp = experiment(model, metric=given)
        assert exp.metric == exp.run(()).metric_name == name
        json.dumps(exp.question(), allow_nan=False).encode()
    exp = experiment(model, metric=logit_diff)
    assert exp.run(()).metric == pytest.approx(float(plain(model, CORRUPTED)[3]), abs=1e-4)


def test_a_page_keeps_a_metric_that_it_cannot_set(model):
    exp = experiment(model, metric=margin)
    header = exp.question()
    assert header["metric"] == header["metric_label"] == "margin"
    assert header["metrics"][-1] == ["margin", "margin"]
    before = exp.run(EDIT).metric
    exp.ask(clean=CLEAN, metric="prob")  # what a page sends: names
    assert 0 <= exp.run(EDIT).metric <= 1
    assert exp.question()["metrics"][-1] == ["margin", "margin"]
    exp.ask(metric="margin")
    assert exp.run(EDIT).metric == pytest.approx(before)
    with pytest.raises(mi.BadInput, match="no metric 'other'"):
        exp.ask(metric="other")


# Shares


def test_kl_is_from_the_unedited_clean_run_whatever_the_base(model):
    clean, corrupted = (plain(model, text).double().log_softmax(-1) for text in (CLEAN, CORRUPTED))

    def kl(run):
        return float((clean.exp() * (clean - run.double().log_softmax(-1))).sum())

    for base in ("clean", "corrupted"):
        result = experiment(model, metric="kl", base=base).run(EDIT)
        assert result.metric == pytest.approx(kl(result.logits[0]), abs=1e-5)
        assert result.recovered == pytest.approx(1 - kl(result.logits[0]) / kl(corrupted), abs=1e-4)


def test_a_share_that_is_not_there_says_why(model):
    result = experiment(model, metric="rank").run(EDIT)
    assert math.isnan(result.recovered)
    assert any("rank counts tokens" in note for note in result.provenance.notes)
    same = mi.Experiment(model, CLEAN, CLEAN, " Mary", " John").run(mi.Zero("z", 1))
    assert any("less than ten noise floors" in note for note in same.provenance.notes)
    assert not any("noise floor" in note for note in experiment(model).run(EDIT).provenance.notes)


# Answers of several tokens

LONG = (" Mary took", " Kate then gave")


def forced(model, prompt, answer, changes):
    """The teacher-forced log-probability of an answer, with a plain pass written out by hand."""
    ids, tail = ids_of(model, prompt), model.tokenizer(answer, add_special_tokens=False)["input_ids"]
    logits, _ = by_hand.changed(model.hf, [*ids, *tail], changes)
    logprobs = logits.double().log_softmax(-1)
    return sum(float(logprobs[len(ids) - 1 + i, token]) for i, token in enumerate(tail))


def test_an_answer_of_several_tokens(model):
    prompts, others = [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED]
    exp = mi.Experiment(model, prompts, others, [mi.Sequence(a) for a in LONG], metric="logprob")
    edits = [mi.Patch("resid_pre", 1, position=-5), mi.Zero("z", 1, head=2), mi.Zero("pattern", 2, head=1, position=4)]
    result = exp.run(edits)
    for p, (clean, corrupted, answer) in enumerate(zip(prompts, others, LONG, strict=True)):
        length = len(ids_of(model, clean))
        source = by_hand.record(model.hf, ids_of(model, clean))["resid_pre", 1]

        def patch(x, at=length - 5, source=source):
            x[at] = source[at]
            return x

        def zero(x, length=length):  # the answer's own tokens are never edited
            x[:length, 2] = 0
            return x

        def blind(x):
            x[1, 4] = 0
            return x

        changes = {("resid_pre", 1): [patch], ("z", 1): [zero], ("pattern", 2): [blind]}
        expected = forced(model, corrupted, answer, changes)
        assert float(result.per_prompt["metric"][p]) == pytest.approx(expected, abs=1e-4)
        assert abs(expected - forced(model, corrupted, answer, {})) > 1e-2
        high, low = forced(model, clean, answer, {}), forced(model, corrupted, answer, {})
        frame = exp.baselines
        assert frame.loc["clean", "metric"].tolist()[p] == pytest.approx(high, abs=1e-4)
        assert frame.loc["clean", "probability"].tolist()[p] == pytest.approx(math.exp(high), abs=1e-5)
        assert float(result.per_prompt["recovered"][p]) == pytest.approx((expected - low) / (high - low), abs=1e-3)
        torch.testing.assert_close(exp.run(()).logits[p], plain(model, corrupted), atol=1e-4, rtol=1e-4)


def test_a_sequence_of_one_token_is_that_token(model):
    single, several = (
        experiment(model, answer=a, distractor=None, metric="logprob") for a in (" Mary", mi.Sequence(" Mary"))
    )
    assert several.run(EDIT).metric == pytest.approx(single.run(EDIT).metric, abs=1e-5)
    assert several.run(EDIT).recovered == pytest.approx(single.run(EDIT).recovered, abs=1e-4)


def test_a_sweep_of_an_answer_of_several_tokens(model):
    exp = experiment(model, answer=mi.Sequence(" Mary took"), distractor=None, metric="logprob")
    found = exp.sweep("z", layers=[1], progress=False)
    for head in range(4):
        assert float(found.metric[0, head]) == pytest.approx(exp.run(mi.Patch("z", 1, head=head)).metric, abs=1e-5)


@pytest.mark.parametrize("metric", ["logit_diff", "prob", "rank", "kl", margin])
def test_other_metrics_of_several_tokens_are_refused(model, metric):
    with pytest.raises(mi.BadInput, match="not defined for an answer of several tokens"):
        experiment(model, answer=mi.Sequence(" Mary took"), distractor=None, metric=metric)
    exp = experiment(model, answer=mi.Sequence(" Mary took"), distractor=None, metric="logprob")
    with pytest.raises(mi.BadInput, match="not defined"):
        exp.ask(metric=metric)
    assert [name for name, _ in exp.question()["metrics"]] == ["logprob"]
    assert exp.question()["answer"]["labels"] == ["␣Mary␣took"]
    exp.ask(answer=" Mary", metric=metric)
    assert math.isfinite(exp.run(EDIT).metric)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"distractor": mi.Sequence(" John took")}, "distractor of several tokens"),
        ({"answer_position": 3}, "answer_position points elsewhere"),
        ({"answer": (mi.Sequence(" Mary took"), " John")}, "text or a token id"),
        ({"answer": mi.Sequence(" Mary zebra")}, "not in this model's vocabulary"),
    ],
)
def test_a_sequence_that_cannot_be_meant(model, more, says):
    asked = {"answer": mi.Sequence(" Mary took"), "distractor": None, "metric": "logprob"} | more
    with pytest.raises((mi.BadInput, mi.AnswerNotSingleToken), match=says):
        experiment(model, **asked)
    for empty in ("", (), 3.5, None, [1.5]):
        with pytest.raises(mi.BadInput):
            mi.Sequence(empty)
    with pytest.raises(mi.BadInput, match="mixes answers"):
        mi.Experiment(model, [CLEAN, CLEAN], None, [mi.Sequence(" Mary took"), " Mary"], metric="logprob")
