"""The mean over the prompts in the heads widget, against what transformers says of each prompt, averaged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

import mi_widgets as mi
from mi_widgets.analysis import attention
from mi_widgets.analysis.attention_runs import AttentionRun
from mi_widgets.widgets import arrays

NAMES = ("Mary", "John"), ("Anna", "Mark"), ("Lucy", "Paul")
CLEAN = [f"When {a} and {b} went to the store, {b} gave a drink to" for a, b in NAMES]
CORRUPTED = [f"When {a} and {b} went to the store, {a} gave a drink to" for a, b in NAMES]
ANSWER, DISTRACTOR = [f" {a}" for a, _ in NAMES], [f" {b}" for _, b in NAMES]


@pytest.fixture(scope="module")
def model():
    return mi.load("tiny-names")


@pytest.fixture
def exp(model):
    return mi.Experiment(model, CLEAN, corrupted=CORRUPTED, answer=ANSWER, distractor=DISTRACTOR)


@pytest.fixture
def page(page_of, exp):
    page = page_of(mi.AttentionHeads(exp))
    page.widget.wait(120)
    return page


def attentions(model, prompts):
    """[prompt, layer, head, dest, src]: a pass of transformers' own eager model for each prompt."""
    plain = transformers.AutoModelForCausalLM.from_config(model.hf.config, attn_implementation="eager").eval()
    plain.load_state_dict(model.hf.state_dict())
    found = []
    for prompt in prompts:
        with torch.no_grad():
            out = plain(torch.tensor([model.tokens(prompt).ids]), output_attentions=True)
        found.append(torch.stack(out.attentions)[:, 0])
    return torch.stack(found).numpy()


def ask(page, **params):
    return page.answer(page.request("question.set", base_rev=page.widget.question["rev"], **params)).content


def show_mean(page):
    assert ask(page, mean=True)["kind"] == "done"
    page.widget.wait(120)


def shown(page):
    entry = page.widget.atlas["arrays"]["thumbs"]
    return arrays.decode(entry, entry["data"])


def window(page, **more):
    length = page.widget.atlas["positions"]
    return {"heads": [[1, 1], [3, 0]], "dest": [0, length], "src": [0, length], "side": 1024, **more}


def test_thumbnails_patterns_and_cells_are_the_mean_of_the_prompts(page, model, canned):
    show_mean(page)
    clean, corrupted = (attentions(model, prompts).mean(0) for prompts in (CLEAN, CORRUPTED))
    assert abs(shown(page) - clean).max() <= 0.5 / 254 + 1e-5
    for run, expected, step in (("clean", clean, 1), ("difference", clean - corrupted, 2)):
        reply = page.answer(page.request("heads.pattern", run=run, **window(page)))
        off = canned.decoded(reply, "pattern") - expected[[1, 3], [1, 0]]
        assert abs(off).max() <= step * 0.5 / 254 + 1e-5
        cell = {"layer": 2, "head": 3, "dest": 10, "src": 4}
        value = page.answer(page.request("heads.value", run=run, **cell)).content["data"]["value"]
        assert value == pytest.approx(expected[2, 3, 10, 4], abs=1e-5)
        data = page.answer(page.request("heads.rank", run=run, dest=10, src=4)).content["data"]
        np.testing.assert_allclose(data["score"]["values"], expected[:, :, 10, 4], atol=1e-5)


def test_values_weigh_each_prompt_by_its_own(page, exp, canned):
    alone = []
    for prompt in range(3):
        ask(page, prompt=prompt)
        page.widget.wait(120)
        cell = {"run": "clean", "layer": 1, "head": 1, "dest": 10, "src": 4, "weighting": "value"}
        alone.append(page.answer(page.request("heads.value", **cell)).content["data"]["value"])
    show_mean(page)
    value = page.answer(page.request("heads.value", **cell)).content["data"]["value"]
    assert value == pytest.approx(np.mean(alone), rel=1e-4)
    assert np.ptp(alone) > 1e-3


