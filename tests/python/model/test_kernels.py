"""Faster products: the same numbers, taken up only when they are there, right and faster, and put back."""

from __future__ import annotations

import time

import pytest
import torch

import mi_widgets as mi
from mi_widgets.model import kernels
from mi_widgets.model.batches import Batch
from mi_widgets.model.kernels import FEW, Fastest, Kernel, fast, fast_linear, multiply, own_name, probe, words_of
from mi_widgets.model.products import Named, onednn, openblas, openblas_threads, products
from tests.families.oracle import model_of
from tests.python.families import build, word_tokenizer, wrapped
from tests.python.model.test_in_place import Stuck

IDS = [1, 17, 30, 5, 42, 9, 17, 23, 38]


def run(model):
    return model.forward(Batch.of([model.tokens(IDS)], model.text.pad_id))


def counted(calls, name="counted"):
    def product(x, weight, bias):
        calls.append((tuple(weight.shape), weight.is_contiguous()))
        return onednn(x, weight, bias)

    return Named(name, product)


def everywhere(one):
    return Kernel(Fastest(one, one), Fastest(one, one))


def own_forwards(model):
    return [path for path, module in model.shadow.named_modules() if "forward" in vars(module)]


def linear(x, weight, bias):
    return torch.nn.functional.linear(x, weight, bias)


# The probe


def test_the_fastest_right_product_is_taken_for_each_layout_and_number_of_rows(monkeypatch):
    """Own, a, b in turn: few rows of a Linear, few of a Conv1D, then many of each."""
    told = iter([[[3.0], [2.0], [1.0]], [[3.0], [1.0], [2.0]], [[1.0], [1.0], [1.0]], [[1.0], [2.0], [0.99]]])
    monkeypatch.setattr(kernels, "_times", lambda ways: next(told))
    a, b = Named("a", linear), Named("b", linear)
    found = probe([a, b])
    assert (found.linear, found.conv1d) == (Fastest(b, None), Fastest(a, None))
    assert found.linear.words == f"b up to {FEW} rows, {own_name()} beyond"


def test_what_is_timed_is_the_same_product_in_every_way(monkeypatch):
    def agree(ways):
        first, *others = (way() for way in ways)
        assert len(others) == 1
        assert all(float((y - first).abs().max()) < 1e-5 * float(first.abs().max()) for y in others)
        return [[1.0]] * len(ways)

    monkeypatch.setattr(kernels, "_times", agree)
    assert probe([Named("other", onednn)]) == Kernel()


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
    assert probe([Named("it", product)]) == Kernel()


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


def test_this_machine_is_probed_once_for_a_number_of_threads(monkeypatch):
    probed = []
    monkeypatch.setattr(kernels, "probe", lambda candidates: probed.append(candidates) or Kernel())
    kernels._probed.cache_clear()
    try:
        assert fast_linear() is fast_linear()
        monkeypatch.setattr(torch, "get_num_threads", lambda: 57)
        fast_linear()
    finally:
        kernels._probed.cache_clear()
    assert len(probed) == 2


# OpenBLAS


@pytest.mark.parametrize("shape", [(1,), (5,), (1, 7), (0,), (3, 4), (2, 50)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_openblas_multiplies_as_torch_does(shape, turned, with_bias):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*s, generator=generator) for s in ((*shape, 24), (16, 24), (16,)))
    given = torch.nn.Parameter(weight.t().contiguous()).t() if turned else torch.nn.Parameter(weight)
    before, bias = given.detach().clone(), bias if with_bias else None
    with torch.no_grad():
        found = openblas(x, given, bias)
    torch.testing.assert_close(found, linear(x, weight, bias), atol=1e-5, rtol=1e-6)
    assert torch.equal(given, before)


