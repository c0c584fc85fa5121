"""Direct attribution of every run, in every cut, adds up to the logit difference before any cap, told by hand."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions.draws import draws_of
from tests.families.configs import build
from tests.python import lens_by_hand
from tests.python.families import CLEAN, CORRUPTED, ids_of, word_tokenizer


@pytest.fixture(scope="module", params=lens_by_hand.FAMILIES)
def model(request):
    return mi.wrap(build(request.param), word_tokenizer(), request.param)


def uncapped(model, last):
    """Logits before any softcap, of the last stream at one position: [vocab]."""
    gain, bias, centres, _ = lens_by_hand.norm_of(model.hf)
    x = last[None]
    y = (x - x.mean(-1, keepdim=True) if centres else x) / lens_by_hand.scale(model.hf, x) * gain + bias
    return (y @ model.hf.lm_head.weight.detach().T)[0] * getattr(model.hf.config, "logit_scale", 1.0)


def direction(model):
    """The answer's place less the distractor's: [vocab]."""
    along = torch.zeros(model.architecture.d_vocab)
    along[model.tokenizer.convert_tokens_to_ids(" Mary")] = 1
    along[model.tokenizer.convert_tokens_to_ids(" John")] = -1
    return along


EDITS = {
    "knockout": mi.Knockout(layer=1, head=2, dest=-1, src=3),
    "v": mi.Patch("v", 0),
    "z": mi.Patch("z", 1, head=2, alpha=0.5),
    "mlp_out": mi.Zero("mlp_out", 1),
    "attn_out": mi.Scale("attn_out", 1, factor=0.5),
}


@pytest.mark.parametrize("run", ["clean", "corrupted", *EDITS])
@pytest.mark.parametrize("by", ["component", "head", "source"])
@pytest.mark.parametrize("distractor", [" John", None])
def test_it_adds_up(model, run, by, distractor):
    exp = mi.Experiment(model, CLEAN, CORRUPTED, " Mary", distractor)
    if run in EDITS:
        exp.edits.add(EDITS[run])
        last = exp.read("resid_post", model.n_layers - 1, position=-1, run="edited")[0]
    else:
        last = lens_by_hand.streams(model.hf, ids_of(model, CLEAN if run == "clean" else CORRUPTED))[-1][-1]
    raw = uncapped(model, last)
    answer = model.tokenizer.convert_tokens_to_ids(" Mary")
    against = raw.mean() if distractor is None else raw[model.tokenizer.convert_tokens_to_ids(distractor)]
    found = exp.attribution(by=by, run="edited" if run in EDITS else run)
    total = float(raw[answer] - against)
    parts = float(found.values.sum()) + (0 if by == "component" else sum(found.rest.values()))
    scale = max(1.0, float(found.values.abs().max()))
    assert found.total == pytest.approx(total, abs=2e-5 * scale)
    assert parts == pytest.approx(total, abs=5e-5 * scale)
    if model.architecture.softcap is None:
        assert found.residue == pytest.approx(0, abs=1e-4 * scale)
    else:
        cap = model.architecture.softcap
        capped = cap * torch.tanh(raw / cap)
        shown = capped[answer] - (
            capped.mean() if distractor is None else capped[model.tokenizer.convert_tokens_to_ids(distractor)]
        )
        assert found.residue == pytest.approx(float(shown) - total, abs=1e-4 * scale)


def test_over_draws_each_adds_up_at_its_own_scale(model):
    exp = mi.Experiment(model, CLEAN, CORRUPTED, " Mary", " John")
    donors = [CLEAN, CORRUPTED.replace(" store", " park")]
    exp.edits.add(mi.Resample("z", 1, prompts=donors, n=2))
    last = []
    for (one,) in draws_of(list(exp.edits)):
        alone = mi.Experiment(model, CLEAN, CORRUPTED, " Mary", " John")
        alone.edits.add(one)
        last.append(alone.read("resid_post", model.n_layers - 1, position=-1, run="edited")[0])
    raw = torch.stack([uncapped(model, x) for x in last]).mean(0)
    answer, against = (model.tokenizer.convert_tokens_to_ids(text) for text in (" Mary", " John"))
    for by in ("component", "head", "source"):
        found = exp.attribution(by=by, run="edited")
        parts = float(found.values.sum()) + (0 if by == "component" else sum(found.rest.values()))
        assert found.total == pytest.approx(float(raw[answer] - raw[against]), abs=2e-5)
        assert parts == pytest.approx(found.total, abs=5e-5)
        if model.architecture.softcap is None:
            assert found.residue == pytest.approx(0, abs=1e-4)


def test_a_stream_that_an_edit_made_zero_is_divided_by_what_epsilon_leaves(model):
    """The last stream is 0 at one position: what was added there is still told, at the scale of a zero."""
    exp = mi.Experiment(model, CLEAN, None, " Mary", " John")
    exp.edits.add(mi.Zero("resid_post", model.n_layers - 1, position=[2, -1]))
    found = exp.lens(at="mlp_out", k=1, track=(" Mary",), positions=[1, 2])
    written = exp.read("mlp_out", 1, run="edited")[0][[1, 2]]
    last = exp.read("resid_post", model.n_layers - 1, run="edited")[0][[1, 2]]
    assert bool((last[1] == 0).all())
    logits = lens_by_hand.linear(model.hf, written, lens_by_hand.scale(model.hf, last))
    expected = (logits - logits.mean(-1, keepdim=True))[:, model.tokenizer.convert_tokens_to_ids(" Mary")]
    torch.testing.assert_close(found.tracked[1, :, 0], expected, rtol=1e-3, atol=1e-5)
    assert exp.attribution(run="edited").total == pytest.approx(
        float(uncapped(model, last[1]) @ direction(model)), abs=1e-5
    )


def test_heads_that_are_all_ablated_give_nothing_behind_a_post_norm_too(model):
    exp = mi.Experiment(model, CLEAN, None, " Mary", " John")
    exp.edits.add(mi.Zero("z", 1))
    for by in ("component", "source"):
        found = exp.attribution(by=by, run="edited")
        parts = float(found.values.sum()) + (0 if by == "component" else sum(found.rest.values()))
        scale = max(1.0, float(found.values.abs().max()))
        assert parts == pytest.approx(found.total, abs=5e-5 * scale)
    heads = exp.attribution(by="head", run="edited").values
    assert bool((heads[1] == 0).all())
    assert bool((heads[0] != 0).any())


def test_what_is_written_into_logits_is_told_to_be_in_the_residue(model):
    exp = mi.Experiment(model, CLEAN, None, " Mary", " John")
    exp.edits.add(mi.Zero("logits", position=-1))
    found = exp.attribution(run="edited")
    assert found.residue == pytest.approx(-found.total, abs=1e-4)
    assert any("logits themselves" in note for note in found.provenance.notes)
    assert not exp.attribution(run="clean").provenance.notes or model.architecture.softcap is not None


def test_a_head_is_its_row_of_the_lens(model):
    """A contribution row along the answer direction is the sum of its heads' shares and the bias'."""
    exp = mi.Experiment(model, CLEAN, CORRUPTED, " Mary", " John")
    found = exp.lens(at="attn_out", k=1, track=(" Mary", " John"), run="clean", positions=-1)
    along = found.tracked[:, 0, 0] - found.tracked[:, 0, 1]
    attribution = exp.attribution(by="component", run="clean")
    named = list(zip(attribution.components, attribution.values.tolist(), strict=True))
    for layer in range(model.n_layers):
        own = [
            v for (name, at, head), v in named if at == layer and (head is not None or name.endswith("attention bias"))
        ]
        assert sum(own) == pytest.approx(float(along[layer]), abs=1e-5)
