"""Interventions asked for by a page: a preview on the prompt that is shown, kept in one undo step."""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from tests.python.widgets.questions import CLEAN, CORRUPTED

HEADS = [[1, 1], [3, 2]]


def effect(page, **params):
    reply = page.answer(page.request("heads.effect", slot="effect", **params)).content
    assert reply["kind"] == "done", reply
    return reply["data"]


def by_hooks(exp, text, what, heads, donor=None):
    """The logits at the last position of the user's own eager model, changed by plain hooks on it."""
    hf, tokenizer = exp.model.hf, exp.model.tokenizer
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    ordinary = [i for i, token in enumerate(ids[0].tolist()) if token not in tokenizer.all_special_ids]
    was = hf.config._attn_implementation
    hf.set_attn_implementation("eager")
    blocks = [module for name, module in hf.named_modules() if name.endswith((".attn", ".self_attn"))]
    outs = [getattr(block, "o_proj", None) or block.c_proj for block in blocks]
    d_head = exp.model.d_head
    seen = {}

    def keep(layer):
        def hook(_, args):
            seen[layer] = args[0].clone()

        return hook

    def change(layer):
        def hook(_, args):
            z = args[0].clone()
            for at, head in heads:
                part = slice(head * d_head, (head + 1) * d_head)
                if at == layer:
                    unedited = donor and donor[layer][..., part]
                    mean = donor and unedited[:, ordinary].mean(1, keepdim=True)
                    z[..., part] = {"zero": 0.0, "mean": mean, "resample": unedited}[what]
            return (z,)

        return hook

    wrapped = keep if what is None else change
    handles = [out.register_forward_pre_hook(wrapped(layer)) for layer, out in enumerate(outs)]
    try:
        with torch.no_grad():
            logits = hf(ids).logits[0, -1].float()
    finally:
        for handle in handles:
            handle.remove()
        hf.set_attn_implementation(was)
    return logits, seen


def metric(exp, logits):
    mary, john = (exp.model.tokenizer.encode(name, add_special_tokens=False)[-1] for name in (" Mary", " John"))
    return float(logits[mary] - logits[john])


@pytest.mark.parametrize("run", ["clean", "corrupted"])
@pytest.mark.parametrize("what", ["zero", "mean", "resample"])
def test_the_effect_is_that_of_plain_hooks_on_the_prompt_that_is_shown(page, exp, run, what):
    texts = {"clean": CLEAN, "corrupted": CORRUPTED}
    found = effect(page, run=run, what=what, heads=HEADS)
    other = texts["corrupted" if run == "clean" else "clean"]
    # What a head is replaced by is taken from a run in which nothing is changed.
    read = {"zero": None, "mean": texts[run], "resample": other}[what]
    donor = by_hooks(exp, read, None, HEADS)[1] if read else None
    logits, _ = by_hooks(exp, texts[run], what, HEADS, donor=donor)
    plain = {name: metric(exp, by_hooks(exp, text, None, HEADS)[0]) for name, text in texts.items()}
    assert found["metric"]["base"] == pytest.approx(plain[run], abs=1e-3)
    assert found["metric"]["after"] == pytest.approx(metric(exp, logits), abs=1e-3)
    share = (metric(exp, logits) - plain["corrupted"]) / (plain["clean"] - plain["corrupted"])
    assert found["metric"]["recovered"] == pytest.approx(share, abs=1e-3)
    destroyed = found["metric"]["destroyed"]
    assert destroyed is None if run == "corrupted" else destroyed == pytest.approx(1 - share, abs=1e-3)
    assert (found["metric"]["name"], found["metric"]["label"]) == ("logit_diff", "logit difference")
    assert found["base"] == run
    after = logits.softmax(-1)
    before = by_hooks(exp, texts[run], None, HEADS)[0].softmax(-1)
    for token in found["tokens"]:
        assert token["before"] == pytest.approx(float(before[token["id"]]), abs=1e-4)
        assert token["after"] == pytest.approx(float(after[token["id"]]), abs=1e-4)
        assert token["label"] == exp.model.text.label(token["id"])
    union = {*before.topk(5).indices.tolist(), *after.topk(5).indices.tolist()}
    asked = {exp.answer.ids[0][0], exp.distractor.ids[0][0]}
    union |= asked
    assert asked <= {t["id"] for t in found["tokens"]} <= union
    assert len(found["tokens"]) == min(8, len(union))
    assert int(after.argmax()) == found["tokens"][0]["id"]
    assert int(before.argmax()) in {t["id"] for t in found["tokens"]}


