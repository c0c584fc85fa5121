"""The logit lens of five families against norms and unembeddings written out, and its measures against their sums."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.analysis import lens_head
from mi_widgets.analysis.lens_rows import sublayers_of
from tests.families.configs import build
from tests.python import lens_by_hand
from tests.python.by_hand import record
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, ids_of, word_tokenizer, wrapped

MEASURES = ("prob", "rank", "entropy", "kl", "logit_diff", "cross_entropy")
ADDED = ("attn_out", "mlp_out")


@pytest.fixture(scope="module", params=lens_by_hand.FAMILIES)
def model(request):
    return mi.wrap(build(request.param), word_tokenizer(), request.param)


def token(model, text):
    return model.tokenizer.convert_tokens_to_ids(text)


def by_hand(model, text):
    """[row, position, vocab] of input and every layer."""
    return torch.stack([lens_by_hand.lens(model.hf, x) for x in lens_by_hand.streams(model.hf, ids_of(model, text))])


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, atol=atol, rtol=1e-4, equal_nan=True, check_dtype=False)


def same_tops(found, expected, atol=1e-5):
    """The top tokens have the greatest logits, each its own, and the probabilities belong to them."""
    k = found.top_ids.shape[-1]
    close(found.logits, expected.topk(k).values, atol)
    close(expected.gather(-1, found.top_ids), found.logits, atol)
    close(found.probs, expected.softmax(-1).gather(-1, found.top_ids), atol)
    assert all(len(set(cell)) == k for cell in found.top_ids.flatten(0, 1).tolist())


def test_every_row_is_the_models_own_head_on_that_stream(model):
    found = mi.Experiment(model, CLEAN).lens(k=4, track=(" Mary", 7))
    expected = by_hand(model, CLEAN)
    same_tops(found, expected)
    assert [row.label for row in found.rows] == ["input", "L0", "L1", "L2"]
    close(found.tracked, expected[..., [token(model, " Mary"), 7]])
    close(found.tracked_probs, expected.softmax(-1)[..., [token(model, " Mary"), 7]])


def test_the_last_row_is_what_the_model_says(model):
    found = mi.Experiment(model, CLEAN).lens(k=6)
    with torch.no_grad():
        logits = model.hf(input_ids=torch.tensor([ids_of(model, CLEAN)])).logits[0]
    close(found.logits[-1], logits.topk(6).values)
    close(found.probs[-1], logits.softmax(-1).topk(6).values)


def test_every_measure(model):
    exp = mi.Experiment(model, CLEAN, None, " Mary", " John")
    found = exp.lens(measures=MEASURES)
    rows = by_hand(model, CLEAN)
    ids, answers, distractors = ids_of(model, CLEAN), [token(model, " Mary")], [token(model, " John")]
    expected = lens_by_hand.measured(rows, rows[-1], ids, answers, distractors)
    for name in MEASURES:
        close(found.measure(name), expected[name])
    assert bool((found.measure("kl")[-1] == 0).all())


def test_one_measure_alone_and_all_of_them_give_the_same(model):
    exp = mi.Experiment(model, CLEAN, None, " Mary")
    together = exp.lens(measures=MEASURES)
    for name in MEASURES:
        alone = exp.lens(measures=name)
        assert list(alone.measures) == [name]
        close(alone.measure(name), together.measure(name), 1e-6)


def test_without_a_distractor_the_difference_is_from_the_mean_over_the_vocabulary(model):
    found = mi.Experiment(model, CLEAN, None, " Mary").lens(measures="logit_diff")
    rows = by_hand(model, CLEAN)
    close(found.measure("logit_diff"), rows[..., token(model, " Mary")] - rows.mean(-1))


def test_alternatives_of_answers(model):
    exp = mi.Experiment(model, CLEAN, None, (" Mary", " Anna"), (" John", " Paul", " Kate"))
    found = exp.lens(measures=MEASURES)
    rows = by_hand(model, CLEAN)
    answers, distractors = (
        [token(model, t) for t in texts] for texts in ((" Mary", " Anna"), (" John", " Paul", " Kate"))
    )
    expected = lens_by_hand.measured(rows, rows[-1], ids_of(model, CLEAN), answers, distractors)
    for name in MEASURES:
        close(found.measure(name), expected[name])


def test_without_an_answer_some_measures_are_not_there(model):
    exp = mi.Experiment(model, CLEAN)
    question = exp.snapshot()
    assert question.answer is not None
    assert question.answer.guessed
    from dataclasses import replace

    from mi_widgets.analysis.attention_runs import finished
    from mi_widgets.analysis.lens import LensSpec, lens_steps

    bare = replace(question, answer=None, distractor=None)
    for name in ("rank", "logit_diff"):
        with pytest.raises(mi.BadInput, match="no answer"):
            finished(lens_steps(bare, LensSpec(measures=(name,))))
    found = finished(lens_steps(bare, LensSpec(measures=("entropy", "cross_entropy"))))
    rows = by_hand(model, CLEAN)
    expected = lens_by_hand.measured(rows, rows[-1], ids_of(model, CLEAN))
    for name in ("entropy", "cross_entropy"):
        close(found.measure(name), expected[name])
    assert bool(found.measure("cross_entropy")[:, -1].isnan().all())


def test_an_answer_read_elsewhere_is_not_what_follows_the_last_position(model):
    found = mi.Experiment(model, CLEAN, None, " Mary", answer_position=5).lens(measures="cross_entropy")
    rows = by_hand(model, CLEAN)
    expected = lens_by_hand.measured(rows, rows[-1], ids_of(model, CLEAN), [token(model, " Mary")], (), 5)
    close(found.measure("cross_entropy"), expected["cross_entropy"])
    assert bool(found.measure("cross_entropy")[:, -1].isnan().all())


def test_blocks_of_the_vocabulary_and_of_columns_change_nothing(model, monkeypatch):
    exp = mi.Experiment(model, CLEAN, None, " Mary")
    at = ("resid_post", *ADDED)
    whole = exp.lens(at=at, measures=MEASURES, k=3, track=(" John",))
    monkeypatch.setattr(lens_head, "LEAST", 16)
    monkeypatch.setattr(lens_head, "CELLS", 64)
    monkeypatch.setattr("mi_widgets.analysis.lens.AT_ONCE", 20)
    parts = exp.lens(at=at, measures=MEASURES, k=3, track=(" John",))
    assert lens_head.Head(model, 4).width == 16
    assert torch.equal(parts.top_ids, whole.top_ids)
    assert torch.equal(parts.bottom_ids, whole.bottom_ids)
    for name in ("probs", "logits", "bottom_logits", "tracked", "tracked_probs"):
        close(getattr(parts, name), getattr(whole, name), 1e-6)
    for name in MEASURES:
        close(parts.measure(name), whole.measure(name), 2e-6)


def test_rows_and_positions_that_are_asked_for_are_those_of_the_whole(model):
    exp = mi.Experiment(model, CLEAN, None, " Mary", positions={"s2": 10})
    whole = exp.lens(measures=MEASURES)
    part = exp.lens(layers=[0, 1], positions=["s2", -1, 3], measures=MEASURES)
    assert part.positions == (3, 10, 14)
    assert [row.label for row in part.rows] == ["L0", "L1"]
    assert part.tokens == tuple(whole.tokens[i] for i in (3, 10, 14))
    assert torch.equal(part.top_ids, whole.top_ids[1:3][:, [3, 10, 14]])
    for name in MEASURES:
        close(part.measure(name), whole.measure(name)[1:3][:, [3, 10, 14]], 2e-6)


def test_one_of_several_prompts_is_the_prompt_alone(model):
    pair = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], [" Mary", " Mary"], [" John", " Anna"]
    )
    for prompt, (clean, corrupted, wrong) in enumerate(
        ((CLEAN, CORRUPTED, " John"), (SHORT_CLEAN, SHORT_CORRUPTED, " Anna"))
    ):
        alone = mi.Experiment(model, clean, corrupted, " Mary", wrong)
        for run in ("clean", "corrupted"):
            found, expected = (
                exp.lens(prompt=which, run=run, measures=MEASURES) for exp, which in ((pair, prompt), (alone, 0))
            )
            assert found.tokens == expected.tokens
            same_tops(found, by_hand(model, clean if run == "clean" else corrupted))
            for name in MEASURES:
                close(found.measure(name), expected.measure(name), 1e-6)


def test_contributions_are_direct_logits_at_the_frozen_scale():
    for family in ("gpt2", "llama", "gemma2"):
        model = wrapped(family)
        found = mi.Experiment(model, CLEAN).lens(at=ADDED, k=4, track=(" Mary",))
        sites = record(model.hf, ids_of(model, CLEAN))
        s = lens_by_hand.scale(model.hf, sites["resid_post", 2])
        for i, row in enumerate(found.rows):
            logits = lens_by_hand.linear(model.hf, sites[row.key], s)
            logits = logits - logits.mean(-1, keepdim=True)
            close(found.logits[i], logits.topk(4).values)
            close(logits.gather(-1, found.top_ids[i]), found.logits[i])
            close(found.bottom_logits[i], logits.topk(4, largest=False).values)
            close(logits.gather(-1, found.bottom_ids[i]), found.bottom_logits[i])
            close(found.tracked[i], logits[:, [token(model, " Mary")]])
        assert bool(found.probs.isnan().all())
        assert bool(found.tracked_probs.isnan().all())


@pytest.mark.parametrize("family", [*lens_by_hand.FAMILIES, "granite", "gptj", "phi", "mamba"])
def test_contributions_add_up_to_the_final_logits_before_any_cap(family):
    """Input, all that is added, the norm's bias and the unembedding's bias are the final centred logits."""
    model = mi.wrap(build(family), word_tokenizer(), family)
    exp = mi.Experiment(model, CLEAN)
    tokens = tuple(range(model.architecture.d_vocab))
    sites = [site for site in sublayers_of(model) if site in ADDED]  # a layer of mamba has no MLP
    added = exp.lens(at=sites, k=1, track=tokens).tracked.sum(0)
    parts = model.architecture
    norm, unembed = model.hf.get_submodule(parts.final_norm), model.hf.get_output_embeddings()
    first, last = exp.read("resid_pre", 0)[0], exp.read("resid_post", model.n_layers - 1)[0]
    with torch.no_grad():
        raw = unembed(norm(last[None]))[0] * parts.logit_scale
        # The norm is linear in what it is given once its scale is frozen: by finite steps of the scaled stream.
        zero = norm(torch.zeros_like(last[None]))[0]
        centred = last - last.mean(-1, keepdim=True) if "LayerNorm" in type(norm).__name__ else last
        gain = (norm(last[None])[0] - zero) / centred
        start = first - first.mean(-1, keepdim=True) if "LayerNorm" in type(norm).__name__ else first
        weight = unembed.weight.T * parts.logit_scale
        rest = (start * gain + zero) @ weight + (0 if unembed.bias is None else unembed.bias * parts.logit_scale)

    def off(x):
        return x - x.mean(-1, keepdim=True)

    close(added + off(rest), off(raw), 5e-5)


def test_the_stream_between_attention_and_mlp():
    for family in ("gpt2", "gemma2"):
        model = wrapped(family)
        found = mi.Experiment(model, CLEAN).lens(at="resid_mid", k=3)
        sites = record(model.hf, ids_of(model, CLEAN))
        same_tops(found, torch.stack([lens_by_hand.lens(model.hf, sites["resid_mid", i]) for i in range(3)]))
        labels = [row.label for row in mi.Experiment(model, CLEAN).lens(at=("resid_post", "resid_mid", *ADDED)).rows]
        assert labels[:6] == ["input", "L0 attn", "L0 mid", "L0 mlp", "L0", "L1 attn"]


@pytest.mark.parametrize("family", ["openai-gpt", "bert"])
def test_models_without_a_final_norm_are_asked_themselves(family):
    model = mi.wrap(build(family), word_tokenizer(), family)
    exp = mi.Experiment(model, CLEAN, None, " Mary")
    found = exp.lens(k=3, measures=("kl", "rank"))
    with torch.no_grad():
        logits = model.hf(input_ids=torch.tensor([ids_of(model, CLEAN)])).logits[0]
    close(found.logits[-1], logits.topk(3).values)
    close(found.measure("rank")[-1], (logits > logits[:, [token(model, " Mary")]]).sum(-1).float())
    with pytest.raises(mi.SiteUnavailable, match="final_norm"):
        exp.lens(at="mlp_out")


def test_in_half_precision_the_last_row_is_still_the_models_own():
    hf = build("llama").to(torch.bfloat16)
    model = mi.wrap(hf, word_tokenizer())
    found = mi.Experiment(model, CLEAN).lens(k=3)
    with torch.no_grad():
        logits = hf(input_ids=torch.tensor([ids_of(model, CLEAN)])).logits[0].float()
    close(found.logits[-1], logits.topk(3).values, 2e-2)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"at": "z"}, "rows of a lens"),
        ({"at": ()}, "rows of a lens"),
        ({"k": 0}, "k is from 1"),
        ({"k": 2.5}, "whole number"),
        ({"run": "dirty"}, "no run"),
        ({"run": "corrupted"}, "no corrupted"),
        ({"measures": "accuracy"}, "no measure"),
        ({"positions": 99}, "does not exist"),
        ({"layers": 7}, "Layer 7"),
        ({"prompt": 3}, "no prompt 3"),
        ({"track": 10_000}, "outside the vocabulary"),
        ({"track": None}, "track are tokens"),
        ({"at": None}, "at are names of sites"),
        ({"at": ["resid_post", ["attn_out"]]}, "rows of a lens"),
        ({"measures": None}, "measures are names"),
        ({"measures": [["kl"]]}, "no measure"),
        ({"positions": []}, r"positions is .* not \[\]"),
        ({"positions": 1.5}, "not 1.5"),
        ({"translators": 5}, "folder of a tuned lens, not int"),
    ],
)
def test_what_cannot_be_asked(asked, says):
    with pytest.raises(mi.BadInput, match=says):
        mi.Experiment(wrapped("gpt2"), CLEAN, None, " Mary").lens(**asked)


def test_a_site_the_model_does_not_have():
    model = mi.wrap(build("cohere"), word_tokenizer())
    with pytest.raises(mi.SiteUnavailable, match="resid_mid"):
        mi.Experiment(model, CLEAN).lens(at="resid_mid")


def test_the_table_and_the_file(tmp_path):
    exp = mi.Experiment(wrapped("gpt2"), CLEAN, None, " Mary")
    found = exp.lens(k=2, measures=("rank",), track=" Mary")
    frame = found.to_frame()
    assert list(frame.columns) == ["site", "layer", "position", "token", "place", "top_token", "prob", "logit"]
    assert len(frame) == 4 * 15 * 2
    cell = frame[(frame.layer == 1) & (frame.position == 6) & (frame.place == 1)].iloc[0]
    assert cell.top_token == exp.model.text.piece(int(found.top_ids[2, 6, 1]))
    assert cell.token == found.tokens[6]
    assert cell.prob == pytest.approx(float(found.probs[2, 6, 1]))
    again = type(found).load(found.save(tmp_path / "lens.safetensors"))
    assert again.rows == found.rows
    assert again.track == found.track
    assert again.labels == found.labels
    assert torch.equal(again.top_ids, found.top_ids)
    assert torch.equal(again.measure("rank"), found.measure("rank"))
    with pytest.raises(mi.BadInput, match="not asked for"):
        found.measure("kl")
