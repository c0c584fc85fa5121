"""Maps of `exp.sweep` equal those of TransformerLens' own patching functions: same weights as they are, same token ids.

Both hold one run per cell. Queries and keys are patched after the rotation here and before it there, which is the same
at one position; a grouped key-value head is one cell in both, as in its single functions (not its padded `_every`).
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from transformer_lens import patching
from transformer_lens.ActivationCache import ActivationCache
from transformer_lens.model_bridge import TransformerBridge

import mi_widgets as mi
from tests.python.bridges import model_and_bridge
from tests.python.families import ids_of

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

CLEAN = "Mary saw Anna , Anna gave a key to"
CORRUPTED = "Paul took John then John saw the book it"
TOLD = (" Mary", " Anna")

BY_POSITION = {
    "resid_pre": patching.get_act_patch_resid_pre,
    "resid_mid": patching.get_act_patch_resid_mid,
    "attn_out": patching.get_act_patch_attn_out,
    "mlp_out": patching.get_act_patch_mlp_out,
}
BY_HEAD = {
    "z": patching.get_act_patch_attn_head_out_all_pos,
    "q": patching.get_act_patch_attn_head_q_all_pos,
    "k": patching.get_act_patch_attn_head_k_all_pos,
    "v": patching.get_act_patch_attn_head_v_all_pos,
    "pattern": patching.get_act_patch_attn_head_pattern_all_pos,
}
BY_HEAD_AND_POSITION = {
    "z": patching.get_act_patch_attn_head_out_by_pos,
    "pattern": patching.get_act_patch_attn_head_pattern_by_pos,
}


@dataclass(frozen=True)
class Sides:
    """The same question to both: ours, and a bridge with its clean cache, corrupted tokens and metric."""

    exp: mi.Experiment
    bridge: TransformerBridge
    corrupted: torch.Tensor
    cache: ActivationCache
    answer: int
    distractor: int

    def metric(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[0, -1, self.answer] - logits[0, -1, self.distractor]

    def theirs(self, function) -> torch.Tensor:
        with torch.no_grad():
            return function(self.bridge, self.corrupted, self.cache, self.metric)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def sides(request, tmp_path_factory):
    model, bridge = model_and_bridge(request.param, tmp_path_factory.mktemp("tokenizer"))
    clean, corrupted = ids_of(model, CLEAN), ids_of(model, CORRUPTED)
    answer, distractor = (
        model.tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in (" Mary", " Anna")
    )
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.tensor([clean]))
    exp = mi.Experiment(model, clean, corrupted, answer, distractor)
    return Sides(exp, bridge, torch.tensor([corrupted]), cache, answer, distractor)


def check(sides: Sides, found: mi.SweepResult, expected: torch.Tensor) -> None:
    assert found.metric.shape == expected.shape
    assert bool(found.exact.all())
    size = float(expected.abs().max())
    start = sides.exp.run(()).metric
    assert float((expected - start).abs().max()) > 0.1 * size, "nothing moves: this would hold of anything"
    torch.testing.assert_close(found.metric, expected, atol=1e-4 * size, rtol=0)


def test_the_unedited_runs_are_the_same(sides):
    with torch.no_grad():
        plain = float(sides.metric(sides.bridge(sides.corrupted)))
    assert sides.exp.run(()).metric == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("site", BY_POSITION)
def test_layer_by_position(sides, site):
    check(sides, sides.exp.sweep(site, progress=False), sides.theirs(BY_POSITION[site]))


@pytest.mark.parametrize("site", BY_HEAD)
def test_layer_by_head(sides, site):
    check(sides, sides.exp.sweep(site, progress=False), sides.theirs(BY_HEAD[site]))


@pytest.mark.parametrize("site", BY_HEAD_AND_POSITION)
def test_layer_by_head_and_position(sides, site):
    found = sides.exp.sweep(site, positions="all", progress=False)
    assert found.axes == ("head", "position")
    theirs = sides.theirs(BY_HEAD_AND_POSITION[site])
    # Theirs is layer x position x head for z, and layer x head x position for pattern.
    check(sides, found, theirs.transpose(1, 2) if site == "z" else theirs)
