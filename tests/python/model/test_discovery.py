"""What is found, what is refused, and what a sabotaged model is told."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

import mi_widgets as mi
from mi_widgets.model.architecture import SITES
from tests.python.families import CLEAN, FAMILIES, build, experiment, ids_of, word_tokenizer, wrapped


@pytest.mark.parametrize("family", FAMILIES)
def test_all_sites_of_the_five_families(family):
    model = wrapped(family)
    found = model.architecture
    assert found.sites == SITES
    assert found.missing == {}
    assert found.missing_at == {}
    config = model.hf.config
    assert (model.n_layers, model.n_heads) == (config.num_hidden_layers, config.num_attention_heads)
    assert model.n_kv_heads == getattr(config, "num_key_value_heads", config.num_attention_heads)
    assert model.d_model == config.hidden_size
    width = {"gpt2": 8, "llama": 12, "qwen2": 8, "gemma2": 16, "mistral": 6}[family]
    assert (model.d_head, model.d_head_v) == (width, width)
    assert model.dtype == torch.float32
    assert found.softcap == (3.0 if family == "gemma2" else None)
    assert found.kernel == ("eager" if family == "gemma2" else "sdpa")
    assert max(found.proof.values()) < 1e-5
    assert family in repr(model)
    assert "resid_pre" in str(found)
    attention = found.layers[0].attention.rsplit(".", 1)[-1]
    assert attention == ("attn" if family == "gpt2" else "self_attn")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(dtype):
    """Everything is offered, runs stay in the model's dtype, and results are float32."""
    hf = build("llama").to(dtype)
    model = mi.wrap(hf, word_tokenizer())
    assert model.architecture.sites == SITES
    exp = experiment(model)
    read = exp.read("logits")
    assert read.dtype == torch.float32
    with torch.no_grad():
        plain = hf(input_ids=torch.tensor([ids_of(model, CLEAN)])).logits
    assert torch.equal(read, plain.float())
    assert exp.run(()).provenance.dtype == str(dtype).removeprefix("torch.")


def test_an_encoder_decoder_is_refused():
    config = transformers.T5Config(
        vocab_size=51, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_decoder_layers=1, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    with pytest.raises(mi.UnsupportedArchitecture, match=r"encoder-decoder.*decoder-only"):
        mi.wrap(transformers.T5ForConditionalGeneration(config), word_tokenizer())


def test_a_model_without_a_head_is_refused():
    bare = build("gpt2").transformer
    with pytest.raises(mi.UnsupportedArchitecture, match=r"unembedding.*AutoModelForCausalLM"):
        mi.wrap(bare, word_tokenizer())


@pytest.mark.parametrize("thing", [None, "gpt2", nn.Linear(2, 2), object()])
def test_what_is_no_model_is_refused(thing):
    with pytest.raises(mi.BadInput, match="transformers model"):
        mi.wrap(thing, word_tokenizer())


def test_a_model_without_a_tokenizer_is_refused():
    with pytest.raises(mi.BadInput, match="tokenizer"):
        mi.wrap(build("gpt2"), None)


class Silent(nn.Module):
    """An attention that never calls the interface: it averages what came before."""

    def __init__(self, width):
        super().__init__()
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, hidden_states, **_):
        steps = torch.arange(1, hidden_states.shape[1] + 1)[:, None]
        return self.o_proj(hidden_states.cumsum(1) / steps), None


def test_a_model_whose_attention_is_silent_everywhere_offers_its_stream_and_says_why_no_heads():
    hf = build("llama")
    for layer in hf.model.layers:
        layer.self_attn = Silent(32)
    model = mi.wrap(hf, word_tokenizer())
    heads = {"q", "k", "v", "scores", "pattern", "z", "result"}
    assert set(model.architecture.missing) == heads
    assert all("no attention" in model.architecture.missing[site] for site in heads)
    # Something in it is called attention, so that none was found is no fact about such a layer.
    assert not any(model.architecture.structural(site, 0) for site in heads)
    assert model.n_heads == 0
    exp = experiment(model)
    assert exp.read("attn_out").shape == (1, 3, 15, 32)
    assert exp.sweep("resid_pre", progress=False).metric.shape == (3, 15)
    for ask in (exp.patterns, exp.head_scores, exp.attribution, lambda: exp.sweep("z"), lambda: mi.AttentionHeads(exp)):
        with pytest.raises(mi.SiteUnavailable, match="no attention"):
            ask()


def test_one_silent_layer_is_marked_and_the_rest_is_offered():
    hf = build("llama")
    hf.model.layers[1].self_attn = Silent(32)
    model = mi.wrap(hf, word_tokenizer())
    exp = experiment(model)
    for site in ("pattern", "q", "z"):
        assert site in model.architecture.sites
        with pytest.raises(mi.SiteUnavailable, match=r"layer 1 .* has no"):
            exp.read(site, 1)
    assert exp.read("resid_pre").shape == (1, 3, 15, 32)
    found = exp.patterns()
    assert bool(found.values[1].isnan().all())
    assert bool(found.values[[0, 2]].isfinite().all())
    assert any("layer 1" in note for note in found.provenance.notes)
    with pytest.raises(mi.SiteUnavailable, match="layer 1"):
        exp.patterns(layers=1)
    swept = exp.sweep("z", progress=False)
    assert swept.metric.isnan().tolist() == [[False] * 4, [True] * 4, [False] * 4]
    with pytest.raises(mi.SiteUnavailable):
        exp.edits.add(mi.Zero("z", 1))
    exp.edits.add(mi.Zero("z"))  # all layers that have it


