"""Direct logit attribution against sums worked out from a hand-written pass."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from tests.python.by_hand import changed, record
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    FAMILIES,
    SHORT_CLEAN,
    SHORT_CORRUPTED,
    build,
    experiment,
    ids_of,
    word_tokenizer,
    wrapped,
)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return wrapped(request.param)


def direction(model, answers=(" Mary",), distractors=(" John",)):
    """u: mean W_U of the answers minus that of the distractors, or of the whole vocabulary."""
    weight = model.hf.lm_head.weight.detach()
    ids = model.tokenizer.convert_tokens_to_ids
    against = weight.mean(0) if distractors is None else weight[[ids(t) for t in distractors]].mean(0)
    return weight[[ids(t) for t in answers]].mean(0) - against


def final(model):
    """(gain, bias or 0, does it centre, eps) of the final norm."""
    if model.name == "gpt2":
        norm = model.hf.transformer.ln_f
        return norm.weight.detach(), norm.bias.detach(), True, norm.eps
    gain = model.hf.model.norm.weight.detach()
    return (1 + gain if model.name == "gemma2" else gain), torch.zeros(()), False, model.hf.config.rms_norm_eps


def share_of(model, last):
    """The map from a vector in the stream to logits of the direction, with the scale of `last` frozen."""
    gain, _, centres, eps = final(model)
    x = last - last.mean() if centres else last
    s = (x.square().mean() + eps).sqrt()
    return lambda c, u: ((c - c.mean(-1, keepdim=True) if centres else c) / s * gain) @ u


def head_writes(model, sites, layer):
    """What each head adds to the stream at the last position: [head, d_model]."""
    result = sites["result", layer][-1]
    if model.name == "gemma2":
        norm = model.hf.model.layers[layer].post_attention_layernorm
        before = result.sum(0)
        return result / (before.square().mean() + norm.eps).sqrt() * (1 + norm.weight.detach())
    return result


@pytest.mark.parametrize("distractor", [" John", None])
@pytest.mark.parametrize("run", ["clean", "corrupted"])
def test_the_parts_add_up_and_heads_are_right(model, run, distractor):
    exp = experiment(model, distractor=distractor)
    sites = record(model.hf, ids_of(model, CLEAN if run == "clean" else CORRUPTED))
    u = direction(model, distractors=None if distractor is None else (distractor,))
    of = share_of(model, sites["resid_post", 2][-1])
    components = exp.attribution("component", run=run)
    total = float(sites["final_norm", None][-1] @ u)
    assert float(exp.attribution(run=run).values.abs().max()) > 0.05
    assert float(components.values.sum()) == pytest.approx(total, abs=1e-4)
    assert components.total == pytest.approx(total, abs=1e-5)
    logits = sites["logits", None][-1]
    ids = model.tokenizer.convert_tokens_to_ids
    metric = float(logits[ids(" Mary")] - (logits.mean() if distractor is None else logits[ids(distractor)]))
    assert components.residue == pytest.approx(metric - total, abs=1e-4)
    if model.name == "gemma2":
        assert abs(components.residue) > 1e-3
    heads = exp.attribution("head", run=run)
    expected = torch.stack([of(head_writes(model, sites, layer), u) for layer in range(3)])
    torch.testing.assert_close(heads.values, expected, atol=1e-5, rtol=1e-4)
    assert float(heads.values.sum()) + sum(heads.rest.values()) == pytest.approx(total, abs=1e-4)
    named = {name: float(v) for (name, _, _), v in zip(components.components, components.values, strict=True)}
    for layer in range(3):
        assert named[f"L{layer} MLP"] == pytest.approx(float(of(sites["mlp_out", layer][-1], u)), abs=1e-5)
    assert named["embed"] == pytest.approx(float(of(sites["embed", None][-1], u)), abs=1e-5)


def test_sources_sum_to_their_head(model):
    exp = experiment(model)
    heads, sources = exp.attribution("head"), exp.attribution("source")
    assert sources.values.shape == (3, 4, 15)
    torch.testing.assert_close(sources.values.sum(-1), heads.values, atol=1e-5, rtol=1e-4)
    assert sources.rest == pytest.approx(heads.rest)
    sites = record(model.hf, ids_of(model, CLEAN))
    weight = sites["pattern", 0][:, -1]
    whose = [h * model.n_kv_heads // 4 for h in range(4)]
    moved = torch.einsum("hs,shd->hsd", weight, sites["v", 0][:, whose])
    # A source that is not looked at writes nothing; in proportion, each writes its share of z.
    torch.testing.assert_close(moved.sum(1), sites["z", 0][-1], atol=1e-5, rtol=1e-4)
    assert bool((sources.values[0][weight == 0] == 0).all())


def test_alternatives_are_averaged(model):
    both = experiment(model, answer=(" Mary", " Anna"), distractor=(" John", " Paul")).attribution()
    ids = record(model.hf, ids_of(model, CLEAN))
    u = direction(model, (" Mary", " Anna"), (" John", " Paul"))
    assert both.total == pytest.approx(float(ids["final_norm", None][-1] @ u), abs=1e-5)


EDITS = {
    "z": mi.Patch("z", 1, head=2),
    "mlp_out": mi.Zero("mlp_out", 0),
    "pattern": mi.Zero("pattern", 1, head=0),
    "embed": mi.Patch("embed", alpha=0.5),
    "attn_out": mi.Zero("attn_out", 1),
    "result": mi.Zero("result", 2, head=1),
    "resid_pre": mi.Patch("resid_pre", 0),
    "resid_mid": mi.Patch("resid_mid", 1, alpha=0.5),
    "resid_post": mi.Patch("resid_post", 2, alpha=-0.5),
    "final_norm": mi.Patch("final_norm", alpha=0.5),
}


@pytest.mark.parametrize("site", sorted(EDITS))
def test_an_edited_run_adds_up_too(model, site):
    exp = experiment(model)
    exp.edits.add(EDITS[site])
    found = exp.attribution("component", run="edited")
    normed = exp.read("final_norm", position=-1, run="edited")[0]
    total = float(normed @ direction(model))
    assert float(found.values.sum()) == pytest.approx(total, abs=1e-4)
    stream = site in ("attn_out", "result", "resid_pre", "resid_mid", "resid_post", "final_norm")
    assert any(name == "edits" for name, _, _ in found.components) == stream
    heads = exp.attribution("head", run="edited")
    assert float(heads.values.sum()) + sum(heads.rest.values()) == pytest.approx(total, abs=1e-4)


def test_heads_of_an_edited_run(model):
    """A patched head is credited with what it wrote in the edited run, under the edited run's scale."""
    exp = experiment(model)
    exp.edits.add(mi.Patch("z", 1, head=2))
    clean = record(model.hf, ids_of(model, CLEAN))

    def patched(z):
        z[:, 2] = clean["z", 1][:, 2]
        return z

    _, sites = changed(model.hf, ids_of(model, CORRUPTED), {("z", 1): [patched]})
    of, u = share_of(model, sites["resid_post", 2][-1]), direction(model)
    expected = torch.stack([of(head_writes(model, sites, layer), u) for layer in range(3)])
    torch.testing.assert_close(exp.attribution("head", run="edited").values, expected, atol=1e-5, rtol=1e-4)