def test_openblas_takes_rows_that_lie_apart():
    x, weight = torch.randn(6, 48), torch.randn(16, 24)
    torch.testing.assert_close(openblas(x[::2, ::2], weight, None), x[::2, ::2] @ weight.T, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(
    ("torch_s", "numpy_s", "there"), [(1, 1, True), (2, 2, False), (1, 4, False), (1, None, False)]
)
def test_openblas_is_offered_only_where_everybody_works_on_one_thread(monkeypatch, torch_s, numpy_s, there):
    monkeypatch.setattr(torch, "get_num_threads", lambda: torch_s)
    monkeypatch.setattr("mi_widgets.model.products._asking", lambda: None if numpy_s is None else lambda: numpy_s)
    assert ("openblas" in [one.name for one in products()]) == there


def test_nobody_s_threads_are_changed():
    before = torch.get_num_threads(), openblas_threads()
    fast_linear()
    run(wrapped("gpt2"))
    assert (torch.get_num_threads(), openblas_threads()) == before


# The block


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3_moe", "gemma2", "opt", "bloom"])
def test_all_products_of_a_pass_run_on_it_and_give_the_same_numbers(name):
    model = mi.wrap(model_of(name), word_tokenizer(), name)
    plain, calls, before = run(model), [], own_forwards(model)
    with fast(model, everywhere(counted(calls))):
        inside = run(model)
    assert words_of(model, everywhere(counted([]))) == "counted"
    torch.testing.assert_close(inside, plain, atol=2e-5, rtol=1e-5)
    assert ((model.architecture.d_vocab, model.d_model), True) in calls
    assert len(calls) > 4 * model.n_layers
    assert own_forwards(model) == before
    assert torch.equal(run(model), plain)


def test_weights_of_gpt2_are_handed_on_as_views():
    calls = []
    model = wrapped("gpt2")
    with fast(model, everywhere(counted(calls))):
        run(model)
    assert {((3 * model.d_model, model.d_model), False), ((model.d_model, model.d_model), False)} <= set(calls)


def test_layouts_that_gain_nothing_stay_with_torch():
    calls = []
    kernel = Kernel(linear=everywhere(counted(calls)).linear)
    with fast(wrapped("gpt2"), kernel):
        run(wrapped("gpt2"))
    assert [shape for shape, _ in calls] == [(51, 32)]
    assert (words_of(wrapped("gpt2"), kernel), words_of(wrapped("llama"), kernel)) == (own_name(), "counted")


def test_few_rows_and_many_go_their_own_ways():
    few, many, model = [], [], wrapped("gpt2")
    both = Fastest(counted(few, "a"), counted(many, "b"))
    module = model.shadow.transformer.h[0].mlp.c_fc
    with torch.no_grad(), fast(model, Kernel(conv1d=both)):
        for rows, seen in ((FEW, few), (FEW + 1, many)):
            x = torch.randn(1, rows, model.d_model)
            torch.testing.assert_close(module(x), x @ module.weight + module.bias, atol=1e-5, rtol=1e-5)
            assert len(seen) == 1
    assert len(few + many) == 2
    assert words_of(model, Kernel(conv1d=both)) == f"a up to {FEW} rows, b beyond"


def test_a_product_by_itself_runs_on_the_fastest_where_it_has_no_gradient(monkeypatch):
    few, many, x, weight = [], [], torch.randn(2, FEW // 2, 32), torch.randn(16, 32)
    monkeypatch.setattr(kernels, "LARGE", weight.numel())
    monkeypatch.setattr(kernels, "fast_linear", lambda: Kernel(linear=Fastest(counted(few), counted(many))))
    with torch.no_grad():
        torch.testing.assert_close(multiply(x, weight, None), x @ weight.T, atol=1e-5, rtol=1e-5)
        assert (len(few), len(many)) == (1, 0)
        multiply(torch.cat([x, x]), weight, weight[:, 0])
        assert multiply(x.double(), weight.double(), None).dtype == torch.float64
    assert multiply(x, weight.requires_grad_(), None).requires_grad
    assert (len(few), len(many)) == (1, 1)


def test_for_small_weights_nothing_is_probed(monkeypatch):
    monkeypatch.setattr(kernels, "fast_linear", lambda: pytest.fail("probed"))
    model = wrapped("llama")
    with torch.no_grad(), fast(model):
        run(model)
        multiply(torch.ones(1, 2), torch.ones(3, 2), None)
    assert kernels.words_of(model) == own_name()
    monkeypatch.setattr(kernels, "LARGE", max(it.numel() for it in model.shadow.parameters()))
    with pytest.raises(pytest.fail.Exception, match="probed"), fast(model):
        pass


def test_hooks_run_around_it():
    model = wrapped("llama")
    seen = []
    handle = model.shadow.model.layers[0].mlp.up_proj.register_forward_hook(lambda *_: seen.append(1))
    plain = run(model)
    with fast(model, everywhere(counted([]))):
        z = model.forward(Batch.of([model.tokens(IDS)], model.text.pad_id), {("z", 1): torch.zeros_like})
    handle.remove()
    assert seen == [1, 1]
    assert float((z - plain).abs().max()) > 0.1


def test_all_is_put_back_when_a_pass_raises():
    model = wrapped("llama")

    def broken(x, weight, bias):
        assert len(own_forwards(model)) == 7 * model.n_layers + 1
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"), fast(model, everywhere(Named("broken", broken))):
        run(model)
    assert own_forwards(model) == []


def test_gradients_and_other_dtypes_go_the_plain_way():
    calls = []
    up = wrapped("llama").shadow.model.layers[0].mlp.up_proj
    with fast(wrapped("llama"), everywhere(counted(calls))):
        x = torch.randn(1, 3, 32, requires_grad=True)
        (grad,) = torch.autograd.grad(up(x).sum(), x)
        torch.testing.assert_close(grad, up.weight.sum(0).expand(1, 3, 32))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            assert up(x).dtype == torch.bfloat16
    assert calls == []


def test_another_dtype_and_a_tree_that_is_run_in_place_are_left_alone():
    half = mi.wrap(build("llama").bfloat16(), word_tokenizer())
    hf = build("llama")
    hf.get_output_embeddings().__class__ = Stuck
    own = mi.wrap(hf, word_tokenizer())
    assert own.in_place
    for model in (half, own):
        calls = []
        kernel = everywhere(counted(calls))
        with fast(model, kernel):
            run(model)
        assert (words_of(model, kernel), calls) == (own_name(), [])


def test_a_module_runs_the_same_in_the_whole_model_as_by_itself(monkeypatch):
    """Between a small and a large weight the set of modules that run does not decide."""
    ran = []
    monkeypatch.setattr(kernels, "fast_linear", lambda: everywhere(counted(ran)))
    model = wrapped("llama")
    head = model.shadow.lm_head.weight
    monkeypatch.setattr(kernels, "LARGE", head.numel())
    assert all(it.numel() < head.numel() for it in model.shadow.model.layers.parameters())
    with torch.no_grad(), fast(model):
        run(model)
    assert len(ran) == 1, "the unembedding alone"
    assert kernels.words_of(model) == own_name()
