"""The lens of edited runs, and of two runs compared."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.analysis.attention_runs import finished
from mi_widgets.analysis.lens import LensPart, LensSpec, lens_steps
from mi_widgets.analysis.lens_trajectory import trajectory_steps
from tests.python import lens_by_hand
from tests.python.by_hand import changed, record
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CLEAN,
    SHORT_CORRUPTED,
    build,
    experiment,
    ids_of,
    word_tokenizer,
    wrapped,
)

MEASURES = ("prob", "rank", "entropy", "kl", "logit_diff", "cross_entropy")
AT = ("resid_post", "attn_out", "mlp_out")


@pytest.fixture(scope="module", params=("gpt2", "gemma2"))
def model(request):
    return wrapped(request.param)


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, atol=atol, rtol=1e-4, equal_nan=True, check_dtype=False)


def rows_of(hf, sites):
    """[row, position, vocab] of input and every layer, from sites by hand."""
    streams = [sites["resid_pre", 0], *(sites["resid_post", i] for i in range(3))]
    return torch.stack([lens_by_hand.lens(hf, x) for x in streams])


def halved(model):
    """The corrupted run with half of layer 1's attention at position 10, by hand: its rows."""

    def half(x):
        x[10] = 0.5 * x[10]
        return x

    _, sites = changed(model.hf, ids_of(model, CORRUPTED), {("attn_out", 1): [half]})
    return rows_of(model.hf, sites)


HALF = mi.Scale("attn_out", 1, position=10, factor=0.5)


def measured(model, rows, text):
    ids = model.tokenizer.convert_tokens_to_ids
    return lens_by_hand.measured(rows, rows[-1], ids_of(model, text), [ids(" Mary")], [ids(" John")])


def test_the_edited_run_is_shown_and_says_so(model):
    exp = experiment(model)
    exp.edits.add(HALF)
    found = exp.lens(k=3, measures=MEASURES)
    rows = halved(model)
    close(found.logits, rows.topk(3).values)
    expected = measured(model, rows, CORRUPTED)
    for name in MEASURES:
        close(found.measure(name), expected[name])
    assert found.run == "edited"
    assert "scale L1.attn_out" in found.provenance.question
    base = rows_of(model.hf, record(model.hf, ids_of(model, CORRUPTED)))
    assert torch.equal(found.changed, rows.argmax(-1) != base.argmax(-1))
    close(found.before, base.softmax(-1).gather(-1, found.top_ids))


def test_what_lies_before_an_edit_is_as_in_the_unedited_run_to_the_bit(model):
    exp = experiment(model)
    plain = exp.lens(k=3, run="corrupted")
    exp.edits.add(HALF)
    found = exp.lens(k=3)
    assert torch.equal(found.probs[:2], plain.probs[:2])
    assert torch.equal(found.probs[:, :10], plain.probs[:, :10])
    assert torch.equal(found.before[:2], found.probs[:2])
    assert not bool(found.changed[:2].any())
    assert not torch.equal(found.probs[2:, 10:], plain.probs[2:, 10:])


def test_switching_an_edit_off_gives_the_old_table_to_the_bit(model):
    exp = experiment(model)
    asked = {"at": AT, "k": 4, "measures": MEASURES, "track": (" Mary",)}
    old = exp.lens(**asked)
    exp.edits.add(HALF)
    edited = exp.lens(**asked)
    assert not torch.equal(edited.probs, old.probs)
    assert edited.changed is not None
    exp.edits.toggle(0)
    again = exp.lens(**asked)
    assert again.changed is None
    for name in ("top_ids", "probs", "logits", "bottom_ids", "bottom_logits", "before", "tracked", "tracked_probs"):
        a, b = getattr(old, name), getattr(again, name)
        assert torch.equal(a.nan_to_num(-7), b.nan_to_num(-7)), name
    for name in MEASURES:
        assert torch.equal(old.measure(name).nan_to_num(-7), again.measure(name).nan_to_num(-7)), name
    exp.edits.toggle(0)
    assert torch.equal(exp.lens(**asked).probs.nan_to_num(-7), edited.probs.nan_to_num(-7))


def test_the_change_is_the_edited_run_minus_the_unedited_base(model):
    exp = experiment(model)
    exp.edits.add(HALF)
    found = exp.lens(run="change", k=3, measures=MEASURES)
    rows, base = halved(model), rows_of(model.hf, record(model.hf, ids_of(model, CORRUPTED)))
    after, before = measured(model, rows, CORRUPTED), measured(model, base, CORRUPTED)
    top = rows.argmax(-1, keepdim=True)
    after["prob"], before["prob"] = (x.softmax(-1).gather(-1, top)[..., 0] for x in (rows, base))
    for name in MEASURES:
        close(found.measure(name), after[name] - before[name])
    assert torch.equal(found.top_ids[..., 0], top[..., 0])
    assert torch.equal(found.changed, rows.argmax(-1) != base.argmax(-1))


