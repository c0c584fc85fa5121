"""Attention read layer by layer and block by block is that of one whole pass; what was read is not run again."""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from mi_widgets.analysis import attention, attention_runs
from mi_widgets.analysis.attention import Atlas, AtlasPart, atlas_steps, window_steps
from mi_widgets.analysis.attention_runs import AttentionRun, finished
from tests.families import oracle
from tests.python.by_hand import record
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CLEAN,
    build,
    experiment,
    ids_of,
    word_tokenizer,
    wrapped,
)

EDITS = {
    "none": (),
    "embed": (mi.Patch("embed", position=10),),
    "first stream": (mi.Patch("resid_pre", 0, alpha=0.5),),
    "stream at a step": (mi.Patch("resid_pre", 2, position=10), mi.Zero("resid_post", 0, position=3)),
    "heads": (mi.Zero("z", 0, head=1), mi.Scale("v", 1, head=0, factor=2.0), mi.Zero("q", 2, head=3)),
    "weights": (mi.Zero("pattern", 1, head=2), mi.Knockout(layer=0, head=1, dest=-1, src=3)),
    "draws": (mi.Resample("z", 0, prompts=[CORRUPTED, CLEAN.replace("John", "Anna")], n=3),),
}


@pytest.fixture
def by_layer(monkeypatch):
    """Every pass stops after each layer."""
    monkeypatch.setattr(attention_runs, "CELLS", 1)
    monkeypatch.setattr(attention_runs, "PROVEN", 0)


def read(run, layer, **more):
    heads = range(run.model.n_heads)
    return finished(run.reach(layer, **more))(heads, (0, run.length))


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma2"])
@pytest.mark.parametrize("which", list(EDITS))
def test_a_pass_in_steps_gives_what_a_whole_one_gives(family, which, by_layer):
    """The whole one is the edited run that `read` gives, which has tests of its own."""
    exp = experiment(wrapped(family))
    for edit in EDITS[which]:
        exp.edits.add(edit)
    run = AttentionRun(exp.snapshot(), "edited")
    for layer in (0, 2, 1):
        torch.testing.assert_close(read(run, layer), exp.read("pattern", layer, run="edited")[0], atol=1e-6, rtol=1e-5)


def test_the_first_layers_are_shown_before_the_last_is_run(by_layer):
    exp = experiment(mi.wrap(build("llama", seed=5), word_tokenizer()))
    entered = []
    for layer, part in enumerate(exp.model.architecture.layers):
        module = exp.model.shadow.get_submodule(part.path)
        module.register_forward_pre_hook(lambda *_, at=layer: entered.append(at))
    assert exp.model.resumes  # proven once, by passes of its own
    entered.clear()
    steps = atlas_steps(exp.snapshot())
    part = next(value for value in steps if isinstance(value, AtlasPart))
    assert part.layers == (0, 1)
    # The pass stops at the door of the next layer.
    assert set(entered) <= {0, 1}
    rest = [value for value in steps if isinstance(value, AtlasPart)]
    assert [value.layers for value in rest] == [(1, 2), (2, 3)]
    assert 2 in entered


@pytest.mark.parametrize("steps", ["in one", "by layer"])
def test_one_pass_does_for_patterns_scores_and_attribution(steps, request):
    if steps == "by layer":
        request.getfixturevalue("by_layer")
    exp = experiment(mi.wrap(build("llama", seed=6), word_tokenizer()))
    assert exp.model.resumes
    last = exp.model.shadow.get_submodule(exp.model.architecture.layers[-1].path)
    ran = []
    last.register_forward_hook(lambda *_: ran.append(1))
    atlas = finished(atlas_steps(exp.snapshot()))
    assert len(ran) == 1
    assert atlas.forward_ms > 0
    alone = experiment(mi.wrap(build("llama", seed=6), word_tokenizer()))
    torch.testing.assert_close(atlas.scores["logit_effect"].values, alone.attribution("head").values)
    # What it has read answers what is asked next.
    window = finished(window_steps(exp.snapshot(), "clean", [(2, 1), (0, 3)], (5, 9), (0, 9), 48, weighting="value"))
    assert window.shape == (2, 4, 9)
    again = finished(atlas_steps(exp.snapshot()))
    assert len(ran) == 1
    assert math.isnan(again.forward_ms)  # Nothing was run.
    assert torch.equal(again.thumbs, atlas.thumbs)


def test_what_was_read_is_forgotten_with_the_weights():
    exp = experiment(mi.wrap(build("llama", seed=7), word_tokenizer()))
    before = finished(atlas_steps(exp.snapshot())).thumbs
    with torch.no_grad():
        exp.model.hf.model.layers[0].self_attn.q_proj.weight.mul_(2)
    after = finished(atlas_steps(exp.snapshot())).thumbs
    expected = torch.stack([record(exp.model.hf, ids_of(exp.model, CLEAN))["pattern", i] for i in range(3)])
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)
    assert float((after - before).abs().max()) > 0.01


