"""One of several prompts by itself: its edits do to it what they do to it among the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import mi_widgets as mi

NAMES = ("Mary", "John", "Anna", "Paul", "Kate", "Mark", "Emma", "Carl", "Nora")
PAIRS = list(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
CLEAN = [f"When {a} and {b} went to the store, {b} gave a drink to" for a, b in PAIRS]
CORRUPTED = [f"When {a} and {b} went to the store, {a} gave a drink to" for a, b in PAIRS]

Making = Callable[[mi.Experiment], mi.Edit]


def tensor(exp: mi.Experiment) -> torch.Tensor:
    """[prompt, position, head, d_head] of the clean runs."""
    return exp.read("z", layer=1)


MAKING: dict[str, Making] = {
    "mean over all prompts": lambda exp: mi.Mean("z", 1),
    "mean over the clean ones": lambda exp: mi.Mean("mlp_out", 2, over="clean"),
    "mean over the other ones, all positions": lambda exp: mi.Mean("resid_post", 1, over="other", pool="all"),
    "mean at a name": lambda exp: mi.Mean("attn_out", 2, position="second"),
    "mean of a tensor": lambda exp: mi.Mean("z", 1, over=tensor(exp)),
    "draws": lambda exp: mi.Resample("z", 2, prompts=CLEAN, n=3, seed=5),
    "a prompt for each": lambda exp: mi.Patch("resid_pre", 2, source=tuple(CLEAN[::-1])),
    "a tensor for each": lambda exp: mi.Patch("z", 1, source=tensor(exp)),
    "a vector for each": lambda exp: mi.Add("resid_post", 1, vector=exp.read("resid_post", layer=0)),
    "weights for each": lambda exp: mi.SetPattern(layer=1, weights=exp.read("pattern", layer=2)),
}


@pytest.fixture(scope="module")
def exp() -> mi.Experiment:
    found = mi.Experiment(
        mi.load(),
        CLEAN,
        CORRUPTED,
        answer=[f" {a}" for a, _ in PAIRS],
        distractor=[f" {b}" for _, b in PAIRS],
        positions={"second": [4] * len(CLEAN)},
    )
    assert len({len(p) for p in found.prompt("clean").prompts}) == 1
    return found


@pytest.mark.parametrize("name", MAKING)
def test_the_run_of_one_prompt_is_its_row_of_the_run_of_all(exp: mi.Experiment, name: str) -> None:
    question = exp.snapshot(MAKING[name](exp))
    whole = question.outcome("edited")
    unedited = question.outcome("corrupted")
    assert float((whole.logits - unedited.logits).abs().max()) > 0.01, "it does something"
    for prompt in (0, 4, len(CLEAN) - 1):
        alone = question.one(prompt).outcome("edited")
        torch.testing.assert_close(alone.logits[0], whole.logits[prompt], atol=2e-4, rtol=1e-4)
        assert float(alone.metric[0]) == pytest.approx(float(whole.metric[prompt]), abs=2e-4)


def test_a_lens_and_patterns_of_one_prompt_are_of_that_run(exp: mi.Experiment) -> None:
    for edit in (mi.Mean("z", 1), mi.Resample("z", 2, prompts=CLEAN, n=2)):
        exp.edits.clear()
        exp.edits.add(edit)
        try:
            run = exp.run()
            lens = exp.lens(prompt=3, run="edited")
            ids = lens.top_ids[-1, -1]
            # Over draws the lens tells mean logits, as the run does.
            torch.testing.assert_close(lens.logits[-1, -1], run.logits[3][ids], atol=2e-4, rtol=1e-4)
            patterns = exp.patterns(layers=[3], prompt=3, run="edited").values
            if isinstance(edit, mi.Mean):
                whole = exp.read("pattern", layer=3, run="edited")[3]
                torch.testing.assert_close(patterns[0], whole, atol=2e-4, rtol=1e-4)
        finally:
            exp.edits.clear()
