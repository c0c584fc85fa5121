"""Head scores, thumbnails and pooling against brute-force loops written from the definitions."""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from mi_widgets.analysis.attention import atlas_steps, window_steps
from mi_widgets.analysis.pooling import pool
from mi_widgets.analysis.scores import SCORES, score_layer
from mi_widgets.results import Progress
from tests.python.by_hand import record
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CORRUPTED,
    build,
    experiment,
    ids_of,
    word_tokenizer,
    wrapped,
)

REPEATED = "Mary saw John , Mary saw John , Mary saw Anna"


@pytest.fixture(scope="module", params=["gpt2", "mistral"])
def model(request):
    return wrapped(request.param)


def mean(values):
    return sum(values) / len(values) if values else math.nan


def brute(name, a, ids):
    """One head's score; a[dest][src] are its weights."""
    n = len(ids)
    if name == "previous":
        return mean([a[d][d - 1] for d in range(2, n)])
    if name == "first":
        return mean([a[d][0] for d in range(1, n)])
    if name == "entropy":
        return mean([-sum(p * math.log(p) for p in a[d] if p > 0) for d in range(1, n)])
    rows = []
    for d in range(n):
        earlier = [j for j in range(d) if ids[j] == ids[d]]
        # Position 0 never counts as a source; an induction source is the position after an earlier occurrence.
        wanted = earlier if name == "duplicate" else [j + 1 for j in earlier if j + 1 < d]
        wanted = [s for s in wanted if s != 0]
        if wanted:
            rows.append(sum(a[d][s] for s in wanted))
    return mean(rows)


def agree(found, expected):
    assert (math.isnan(found) and math.isnan(expected)) or found == pytest.approx(expected, abs=1e-5)


IDS = {
    "nothing repeats": (1, 2, 3, 4, 5),
    "repeats": (9, 1, 2, 3, 1, 2, 3, 1),
    "from position 0": (1, 2, 3, 1, 2, 3),
    "only position 0": (1, 2, 3, 1),
    "side by side": (9, 1, 1, 2),
    "all the same": (7, 7, 7, 7, 7),
    "two": (1, 1),
    "one": (1,),
}


@pytest.mark.parametrize("name", list(SCORES))
@pytest.mark.parametrize("case", list(IDS))
def test_scores_are_the_loops_of_the_definitions(name, case):
    ids = IDS[case]
    raw = torch.randn(3, len(ids), len(ids), generator=torch.Generator().manual_seed(4))
    visible = torch.ones(len(ids), len(ids)).tril().bool()
    pattern = raw.masked_fill(~visible, -math.inf).softmax(-1)
    found = score_layer(pattern, ids)[name]
    assert found.shape == (3,)
    for head in range(3):
        agree(float(found[head]), brute(name, pattern[head].tolist(), ids))


def test_where_a_score_is_undefined_it_says_why(model):
    exp = mi.Experiment(model, "Mary saw John", answer=" Anna")
    frame = exp.head_scores()
    assert frame["induction"].isna().all()
    assert frame["duplicate"].isna().all()
    assert (frame["induction_n"] == 0).all()
    assert frame["previous"].notna().all()
    atlas = finish(atlas_steps(exp.snapshot()))
    assert "random tokens" in atlas.scores["induction"].reason
    assert atlas.scores["induction"].n == 0
    assert atlas.scores["previous"].reason is None
    assert bool(atlas.scores["duplicate"].bars.isnan().all())


