"""Passes that start at a later layer, and logits of one position: the numbers of the whole pass, in every family."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.model.batches import Batch
from tests.families.configs import build as build_tiny
from tests.families.oracle import FAMILIES, model_of
from tests.python.families import build, word_tokenizer, wrapped
from tests.python.model.test_in_place import Stuck
from tests.python.model.test_untouched import assert_untouched, snapshot
from tests.python.model.test_unwrap import ids_of

LONG = (1, 17, 30, 5, 42, 9, 17, 23, 38)
SHORT = (1, 8, 33, 8, 20, 46)


def batch_of(model, *prompts):
    return Batch.of([model.tokens(list(ids)) for ids in prompts], model.text.pad_id)


def streams(model, batch):
    """The whole pass: its logits, and what enters each layer; last what leaves the last one."""
    seen = {}

    def note(layer):
        def visitor(x):
            seen[layer] = x.clone()

        return visitor

    n = model.n_layers
    visitors = {("resid_pre", i): note(i) for i in range(n)} | {("resid_post", n - 1): note(n)}
    return model.forward(batch, visitors), seen


def assert_resumes(model, batch, keep):
    whole, stream = streams(model, batch)
    for layer in range(model.n_layers + 1):
        assert torch.equal(model.forward(batch, resume=(layer, stream[layer])), whole), layer
        one = model.forward(batch, resume=(layer, stream[layer]), keep=keep)
        torch.testing.assert_close(one[:, 0], whole[range(len(keep)), keep], atol=1e-5, rtol=1e-6)
        assert one.shape[1] == 1
    torch.testing.assert_close(model.forward(batch, keep=keep)[:, 0], whole[range(len(keep)), keep])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_pass_resumed_at_any_layer_gives_the_logits_of_the_whole_pass_to_the_bit(name):
    """Two rows of one length everywhere; rows of different length where the family can be padded."""
    model = mi.wrap(model_of(name), word_tokenizer(), name)
    assert model.whole is None
    assert_resumes(model, batch_of(model, LONG, LONG[::-1]), [8, 2])
    if model.architecture.padding is None:
        assert_resumes(model, batch_of(model, LONG, SHORT), [-1, 4])


def test_what_is_resumed_with_is_what_counts():
    """Another stream gives what a pass gives in which it is written; and nothing earlier has run."""
    model = wrapped("llama")
    batch = batch_of(model, LONG)
    whole, stream = streams(model, batch)
    other = stream[1].roll(1, 1)
    written = model.forward(batch, {("resid_pre", 1): lambda _: other})
    assert model.resumes  # proven here, by passes of its own
    calls = []
    handle = model.shadow.get_submodule(model.architecture.layers[0].mlp).register_forward_hook(
        lambda *_: calls.append(1)
    )
    resumed = model.forward(batch, resume=(1, other))
    handle.remove()
    assert torch.equal(resumed, written)
    assert float((resumed - whole).abs().max()) > 0.1
    assert calls == []


def test_visitors_see_and_write_from_the_layer_on():
    model = wrapped("gemma2")
    batch = batch_of(model, LONG, SHORT)
    _, stream = streams(model, batch)
    seen = {}

    def visitor(x):
        seen["resid_pre"] = x
        return x * 0.5

    edits = {("resid_pre", 1): visitor, ("z", 2): torch.zeros_like}
    whole = model.forward(batch, edits)
    assert torch.equal(model.forward(batch, edits, resume=(1, stream[1])), whole)
    assert torch.equal(seen["resid_pre"], stream[1])


@pytest.mark.parametrize(("family", "config", "at"), [("zaya", {}, 1), ("gemma4_text", {"num_kv_shared_layers": 1}, 2)])
def test_layers_that_hear_of_each_other_past_the_stream_are_run_whole(family, config, at):
    """Zaya's router reads the last layer's router; gemma4's last layers share the keys and values of earlier ones."""
    model = mi.wrap(build_tiny(family, **config), word_tokenizer(), family)
    assert not model.resumes
    assert model.whole == f"layer {at} or what follows reads something of earlier layers past the stream"
    batch = batch_of(model, LONG)
    with pytest.raises(mi.UnsupportedArchitecture, match=r"only be run whole: layer .*model\.resumes"):
        model.forward(batch, resume=(1, torch.zeros(1, 9, 32)))
    assert model.forward(batch, keep=[-1]).shape[:2] == (1, 1)


