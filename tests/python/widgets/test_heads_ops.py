"""What a page asks about heads, on a really trained model: each number against the user's own model run by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import mi_widgets as mi
from mi_widgets.widgets import arrays
from tests.python.widgets.questions import CLEAN, CORRUPTED


def weighted(model, text):
    """A[dest, src] ||v[src] W_O[h]||, [layer, head, dest, src], from the user's own eager model and its projections."""
    inputs = model.tokenizer(text, return_tensors="pt")
    values = {}
    was = model.hf.config._attn_implementation
    model.hf.set_attn_implementation("eager")
    blocks = [block.attn for block in model.hf.transformer.h]
    handles = [
        block.c_attn.register_forward_hook(lambda _, __, out, i=i: values.update({i: out[0, :, 2 * model.d_model :]}))
        for i, block in enumerate(blocks)
    ]
    try:
        with torch.no_grad():
            patterns = model.hf(**inputs, output_attentions=True).attentions
    finally:
        for handle in handles:
            handle.remove()
        model.hf.set_attn_implementation(was)
    found = []
    for layer, block in enumerate(blocks):
        for head in range(model.n_heads):
            part = slice(head * model.d_head, (head + 1) * model.d_head)
            moved = values[layer][:, part] @ block.c_proj.weight[part]
            found.append(patterns[layer][0, head] * moved.norm(dim=-1))
    return torch.stack(found).reshape(len(blocks), model.n_heads, *found[0].shape).detach().numpy()


def test_value_weighted_patterns_have_a_scale_of_their_own(page, exp, canned):
    clean, corrupted = weighted(exp.model, CLEAN), weighted(exp.model, CORRUPTED)
    length = clean.shape[-1]
    window = {"heads": [[1, 1], [3, 0]], "dest": [0, length], "src": [0, length], "side": 1024, "weighting": "value"}
    for run, expected in (("clean", clean), ("difference", clean - corrupted)):
        reply = page.answer(page.request("heads.pattern", run=run, **window))
        data, shown = reply.content["data"], expected[[1, 3], [1, 0]]
        assert (data["weighting"], data["top"]) == ("value", pytest.approx(np.abs(shown).max(), rel=1e-4))
        step = data["top"] / 254 * (2 if run == "difference" else 1)
        np.testing.assert_allclose(canned.decoded(reply, "pattern"), shown, atol=step / 2 + 1e-4)
        cell = {"layer": 3, "head": 0, "dest": length - 1, "src": 2, "weighting": "value"}
        value = page.answer(page.request("heads.value", run=run, **cell)).content["data"]["value"]
        assert value == pytest.approx(float(expected[3, 0, -1, 2]), abs=1e-4)


def test_heads_are_ranked_by_a_cell(page, exp):
    pattern, length = exp.patterns().values.numpy(), exp.patterns().values.shape[-1]
    cell = {"run": "clean", "dest": length - 1, "src": 2}
    data = page.answer(page.request("heads.rank", slot="rank", **cell)).content["data"]
    np.testing.assert_allclose(data["score"]["values"], pattern[:, :, -1, 2], atol=1e-5)
    assert data["score"]["label"] == f"cell {length - 1}<2"
    assert {k: data[k] for k in (*cell, "weighting")} == {**cell, "weighting": "attention"}
    data = page.answer(page.request("heads.rank", **cell, weighting="value")).content["data"]
    np.testing.assert_allclose(data["score"]["values"], weighted(exp.model, CLEAN)[:, :, -1, 2], atol=1e-4)
    assert np.max(data["score"]["bars"]) == 1.0


def test_random_tokens_show_induction_where_the_prompt_has_no_repeat(page_of):
    page = page_of(mi.AttentionHeads(mi.load("tiny-induction"), "a b c"))
    page.widget.wait(120)
    scores = page.answer(page.request("heads.random", slot="random")).content["data"]["scores"]
    assert set(scores) == {"induction_random", "duplicate_random", "previous_random"}
    frame = page.widget._exp.head_scores(on="random")
    values = np.array(scores["induction_random"]["values"])
    np.testing.assert_allclose(values.ravel(), frame["induction_random"], atol=1e-5)
    assert values.max() > 0.7


