"""The logit lens widget on a really trained model: its traits, its runs, and each number against the model by hand."""

from __future__ import annotations

import io
import json
import math
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import mi_widgets as mi
from mi_widgets.errors import BadInput, NotFinite
from mi_widgets.export.image import LARGEST
from mi_widgets.interventions.edit_kinds import Zero
from mi_widgets.widgets import arrays
from tests.python import lens_by_hand
from tests.python.widgets.questions import CLEAN, CORRUPTED

LAST = 14


def streams(model, text):
    """[row, position, d_model]: what enters the first block and what leaves each, by hooks on the user's own model.

    The widget must be at rest: hooks see every pass of the model.
    """
    return torch.stack(lens_by_hand.streams(model.hf, model.tokenizer(text)["input_ids"]))


def said(model, stream):
    """Logits of streams, by the final norm and the unembedding written out."""
    return torch.stack([lens_by_hand.lens(model.hf, row) for row in stream])


def shown(page, name):
    """An array of the trait, as numbers."""
    entry = page.widget.lens["arrays"][name]
    return arrays.decode(entry, entry["data"])


def held(page):
    """The arrays of the trait to the bit."""
    return {name: entry["data"] for name, entry in page.widget.lens["arrays"].items()}


def told(page):
    return page.widget.lens["run"], page.widget.lens["measure"]


def ask(page, op, **params):
    """The final answer to a request."""
    return page.answer(page.request(op, **params))


@pytest.fixture
def table(lens_of, exp):
    """The page of a lens of clean and corrupted, finished."""
    return lens_of(exp)


@pytest.fixture
def alone(lens_of):
    """The page of a lens of one prompt, finished."""
    return lens_of(mi.Experiment(mi.load(), CLEAN, answer=" Mary", distractor=" John"))


def test_the_cells_that_open_are_what_the_model_says_at_every_layer(alone):
    lens, model = alone.widget.lens, alone.exp.model
    probs = said(model, streams(model, CLEAN)).softmax(-1)
    top = probs.topk(5)
    assert (lens["run"], lens["measure"], lens["rev"], lens["positions"], lens["n_layers"]) == (
        "clean",
        "prob",
        1,
        15,
        4,
    )
    assert [row["label"] for row in lens["rows"]] == ["input", "L0", "L1", "L2", "L3"]
    assert lens["shown"] == {"rows": [0, 1, 2, 3, 4], "columns": [0, 15]}
    np.testing.assert_array_equal(shown(alone, "top_ids")[..., 0], top.indices[..., 0])
    np.testing.assert_allclose(shown(alone, "top_values"), top.values, atol=1e-5)
    np.testing.assert_allclose(shown(alone, "value"), top.values[..., 0], atol=1e-5)
    assert lens["answer"] == {
        "position": LAST,
        "ids": [model.tokens(" Mary").ids[-1]],
        "distractor": [model.tokens(" John").ids[-1]],
    }
    assert set(map(int, lens["tokens"])) == set(shown(alone, "top_ids").flatten().tolist())
    assert lens["tokens"][str(model.tokens(" Mary").ids[-1])] == "␣Mary"
    assert "translators" not in lens
    assert "changed" not in lens["arrays"]
    assert lens["provenance"]["model"] == "tiny-names"
    assert lens["provenance"]["forward_ms"] > 0
    assert alone.widget.revs == {"question": alone.widget.revs["question"], "lens": 1}
    # The runs are measured once the picture is there.
    assert alone.widget.question["baselines"]["clean"] is not None


def test_without_edits_the_unedited_base_is_shown(table):
    assert told(table) == ("corrupted", "prob")
    np.testing.assert_allclose(
        shown(table, "top_values"),
        said(table.exp.model, streams(table.exp.model, CORRUPTED)).softmax(-1).topk(5).values,
        atol=1e-5,
    )
    table.exp.base = "clean"
    table.widget.wait(120)
    assert told(table) == ("clean", "prob")