def test_nothing_is_added_by_a_preview(page, exp):
    rev = exp.rev
    effect(page, run="clean", what="zero", heads=HEADS)
    assert (list(exp.edits), exp.base, exp.rev) == ([], "corrupted", rev)
    assert exp.edits.history == {"undo": False, "redo": False}


def test_an_edge_is_knocked_out_and_a_row_overwritten(page, exp):
    length = len(exp.model.tokens(CLEAN).ids)
    found = effect(page, run="clean", what="knockout", heads=[[1, 1]], dest=length - 1, src=10)
    assert found["edits"][0]["label"] == f"knockout L1H1.scores@{length - 1}<10"
    direct = exp.run([mi.Knockout(layer=1, head=1, dest=length - 1, src=10)], base="clean")
    assert found["metric"]["after"] == pytest.approx(direct.metric, abs=1e-4)
    row = [0.0] * length
    row[2], row[5] = 0.75, 0.25
    found = effect(page, run="clean", what="pattern", heads=[[1, 1]], dest=7, weights=row)
    direct = exp.run([mi.SetPattern(layer=1, head=1, position=7, weights=torch.tensor(row))], base="clean")
    assert found["metric"]["after"] == pytest.approx(direct.metric, abs=1e-4)
    assert found["note"] == ""
    row[5] = 0.5
    assert "sum to 1.25" in effect(page, run="clean", what="pattern", heads=[[1, 1]], dest=7, weights=row)["note"]


def test_on_the_edited_run_it_comes_on_top_of_the_live_edits(page, exp):
    exp.edits.add(mi.Zero("mlp_out", 0))
    page.widget.wait(120)
    found = effect(page, run="edited", what="zero", heads=HEADS)
    zeros = [mi.Zero("z", layer, head) for layer, head in HEADS]
    assert found["metric"]["base"] == pytest.approx(exp.run().metric, abs=1e-4)
    assert found["metric"]["after"] == pytest.approx(exp.run([mi.Zero("mlp_out", 0), *zeros]).metric, abs=1e-4)
    assert [edit["label"] for edit in found["edits"]] == ["zero L1H1.z", "zero L3H2.z"]
    # On an unedited run the live edits stay out of it.
    plain = effect(page, run="corrupted", what="zero", heads=HEADS)
    assert plain["metric"]["after"] == pytest.approx(exp.run(zeros).metric, abs=1e-4)


def test_what_is_kept_is_what_was_previewed_and_one_undo_takes_it_back(page, exp):
    exp.edits.add(mi.Zero("mlp_out", 0))
    page.widget.wait(120)
    params = {"run": "clean", "what": "mean", "heads": HEADS}
    previewed = effect(page, **params)
    done = page.answer(page.request("heads.keep", base_rev=exp.rev, **params)).content
    page.widget.wait(120)
    assert (done["kind"], done["data"]["rev"]) == ("done", exp.rev)
    assert exp.base == page.widget.question["base"] == "clean"
    chips = page.widget.question["edits"]
    assert [(chip["on"], chip["label"]) for chip in chips] == [
        (False, "zero L0.mlp_out"),
        (True, "mean L1H1.z over its own positions"),
        (True, "mean L3H2.z over its own positions"),
    ]
    assert "made on the corrupted prompt" in chips[0]["note"]
    assert exp.run().metric == pytest.approx(previewed["metric"]["after"], abs=1e-4)
    assert page.widget.question["baselines"]["edited"] == pytest.approx(previewed["metric"]["after"], abs=1e-4)
    undone = page.answer(page.request("edits.undo", base_rev=exp.rev)).content
    page.widget.wait(120)
    assert undone["kind"] == "done"
    assert (exp.base, [(e.on, str(e.edit)) for e in exp.edits.entries]) == ("corrupted", [(True, "zero L0.mlp_out")])
    page.answer(page.request("edits.redo", base_rev=exp.rev))
    assert (exp.base, len(exp.edits.enabled)) == ("clean", 2)


