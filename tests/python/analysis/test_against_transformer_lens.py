"""Head scores and attribution equal TransformerLens' own: weights as they are, same token ids, its normalisation.

Its `detect_head` divides by all attention there is and counts position 0, which `normalise="all"` asks for here.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from transformer_lens.ActivationCache import ActivationCache
from transformer_lens.head_detector import detect_head
from transformer_lens.model_bridge import TransformerBridge

import mi_widgets as mi
from mi_widgets.analysis.random_tokens import random_prompts
from tests.python.bridges import model_and_bridge
from tests.python.families import ids_of

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

REPEATED = "Mary saw John John , Mary saw the key , the key went to Mary"
NAMES = {
    "previous": "previous_token_head",
    "duplicate": "duplicate_token_head",
    "induction": "induction_head",
}


@dataclass(frozen=True)
class Sides:
    """The same question to both: ours, and a bridge with the tokens of the clean prompt and its cache."""

    exp: mi.Experiment
    bridge: TransformerBridge
    tokens: torch.Tensor
    cache: ActivationCache

    def matrix(self, column: str, **asked) -> torch.Tensor:
        values = self.exp.head_scores(**asked)[column].to_numpy()
        return torch.tensor(values, dtype=torch.float32).reshape(3, 4)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def sides(request, tmp_path_factory):
    model, bridge = model_and_bridge(request.param, tmp_path_factory.mktemp("tokenizer"))
    tokens = torch.tensor([ids_of(model, REPEATED)])
    with torch.no_grad():
        _, cache = bridge.run_with_cache(tokens)
    return Sides(mi.Experiment(model, tokens[0], None, " Mary", " John"), bridge, tokens, cache)


def detected(sides: Sides, tokens: torch.Tensor, name: str) -> torch.Tensor:
    """Theirs takes a text; here it is given the tokens themselves."""
    text, kept = "as the tokens are", sides.bridge.to_tokens
    sides.bridge.to_tokens = lambda *_, **__: tokens
    try:
        with torch.no_grad():
            _, cache = sides.bridge.run_with_cache(tokens, remove_batch_dim=True)
            return detect_head(sides.bridge, text, NAMES[name], cache=cache, error_measure="mul")
    finally:
        sides.bridge.to_tokens = kept


@pytest.mark.parametrize("name", NAMES)
def test_the_detected_share_of_all_attention(sides, name):
    theirs = detected(sides, sides.tokens, name)
    torch.testing.assert_close(sides.matrix(name, normalise="all"), theirs.float(), atol=1e-5, rtol=1e-4)
    assert float(theirs.max()) > 0.05
    # The definition of the score itself leaves out the sink and divides by the rows that count.
    assert float((sides.matrix(name) - theirs).abs().max()) > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_detected_share_on_random_tokens(sides, name):
    prompts = random_prompts(sides.exp.model, n=3, period=9, seed=5).prompts
    theirs = torch.stack([detected(sides, torch.tensor([prompt.ids]), name) for prompt in prompts]).mean(0)
    ours = sides.matrix(f"{name}_random", on="random", n=3, period=9, seed=5, normalise="all")
    torch.testing.assert_close(ours, theirs.float(), atol=1e-5, rtol=1e-4)


def test_random_scores_are_the_diagonals_of_its_patterns(sides):
    """As its demos take them: the diagonal 1 - period of the pattern; here without the first dest of the second time.

    That dest's induction source is the second token, for which nothing has been said yet but the first.
    """
    period = 9
    prompts = random_prompts(sides.exp.model, n=2, period=period, seed=6).prompts
    expected = []
    for prompt in prompts:
        with torch.no_grad():
            _, cache = sides.bridge.run_with_cache(torch.tensor([prompt.ids]))
        patterns = torch.stack([cache["pattern", layer][0] for layer in range(3)])
        # From dest = period on; the beginning token shifts all by one.
        diagonal = patterns.diagonal(1 - period, dim1=-2, dim2=-1)
        assert diagonal.shape[-1] == 2 * period + 1 - (period - 1)
        expected.append(diagonal[..., 2:].mean(-1))
    ours = sides.matrix("induction_random", on="random", n=2, period=period, seed=6)
    torch.testing.assert_close(ours, torch.stack(expected).mean(0).float(), atol=1e-5, rtol=1e-4)


def test_one_cell_and_entropy_are_read_off_the_same_pattern(sides):
    patterns = torch.stack([sides.cache["pattern", layer][0] for layer in range(3)]).float()
    torch.testing.assert_close(sides.matrix("edge", edge=(11, 6)), patterns[:, :, 11, 6], atol=1e-5, rtol=1e-4)
    entropy = torch.special.entr(patterns[:, :, 1:]).sum(-1).mean(-1)
    torch.testing.assert_close(sides.matrix("entropy"), entropy, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(sides.matrix("first"), patterns[:, :, 1:, 0].mean(-1), atol=1e-5, rtol=1e-4)


def direction(sides: Sides) -> torch.Tensor:
    model = sides.exp.model
    ids = model.tokenizer.convert_tokens_to_ids([" Mary", " John"])
    rows = model.hf.lm_head.weight.detach()[ids]
    return rows[0] - rows[1]


def test_logit_attribution_of_heads(sides):
    """Its stack of head results with the final norm applied at its frozen scale, on the same direction.

    Weights are unprocessed there, so the final norm's gain is not folded into the unembedding and is applied here.
    """
    hf = sides.exp.model.hf
    gain = (hf.transformer.ln_f if hasattr(hf, "transformer") else hf.model.norm).weight.detach()
    stack = sides.cache.stack_head_results(layer=-1, pos_slice=-1)
    scaled = sides.cache.apply_ln_to_stack(stack, layer=-1, pos_slice=-1)[:, 0]
    theirs = (scaled * gain) @ direction(sides)
    ours = sides.exp.attribution("head", prompt=0).values
    torch.testing.assert_close(ours.flatten(), theirs.float(), atol=1e-4, rtol=1e-4)
    assert float(theirs.abs().max()) > 0.1
    assert sides.matrix("logit_effect").flatten().tolist() == pytest.approx(theirs.tolist(), abs=1e-4)
