"""Changes of the user's model are noticed, told in words, and the numbers after them are the changed model's own."""

from __future__ import annotations

import warnings

import peft
import pytest
import torch

import mi_widgets as mi
from mi_widgets.model.stamp import stamp_of, words_of
from tests.python.families import CLEAN, build, experiment, word_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

EDIT = mi.Patch("resid_pre", 1, position=10)


def lora(seed=0, **more):
    return peft.LoraConfig(
        r=4, target_modules=["q_proj", "o_proj", "down_proj"], init_lora_weights=False, lora_dropout=0.3, **more
    )


def logits_of(hf):
    with torch.no_grad():
        return hf(torch.tensor([word_tokenizer()(CLEAN)["input_ids"]])).logits


def layers(hf):
    return hf.model.layers


# Changes: each takes the model in hand (a PEFT model for those of adapters) and changes it.


def edit_in_place(hf):
    with torch.no_grad():
        layers(hf)[1].mlp.down_proj.weight.mul_(-1)
        hf.lm_head.weight.mul_(0.9)


def edit_data(hf):
    layers(hf)[1].mlp.down_proj.weight.data.mul_(-1)


def train_a_step(hf):
    ids = torch.tensor([word_tokenizer()(CLEAN)["input_ids"]])
    optimiser = torch.optim.SGD(hf.parameters(), lr=0.1)
    hf(input_ids=ids, labels=ids).loss.backward()
    optimiser.step()
    optimiser.zero_grad()


def load_other_weights(hf):
    hf.load_state_dict(build("llama", seed=8).state_dict())


def replace_parameter(hf):
    old = layers(hf)[1].mlp.down_proj
    old.weight = torch.nn.Parameter(-old.weight.detach())


def register_hook(hf):
    layers(hf)[1].mlp.register_forward_hook(lambda _, __, y: -y)


def register_pre_hook(hf):
    layers(hf)[2].register_forward_pre_hook(lambda _, args: (-args[0], *args[1:]))


def remove_hook(hf):
    layers(hf)[0].mlp._forward_hooks.clear()


def replace_module(hf):
    old = layers(hf)[1].mlp.down_proj
    with torch.random.fork_rng():
        torch.manual_seed(4)
        layers(hf)[1].mlp.down_proj = torch.nn.Linear(old.in_features, old.out_features)


def replace_forward(hf):
    mlp = layers(hf)[1].mlp
    inner = mlp.forward
    mlp.forward = lambda x: -inner(x)


def to_bfloat16(hf):
    hf.to(torch.bfloat16)


def to_float64(hf):
    hf.double()


def train_mode(hf):
    hf.train()


def to_eager(hf):
    hf.set_attn_implementation("eager")


def change_a_setting(hf):
    layers(hf)[1].self_attn.scaling = 0.9


def change_a_function(hf):
    layers(hf)[0].mlp.act_fn = torch.nn.functional.relu


def take_a_layer_out(hf):
    del layers(hf)[2]
    hf.config.num_hidden_layers = 2


def add_adapter(hf):
    hf.add_adapter(lora(), "default")
    hf.eval()


