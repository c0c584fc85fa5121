"""Scores of one's own: marked cells, and one cell of every head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mi_widgets as mi
from mi_widgets.analysis.attention import atlas_steps
from mi_widgets.analysis.attention_runs import finished
from mi_widgets.analysis.edges import edge_scores, edge_steps
from tests.families.configs import build as family_of
from tests.python.by_hand import record
from tests.python.families import CLEAN, experiment, ids_of, word_tokenizer, wrapped


@pytest.fixture(scope="module", params=["gpt2", "mistral", "gemma2"])
def model(request):
    return wrapped(request.param)


def marked(seed, length=15):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(length, length, generator=generator) < 0.2).tril()


def test_a_mask_is_the_mean_over_rows_of_the_attention_it_marks(model):
    masks = {"some": marked(0), "one row": torch.zeros(15, 15).index_fill(0, torch.tensor([9]), 1).tril()}
    sites = record(model.hf, ids_of(model, CLEAN))
    exp = experiment(model)
    frame = exp.head_scores(masks=masks)
    atlas = finished(atlas_steps(exp.snapshot(), masks=masks))
    for name, mask in masks.items():
        mask = mask.bool()
        for row in frame.to_dict("records"):
            a = sites["pattern", row["layer"]][row["head"]]
            rows = [float(a[d][mask[d]].sum()) for d in range(15) if bool(mask[d].any())]
            assert row[name] == pytest.approx(sum(rows) / len(rows), abs=1e-5)
        score = atlas.scores[name]
        assert score.values.flatten().tolist() == pytest.approx(frame[name].tolist(), abs=1e-6)
        assert score.n == int(mask.any(-1).sum())
        assert (score.label, score.reason) == (name, None)
        assert name in score.card


@pytest.mark.parametrize("kind", ["tensor", "array", "lists", "numbers"])
def test_masks_come_in_any_form(model, kind):
    mask = marked(1)
    forms = {"tensor": mask, "array": mask.numpy(), "lists": mask.tolist(), "numbers": mask.to(torch.int8)}
    found = experiment(model).head_scores(masks={"mine": forms[kind]})["mine"]
    assert found.tolist() == experiment(model).head_scores(masks={"mine": mask})["mine"].tolist()


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"mine": torch.ones(15, 14)}, r"\[15, 14\], not \[dest, src\]"),
        ({"mine": torch.eye(9)}, "9 x 9 and the prompt has 15 tokens"),
        ({"mine": torch.eye(15) / 2}, "other numbers than 0 and 1"),
        ({"mine": torch.zeros(15, 15)}, "marks no cell"),
        ({"mine": torch.ones(15, 15)}, "source 1 of dest 0"),
        ({"mine": "all"}, "no array"),
        ({"mine": np.full((15, 15), np.nan)}, "other numbers"),
        ({"previous": torch.eye(15)}, "cannot be called 'previous'"),
        ({"": torch.eye(15)}, "cannot be called ''"),
        ({3: torch.eye(15)}, "cannot be called 3"),
    ],
)
def test_masks_that_cannot_be_meant(masks, words):
    with pytest.raises(mi.BadInput, match=words):
        experiment(wrapped("gpt2")).head_scores(masks=masks)


def test_a_mask_of_another_prompt_is_undefined_in_the_picture_and_says_why():
    """The prompt is edited in place: the picture must go on."""
    exp = experiment(wrapped("gpt2"), "Mary saw Anna", None)
    score = finished(atlas_steps(exp.snapshot(), masks={"mine": torch.eye(15)})).scores["mine"]
    assert bool(score.values.isnan().all())
    assert score.n == 0
    assert "15 x 15 and the prompt has 4 tokens" in score.reason


@pytest.mark.parametrize("run", ["clean", "corrupted", "edited", "difference"])
def test_heads_are_ranked_by_one_cell(model, run):
    exp = experiment(model)
    exp.edits.add(mi.Zero("z", 0, head=1))
    pattern = exp.patterns(run=run).values
    found = edge_scores(exp.snapshot(), run, 10, 8)
    torch.testing.assert_close(found, pattern[:, :, 10, 8], atol=1e-6, rtol=1e-5)
    frame = exp.head_scores(edge=(10, 8), run=run)
    assert frame["edge"].tolist() == pytest.approx(pattern[:, :, 10, 8].flatten().tolist(), abs=1e-6)


def test_a_cell_by_its_names_and_weighted_by_values(model):
    exp = experiment(model, positions={"giver": 10})
    frame = exp.head_scores(edge=("end", "giver"))
    assert frame["edge"].tolist() == exp.head_scores(edge=(-1, 10))["edge"].tolist()
    score = finished(edge_steps(exp.snapshot(), "clean", 14, 12, "value"))
    sites = record(model.hf, ids_of(model, CLEAN))
    for layer in range(3):
        result = sites["result", layer]
        v, a = sites["v", layer], sites["pattern", layer][:, 14, 12]
        # W_O of each head, told from what the heads write: z -> result is linear.
        z = sites["z", layer]
        for head in range(4):
            w_o = torch.linalg.lstsq(z[:, head].double(), result[:, head].double()).solution
            norm = (v[12, head * v.shape[1] // 4].double() @ w_o).norm()
            assert float(score.values[layer, head]) == pytest.approx(float(a[head] * norm), rel=2e-2, abs=1e-4)
    assert score.label == "cell 14<12"
    assert float(score.bars.max()) == pytest.approx(1)
    assert "Kobayashi" in score.source


@pytest.mark.parametrize("edge", [(15, 0), (3, 4), (0, 99), (-16, 0), (3,), "ab", (2.5, 1), (None, 0), 7])
def test_cells_that_are_not_there(edge):
    with pytest.raises(mi.BadInput):
        experiment(wrapped("gpt2")).head_scores(edge=edge)


def test_layers_without_attention_have_no_cell():
    exp = mi.Experiment(mi.wrap(family_of("jamba"), word_tokenizer()), CLEAN, answer=" Mary")
    for weighting in ("attention", "value"):
        score = finished(edge_steps(exp.snapshot(), "clean", 9, 2, weighting))
        with_attention = [part.attention is not None for part in exp.model.architecture.layers]
        assert [bool(row.isfinite().all()) for row in score.values] == with_attention
        assert score.reason is None
    frame = exp.head_scores(edge=(9, 2), masks={"mine": torch.eye(15)})
    gone = frame[frame.layer == with_attention.index(False)]
    assert gone.drop(columns=["layer", "head", "induction_n"]).isna().all(axis=None)


def test_where_no_layer_tells_values_the_score_says_why():
    exp = mi.Experiment(mi.wrap(family_of("qwen3_next"), word_tokenizer()), CLEAN, answer=" Mary")
    score = finished(edge_steps(exp.snapshot(), "clean", 9, 2, "value"))
    assert bool(score.values.isnan().all())
    assert "gates" in score.reason
    assert bool(score.bars.isnan().all())