def test_what_has_left_the_cache_is_run_again(by_layer):
    exp = experiment(wrapped("mistral"))
    question = exp.snapshot()
    question.captures.budget = 0
    run = AttentionRun(question, "clean")
    sites = record(exp.model.hf, ids_of(exp.model, CLEAN))
    for layer in (2, 0, 1, 1, 0):
        torch.testing.assert_close(read(run, layer), sites["pattern", layer], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", ["in one", "by layer"])
def test_nan_is_named_where_it_arises(steps, request):
    if steps == "by layer":
        request.getfixturevalue("by_layer")
    exp = experiment(mi.wrap(build("llama", seed=8), word_tokenizer()))
    assert exp.model.resumes
    with torch.no_grad():
        exp.model.hf.model.layers[1].mlp.down_proj.weight[3, 4] = torch.nan
    with pytest.raises(mi.NotFinite, match=r"L1.mlp_out"):
        finished(atlas_steps(exp.snapshot()))


def test_prompts_side_by_side_are_read_without_their_pads():
    """The model runs them left-padded; a reader counts positions in a prompt's own tokens."""
    model = wrapped("mistral")
    texts = [CLEAN, SHORT_CLEAN]
    question = mi.Experiment(model, texts, answer=" Mary").snapshot()
    run = AttentionRun(question, "clean")
    assert run.batch.pads != (0, 0)
    for row, text in enumerate(texts):
        sites = record(model.hf, ids_of(model, text))
        length = len(ids_of(model, text))
        for layer in range(3):
            reader = finished(run.reach(layer))
            torch.testing.assert_close(
                reader(range(4), (0, length), row), sites["pattern", layer], atol=1e-5, rtol=1e-5
            )
            part = reader([3, 1], (2, 5), row)
            torch.testing.assert_close(
                part, sites["pattern", layer][[3, 1], 2:5, : part.shape[-1]], atol=1e-5, rtol=1e-5
            )
            assert part.shape[-1] >= 5


@pytest.mark.parametrize("block", [1, 40, 200, 10**9])
@pytest.mark.parametrize("side", [4, 6, 15])
def test_the_size_of_a_block_changes_nothing(monkeypatch, block, side):
    exp = experiment(wrapped("gpt2"))
    monkeypatch.setattr(attention, "BLOCK", block)
    for run in ("clean", "difference"):
        found = finished(atlas_steps(exp.snapshot(), run, side))
        assert isinstance(found, Atlas)
        monkeypatch.undo()
        expected = finished(atlas_steps(exp.snapshot(), run, side))
        monkeypatch.setattr(attention, "BLOCK", block)
        torch.testing.assert_close(found.thumbs, expected.thumbs, atol=1e-6, rtol=0)
        for name, score in found.scores.items():
            torch.testing.assert_close(score.values, expected.scores[name].values, atol=1e-6, rtol=0, equal_nan=True)


FAMILIES = (
    "gpt2", "gpt_neox", "bloom", "mpt", "falcon", "falcon multi-query", "falcon alibi", "gptj", "llama", "qwen2",
    "qwen3", "mistral", "gemma2", "olmo2", "gpt_oss", "granite", "deepseek_v3", "jamba", "lfm2", "opt", "phi",
)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_and_value_weighted_norms_of_every_kind_of_family(family, by_layer):
    """Against the oracle: its own attention, values and output projection; no code of the package."""
    hf = oracle.model_of(family)
    hf.set_attn_implementation("eager")
    ids = ids_of(wrapped("gpt2"), CLEAN)
    sites = oracle.record(hf, family, torch.tensor([ids]))
    place = oracle.FAMILIES[family]
    exp = mi.Experiment(mi.wrap(oracle.model_of(family), word_tokenizer(), family), CLEAN, answer=" Mary")
    question, heads = exp.snapshot(), exp.model.n_heads
    for layer, module in enumerate(hf.get_submodule(place.layers)):
        if ("pattern", layer) not in sites:
            with pytest.raises(mi.SiteUnavailable):
                finished(window_steps(question, "clean", [(layer, 0)], (0, 3), (0, 3), 48, weighting="value"))
            continue
        asked = [(layer, h) for h in range(heads)]
        pattern, v = sites["pattern", layer][0], sites["v", layer][0]
        found = finished(window_steps(question, "clean", asked, (3, 12), (1, 14), 48))
        torch.testing.assert_close(found, pattern[:, 3:12, 1:14], atol=2e-5, rtol=1e-4)
        out = module.get_submodule(place.out)
        w_o = (out.weight if type(out).__name__ == "Conv1D" else out.weight.T).detach().unflatten(0, (heads, -1))
        by_head = v[:, [h * v.shape[1] // heads for h in range(heads)]]
        moved = torch.einsum("hds,shv,hvm->hdsm", pattern, by_head, w_o)
        # What all sources give together is what the head writes.
        torch.testing.assert_close(moved.sum(2).transpose(0, 1), sites["result", layer][0], atol=2e-5, rtol=1e-4)
        norms = moved.norm(dim=-1)
        weighted = finished(window_steps(question, "clean", asked, (0, 15), (0, 15), 48, weighting="value"))
        torch.testing.assert_close(weighted, norms, atol=5e-5, rtol=1e-3)
        assert float(norms.max()) > 0.05


def test_values_are_refused_where_a_gate_stands_behind_them():
    exp = mi.Experiment(mi.wrap(oracle.model_of("qwen3_next"), word_tokenizer()), CLEAN, answer=" Mary")
    layer = next(i for i, part in enumerate(exp.model.architecture.layers) if part.attention)
    assert finished(window_steps(exp.snapshot(), "clean", [(layer, 0)], (0, 3), (0, 3), 9)).shape == (1, 3, 3)
    with pytest.raises(mi.SiteUnavailable, match="gates"):
        finished(window_steps(exp.snapshot(), "clean", [(layer, 0)], (0, 3), (0, 3), 9, weighting="value"))


def test_weighted_runs_of_drawn_edits_are_means_of_what_each_draw_gives():
    """The mean over draws of A ||v W_O||, which is not the product of the means."""
    exp = experiment(wrapped("mistral"))
    drawn = mi.Resample("resid_pre", 0, prompts=[CORRUPTED, CLEAN.replace("John", "Anna")], n=3, seed=2)
    exp.edits.add(drawn)
    shown = (exp.snapshot(), "edited", [(1, 2)], (0, 15), (0, 15), 48)
    found = finished(window_steps(*shown, weighting="value"))
    each = []
    for draw in drawn.draws(1):
        question = exp.snapshot((draw,))
        each.append(finished(window_steps(question, *shown[1:], weighting="value")))
    torch.testing.assert_close(found, torch.stack(each).mean(0), atol=1e-6, rtol=1e-5)
    assert float((each[0] - each[1]).abs().max() + (each[0] - each[2]).abs().max()) > 0.01
    with pytest.raises(mi.BadInput, match="weighting"):
        finished(window_steps(*shown, weighting="norm"))


def test_one_run_is_held_against_that_of_another_model():
    mine = experiment(wrapped("mistral"))
    other = experiment(mi.wrap(build("mistral", seed=9), word_tokenizer()))
    against = AttentionRun(other.snapshot(), "clean")
    atlas = finished(atlas_steps(mine.snapshot(), "against", 48, other=against))
    expected = mine.patterns().values - other.patterns().values
    torch.testing.assert_close(atlas.thumbs, expected, atol=1e-6, rtol=0)
    scores = [exp.head_scores()["previous"].to_numpy() for exp in (mine, other)]
    assert atlas.scores["previous"].values.flatten().tolist() == pytest.approx(
        (scores[0] - scores[1]).tolist(), abs=1e-5
    )
    with pytest.raises(mi.BadInput, match="another experiment"):
        finished(atlas_steps(mine.snapshot(), "against"))
    smaller = AttentionRun(
        experiment(mi.wrap(build("mistral", num_hidden_layers=2), word_tokenizer())).snapshot(), "clean"
    )
    with pytest.raises(mi.BadInput, match="3 x 4 and 2 x 4 heads"):
        finished(atlas_steps(mine.snapshot(), "against", other=smaller))
    shorter = AttentionRun(experiment(wrapped("mistral"), SHORT_CLEAN).snapshot(), "clean")
    with pytest.raises(mi.PromptMismatch, match="15 and 10 tokens"):
        finished(atlas_steps(mine.snapshot(), "against", other=shorter))


@pytest.mark.parametrize("side", [6, 49])
def test_few_cells_exist_at_a_time_and_only_those_asked_for(monkeypatch, side):
    """Blocks stay within their limit, down to one thumbnail row of one head; a window works out its own rows."""
    exp = experiment(wrapped("gpt2"), [1, *([5, 9, 12, 7] * 12)], None)
    blocks = []
    plain = attention_runs.Reader.__call__

    def noted(self, heads, dest, row=0):
        found = plain(self, heads, dest, row)
        blocks.append((tuple(dest), found.numel()))
        return found

    monkeypatch.setattr(attention_runs.Reader, "__call__", noted)
    monkeypatch.setattr(attention, "BLOCK", 600)
    finished(atlas_steps(exp.snapshot(), "clean", side))
    one_row_of_one_head = (-(-49 // min(side, 49)) + 1) * 49
    assert max(size for _, size in blocks) <= max(600, one_row_of_one_head)
    # Of a causal pattern little more than the half that can be seen is worked out.
    assert sum(size for _, size in blocks) < 0.75 * 3 * 4 * 49**2
    blocks.clear()
    finished(window_steps(exp.snapshot(), "clean", [(1, 2), (0, 0)], (20, 31), (3, 9), 48))
    assert min(low for (low, _), _ in blocks) == 20
    assert max(high for (_, high), _ in blocks) == 31
    assert sum(high - low for (low, high), _ in blocks) == 22
