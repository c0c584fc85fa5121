"""The user's model stays as it is, bit for bit, whatever happens; changes of it are noticed; it can be collected."""

from __future__ import annotations

import contextlib
import threading
import weakref

import pytest
import torch

import mi_widgets as mi
from mi_widgets.analysis.attention import atlas_steps
from mi_widgets.jobs import Priority
from tests.python.by_hand import forward
from tests.python.families import CLEAN, FAMILIES, build, experiment, ids_of, word_tokenizer
from tests.python.freed import freed

LIMIT = 120


def snapshot(hf, ids):
    """Everything about a model that a user could see change."""
    with torch.no_grad():
        logits = hf(input_ids=ids).logits.clone()
    return {
        "state": {name: t.clone() for name, t in hf.state_dict(keep_vars=True).items()},
        "identity": {name: (id(t), t.data_ptr(), t._version, t.requires_grad) for name, t in hf.named_parameters()},
        "buffers": {name: (id(t), t.clone()) for name, t in hf.named_buffers()},
        "grads": [p.grad for p in hf.parameters()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in hf.modules()],
        "attributes": [sorted(vars(m)) for m in hf.modules()],
        "forwards": [type(m).forward is m.forward.__func__ for m in hf.modules() if hasattr(m.forward, "__func__")],
        "training": [m.training for m in hf.modules()],
        "kernel": [getattr(getattr(m, "config", None), "_attn_implementation", None) for m in hf.modules()],
        "config": hf.config.to_json_string(use_diff=False),
        # In training mode dropout draws anew each time.
        "logits": None if hf.training else logits,
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def assert_untouched(before, after):
    assert {key for key in before if not same(before[key], after[key])} == set()


class Raises(mi.Zero):
    """An edit that fails in mid-run."""

    def value(self, x, source):
        raise RuntimeError("in mid-run")


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def everything(exp):
    """Runs, sweeps, reads, scores, attribution: what an afternoon of use does."""
    exp.edits.add(mi.Patch("z", 1, head=1))
    exp.edits.add(mi.Zero("pattern", 0, head=2, position=-1))
    exp.run()
    exp.run(mi.Zero("scores", 2))
    exp.run(mi.Patch("resid_mid", 1, position=3))
    exp.sweep("k", progress=False)
    exp.sweep("resid_pre", layers=[1], positions=[3, 4], progress=False)
    for site in ("embed", "q", "result", "mlp_pre", "final_norm", "logits"):
        exp.read(site, run="edited")
    exp.patterns(run="edited")
    exp.attribution("source")
    exp.head_scores()
    _ = exp.baselines
    with contextlib.suppress(RuntimeError):
        exp.run([mi.Zero("z", 0), Raises("mlp_out", 2)])
    with contextlib.suppress(RuntimeError):
        exp.run(Raises("pattern", 1))


@pytest.mark.parametrize("training", [False, True])
def test_nothing_of_the_users_model_changes(family, training):
    hf, tokenizer = build(family), word_tokenizer()
    hf.train(training)
    ids = torch.tensor([tokenizer(CLEAN)["input_ids"]])
    before = snapshot(hf, ids)
    model = mi.wrap(hf, tokenizer)
    assert_untouched(before, snapshot(hf, ids))
    everything(experiment(model))
    assert_untouched(before, snapshot(hf, ids))


def test_an_edit_that_raises_reaches_the_caller_and_leaves_the_shadow_clean(family):
    model = mi.wrap(build(family), word_tokenizer())
    exp = experiment(model)
    expected = exp.run(()).logits
    for site in ("embed", "q", "scores", "pattern", "z", "result", "resid_mid", "mlp_pre", "logits"):
        layer = {} if site in ("embed", "logits") else {"layer": 1}
        with pytest.raises(RuntimeError, match="in mid-run"):
            exp.run(Raises(site, **layer))
        assert torch.equal(exp.run(()).logits, expected)
        again = exp.snapshot((), "clean").model.forward(exp.prompt("clean"))
        assert torch.allclose(again[0, -1], forward(model.hf, ids_of(model, CLEAN))[-1], atol=1e-5)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.shadow.modules())


def test_the_shadow_shares_every_weight_and_nothing_else(family):
    hf = build(family)
    model = mi.wrap(hf, word_tokenizer())
    pairs = [(getattr(model.shadow, kind)(), getattr(hf, kind)()) for kind in ("named_parameters", "named_buffers")]
    for mine, theirs in pairs:
        mine, theirs = dict(mine), dict(theirs)
        assert mine.keys() == theirs.keys()
        assert all(mine[name] is theirs[name] for name in mine)
    assert {id(m) for m in model.shadow.modules()} & {id(m) for m in hf.modules()} == set()
    assert model.shadow.config is not hf.config


