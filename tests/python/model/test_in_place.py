"""Models that cannot simply be copied: run in place with everything put back, or copied with their weights fetched."""

from __future__ import annotations

import copy
import threading

import accelerate
import pytest
import torch

import mi_widgets as mi
from mi_widgets.analysis.attention import atlas_steps
from mi_widgets.jobs import Priority
from mi_widgets.model.shadow import Shadow
from tests.python.families import build, experiment, word_tokenizer
from tests.python.model.test_untouched import Raises, assert_untouched, everything, snapshot
from tests.python.model.test_unwrap import adapted, assert_same_everywhere, ids_of, logits_of

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
LIMIT = 60


class Stuck(torch.nn.Linear):
    """A layer that holds on to something that cannot be copied."""

    def __deepcopy__(self, memo):
        raise RuntimeError("it holds a socket")


def stuck(family, **config):
    hf = build(family, **config)
    hf.get_output_embeddings().__class__ = Stuck
    return hf


@pytest.fixture(params=["llama", "gpt2", "gemma2"])
def family(request):
    return request.param


# In place


@pytest.mark.parametrize("kernel", [None, "eager"])
def test_in_place_gives_what_a_copy_gives(family, kernel):
    hf = stuck(family)
    if kernel:
        hf.set_attn_implementation(kernel)
    before = snapshot(hf, ids_of())
    model = mi.wrap(hf, word_tokenizer())
    assert model.shadow is hf
    assert_untouched(before, snapshot(hf, ids_of()))
    other = build(family)
    if kernel:
        other.set_attn_implementation(kernel)
    assert_same_everywhere(model, mi.wrap(other, word_tokenizer()), tolerance=1e-6)
    assert_untouched(before, snapshot(hf, ids_of()))
    assert model.changes == ()