@pytest.mark.parametrize("run", ["clean", "difference"])
def test_scores_are_the_mean_over_the_prompts_where_they_are_defined(page_of, model, run):
    # The second prompt says no token twice.
    prompts = [CLEAN[0], "When Mary and John went to the store, Mark gave a drink to"]
    exp = mi.Experiment(model, prompts, corrupted=CORRUPTED[1:], answer=ANSWER[:2], distractor=DISTRACTOR[:2])
    page = page_of(mi.AttentionHeads(exp))
    page.answer(page.request("heads.atlas", run=run))
    show_mean(page)
    frame = exp.head_scores(prompt="mean", run=run)
    for name in ("previous", "induction", "duplicate", "first", "entropy", "logit_effect"):
        score = page.widget.atlas["scores"][name]
        np.testing.assert_allclose(np.ravel(score["values"]), frame[name], atol=1e-5)
    found = page.widget.atlas["scores"]["induction"]
    assert (found["n"], found["reason"]) == (int(frame["induction_n"][0]), None)


def test_a_long_mean_is_pooled_after_it_is_taken(monkeypatch, model):
    """Strong keys at other places in each prompt must not all seem as strong as in their own."""
    monkeypatch.setattr(attention, "BLOCK", 300)
    question = mi.Experiment(model, CLEAN).snapshot()
    steps = attention.atlas_steps(question, side_limit=5)
    atlas = attention.finished(steps)
    whole = torch.from_numpy(attentions(model, CLEAN).mean(0))
    length = whole.shape[-1]
    edges = [(i * length // 5, -(-(i + 1) * length // 5)) for i in range(5)]
    for row, (top, bottom) in enumerate(edges):
        for column, (left, right) in enumerate(edges):
            expected = whole[..., top:bottom, left:right].amax((-1, -2))
            torch.testing.assert_close(atlas.thumbs[..., row, column], expected, atol=1e-5, rtol=0)


def test_what_a_head_writes_is_the_mean_of_what_it_writes_in_each_prompt(page, exp):
    show_mean(page)
    last = page.widget.atlas["positions"] - 1
    asked = {"run": "clean", "layer": 3, "head": 1, "position": last, "k": 5}
    data = page.answer(page.request("heads.writes", **asked)).content["data"]
    vocabulary = exp.model.architecture.d_vocab
    each = [exp.head_writes(3, 1, k=vocabulary, prompt=prompt) for prompt in range(3)]
    logits = np.mean([frame.set_index("promoted_id")["promoted_logit"].sort_index() for frame in each], axis=0)
    assert [one["id"] for one in data["promoted"]] == list(np.argsort(-logits)[:5])
    np.testing.assert_allclose([one["logit"] for one in data["promoted"]], np.sort(logits)[::-1][:5], atol=1e-4)
    assert data["logit_effect"] == pytest.approx(float(exp.attribution(by="head").values[3, 1]), abs=1e-4)


def test_an_intervention_is_measured_on_all_prompts(page, exp):
    ask(page, prompt=1)
    show_mean(page)
    data = page.answer(page.request("heads.effect", run="clean", what="zero", heads=[[1, 1]])).content["data"]
    result = exp.run([mi.Zero("z", 1, 1)], base="clean")
    assert data["metric"]["after"] == pytest.approx(result.metric, abs=1e-4)
    assert data["metric"]["base"] == pytest.approx(exp.run((), base="clean").metric, abs=1e-4)
    assert "mean over the prompts" in data["note"]
    assert "prompt 2" in data["note"]
    # Both of prompt 2's own answers are among its next tokens.
    assert {"␣Anna", "␣Mark"} <= {token["label"] for token in data["tokens"]}


def test_axes_name_what_differs(page):
    show_mean(page)
    question = page.widget.question
    labels = question["prompts"]["clean"]["labels"]
    assert labels[:6] == ["‹bos›", "When", "␣Mary|+2", "␣and", "␣John|+2", "␣went"]
    assert question["prompts"]["clean"]["text"].startswith("When Mary|+2 and John|+2 went")
    assert question["answer"]["labels"] == ["␣Mary|+2"]
    assert not any("shows prompt" in warning for warning in question["warnings"])
    assert "When Mary|+2 and" in page.widget.static_text()
    assert page.widget.static_picture()[:4] == b"\x89PNG"


def test_a_number_takes_the_mean_back_here_and_elsewhere(page, page_of, exp):
    beside = page_of(mi.AttentionHeads(exp))
    show_mean(page)
    assert page.widget.question["mean"] == {"shown": True, "reason": None}
    beside.widget.wait(120)
    assert beside.widget.question["mean"] == {"shown": False, "reason": None}
    # The number that is shown elsewhere already.
    ask(page, prompt=0)
    page.widget.wait(120)
    assert page.widget.question["mean"]["shown"] is False
    assert page.widget.question["prompts"]["clean"]["labels"][2] == "␣Mary"
    show_mean(page)
    ask(beside, prompt=2)
    for one in (page, beside):
        one.widget.wait(120)
        assert one.widget.question["prompts"]["clean"]["labels"][2] == "␣Lucy"
    exp.show_prompt(0)
    page.widget.wait(120)
    assert page.widget.question["mean"]["shown"] is False, "what was taken back stays so"


def test_prompts_of_other_lengths_have_none_and_say_why(page_of, model):
    page = page_of(mi.AttentionHeads(model, [CLEAN[0], "Mary went to the store"]))
    page.widget.wait(120)
    reason = page.widget.question["mean"]["reason"]
    assert reason.startswith("The prompts differ in length (6 to 15 tokens)")
    assert page.widget.question["mean"]["shown"] is False
    failed = ask(page, mean=True)
    assert (failed["kind"], failed["message"]) == ("failed", reason)


def test_a_mean_goes_when_the_prompts_have_none(page, exp):
    show_mean(page)
    # Without answers of their own the prompts go on with those there are.
    exp.ask(clean=[*CLEAN[:2], "When Mary went"], corrupted=[*CORRUPTED[:2], "When John went"])
    page.widget.wait(120)
    assert page.widget.question["mean"]["shown"] is False
    assert page.widget.atlas["positions"] == len(exp.model.tokens(CLEAN[0]))
    exp.ask(clean=CLEAN, corrupted=CORRUPTED, answer=ANSWER, distractor=DISTRACTOR)
    page.widget.wait(120)
    assert page.widget.question["mean"] == {"shown": False, "reason": None}


def test_more_tokens_than_are_averaged_at_once_are_refused(monkeypatch, model):
    monkeypatch.setattr(attention, "MOST_TOKENS", 30)
    question = mi.Experiment(model, CLEAN).snapshot()
    with pytest.raises(mi.PromptMismatch, match="at most 30"):
        attention.sides_of(question, "clean")
    assert attention.sides_of(question.one(1), "clean")


def test_the_mean_is_held_against_that_of_another_experiment(page_of, exp, model, canned):
    other = mi.Experiment(model, CORRUPTED)
    page = page_of(mi.AttentionHeads(exp, compare=other))
    page.widget.wait(120)
    show_mean(page)
    assert page.widget.question["compare"]["prompt"]["labels"][2] == "␣Mary|+2"
    reply = page.answer(page.request("heads.pattern", run="against", **window(page)))
    expected = attentions(model, CLEAN).mean(0) - attentions(model, CORRUPTED).mean(0)
    assert abs(canned.decoded(reply, "pattern") - expected[[1, 3], [1, 0]]).max() <= 1 / 254 + 1e-5
    fewer = page_of(mi.AttentionHeads(exp, compare=mi.Experiment(model, CORRUPTED[:2])))
    fewer.widget.wait(120)
    show_mean(fewer)
    failed = fewer.answer(fewer.request("heads.atlas", run="against")).content
    assert failed["kind"] == "failed"
    assert "3 and 2 prompts" in failed["message"]


def test_no_pattern_of_several_prompts_exists_as_a_whole(monkeypatch, model):
    monkeypatch.setattr(attention, "BLOCK", 2000)
    largest = []
    add = attention.Tally.add

    def counted(self, block, heads, rows):
        largest.append(block.numel())
        add(self, block, heads, rows)

    monkeypatch.setattr(attention.Tally, "add", counted)
    question = mi.Experiment(model, CLEAN).snapshot()
    attention.finished(attention.atlas_steps(question))
    run = AttentionRun(question, "clean")
    assert max(largest) * len(CLEAN) <= 2000 + model.n_heads * run.length