class Squashing(nn.Module):
    """Bends what comes out of the attention on its way through the projection, so heads do not add up behind it."""

    def __init__(self, projection):
        super().__init__()
        self.inner = projection
        self.weight = projection.weight

    def forward(self, x):
        return self.inner(torch.tanh(x))


def test_a_claim_that_does_not_hold_is_not_offered():
    """The sum over heads is not what this projection gives: z is refused with the reason, the stream is not."""
    hf = build("llama")
    for layer in hf.model.layers:
        layer.self_attn.o_proj = Squashing(layer.self_attn.o_proj)
    model = mi.wrap(hf, word_tokenizer())
    assert {"z", "result"} & set(model.architecture.sites) == set()
    assert "heads" in model.architecture.missing["result"]
    assert ("z", 1) in model.architecture.unproven
    assert not model.architecture.structural("z", 1)
    with pytest.raises(mi.SiteUnavailable, match=r"no result: .*heads.*Sites it has"):
        experiment(model).read("result")
    assert "resid_pre" in model.architecture.sites
    with pytest.raises(mi.SiteUnavailable):
        experiment(model).attribution()


class Scaling(nn.Module):
    """An adapter without a weight of its own to read: a linear map all the same."""

    def __init__(self, projection):
        super().__init__()
        self.inner = projection

    def forward(self, x):
        return 2 * self.inner(x * torch.linspace(0.5, 1.5, x.shape[-1]))


def test_a_projection_that_shows_no_weight_is_asked_for_its_map():
    hf = build("llama")
    for layer in hf.model.layers:
        layer.self_attn.o_proj = Scaling(layer.self_attn.o_proj)
    model = mi.wrap(hf, word_tokenizer())
    assert model.architecture.sites == SITES
    exp = experiment(model)
    layer = hf.model.layers[1].self_attn.o_proj
    z = exp.read("z", 1)[0]
    alone = torch.zeros_like(z)
    alone[:, 2] = z[:, 2]
    with torch.no_grad():
        expected = layer(alone.flatten(1)) - layer(torch.zeros(1, 48))
    torch.testing.assert_close(exp.read("result", 1)[0, :, 2], expected, atol=1e-5, rtol=1e-5)
    assert abs(exp.attribution().residue) < 1e-4


class Noise(nn.Module):
    """Mixes several residual streams, as hyper-connections do."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, hidden_states, **kwargs):
        return self.layer(hidden_states[..., 0, :], **kwargs)[..., None, :].repeat(1, 1, 2, 1)


def test_several_residual_streams_are_refused_in_words():
    hf = build("llama")
    for i in range(3):
        hf.model.layers[i] = Noise(hf.model.layers[i])
    embed = hf.model.embed_tokens
    embed.register_forward_hook(lambda _, __, y: y[..., None, :].repeat(1, 1, 2, 1))
    hf.model.norm.register_forward_pre_hook(lambda _, args: (args[0][..., 0, :],))
    with pytest.raises(mi.UnsupportedArchitecture, match=r"several residual streams.*one residual stream"):
        mi.wrap(hf, word_tokenizer())


def test_parallel_blocks_have_no_resid_mid():
    config = transformers.GPTNeoXConfig(
        vocab_size=51, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        use_parallel_residual=True, max_position_embeddings=64, bos_token_id=1, eos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hf = transformers.GPTNeoXForCausalLM(config).eval()
    model = mi.wrap(hf, word_tokenizer())
    assert "parallel" in model.architecture.missing["resid_mid"]
    with pytest.raises(mi.SiteUnavailable, match="parallel"):
        experiment(model).read("resid_mid", 0)


def test_loading_what_is_not_there():
    with pytest.raises(mi.BadInput, match=r"(?s)could be loaded from 'no-such-folder/model'.*shipped"):
        mi.load("no-such-folder/model")
    with pytest.raises(mi.BadInput, match="trust_remote_code"):
        mi.load("anything", trust_remote_code=True)


def test_loading_a_local_folder(tmp_path):
    hf, tokenizer = build("mistral"), word_tokenizer()
    hf.save_pretrained(tmp_path / "mine")
    tokenizer.save_pretrained(tmp_path / "mine")
    model = mi.load(tmp_path / "mine")
    assert model.name == "mine"
    with torch.no_grad():
        expected = hf(input_ids=torch.tensor([ids_of(model, CLEAN)])).logits
    torch.testing.assert_close(experiment(model).read("logits"), expected)


def test_what_is_lacking_is_told_once_per_reason():
    """Sites that lack for one reason in the same layers share a line, in `doctor` and on the wire."""
    hf = build("llama")
    for index in (0, 2):
        hf.model.layers[index].self_attn = Silent(32)
    model = mi.wrap(hf, word_tokenizer())
    told = model.architecture.lacking
    assert list(told) == ["q, k, v, scores, pattern, z, result in layers 0, 2"]
    assert all(f"missing    {what}: {why}" in str(model.architecture) for what, why in told.items())
    assert question_of(experiment(model))["model"]["missing"] == told


def question_of(exp):
    widget = mi.AttentionHeads(exp)
    try:
        return widget.question
    finally:
        widget.close()
