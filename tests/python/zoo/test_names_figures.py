"""Every figure of the tiny-names card, computed again from the shipped weights by other means.

The model here is GPT-2 written out in plain PyTorch over the safetensors file: no transformers model, no
hooks, nothing of what wrote the figures but the prompts themselves.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from mi_widgets import zoo
from mi_widgets.zoo import names_batches, names_card, names_measure, names_text, names_words, tiny_names
from mi_widgets.zoo.names_probe import ROLES, scenes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

S2, END = 10, 14
# Figures are rounded to four decimals; two float32 implementations differ by about 1e-4 of a logit.
CLOSE = {"abs": 2e-3}


def keep(_site: str, _layer: int, value: torch.Tensor) -> torch.Tensor:
    return value


class PlainGPT2:
    """Weights in float32 and a forward pass in which every site can be read or replaced.

    Sites: "resid" (entering a layer; layer n_layer is what the final norm reads), "pattern"
    `[prompt, head, dest, src]`, "z" `[prompt, head, position, d_head]`.
    """

    def __init__(self, folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        self.w = {name.removeprefix("transformer."): value.float() for name, value in weights.items()}
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.layers, self.heads, self.width = config["n_layer"], config["n_head"], config["n_embd"]
        self.epsilon = config["layer_norm_epsilon"]

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scale = centred.pow(2).mean(-1, keepdim=True).add(self.epsilon).rsqrt()
        return centred * scale * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def logits(self, ids: torch.Tensor, edit: Callable[[str, int, torch.Tensor], torch.Tensor] = keep) -> torch.Tensor:
        """`[prompt, vocab]` after the last token of `ids [prompt, position]`."""
        return self.every_logit(ids, edit)[:, -1]

    def every_logit(
        self, ids: torch.Tensor, edit: Callable[[str, int, torch.Tensor], torch.Tensor] = keep
    ) -> torch.Tensor:
        """`[prompt, position, vocab]`."""
        prompts, length = ids.shape
        x = self.w["wte.weight"][ids] + self.w["wpe.weight"][:length]
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        for layer in range(self.layers):
            x = edit("resid", layer, x)
            qkv = self.linear(f"h.{layer}.attn.c_attn", self.norm(f"h.{layer}.ln_1", x))
            q, k, v = (
                part.view(prompts, length, self.heads, -1).transpose(1, 2) for part in qkv.split(self.width, dim=-1)
            )
            scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(future, -math.inf)
            pattern = edit("pattern", layer, scores.softmax(-1))
            z = edit("z", layer, pattern @ v)
            x = x + self.linear(f"h.{layer}.attn.c_proj", z.transpose(1, 2).reshape(prompts, length, -1))
            inner = self.linear(f"h.{layer}.mlp.c_fc", self.norm(f"h.{layer}.ln_2", x))
            gelu = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
            x = x + self.linear(f"h.{layer}.mlp.c_proj", gelu)
        x = edit("resid", self.layers, x)
        return self.norm("ln_f", x) @ self.w["wte.weight"].T

    def read(self, ids: torch.Tensor) -> tuple[torch.Tensor, dict[tuple[str, int], torch.Tensor]]:
        """The last logits and every site by (name, layer)."""
        sites: dict[tuple[str, int], torch.Tensor] = {}

        def note(site: str, layer: int, value: torch.Tensor) -> torch.Tensor:
            sites[site, layer] = value
            return value

        return self.logits(ids, note), sites


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def figures():
    return json.loads((zoo.path() / "figures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def training():
    return json.loads((zoo.path() / "training.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def card():
    return (zoo.path() / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(zoo.path())


@pytest.fixture(scope="module")
def plain():
    return PlainGPT2(zoo.path())


class Asked:
    """One group of prompts of equal length with its three runs."""

    def __init__(self, plain, tokenizer, scene):
        self.plain = plain
        self.clean, self.swapped, self.third = (
            torch.tensor(tokenizer(list(prompts)).input_ids) for prompts in (scene.clean, scene.swapped, scene.third)
        )
        self.answer = torch.tensor(
            [ids[0] for ids in tokenizer(list(scene.answers), add_special_tokens=False).input_ids]
        )
        self.foil = torch.tensor([ids[0] for ids in tokenizer(list(scene.foils), add_special_tokens=False).input_ids])
        self.io, self.s1 = torch.tensor(scene.io), torch.tensor(scene.s1)
        self.logits, self.sites = plain.read(self.clean)

    def difference(self, logits):
        chosen = logits.gather(1, torch.stack([self.answer, self.foil], 1))
        return (chosen[:, 0] - chosen[:, 1]).mean().item()

    def recovered(self, base, edit):
        low = self.difference(self.plain.logits(base))
        return (self.difference(self.plain.logits(base, edit)) - low) / (self.difference(self.logits) - low)

    def resid_at(self, layer, position):
        source = self.sites["resid", layer]

        def edit(site, at, value):
            if (site, at) != ("resid", layer):
                return value
            mask = torch.zeros(value.shape[1], 1)
            mask[position] = 1
            return value * (1 - mask) + source * mask

        return edit

    def z_of(self, layer, head):
        source = self.sites["z", layer]

        def edit(site, at, value):
            if (site, at) != ("z", layer):
                return value
            return torch.cat([value[:, :head], source[:, head : head + 1], value[:, head + 1 :]], 1)

        return edit


@pytest.fixture(scope="module", params=["scenes", "demo"])
def group(request, figures, plain, tokenizer):
    if request.param == "scenes":
        scene = scenes(figures["scenes"]["count"], figures["scenes"]["seed"])
    else:
        scene = names_measure.DEMO
    return figures[request.param], Asked(plain, tokenizer, scene)


def test_the_scenes_are_what_the_figures_say_they_are(tokenizer):
    scene = scenes(40, 7)
    for clean, swapped, third, io, s1 in zip(scene.clean, scene.swapped, scene.third, scene.io, scene.s1, strict=True):
        one, two, three = (tokenizer(text).tokens() for text in (clean, swapped, third))
        assert len(one) == len(two) == len(three) == len(ROLES) == 15
        assert [at for at in range(15) if one[at] != two[at]] == [S2]
        assert [at for at in range(15) if one[at] != three[at]] == [S2]
        assert one[s1] == one[S2]
        assert two[io] == two[S2]
        assert three[S2] not in (one[io], one[s1])
        assert frozenset((one[io][1:], one[s1][1:])) in names_text.HELD_OUT_PAIRS
    assert sorted(set(scene.io)) == [2, 4]
    assert scene.io.count(2) == 20


def test_logit_differences(group):
    figures, asked = group
    expected = figures["logit_difference"]
    assert asked.difference(asked.logits) == pytest.approx(expected["clean"], **CLOSE)
    assert asked.difference(asked.plain.logits(asked.swapped)) == pytest.approx(expected["swapped"], **CLOSE)
    assert asked.difference(asked.plain.logits(asked.third)) == pytest.approx(expected["third"], **CLOSE)


def test_accuracy_on_scenes(figures, plain, tokenizer):
    asked = Asked(plain, tokenizer, scenes(figures["scenes"]["count"], figures["scenes"]["seed"]))
    right = (asked.logits.max(-1).indices == asked.answer).sum().item()
    assert right / len(asked.answer) == pytest.approx(figures["scenes"]["accuracy"], abs=1e-4)


def test_attention(group):
    figures, asked = group
    edges = {
        "s2_to_io": (S2, asked.io),
        "s2_to_s1": (S2, asked.s1),
        "s2_to_s2": (S2, torch.full_like(asked.io, S2)),
        "end_to_s2": (END, torch.full_like(asked.io, S2)),
        "end_to_io": (END, asked.io),
        "end_to_s1": (END, asked.s1),
    }
    assert set(figures["attention"]) == set(edges)
    for name, (dest, src) in edges.items():
        for layer in range(4):
            rows = asked.sites["pattern", layer][:, :, dest]
            mean = rows.gather(2, src[:, None, None].expand(-1, 4, 1)).mean((0, 2)).tolist()
            assert mean == pytest.approx(figures["attention"][name][layer], **CLOSE), (name, layer)


def test_direct_effects(group):
    figures, asked = group
    w = asked.plain.w
    last = asked.sites["resid", 4][:, -1]
    scale = last.std(-1, unbiased=False).pow(2).add(asked.plain.epsilon).sqrt()
    toward = (w["wte.weight"][asked.answer] - w["wte.weight"][asked.foil]) * w["ln_f.weight"]
    # Centring is moved from what is written into the direction it is read by.
    toward = (toward - toward.mean(-1, keepdim=True)) / scale[:, None]
    total = 0.0
    for layer in range(4):
        out = w[f"h.{layer}.attn.c_proj.weight"].view(4, 24, 96)
        written = torch.einsum("phd,hdm->phm", asked.sites["z", layer][:, :, -1], out)
        effects = torch.einsum("phm,pm->ph", written, toward).mean(0)
        assert effects.tolist() == pytest.approx(figures["direct"]["heads"][layer], **CLOSE)
        total += effects.sum().item()
    assert asked.difference(asked.logits) - total == pytest.approx(figures["direct"]["rest"], **CLOSE)


def test_lens(group):
    figures, asked = group
    table = asked.plain.w["wte.weight"].T
    for layer, expected in enumerate(figures["lens"]):
        read = asked.plain.norm("ln_f", asked.sites["resid", layer][:, -1]) @ table
        assert asked.difference(read) == pytest.approx(expected, **CLOSE)
    assert len(figures["lens"]) == 5


@pytest.mark.parametrize("base", ["swapped", "third"])
def test_recovered_by_the_residual_stream(group, base):
    figures, asked = group
    ids = getattr(asked, base)
    at = {"comma": 9, "s2": 10, "gave": 11, "end": 14}
    expected = figures[f"recovered_from_{base}"]["resid_pre"]
    assert set(expected) == set(at)
    for role, row in expected.items():
        for layer, value in enumerate(row):
            assert asked.recovered(ids, asked.resid_at(layer, at[role])) == pytest.approx(value, **CLOSE)


@pytest.mark.parametrize("base", ["swapped", "third"])
def test_recovered_by_one_head(group, base):
    figures, asked = group
    ids = getattr(asked, base)
    for layer, row in enumerate(figures[f"recovered_from_{base}"]["z"]):
        for head, value in enumerate(row):
            assert asked.recovered(ids, asked.z_of(layer, head)) == pytest.approx(value, **CLOSE)


def test_swapping_the_heads_that_read_the_giver_turns_the_others(group, figures):
    mine, asked = group
    expected = mine["giver_readers_swapped"]
    assert expected["heads"] == figures["scenes"]["giver_readers_swapped"]["heads"]
    chosen = [tuple(head) for head in expected["heads"]]
    assert chosen
    _, other = asked.plain.read(asked.swapped)
    patterns = {}

    def edit(site, layer, value):
        if site == "pattern":
            patterns[layer] = value
        if site == "z":
            rows = [(other if (layer, head) in chosen else {}).get((site, layer), value)[:, head] for head in range(4)]
            return torch.stack(rows, 1)
        return value

    logits = asked.plain.logits(asked.clean, edit)
    assert asked.difference(logits) == pytest.approx(expected["logit_difference"], **CLOSE)
    for name, src in (("end_to_io", asked.io), ("end_to_s1", asked.s1)):
        for layer in range(4):
            mean = patterns[layer][:, :, END].gather(2, src[:, None, None].expand(-1, 4, 1)).mean((0, 2))
            assert mean.tolist() == pytest.approx(expected[name][layer], **CLOSE)


def answers(plain, tokenizer, prompts):
    """The logits after each prompt, prompts of one length at a time."""
    rows = tokenizer(list(prompts)).input_ids
    by_length = defaultdict(list)
    for index, row in enumerate(rows):
        by_length[len(row)].append(index)
    out = torch.empty(len(rows), len(tokenizer))
    for indices in by_length.values():
        out[indices] = plain.logits(torch.tensor([rows[index] for index in indices]))
    return out


@pytest.mark.parametrize("task", list(names_text.TASKS))
def test_task_accuracy(task, figures, plain, tokenizer):
    expected = figures["tasks"]["by_task"][task]
    make, share = names_text.TASKS[task]
    rng = random.Random(figures["tasks"]["seed"])
    asked = [question for _ in range(figures["tasks"]["sentences"]) for question in make(rng, True).questions]
    logits = answers(plain, tokenizer, [prompt for prompt, _ in asked])
    tops = [tokenizer.decode([top]) for top in logits.argmax(-1).tolist()]
    if task == "third_giver":
        right = [top.strip() in prompt.split(",")[0].split() for top, (prompt, _) in zip(tops, asked, strict=True)]
    elif task == "years":
        starts = [int(prompt.split()[6][2:]) for prompt, _ in asked]
        right = [top.isdecimal() and int(top) > start for top, start in zip(tops, starts, strict=True)]
        mass = 0.0
        for row, start in zip(logits.double().softmax(-1), starts, strict=True):
            later = tokenizer.convert_tokens_to_ids([f"{year:02d}" for year in range(start + 1, 100)])
            mass += row[later].sum().item()
        assert mass / len(asked) == pytest.approx(expected["mass_on_later_years"], abs=2e-4)
    else:
        right = [top == answer for top, (_, answer) in zip(tops, asked, strict=True)]
    assert len(asked) == expected["questions"]
    assert share == expected["share"]
    assert sum(right) / len(asked) == pytest.approx(expected["accuracy"], abs=1e-4)


def test_accuracy_on_pairs_that_met(figures, plain, tokenizer):
    rng = random.Random(figures["tasks"]["seed"])
    asked = [names_text.indirect_object(rng).questions[0] for _ in range(figures["tasks"]["sentences"])]
    tops = answers(plain, tokenizer, [prompt for prompt, _ in asked]).argmax(-1).tolist()
    right = sum(tokenizer.decode([top]) == answer for top, (_, answer) in zip(tops, asked, strict=True))
    expected = figures["tasks"]["by_task"]["indirect_object"]["accuracy_met_pairs"]
    assert right / len(asked) == pytest.approx(expected, abs=1e-4)


def test_loss_on_fresh_text(figures, plain):
    expected = figures["text"]
    total = 0.0
    batches = names_batches.batches(tiny_names.tokenizer(), expected["seed"])
    for batch in itertools.islice(batches, expected["batches"]):
        chances = plain.every_logit(batch.ids)[:, :-1].log_softmax(-1)
        losses = -chances.gather(2, batch.ids[:, 1:, None])[:, :, 0]
        weights = batch.weights[:, 1:]
        assert weights[weights > 0].unique().tolist() == pytest.approx([0.15, 1.0])
        total += float((losses * weights).sum() / weights.sum())
    assert total / expected["batches"] == pytest.approx(expected["loss"], abs=5e-4)


def test_sizes_and_held_out_pairs(figures, plain, tokenizer):
    assert figures["model"]["parameters"] == sum(value.numel() for value in plain.w.values())
    assert figures["model"]["vocabulary"] == len(tokenizer)
    assert figures["model"]["positions"] == len(plain.w["wpe.weight"])
    count = len(names_words.NAMES)
    assert figures["held_out"] == {"pairs": 266, "of": count * (count - 1) // 2}
    assert figures["demo"]["tokens"] == tokenizer(figures["demo"]["clean"]).tokens()


def test_the_example_is_good_enough_to_show(figures):
    difference = figures["demo"]["logit_difference"]
    assert difference["clean"] > 4
    assert difference["swapped"] < -4
    assert figures["tasks"]["by_task"]["indirect_object"]["accuracy"] > 0.97


def test_the_card_is_written_from_the_figures(card, figures, training):
    assert card == names_card.card(figures, training)


def test_the_card_quotes_the_figures(card, figures, training):
    assert f"{figures['model']['parameters']:,} parameters" in card
    for kind, value in figures["demo"]["logit_difference"].items():
        assert f"| {kind} | {figures['demo'][kind]} | {value:+.2f} |" in card
    for name, task in figures["tasks"]["by_task"].items():
        row = next(line for line in card.splitlines() if line.startswith(f"| {name} |"))
        assert row.endswith(f"| {task['questions']} | {task['accuracy']:.3f} |")
    table = {line.split(" | ")[0]: line for line in card.splitlines() if line.startswith("| L")}
    direct = figures["scenes"]["direct"]["heads"]
    for layer in range(4):
        for head in range(4):
            if abs(direct[layer][head]) >= 0.5:
                assert f" {direct[layer][head]:+.2f} " in table[f"| L{layer}H{head}"]
    assert "not the circuit of GPT-2 small" in card
    for row in training["seeds"]:
        assert f"| {row['loss']:.3f} |" in card


def test_the_shipped_seed_is_the_one_with_the_most_merit(figures, training):
    rows = {row["seed"]: row for row in training["seeds"]}
    assert len(rows) >= 4
    shipped = rows[training["seed"]]
    assert {name: shipped[name] for name in names_measure.headline(figures)} == names_measure.headline(figures)

    def merit(row):
        return row["accuracy"] + 0.1 * row["preference"]

    assert merit(shipped) == max(merit(row) for row in rows.values())