def test_a_hook_that_reads_an_earlier_layer_is_noticed():
    hf = build("llama")
    kept = {}
    hf.model.layers[0].mlp.register_forward_hook(lambda _, __, y: kept.update(y=y))
    hf.model.layers[2].mlp.register_forward_hook(lambda _, __, y: y + kept["y"])
    model = mi.wrap(hf, word_tokenizer())
    assert "past the stream" in model.whole


def test_another_generation_is_looked_at_anew():
    hf = build("llama")
    model = mi.wrap(hf, word_tokenizer())
    assert model.resumes
    kept = {}
    handles = [
        hf.model.layers[0].mlp.register_forward_hook(lambda _, __, y: kept.update(y=y)),
        hf.model.layers[2].mlp.register_forward_hook(lambda _, __, y: y + kept["y"]),
    ]
    model.refresh()
    assert not model.resumes
    for handle in handles:
        handle.remove()
    model.refresh()
    assert model.resumes


def test_layers_that_cannot_be_skipped_are_said():
    """No number passes the stream by, yet a later layer wants an earlier one to have run."""
    hf = build("llama")
    kept = {}
    hf.model.layers[0].mlp.register_forward_hook(lambda _, __, y: kept.update(ran=True))
    hf.model.layers[2].mlp.register_forward_hook(lambda _, __, y: y * kept.pop("ran"))
    model = mi.wrap(hf, word_tokenizer())
    assert model.whole == "its layers cannot be skipped (KeyError: 'ran')"


# In place, and when something raises


def test_in_place_too_and_all_is_put_back():
    hf = build("llama")
    hf.get_output_embeddings().__class__ = Stuck
    before = snapshot(hf, ids_of())
    model = mi.wrap(hf, word_tokenizer())
    assert model.shadow is hf
    assert_resumes(model, batch_of(model, LONG, SHORT), [-1, 2])
    assert_untouched(before, snapshot(hf, ids_of()))
    assert model.changes == ()


@pytest.mark.parametrize("in_place", [False, True])
def test_a_pass_that_raises_leaves_nothing_behind(in_place):
    hf = build("gpt2")
    if in_place:
        hf.get_output_embeddings().__class__ = Stuck
    model = mi.wrap(hf, word_tokenizer())
    batch = batch_of(model, LONG)
    whole, stream = streams(model, batch)

    def burst(_):
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        model.forward(batch, {("resid_mid", 2): burst}, resume=(2, stream[2]), keep=[-1])
    assert torch.equal(model.forward(batch), whole)
    assert all("forward" not in vars(module) for module in model.shadow.modules())
    assert not any(module._forward_pre_hooks for module in model.shadow.modules())


# What is refused, and what is found


def test_what_lies_before_the_layer_cannot_be_visited():
    model = wrapped("llama")
    batch = batch_of(model, LONG)
    _, stream = streams(model, batch)
    for key in (("z", 1), ("embed", None)):
        with pytest.raises(mi.BadInput, match="lies before layer 2"):
            model.forward(batch, {key: lambda x: x}, resume=(2, stream[2]))
    with pytest.raises(mi.BadInput, match="lies before layer 2"):
        model.forward(batch, watchers={0: lambda _: None}, resume=(2, stream[2]))
    with pytest.raises(mi.BadInput, match="no whole logits to visit"):
        model.forward(batch, {("logits", None): lambda x: x}, keep=[-1])
    with pytest.raises(mi.BadInput, match="keep names 2 columns for 1 prompts"):
        model.forward(batch, keep=[-1, 2])
    with pytest.raises(mi.BadInput, match="There is no layer 7"):
        model.forward(batch, resume=(7, stream[2]))
    with pytest.raises(mi.BadInput, match=r"\[1, 8, 32\], not \[1, 9, 32\]"):
        model.forward(batch, resume=(1, stream[1][:, 1:]))


@pytest.mark.parametrize("keep", [None, [-1, 3]])
def test_numbers_that_are_not_finite_are_found_from_the_layer_on(keep):
    model = wrapped("llama")
    batch = batch_of(model, LONG, SHORT)
    _, stream = streams(model, batch)

    def broken(x):
        x = x.clone()
        x[1, 3:5] = torch.nan
        return x

    with pytest.raises(mi.NotFinite, match=r"first in L2\.attn_out at position 0 of prompt 1.*An edit writes it"):
        model.forward(batch, {("attn_out", 2): broken}, resume=(1, stream[1]), keep=keep)
    last = model.n_layers
    with pytest.raises(mi.NotFinite, match=r"first in final_norm at position 0 of prompt 1"):
        model.forward(batch, resume=(last, broken(stream[last])), keep=keep)
