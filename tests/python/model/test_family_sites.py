"""Every site of every named family, read and written through the package, against plain hooks on the user's model.

Numbers are compared to 1e-5 of the largest number in the tensor, or to 1e-5 where all are below 1: scores and streams
of some families are large, and float32 keeps seven digits of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from transformers import PreTrainedModel

import mi_widgets as mi
from mi_widgets.model.batches import Batch
from tests.families.oracle import FAMILIES, GLOBAL, LAYERED, Key, model_of, record, written
from tests.python.families import word_tokenizer

LONG = (1, 17, 30, 5, 42, 9, 17, 23, 38)
SHORT = (1, 8, 33, 8, 20, 46)
SPOT = 4
"""The position at which one head alone is written."""

WINDOWED = {
    "cohere2": [0, 2], "gemma2": [0, 2], "gemma3_text": [0, 2], "gpt_neo": [1], "gpt_oss": [0, 2],
    "mistral": [0, 1, 2], "mixtral": [0, 1, 2], "phi3": [0, 1, 2], "starcoder2": [0, 1, 2],
}  # fmt: skip
"""Layers of the tiny models whose window is shorter than `LONG`."""

SQUARE = ("scores", "pattern")
HEADED = ("q", "k", "v", "z", "result")


def close(a: torch.Tensor, b: torch.Tensor, what: object = None, tolerance: float = 1e-5) -> None:
    size = max(1.0, float(b[b.isfinite()].abs().max())) if bool(b.isfinite().any()) else 1.0
    torch.testing.assert_close(a, b, atol=tolerance * size, rtol=0, msg=lambda m: f"{what}: {m}")


@dataclass(frozen=True)
class Case:
    """One family: the model as the package sees it, and the user's own, from the same seed."""

    name: str
    model: mi.Model
    own: PreTrainedModel

    @cached_property
    def sites(self) -> dict[Key, torch.Tensor]:
        return record(self.own, self.name, torch.tensor([LONG]))

    @cached_property
    def noise(self) -> dict[Key, torch.Tensor]:
        """What is written: {(site, layer): random values of the site's shape and size}."""
        generator = torch.Generator().manual_seed(1)

        def random(site: str, value: torch.Tensor) -> torch.Tensor:
            drawn = torch.randn(value.shape[1:], generator=generator)
            if site == "scores":
                return (2 * drawn).where(value[0].isfinite(), value[0])
            if site == "pattern":
                seen = torch.ones_like(drawn).tril().bool()
                return (2 * drawn).masked_fill(~seen, -torch.inf).softmax(-1)
            return value.std() * drawn

        return {key: random(key[0], value) for key, value in self.sites.items()}

    def offered(self) -> list[Key]:
        """Every (site, layer) that the package offers."""
        sites = [site for site in (*GLOBAL, *LAYERED) if site in self.model.architecture.sites]
        return [(site, layer) for site in sites for layer in self.model.layers_with(site)]

    def batch(self, *prompts: tuple[int, ...]) -> Batch:
        return Batch.of([self.model.tokens(list(ids)) for ids in prompts], self.model.text.pad_id)


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest) -> Case:
    own = model_of(request.param)
    own.set_attn_implementation("eager")
    return Case(request.param, mi.wrap(model_of(request.param), word_tokenizer(), request.param), own)


