"""Every site of every family, read through the package, against a forward pass written out by hand."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from tests.python.by_hand import forward, record
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    FAMILIES,
    SHORT_CLEAN,
    SHORT_CORRUPTED,
    build,
    experiment,
    ids_of,
    wrapped,
)

GLOBAL = ("embed", "final_norm", "logits")
LAYERED = (
    "resid_pre", "q", "k", "v", "scores", "pattern", "z", "result", "attn_out", "resid_mid",
    "mlp_pre", "mlp_post", "mlp_out", "resid_post",
)  # fmt: skip


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return wrapped(request.param)


@pytest.fixture(scope="module")
def pair(model):
    """An experiment with two prompts of different length, hence with a left-padded batch."""
    return mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], [" Mary", " Mary"], [" John", " Anna"]
    )


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_the_oracle_is_the_users_own_model(model):
    """The hand-written pass gives the logits, hidden states and eager attentions of the user's model."""
    ids = torch.tensor(ids_of(model, CLEAN))
    eager = build(model.name)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        plain = model.hf(input_ids=ids[None])
        out = eager(input_ids=ids[None], output_attentions=True, output_hidden_states=True)
    sites = record(model.hf, ids)
    close(sites["logits", None], plain.logits[0])
    close(sites["final_norm", None], out.hidden_states[-1][0])
    for layer in range(3):
        close(sites["resid_pre", layer], out.hidden_states[layer][0])
        close(sites["pattern", layer], out.attentions[layer][0])


def test_the_models_are_worth_testing_on(model):
    """Effects are large, the short prompt needs padding, and the window is shorter than the prompt."""
    a, b = (forward(model.hf, ids_of(model, text))[-1] for text in (CLEAN, CORRUPTED))
    assert float((a - b).abs().max()) > 0.05
    assert len(ids_of(model, SHORT_CLEAN)) < len(ids_of(model, CLEAN))
    if model.name in ("gemma2", "mistral"):
        assert bool((record(model.hf, ids_of(model, CLEAN))["pattern", 0][:, 8, :3] == 0).all())


@pytest.mark.parametrize("site", LAYERED)
def test_a_site_of_every_layer_position_and_head(model, site):
    exp = experiment(model)
    for run, text in (("clean", CLEAN), ("corrupted", CORRUPTED)):
        expected = record(model.hf, ids_of(model, text))
        read = exp.read(site, run=run)[0]
        close(read, torch.stack([expected[site, layer] for layer in range(3)]))


@pytest.mark.parametrize("site", GLOBAL)
def test_a_site_of_no_layer(model, site):
    expected = record(model.hf, ids_of(model, CLEAN))[site, None]
    close(experiment(model).read(site)[0], expected)


@pytest.mark.parametrize("site", LAYERED + GLOBAL)
def test_a_padded_batch_reads_as_each_prompt_alone(model, pair, site):
    layer = None if site in GLOBAL else 1
    read = pair.read(site, layer)
    width = read.shape[2] if site in ("scores", "pattern") else read.shape[1]
    assert width == len(ids_of(model, CLEAN))
    for row, text in enumerate((CLEAN, SHORT_CLEAN)):
        ids = ids_of(model, text)
        expected, pad = record(model.hf, ids)[site, layer], width - len(ids)
        if site in ("scores", "pattern"):
            close(read[row, :, pad:, pad:], expected)
            nothing = 0 if site == "pattern" else -torch.inf
            assert bool((read[row, :, pad:, :pad] == nothing).all())
            assert bool(read[row, :, :pad].isnan().all())
        else:
            close(read[row, pad:], expected)
            assert bool(read[row, :pad].isnan().all())


def test_reading_takes_the_place_that_was_asked_for(model):
    exp = experiment(model)
    whole, kv = exp.read("z"), exp.read("k")
    assert whole.shape == (1, 3, 15, 4, model.d_head_v)
    assert kv.shape == (1, 3, 15, model.n_kv_heads, model.d_head)
    assert torch.equal(exp.read("z", 2, 1, -1), whole[:, 2, -1, 1])
    some = exp.read("z", layer=(2, 0), head=(3,), position=(0, -2))
    assert torch.equal(some, whole[:, [2, 0]][:, :, [0, -2]][:, :, :, [3]])
    assert torch.equal(exp.read(mi.Site("z", 2, 1, position=-1)), whole[:, 2, -1, 1])
    pattern = exp.read("pattern")
    assert torch.equal(exp.read("pattern", 1, (0, 2), 7), pattern[:, 1, [0, 2], 7])


def test_a_padded_position_counts_in_the_prompts_own_tokens(model, pair):
    last, first = pair.read("resid_post", 2, position=-1), pair.read("resid_post", 0, position=0)
    for row, text in enumerate((CLEAN, SHORT_CLEAN)):
        expected = record(model.hf, ids_of(model, text))
        close(last[row], expected["resid_post", 2][-1])
        close(first[row], expected["resid_post", 0][0])


def test_plain_hooks_on_the_users_model_see_the_same(model):
    """A second opinion from hooks, at the modules where a hook can stand."""
    exp, seen = experiment(model), {}
    body = model.hf.transformer.h if model.name == "gpt2" else model.hf.model.layers
    block = body[1]
    attn = block.attn if model.name == "gpt2" else block.self_attn
    out, down = (attn.c_proj, block.mlp.c_proj) if model.name == "gpt2" else (attn.o_proj, block.mlp.down_proj)
    added = (attn, block.mlp)
    if model.name == "gemma2":
        added = (block.post_attention_layernorm, block.post_feedforward_layernorm)

    def entering(name):
        return lambda _, args: seen.update({name: args[0].clone()})

    def leaving(name):
        return lambda _, __, y: seen.update({name: (y if isinstance(y, torch.Tensor) else y[0]).clone()})

    handles = [
        out.register_forward_pre_hook(entering("z")), down.register_forward_pre_hook(entering("mlp_post")),
        added[0].register_forward_hook(leaving("attn_out")), added[1].register_forward_hook(leaving("mlp_out")),
        block.register_forward_hook(leaving("resid_post")), block.register_forward_pre_hook(entering("resid_pre")),
    ]  # fmt: skip
    try:
        with torch.no_grad():
            model.hf(input_ids=torch.tensor([ids_of(model, CLEAN)]))
    finally:
        for handle in handles:
            handle.remove()
    for site, value in seen.items():
        read = exp.read(site, 1)
        close(read.flatten(2) if site == "z" else read, value)


def test_a_site_that_is_not_there_says_so(model):
    exp = experiment(model)
    with pytest.raises(mi.BadInput, match="resid_middle"):
        exp.read("resid_middle")
    with pytest.raises(mi.BadInput, match=r"Layer 3 does not exist.*3 layers"):
        exp.read("z", 3)
    with pytest.raises(mi.BadInput, match="heads"):
        exp.read("z", 0, head=4)
    with pytest.raises(mi.BadInput, match="heads"):
        exp.read("k", 0, head=model.n_kv_heads)
    with pytest.raises(mi.BadInput, match="Position 15"):
        exp.read("z", 0, position=15)
    with pytest.raises(mi.BadInput, match="no run"):
        exp.read("z", 0, run="altered")
    with pytest.raises(mi.BadInput, match="belongs to no layer"):
        exp.read("embed", 0)