def test_the_difference_is_the_clean_run_minus_the_corrupted_one(model):
    found = experiment(model).lens(run="difference", at=AT, k=3, measures=MEASURES)
    clean, corrupted = (record(model.hf, ids_of(model, text)) for text in (CLEAN, CORRUPTED))
    one, other = (rows_of(model.hf, sites) for sites in (clean, corrupted))
    streams = [i for i, row in enumerate(found.rows) if row.kind == "stream"]
    first, second = measured(model, one, CLEAN), measured(model, other, CORRUPTED)
    top = one.argmax(-1, keepdim=True)
    first["prob"], second["prob"] = (x.softmax(-1).gather(-1, top)[..., 0] for x in (one, other))
    for name in MEASURES:
        close(found.measure(name)[streams], first[name] - second[name])
    close(found.probs[streams], one.softmax(-1).topk(3).values)
    close(found.before[streams], other.softmax(-1).gather(-1, found.top_ids[streams]))
    assert found.changed is None
    s = lens_by_hand.scale(model.hf, corrupted["resid_post", 2])
    for i, row in enumerate(found.rows):
        if row.kind == "contribution":
            logits = lens_by_hand.linear(model.hf, corrupted[row.key], s)
            close(found.before[i], (logits - logits.mean(-1, keepdim=True)).gather(-1, found.top_ids[i]))
            assert bool(found.measure("kl")[i].isnan().all())


@pytest.mark.parametrize("site", ["final_norm", "logits", "resid_post"])
def test_edits_behind_the_last_layer_are_part_of_what_the_model_says(model, site):
    exp = experiment(model)
    exp.edits.add(mi.Patch(site, **({"layer": 2} if site == "resid_post" else {}), position=14, alpha=0.5))
    found = exp.lens(k=5, measures=MEASURES, track=(" Mary",))
    told = exp.read("logits", run="edited")[0]
    close(found.logits[-1], told.topk(5).values)
    close(found.tracked[-1], told[:, [model.tokenizer.convert_tokens_to_ids(" Mary")]])
    plain = exp.lens(k=5, measures=MEASURES, run="corrupted")
    assert torch.equal(found.probs[:3], plain.probs[:3])
    assert torch.equal(found.before[-1, :14], plain.probs[-1, :14])
    close(found.before[-1, 14], exp.read("logits", run="corrupted")[0, 14].softmax(-1)[found.top_ids[-1, 14]])
    # The final row is what others are held against.
    final = told[14].softmax(-1)
    row = lens_by_hand.lens(model.hf, exp.read("resid_post", 1, run="edited")[0])[14]
    close(found.measure("kl")[2, 14], (final * (final.log() - row.log_softmax(-1))).sum(), 2e-5)


def test_a_run_over_draws_is_the_mean_of_its_logits(model):
    exp = experiment(model)
    edit = mi.Resample("z", 1, prompts=[CLEAN, CORRUPTED, CLEAN.replace("Mary", "Anna")], n=3, seed=1)
    exp.edits.add(edit)
    found = exp.lens(k=3, measures=("logit_diff",))
    close(found.logits[-1, -1], exp.run().logits[0].topk(3).values)
    assert float(found.measure("logit_diff")[-1, -1]) == pytest.approx(exp.run().metric, abs=1e-5)


def test_prompts_of_different_length_have_no_difference():
    exp = mi.Experiment(wrapped("gpt2"), CLEAN, SHORT_CLEAN, " Mary", align="suffix")
    with pytest.raises(mi.PromptMismatch, match="differ in length"):
        exp.lens(run="difference")


def test_several_prompts_with_edits_are_looked_at_one_at_a_time(model):
    pair = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], [" Mary", " Mary"], [" John", " Anna"]
    )
    pair.edits.add(mi.Zero("mlp_out", 1))
    _, sites = changed(model.hf, ids_of(model, SHORT_CORRUPTED), {("mlp_out", 1): [torch.zeros_like]})
    close(pair.lens(k=3, prompt=1).logits, rows_of(model.hf, sites).topk(3).values)


def test_an_edit_that_looks_at_other_prompts_does_so_in_a_lens_of_one(model):
    cleans, corrupteds = [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED]
    pair = mi.Experiment(model, cleans, corrupteds, [" Mary", " Mary"], [" John", " Anna"])
    alone = mi.Experiment(model, SHORT_CLEAN, SHORT_CORRUPTED, " Mary", " Anna")
    pair.edits.add(mi.Mean("z", 1, over="clean", pool="all"))
    alone.edits.add(mi.Mean("z", 1, over=tuple(cleans), pool="all"))
    found = pair.lens(prompt=1)
    close(found.logits, alone.lens().logits)
    close(found.logits[-1, -1], pair.run().logits[1][found.top_ids[-1, -1]])


