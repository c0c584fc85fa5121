"""Every figure of the tiny-induction card, computed again from the shipped weights by other means.

The model here is Llama written out in plain PyTorch over the safetensors files: no transformers model, no
hooks, nothing of what wrote the figures but the rows of words themselves.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from mi_widgets import zoo
from mi_widgets.zoo import induction_card, induction_measure, induction_text, tiny_induction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "tiny-induction"
# Figures are rounded to four decimals; two float32 implementations differ by about 1e-5 here.
CLOSE = {"abs": 2e-4}
# One word out of 64 rows of 20 is 8e-4: a near tie may fall either way.
NEAR_TIES = {"abs": 2e-3}


def keep(_site: str, _layer: int, value: torch.Tensor) -> torch.Tensor:
    return value


class PlainLlama:
    """Weights in float32 and a forward pass in which every site can be read or replaced.

    Sites: "read q", "read k", "read v" (the stream a projection reads, before the norm), "pattern"
    `[row, head, dest, src]`, "z" `[row, position, head, d_head]`, "last" (what the final norm reads).
    """

    def __init__(self, folder: Path, file: str = "model.safetensors") -> None:
        self.w = {name.removeprefix("model."): value.float() for name, value in load_file(folder / file).items()}
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.kv_heads, self.epsilon = config["num_key_value_heads"], config["rms_norm_eps"]
        self.positions = config["max_position_embeddings"]
        self.size = config["hidden_size"] // self.heads

    def scale(self, x: torch.Tensor) -> torch.Tensor:
        return (x.square().mean(-1, keepdim=True) + self.epsilon).sqrt()

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x / self.scale(x) * self.w[f"{name}.weight"]

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        """Each pair (i, i + half) of `[row, position, head, d_head]` turned by position * 10000^(-i / half)."""
        half = self.size // 2
        angle = torch.arange(x.shape[1])[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        one, other = x[..., :half], x[..., half:]
        return torch.cat([one * cos - other * sin, other * cos + one * sin], -1)

    def logits(self, ids: torch.Tensor, edit: Callable[[str, int, torch.Tensor], torch.Tensor] = keep) -> torch.Tensor:
        """`[row, position, vocab]`."""
        rows, length = ids.shape
        x = self.w["embed_tokens.weight"][ids]
        for layer in range(self.layers):
            name = f"layers.{layer}"
            q, k, v = (
                (self.norm(f"{name}.input_layernorm", edit(f"read {part}", layer, x))
                 @ self.w[f"{name}.self_attn.{part}_proj.weight"].T).view(rows, length, -1, self.size)
                for part in "qkv"
            )  # fmt: skip
            q, k = self.turned(q), self.turned(k)
            serves = torch.arange(self.heads) // (self.heads // self.kv_heads)
            scores = torch.einsum("rdhe,rshe->rhds", q, k[:, :, serves]) / math.sqrt(self.size)
            scores = scores + torch.full((length, length), -math.inf).triu(1)
            pattern = edit("pattern", layer, scores.softmax(-1))
            z = edit("z", layer, torch.einsum("rhds,rshe->rdhe", pattern, v[:, :, serves]))
            x = x + z.flatten(2) @ self.w[f"{name}.self_attn.o_proj.weight"].T
            # The MLP is left out on purpose: a test holds that its weights are zero.
        x = edit("last", self.layers, x)
        return self.norm("norm", x) @ self.w["lm_head.weight"].T

    def read(self, ids: torch.Tensor) -> tuple[torch.Tensor, dict[tuple[str, int], torch.Tensor]]:
        """The logits and every site by (name, layer)."""
        sites: dict[tuple[str, int], torch.Tensor] = {}

        def note(site: str, layer: int, value: torch.Tensor) -> torch.Tensor:
            sites[site, layer] = value
            return value

        return self.logits(ids, note), sites

    def written(self, sites: dict[tuple[str, int], torch.Tensor], layer: int, head: int) -> torch.Tensor:
        """What a head adds to the stream `[row, position, d]`."""
        weight = self.w[f"layers.{layer}.self_attn.o_proj.weight"].view(-1, self.heads, self.size)[:, head]
        return torch.einsum("rpe,de->rpd", sites["z", layer][:, :, head], weight)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def figures():
    return json.loads((zoo.path(NAME) / "figures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def training():
    return json.loads((zoo.path(NAME) / "training.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(zoo.path(NAME))


@pytest.fixture(scope="module")
def plain():
    return PlainLlama(zoo.path(NAME))


def rows_of(tokenizer, texts):
    return torch.tensor(tokenizer(texts).input_ids)


def said_twice(tokenizer, rows, period, seed):
    rng = random.Random(seed)
    return rows_of(tokenizer, [" ".join(induction_text.repeated(rng, 2 * period, period)) for _ in range(rows)])


def sentences(tokenizer, expected):
    rng = random.Random(expected["seed"])
    return rows_of(tokenizer, [" ".join(induction_text.sentences(rng, 47)) for _ in range(expected["rows"])])


def second_time(logits, ids):
    """Accuracy and loss where the next word is known from the first time."""
    period = ids.shape[1] // 2
    right, loss = [], []
    for at in range(period + 1, 2 * period + 1):
        target = ids[:, at - period + 1]
        right.append((logits[:, at].max(-1).indices == target).float())
        loss.append(logits[:, at].double().logsumexp(-1) - logits[:, at].double().gather(1, target[:, None])[:, 0])
    return torch.stack(right).mean().item(), torch.stack(loss).mean().item()


@pytest.fixture(scope="module")
def twice(figures, plain, tokenizer):
    """The rows of random words, their logits and sites."""
    expected = figures["random"]
    ids = said_twice(tokenizer, expected["rows"], expected["period"], expected["seed"])
    return ids, *plain.read(ids)


def test_accuracy_and_loss_the_second_time(figures, twice):
    ids, logits, _ = twice
    accuracy, loss = second_time(logits, ids)
    assert accuracy == pytest.approx(figures["random"]["accuracy"], **NEAR_TIES)
    assert loss == pytest.approx(figures["random"]["loss"], **CLOSE)


def test_accuracy_by_period(figures, plain, tokenizer):
    for period, expected in figures["periods"].items():
        ids = said_twice(tokenizer, figures["random"]["rows"], int(period), figures["random"]["seed"])
        assert second_time(plain.logits(ids), ids)[0] == pytest.approx(expected, **NEAR_TIES)


def test_scores_on_random_words(figures, twice):
    ids, _, sites = twice
    expected, length = figures["random"], ids.shape[1]
    period = length // 2
    for layer in range(2):
        a = sites["pattern", layer].mean(0)
        previous = sum(a[:, at, at - 1] for at in range(2, length)) / (length - 2)
        own = sum(a[:, at, at] for at in range(1, length)) / (length - 1)
        induction = sum(a[:, at, at - period + 1] for at in range(period + 1, length)) / period
        duplicate = sum(a[:, at, at - period] for at in range(period + 1, length)) / period
        for name, value in (("previous", previous), ("own", own), ("induction", induction), ("duplicate", duplicate)):
            assert value.tolist() == pytest.approx(expected[name][layer], **CLOSE), (name, layer)


def test_scores_on_sentences(figures, plain, tokenizer):
    expected = figures["sentences"]
    ids = sentences(tokenizer, expected)
    _, sites = plain.read(ids)
    for layer in range(2):
        found = {"previous": [], "induction": [], "duplicate": []}
        for row, a in zip(ids.tolist(), sites["pattern", layer], strict=True):
            length = len(row)
            earlier = {at: [j for j in range(1, at) if row[j] == row[at]] for at in range(length)}
            after = {at: [j + 1 for j in js if j + 1 < at] for at, js in earlier.items()}
            found["previous"].append(torch.stack([a[:, at, at - 1] for at in range(2, length)]).mean(0))
            for name, sources in (("induction", after), ("duplicate", earlier)):
                found[name].append(torch.stack([a[:, at, src].sum(-1) for at, src in sources.items() if src]).mean(0))
        for name, value in found.items():
            assert torch.stack(value).mean(0).tolist() == pytest.approx(expected[name][layer], **CLOSE), (name, layer)


def known_nouns(plain, tokenizer, ids):
    """How many nouns follow an adjective that the row had before, and how many of them the top token is."""
    logits = plain.logits(ids)
    right = asked = 0
    for row, scores in zip(ids.tolist(), logits, strict=True):
        words = tokenizer.convert_ids_to_tokens(row)
        for at in range(1, len(words) - 1):
            if words[at] in induction_text.ADJECTIVES and words.index(words[at]) < at:
                asked += 1
                right += scores[at].max(-1).indices.item() == row[at + 1]
    return asked, right


def test_nouns_in_sentences(figures, plain, tokenizer):
    expected = figures["sentences"]
    asked, right = known_nouns(plain, tokenizer, sentences(tokenizer, expected))
    assert asked == expected["questions"] > 100
    assert right / asked == pytest.approx(expected["accuracy"], abs=1e-3)


def test_direct_effects(figures, plain, twice):
    ids, logits, sites = twice
    period = ids.shape[1] // 2
    spans = range(period + 1, 2 * period + 1)
    last = sites["last", 2][:, spans]
    table = plain.w["lm_head.weight"]
    toward = (table[ids[:, 2 : period + 2]] - table.mean(0)) * plain.w["norm.weight"] / plain.scale(last)
    total = 0.0
    for layer in range(2):
        effects = [(plain.written(sites, layer, head)[:, spans] * toward).sum(-1).mean().item() for head in range(4)]
        assert effects == pytest.approx(figures["random"]["direct"]["heads"][layer], abs=1e-3)
        total += sum(effects)
    right = logits[:, spans].gather(2, ids[:, 2 : period + 2, None])[..., 0] - logits[:, spans].mean(-1)
    assert right.mean().item() - total == pytest.approx(figures["random"]["direct"]["rest"], abs=1e-3)


def zeroed(chosen):
    def edit(site, layer, value):
        if site != "z":
            return value
        return torch.stack([value[:, :, h] * ((layer, h) not in chosen) for h in range(value.shape[2])], 2)

    return edit


def test_heads_set_to_zero(figures, plain, twice):
    ids, expected = twice[0], figures["random"]

    def accuracy(*chosen):
        return second_time(plain.logits(ids, zeroed(chosen)), ids)[0]

    for layer in range(2):
        found = [accuracy((layer, head)) for head in range(4)]
        assert found == pytest.approx(expected["accuracy_without"][layer], **NEAR_TIES)
        every = accuracy(*((layer, head) for head in range(4)))
        assert every == pytest.approx(expected["accuracy_without_layer"][layer], **NEAR_TIES)
    only = [accuracy(*((1, other) for other in range(4) if other != head)) for head in range(4)]
    assert only == pytest.approx(expected["accuracy_with_only"], **NEAR_TIES)


@pytest.mark.parametrize("reader", ["q", "k", "v"])
def test_what_layer_1_reads_of_layer_0(figures, plain, twice, reader):
    ids, _, sites = twice
    period = ids.shape[1] // 2
    for head in range(4):
        wrote = plain.written(sites, 0, head)
        patterns = {}

        def edit(site, layer, value, wrote=wrote, patterns=patterns):
            if site == "pattern":
                patterns[layer] = value
            return value - wrote if (site, layer) == (f"read {reader}", 1) else value

        accuracy, _ = second_time(plain.logits(ids, edit), ids)
        a = patterns[1].mean((0, 1))
        induction = sum(a[at, at - period + 1].item() for at in range(period + 1, 2 * period + 1)) / period
        unread = figures["random"]["unread"]
        assert accuracy == pytest.approx(unread["accuracy"][reader][head], **NEAR_TIES)
        assert induction == pytest.approx(unread["induction"][reader][head], **CLOSE)


def text_loss(plain, expected):
    total = 0.0
    fresh = induction_text.batches(tiny_induction.tokenizer(), expected["seed"])
    for batch in itertools.islice(fresh, expected["batches"]):
        chances = plain.logits(batch.ids)[:, :-1].log_softmax(-1)
        total -= chances.gather(2, batch.ids[:, 1:, None]).mean().item()
    return total / expected["batches"]


def test_loss_on_fresh_text(figures, plain):
    assert text_loss(plain, figures["text"]) == pytest.approx(figures["text"]["loss"], **CLOSE)


def test_the_steps_that_ship(figures, tokenizer):
    folder, group = zoo.path(NAME), figures["random"]
    ids = said_twice(tokenizer, group["rows"], group["period"], group["seed"])
    text = sentences(tokenizer, figures["sentences"])
    period, length = ids.shape[1] // 2, ids.shape[1]
    steps = [row["step"] for row in figures["steps"]]
    assert steps == [*tiny_induction.KEEP, tiny_induction.STEPS]
    for expected in figures["steps"]:
        last = expected["step"] == tiny_induction.STEPS
        plain = PlainLlama(folder, "model.safetensors" if last else f"model.step{expected['step']}.safetensors")
        logits, sites = plain.read(ids)
        accuracy, loss = second_time(logits, ids)
        assert accuracy == pytest.approx(expected["accuracy"], **NEAR_TIES)
        assert loss == pytest.approx(expected["loss"], **CLOSE)
        assert text_loss(plain, figures["text"]) == pytest.approx(expected["text_loss"], **CLOSE)
        asked, right = known_nouns(plain, tokenizer, text)
        assert right / asked == pytest.approx(expected["noun_accuracy"], abs=4e-3)
        for layer in range(2):
            a = sites["pattern", layer].mean(0)
            previous = [a[head].diagonal(-1)[1:].mean().item() for head in range(4)]
            induction = sum(a[:, at, at - period + 1] for at in range(period + 1, length)) / period
            assert previous == pytest.approx(expected["previous"][layer], **CLOSE)
            assert induction.tolist() == pytest.approx(expected["induction"][layer], **CLOSE)


def test_the_steps_show_the_change(figures):
    rows = {row["step"]: row for row in figures["steps"]}
    assert len(rows) >= 10
    assert sum(450 <= step <= 800 for step in rows) >= 6
    assert rows[400]["accuracy"] < 0.2
    assert rows[800]["accuracy"] > 0.9
    assert max(rows[400]["previous"][0]) < 0.2
    assert max(rows[800]["previous"][0]) > 0.6
    assert min(rows[800]["induction"][1]) > 0.6


def test_the_examples(figures, plain, tokenizer):
    for demo in figures["demos"]:
        chances = plain.logits(rows_of(tokenizer, [demo["prompt"]]))[0, -1].softmax(-1)
        top = chances.max(-1)
        assert tokenizer.decode([top.indices]) == demo["top"] == demo["answer"]
        assert top.values.item() == pytest.approx(demo["probability"], **CLOSE)


def test_sizes_and_the_mlps_that_are_zero(figures, plain, tokenizer):
    weights = plain.w
    mlps = {name: value for name, value in weights.items() if ".mlp." in name}
    assert len(mlps) == 6
    assert all(not value.any() for value in mlps.values())
    assert figures["model"] == {
        "parameters": sum(value.numel() for value in weights.values()),
        "idle_parameters": sum(value.numel() for value in mlps.values()),
        "vocabulary": len(tokenizer),
        "positions": plain.positions,
    }


def test_it_is_good_enough_to_show(figures):
    found = figures["random"]
    assert found["accuracy"] > 0.99
    assert max(found["previous"][0]) > 0.7
    assert min(found["induction"][1]) > 0.7


def test_the_card_is_written_from_the_figures(figures, training):
    card = (zoo.path(NAME) / "README.md").read_text(encoding="utf-8")
    assert card == induction_card.card(figures, training)
    for row in figures["steps"]:
        assert f"| {row['step']} | {row['text_loss']:.3f} | {row['accuracy']:.3f} |" in card
    for row in training["seeds"]:
        assert f"| {row['loss']:.3f} |" in card
    assert f"{figures['model']['parameters']:,} parameters" in card


def test_the_shipped_seed_is_the_one_with_the_most_merit(figures, training):
    rows = {row["seed"]: row for row in training["seeds"]}
    assert len(rows) >= 4
    shipped = rows[training["seed"]]
    assert {name: shipped[name] for name in induction_measure.headline(figures)} == induction_measure.headline(figures)

    def merit(row):
        return row["accuracy"] + row["noun_accuracy"] + 0.1 * (row["previous"] + row["induction"])

    assert merit(shipped) == max(merit(row) for row in rows.values())
