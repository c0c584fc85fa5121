"""The benchmark itself: that it compares like with like, and counts its floor right."""

from __future__ import annotations

import json
import re
import statistics
from dataclasses import asdict

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks import report
from tests.benchmarks.floor import Rate, Sizes, measured_products, multiply_adds
from tests.benchmarks.measure import Column, Plan, measure
from tests.benchmarks.profiling import kind_of, profile
from tests.benchmarks.rows import SHAPES as SHAPES_MEASURED
from tests.benchmarks.rows import TINY, Row, all_rows, drawn, model_of, pair_of
from tests.benchmarks.window import measure_window

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

SHAPES = tuple(TINY)


@pytest.fixture(scope="module", autouse=True)
def alone():
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def measured():
    """A sampled map and single patches."""
    rows = (Row("gpt2", 16, False, "resid_pre"), Row("gpt2", 16, False, "drag"))
    plan = Plan(rounds=2, cells=6, layers=1, drags=4)
    return {row.kind: measure(row, TINY["gpt2"], plan) for row in rows}


@pytest.mark.parametrize("row", [Row("qwen2", 6, False, "resid_pre"), Row("qwen2", 6, True, "z")], ids=lambda r: r.name)
def test_all_ways_give_the_same_map(row):
    found = measure(row, TINY[row.shape], Plan(rounds=1))
    assert found.wrong == []
    assert found.spread > 0.02
    cells = 3 * (4 if row.site == "z" else 6)
    assert [c.compared for c in found.columns] == [cells] * 4
    assert all(c.cpu[0] > 0 for c in found.columns)
    assert found.floor > 0


def test_a_sampled_row_compares_what_was_run(measured):
    found = measured["resid_pre"]
    assert found.wrong == []
    ours, hooks, lens, sight = found.columns
    assert ours.share == 1
    assert hooks.share == lens.share == 6 / 48
    assert sight.share == 16 / 48
    assert hooks.compared == lens.compared == ours.compared == 12
    assert 6 <= sight.compared <= 12
    assert [c.compared for c in measured["drag"].columns] == [4] * 4
    assert [len(c.paused) for c in measured["drag"].columns] == [4, 0, 0, 0]
    assert measured["drag"].wrong == []


def test_a_column_that_is_off_is_told():
    right = {(0, 0): 1.0, (0, 1): 2.0}
    for wrong in ({(0, 0): 1.0, (0, 1): 2.1}, {(0, 0): float("nan"), (0, 1): 2.0}):
        column = Column("other")
        column.compare(wrong, right)
        assert column.error > 0.09
        column.compare(right, right)
        assert column.error > 0.09


@pytest.mark.parametrize("shape", SHAPES)
def test_the_floor_of_one_token_is_what_the_layers_multiply(shape):
    hf = model_of(TINY[shape])
    # The kernel of the usual attention is not counted.
    hf.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        hf.base_model(torch.tensor([[3]]), use_cache=False)
    layer = counter.get_total_flops() // 2 // 3
    sizes = Sizes.of(TINY[shape])
    assert sizes.layer(0, 1) == layer
    # Entered at each of three layers, and two logits each.
    assert multiply_adds(Row(shape, 1, False, "resid_pre"), sizes) == (3 + 2 + 1) * layer + 3 * 2 * 32


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shares", [False, True])
def test_the_floor_counts_what_each_row_of_each_layer_needs(shape, shares):
    sizes, last = Sizes.of(TINY[shape]), 15
    first = 9 if shares else 0
    keys = 2 * 32 * 8 * (4 if shape == "gpt2" else 2)
    mlp = 2 * 32 * 128 if shape == "gpt2" else 3 * 32 * 48

    def row(layer, position):
        """One position in one layer, once it differs from the unedited run."""
        return keys + (32 * 32 * 2 + mlp + 64 * (position + 1) if layer < 2 or position == last else 0)

    resid = sum(
        64 + sum(row(above, p) for above in range(layer, 3) for p in range(position, 16))
        for layer in range(3)
        for position in range(first, 16)
    )
    assert multiply_adds(Row(shape, 16, shares, "resid_pre"), sizes) == resid
    z = sum(
        4 * (64 + (16 - first if layer < 2 else 1) * (8 * 32 + mlp))
        + 4 * sum(row(above, p) for above in range(layer + 1, 3) for p in range(first, 16))
        for layer in range(3)
    )
    assert multiply_adds(Row(shape, 16, shares, "z"), sizes) == z


def test_prompts_share_what_they_shall():
    for row in all_rows():
        pair = pair_of(row, 97, seed=1)
        same = (pair.clean == pair.corrupted)[0]
        assert same.tolist() == [p < row.first for p in range(row.tokens)]
        assert pair.answer != pair.distractor
        assert not torch.equal(pair.clean, pair_of(row, 97, seed=2).clean)


