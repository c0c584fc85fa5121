"""Where a run stops being finite: named to the site, the position and the culprit; and what is not to be named."""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from mi_widgets.experiment import live
from mi_widgets.model import finite
from mi_widgets.model.batches import Batch
from tests.python.by_hand import forward
from tests.python.families import CLEAN, CORRUPTED, build, experiment, ids_of, word_tokenizer, wrapped


def hot(dtype, weight=10.0):
    """A llama whose second MLP writes about 4e5 after " John", and after no other token.

    Only " John" has a first residual dimension, and nothing else writes there; the MLP's first unit squares it.
    """
    hf = build("llama")
    john = word_tokenizer().convert_tokens_to_ids(" John")
    with torch.no_grad():
        hf.model.embed_tokens.weight[:, 0] = 0
        hf.model.embed_tokens.weight[john] = 0
        hf.model.embed_tokens.weight[john, 0] = 1000
        for layer in hf.model.layers:
            layer.self_attn.o_proj.weight[0] = 0
            layer.self_attn.o_proj.bias[0] = 0
            layer.mlp.down_proj.weight[0] = 0
            layer.mlp.down_proj.bias[0] = 0
            layer.mlp.gate_proj.weight[0] = 0
            layer.mlp.up_proj.weight[0] = 0
        mlp, gain = hf.model.layers[1].mlp, hf.model.layers[1].post_attention_layernorm.weight
        gain[0] = 1
        mlp.gate_proj.weight[0, 0] = mlp.up_proj.weight[0, 0] = 35
        mlp.down_proj.weight[1:, 0] = weight
    return mi.wrap(hf.to(dtype), word_tokenizer(), "hot")


def said(call):
    with pytest.raises(mi.NotFinite) as caught:
        call()
    return str(caught.value)


def test_float16_overflows_in_one_layer_and_float32_does_not():
    wide = hot(torch.float32)
    seen = {}

    def look(site, layer, x):
        seen[site, layer] = float(x[torch.isfinite(x)].abs().max())
        return x

    plain = forward(wide.hf, ids_of(wide, CLEAN), look)
    # What the test stands on: only this site is past float16, and what comes of it.
    assert [layer for layer in range(3) if seen["mlp_out", layer] > 65504] == [1]
    assert seen["mlp_post", 1] < 65504
    torch.testing.assert_close(experiment(wide).run((), base="clean").logits[0], plain[-1], atol=1e-4, rtol=1e-4)

    message = said(lambda: experiment(hot(torch.float16)).run(()))
    assert "L1.mlp_out at position 4 ('␣John')" in message
    assert "Nothing is edited" in message
    assert "outgrow float16, which ends at 65504" in message
    assert message.endswith("Load the model in bfloat16 or float32.")
    assert math.isfinite(experiment(hot(torch.bfloat16)).run(()).metric)


def test_the_prompt_is_named_in_its_own_positions():
    model = hot(torch.float16)
    prompts = [CLEAN.replace("John", "Anna"), "Anna saw John"]
    message = said(lambda: mi.Experiment(model, prompts, answer=" Mary").run(()))
    assert "L1.mlp_out at position 3 of prompt 1 ('␣John')" in message
    # the prompt without that token is none the worse
    assert math.isfinite(mi.Experiment(model, prompts[0], answer=" Mary").run(()).metric)


def test_a_broken_weight_is_named():
    hf = build("gpt2")
    john = word_tokenizer().convert_tokens_to_ids(" John")
    with torch.no_grad():
        hf.transformer.wte.weight[john, 3] = math.nan
    model = mi.wrap(hf, word_tokenizer())
    message = said(lambda: mi.Experiment(model, CLEAN, answer=" Mary").run(()))
    assert "first in embed at position 4 ('␣John'), which is nan" in message
    assert "the weight transformer.wte.weight holds NaN" in message
    assert "Load the checkpoint again" in message
    assert math.isfinite(mi.Experiment(model, "Anna saw Paul", answer=" Mary").run(()).metric)