def test_entropy_counts_a_sink_outside_the_pattern_as_one_outcome():
    pattern = torch.tensor([[[0.5, 0.0], [0.25, 0.25]]])
    expected = -(0.25 * math.log(0.25) * 2 + 0.5 * math.log(0.5))
    assert float(score_layer(pattern, (1, 2))["entropy"][0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma2"])
def test_rounding_of_half_precision_is_no_outcome_of_its_own(family):
    """A row of bfloat16 weights misses 1 by up to 0.002; counted as a sink it would add 0.012 nats."""
    exp = experiment(mi.wrap(build(family, seed=2).bfloat16(), word_tokenizer()))
    patterns = exp.patterns().values
    torch.testing.assert_close(patterns.sum(-1), torch.ones(3, 4, 15), atol=1e-5, rtol=0)
    rows = patterns.double()[:, :, 1:]
    entropy = -(rows * rows.clamp(min=1e-300).log()).sum(-1).mean(-1)
    assert exp.head_scores()["entropy"].tolist() == pytest.approx(entropy.flatten().tolist(), abs=1e-5)


@pytest.mark.parametrize("run", ["clean", "corrupted"])
def test_the_frame_has_a_row_per_head(model, run):
    exp = mi.Experiment(model, REPEATED, CORRUPTED, " Mary", " John")
    text = REPEATED if run == "clean" else CORRUPTED
    ids = ids_of(model, text)
    sites = record(model.hf, ids)
    frame = exp.head_scores(run=run)
    assert frame[["layer", "head"]].to_numpy().tolist() == [[i, h] for i in range(3) for h in range(4)]
    effect = exp.attribution("head", run=run).values
    for row in frame.to_dict("records"):
        weights = sites["pattern", row["layer"]][row["head"]].tolist()
        for name in SCORES:
            agree(row[name], brute(name, weights, ids))
        assert row["logit_effect"] == pytest.approx(float(effect[row["layer"], row["head"]]), abs=1e-6)
    n = sum(any(ids[j] == t and j + 1 < d for j in range(d)) for d, t in enumerate(ids))
    assert set(frame["induction_n"]) == {n}


def run_out(steps):
    """(what a generator yields, what it returns)."""
    kept = []

    def whole():
        kept.append((yield from steps))

    yielded = list(whole())
    return yielded, kept[0]


def finish(steps):
    """What a job's generator returns."""
    return run_out(steps)[1]


def by_cell(pattern, size):
    """Each cell of a pooled map is the strongest (by magnitude, sign kept) of the cells it covers."""
    height, width = pattern.shape[-2:]
    out = torch.empty(*pattern.shape[:-2], size, size)
    for i in range(size):
        for j in range(size):
            rows = slice(i * height // size, -(-(i + 1) * height // size))
            columns = slice(j * width // size, -(-(j + 1) * width // size))
            block = pattern[..., rows, columns].flatten(-2)
            out[..., i, j] = block.gather(-1, block.abs().argmax(-1, keepdim=True))[..., 0]
    return out


@pytest.mark.parametrize(("side", "limit"), [(15, 48), (7, 7), (5, 5)])
def test_thumbnails_are_the_pooled_patterns(model, side, limit):
    exp = experiment(model)
    yielded, atlas = run_out(atlas_steps(exp.snapshot(), side_limit=limit))
    seen = [value for value in yielded if isinstance(value, Progress)]
    parts = [value for value in yielded if not isinstance(value, Progress)]
    sites = record(model.hf, ids_of(model, CLEAN))
    patterns = torch.stack([sites["pattern", layer] for layer in range(3)])
    assert atlas.side == side
    assert atlas.positions == 15
    torch.testing.assert_close(atlas.thumbs, by_cell(patterns, side), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat([p.thumbs for p in parts]), atlas.thumbs)
    assert sorted({p.done for p in seen}) == [0, 1, 2, 3]
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert set(atlas.scores) == {*SCORES, "logit_effect"}
    assert {tuple(score.values.shape) for score in atlas.scores.values()} == {(3, 4)}
    for score in atlas.scores.values():
        bars = score.bars[~score.bars.isnan()]
        assert bool(((bars >= 0) & (bars <= 1)).all())


def test_the_difference_is_clean_minus_corrupted(model):
    exp = experiment(model)
    clean, corrupted = (record(model.hf, ids_of(model, text)) for text in (CLEAN, CORRUPTED))
    expected = torch.stack([clean["pattern", i] - corrupted["pattern", i] for i in range(3)])
    torch.testing.assert_close(exp.patterns(run="difference").values, expected, atol=1e-5, rtol=1e-5)
    atlas = finish(atlas_steps(exp.snapshot(), "difference", side_limit=6))
    torch.testing.assert_close(atlas.thumbs, by_cell(expected, 6), atol=1e-5, rtol=1e-5)
    scores = [exp.head_scores(run=run)["previous"].to_numpy() for run in ("clean", "corrupted")]
    assert atlas.scores["previous"].values.flatten().tolist() == pytest.approx(
        (scores[0] - scores[1]).tolist(), abs=1e-5
    )
    uneven = mi.Experiment(model, CLEAN, SHORT_CORRUPTED, " Mary", " John")
    with pytest.raises(mi.PromptMismatch, match="15 and 10 tokens"):
        uneven.patterns(run="difference")


def test_a_window_is_cut_before_it_is_pooled(model):
    question = experiment(model).snapshot()
    pattern = record(model.hf, ids_of(model, CLEAN))["pattern", 1][2]
    whole = finish(window_steps(question, "clean", [(1, 2)], (4, 12), (2, 10), 48))
    torch.testing.assert_close(whole[0], pattern[4:12, 2:10], atol=1e-5, rtol=1e-5)
    pooled = finish(window_steps(question, "clean", [(1, 2)], (4, 12), (2, 10), 3))
    torch.testing.assert_close(pooled[0], by_cell(pattern[4:12, 2:10], 3), atol=1e-5, rtol=1e-5)
    for dest, src in (((0, 16), (0, 3)), ((3, 3), (0, 3)), ((0, 3), (-1, 3))):
        with pytest.raises(mi.BadInput, match="outside the prompt"):
            finish(window_steps(question, "clean", [(1, 2)], dest, src, 48))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("signed", [False, True])
def test_pooling_loses_no_strong_cell(seed, signed):
    """The largest magnitude stays, nothing is invented, and a small map stays as it is."""
    generator = torch.Generator().manual_seed(seed)
    height, width, rows, columns = (int(i) for i in torch.randint(1, 40, (4,), generator=generator))
    pattern = torch.randn(2, height, width, generator=generator)
    pattern = pattern if signed else pattern.abs()
    small = pool(pattern, rows, columns, signed)
    assert small.shape == (2, min(rows, height), min(columns, width))
    assert torch.equal(small.flatten(1).abs().amax(-1), pattern.flatten(1).abs().amax(-1))
    assert set(small.flatten().tolist()) <= set(pattern.flatten().tolist())
    assert torch.equal(pool(pattern, height, width, signed), pattern)
    if signed:
        assert torch.equal(pool(-pattern, rows, columns, signed), -small)


def test_patterns_by_layer_and_head(model):
    exp = experiment(model)
    sites = record(model.hf, ids_of(model, CLEAN))
    found = exp.patterns(layers=[2, 0], heads=3)
    torch.testing.assert_close(
        found.values[:, 0], torch.stack([sites["pattern", i][3] for i in (2, 0)]), atol=1e-5, rtol=0
    )
    assert (found.layers, found.heads) == ((2, 0), (3,))
    frame = found.to_frame()
    assert list(frame.columns) == ["layer", "head", "dest", "src", "weight"]
    cell = frame[(frame.layer == 0) & (frame.dest == 7) & (frame.src == 5)]["weight"].item()
    assert cell == pytest.approx(float(sites["pattern", 0][3, 7, 5]), abs=1e-5)
    for bad in ({"layers": [3]}, {"layers": [-1]}, {"heads": [4]}, {"heads": []}, {"prompt": 1}, {"run": "middle"}):
        with pytest.raises(mi.BadInput):
            exp.patterns(**bad)


def test_patterns_too_large_for_memory_must_be_asked_for_in_parts(model, monkeypatch):
    monkeypatch.setattr("mi_widgets.analysis.attention.BIGGEST", 4 * 4 * 15 * 15)
    exp = experiment(model)
    with pytest.raises(mi.BadInput, match="by layer or head"):
        exp.patterns()
    assert exp.patterns(layers=1).values.shape == (1, 4, 15, 15)