def test_what_a_head_writes_is_its_result_through_the_final_norm(page, exp):
    length = len(exp.model.tokens(CLEAN))
    data = page.answer(page.request("heads.writes", run="clean", layer=3, head=2, position=length - 1, k=5)).content[
        "data"
    ]
    result = exp.read("result", 3, 2, -1)[0]
    last = exp.read("resid_post", 3, position=-1)[0]
    norm, unembed = exp.model.hf.transformer.ln_f, exp.model.hf.lm_head.weight
    scale = (last.var(unbiased=False) + norm.eps).sqrt()
    logits = ((result - result.mean()) / scale * norm.weight) @ unembed.T
    logits = (logits - logits.mean()).detach()
    assert [token["id"] for token in data["promoted"]] == logits.topk(5).indices.tolist()
    assert [token["logit"] for token in data["promoted"]] == pytest.approx(logits.topk(5).values.tolist(), abs=1e-3)
    assert [token["id"] for token in data["suppressed"]] == (-logits).topk(5).indices.tolist()
    assert data["promoted"][0]["label"] == exp.model.text.label(data["promoted"][0]["id"])
    effects = page.widget.atlas["scores"]["logit_effect"]["values"]
    assert data["logit_effect"] == pytest.approx(effects[3][2], abs=1e-3)


def test_masks_are_scores_like_the_others_and_outlive_a_prompt_of_another_length(page_of, exp):
    length = len(exp.model.tokens(CLEAN))
    mask = torch.zeros(length, length)
    mask[-1, [2, 4]] = 1
    page = page_of(mi.AttentionHeads(exp, masks={"to names": mask}))
    page.widget.wait(120)
    score = page.widget.atlas["scores"]["to names"]
    np.testing.assert_allclose(score["values"], exp.patterns().values[:, :, -1, [2, 4]].sum(-1), atol=1e-5)
    page.answer(
        page.request("question.set", base_rev=page.widget.question["rev"], which="clean", text="Mary went to the")
    )
    page.widget.wait(120)
    assert "this mask is" in page.widget.atlas["scores"]["to names"]["reason"]


@pytest.mark.parametrize(
    "masks", [[1], {"first": torch.eye(3)}, {"m": torch.zeros(3, 3)}, {"m": torch.ones(3, 3)}, {"m": "x"}, {3: [[1]]}]
)
def test_masks_that_cannot_be_meant_are_refused(exp, masks):
    with pytest.raises(mi.BadInput):
        mi.AttentionHeads(exp, masks=masks)


def test_patterns_of_no_attention_at_all_still_have_a_scale(heads, analysis, monkeypatch):
    page = heads()
    monkeypatch.setattr("tests.python.widgets.toy.VALUE", 0.0)
    window = {"run": "clean", "heads": [[0, 0]], "dest": [0, 4], "src": [0, 4], "side": 8, "weighting": "value"}
    reply = page.answer(page.request("heads.pattern", **window))
    assert reply.content["data"]["top"] == 1.0
    assert set(reply.buffers[0]) == {0}


def test_the_saved_state_of_a_large_model_stays_small(page_of):
    n, length = 32, 256
    rng = np.random.default_rng(0)
    attention = np.tril(rng.random((n, 1, length, length), dtype=np.float32)) + 1e-3 * np.eye(length, dtype=np.float32)
    attention = np.repeat(attention / attention.sum(-1, keepdims=True), n, axis=1)
    own = {f"score {i}": rng.normal(size=(n, n)) for i in range(3)}
    page = page_of(mi.AttentionHeads.from_arrays([f" token{i}" for i in range(length)], attention, own))
    page.widget.wait(120)
    thumbs = page.widget.atlas["arrays"]["thumbs"]
    assert arrays.decode(thumbs, thumbs["data"]).shape == (n, n, 24, 24)
    assert len(json.dumps(page.widget._get_embed_state())) < 1_000_000