def test_undoing_a_base_that_is_gone_leaves_the_edits_off_with_the_reason(exp):
    exp.edits.add(mi.Zero("mlp_out", 0))
    exp.edits.extend([mi.Zero("z", 1, 1)], "clean")
    exp.ask(corrupted=None)
    exp.edits.undo()
    (entry,) = exp.edits.entries
    assert (exp.base, entry.on) == ("clean", False)
    assert "no corrupted prompt" in entry.note


def test_edits_that_cannot_run_on_that_base_change_nothing(exp):
    with pytest.raises(mi.BadInput):
        exp.edits.extend([mi.Zero("z", 1, 1), mi.Zero("z", 1, 1, position=400)], "clean")
    assert (list(exp.edits), exp.base, exp.edits.history["undo"]) == ([], "corrupted", False)


def test_the_same_base_keeps_the_chips_on(exp):
    exp.edits.add(mi.Zero("mlp_out", 0))
    exp.edits.extend([mi.Zero("z", 1, 1)], "corrupted")
    assert len(exp.edits.enabled) == 2


def test_the_notes_say_what_a_reader_must_know(page):
    assert "fewer than 8 prompts" in effect(page, run="clean", what="mean", heads=HEADS)["note"]
    assert effect(page, run="clean", what="resample", heads=HEADS)["note"] == "The donor is the corrupted prompt."
    assert "runs on the clean prompt" in effect(page, run="difference", what="zero", heads=HEADS)["note"]


def test_without_another_prompt_resampling_says_what_to_give(page_of):
    page = page_of(mi.AttentionHeads(mi.load(), CLEAN))
    reply = page.answer(page.request("heads.effect", run="clean", what="resample", heads=HEADS)).content
    assert (reply["error"], reply["message"]) == (
        "PromptMismatch",
        "Resampling takes the head's output from another prompt, and there is none.",
    )
    assert "corrupted=" in reply["hint"]
    zero = effect(page, run="clean", what="zero", heads=HEADS)
    assert (zero["metric"]["recovered"], zero["metric"]["destroyed"]) == (None, None)


def test_a_run_that_is_not_finite_fails_in_a_plain_sentence(page, swallowed):
    swallowed.expect(mi.NotFinite)
    row = [0.0] * len(page.widget.question["prompts"]["clean"]["ids"])
    row[0] = 1e38
    reply = page.answer(
        page.request("heads.effect", run="clean", what="pattern", heads=[[0, 0]], dest=3, weights=row)
    ).content
    assert (reply["kind"], reply["error"]) == ("failed", "NotFinite")
    assert "Traceback" not in reply["message"]


def test_one_of_several_prompts_is_previewed_and_the_baselines_of_all_stay(page_of):
    exp = mi.Experiment(mi.load(), [CLEAN, CLEAN.replace("store", "park")], answer=" Mary", distractor=" John")
    page = page_of(mi.AttentionHeads(exp))
    page.widget.wait(120)
    page.exp = exp
    measured = page.widget.question["baselines"]
    alone = mi.Experiment(mi.load(), CLEAN, answer=" Mary", distractor=" John")
    found = effect(page, run="clean", what="zero", heads=HEADS)
    zeros = [mi.Zero("z", layer, head) for layer, head in HEADS]
    assert found["metric"]["after"] == pytest.approx(alone.run(zeros).metric, abs=1e-4)
    assert exp.question()["baselines"] == measured
    assert measured["clean"] != pytest.approx(found["metric"]["base"], abs=1e-4)


