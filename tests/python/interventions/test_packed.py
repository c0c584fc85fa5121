"""Packed runs, and runs side by side, give what one plain run after the other gives."""

from __future__ import annotations

import math
from itertools import count

import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions import many
from mi_widgets.interventions.grid import grid_of
from mi_widgets.interventions.many import measure_many
from mi_widgets.interventions.packed import attention, engine
from mi_widgets.model.architecture import GLOBAL_SITES
from tests.families.oracle import FAMILIES, model_of
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, experiment, word_tokenizer, wrapped

SIDE_BY_SIDE = {
    "bloom", "codegen", "falcon alibi", "gpt_neo", "gptj", "jamba", "lfm2", "mpt", "openai-gpt", "qwen3_next", "xglm",
}  # fmt: skip
"""Families whose attention is not seen as one call, and layers without attention: packing would be wrong there."""


def drained(steps):
    """Everything that was measured, by run, and the account."""
    found, account = {}, []

    def whole():
        account.append((yield from steps))

    for several in whole():
        for measured in several or ():
            assert measured.run not in found
            found[measured.run] = measured
    return found, account[0]


def some_cells(model, batch, seed):
    """For every site a cell with a patch and one with another edit, drawn."""
    generator = torch.Generator().manual_seed(seed)
    others = [mi.Zero(), mi.Scale(factor=0.5), mi.Patch(alpha=0.4)]
    cells = []
    for number, site in enumerate(model.architecture.sites):
        if site in GLOBAL_SITES:
            cells.append(mi.Patch(site, position=4 if site == "embed" else -1))
            continue
        by_position = "all" if number % 2 else None
        edits = list(grid_of(model, mi.Patch(), site, batch, positions=by_position).edits.values())
        drawn = [edits[i] for i in torch.randperm(len(edits), generator=generator)[:2].tolist()]
        other = others[number % 3]
        cells += drawn[:1] + [other.on(site=e.site, layer=e.layer, head=e.head, position=e.position) for e in drawn[1:]]
    return cells


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(name):
    model = mi.wrap(model_of(name), word_tokenizer())
    clean, corrupted = ([12, 13, 20, 31, 44, 15, 26, 37, 18][:9], [12, 13, 24, 31, 14, 15, 40, 37, 19][:9])
    exp = mi.Experiment(model, clean, corrupted, answer=5, distractor=9, bos=False)
    live = [e for e in (mi.Zero("mlp_out", 1, position=4), mi.Patch("resid_post", 0, position=6)) if model.n_layers > 1]
    live = [e for e in live if (e.site, e.layer) not in model.architecture.missing_at]
    for edits in ((), tuple(live)):
        question = exp.snapshot(edits)
        cells = some_cells(model, question.clean, seed=len(edits))[:: 3 if edits else 1]
        found, account = drained(measure_many(question, [(cell,) for cell in cells]))
        assert sorted(found) == list(range(len(cells)))
        assert ("packed" in account.words) == (name not in SIDE_BY_SIDE)
        unmoved, moved = question.outcome("edited", edits).metric, 0.0
        for i, cell in enumerate(cells):
            plain = question.outcome("edited", (*edits, cell)).metric
            assert float((found[i].metric - plain).abs().max()) < 1e-4, (str(cell), edits)
            moved = max(moved, float((plain - unmoved).abs().max()))
        assert moved > 0.1


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


def agree(exp, cells, edits=(), limit=1e-5):
    question = exp.snapshot(edits)
    found, account = drained(measure_many(question, [(cell,) for cell in cells]))
    for i, cell in enumerate(cells):
        plain = question.outcome("edited", (*edits, cell)).metric
        torch.testing.assert_close(found[i].metric, plain, atol=limit, rtol=limit)
    return account


CELLS = [
    mi.Patch("resid_pre", 1, position=-3),
    mi.Patch("z", 0, head=2),
    mi.Patch("q", 2, head=1),
    mi.Zero("v", 1, head=0),
    mi.Patch("mlp_out", 2, position=-1),
    mi.Zero("pattern", 1, head=3),
    mi.Scale("mlp_post", 0, unit=[3, 5], factor=2),
    mi.Patch("attn_out", 0, position=[4, 2, 5]),
    mi.Zero("v", 1, position=(3, 3, 5)),
    mi.Zero("resid_mid", 2),
    mi.Knockout(layer=1, head=0, dest=-1, src=2),
]


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "mistral"])
@pytest.mark.parametrize("metric", ["logit_diff", "prob", "kl", "rank"])
def test_every_metric_and_prompts_of_different_length(family, metric):
    clean, corrupted = [CLEAN, SHORT_CLEAN, CLEAN], [CORRUPTED, SHORT_CORRUPTED, CORRUPTED]
    answers, others = [" Mary", " Mary", " to"], [" John", " Anna", " gave"]
    agree(mi.Experiment(wrapped(family), clean, corrupted, answers, others, metric=metric), CELLS)


@pytest.mark.parametrize("answer_position", [-1, -4, 9, (8, 3)])
def test_answers_before_the_end(model, answer_position):
    two = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], " Mary", " John", answer_position=answer_position
    )
    agree(two, CELLS)


def test_a_stack_of_edits_is_one_run(model):
    exp = experiment(model)
    stack = [
        mi.Zero("mlp_out", 2, position=12),
        mi.Patch("resid_pre", 1, position=10),
        mi.Patch("z", 0, head=1),
        mi.Scale("resid_pre", 1, position=10, factor=2),
        mi.Patch("pattern", 2, head=0),
    ]
    found = exp.run(stack)
    assert "packed" in found.provenance.recomputed
    plain = exp.snapshot(stack).outcome("edited")
    torch.testing.assert_close(found.logits, plain.logits, atol=1e-5, rtol=1e-5)
    assert found.metric == pytest.approx(float(plain.metric), abs=1e-5)