def test_the_oracle_is_the_users_own_model(case):
    """Logits with and without the oracle's hooks, hidden states, attention weights; and own values change nothing."""
    ids = torch.tensor([LONG])
    user = case.model.hf
    with torch.no_grad():
        plain = user(input_ids=ids, use_cache=False)
        hidden = case.own(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
        weights = case.own(input_ids=ids, use_cache=False, output_attentions=True).attentions
    close(case.sites["logits", None], plain.logits)
    close(written(case.own, case.name, ids, dict.fromkeys(case.sites, torch.clone)), plain.logits)
    layers = range(len(hidden) - 1)
    for layer in layers:
        close(case.sites["resid_pre", layer], hidden[layer], layer)
    close(case.sites["final_norm", None] if ("final_norm", None) in case.sites else hidden[-1], hidden[-1])
    if user.config.model_type != "falcon":
        # With output_attentions falcon takes another branch, which adds its mask as a number, and ALiBi twice.
        patterns = [case.sites["pattern", layer] for layer in layers if ("pattern", layer) in case.sites]
        for pattern, weight in zip(patterns, weights, strict=True):
            close(pattern, weight)


def test_a_tiny_model_does_what_its_family_is_known_for(case):
    """Windows hide early tokens, sinks take their share, caps hold: else the tests below would show nothing of them."""
    patterns = {layer: value[0] for (site, layer), value in case.sites.items() if site == "pattern"}
    assert [layer for layer, x in patterns.items() if not bool(x[:, -1, :3].any())] == WINDOWED.get(case.name, [])
    rows = torch.stack([x.sum(-1) for x in patterns.values()])
    assert bool((rows < 0.99).any()) == (case.name == "gpt_oss")
    if case.name == "gemma2":
        scores = case.sites["scores", 0]
        assert 1.9 < float(scores[scores.isfinite()].abs().max()) < case.own.config.attn_logit_softcapping


def test_what_a_family_has_is_offered_and_nothing_else(case):
    table = FAMILIES[case.name].offered(case.model.n_layers)
    assert set(case.sites) == table
    assert set(case.offered()) == table


def test_every_site_reads_as_plain_hooks_see_it(case):
    exp = mi.Experiment(case.model, list(LONG))
    for site in case.model.architecture.sites:
        layers = case.model.layers_with(site)
        values = exp.read(site) if site in GLOBAL else exp.read(site, layers).unbind(1)
        for layer, value in zip(layers, [values] if site in GLOBAL else values, strict=True):
            close(value, case.sites[site, layer], (site, layer))


def test_patterns_told_afterwards_from_queries_and_keys_are_the_same(case):
    """`exp.patterns` computes weights only for what is asked for, beside the run."""
    layers = case.model.layers_with("pattern")
    shown = mi.Experiment(case.model, list(LONG)).patterns(layers=layers).values
    close(shown, torch.cat([case.sites["pattern", layer] for layer in layers]))


def cell(site: str, x: torch.Tensor) -> tuple[int, ...]:
    """Where one head at one position lies in a row of a site; one position of a site without heads."""
    return (x.shape[1] - 1, SPOT) if site in SQUARE else (SPOT, x.shape[2] - 1) if site in HEADED else (SPOT,)


def test_every_write_is_the_same_write_by_plain_hooks(case):
    """Each site in one batch, with three rows for every layer that has it.

    One row is written as a whole there, one at one head and position, and one is left alone.
    """
    plain = case.sites["logits", None][0]
    for site in dict.fromkeys(site for site, _ in case.offered()):
        keys = [(site, layer) for layer in case.model.layers_with(site)]
        prompts, changes = [LONG] * 3 * len(keys), {}
        rows = [range(first, first + 3) for first in range(0, len(prompts), 3)]
        for key, (whole, part, _) in zip(keys, rows, strict=True):

            def write(
                x: torch.Tensor,
                site: str = site,
                whole: int = whole,
                part: int = part,
                noise: torch.Tensor = case.noise[key],
            ) -> torch.Tensor:
                new, where = x.clone(), cell(site, x)
                new[whole] = noise
                new[part][where] = noise[where]
                return new

            changes[key] = write
        expected = written(case.own, case.name, torch.tensor(prompts), changes)
        logits = case.model.forward(case.batch(*prompts), changes)
        for key, (whole, part, alone) in zip(keys, rows, strict=True):
            for row in (whole, part):
                assert float((expected[row] - plain).abs().max()) > 1e-3, f"{key} written in row {row} moves nothing"
            close(expected[alone], plain, key)
            close(logits[whole : alone + 1], expected[whole : alone + 1], key)


def test_writes_everywhere_at_once_act_in_the_order_of_the_computation(case):
    """Every site of every layer is moved a little towards noise in one pass, whatever order they are given in."""

    def nudge(noise: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        # What is masked is not there to be moved.
        return lambda x: torch.where(x.isinf(), x, 0.8 * x + 0.2 * noise)

    changes = {key: nudge(case.noise[key]) for key in reversed(case.offered())}
    expected = written(case.own, case.name, torch.tensor([LONG]), changes)
    close(case.model.forward(case.batch(LONG), changes), expected)


def test_pads_are_never_read(case):
    """Two prompts of different length side by side: logits and every site are those of each prompt alone."""
    batch, kept = case.batch(LONG, SHORT), {}
    alone = case.sites, record(case.own, case.name, torch.tensor([SHORT]))
    case.model.forward(batch, {key: lambda x, key=key: kept.update({key: x.clone()}) for key in case.offered()})
    for row, pad in enumerate(batch.pads):
        for (site, layer), value in kept.items():
            expected = alone[row][site, layer][0]
            if site in SQUARE:
                expected = torch.nn.functional.pad(expected, (pad, 0), value=0 if site == "pattern" else -torch.inf)
                value = value.transpose(1, 2)
                expected = expected.transpose(0, 1)
            close(value[row, pad:], expected, (site, layer, row))


def test_pads_are_never_edited(case):
    """One edit of both prompts, at every position: the logits are those of each prompt edited alone."""
    keys, zeros = [], {}
    for number, site in enumerate(case.model.architecture.sites):
        layers = case.model.layers_with(site)
        keys.append((site, layers[len(layers) // 2]))
        axis = 1 if site in SQUARE else 2 if site in HEADED else None

        def zero(x: torch.Tensor, row: int = number, axis: int | None = axis) -> torch.Tensor:
            """By plain hooks each edit has a row of its own."""
            new = x.clone()
            part = new[row : row + 1]
            part = part if axis is None else part.movedim(axis, 0)[-1]
            part.masked_fill_(part > -torch.inf, 0)
            return new

        zeros[keys[-1]] = zero
    alone = [written(case.own, case.name, torch.tensor([ids] * len(keys)), zeros) for ids in (LONG, SHORT)]
    exp = mi.Experiment(case.model, [list(LONG), list(SHORT)])
    for number, key in enumerate(keys):
        value = case.sites[key]
        head = value.shape[1] - 1 if key[0] in SQUARE else value.shape[2] - 1 if key[0] in HEADED else None
        logits = exp.run(mi.Zero(*key, head=head)).logits
        for row in (0, 1):
            close(logits[row], alone[row][number, -1], (key, row))