def test_the_users_forward_runs_at_the_same_time_in_another_thread():
    hf, tokenizer = build("gemma2"), word_tokenizer()
    ids = torch.tensor([tokenizer(CLEAN)["input_ids"]])
    with torch.no_grad():
        expected = hf(input_ids=ids).logits
    exp = experiment(mi.wrap(hf, tokenizer))
    stop, wrong, count = threading.Event(), [], [0]

    def forwards():
        with torch.no_grad():
            while not stop.is_set() or count[0] < 5:
                count[0] += 1
                if not torch.equal(hf(input_ids=ids).logits, expected):
                    wrong.append(count[0])

    thread = threading.Thread(target=forwards)
    thread.start()
    try:
        exp.sweep("z", mi.Zero(), progress=False)
        exp.sweep("pattern", progress=False)
    finally:
        stop.set()
        thread.join(LIMIT)
    assert not thread.is_alive()
    assert wrong == []
    assert count[0] >= 5


def test_a_cancelled_sweep_leaves_nothing():
    hf, tokenizer = build("llama"), word_tokenizer()
    ids = torch.tensor([tokenizer(CLEAN)["input_ids"]])
    before = snapshot(hf, ids)
    exp = experiment(mi.wrap(hf, tokenizer))
    started = threading.Event()

    def steps():
        generator = atlas_steps(exp.snapshot())
        for value in generator:
            started.set()
            yield value

    job = exp.scheduler.submit(steps(), priority=Priority.SWEEP, on_partial=lambda job, _: job.cancel())
    with pytest.raises(mi.Cancelled):
        job.wait(LIMIT)
    assert started.is_set()
    assert_untouched(before, snapshot(hf, ids))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in exp.model.shadow.modules())


def test_a_users_training_step_is_not_disturbed():
    """Gradients of the user's own backward pass stay as they are."""
    hf, tokenizer = build("qwen2"), word_tokenizer()
    ids = torch.tensor([tokenizer(CLEAN)["input_ids"]])
    hf(input_ids=ids, labels=ids).loss.backward()
    grads = [p.grad.clone() for p in hf.parameters()]
    everything(experiment(mi.wrap(hf, tokenizer)))
    assert all(torch.equal(p.grad, g) for p, g in zip(hf.parameters(), grads, strict=True))
    assert torch.is_grad_enabled()


def edit_in_place(hf):
    with torch.no_grad():
        layers(hf)[1].mlp.down_proj.weight.mul_(-1)


def edit_data(hf):
    layers(hf)[1].mlp.down_proj.weight.data.mul_(-1)


def replace_parameter(hf):
    old = layers(hf)[1].mlp.down_proj
    old.weight = torch.nn.Parameter(-old.weight.detach())


def add_hook(hf):
    layers(hf)[1].mlp.register_forward_hook(lambda _, __, y: -y)


def swap_module(hf):
    old = layers(hf)[1].mlp.down_proj
    new = torch.nn.Linear(old.in_features, old.out_features, bias=old.bias is not None)
    layers(hf)[1].mlp.down_proj = new


def only_a_word_of_the_clean_prompt(hf):
    """The base's own run does not move; the run it is compared with and patched from does."""
    hf.model.embed_tokens.weight.data[word_tokenizer().convert_tokens_to_ids(" John")] *= -1


def layers(hf):
    return hf.model.layers


CLEAN_ONLY = "Mary and John went to the store , John gave it to"
NO_JOHN = "Mary and Anna went to the store , Anna gave it to"