def test_scrolling_reruns_nothing(model, monkeypatch):
    """Other rows and columns come from what a first look has kept, of the unedited and of the edited run."""
    exp = experiment(model)
    exp.edits.add(HALF)
    question = exp.snapshot()
    finished(lens_steps(question, LensSpec(rows=(("resid_post", 0),), columns=(0, 2))))

    def never(*args, **kwargs):
        raise AssertionError("the model was run again")

    monkeypatch.setattr(model, "forward", never)
    found = finished(lens_steps(question, LensSpec(columns=(3, 15), measures=MEASURES)))
    assert found.top_ids.shape == (4, 12, 5)
    assert found.forward_ms == 0


def test_another_model_than_before_is_seen(model):
    """Weights that changed in place are not answered from what was kept."""
    hf = build("llama", seed=5)
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    before = exp.lens()
    with torch.no_grad():
        hf.model.layers[1].mlp.down_proj.weight.mul_(2)
    after = exp.lens(run="corrupted", k=3)
    with torch.no_grad():
        logits = hf(input_ids=torch.tensor([ids_of(exp.model, CORRUPTED)])).logits[0]
    close(after.logits[-1], logits.topk(3).values)
    assert not torch.equal(before.top_ids[-1], after.top_ids[-1]) or not torch.equal(
        before.probs[-1, :, :3], after.probs[-1]
    )


def test_parts_are_the_whole_in_pieces(model, monkeypatch):
    monkeypatch.setattr("mi_widgets.analysis.lens.AT_ONCE", 30)
    question = experiment(model).snapshot()
    spec = LensSpec(run="clean", at=AT, measures=("entropy",))
    parts = [one for one in lens_steps(question, spec) if isinstance(one, LensPart)]
    whole = finished(lens_steps(question, spec))
    assert len(parts) > 2
    assert sum((part.positions for part in parts), ()) == whole.positions
    assert torch.equal(torch.cat([part.cells.top_ids for part in parts], 1), whole.top_ids)
    assert torch.equal(
        torch.cat([part.cells.measures["entropy"] for part in parts], 1).nan_to_num(-7),
        whole.measure("entropy").nan_to_num(-7),
    )


def test_a_trajectory_is_the_tokens_in_every_row(model):
    exp = experiment(model)
    exp.edits.add(HALF)
    asked = tuple(model.tokenizer.convert_tokens_to_ids(text) for text in (" Mary", " John", " store"))
    found = finished(trajectory_steps(exp.snapshot(), LensSpec(at=AT), 14, asked))
    streams = [i for i, row in enumerate(found.rows) if row.kind == "stream"]
    for told, rows in (
        (found, halved(model)),
        (found.unedited, rows_of(model.hf, record(model.hf, ids_of(model, CORRUPTED)))),
    ):
        x = rows[:, 14]
        close(told.logits[streams], x[:, list(asked)])
        close(told.probs[streams], x.softmax(-1)[:, list(asked)])
        close(told.ranks[streams], (x[:, None] > x[:, list(asked), None]).sum(-1).float())
    added = [i for i, row in enumerate(found.rows) if row.kind == "contribution"]
    assert bool(found.ranks[added].isnan().all())
    assert bool(found.logits[added].isfinite().all())
    whole = exp.lens(at=AT, track=asked, positions=14)
    close(found.logits, whole.tracked[:, 0])
    with pytest.raises(mi.BadInput, match="No token"):
        finished(trajectory_steps(exp.snapshot(), LensSpec(), 14, ()))


def test_the_answers_rank_is_exact_among_equal_logits():
    """Tokens with the same row of the unembedding have the same logit, and share the better rank."""
    hf = build("llama", seed=2)
    model = mi.wrap(hf, word_tokenizer())
    answer = model.tokenizer.convert_tokens_to_ids(" Mary")
    with torch.no_grad():
        for twin in (3, 9, 20):
            hf.lm_head.weight[twin] = hf.lm_head.weight[answer]
    found = mi.Experiment(model, CLEAN, None, " Mary").lens(measures="rank").measure("rank")
    logits = [lens_by_hand.lens(hf, x) for x in lens_by_hand.streams(hf, ids_of(model, CLEAN))]
    above = torch.stack([(x > x[:, [answer]] + 1e-4).sum(-1) for x in logits])
    assert torch.equal(found, above.float())