def test_weights_that_break_under_a_living_experiment(monkeypatch):
    monkeypatch.setattr(live, "LOOK_AGAIN", 0.0)  # a single number is seen by a pass alone
    model = mi.wrap(build("llama"), word_tokenizer())
    exp = experiment(model)
    assert math.isfinite(exp.run(()).metric)
    weight = model.hf.model.layers[2].mlp.down_proj.weight
    kept = weight.detach().clone()
    weight.data[5, 7] = math.inf  # leaves no trace in the weight's version
    message = said(lambda: exp.run(()))
    assert "first in L2.mlp_out at position 0 ('‹s›')" in message
    assert "model.layers.2.mlp.down_proj.weight" in message
    weight.data.copy_(kept)
    assert math.isfinite(exp.run(()).metric)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_wrapping_a_model_with_broken_weights(value):
    hf = build("llama")
    with torch.no_grad():
        hf.model.layers[1].self_attn.v_proj.weight[0, 0] = value
    message = said(lambda: mi.wrap(hf, word_tokenizer()))
    assert "model.layers.1.self_attn.v_proj" in message


def source(exp, site, layer, fill, position=7, **index):
    """The base run's own values, with one number replaced at one position."""
    own = exp.read(site, layer=layer, run=exp.base)[0].clone()
    own[(position, *index.get("rest", (0,)))] = fill
    return mi.Patch(site, layer, source=own)


@pytest.mark.parametrize(
    ("site", "layer", "rest", "where"),
    [
        ("resid_pre", 0, (5,), "L0.resid_pre"),
        ("mlp_out", 1, (0,), "L1.mlp_out"),
        ("z", 2, (3, 1), "L2H3.z"),
        ("k", 1, (1, 0), "L1H1.k"),
        ("logits", None, (9,), "logits"),
    ],
)
@pytest.mark.parametrize("fill", [math.inf, -math.inf, math.nan])
def test_an_edit_that_writes_it(site, layer, rest, where, fill):
    exp = experiment(wrapped("llama"))
    edit = source(exp, site, layer, fill, rest=rest)
    message = said(lambda: exp.run(edit))
    assert f"first in {where} at position 7 ('␣the'), which is {fill}" in message
    assert "An edit writes it there" in message
    assert math.isfinite(exp.run(()).metric)


def test_an_edit_that_brings_it_about_further_on():
    """In float16 a patch may stay finite and what is computed from it may not."""
    exp = experiment(mi.wrap(build("gpt2").half(), word_tokenizer()))
    own = exp.read("mlp_post", layer=1, run="corrupted")[0].clone()
    own[7] = 6e4
    message = said(lambda: exp.run(mi.Patch("mlp_post", 1, source=own)))
    assert "first in L1.mlp_out at position 7 ('␣the')" in message
    assert "The run without edits is finite, so an edit brings it about" in message
    assert "float32" in message


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_finite_numbers_too_large_to_be_squared(family):
    """A norm gives zeros for them: logits that are finite, and those of no direction that was patched in."""
    exp = experiment(wrapped(family))

    def patched(alpha):
        return exp.run(mi.Patch("resid_pre", 1, position=10, alpha=alpha))

    # Far out only the direction is left, so that further out changes nothing ...
    torch.testing.assert_close(patched(1e8).logits, patched(1e15).logits, atol=1e-3, rtol=1e-3)
    # ... until the squares overflow.
    message = said(lambda: patched(1e25))
    assert "patch L1.resid_pre@10 by 1e+25 writes" in message
    assert "the square is past float32" in message
    assert "L1.resid_pre at position 10" in said(lambda: patched(1e38))


def test_an_edit_is_not_blamed_for_what_was_there():
    exp = experiment(hot(torch.float16))
    exp_model = exp.model
    message = said(lambda: exp.run(mi.Zero("z", 0, head=1)))
    assert "L1.mlp_out at position 4" in message
    batch = Batch.of([exp_model.tokens(CLEAN)])
    message = said(lambda: exp_model.forward(batch, {("z", 0): torch.zeros_like}))
    assert "No edit does it: the weights are finite" in message


ASKED = {
    "run": lambda exp: exp.run(),
    "patterns": lambda exp: exp.patterns(run="edited"),
    "patterns of one head": lambda exp: exp.patterns(layers=[0], heads=[0], run="edited"),
    "scores": lambda exp: exp.head_scores(run="edited"),
    "attribution": lambda exp: exp.attribution(run="edited"),
    "read": lambda exp: exp.read("z", layer=0, run="edited"),
    "sweep on top": lambda exp: exp.sweep("z", mi.Zero(), on_top=True, layers=[0], heads=[0], progress=False),
}


@pytest.mark.parametrize("name", ASKED)
def test_whatever_is_asked_of_such_a_run(name):
    exp = experiment(wrapped("llama"))
    exp.edits.add(source(exp, "attn_out", 1, math.nan))
    assert "first in L1.attn_out at position 7 ('␣the')" in said(lambda: ASKED[name](exp))
    exp.edits.clear()
    ASKED[name](exp)