CHANGES = {
    edit_in_place: "weights were edited in place (model.layers.1.mlp.down_proj.weight and lm_head.weight)",
    edit_data: "weights were edited through .data",
    train_a_step: "weights were edited in place (model.embed_tokens.weight and ",
    load_other_weights: "weights were edited in place (model.embed_tokens.weight and ",
    replace_parameter: "model.layers.1.mlp.down_proj.weight was replaced",
    register_hook: "a hook was registered on model.layers.1.mlp",
    register_pre_hook: "a hook was registered on model.layers.2",
    remove_hook: "a hook was removed from model.layers.0.mlp",
    replace_module: "model.layers.1.mlp.down_proj was replaced",
    replace_forward: "the forward of model.layers.1.mlp was replaced",
    to_bfloat16: "dtype changed from float32 to bfloat16 (model.embed_tokens.weight and ",
    to_float64: "dtype changed from float32 to float64 (model.embed_tokens.weight and ",
    train_mode: "the model was switched to training mode",
    to_eager: "the attention implementation changed from sdpa to eager",
    change_a_setting: "model.layers.1.self_attn.scaling changed from ",
    take_a_layer_out: "model.layers.2 was taken out",
    add_adapter: "an adapter was added to model.layers.0.self_attn.q_proj and 8 more",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_told_and_the_numbers_follow(change):
    hf, tokenizer = build("llama", seed=5), word_tokenizer()
    layers(hf)[0].mlp.register_forward_hook(lambda _, __, y: 2 * y)
    model = mi.wrap(hf, tokenizer)
    exp = experiment(model)
    exp.run(EDIT)
    heard = []
    exp.observe(heard.append)
    change(hf)
    result = exp.run(EDIT)

    (seen,) = model.changes
    assert str(seen).startswith(CHANGES[change])
    assert seen.generation == model.generation == 1
    assert result.provenance.notes[0] == f"The model has changed since the last result: {seen}."
    # The views are told, with a revision that makes them ask again.
    assert "question" in heard
    assert exp.question()["warnings"][0] == f"The model has changed: {seen}. What was computed before was dropped."
    assert exp.question()["rev"] == exp.rev > 1

    fresh = experiment(mi.Model(hf, tokenizer, "fresh"))
    assert result.metric == pytest.approx(fresh.run(EDIT).metric, abs=1e-5)
    assert result.provenance.kernel == fresh.run(EDIT).provenance.kernel
    if change is not train_mode:
        torch.testing.assert_close(exp.read("logits"), logits_of(hf).float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(exp.attribution("head").values, fresh.attribution("head").values)

    # It is news once; a later result says nothing of it, and a new question has no earlier results.
    assert not any("has changed" in note for note in exp.run(EDIT).provenance.notes)
    assert model.refresh() is None
    exp.ask(metric="prob")
    assert not any("has changed" in warning for warning in exp.question()["warnings"])


def change_a_softcap(hf):
    hf.config.final_logit_softcapping = 1.5


def change_attention_softcap(hf):
    for layer in hf.model.layers:
        layer.self_attn.attn_logit_softcapping = 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_a_softcap, "config.final_logit_softcapping changed from 3.0 to 1.5"),
        (
            change_attention_softcap,
            "model.layers.0.self_attn.attn_logit_softcapping changed from 2.0 to 0.5 (and 2 more)",
        ),
    ],
)
def test_a_changed_setting_is_told(change, words):
    hf, tokenizer = build("gemma2"), word_tokenizer()
    exp = experiment(mi.wrap(hf, tokenizer))
    before = exp.read("logits")
    change(hf)
    after = exp.read("logits")
    torch.testing.assert_close(after, logits_of(hf), atol=1e-5, rtol=1e-5)
    assert (after - before).abs().max() > 0.01
    assert [str(change) for change in exp.model.changes] == [words]
    residue = exp.attribution("component").residue
    assert residue == pytest.approx(experiment(mi.Model(hf, tokenizer, "fresh")).attribution().residue, abs=1e-5)


def test_several_changes_at_once_are_one_note():
    hf, tokenizer = build("llama"), word_tokenizer()
    exp = experiment(mi.wrap(hf, tokenizer))
    exp.run(EDIT)
    edit_in_place(hf)
    register_hook(hf)
    exp.read("z")  # looks, and gives no result that could tell
    train_mode(hf)
    note, *others = exp.run(EDIT).provenance.notes
    assert note == (
        "The model has changed since the last result: "
        "weights were edited in place (model.layers.1.mlp.down_proj.weight and lm_head.weight); "
        "a hook was registered on model.layers.1.mlp; the model was switched to training mode."
    )
    assert others == ["The model is in training mode; runs here are in eval mode, without dropout."]
    assert len(exp.model.changes) == 2