def test_an_edit_shows_the_edited_run_and_switched_off_the_old_table_to_the_bit(table):
    before = held(table)
    table.exp.edits.add(Zero("attn_out", 2))
    table.widget.wait(120)
    assert told(table) == ("edited", "prob")
    assert table.widget.lens["rev"] == table.widget.question["rev"] == 2
    expected = table.exp.lens()
    np.testing.assert_array_equal(shown(table, "top_ids"), expected.top_ids)
    np.testing.assert_array_equal(shown(table, "top_values"), expected.probs)
    assert shown(table, "changed").any()
    assert not shown(table, "changed")[:3].any()  # what comes before the edit is as it was
    after = held(table)
    assert after["top_values"] != before["top_values"]
    done = ask(table, "edits.toggle", index=0, base_rev=2)
    assert done.content["kind"] == "done"
    table.widget.wait(120)
    assert told(table) == ("corrupted", "prob")
    assert held(table) == before
    ask(table, "edits.toggle", index=0, base_rev=3)
    table.widget.wait(120)
    assert told(table) == ("edited", "prob")
    assert held(table) == after


def test_a_run_that_the_reader_chose_stays(table):
    assert ask(table, "lens.run", run="clean", measure="prob").content["data"]["run"] == "clean"
    before, revs = held(table), table.widget.revs["lens"]
    table.exp.edits.add(Zero("z", 1, head=0))
    table.widget.wait(120)
    # The clean run is the same under any edits, and the page is told that its picture is not stale.
    assert told(table) == ("clean", "prob")
    assert held(table) == before
    assert (table.widget.lens["rev"], table.widget.revs["lens"]) == (table.widget.question["rev"], revs + 1)
    assert table.widget.question["baselines"]["edited"] is not None
    table.exp.ask(clean="When Anna and Paul went to the park, Paul gave a book to")
    table.widget.wait(120)
    assert told(table) == ("clean", "prob")
    assert held(table) != before


def test_the_edited_run_is_held_against_the_unedited_one(table):
    exp, model = table.exp, table.exp.model
    failed = ask(table, "lens.run", run="change", measure="prob").content
    assert (failed["kind"], failed["message"]) == ("failed", "No edit is switched on, so nothing has changed.")
    exp.edits.add(Zero("attn_out", 1))
    ask(table, "lens.run", run="change", measure="logit_diff")
    table.widget.wait(120)  # the model's own blocks are hooked below
    assert told(table) == ("change", "logit_diff")
    mary, john = (model.tokens(word).ids[-1] for word in (" Mary", " John"))
    base = said(model, streams(model, CORRUPTED))
    handle = model.hf.transformer.h[1].attn.register_forward_hook(
        lambda _, args, out: (torch.zeros_like(out[0]), *out[1:])
    )
    try:
        edited = said(model, streams(model, CORRUPTED))
    finally:
        handle.remove()
    change = (edited - base)[..., mary] - (edited - base)[..., john]
    np.testing.assert_allclose(shown(table, "value"), change, atol=1e-4)
    np.testing.assert_array_equal(shown(table, "top_ids")[..., 0], edited.argmax(-1))
    np.testing.assert_array_equal(shown(table, "changed"), edited.argmax(-1) != base.argmax(-1))
    scale = table.widget.lens["scale"]
    assert (scale["signed"], scale["high"]) == (True, pytest.approx(float(change.abs().max()), rel=1e-4))
    exp.edits.clear()
    table.widget.wait(120)
    assert told(table) == ("corrupted", "logit_diff")
    exp.edits.undo()
    table.widget.wait(120)
    assert told(table) == ("change", "logit_diff")


@pytest.mark.parametrize("measure", ["rank", "entropy", "kl", "cross_entropy"])
def test_each_measure_is_what_it_says(alone, measure):
    model = alone.exp.model
    logits = said(model, streams(model, CLEAN))
    logs, mary = logits.log_softmax(-1), model.tokens(" Mary").ids[-1]
    nexts = torch.tensor([*model.tokens(CLEAN).ids[1:], mary])
    expected = {
        "rank": (logits > logits[..., mary, None]).sum(-1).float(),
        "entropy": -(logs.exp() * logs).sum(-1),
        "kl": (logs[-1].exp() * (logs[-1] - logs)).sum(-1),
        "cross_entropy": -logs.gather(-1, nexts[None, :, None].expand(len(logs), -1, 1))[..., 0],
    }[measure]
    ask(alone, "lens.run", run="clean", measure=measure)
    np.testing.assert_allclose(shown(alone, "value"), expected, atol=1e-4)
    lens = alone.widget.lens
    assert all(lens["card"][part] for part in ("title", "formula", "source"))
    (listed,) = [one for one in lens["measures"] if one["name"] == measure]
    assert (listed["card"], listed["reason"]) == (lens["card"]["title"], None)


