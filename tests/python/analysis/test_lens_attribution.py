"""Direct attribution of every run, in every cut, adds up to the logit difference before any cap, told by hand."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
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