def test_the_rows_of_all_pieces_give_the_same(model, monkeypatch):
    exp = experiment(model)
    whole = exp.sweep("resid_pre", progress=False).metric
    for rows in (1, 20):
        monkeypatch.setattr(engine, "ROWS", rows)
        torch.testing.assert_close(exp.sweep("resid_pre", progress=False).metric, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "mistral"])
def test_keys_read_where_they_are(family, monkeypatch):
    exp = experiment(wrapped(family))
    expected = exp.sweep("resid_pre", progress=False).metric
    for shared in (-1, 10**9):
        monkeypatch.setattr(attention, "SHARED", shared)
        torch.testing.assert_close(exp.sweep("resid_pre", progress=False).metric, expected, atol=1e-5, rtol=1e-5)


def test_what_does_not_fit_the_memory_is_halved(model, monkeypatch):
    exp = experiment(model)
    expected = exp.sweep("resid_pre", progress=False).metric
    plain, sizes = engine.run_variants, []

    def tight(model, runs, variants, spoiled):
        sizes.append(len(variants))
        if len(variants) > 12:
            raise torch.OutOfMemoryError("full")
        return (yield from plain(model, runs, variants, spoiled))

    monkeypatch.setattr(engine, "run_variants", tight)
    torch.testing.assert_close(exp.sweep("resid_pre", progress=False).metric, expected, atol=1e-5, rtol=1e-5)
    assert max(sizes) > 12

    def full(model, runs, variants, spoiled):
        raise torch.OutOfMemoryError("full")
        yield

    monkeypatch.setattr(engine, "run_variants", full)
    with pytest.raises(mi.OutOfMemory, match="does not fit"):
        exp.sweep("resid_pre", progress=False)


def test_a_cell_that_is_not_finite_says_what_a_plain_run_says(model):
    exp = experiment(model)
    loud = mi.Scale("resid_pre", 1, position=10, factor=1e30)
    question = exp.snapshot(())
    found, _ = drained(measure_many(question, [(loud,), (mi.Patch("z", 0, head=2),)]))
    assert math.isnan(float(found[0].metric))
    with pytest.raises(mi.NotFinite) as plain:
        question.outcome("edited", (loud,))
    assert str(found[0].failed) == str(plain.value)
    assert found[1].failed is None
    with pytest.raises(mi.NotFinite) as fast:
        exp.run(loud)
    assert str(fast.value) == str(plain.value)


def test_where_packing_is_wrong_runs_go_side_by_side(model, monkeypatch):
    exp = experiment(model)
    expected = exp.sweep("z", progress=False)
    monkeypatch.setattr(engine.Packed, "prove", lambda self: "it is wrong here")
    found = exp.sweep("z", progress=False)
    torch.testing.assert_close(found.metric, expected.metric, atol=1e-5, rtol=1e-5)
    assert "side by side" in found.provenance.recomputed
    assert found.provenance.notes[-1] == "Runs were not packed: it is wrong here."


def test_a_wrong_engine_is_found_out(model, monkeypatch):
    exp = experiment(model)
    plain = engine.run_variants

    def wrong(model, runs, variants, spoiled):
        return (yield from plain(model, runs, variants, spoiled)).flip(-1)

    engine._PROVEN.pop(model, None)
    monkeypatch.setattr(engine, "run_variants", wrong)
    found = exp.sweep("z", progress=False)
    assert "side by side" in found.provenance.recomputed
    engine._PROVEN.pop(model)
    monkeypatch.undo()
    torch.testing.assert_close(found.metric, exp.sweep("z", progress=False).metric, atol=1e-5, rtol=1e-5)


def test_many_runs_are_laid_out_in_blocks(model, monkeypatch):
    exp = experiment(model)
    expected = exp.sweep("resid_pre", progress=False).metric
    monkeypatch.setattr(many, "BLOCK", 7)
    torch.testing.assert_close(exp.sweep("resid_pre", progress=False).metric, expected, atol=1e-5, rtol=1e-5)


def test_resampled_cells_are_means_over_draws(model):
    exp = experiment(model)
    edit = mi.Resample(prompts=[CORRUPTED, CLEAN], n=3, seed=1)
    agree(exp, [edit.on(site="z", layer=1, head=h) for h in range(4)])
    agree(exp, [mi.Zero("mlp_out", 2, position=3)], (edit.on(site="z", layer=0, head=1),))


def test_nothing_stays_behind(model):
    before = {name: len(m._forward_hooks) + len(m._forward_pre_hooks) for name, m in model.shadow.named_modules()}
    experiment(model).sweep("z", progress=False)
    after = {name: len(m._forward_hooks) + len(m._forward_pre_hooks) for name, m in model.shadow.named_modules()}
    assert before == after
    assert not any("forward" in vars(m) for m in model.shadow.modules())


def test_other_work_goes_between_the_layers_of_a_piece(model):
    exp = experiment(model)
    steps = measure_many(exp.snapshot(()), [(mi.Patch("resid_pre", 0, position=p),) for p in range(15)])
    numbers = count()
    for found in steps:
        next(numbers)
        if found is None:
            exp.model.forward(exp.prompt("clean"))  # as a drag would, in between
    assert next(numbers) > model.n_layers
    agree(exp, [mi.Patch("resid_pre", 0, position=p) for p in range(15)])