def test_sublayers_add_rows_in_the_order_of_the_computation(alone):
    done = ask(alone, "lens.run", run="clean", measure="prob", sublayers=True).content
    assert done["data"] == {"run": "clean", "measure": "prob", "sublayers": True, "tuned": False}
    kinds = {row["label"]: row["kind"] for row in alone.widget.lens["rows"]}
    assert list(kinds)[:5] == ["input", "L0 attn", "L0 mid", "L0 mlp", "L0"]
    assert list(kinds.values()).count("contribution") == 8
    at = list(kinds).index("L2 attn")
    expected = alone.exp.lens(("attn_out",))
    np.testing.assert_allclose(shown(alone, "top_values")[at], expected.logits[2], atol=1e-5)
    assert np.isnan(shown(alone, "value")[at]).all()
    assert np.isfinite(shown(alone, "value")[list(kinds).index("L2 mid")]).all()


def test_further_cells_are_those_of_the_whole_table(table):
    table.exp.edits.add(Zero("z", 2, head=0))
    table.widget.wait(120)
    whole = {name: shown(table, name) for name in ("top_ids", "top_values", "value", "changed")}
    done = ask(table, "lens.cells", run="edited", measure="prob", rows=[4, 2], columns=[3, 9])
    data = done.content["data"]
    assert (data["rows"], data["columns"], done.content["rev"]) == ([2, 4], [3, 9], 2)
    for name, values in whole.items():
        entry = done.content["arrays"][name]
        found = arrays.decode(entry, done.buffers[entry["buffer"]])
        np.testing.assert_allclose(found, values[[2, 4], 3:9], atol=1e-6)
    assert set(map(int, data["tokens"])) == set(whole["top_ids"][[2, 4], 3:9].flatten().tolist())


def test_a_card_tells_tokens_before_and_after_and_all_measures(table):
    exp, model = table.exp, table.exp.model
    exp.edits.add(Zero("attn_out", 1))
    table.widget.wait(120)
    done = ask(table, "lens.card", run="edited", row=4, position=LAST, k=20).content["data"]
    expected = exp.lens(k=20, measures=("prob", "rank", "entropy", "kl", "logit_diff", "cross_entropy"))
    assert [one["id"] for one in done["tokens"]] == expected.top_ids[4, LAST].tolist()
    assert [one["value"] for one in done["tokens"]] == pytest.approx(expected.probs[4, LAST].tolist(), rel=1e-4)
    logits = said(model, streams(model, CORRUPTED))[4, LAST]
    ranks = [int((logits > logits[one["id"]]).sum()) for one in done["tokens"]]
    assert [one["before_rank"] for one in done["tokens"]] == ranks
    unedited = logits.softmax(-1)
    assert [one["before"] for one in done["tokens"]] == pytest.approx(
        [float(unedited[one["id"]]) for one in done["tokens"]], rel=1e-3, abs=1e-6
    )
    assert done["measures"] == {
        name: pytest.approx(float(expected.measure(name)[4, LAST]), rel=1e-4, abs=1e-5) for name in done["measures"]
    }
    assert len(done["measures"]) == 6
    assert "suppressed" not in done
    ask(table, "lens.run", run="edited", measure="prob", sublayers=True)
    at = [row["label"] for row in table.widget.lens["rows"]].index("L2 mlp")
    done = ask(table, "lens.card", run="edited", row=at, position=LAST, k=4, sublayers=True).content["data"]
    promoted, suppressed = ([one["value"] for one in done[name]] for name in ("tokens", "suppressed"))
    assert promoted == sorted(promoted, reverse=True)
    assert suppressed == sorted(suppressed)
    assert suppressed[0] < 0 < promoted[0]
    assert "before_rank" not in done["tokens"][0]


def test_tokens_are_followed_over_all_rows_with_and_without_the_edits(table):
    exp, model = table.exp, table.exp.model
    mary, john = (model.tokens(word).ids[-1] for word in (" Mary", " John"))
    exp.edits.add(Zero("attn_out", 1))
    table.widget.wait(120)
    done = ask(table, "lens.track", run="edited", position=LAST, tokens=[mary, john])
    assert done.content["data"]["tokens"] == [{"id": mary, "label": "␣Mary"}, {"id": john, "label": "␣John"}]
    assert done.content["data"]["rows"] == [0, 1, 2, 3, 4]
    logits = said(model, streams(model, CORRUPTED))[:, LAST]

    def line(name):
        entry = done.content["arrays"][name]
        return arrays.decode(entry, done.buffers[entry["buffer"]])

    np.testing.assert_allclose(line("unedited_probs"), logits.softmax(-1)[:, [mary, john]].T, atol=1e-5)
    np.testing.assert_allclose(line("unedited_logits"), logits[:, [mary, john]].T, atol=1e-4)
    ranks = torch.stack([(logits > logits[:, i, None]).sum(-1) for i in (mary, john)])
    np.testing.assert_array_equal(line("unedited_ranks"), ranks)
    tracked = exp.lens(track=(mary, john))
    np.testing.assert_allclose(line("probs"), tracked.tracked_probs[:, LAST].T, atol=1e-6)
    plain = ask(table, "lens.track", run="clean", position=LAST, tokens=[mary])
    assert sorted(plain.content["arrays"]) == ["logits", "probs", "ranks"]


