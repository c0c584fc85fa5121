"""Every figure of the tiny-addition card, computed again from the shipped weights by other means.

The model here is written out in plain PyTorch over the safetensors files, for the one position that is read:
what a head sees of a number depends on the number and its place alone. Waves are numpy's Fourier transform.
"""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from mi_widgets import zoo
from mi_widgets.zoo import addition_card, addition_measure, addition_pairs, tiny_addition

NAME = "tiny-addition"
P = 97
# Figures are rounded to four decimals; a near tie among 9,409 pairs may fall either way.
CLOSE = {"abs": 3e-4}
LOGITS = {"abs": 2e-3}


class PlainAddition:
    """Weights in float32, and what happens at "=" for every pair (a, b), `[a, b, ...]`."""

    def __init__(self, folder, file="model.safetensors"):
        self.w = {name.removeprefix("transformer."): value.float() for name, value in load_file(folder / file).items()}
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.heads, self.epsilon, self.positions = config["n_head"], config["layer_norm_epsilon"], config["n_positions"]
        self.width = config["n_embd"]
        vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        self.bos, self.plus, self.equals = vocabulary["<bos>"], vocabulary["+"], vocabulary["="]
        self.numbers = torch.tensor([vocabulary[str(number)] for number in range(P)])

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred * self.scale(x) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def scale(self, x):
        return (x - x.mean(-1, keepdim=True)).square().mean(-1, keepdim=True).add(self.epsilon).rsqrt()

    def run(self, numbers=None, z_edit=lambda z: z, mlp_edit=lambda out: out):
        """Every reading at "=".

        Args:
            numbers: Embeddings of the numbers `[97, d]`, or None for the model's own.
            z_edit: Changes z `[a, b, head, d_head]`.
            mlp_edit: Changes the MLP's output `[a, b, d]`.
        """
        w, table = self.w, self.w["wte.weight"]
        numbers = table[self.numbers] if numbers is None else numbers
        at = w["wpe.weight"]
        single = [table[token] + at[place] for token, place in ((self.bos, 0), (self.plus, 2), (self.equals, 4))]
        rows = torch.cat([torch.stack(single), numbers + at[1], numbers + at[3]])
        qkv = self.norm("h.0.ln_1", rows) @ w["h.0.attn.c_attn.weight"] + w["h.0.attn.c_attn.bias"]
        q, k, v = (part.view(len(rows), self.heads, -1) for part in qkv.split(self.width, -1))
        scores = torch.einsum("he,rhe->rh", q[2], k) / math.sqrt(q.shape[-1])
        a, b = torch.meshgrid(torch.arange(P) + 3, torch.arange(P) + 3 + P, indexing="ij")
        source = torch.stack([torch.zeros_like(a), a, torch.ones_like(a), b, torch.full_like(a, 2)], -1)
        pattern = scores[source].softmax(2)
        z = z_edit(torch.einsum("absh,abshe->abhe", pattern, v[source]))
        attn_out = z.flatten(2) @ w["h.0.attn.c_proj.weight"] + w["h.0.attn.c_proj.bias"]
        x = rows[2] + attn_out
        neurons = (self.norm("h.0.ln_2", x) @ w["h.0.mlp.c_fc.weight"] + w["h.0.mlp.c_fc.bias"]).clamp(min=0)
        mlp_out = mlp_edit(neurons @ w["h.0.mlp.c_proj.weight"] + w["h.0.mlp.c_proj.bias"])
        last = x + mlp_out
        return {
            "pattern": pattern,
            "z": z,
            "attn_out": attn_out,
            "neurons": neurons,
            "mlp_out": mlp_out,
            "last": last,
            "logits": self.norm("ln_f", last) @ w["lm_head.weight"].T,
        }

    def right(self, logits):
        return (logits.max(-1).indices == self.numbers[sums()]).double()

    def accuracy(self, **changes):
        return self.right(self.run(**changes)["logits"]).mean().item()