BASES = {
    "baselines": lambda exp: exp.baselines,
    "read": lambda exp: exp.read("resid_pre", layer=0),
    "patterns": lambda exp: exp.patterns(),
    "attribution": lambda exp: exp.attribution(run="corrupted"),
    "sweep": lambda exp: exp.sweep("z", mi.Zero(), progress=False),
}


@pytest.mark.parametrize("name", BASES)
def test_whatever_is_asked_of_a_model_that_overflows(name):
    exp = experiment(hot(torch.float16))
    assert "L1.mlp_out at position 4" in said(lambda: BASES[name](exp))


def test_a_guess_is_not_taken_from_nan():
    assert "L1.mlp_out" in said(lambda: mi.Experiment(hot(torch.float16), CLEAN, CORRUPTED))


def test_cells_that_fail_are_empty_and_said():
    """Positions whose tokens agree patch nothing; a difference times 1e6 is past float16."""
    exp = experiment(mi.wrap(build("gpt2").half(), word_tokenizer()))
    swept = exp.sweep("resid_pre", mi.Patch(alpha=1e6), layers=[0, 1], progress=False)
    empty = torch.isnan(swept.metric)
    assert empty[0].tolist() == [p == 10 for p in range(15)]
    assert empty[1].tolist() == [p >= 10 for p in range(15)]
    assert torch.equal(~empty, swept.exact)
    (note,) = [note for note in swept.provenance.notes if "NaN or infinity" in note]
    assert note.startswith("6 cells give NaN or infinity and no number; the first is patch L0.resid_pre@10 by 1e+06.")
    assert "first in L0.resid_pre at position 10 ('␣Mary')" in note
    # and a sweep without a number is no result
    assert "L0.resid_pre at position 10" in said(
        lambda: exp.sweep("resid_pre", mi.Patch(alpha=1e6), layers=0, positions=[10], progress=False)
    )


def test_what_an_activation_hides_is_found_when_asked_for():
    """A relu turns -inf to 0: the logits are finite and right, the value that is asked for is neither."""
    exp = experiment(mi.wrap(build("gpt2", activation_function="relu"), word_tokenizer()))
    exp.edits.add(source(exp, "mlp_pre", 1, -math.inf))
    zeroed = source(exp, "mlp_post", 1, 0.0)
    assert exp.run().metric == pytest.approx(exp.run(zeroed).metric, abs=1e-5)
    assert "L1.mlp_pre at position 7 ('␣the') is -inf" in said(lambda: exp.read("mlp_pre", layer=1, run="edited"))
    assert exp.read("mlp_post", layer=1, run="edited").isfinite().all()


def test_a_metric_of_finite_logits_that_is_not_finite():
    exp = experiment(wrapped("llama"), metric="logprob")
    far = exp.read("logits", run="corrupted")[0].clone()
    far[-1] = -3e38
    far[-1, 5] = 3e38
    assert "logprob of these logits is not finite: they reach 3e+38" in said(
        lambda: exp.run(mi.Patch("logits", source=far))
    )


def test_masked_scores_are_finite_by_right():
    exp = experiment(wrapped("llama"))
    scores = exp.read("scores", layer=0)
    assert torch.isneginf(scores).sum() == 4 * 15 * 14 / 2
    batch = exp.prompt()
    one = torch.zeros(1, 2, 15, 15)
    one[0, 1, 3, 9] = -math.inf
    assert finite.all_finite("scores", batch, one)
    assert not finite.all_finite("pattern", batch, one)
    one[0, 1, 3, 9] = math.inf
    assert not finite.all_finite("scores", batch, one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_large_is_not_infinite_and_pads_do_not_count(dtype):
    """The sum of finite numbers may overflow; what stands at a pad is nobody's."""
    model = wrapped("llama")
    batch = Batch.of([model.tokens("Mary went to"), model.tokens("Mary")])
    value = torch.full((2, 4, 60), torch.finfo(dtype).max, dtype=dtype)
    assert finite.all_finite("logits", batch, value)
    value[1, 1, 3] = math.nan
    assert finite.all_finite("logits", batch, value)
    for wrong in (math.nan, math.inf, -math.inf):
        value[1, 2, 3] = wrong
        assert not finite.all_finite("logits", batch, value)


def test_a_run_that_is_finite_costs_one_pass():
    model = wrapped("llama")
    passes = []
    handle = model.shadow.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        model.forward(Batch.of([model.tokens(CLEAN)]))
    finally:
        handle.remove()
    assert len(passes) == 1