def test_a_token_is_found_by_its_text(table):
    tokens = ask(table, "lens.find", text="Mary").content["data"]["tokens"]
    assert [one["label"] for one in tokens] == ["Mary", "␣Mary"]
    assert ask(table, "lens.find", text="surely no token").content["data"]["tokens"] == []


def test_attribution_adds_up_to_the_logit_difference(table):
    exp = table.exp
    for run in ("clean", "corrupted"):
        data = ask(table, "lens.attribution", run=run, by="component").content["data"]
        parts = [one["value"] for one in data["components"]]
        difference = exp.run((), base=run).metric
        assert sum(parts) == pytest.approx(difference, abs=1e-4)
        assert data["total"] == pytest.approx(difference, abs=1e-4)
        assert abs(data["residue"]) < 1e-4
        assert (data["softcap"], data["note"]) == (False, "")
    found = exp.attribution("source", prompt=0)
    done = ask(table, "lens.attribution", run="clean", by="source", layer=1, head=2)
    entry = done.content["arrays"]["values"]
    values = arrays.decode(entry, done.buffers[0])
    np.testing.assert_allclose(values, found.values[1, 2], atol=1e-5)
    heads = {
        (one["layer"], one["head"]): one["value"]
        for one in ask(table, "lens.attribution", run="clean", by="component").content["data"]["components"]
    }
    assert float(values.sum()) == pytest.approx(heads[1, 2], abs=1e-4)
    done = ask(table, "lens.attribution", run="difference", by="head")
    assert "this is of the clean run" in done.content["data"]["note"]
    assert done.content["arrays"]["values"]["shape"] == [4, 4]


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("lens.run", {"run": "other", "measure": "prob"}),
        ("lens.run", {"run": "clean", "measure": "loss"}),
        ("lens.run", {"run": "clean", "measure": "prob", "tuned": True}),
        ("lens.run", {"run": "clean", "measure": "prob", "sublayers": 1}),
        ("lens.run", {"run": "clean", "measure": "prob", "more": 1}),
        ("lens.cells", {"run": "clean", "measure": "prob", "rows": [], "columns": [0, 3]}),
        ("lens.cells", {"run": "clean", "measure": "prob", "rows": [1, 1], "columns": [0, 3]}),
        ("lens.cells", {"run": "clean", "measure": "prob", "rows": [5], "columns": [0, 3]}),
        ("lens.cells", {"run": "clean", "measure": "prob", "rows": [0], "columns": [3, 16]}),
        ("lens.card", {"run": "clean", "row": 5, "position": 0, "k": 5}),
        ("lens.card", {"run": "clean", "row": 0, "position": 15, "k": 5}),
        ("lens.card", {"run": "clean", "row": 0, "position": 0, "k": 51}),
        ("lens.card", {"run": "change", "row": 0, "position": 0, "k": 5}),
        ("lens.track", {"run": "clean", "position": 0, "tokens": list(range(13))}),
        ("lens.track", {"run": "clean", "position": 0, "tokens": [10**6]}),
        ("lens.track", {"run": "clean", "position": 0, "tokens": []}),
        ("lens.find", {"text": "x" * 1000}),
        ("lens.find", {"text": "\ud800"}),
        ("lens.attribution", {"run": "clean", "by": "layer"}),
        ("lens.attribution", {"run": "clean", "by": "source"}),
        ("lens.attribution", {"run": "clean", "by": "source", "layer": 4, "head": 0}),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused_in_words_and_changes_nothing(table, op, params):
    before = table.widget.revs
    reply = ask(table, op, **params).content
    assert (reply["kind"], reply["error"]) == ("failed", "BadInput")
    assert len(reply["message"]) < 300
    assert table.widget.revs == before
    assert table.messages("accepted") == []