@pytest.mark.parametrize(
    "change", [edit_in_place, edit_data, replace_parameter, add_hook, swap_module, only_a_word_of_the_clean_prompt]
)
def test_a_change_of_the_users_model_is_noticed(change):
    """Numbers right after the change are those of a model wrapped afresh."""
    hf, tokenizer = build("llama", seed=5), word_tokenizer()
    model = mi.wrap(hf, tokenizer)
    exp = mi.Experiment(model, CLEAN_ONLY, NO_JOHN, " Mary", " John")
    edit = mi.Patch("resid_pre", 1, position=3)
    exp.edits.add(edit)
    before, scores = exp.run(edit), exp.attribution("head").values
    z = exp.read("z", run="clean")
    change(hf)
    after, fresh = exp.run(edit), mi.Experiment(mi.Model(hf, tokenizer, "fresh"), CLEAN_ONLY, NO_JOHN, " Mary", " John")
    expected = fresh.run(edit)
    assert after.metric == pytest.approx(expected.metric, abs=1e-5)
    assert after.recovered == pytest.approx(expected.recovered, abs=1e-4)
    assert abs(after.metric - before.metric) > 1e-4
    torch.testing.assert_close(exp.attribution("head").values, fresh.attribution("head").values)
    assert not torch.allclose(exp.attribution("head").values, scores)
    torch.testing.assert_close(exp.read("z", run="clean"), fresh.read("z", run="clean"))
    assert not torch.equal(exp.read("z", run="clean"), z)
    with torch.no_grad():
        theirs = hf(input_ids=torch.tensor([tokenizer(NO_JOHN)["input_ids"]])).logits
    torch.testing.assert_close(exp.read("logits", run="corrupted"), theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("change", [edit_data, replace_parameter])
def test_a_guess_after_a_change_is_the_changed_models(change):
    """Also of an experiment that is new, or asked anew, before anything ran."""
    hf, tokenizer = build("llama", seed=5), word_tokenizer()
    model = mi.wrap(hf, tokenizer)
    old = mi.Experiment(model, CLEAN)
    change(hf)
    with torch.no_grad():
        hf.lm_head.weight.data.neg_()
        top = int(hf(input_ids=torch.tensor([tokenizer(CLEAN)["input_ids"]])).logits[0, -1].argmax())
    assert mi.Experiment(mi.wrap(hf, tokenizer), CLEAN).answer.ids == ((top,),)
    old.ask(clean=CLEAN)
    assert old.answer.ids == ((top,),)


def test_the_training_flag_and_the_kernel_are_looked_at():
    hf, tokenizer = build("gpt2"), word_tokenizer()
    model = mi.wrap(hf, tokenizer)
    exp = experiment(model)
    expected, generation = exp.run(()).metric, model.generation
    hf.train()
    assert exp.run(()).metric == pytest.approx(expected, abs=1e-6)  # dropout stays off in the engine
    assert model.generation > generation
    assert hf.training
    hf.eval()
    hf.set_attn_implementation("eager")
    assert exp.run(()).provenance.kernel == "eager"


def test_nan_weights_are_named(family):
    hf, tokenizer = build(family), word_tokenizer()
    model = mi.wrap(hf, tokenizer)
    exp = experiment(model)
    exp.run(())
    block = hf.transformer.h[1] if family == "gpt2" else hf.model.layers[1]
    last = block.mlp.c_proj if family == "gpt2" else block.mlp.down_proj
    last.weight.data[0, 0] = torch.nan
    for work in (lambda: exp.run(()), lambda: exp.run(mi.Zero("z", 2)), lambda: exp.sweep("z", progress=False)):
        with pytest.raises(mi.NotFinite, match=r"first in L1\.mlp_out at position"):
            work()
    with pytest.raises(mi.NotFinite, match=r"first module that does is .*1\.mlp"):
        mi.Model(hf, tokenizer, "fresh")


def test_an_edit_that_overflows_is_named():
    exp = experiment(mi.wrap(build("llama"), word_tokenizer()))
    with pytest.raises(mi.NotFinite, match=r"L1\.mlp_pre\b"):
        exp.run(mi.Patch("mlp_pre", 1, position=4, source=torch.full((15, 48), torch.inf)))
    assert torch.isfinite(exp.run(()).logits).all()


def test_wrapping_twice_gives_the_same_model():
    hf, tokenizer = build("gpt2"), word_tokenizer()
    model = mi.wrap(hf, tokenizer)
    assert mi.wrap(hf, tokenizer) is model
    assert mi.wrap(hf, word_tokenizer()) is not model
    assert mi.wrap(build("gpt2"), tokenizer) is not model


def used(hf):
    """Weak references to all that was made in an afternoon of use, after everything was let go."""
    tokenizer = word_tokenizer()
    model = mi.wrap(hf, tokenizer)
    exp = experiment(model)
    everything(exp)
    job = exp.scheduler.submit(atlas_steps(exp.snapshot()), on_partial=lambda job, _: job.cancel())
    with contextlib.suppress(mi.Cancelled):
        job.wait(LIMIT)
    failed = exp.scheduler.submit(iter_raising(exp))
    with contextlib.suppress(RuntimeError):
        failed.wait(LIMIT)
    return weakref.ref(model), weakref.ref(model.shadow), weakref.ref(exp)


def iter_raising(exp):
    yield
    raise RuntimeError(repr(exp))


def test_what_was_used_is_freed():
    hf = build("gpt2")
    refs = used(hf)
    gone = weakref.ref(hf)
    del hf
    assert freed(*refs, gone)
