"""What `wrap` takes besides a plain transformers model, with the real libraries on tiny random models."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings

import nnsight
import peft
import pytest
import torch
import transformer_lens
import transformers
from transformer_lens.model_bridge import TransformerBridge

import mi_widgets as mi
from mi_widgets.model.unwrap import unwrap
from tests.python.families import CLEAN, build, experiment, fill, word_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module", autouse=True)
def offline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("WANDB_MODE", "disabled")
        yield


@pytest.fixture(scope="module")
def saved_tokenizer(tmp_path_factory):
    """TransformerLens loads a tokenizer again by its path."""
    folder = tmp_path_factory.mktemp("tokenizer")
    word_tokenizer().save_pretrained(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def ids_of(tokenizer=None):
    return torch.tensor([(tokenizer or word_tokenizer())(CLEAN)["input_ids"]])


def logits_of(call, ids=None):
    with torch.no_grad():
        out = call(ids_of() if ids is None else ids)
    return out if isinstance(out, torch.Tensor) else out.logits


def assert_same_everywhere(model, other, tolerance=1e-5):
    """Two models give the same at every site, under edits, in a sweep and in attribution."""
    mine, theirs = experiment(model), experiment(other)
    assert model.architecture.sites == other.architecture.sites
    assert model.architecture.missing_at == other.architecture.missing_at
    for site in model.architecture.sites:
        expected = theirs.read(site)
        size = max(1.0, float(expected[torch.isfinite(expected)].abs().max()))
        torch.testing.assert_close(mine.read(site), expected, atol=size * tolerance, rtol=0, msg=site)
    for edit in (mi.Patch("z", 1, head=1), mi.Zero("mlp_post", 2), mi.Zero("result", 1, head=3), mi.Patch("q", 2)):
        assert mine.run(edit).metric == pytest.approx(theirs.run(edit).metric, abs=10 * tolerance)
    sweeps = [exp.sweep("z", progress=False).metric for exp in (mine, theirs)]
    torch.testing.assert_close(*sweeps, atol=10 * tolerance, rtol=tolerance)
    assert sweeps[0].std() > 1e-3
    attributions = [exp.attribution("head") for exp in (mine, theirs)]
    torch.testing.assert_close(*(a.values for a in attributions), atol=10 * tolerance, rtol=tolerance)


# nnsight


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_nnsight(family):
    tokenizer = word_tokenizer()
    hf = build(family)
    held = nnsight.LanguageModel(hf, tokenizer=tokenizer)
    model = mi.wrap(held)
    assert model.hf is hf
    assert model.tokenizer is tokenizer
    assert mi.wrap(held) is model
    assert mi.wrap(hf, tokenizer) is model
    torch.testing.assert_close(experiment(model).read("logits"), logits_of(hf), atol=1e-6, rtol=1e-6)
    assert_same_everywhere(model, mi.wrap(build(family), word_tokenizer()))
    with held.trace(ids_of()):
        traced = held.lm_head.output.save()
    torch.testing.assert_close(traced, logits_of(hf))


def test_a_model_that_is_given_to_nnsight_later_has_not_changed():
    hf, tokenizer = build("llama"), word_tokenizer()
    exp = experiment(mi.wrap(hf, tokenizer))
    before = exp.run(mi.Zero("z", 1))
    held = nnsight.LanguageModel(hf, tokenizer=tokenizer)
    with held.trace(ids_of()):
        held.model.layers[1].mlp.output[:] = 0
    after = exp.run(mi.Zero("z", 1))
    assert torch.equal(after.logits, before.logits)
    assert after.provenance.notes == ()
    assert exp.model.changes == ()


def test_nnsight_without_weights(tmp_path):
    build("llama").save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    held = nnsight.LanguageModel(str(tmp_path), tokenizer=word_tokenizer())
    with pytest.raises(mi.BadInput, match=r"not loaded yet.*\.dispatch\(\)"):
        mi.wrap(held)
    held.dispatch()
    torch.testing.assert_close(experiment(mi.wrap(held)).read("logits"), logits_of(build("llama")))


# TransformerLens


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_transformer_bridge(family, saved_tokenizer):
    hf = build(family)
    bridge = TransformerBridge.boot_transformers("tiny", hf_model=hf, tokenizer=saved_tokenizer, device="cpu")
    model = mi.wrap(bridge)
    assert model.hf is bridge.original_model
    assert model.hf is hf
    assert model.tokenizer is bridge.tokenizer
    exp = experiment(model)
    ids = ids_of(bridge.tokenizer)
    expected, cache = bridge.run_with_cache(ids)
    torch.testing.assert_close(exp.read("logits"), expected, atol=1e-5, rtol=1e-5)
    for name, site in {"attn.hook_z": "z", "attn.hook_pattern": "pattern", "hook_resid_post": "resid_post"}.items():
        for layer in range(model.n_layers):
            theirs = cache[f"blocks.{layer}.{name}"].flatten(2) if site == "z" else cache[f"blocks.{layer}.{name}"]
            mine = exp.read(site, layer=layer)
            torch.testing.assert_close(mine.flatten(2) if site == "z" else mine, theirs, atol=1e-5, rtol=1e-5)
    assert_same_everywhere(model, mi.wrap(build(family), bridge.tokenizer))
    assert torch.equal(bridge(ids), expected)


def test_a_bridge_with_rewritten_weights_is_refused(saved_tokenizer):
    bridge = TransformerBridge.boot_transformers(
        "tiny", hf_model=build("gpt2"), tokenizer=saved_tokenizer, device="cpu"
    )
    bridge.enable_compatibility_mode(no_processing=True)
    torch.testing.assert_close(
        experiment(mi.wrap(bridge)).read("logits"), bridge(ids_of(bridge.tokenizer)), atol=1e-5, rtol=1e-5
    )
    other = TransformerBridge.boot_transformers("tiny", hf_model=build("gpt2"), tokenizer=saved_tokenizer, device="cpu")
    other.enable_compatibility_mode()
    with pytest.raises(mi.BadInput, match=r"rewritten its weights.*no_processing=True"):
        mi.wrap(other)


def test_a_classic_hooked_model_is_refused():
    class HookedTransformer(transformer_lens.HookedRootModule):
        pass

    with pytest.raises(mi.BadInput, match=r"HookedTransformer keeps weights of its own.*boot_transformers"):
        mi.wrap(HookedTransformer(), word_tokenizer())


# PEFT

_ADAPTERS = {
    "lora": lambda gated: peft.LoraConfig(
        r=4, target_modules=_linear(gated), init_lora_weights=False, lora_dropout=0.5
    ),
    "dora": lambda gated: peft.LoraConfig(r=4, target_modules=_linear(gated), init_lora_weights=False, use_dora=True),
    "ia3": lambda gated: peft.IA3Config(
        target_modules=["k_proj", "v_proj", "o_proj"], feedforward_modules=["o_proj"], init_ia3_weights=False
    ),
    "oft": lambda gated: peft.OFTConfig(
        target_modules=["q_proj", "o_proj"], oft_block_size=4, init_weights=False, task_type="CAUSAL_LM"
    ),
    "loha": lambda gated: peft.LoHaConfig(r=4, target_modules=["o_proj", "down_proj"], init_weights=False),
    "ends": lambda gated: peft.LoraConfig(
        r=4, target_modules=["embed_tokens", "lm_head"], init_lora_weights=False, ensure_weight_tying=True
    ),
    "norms": lambda gated: peft.LNTuningConfig(target_modules=["input_layernorm", "norm"]),
    "saved": lambda gated: peft.LoraConfig(
        r=4, target_modules=["o_proj"], init_lora_weights=False, modules_to_save=["lm_head"]
    ),
}


def _linear(gated):
    return ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"] if gated else ["c_attn", "c_proj", "c_fc"]


def adapted(family, kind, seed=3):
    """A model with an adapter whose weights are far from doing nothing."""
    config = _ADAPTERS[kind](family != "gpt2")
    if family == "gpt2":
        config.fan_in_fan_out = True
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(seed)
        held = peft.get_peft_model(build(family), config).eval()
        for name, p in held.named_parameters():
            if any(word in name for word in ("lora_", "ia3", "oft_", "ln_tuning", "modules_to_save")):
                p.data += 0.2 * torch.randn_like(p)
    return held


@pytest.mark.parametrize(
    ("family", "kind"), [("llama", kind) for kind in _ADAPTERS] + [("gpt2", "lora"), ("gemma2", "lora")]
)
def test_peft(family, kind):
    held, tokenizer = adapted(family, kind), word_tokenizer()
    model = mi.wrap(held, tokenizer)
    assert model.hf is held.get_base_model()
    assert model.architecture.missing == {}
    exp = experiment(model)
    expected = logits_of(held)
    torch.testing.assert_close(exp.read("logits"), expected, atol=1e-5, rtol=1e-5)
    assert (logits_of(build(family)) - expected).abs().max() > 0.05
    # Merged into the weights it is a plain model, which every other test of the package is about.
    merged = copy.deepcopy(held).merge_and_unload()
    assert_same_everywhere(model, mi.wrap(merged, tokenizer), tolerance=1e-5)
    assert torch.equal(logits_of(held), expected)


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_small_adapter_in_bfloat16_is_not_overlooked(kind):
    """Rounding is coarse there: the check of a composed weight must not let a wrong one pass."""
    held = adapted("llama", kind).to(torch.bfloat16)
    model = mi.wrap(held, word_tokenizer())
    assert model.architecture.missing == {}
    projection = held.get_base_model().model.layers[1].self_attn.o_proj
    z = experiment(model).read("z", layer=1).flatten(2).bfloat16()
    with torch.no_grad():
        expected = projection(z).float() - projection.base_layer.bias.float()
    got = experiment(model).read("result", layer=1).sum(2)
    assert ((got - expected).norm() / expected.norm()) < 0.02
    plain = torch.nn.functional.linear(z, projection.base_layer.weight).float()
    assert ((plain - expected).norm() / expected.norm()) > 0.1


def test_an_adapter_that_transformers_put_in():
    hf = build("llama")
    hf.add_adapter(peft.LoraConfig(r=4, target_modules=["o_proj"], init_lora_weights=False))
    torch.testing.assert_close(experiment(mi.wrap(hf.eval(), word_tokenizer())).read("logits"), logits_of(hf))
    assert (logits_of(hf) - logits_of(build("llama"))).abs().max() > 0.05


@pytest.mark.parametrize(
    "config",
    [
        peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
        peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
        peft.PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    ],
    ids=lambda config: type(config).__name__,
)
def test_trained_prompts_are_refused(config):
    held = peft.get_peft_model(build("llama"), config)
    with pytest.raises(mi.UnsupportedArchitecture, match=r"positions that are no tokens.*Pass the base model"):
        mi.wrap(held, word_tokenizer())
    assert mi.wrap(held.get_base_model(), word_tokenizer()).n_layers == 3


def test_an_adapter_that_is_more_than_layers_is_refused():
    config = peft.AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=4, adapter_layers=2)
    held = peft.get_peft_model(build("llama"), config)
    with pytest.raises(mi.UnsupportedArchitecture, match="ADAPTION_PROMPT"):
        mi.wrap(held, word_tokenizer())


def test_a_merged_adapter_that_is_switched_off_is_refused():
    held = adapted("llama", "lora")
    held.merge_adapter()
    before = {name: t.clone() for name, t in held.state_dict().items()}
    with held.disable_adapter(), pytest.raises(mi.BadInput, match="merged into the weights and switched off"):
        mi.wrap(held, word_tokenizer())
    assert all(torch.equal(t, before[name]) for name, t in held.state_dict().items())


# PyTorch's own


def test_torch_compile_and_data_parallel():
    hf, tokenizer = build("llama"), word_tokenizer()
    model = mi.wrap(hf, tokenizer)
    for held in (torch.compile(hf), torch.nn.DataParallel(hf), torch.nn.DataParallel(torch.compile(hf))):
        assert mi.wrap(held, tokenizer) is model
    assert unwrap(torch.nn.DataParallel(nnsight.LanguageModel(hf, tokenizer=tokenizer)._module)) == (hf, None)


def test_distributed_data_parallel():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        hf, tokenizer = build("llama"), word_tokenizer()
        assert mi.wrap(torch.nn.parallel.DistributedDataParallel(hf), tokenizer).hf is hf
    finally:
        torch.distributed.destroy_process_group()


def test_compiled_modules_are_copied_uncompiled():
    hf, tokenizer = build("llama"), word_tokenizer()
    expected = logits_of(hf)
    hf.compile(backend="eager")
    hf.model.layers[1] = torch.compile(hf.model.layers[1], backend="eager")
    exp = experiment(mi.wrap(hf, tokenizer))
    torch.testing.assert_close(exp.read("logits"), expected)
    assert "not compiled" in exp.run(mi.Zero("z", 1)).provenance.notes[0]
    assert "not compiled" in exp.question()["warnings"][0]
    assert_same_everywhere(exp.model, mi.wrap(build("llama"), word_tokenizer()))


# What is refused, and `wrap` itself


@pytest.mark.parametrize(
    "config",
    [
        transformers.T5Config(vocab_size=59, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4),
        transformers.BartConfig(vocab_size=59, d_model=16, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=32,
                                decoder_ffn_dim=32, encoder_attention_heads=4, decoder_attention_heads=4),
    ],
    ids=lambda config: config.model_type,
)  # fmt: skip
def test_encoder_decoders_are_refused(config):
    for auto in (transformers.AutoModelForSeq2SeqLM, transformers.AutoModel):
        with torch.random.fork_rng():
            hf = auto.from_config(config).eval()
        with pytest.raises(mi.UnsupportedArchitecture, match=r"encoder-decoder model.*decoder-only"):
            mi.wrap(hf, word_tokenizer())


def test_what_is_no_model_is_refused():
    tokenizer = word_tokenizer()
    for wrong in ("gpt2", torch.nn.Linear(2, 2), None, tokenizer):
        with pytest.raises(mi.BadInput, match="expects a transformers model"):
            mi.wrap(wrong, tokenizer)
    with pytest.raises(mi.BadInput, match="needs the model's tokenizer"):
        mi.wrap(build("gpt2"))
    with pytest.raises(mi.BadInput, match="needs the model's tokenizer"):
        mi.wrap(torch.nn.DataParallel(build("gpt2")))


def test_a_model_on_the_meta_device_is_refused():
    with torch.device("meta"):
        hf = transformers.AutoModelForCausalLM.from_config(build("llama").config)
    with pytest.raises(mi.BadInput, match=r"not loaded: model\.embed_tokens\.weight and .* meta device"):
        mi.wrap(hf, word_tokenizer())


def test_a_name_given_later_renames():
    hf, tokenizer = build("gpt2"), word_tokenizer()
    model = mi.wrap(hf, tokenizer)
    assert model.name == "gpt2"
    exp = experiment(model)
    assert mi.wrap(hf, tokenizer, "mine") is model
    assert mi.wrap(hf, tokenizer) is model
    assert model.name == "mine"
    assert exp.run(()).provenance.model == "mine"
    assert exp.question()["model"]["name"] == "mine"


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_model_is_neither_copied_nor_pickled(copying):
    model = mi.wrap(build("gpt2"), word_tokenizer())
    with pytest.raises(mi.BadInput, match=r"neither copied nor pickled.*save_pretrained"):
        copying(model)
    with pytest.raises(mi.BadInput):
        copying({"model": [model]}) if copying is not copy.copy else copying(model)


def test_no_library_is_imported_that_the_user_has_not_imported():
    code = """
import sys, mi_widgets as mi
model = mi.load()
assert mi.wrap(model.hf, model.tokenizer) is model
model.refresh()
print(sorted({"nnsight", "transformer_lens", "peft"} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_fill_reaches_every_parameter():
    """The tests above would pass on nothing if the tiny models did nothing."""
    hf = build("llama")
    before = logits_of(hf)
    fill(hf, 9)
    assert (logits_of(hf) - before).abs().max() > 0.1