def test_of_prompts_of_different_length_there_is_no_difference(lens_of):
    page = lens_of(mi.Experiment(mi.load(), CLEAN, "Mary gave a drink to", answer=" Mary", distractor=" John"))
    failed = ask(page, "lens.run", run="difference", measure="prob").content
    assert (failed["kind"], failed["error"]) == ("failed", "PromptMismatch")
    short = ask(page, "lens.run", run="corrupted", measure="prob").content
    assert short["kind"] == "done"
    assert page.widget.lens["positions"] == len(page.exp.prompt("corrupted").prompts[0])


def test_a_newer_request_of_cells_takes_the_place_of_an_older_one(table):
    window = {"run": "clean", "measure": "prob", "columns": [0, 15]}
    gate = threading.Event()

    def busy():
        gate.wait(60)
        yield

    table.exp.scheduler.submit(busy(), op="test.busy")
    first = table.request("lens.cells", slot="cells", rows=[1], **window)
    second = table.request("lens.cells", slot="cells", rows=[2], **window)
    gate.set()
    assert table.answer(first).content["reason"] == "superseded"
    assert table.answer(second).content["data"]["rows"] == [2]


def test_the_output_holds_a_picture_and_words_of_the_edited_run(alone):
    alone.exp.edits.add(Zero("z", 2, head=0))
    alone.widget.wait(120)
    data, metadata = alone.widget._repr_mimebundle_()
    lines = data["text/plain"].splitlines()
    assert lines[:3] == ["Logit lens of tiny-names (4 layers)", f"prompt: {CLEAN}", "answer: ' Mary' not ' John'"]
    assert lines[3] == "edited run (zero L2H0.z; base clean), colour: probability; at position 14:"
    probs = alone.exp.run().logits[0].softmax(-1)
    assert lines[-1].startswith(
        f"  L3     {alone.exp.model.text.label(int(probs.argmax()))} {float(probs.max()):.3f}, "
    )
    png = alone.widget.static_picture()
    image = Image.open(io.BytesIO(png))
    assert len(png) <= LARGEST
    assert metadata["image/png"]["width"] == image.width // 2


def test_the_selection_holds_sites_of_the_table(alone):
    texts = ["L3.resid_post@10", "L0.resid_pre@10", "L1.resid_mid@3", "L2.attn_out@4", "L2.mlp_out@4"]
    alone.deliver({"method": "update", "state": {"selection": texts}})
    assert [str(site) for site in alone.exp.selection] == texts
    assert alone.widget.last_error is None


def test_a_deep_model_and_a_long_prompt_open_within_the_budget(lens_of):
    exp = mi.Experiment(deep_model(), list(range(3, 515)), answer=7, distractor=8)
    page = lens_of(exp)
    lens = page.widget.lens
    assert (len(lens["rows"]), lens["positions"]) == (41, 512)
    assert (lens["shown"]["columns"], len(lens["shown"]["rows"])) == ([480, 512], 15)
    assert opened_bytes(page) <= 300_000
    ask(page, "lens.run", run="clean", measure="kl", sublayers=True)
    assert len(page.widget.lens["rows"]) == 161
    assert opened_bytes(page) <= 300_000
    assert len(json.dumps(page.widget._get_embed_state())) < 1_000_000
    # All of some rows, as when the table is scrolled from end to end: parts of their own, together without a gap.
    page.unlimited()
    request = page.request("lens.cells", run="clean", measure="prob", rows=[5, 6, 7], columns=[0, 512])
    assert page.answer(request).content["arrays"] == {}
    parts = [m for m in page.messages("partial", request) if m.content["arrays"]]
    assert all(sum(map(len, m.buffers)) + len(json.dumps(m.content)) < 80_000 for m in parts)
    spans = [m.content["data"]["columns"] for m in parts]
    assert len(spans) > 1
    assert [low for low, _ in spans] == [0, *(high for _, high in spans[:-1])]
    assert spans[-1][1] == 512
    entries = [(m.content["arrays"]["value"], m.buffers[m.content["arrays"]["value"]["buffer"]]) for m in parts]
    found = np.concatenate([arrays.decode(*entry) for entry in entries], axis=1)
    whole = exp.lens(run="clean", measures=("prob",), layers=[4, 5, 6])
    rows = [i for i, row in enumerate(whole.rows) if row.site == "resid_post"]
    np.testing.assert_allclose(found, whole.measure("prob")[rows], atol=1e-5)