def sums():
    return (torch.arange(P)[:, None] + torch.arange(P)) % P


def by_group(values):
    trained = torch.zeros(P, P, dtype=torch.bool)
    for a, b in addition_pairs.trained_pairs():
        trained[a, b] = True
    return {
        "all": values.mean().item(),
        "trained": values[trained].mean().item(),
        "held_out": values[~trained].mean().item(),
    }


def losses(plain, logits):
    right = logits.double().gather(2, plain.numbers[sums()][..., None])[..., 0]
    return logits.double().logsumexp(-1) - right


def sum_waves(numbers):
    """The centred logits as a function of c - a - b, its Fourier powers, and the total variance."""
    grid = numbers.double().numpy()
    grid = grid - grid.mean(2, keepdims=True)
    mean = np.array([grid[np.arange(P)[:, None], np.arange(P), (sums().numpy() + d) % P].mean() for d in range(P)])
    powers = 2 * np.abs(np.fft.rfft(mean) / P)[1:] ** 2
    return mean, powers, (grid**2).mean()


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
def plain():
    return PlainAddition(zoo.path(NAME))


@pytest.fixture(scope="module")
def run(plain):
    return plain.run()


def test_the_plain_model_is_the_shipped_one(run):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(zoo.path(NAME), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(zoo.path(NAME))
    with torch.no_grad():
        logits = model(**tokenizer(["12 + 45 =", "96+0="], return_tensors="pt")).logits[:, -1]
    torch.testing.assert_close(logits, torch.stack([run["logits"][12, 45], run["logits"][96, 0]]), atol=1e-3, rtol=0)


def test_the_split_keeps_mirror_images_together(figures):
    trained = addition_pairs.trained_pairs()
    assert all((b, a) in trained for a, b in trained)
    assert figures["pairs"] == {"all": P * P, "trained": len(trained)}
    assert len(trained) / P**2 == pytest.approx(addition_pairs.TRAIN_FRACTION, abs=0.01)


def test_accuracy_and_loss(figures, plain, run):
    assert by_group(plain.right(run["logits"])) == pytest.approx(figures["accuracy"], **CLOSE)
    assert by_group(losses(plain, run["logits"])) == pytest.approx(figures["loss"], **CLOSE)


def test_waves_in_the_logits(figures, plain, run):
    expected = figures["fourier"]
    numbers = run["logits"][:, :, plain.numbers]
    mean, powers, total = sum_waves(numbers)
    assert (mean**2).mean() / total == pytest.approx(expected["of_sum"], **CLOSE)
    assert (powers / total).tolist() == pytest.approx(expected["shares"], **CLOSE)
    keys = [int(k) + 1 for k in np.argsort(-powers) if powers[k] / total >= 0.01]
    assert keys == expected["keys"]
    assert sum(powers[k - 1] for k in keys) / total == pytest.approx(expected["explained"], abs=1e-3)
    spectrum = np.fft.rfft(mean)
    spectrum[[k for k in range(len(spectrum)) if k not in keys]] = 0
    waves = torch.tensor(np.fft.irfft(spectrum, P))
    stripped = numbers - waves[(torch.arange(P) - sums()[..., None]) % P]
    right = (stripped.max(-1).indices == sums()).double().mean().item()
    assert right == pytest.approx(expected["accuracy_without"], **CLOSE)


def test_waves_in_the_number_embeddings(figures, plain):
    expected, keys = figures["fourier"]["embedding"], figures["fourier"]["keys"]
    table = plain.w["wte.weight"][plain.numbers].double().numpy()
    spectrum = np.fft.rfft(table, axis=0)
    powers = (np.abs(spectrum[1:]) ** 2).sum(1)
    assert (powers / powers.sum()).tolist() == pytest.approx(expected["shares"], **CLOSE)
    explained = powers[[k - 1 for k in keys]].sum() / powers.sum()
    assert explained == pytest.approx(expected["explained"], **CLOSE)

    def of(kept):
        part = np.where(np.isin(np.arange(len(spectrum)), [0, *kept])[:, None], spectrum, 0)
        return torch.tensor(np.fft.irfft(part, P, axis=0)).float()

    others = [k for k in range(1, len(spectrum)) if k not in keys]
    assert plain.accuracy(numbers=of(keys)) == pytest.approx(expected["accuracy_only"], **CLOSE)
    assert plain.accuracy(numbers=of(others)) == pytest.approx(expected["accuracy_without"], **CLOSE)


def test_heads(figures, plain, run):
    expected = figures["heads"]
    pattern = run["pattern"].permute(3, 2, 0, 1).flatten(2).double()
    for head in range(4):
        assert pattern[head].mean(-1).tolist() == pytest.approx(expected["attention"][head], **CLOSE)
        deviation = pattern[head].var(-1, unbiased=False).sqrt()
        assert deviation.tolist() == pytest.approx(expected["spread"][head], **CLOSE)

        def replaced(to, z, head=head):
            return torch.cat([z[:, :, :head], to[head : head + 1].expand(P, P, 1, -1), z[:, :, head + 1 :]], 2)

        mean = run["z"].mean((0, 1))
        for name, to in (("zero", torch.zeros_like(mean)), ("mean", mean)):
            accuracy = plain.accuracy(z_edit=partial(replaced, to))
            assert accuracy == pytest.approx(expected[f"accuracy_{name}"][head], **CLOSE)


def test_direct_effects(figures, plain, run):
    w, right = plain.w, plain.numbers[sums()]
    toward = (w["lm_head.weight"][right] - w["lm_head.weight"].mean(0)) * w["ln_f.weight"] * plain.scale(run["last"])
    toward = toward - toward.mean(-1, keepdim=True)
    out = w["h.0.attn.c_proj.weight"].view(4, -1, plain.width)
    heads = [(run["z"][:, :, head] @ out[head] * toward).sum(-1).mean().item() for head in range(4)]
    mlp = (run["mlp_out"] * toward).sum(-1).mean().item()
    logits = run["logits"]
    total = (logits.gather(2, right[..., None])[..., 0] - logits.mean(-1)).mean().item()
    assert heads == pytest.approx(figures["heads"]["direct"], **LOGITS)
    assert mlp == pytest.approx(figures["mlp"]["direct"], **LOGITS)
    assert total - sum(heads) - mlp == pytest.approx(figures["mlp"]["rest"], **LOGITS)


def test_the_mlp_taken_away(figures, plain, run):
    zero = plain.accuracy(mlp_edit=lambda out: out * 0)
    mean = plain.accuracy(mlp_edit=lambda out: run["mlp_out"].mean((0, 1)).expand_as(out))
    assert zero == pytest.approx(figures["mlp"]["accuracy_zero"], **CLOSE)
    assert mean == pytest.approx(figures["mlp"]["accuracy_mean"], **CLOSE)


def test_neurons_of_one_frequency(figures, run):
    expected = figures["mlp"]["neurons"]
    grid = run["neurons"].double().numpy()
    powers = np.abs(np.fft.fft2(grid, axes=(0, 1))) ** 2
    powers[0, 0] = 0
    total = powers.sum((0, 1))
    idle = total < 1e-12
    owners = []
    for k in range(1, P // 2 + 1):
        rows = [0, k, P - k]
        share = powers[np.ix_(rows, rows)].sum((0, 1)) / np.where(idle, np.inf, total)
        owners += [k] * int((share >= 0.85).sum())
    assert expected["all"] == grid.shape[2]
    assert expected["idle"] == idle.sum()
    assert expected["of_one_frequency"] == len(owners)
    assert expected["by_key"] == {str(key): owners.count(key) for key in figures["fourier"]["keys"]}


def test_what_each_part_depends_on(figures, run):
    for name, expected in figures["depends"].items():
        grid = run[name].double()
        total = grid.var((0, 1), unbiased=False).sum()
        of_a, of_b = grid.mean(1), grid.mean(0)
        additive = (of_a.var(0, unbiased=False) + of_b.var(0, unbiased=False)).sum() / total
        by_sum = torch.stack([grid[sums() == total_of].mean(0) for total_of in range(P)])
        assert additive.item() == pytest.approx(expected["additive"], **CLOSE)
        assert (by_sum.var(0, unbiased=False).sum() / total).item() == pytest.approx(expected["of_sum"], **CLOSE)


def test_the_steps_that_ship(figures):
    steps = [row["step"] for row in figures["steps"]]
    assert steps == [*tiny_addition.KEEP, tiny_addition.STEPS]
    for expected in figures["steps"]:
        last = expected["step"] == tiny_addition.STEPS
        file = "model.safetensors" if last else f"model.step{expected['step']}.safetensors"
        plain = PlainAddition(zoo.path(NAME), file)
        logits = plain.run()["logits"]
        assert by_group(plain.right(logits)) == pytest.approx(expected["accuracy"], **CLOSE)
        assert by_group(losses(plain, logits)) == pytest.approx(expected["loss"], **CLOSE)
        _, powers, total = sum_waves(logits[:, :, plain.numbers])
        explained = sum(powers[key - 1] for key in figures["fourier"]["keys"]) / total
        assert explained == pytest.approx(expected["explained"], abs=1e-3)
        norm = math.sqrt(sum(value.double().square().sum().item() for value in plain.w.values() if value.ndim > 1))
        assert norm == pytest.approx(expected["weights"], **CLOSE)


def test_the_steps_show_memory_first_and_the_rule_later(figures):
    rows = figures["steps"]
    by_heart = next(row for row in rows if row["accuracy"]["trained"] > 0.99)
    assert by_heart["accuracy"]["held_out"] < 0.2
    assert rows[-1]["accuracy"]["held_out"] > 0.99
    assert rows[-1]["accuracy"]["all"] > 0.99


def test_the_examples(figures, plain, run):
    for demo in figures["demos"]:
        a, b = (int(word) for word in demo["prompt"].removesuffix(" =").split(" + "))
        chances = run["logits"][a, b].softmax(-1)
        top = chances.max(-1)
        assert demo["top"] == demo["answer"] == str((a + b) % P)
        assert top.indices == plain.numbers[(a + b) % P]
        assert top.values.item() == pytest.approx(demo["probability"], **CLOSE)


def test_sizes(figures, plain):
    tokenizer = AutoTokenizer.from_pretrained(zoo.path(NAME))
    assert figures["model"] == {
        "parameters": sum(value.numel() for value in plain.w.values()),
        "vocabulary": len(tokenizer),
        "positions": plain.positions,
    }


def test_the_card_is_written_from_the_figures(figures, training):
    card = (zoo.path(NAME) / "README.md").read_text(encoding="utf-8")
    assert card == addition_card.card(figures, training)
    for key in figures["fourier"]["keys"]:
        assert f"| {key} | {figures['fourier']['shares'][key - 1]:.4f} |" in card
    for head, value in enumerate(figures["heads"]["direct"]):
        row = next(line for line in card.splitlines() if line.startswith(f"| L0H{head} |"))
        assert f" {value:+.2f} " in row
    assert f"{figures['model']['parameters']:,} parameters" in card


def test_the_shipped_seed_is_the_one_with_the_most_merit(figures, training):
    rows = {row["seed"]: row for row in training["seeds"]}
    assert len(rows) >= 3
    shipped = rows[training["seed"]]
    assert {name: shipped[name] for name in addition_measure.headline(figures)} == addition_measure.headline(figures)

    def merit(row):
        return row["accuracy"] + 0.1 * row["explained"]

    assert merit(shipped) == max(merit(row) for row in rows.values())