def test_half_of_a_sample_is_from_the_layers_others_run():
    cells = Row("gpt2", 16, False, "resid_pre").cells(12, 12)
    some = drawn(cells, 20, [7], seed=0)
    assert len(set(some)) == 20
    assert sum(layer == 7 for layer, _ in some) >= 10
    assert len({layer for layer, _ in some}) > 3
    assert drawn(cells, None, [], seed=0) == cells


def test_verdicts():
    assert report.verdict(20.0, 20) == "reached"
    assert report.verdict(16.0, 20) == "80 %"
    assert report.verdict(15.9, 20) == "below"
    assert [report.verdict(ms, 35, less=True) for ms in (35, 43, 44)] == ["reached", "80 %", "below"]
    assert report.verdict(1.0, None) == ""
    headline = Row("gpt2", 16, False, "resid_pre")
    slow, fast = Rate({"torch": 1e9, "oneDNN": 1.1e9}), Rate({"torch": 1e9, "oneDNN": 2e9})
    assert [headline.targets(rate.fast).transformer_lens for rate in (slow, fast)] == [10, 20]


def test_the_record_is_the_median_of_ratios(measured):
    found = measured["resid_pre"]
    record = report.record_of(found)
    ours, lens = found.columns[0].cpu, found.columns[2].cpu
    assert record["figures"]["transformer_lens"]["value"] == statistics.median([lens[0] / ours[0], lens[1] / ours[1]])
    assert record["figures"]["floor"]["value"] == pytest.approx(statistics.median(ours) / found.floor)
    assert record["figures"]["floor"]["target"] == 1.5
    drag = report.record_of(measured["drag"])
    assert drag["figures"]["p90"]["value"] == pytest.approx(1000 * max(measured["drag"].columns[0].cpu))


def test_the_table_is_kept_row_by_row(measured, tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text("before\n" + "\nold figures\n".join(report.MARKS) + "\nafter\n", encoding="utf-8")
    for name, path in {"RESULTS": "results.json", "PAGE": "BENCHMARKS.md", "README": "README.md"}.items():
        monkeypatch.setattr(report, name, tmp_path / path)
    names = {kind: found.row.name for kind, found in measured.items()}
    records = {kind: report.record_of(found) for kind, found in measured.items()}
    for kind in ("drag", "resid_pre"):
        report.keep({names[kind]: records[kind]})
    kept = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert kept["rows"] == {names[kind]: records[kind] for kind in ("resid_pre", "drag")}
    page = (tmp_path / "BENCHMARKS.md").read_text(encoding="utf-8")
    assert f"transformers: {transformers.__version__}" in page
    ratio = records["resid_pre"]["figures"]["nnsight"]["value"]
    assert f"| {ratio:.1f}× (5× or 10×" in page.replace("(5×", "(5× or 10×").replace("(10×", "(5× or 10×")
    told = readme.read_text(encoding="utf-8")
    assert told.startswith("before\n" + report.MARKS[0])
    assert told.endswith(report.MARKS[1] + "\nafter\n")
    assert "old figures" not in told
    assert f"| {ratio:.1f}× |" in told

    monkeypatch.setattr(report, "machine", lambda: {**kept["machine"], "torch": "another"})
    assert "dropped" in report.keep({names["drag"]: records["drag"]})
    assert list(json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["rows"]) == [names["drag"]]


def test_a_window_of_a_long_prompt_is_measured_and_right():
    found = measure_window(TINY["gpt2"], tokens=64, window=3)
    assert found.cells == 9
    assert found.megabytes >= 0
    assert found.compared == 3
    assert found.error < 1e-4
    assert "9 cells of 64 tokens" in report.told_window(asdict(found))


def test_products_of_single_patches_grow_with_their_rows_and_layers():
    sizes = Sizes.of(SHAPES_MEASURED["gpt2"])
    small, large = (measured_products(sizes, 64, [cell]) for cell in ((11, 63), (0, 0)))
    assert 0 < small.median == small.p90
    assert large.median > 10 * small.median


def test_a_profile_tells_where_the_time_goes():
    kinds = ("aten::addmm", "mkldnn::_linear_pointwise", "aten::_softmax", "aten::native_layer_norm", "aten::add")
    products = "matrix products"
    expected = [products, products, "attention", "norms and activations", "other operations"]
    assert [kind_of(name) for name in kinds] == expected
    told = profile(Row("gpt2", 6, False, "z"), TINY["gpt2"])
    assert told.startswith("gpt2-6-z: ")
    for kind in expected:
        assert re.search(rf"^  {kind} +[0-9.]+ ms +[0-9.]+%$", told, re.MULTILINE)