def test_a_run_that_breaks_is_told_in_words_and_asked_for_again(lens_of, swallowed):
    swallowed.expect(NotFinite)
    exp = mi.Experiment(deep_model(layers=2), list(range(3, 12)), answer=7, distractor=8)
    gain = exp.model.hf.transformer.h[1].mlp.c_proj.bias
    page = lens_of(exp)
    before = held(page)
    with torch.no_grad():
        gain.fill_(math.nan)
    failed = ask(page, "lens.run", run="clean", measure="entropy").content
    assert (failed["kind"], failed["error"]) == ("failed", "NotFinite")
    assert told(page) == ("clean", "prob")
    with torch.no_grad():
        gain.zero_()
    assert ask(page, "lens.run", run="clean", measure="prob").content["kind"] == "done"
    page.widget.wait(120)  # a changed model is drawn anew by itself
    assert held(page) == before
    assert page.widget.status["state"] == "idle"


def opened_bytes(page):
    """What a page that opens now is sent before anybody does anything, without scripts and styles."""
    welcome = page.hello()
    return len(json.dumps(welcome.content)) + sum(map(len, welcome.buffers))


def deep_model(layers=40):
    """40 layers, as narrow as can be, with a vocabulary whose words are as long as English ones."""
    import transformers
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"".join(chr(97 + int(d)) for d in f"{i:07d}"): i for i in range(4096)}
    core = Tokenizer(models.WordLevel(words, unk_token="aaaaaaa"))
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=4096, n_embd=16, n_layer=layers, n_head=2, n_positions=512)
    return mi.wrap(
        transformers.GPT2LMHeadModel(config).eval(), PreTrainedTokenizerFast(tokenizer_object=core, unk_token="aaaaaaa")
    )


def test_translators_come_before_the_final_norm_and_can_be_switched_off(lens_of, tmp_path):
    model = mi.load()
    layers, width = model.n_layers, model.d_model
    generator = torch.Generator().manual_seed(0)
    weights = [0.3 * torch.randn(width, width, generator=generator) / math.sqrt(width) for _ in range(layers)]
    biases = [0.1 * torch.randn(width, generator=generator) for _ in range(layers)]
    config = {"base_model_name_or_path": "tiny-names", "d_model": width, "num_hidden_layers": layers, "bias": True}
    config["lens_type"] = "linear_tuned_lens"
    (tmp_path / "config.json").write_text(json.dumps(config))
    state = {f"{i}.weight": w for i, w in enumerate(weights)} | {f"{i}.bias": b for i, b in enumerate(biases)}
    torch.save(state, tmp_path / "params.pt")
    page = lens_of(mi.Experiment(model, CLEAN, answer=" Mary"), translators=str(tmp_path))
    assert page.widget.lens["tuned"] is True
    assert page.widget.lens["translators"] is None
    plain = streams(model, CLEAN)
    tuned = torch.stack([h + h @ weights[i].T + biases[i] for i, h in enumerate(plain[:-1])] + [plain[-1]])
    np.testing.assert_allclose(shown(page, "value"), said(model, tuned).softmax(-1).amax(-1), atol=1e-5)
    assert any("Tuned lens" in note for note in page.widget.lens["provenance"]["notes"])
    ask(page, "lens.run", run="clean", measure="prob", tuned=False)
    assert page.widget.lens["tuned"] is False
    np.testing.assert_allclose(shown(page, "value"), said(model, plain).softmax(-1).amax(-1), atol=1e-5)


def test_what_cannot_be_shown_is_refused_where_the_widget_is_made(tmp_path):
    with pytest.raises(BadInput, match="translators is the folder"):
        mi.LogitLens(mi.load(), CLEAN, translators=3)
    with pytest.raises(BadInput, match=r"config\.json"):
        mi.LogitLens(mi.load(), CLEAN, translators=tmp_path)
    config = {"d_model": 4, "num_hidden_layers": 1, "lens_type": "linear_tuned_lens"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save({"0.weight": torch.zeros(4, 4), "0.bias": torch.zeros(4)}, tmp_path / "params.pt")
    with pytest.raises(BadInput, match="1 layers of width 4"):
        mi.LogitLens(mi.load(), CLEAN, translators=tmp_path)
    with pytest.raises(BadInput, match="LogitLens needs a prompt"):
        mi.LogitLens(mi.load())
    with pytest.raises(BadInput, match="no argument colour="):
        mi.LogitLens(mi.load(), CLEAN, colour="rank")
