"""What a head writes, against the unembedding applied by hand to what the head adds."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.analysis.writes import head_writes
from tests.families.configs import build as family_of
from tests.python.analysis.test_attribution import final
from tests.python.analysis.test_attribution import head_writes as added_at_the_end
from tests.python.by_hand import changed, record
from tests.python.families import CLEAN, CORRUPTED, FAMILIES, build, experiment, ids_of, word_tokenizer, wrapped


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return wrapped(request.param)


def by_hand(model, sites, layer, head, position):
    """[vocab] logits of a head's share at a position, relative to their mean."""
    cut = {(site, at): x[: position + 1] for (site, at), x in sites.items() if site in ("result", "resid_post")}
    added = added_at_the_end(model, cut, layer)[head]
    gain, _, centres, eps = final(model)
    last = sites["resid_post", 2][position]
    s = ((last - last.mean() if centres else last).square().mean() + eps).sqrt()
    logits = model.hf.lm_head.weight.detach() @ ((added - added.mean() if centres else added) / s * gain)
    return logits - logits.mean()


@pytest.mark.parametrize(("run", "position"), [("clean", -1), ("corrupted", 5), ("edited", -2)])
def test_tokens_are_the_top_of_the_share_in_the_logits(model, run, position):
    exp = experiment(model)
    exp.edits.add(mi.Zero("z", 0, head=1))
    text = CLEAN if run == "clean" else CORRUPTED
    sites = record(model.hf, ids_of(model, text))
    if run == "edited":

        def zeroed(z):
            z[:, 1] = 0
            return z

        _, sites = changed(model.hf, ids_of(model, text), {("z", 0): [zeroed]})
    at = position % 15
    for layer, head in ((0, 3), (2, 1)):
        logits = by_hand(model, sites, layer, head, at)
        found = head_writes(exp.snapshot(), run, layer, head, position, k=4)
        for tokens, order in ((found.promoted, logits), (found.suppressed, -logits)):
            best = order.topk(4).indices.tolist()
            assert [token for token, _, _ in tokens] == best
            assert [value for _, _, value in tokens] == pytest.approx(logits[best].tolist(), abs=1e-4)
            assert [text for _, text, _ in tokens] == [model.text.piece(i) for i in best]
        ids = model.tokenizer.convert_tokens_to_ids([" Mary", " John"])
        assert found.logit_effect == pytest.approx(float(logits[ids[0]] - logits[ids[1]]), abs=1e-4)
        assert (found.run, found.layer, found.head, found.position) == (run, layer, head, at)


def test_at_the_answer_it_is_the_attribution(model):
    """Also without a distractor, where the direction is against the mean of the vocabulary."""
    for distractor in (" John", None):
        exp = experiment(model, distractor=distractor)
        heads = exp.attribution("head").values
        for layer in range(3):
            for head in range(4):
                effect = head_writes(exp.snapshot(), "clean", layer, head).logit_effect
                assert effect == pytest.approx(float(heads[layer, head]), abs=1e-4)


