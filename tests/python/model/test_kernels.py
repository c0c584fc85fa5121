"""Faster products: the same numbers, taken up only when they are there, right and faster, and put back."""

from __future__ import annotations

import time

import pytest
import torch

import mi_widgets as mi
from mi_widgets.model import kernels
from mi_widgets.model.batches import Batch
from mi_widgets.model.kernels import Kernel, fast, fast_linear, onednn, own_name, probe
from tests.families.oracle import model_of
from tests.python.families import build, word_tokenizer, wrapped
from tests.python.model.test_in_place import Stuck

IDS = [1, 17, 30, 5, 42, 9, 17, 23, 38]


def run(model):
    return model.forward(Batch.of([model.tokens(IDS)], model.text.pad_id))


def counted(calls):
    def product(x, weight, bias):
        calls.append((tuple(weight.shape), weight.is_contiguous()))
        return onednn(x, weight, bias)

    return Kernel("counted", product, 2.0, 2.0)


def own_forwards(model):
    return [path for path, module in model.shadow.named_modules() if "forward" in vars(module)]


# The probe


def test_a_product_is_taken_when_it_is_right_and_faster(monkeypatch):
    monkeypatch.setattr(kernels, "_times", lambda ways: [[2.0, 9.0, 4.0], [1.0, 1.0, 2.0], [3.0], [2.9]])
    found = probe(torch.nn.functional.linear)
    assert (found.name, found.linear) == ("onednn", 2.0)
    assert found.product is torch.nn.functional.linear
    assert found.conv1d == pytest.approx(3.0 / 2.9)


def test_a_product_that_is_not_faster_stays_away(monkeypatch):
    monkeypatch.setattr(kernels, "_times", lambda ways: [[1.0]] * 4)
    assert probe(torch.nn.functional.linear) == Kernel(own_name(), None, 1.0, 1.0)


def wrong(x, weight, bias):
    return torch.nn.functional.linear(x, weight, bias) * (1 + 1e-4)


def raises(x, weight, bias):
    raise RuntimeError("could not create a primitive")


def gone(x, weight, bias):
    return torch.ops.mkldnn._no_such_operation(x, weight, bias)


@pytest.mark.parametrize("product", [wrong, raises, gone])
def test_a_product_that_is_wrong_or_missing_is_never_timed(monkeypatch, product):
    def never(ways):
        raise AssertionError("timed")

    monkeypatch.setattr(kernels, "_times", never)
    assert probe(product) == Kernel(own_name())


@pytest.mark.parametrize(("threads", "clock"), [(1, "thread_time"), (2, "perf_counter")])
def test_times_are_those_of_each_way(monkeypatch, threads, clock):
    """A clock that each way moves by its own amount."""
    now, steps = [0.0], {"a": iter([5.0, 3.0, 4.0]), "b": iter([2.0, 2.0, 9.0])}
    monkeypatch.setattr(kernels, "ROUNDS", 3)
    monkeypatch.setattr(time, clock, lambda: now[0])
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    def way(name):
        def call():
            now[0] += next(steps[name])
            return torch.zeros(1)

        return call

    assert kernels._times((way("a"), way("b"))) == [[5.0, 3.0, 4.0], [2.0, 2.0, 9.0]]


def test_this_machine_is_probed_once(monkeypatch):
    assert fast_linear() is fast_linear()
    assert (fast_linear().product is not None) == (fast_linear().name == "onednn")


# The block


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3_moe", "gemma2", "opt", "bloom"])
def test_all_products_of_a_pass_run_on_it_and_give_the_same_numbers(name):
    model = mi.wrap(model_of(name), word_tokenizer(), name)
    plain, calls, before = run(model), [], own_forwards(model)
    with fast(model, counted(calls)) as said:
        inside = run(model)
    assert said == "counted"
    torch.testing.assert_close(inside, plain, atol=2e-5, rtol=1e-5)
    assert ((model.architecture.d_vocab, model.d_model), True) in calls
    assert len(calls) > 4 * model.n_layers
    assert own_forwards(model) == before
    assert torch.equal(run(model), plain)


def test_weights_of_gpt2_are_handed_on_as_views():
    calls = []
    model = wrapped("gpt2")
    with fast(model, counted(calls)):
        run(model)
    assert {((3 * model.d_model, model.d_model), False), ((model.d_model, model.d_model), False)} <= set(calls)


def test_layouts_that_gain_nothing_stay_with_torch():
    calls = []
    kernel = Kernel("counted", counted(calls).product, linear=2.0, conv1d=1.0)
    with fast(wrapped("gpt2"), kernel):
        run(wrapped("gpt2"))
    assert [shape for shape, _ in calls] == [(51, 32)]


def test_hooks_run_around_it():
    model = wrapped("llama")
    seen = []
    handle = model.shadow.model.layers[0].mlp.up_proj.register_forward_hook(lambda *_: seen.append(1))
    plain = run(model)
    with fast(model, counted([])):
        z = model.forward(Batch.of([model.tokens(IDS)], model.text.pad_id), {("z", 1): torch.zeros_like})
    handle.remove()
    assert seen == [1, 1]
    assert float((z - plain).abs().max()) > 0.1


def test_all_is_put_back_when_a_pass_raises():
    model = wrapped("llama")

    def broken(x, weight, bias):
        assert len(own_forwards(model)) == 7 * model.n_layers + 1
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"), fast(model, Kernel("broken", broken, 2.0, 2.0)):
        run(model)
    assert own_forwards(model) == []


def test_gradients_and_other_dtypes_go_the_plain_way():
    calls = []
    linear = wrapped("llama").shadow.model.layers[0].mlp.up_proj
    with fast(wrapped("llama"), counted(calls)):
        x = torch.randn(1, 3, 32, requires_grad=True)
        (grad,) = torch.autograd.grad(linear(x).sum(), x)
        torch.testing.assert_close(grad, linear.weight.sum(0).expand(1, 3, 32))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            assert linear(x).dtype == torch.bfloat16
    assert calls == []


def test_another_dtype_and_a_tree_that_is_run_in_place_are_left_alone():
    half = mi.wrap(build("llama").bfloat16(), word_tokenizer())
    hf = build("llama")
    hf.get_output_embeddings().__class__ = Stuck
    own = mi.wrap(hf, word_tokenizer())
    assert own.in_place
    for model in (half, own):
        calls = []
        with fast(model, counted(calls)) as said:
            run(model)
        assert (said, calls) == (own_name(), [])