def test_a_mean_over_many_prompts_is_the_same_in_the_preview_and_in_the_list(page_of):
    names = ["Mary", "Anna", "Alice", "Sarah", "Emma", "Laura", "Julia", "Kate"]
    texts = [CLEAN.replace("Mary", name) for name in names]
    lengths = {len(mi.load().tokens(text)) for text in texts}
    assert len(lengths) == 1
    exp = mi.Experiment(mi.load(), texts, answer=" Mary", distractor=" John")
    page = page_of(mi.AttentionHeads(exp))
    page.widget.wait(120)
    page.exp = exp
    found = effect(page, run="clean", what="mean", heads=[[3, 2]])
    page.answer(page.request("heads.keep", base_rev=exp.rev, run="clean", what="mean", heads=[[3, 2]]))
    assert found["metric"]["after"] == pytest.approx(float(exp.run().per_prompt["metric"][0]), abs=1e-3)
    assert "8 prompts" in found["edits"][0]["label"]


GOOD = {"run": "clean", "what": "zero", "heads": [[0, 0]]}
ROW = [0.25, 0.75, 0.0, 0.0]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"run": "other"}, "The other experiment is shown"),
        ({"what": "delete"}, "what must be one of zero, mean"),
        ({"heads": []}, "heads must be a list of 1 to 16"),
        ({"heads": [[0, 2]]}, "outside 0 to 1"),
        ({"heads": [[1, 0]]}, "layer 1 of toy has no pattern"),
        ({"what": "knockout"}, "dest is missing"),
        ({"what": "knockout", "dest": 1}, "src is missing"),
        ({"what": "knockout", "dest": 1, "src": 2}, "outside 0 to 1"),
        ({"what": "pattern", "dest": 1}, "weights is missing"),
        ({"what": "pattern", "dest": 1, "weights": ROW[:3]}, "weights must be a list of 4"),
        ({"what": "pattern", "dest": 1, "weights": [*ROW[:3], math.pi]}, "position 1 cannot attend to 3"),
        ({"what": "pattern", "dest": 1, "weights": [-0.5, 1.5, 0, 0]}, "must not be negative"),
        ({"what": "pattern", "dest": 1, "weights": ["1", 0, 0, 0]}, "must be a finite number"),
        ({"what": "pattern", "dest": 4, "weights": ROW}, "outside 0 to 3"),
        ({"what": "mean", "mean_pool": "median"}, "must be one of position, all"),
        ({"strength": 3}, "does not know 'strength'"),
    ],
)
def test_an_intervention_that_cannot_be_meant_is_refused(heads, params, words):
    page = heads(without=(1,))
    for op, more in (("heads.effect", {}), ("heads.keep", {"base_rev": 1})):
        reply = page.answer(page.request(op, **GOOD | params | more)).content
        assert reply["kind"] == "failed"
        assert words in reply["message"]
    assert (page.exp.tried, list(page.exp.edits), page.exp.rev) == ([], [], 1)


def test_parameters_of_other_interventions_are_passed_over(heads):
    page = heads()
    given = {"dest": 99, "src": "x", "weights": None, "mean_pool": 3}
    assert page.answer(page.request("heads.effect", **GOOD, **given)).content["kind"] == "done"
    assert page.answer(page.request("heads.effect", **GOOD | {"what": "mean"}, dest=9)).content["kind"] == "done"


def test_the_newest_preview_wins(heads, analysis):
    page = heads()
    analysis.hold()
    page.request("heads.value", run="clean", layer=0, head=0, dest=1, src=0)  # keeps the worker busy
    first = page.request("heads.effect", slot="effect", **GOOD)
    second = page.request("heads.effect", slot="effect", **GOOD | {"what": "mean"})
    analysis.let(50)
    assert page.answer(first).content["reason"] == "superseded"
    assert page.answer(second).content["data"]["what"] == "mean"
    assert [str(edits[0]) for _, _, edits in page.exp.tried] == ["mean L0H0.z"]