@pytest.mark.parametrize("family", ["gpt_oss", "granite", "cohere", "bloom", "opt", "jamba", "olmo2", "deepseek_v3"])
def test_multipliers_biases_and_layers_without_heads(family):
    """Adding a little of what a head writes to the last stream, at the scale it has, moves the logits by that much."""
    exp = mi.Experiment(mi.wrap(family_of(family), word_tokenizer(), family), CLEAN, answer=" Mary", distractor=" John")
    model, parts = exp.model, exp.model.architecture
    norm, unembed = (model.shadow.get_submodule(path) for path in (parts.final_norm, parts.unembed))
    layer = next(i for i in range(model.n_layers) if parts.layers[i].attention is not None)
    found = head_writes(exp.snapshot(), "clean", layer, 2, position=7, k=parts.d_vocab)
    share = torch.empty(parts.d_vocab)
    for token, _, value in found.promoted:
        share[token] = value
    # The head's own increment: the stream with it minus the stream without, by its post-norm's and family's factors.
    last = exp.read("resid_post", model.n_layers - 1)[0, 7]
    result = exp.read("result", layer)[0, 7, 2]
    total = exp.read("result", layer)[0, 7].sum(0)
    whole = exp.read("attn_out", layer)[0, 7]
    bias = getattr(model.shadow.get_submodule(parts.layers[layer].out_proj), "bias", None)
    before = total if bias is None else total + bias.detach()
    if parts.layers[layer].attn_post_norm is None:
        factor = float((before @ whole) / (before @ before))
        added = factor * result
        torch.testing.assert_close(factor * before, whole, atol=1e-5, rtol=1e-4)
    else:
        gain = model.shadow.get_submodule(parts.layers[layer].attn_post_norm).weight.detach()
        s = float((gain * before).norm() / whole.norm())
        added = gain * result / s
    with torch.no_grad():
        centred = norm(torch.zeros_like(last)) * 0 + (last - last.mean())
        shaped, base = norm(last), norm(torch.zeros_like(last))
        centres = bool(torch.allclose(norm(last + 3), shaped, atol=1e-3))
        top = centred if centres else last
        # s such that norm(x) - bias = gain * top / s; each coordinate tells gain / s.
        ratio = (shaped - base) / top
        logits = unembed((added - added.mean() if centres else added) * ratio)
        logits = logits - unembed(torch.zeros_like(last))
        logits = logits * parts.logit_scale
    expected = logits - logits.mean()
    torch.testing.assert_close(share, expected, atol=2e-3 * float(expected.abs().max()), rtol=0)
    assert float(expected.abs().max()) > 0.01


def test_large_vocabularies_are_unembedded_in_pieces(model, monkeypatch):
    exp = experiment(model)
    whole = head_writes(exp.snapshot(), "clean", 1, 2, k=20)
    monkeypatch.setattr("mi_widgets.analysis.writes.ROWS", 7)
    parts = head_writes(exp.snapshot(), "clean", 1, 2, k=20)
    assert [one[:2] for one in parts.promoted] == [one[:2] for one in whole.promoted]
    assert [one[2] for one in parts.promoted] == pytest.approx([one[2] for one in whole.promoted], abs=1e-5)


def test_a_bias_of_the_unembedding_is_no_heads_doing():
    hf = build("llama", seed=3)
    plain = mi.wrap(build("llama", seed=3), word_tokenizer())
    hf.lm_head.bias = torch.nn.Parameter(torch.linspace(-9, 9, hf.lm_head.weight.shape[0]))
    biased = mi.wrap(hf, word_tokenizer())
    found = [head_writes(experiment(model).snapshot(), "clean", 1, 1).promoted for model in (plain, biased)]
    assert [one[0] for one in found[0]] == [one[0] for one in found[1]]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"layer": 3}, "Layer 3"),
        ({"layer": -1}, "Layer -1"),
        ({"layer": "0"}, "layer is a whole number"),
        ({"head": 4}, "Head 4"),
        ({"head": None}, "Head None"),
        ({"position": 15}, "Position 15"),
        ({"position": "nowhere"}, "nowhere"),
        ({"k": 0}, "k is a whole number"),
        ({"k": 10**9}, "k is a whole number"),
        ({"run": "difference"}, "no run"),
        ({"prompt": 2}, "prompt"),
    ],
)
def test_what_is_not_there(bad, words):
    with pytest.raises(mi.BadInput, match=words):
        experiment(wrapped("gpt2")).head_writes(**{"layer": 1, "head": 1, **bad})


def test_where_there_is_no_direct_effect_it_says_so():
    jamba = mi.Experiment(mi.wrap(family_of("jamba"), word_tokenizer()), CLEAN, answer=" Mary")
    with pytest.raises(mi.SiteUnavailable, match="no attention"):
        jamba.head_writes(0, 0)
    old = mi.Experiment(mi.wrap(family_of("openai-gpt"), word_tokenizer()), CLEAN, answer=" Mary")
    with pytest.raises(mi.SiteUnavailable, match="final_norm"):
        old.head_writes(0, 0)
    assert old.head_scores()["logit_effect"].isna().all()
    assert old.head_scores()["previous"].notna().all()
