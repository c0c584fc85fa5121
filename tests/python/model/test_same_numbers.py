"""What runs here is the user's model: every family, both kernels, long prompts, padded batches, odd configs."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from tests.families.configs import build, families
from tests.families.page import SUPPORTED
from tests.python.families import CLEAN, SHORT_CLEAN, WORDS, ids_of, word_tokenizer

LONG = " ".join((WORDS * 3)[:39])
"""Longer than every window, chunk and top-k of the tiny configs; the probe tokens are not."""

PADDED_TOPK = {"glm_moe_dsa"}
"""Its index takes the best k of the padded columns too; only for prompts longer than k (2,048 in released models)."""


def plain(hf, ids):
    with torch.no_grad():
        return hf(input_ids=torch.tensor([ids]), use_cache=False, return_dict=True).logits[0]


def wrapped(family, **config):
    hf = build(family, **config)
    try:
        return mi.wrap(hf, word_tokenizer(), family)
    except mi.UnsupportedArchitecture:
        return None


def close(a, b):
    torch.testing.assert_close(a, b, atol=2e-5 * max(1.0, float(b.abs().max())), rtol=0)


@pytest.mark.parametrize("family", families())
def test_logits_are_those_of_the_users_own_model(family):
    """With the kernel the model was made with, and with plain attention; padded prompts are as each one alone."""
    model = wrapped(family)
    if model is None:
        assert family not in SUPPORTED.read_text(encoding="utf-8").split()
        return
    text = " ".join(LONG.split()[: min(39, (model.text.limits.table or 40) - 1)])
    for kernel in (None, "eager"):
        if kernel is not None:
            try:
                model.hf.set_attn_implementation(kernel)
            except ValueError:
                continue
        exp = mi.Experiment(model, text)
        close(exp.read("logits")[0], plain(model.hf, ids_of(model, text)))
    if family in PADDED_TOPK:
        return
    if model.architecture.padding is not None:
        with pytest.raises(mi.PromptMismatch, match=r"padding|left-padded"):
            mi.Experiment(model, [CLEAN, SHORT_CLEAN]).read("logits")
        return
    two = mi.Experiment(model, [CLEAN, SHORT_CLEAN])
    for row, text in enumerate((CLEAN, SHORT_CLEAN)):
        alone = mi.Experiment(model, text).read("logits", position=-1)[0]
        close(two.read("logits", position=-1)[row], alone)


def test_a_config_that_asks_for_tuples_changes_nothing():
    hf = build("llama")
    hf.config.return_dict = False
    model = mi.wrap(hf, word_tokenizer())
    exp = mi.Experiment(model, CLEAN)
    close(exp.read("logits")[0], plain(build("llama"), ids_of(model, CLEAN)))
    assert hf.config.return_dict is False


@pytest.mark.parametrize("flag", ["output_attentions", "output_hidden_states", "use_cache"])
def test_configs_that_ask_for_more_change_nothing(flag):
    hf = build("gpt2")
    hf.set_attn_implementation("eager")
    setattr(hf.config, flag, True)
    exp = mi.Experiment(mi.wrap(hf, word_tokenizer()), CLEAN)
    close(exp.read("logits")[0], plain(hf, ids_of(exp.model, CLEAN)))


def test_a_kernel_that_shows_no_weights_gives_way_and_it_is_said():
    hf = build("llama")
    expected = plain(hf, [5, 6, 7, 8, 9, 10])
    hf.set_attn_implementation("flex_attention")
    model = mi.wrap(hf, word_tokenizer())
    assert hf.config._attn_implementation == "flex_attention"
    exp = mi.Experiment(model, [5, 6, 7, 8, 9, 10])
    close(exp.read("logits")[0], expected)
    assert any("flex_attention" in note and "sdpa" in note for note in exp.run(()).provenance.notes)


def test_a_model_made_in_inference_mode():
    with torch.inference_mode():
        hf = build("gpt2")
    exp = mi.Experiment(mi.wrap(hf, word_tokenizer()), CLEAN)
    close(exp.read("logits")[0], plain(hf, ids_of(exp.model, CLEAN)))


def test_results_are_float32_whatever_torch_makes_by_default():
    exp = mi.Experiment(mi.wrap(build("gpt2"), word_tokenizer()), CLEAN, answer=" Mary", distractor=" John")
    torch.set_default_dtype(torch.float64)
    try:
        values = (exp.patterns().values, exp.sweep("z", edit=mi.Zero(), base="clean", progress=False).metric)
        values += (exp.attribution().values, exp.attribution(by="head").values, exp.read("resid_pre"))
    finally:
        torch.set_default_dtype(torch.float32)
    assert [value.dtype for value in values] == [torch.float32] * 5


def test_a_model_that_looks_ahead_is_refused():
    hf = build("bert", is_decoder=False)
    with pytest.raises(mi.UnsupportedArchitecture, match=r"Later tokens change.*is_decoder"):
        mi.wrap(hf, word_tokenizer())


def test_a_model_that_rescales_its_weights_is_refused_and_left_as_it_was():
    hf = build("rwkv", rescale_every=1)
    before = {name: p.clone() for name, p in hf.named_parameters()}
    with pytest.raises(mi.UnsupportedArchitecture, match=r"rescales its weights in place.*rescale_every=0"):
        mi.wrap(hf, word_tokenizer())
    assert all(torch.equal(p, before[name]) for name, p in hf.named_parameters())
    assert mi.wrap(build("rwkv", rescale_every=0), word_tokenizer()).n_layers == 3


def test_patterns_stay_where_an_output_projection_was_set_to_zero():
    """Ablation by weight: what can be read can still be read."""
    hf = build("llama")
    torch.nn.init.zeros_(hf.model.layers[1].self_attn.o_proj.weight)
    exp = mi.Experiment(mi.wrap(hf, word_tokenizer()), CLEAN)
    assert bool(exp.patterns().values.isfinite().all())
    torch.testing.assert_close(exp.patterns(layers=[0]).values, patterns_of(build("llama"))[:1])


def patterns_of(hf):
    return mi.Experiment(mi.wrap(hf, word_tokenizer()), CLEAN).patterns().values


def test_a_model_that_writes_into_its_weights_is_refused():
    hf = build("llama")

    def write(module, _, __):
        with torch.no_grad():
            module.weight.mul_(1.0)

    hf.model.norm.register_forward_hook(write)
    with pytest.raises(mi.UnsupportedArchitecture, match=r"writes into its own weights \(model.norm.weight"):
        mi.wrap(hf, word_tokenizer())