def test_a_family_that_computes_attention_by_itself_runs_in_place_too():
    import transformers

    config = transformers.GPTNeoConfig(
        vocab_size=59, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
        window_size=4, max_position_embeddings=64, bos_token_id=1, eos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hf = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        for p in hf.parameters():
            p.data += 0.2 * torch.randn_like(p)
    twin = copy.deepcopy(hf)
    hf.get_output_embeddings().__class__ = Stuck
    before = snapshot(hf, ids_of())
    mine, theirs = (experiment(mi.wrap(m, word_tokenizer())) for m in (hf, twin))
    assert mine.model.architecture.sites == theirs.model.architecture.sites
    for site in ("q", "pattern", "z", "resid_post"):
        if site in mine.model.architecture.sites:
            assert torch.equal(mine.read(site), theirs.read(site))
    assert mine.run(mi.Zero("z", 1, head=1)).metric == theirs.run(mi.Zero("z", 1, head=1)).metric
    assert_untouched(before, snapshot(hf, ids_of()))


def test_the_reader_is_told_why():
    exp = experiment(mi.wrap(stuck("llama"), word_tokenizer()))
    note = "Run in place, on your own model, and put back after each pass: the model cannot be copied (RuntimeError: it holds a socket)."  # noqa: E501
    assert exp.run(mi.Zero("z", 1)).provenance.notes == (note,)
    assert exp.sweep("z", layers=[1], progress=False).provenance.notes == (note,)
    assert exp.patterns().provenance.notes == (note,)
    assert exp.attribution().provenance.notes == (note,)
    assert exp.question()["warnings"] == [note]
    assert experiment(mi.wrap(build("llama"), word_tokenizer())).run(()).provenance.notes == ()


@pytest.mark.parametrize("training", [False, True])
def test_the_users_model_is_put_back(family, training):
    hf = stuck(family)
    hf.train(training)
    hf.get_output_embeddings().train(not training)
    hooks = []
    hf.get_output_embeddings().register_forward_hook(lambda *_: hooks.append(1) and None)
    before = snapshot(hf, ids_of())
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    everything(exp)
    assert_untouched(before, snapshot(hf, ids_of()))
    assert len(hooks) > 20  # the engine's passes run the user's hooks
    assert exp.model.changes == ()
    # Training switches nothing in the engine: dropout is off there.
    plain = experiment(mi.wrap(build(family), word_tokenizer()))
    assert exp.run(mi.Zero("z", 1)).metric == pytest.approx(plain.run(mi.Zero("z", 1)).metric, abs=1e-6)


@pytest.mark.parametrize("site", ["embed", "q", "scores", "pattern", "z", "result", "resid_mid", "mlp_pre", "logits"])
def test_an_edit_that_raises_leaves_nothing(site):
    hf = stuck("llama")
    before = snapshot(hf, ids_of())
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    expected = exp.run(()).logits
    with pytest.raises(RuntimeError, match="in mid-run"):
        exp.run(Raises(site, **({} if site in ("embed", "logits") else {"layer": 1})))
    assert_untouched(before, snapshot(hf, ids_of()))
    assert torch.equal(exp.run(()).logits, expected)


def test_a_model_that_cannot_be_proven_is_put_back():
    hf = stuck("llama")
    hf.model.norm.weight.data[0] = torch.nan
    before = snapshot(hf, ids_of())
    with pytest.raises(mi.NotFinite):
        mi.wrap(hf, word_tokenizer())
    after = snapshot(hf, ids_of())
    # NaN is not equal to itself: all but the numbers.
    for part in ("hooks", "attributes", "forwards", "training", "kernel", "config", "identity"):
        assert after[part] == before[part], part


def test_a_cancelled_sweep_leaves_nothing():
    hf = stuck("llama")
    before = snapshot(hf, ids_of())
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    seen = threading.Event()

    def cancel(job, _):
        seen.set()
        # Between two steps the model is as the user left it, though the job is not over.
        states.append(snapshot(hf, ids_of()))
        job.cancel()

    states = []
    job = exp.scheduler.submit(atlas_steps(exp.snapshot()), priority=Priority.SWEEP, on_partial=cancel)
    with pytest.raises(mi.Cancelled):
        job.wait(LIMIT)
    assert seen.is_set()
    for state in (*states, snapshot(hf, ids_of())):
        assert_untouched(before, state)


def test_changes_are_noticed_in_place():
    hf = stuck("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    exp.run(mi.Zero("z", 1))
    hf.model.layers[1].mlp.register_forward_hook(lambda _, __, y: -y)
    hf.set_attn_implementation("eager")
    result = exp.run(mi.Zero("z", 1))
    assert result.provenance.notes[0] == (
        "The model has changed since the last result: a hook was registered on model.layers.1.mlp; "
        "the attention implementation changed from sdpa to eager."
    )
    assert result.provenance.kernel == "eager"
    torch.testing.assert_close(exp.read("logits"), logits_of(hf), atol=1e-5, rtol=1e-5)
    assert hf.config._attn_implementation == "eager"


def test_adapters_are_not_read_in_place():
    held = adapted("llama", "lora")
    held.get_base_model().lm_head.__class__ = Stuck
    before = snapshot(held.get_base_model(), ids_of())
    with pytest.raises(
        mi.UnsupportedArchitecture, match=r"holds a socket.*q_proj keeps no plain weight.*merge_and_unl"
    ):
        mi.wrap(held, word_tokenizer())
    assert_untouched(before, snapshot(held.get_base_model(), ids_of()))
    merged = held.merge_and_unload()
    torch.testing.assert_close(experiment(mi.wrap(merged, word_tokenizer())).read("logits"), logits_of(merged))


def test_what_a_hook_keeps_on_a_module_is_no_change():
    hf = stuck("llama")
    hf.model.layers[1].register_forward_hook(lambda m, _, y: setattr(m, "passes", getattr(m, "passes", 0) + 1))
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    assert exp.run(mi.Zero("z", 1)).metric == exp.run(mi.Zero("z", 1)).metric
    assert hf.model.layers[1].passes > 5
    assert exp.model.changes == ()


def test_running_may_be_entered_twice():
    hf = stuck("llama").train()
    shadow = Shadow(hf)
    with shadow.running(), shadow.running() as module:
        assert module is hf
        assert not hf.training
    assert all(m.training for m in hf.modules())


# Offloaded by accelerate: copied, with the store of weights shared


@pytest.fixture(params=["disk", "cpu"])
def offloaded(request, family, tmp_path):
    hf = build(family)
    if request.param == "disk":
        places = {name: "disk" for name, _ in hf.named_children()}
        return accelerate.dispatch_model(hf, places, main_device="cpu", offload_dir=tmp_path, force_hooks=True)
    return accelerate.cpu_offload(hf, execution_device=torch.device("cpu"))


def test_offloaded_weights(offloaded, family):
    assert {p.device.type for p in offloaded.parameters()} == {"meta"}
    before = snapshot(offloaded, ids_of())
    model = mi.wrap(offloaded, word_tokenizer())
    assert model.device == torch.device("cpu")
    assert model.shadow is not offloaded
    assert_same_everywhere(model, mi.wrap(build(family), word_tokenizer()), tolerance=1e-6)
    exp = experiment(model)
    assert exp.run(()).provenance.notes == ("Weights are offloaded: each pass fetches them anew.",)
    with pytest.raises(RuntimeError, match="in mid-run"):
        exp.run(Raises("q", layer=1))
    # accelerate makes new meta parameters in each of the user's own passes; all else is as it was.
    after = snapshot(offloaded, ids_of())
    for part in ("hooks", "forwards", "training", "kernel", "config", "logits"):
        assert torch.equal(after[part], before[part]) if part == "logits" else after[part] == before[part], part
    assert {p.device.type for p in (*offloaded.parameters(), *model.shadow.parameters())} == {"meta"}
    assert model.changes == ()


def test_an_adapter_on_offloaded_weights():
    held = adapted("llama", "lora")
    expected = mi.wrap(copy.deepcopy(held), word_tokenizer())
    accelerate.cpu_offload(held.get_base_model(), execution_device=torch.device("cpu"))
    assert_same_everywhere(mi.wrap(held, word_tokenizer()), expected)


def test_no_offloaded_weight_is_held_twice():
    hf = accelerate.cpu_offload(build("llama"), execution_device=torch.device("cpu"))
    model = mi.wrap(hf, word_tokenizer())
    stores = [
        {id(m._hf_hook.weights_map) for m in root.modules() if hasattr(m, "_hf_hook")} for root in (hf, model.shadow)
    ]
    assert stores[0] == stores[1]
    mine = model.shadow.model.layers[1].mlp.down_proj
    assert mine.weight.data_ptr() == mine._hf_hook.weights_map["weight"].data_ptr()


def test_an_edit_of_offloaded_weights_is_noticed():
    hf = build("llama")
    weights = hf.state_dict()
    hf = accelerate.cpu_offload(hf, execution_device=torch.device("cpu"), state_dict=weights)
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    exp.run(())
    with torch.no_grad():
        weights["model.layers.1.mlp.down_proj.weight"].mul_(-1)
    assert "has changed since the last result" in exp.run(()).provenance.notes[0]
    torch.testing.assert_close(exp.read("logits"), logits_of(hf), atol=1e-5, rtol=1e-5)


# Dispatched over devices without offloading, and `load(device_map=...)`


def test_hooks_that_only_align_devices():
    hf = accelerate.dispatch_model(build("llama"), {"": "cpu"}, force_hooks=True)
    assert hasattr(hf.model.layers[1].mlp, "_hf_hook") or hasattr(hf, "_hf_hook")
    before = snapshot(hf, ids_of())
    model = mi.wrap(hf, word_tokenizer())
    assert_same_everywhere(model, mi.wrap(build("llama"), word_tokenizer()), tolerance=1e-6)
    assert_untouched(before, snapshot(hf, ids_of()))


def test_load_with_a_device_map():
    placed, plain = mi.load(device_map="cpu"), mi.load()
    assert placed.device == torch.device("cpu")
    exps = [
        mi.Experiment(m, "When Mary and John went to the store, John gave a drink to", answer=" Mary")
        for m in (placed, plain)
    ]
    assert torch.equal(exps[0].run(mi.Zero("z", 1)).logits, exps[1].run(mi.Zero("z", 1)).logits)


def test_a_device_map_without_accelerate_says_what_is_missing(monkeypatch):
    import transformers.integrations.accelerate as theirs

    monkeypatch.setattr(theirs, "is_accelerate_available", lambda *_: False)
    with pytest.raises(mi.BadInput, match=r"accelerate.*pip install accelerate"):
        mi.load(device_map="cpu")


def test_a_source_tensor_comes_to_the_sites_dtype():
    exp = experiment(mi.wrap(build("llama"), word_tokenizer()))
    source = exp.read("z", layer=1, run="clean")
    expected = exp.run(mi.Patch("z", 1, source="clean")).metric
    assert exp.run(mi.Patch("z", 1, source=source.double())).metric == pytest.approx(expected, abs=1e-6)
    halved = exp.run(mi.Patch("z", 1, source=source.to(torch.bfloat16))).metric
    assert halved == pytest.approx(expected, abs=0.05)


# Quantised


@pytest.fixture(scope="module")
def quantised():
    hf = build("llama")
    made = torch.ao.quantization.quantize_dynamic(hf, {torch.nn.Linear}, dtype=torch.qint8)
    return made.eval()


def test_a_dynamically_quantised_model(quantised):
    before = [
        logits_of(quantised),
        [m.training for m in quantised.modules()],
        [sorted(vars(m)) for m in quantised.modules()],
    ]
    model = mi.wrap(quantised, word_tokenizer())
    exp = experiment(model)
    assert torch.equal(exp.read("logits"), before[0])
    assert (before[0] - logits_of(build("llama"))).abs().max() > 0.1
    # Packed weights are shared, not copied.
    mine, theirs = (root.model.layers[1].mlp.down_proj for root in (model.shadow, quantised))
    assert vars(mine)["inner"]._packed_params._packed_params is theirs._packed_params._packed_params

    # By plain hooks on the user's own model.
    kept = {}
    layer = quantised.model.layers[1]
    for name, module in {"mlp_out": layer.mlp, "attn_out": layer.self_attn, "resid_post": layer}.items():
        handle = module.register_forward_hook(
            lambda _, __, y, name=name: kept.__setitem__(name, y[0] if isinstance(y, tuple) else y)
        )
        logits_of(quantised)
        handle.remove()
        torch.testing.assert_close(exp.read(name, layer=1), kept[name], atol=1e-6, rtol=1e-6)
    handle = layer.mlp.register_forward_hook(lambda _, __, y: torch.zeros_like(y))
    changed = logits_of(quantised, torch.tensor([exp.prompt("corrupted").prompts[0].ids]))
    handle.remove()
    got = exp.run(mi.Zero("mlp_out", 1)).logits
    torch.testing.assert_close(got, changed[:, -1].float(), atol=1e-6, rtol=1e-6)
    # Activations are rounded anew in each projection, so heads do not add up exactly: said, not glossed over.
    assert "sum over heads" in model.architecture.missing["result"]
    assert logits_of(quantised).equal(before[0])
    assert [m.training for m in quantised.modules()] == before[1]
    assert [sorted(vars(m)) for m in quantised.modules()] == before[2]
