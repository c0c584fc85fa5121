"""The patch sweep widget on real models: each cell against the experiment and a run by hand."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import mi_widgets as mi
from mi_widgets.errors import BadInput, SiteUnavailable
from mi_widgets.export.image import LARGEST
from mi_widgets.widgets import sweeping
from mi_widgets.widgets.sweep_wire import EXACT, NONE, SAME
from tests.python import by_hand
from tests.python.families import experiment, word_tokenizer, wrapped
from tests.python.widgets.page import LIMIT, decoded
from tests.python.widgets.questions import CLEAN, CORRUPTED
from tests.python.widgets.sweep_page import NAMES, S2, SWEEP, same_as, shown, start, swept


def test_it_sweeps_by_itself_and_each_cell_is_a_run_of_its_own(table):
    sweep, exp = table.widget.sweep, table.exp
    assert (sweep["site"], sweep["edit"], sweep["base"], sweep["on_top"]) == ("resid_pre", "patch", "corrupted", False)
    assert (sweep["axis"], sweep["layers"], sweep["rev"]) == ("position", [0, 1, 2, 3], table.widget.question["rev"])
    assert (sweep["complete"], sweep["cancelled"], sweep["from_table"]) == (True, False, False)
    assert (sweep["done"], sweep["total"]) == (20, 20)
    state = shown(table, "state")
    # The prompts are the same up to the second name.
    assert (state[:, :S2] == SAME).all()
    assert (state[:, S2:] == EXACT).all()
    for layer in range(4):
        for position in range(15):
            run = exp.run(mi.Patch("resid_pre", layer, position=position), base="corrupted")
            assert shown(table, "metric")[layer, position] == pytest.approx(run.metric, abs=1e-4)
            assert shown(table, "recovered")[layer, position] == pytest.approx(run.recovered, abs=1e-4)
    assert np.isnan(shown(table, "stderr")).all()
    base = exp.baselines["metric"]
    assert sweep["baselines"]["clean"] == pytest.approx(base["clean"], abs=1e-4)
    np.testing.assert_allclose(shown(table, "metric")[:, :S2], base["corrupted"], atol=1e-5)
    assert table.widget.question["baselines"]["clean"] == pytest.approx(base["clean"], abs=1e-4)
    assert table.widget.revs["sweep"] == 1
    assert table.widget.status["state"] == "idle"


def test_a_cell_is_what_hooks_on_the_plain_model_give(sweep_of):
    exp = experiment(wrapped("gpt2"))
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    clean, corrupted = (torch.tensor(exp.prompt(run).prompts[0].ids) for run in ("clean", "corrupted"))
    source = by_hand.record(exp.model.hf, clean)
    for layer in range(3):
        for position in (S2, len(clean) - 1):

            def put(x, layer=layer, position=position):
                x[position] = source["resid_pre", layer][position]
                return x

            logits, _ = by_hand.changed(exp.model.hf, corrupted, {("resid_pre", layer): [put]})
            by_hooks = by_hand.logit_diff(logits[-1], exp.answer.ids[0], exp.distractor.ids[0])
            assert shown(page, "metric")[layer, position] == pytest.approx(by_hooks, abs=1e-4)


def test_columns_carry_both_tokens_where_they_differ(table):
    columns = table.widget.sweep["columns"]
    labels = {run: table.widget.question["prompts"][run]["labels"] for run in ("clean", "corrupted")}
    assert [column["position"] for column in columns] == list(range(15))
    assert [column["label"] for column in columns] == labels["corrupted"]
    assert {at: column["other"] for at, column in enumerate(columns) if column["other"]} == {S2: labels["clean"][S2]}


@pytest.mark.parametrize("site", ["resid_mid", "resid_post", "attn_out", "mlp_out", "z", "q", "k", "v", "pattern"])
def test_every_site_gives_the_map_of_the_experiment(table, site):
    done = swept(table, site=site)
    assert table.widget.sweep["site"] == done.content["data"]["map"]["site"] == site
    same_as(table, table.exp.sweep(site, progress=False))
    heads = site in ("z", "q", "k", "v", "pattern")
    assert table.widget.sweep["axis"] == ("head" if heads else "position")
    for name in NAMES:
        np.testing.assert_array_equal(decoded(done, name), shown(table, name))


@pytest.mark.parametrize(("edit", "template"), [("zero", mi.Zero()), ("mean", mi.Mean())])
def test_ablations_have_no_cell_that_cannot_differ(table, edit, template):
    swept(table, edit=edit, site="z")
    assert (shown(table, "state") == EXACT).all()
    same_as(table, table.exp.sweep("z", template, progress=False))
    swept(table, edit=edit, site="resid_pre", base="clean")
    same_as(table, table.exp.sweep("resid_pre", template, base="clean", progress=False))
    assert all(column["other"] == "" for column in table.widget.sweep["columns"])


def test_the_result_is_the_map_that_is_shown(table):
    same_as(table, table.widget.result)
    assert table.widget.result.site == "resid_pre"
    (best,) = table.widget.result.top(1)
    metric = table.exp.run(best).metric
    assert metric in (pytest.approx(shown(table, "metric").max()), pytest.approx(shown(table, "metric").min()))


def test_a_rectangle_is_run_again_and_laid_into_the_map(table):
    before = {name: shown(table, name) for name in NAMES}
    done = swept(table, part={"layers": [2, 1], "columns": [10, 14]})
    about = done.content["data"]["map"]
    assert not about["from_table"]
    assert (about["done"], about["total"], about["complete"]) == (20, 20, True)
    assert about["provenance"]["recomputed"].startswith("4 edited runs")
    for name in NAMES:
        np.testing.assert_allclose(decoded(done, name), before[name], atol=1e-5)
        np.testing.assert_array_equal(decoded(done, name), shown(table, name))


def test_a_cell_is_run_for_real_with_what_it_does_to_the_tokens(table):
    exp = table.exp
    exp.edits.add(mi.Zero("z", 0, head=1))
    table.widget.wait(LIMIT)
    for on_top, under in ((False, ()), (True, (mi.Zero("z", 0, head=1),))):
        wish = {"site": "mlp_out", "edit": "patch", "base": "corrupted", "on_top": on_top}
        reply = table.answer(table.request("sweep.cell", slot="cell", **wish, layer=1, column=S2)).content
        run = exp.run((*under, mi.Patch("mlp_out", 1, position=S2)))
        data = reply["data"]
        assert (data["layer"], data["column"], data["exact"], data["stderr"]) == (1, S2, True, None)
        assert data["metric"] == pytest.approx(run.metric, abs=1e-4)
        assert data["recovered"] == pytest.approx(run.recovered, abs=1e-4)
        top = run.top(1).iloc[0]
        told = data["effect"]["tokens"][0]
        assert (told["id"], told["after"]) == (top["id"], pytest.approx(top["prob"], abs=1e-4))
    assert len(exp.edits) == 1


def test_live_edits_change_the_map_only_where_it_is_on_top_of_them(table):
    before, revs = shown(table, "metric"), table.widget.revs["sweep"]
    table.exp.edits.add(mi.Zero("z", 1, head=0))
    table.widget.wait(LIMIT)
    np.testing.assert_array_equal(shown(table, "metric"), before)
    assert (table.widget.sweep["rev"], table.widget.revs["sweep"]) == (table.widget.question["rev"], revs + 1)
    assert table.widget.question["baselines"]["edited"] is not None
    swept(table, on_top=True)
    same_as(table, table.exp.sweep("resid_pre", on_top=True, progress=False))
    assert np.abs(shown(table, "metric") - before).max() > 1e-3
    # On top of an edit nothing is the same by its tokens alone.
    assert (shown(table, "state") == EXACT).all()
    table.exp.edits.toggle(0)
    table.widget.wait(LIMIT)
    np.testing.assert_allclose(shown(table, "metric"), before, atol=1e-5)


def test_key_value_heads_are_columns_of_their_own(sweep_of):
    exp = experiment(wrapped("llama"))
    page = sweep_of(exp, site="k")
    page.widget.wait(LIMIT)
    assert [column["label"] for column in page.widget.sweep["columns"]] == ["kv0 (H0-H1)", "kv1 (H2-H3)"]
    same_as(page, exp.sweep("k", progress=False))
    reasons = {each["name"]: each["reason"] for each in page.widget.sweep["edits_allowed"]}
    assert "over a prompt's own positions" in reasons["mean"]


def test_a_cell_whose_run_gives_no_number_has_none_and_says_so(sweep_of):
    model = mi.load()
    mary, john = (model.tokens(word).ids[-1] for word in (" Mary", " John"))

    def decided(logits, rows):
        difference = logits[:, mary] - logits[:, john]
        return torch.where(difference.abs() < 5, math.nan, difference)

    exp = mi.Experiment(model, CLEAN, CORRUPTED, answer=" Mary", distractor=" John", metric=decided)
    page = sweep_of(exp, site="z")
    page.widget.wait(LIMIT)
    plain = mi.Experiment(model, CLEAN, CORRUPTED, answer=" Mary", distractor=" John").sweep("z", progress=False)
    lost = plain.metric.abs() < 5
    assert 0 < int(lost.sum()) < lost.numel()
    np.testing.assert_array_equal(shown(page, "state"), np.where(lost, NONE, EXACT))
    np.testing.assert_array_equal(np.isnan(shown(page, "metric")), lost)
    sweep = page.widget.sweep
    assert (sweep["complete"], sweep["label"]) == (True, "decided")
    assert sweep["done"] == sweep["total"] == int((~lost).sum())
    assert any("no number" in note for note in sweep["notes"])
    assert page.widget.static_picture().startswith(b"\x89PNG")


@pytest.mark.parametrize("site", ["resid_pre", "z"])
def test_a_finished_map_needs_no_model(sweep_of, exp, tmp_path, site):
    found = exp.sweep(site, progress=False)
    result = mi.SweepResult.load(found.save(tmp_path / "map.safetensors"))
    page = sweep_of(result)
    page.widget.wait(LIMIT)
    same_as(page, found)
    assert page.widget.result is result
    sweep = page.widget.sweep
    assert (sweep["site"], sweep["edit"], sweep["base"], sweep["complete"]) == (site, "patch", "corrupted", True)
    assert page.widget.question["model"] is None
    assert page.widget.status["state"] == "idle"
    for op, params in (("sweep.start", SWEEP), ("edits.undo", {"base_rev": 1})):
        reply = page.answer(page.request(op, **params)).content
        assert (reply["kind"], reply["message"]) == (
            "failed", "This widget was made from a finished map: there is no model to ask.",
        )  # fmt: skip
    assert {each["reason"] for each in sweep["sites"] if each["name"] != site} == {
        "This is a finished map: there is no model to run."
    }
    text = "L2H1.z" if site == "z" else "L2.resid_pre@14"
    page.deliver({"method": "update", "state": {"selection": [text]}})
    assert [str(one) for one in page.widget.selection] == [text]
    assert "Patch sweep of tiny-names" in page.widget.static_text()
    assert page.widget.static_picture().startswith(b"\x89PNG")


def test_what_cannot_be_shown_is_refused_where_the_widget_is_made(exp):
    with pytest.raises(BadInput, match="shows no map of 'scores'"):
        mi.PatchSweep(exp, site="scores")
    with pytest.raises(BadInput, match="finished map of z, not of q"):
        mi.PatchSweep(exp.sweep("z", progress=False), site="q")
    with pytest.raises(BadInput, match="layer x head x position"):
        mi.PatchSweep(exp.sweep("z", positions="all", progress=False))
    with pytest.raises(BadInput, match="PatchSweep needs a prompt"):
        mi.PatchSweep(mi.load())
    with pytest.raises(BadInput, match="no argument edit="):
        mi.PatchSweep(exp, edit="zero")
    with pytest.raises(SiteUnavailable):
        mi.PatchSweep(parallel(), site="resid_mid")


def parallel():
    """A model whose attention and MLP read the same stream, so that there is nothing between them."""
    import transformers

    torch.manual_seed(0)
    config = transformers.GPTNeoXConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, use_parallel_residual=True,
    )  # fmt: skip
    return experiment(mi.wrap(transformers.GPTNeoXForCausalLM(config).eval(), word_tokenizer(), "parallel"))


def test_a_site_that_a_model_lacks_says_why(sweep_of):
    page = sweep_of(parallel())
    page.widget.wait(LIMIT)
    reasons = {each["name"]: each["reason"] for each in page.widget.sweep["sites"]}
    assert "parallel" in reasons["resid_mid"]
    assert reasons["resid_pre"] is None
    reply = page.answer(start(page, site="resid_mid")).content
    assert (reply["kind"], reply["error"]) == ("failed", "SiteUnavailable")


def test_the_output_holds_a_picture_and_the_cells_that_count(table):
    data, metadata = table.widget._repr_mimebundle_()
    lines = data["text/plain"].splitlines()
    assert lines[:3] == ["Patch sweep of tiny-names (4 layers)", f"prompt: {CLEAN}", f"corrupted: {CORRUPTED}"]
    assert lines[4] == (
        "patch resid_pre, base corrupted; 20 of 20 cells run, hatched: same tokens, cannot differ; "
        "recovered share: 0 as corrupted, 1 as clean:"
    )
    recovered = shown(table, "recovered")
    best = np.unravel_index(np.argmax(np.abs(recovered)), recovered.shape)
    assert lines[5].startswith(f"  L{best[0]} ")
    assert lines[5].endswith(f"{recovered[best]:+.3f}")
    swept(table, edit="zero", base="clean")
    destroyed = 1 - shown(table, "recovered")
    best = np.unravel_index(np.argmax(np.abs(destroyed)), destroyed.shape)
    lines = table.widget.static_text().splitlines()
    assert lines[4] == ("zero resid_pre, base clean; 60 of 60 cells run; share destroyed: 0 as clean, 1 as corrupted:")
    assert lines[5].endswith(f"@{best[1]}   {destroyed[best]:+.3f}")
    png = table.widget.static_picture()
    image = Image.open(io.BytesIO(png))
    assert len(png) <= LARGEST
    assert metadata["image/png"]["width"] == image.width // 2


def test_the_largest_map_of_a_widget_saves_within_the_budget(sweep_of, monkeypatch):
    layers, columns = 40, sweeping.MOST_CELLS // 40
    cells = torch.randn(layers, columns, generator=torch.Generator().manual_seed(0))
    found = mi.SweepResult(
        provenance=mi.Provenance("made up", "float32", "cpu", "none"), metric=cells, recovered=cells, stderr=cells,
        exact=torch.ones(layers, columns, dtype=torch.bool), same=torch.zeros(layers, columns, dtype=torch.bool),
        site="resid_pre", axes=("position",), layers=tuple(range(layers)), positions=tuple(range(columns)),
        tokens=("␣something",) * columns, source_tokens=("␣otherwise",) * columns, template=mi.Patch(),
        baselines={"clean": 1.0, "corrupted": 0.0},
    )  # fmt: skip
    page = sweep_of(found)
    state = page.widget._get_embed_state()
    state["state"] = {name: value for name, value in state["state"].items() if name not in ("_esm", "_css")}
    assert len(json.dumps(state)) < 1_000_000
    assert len(page.widget.static_picture()) <= LARGEST
    monkeypatch.setattr(sweeping, "MOST_CELLS", 50)
    failed = sweep_of(mi.Experiment(mi.load(), CLEAN, CORRUPTED, answer=" Mary"))
    with pytest.raises(BadInput, match="60 cells; a widget shows at most 50"):
        failed.widget.wait(LIMIT)
    assert failed.widget.status["error"]["hint"].startswith("Sweep some layers")