def test_every_experiment_is_told():
    hf, tokenizer = build("llama"), word_tokenizer()
    model = mi.wrap(hf, tokenizer)
    first, second = experiment(model), experiment(model)
    first.run(EDIT), second.run(EDIT)
    edit_data(hf)
    told = [exp.run(EDIT).provenance.notes for exp in (first, second)]
    assert told[0] == told[1] == ("The model has changed since the last result: weights were edited through .data.",)
    assert experiment(model).run(EDIT).provenance.notes == ()
    assert second.sweep("z", progress=False).provenance.notes == ()


def test_a_sweep_tells_too():
    hf = build("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    exp.sweep("z", progress=False)
    edit_in_place(hf)
    assert exp.sweep("z", progress=False).provenance.notes[0].startswith("The model has changed since the last result")


def test_a_widget_shows_it_and_draws_anew():
    hf = build("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    widget = mi.AttentionHeads(exp).wait(60)
    try:
        before, rev = widget.result.thumbs.clone(), exp.rev
        register_pre_hook(hf)
        exp.run(EDIT)
        widget.wait(60)
        assert widget.question["warnings"][0].startswith(
            "The model has changed: a hook was registered on model.layers.2."
        )
        assert widget.result.rev == exp.rev > rev
        assert not torch.equal(widget.result.thumbs, before)
        assert widget.last_error is None
    finally:
        widget.close()


def test_something_random_is_no_change():
    hf = build("llama")
    generator, size = torch.Generator().manual_seed(0), [0.0]
    hf.model.layers[1].mlp.register_forward_hook(
        lambda _, __, y: y + size[0] * torch.randn(y.shape, generator=generator)
    )
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    widget = mi.AttentionHeads(exp).wait(60)
    size[0] = 0.1
    try:
        note = "Two runs of the same prompt gave different numbers: something in the model is random."
        assert exp.run(EDIT).provenance.notes == (note,)
        assert exp.question()["warnings"] == [note]
        assert exp.model.changes == ()
        assert exp.rev == 1
        assert widget.wait(60).result.rev == 1
    finally:
        widget.close()
    hf.model.layers[1].mlp._forward_hooks.clear()
    (note,) = exp.run(EDIT).provenance.notes
    assert note == "The model has changed since the last result: a hook was removed from model.layers.1.mlp."


# Adapters


@pytest.fixture
def adapted():
    """A PEFT model with two adapters, an experiment about it, and a first result."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(2)
        held = peft.get_peft_model(build("llama"), lora())
        held.add_adapter("other", lora())
    held.eval()
    exp = experiment(mi.wrap(held, word_tokenizer()))
    exp.run(EDIT)
    return held, exp


def checked(held, exp, *words):
    """The next result tells these words, and is what a fresh look at the model gives."""
    result = exp.run(EDIT)
    told = result.provenance.notes[0].removeprefix("The model has changed since the last result: ")
    assert all(word in told for word in words), told
    torch.testing.assert_close(exp.read("logits"), logits_of(held), atol=2e-5, rtol=2e-5)
    fresh = experiment(mi.Model(held.get_base_model(), exp.model.tokenizer, "fresh")).run(EDIT)
    assert result.metric == pytest.approx(fresh.metric, abs=1e-5)
    return result.metric


def test_an_adapter_is_switched(adapted):
    held, exp = adapted
    on = exp.run(EDIT).metric
    with held.disable_adapter():
        off = checked(held, exp, "adapters were switched off")
        assert off == pytest.approx(experiment(mi.wrap(build("llama"), word_tokenizer())).run(EDIT).metric, abs=1e-5)
    assert checked(held, exp, "adapters were switched on") == pytest.approx(on, abs=1e-6)
    held.set_adapter("other")
    other = checked(held, exp, "the active adapter is now other")
    assert len({round(m, 3) for m in (on, off, other)}) == 3


def test_an_adapter_is_merged_and_taken_out_again(adapted):
    held, exp = adapted
    before = exp.run(EDIT).metric
    held.merge_adapter()
    assert checked(held, exp, "an adapter was merged into the weights (default)") == pytest.approx(before, abs=1e-4)
    held.unmerge_adapter()
    assert checked(held, exp, "adapters were taken out of the weights") == pytest.approx(before, abs=1e-4)


def test_an_adapter_comes_and_goes(adapted):
    held, exp = adapted
    held.add_adapter("third", lora())
    checked(held, exp, "an adapter was added: model.layers.0.self_attn.q_proj.lora_dropout.third and ")
    held.delete_adapter("third")
    checked(held, exp, "an adapter was taken away: model.layers.0.self_attn.q_proj.lora_dropout.third and ")
    with torch.no_grad():
        held.get_base_model().model.layers[1].mlp.down_proj.lora_B["default"].weight.mul_(-1)
    checked(held, exp, "weights were edited in place (model.layers.1.mlp.down_proj.lora_B.default.weight)")
    hf = held.merge_and_unload()
    result = exp.run(EDIT)
    assert "an adapter was taken off model.layers.0.self_attn.q_proj and 8 more" in result.provenance.notes[0]
    torch.testing.assert_close(exp.read("logits"), logits_of(hf), atol=1e-5, rtol=1e-5)


# What the model has become cannot be run


def test_a_model_that_moved_to_meta_is_refused_until_it_is_back():
    hf = build("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    state, metric = {k: t.clone() for k, t in hf.state_dict().items()}, exp.run(EDIT).metric
    hf.to("meta")
    for _ in range(2):
        with pytest.raises(mi.BadInput, match=r"not loaded: .* on the meta device"):
            exp.run(EDIT)
    hf.to_empty(device="cpu").load_state_dict(state)
    rebuilt = build("llama").model.rotary_emb  # its buffers are in no state dict
    hf.model.rotary_emb = rebuilt
    assert exp.run(EDIT).metric == pytest.approx(metric, abs=1e-6)


def test_a_model_that_became_unsupported_is_refused_until_it_is_mended():
    hf = build("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    metric = exp.run(EDIT).metric
    hf.config.is_encoder_decoder = True
    for _ in range(2):
        with pytest.raises(mi.UnsupportedArchitecture, match="encoder-decoder"):
            exp.run(EDIT)
    hf.config.is_encoder_decoder = False
    assert exp.run(EDIT).metric == metric


# The stamp itself


def test_a_forward_pass_and_use_change_nothing():
    hf = build("gemma2")
    before = stamp_of(hf)
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    exp.run(EDIT)
    exp.sweep("z", progress=False)
    hf.generate(torch.tensor([[1, 5, 6]]), max_new_tokens=4, do_sample=False)
    after = stamp_of(hf)
    assert words_of(before, after) == ()
    assert after == before
    assert exp.model.refresh() is None


def test_one_object_that_is_in_many_places_is_told_once():
    hf = build("gemma2")  # input and output embedding are tied
    before = stamp_of(hf)
    with torch.no_grad():
        hf.lm_head.weight.mul_(2)
    assert words_of(before, stamp_of(hf)) == (
        "weights were edited in place (model.embed_tokens.weight and lm_head.weight)",
    )


def test_the_order_and_number_of_words():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.1), torch.nn.Linear(2, 2))
    before = stamp_of(module)
    module[1].p = 0.5
    module[2].to(torch.float16)
    module[0].register_buffer("extra", torch.zeros(1))
    module.eval()
    handle = module[2].register_forward_hook(lambda *_: None)
    assert words_of(before, stamp_of(module)) == (
        "dtype changed from float32 to float16 (2.weight and 2.bias)",
        "0.extra was added",
        "a hook was registered on 2",
        "1.p changed from 0.1 to 0.5",
        "the model was switched to eval mode",
    )
    between = stamp_of(module)
    handle.remove()
    del module[0].extra
    module[1].train()
    assert words_of(between, stamp_of(module)) == (
        "0.extra was taken out",
        "a hook was removed from 2",
        "1 was switched to training mode",
    )