def test_several_prompts_are_averaged_or_taken_alone(model):
    pair = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], [" Mary", " Mary"], [" John", " Anna"]
    )
    alone = [
        mi.Experiment(model, CLEAN, CORRUPTED, " Mary", " John").attribution("head").values,
        mi.Experiment(model, SHORT_CLEAN, SHORT_CORRUPTED, " Mary", " Anna").attribution("head").values,
    ]
    torch.testing.assert_close(pair.attribution("head").values, (alone[0] + alone[1]) / 2, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pair.attribution("head", prompt=1).values, alone[1], atol=1e-5, rtol=1e-4)
    with pytest.raises(mi.BadInput, match="one length"):
        pair.attribution("source")
    assert pair.attribution("source", prompt=1).values.shape[-1] == len(ids_of(model, SHORT_CLEAN))


def test_the_table(model):
    exp = experiment(model)
    frame = exp.attribution("head").to_frame()
    assert list(frame.columns) == ["component", "layer", "head", "position", "value"]
    assert frame["value"].sum() == pytest.approx(exp.attribution().total, abs=1e-4)
    sources = exp.attribution("source").to_frame()
    assert len(sources[sources.component == "L1H2"]) == 15


def test_other_metrics_still_mean_the_logit_difference(model):
    found = experiment(model, metric="prob").attribution("head")
    torch.testing.assert_close(found.values, experiment(model).attribution("head").values)
    assert any("logit difference" in note for note in found.provenance.notes)
    with pytest.raises(mi.BadInput, match="by is"):
        experiment(model).attribution("position")


def test_a_bias_of_the_unembedding_counts():
    hf = build("llama", seed=3)
    hf.lm_head.bias = torch.nn.Parameter(torch.linspace(-1, 1, hf.lm_head.weight.shape[0]))
    model = mi.wrap(hf, word_tokenizer())
    found = experiment(model, distractor=None).attribution()
    with torch.no_grad():
        logits = hf(input_ids=torch.tensor([ids_of(model, CLEAN)])).logits[0, -1]
    token = model.tokenizer.convert_tokens_to_ids(" Mary")
    assert float(found.values.sum()) == pytest.approx(float(logits[token] - logits.mean()), abs=1e-4)
    assert found.residue == pytest.approx(0, abs=1e-4)
    bias = hf.lm_head.bias.detach()
    assert found.rest["unembedding bias"] == pytest.approx(float(bias[token] - bias.mean()), abs=1e-6)
