"""Every figure of the tiny-addition model card, measured on the saved folder and its training steps.

The result is plain data, written as `figures.json` beside the weights. Every figure is over all pairs of
numbers, so there is nothing to draw and no seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mi_widgets.zoo.addition_pairs import MODULUS
from mi_widgets.zoo.addition_probe import (
    FREQUENCIES,
    Probe,
    Run,
    logit_shares,
    neuron_shares,
    pair_shares,
    waves,
    without_waves,
)
from mi_widgets.zoo.figures import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch
    from transformers import GPT2LMHeadModel

KEY_SHARE = 0.01
"""A frequency is a key one if it explains at least this share of the logits' variance."""
NEURON_SHARE = 0.85
"""A neuron belongs to a frequency that explains at least this share of its variance."""
SOURCES = ("<bos>", "a", "+", "b", "=")
DEMOS: tuple[tuple[str, str], ...] = (("12 + 45 =", "57"), ("60 + 45 =", "8"), ("96 + 96 =", "95"))


def _by_group(probe: Probe, values: torch.Tensor) -> dict[str, float]:
    return {
        "all": float(values.mean()),
        "trained": float(values[probe.trained].mean()),
        "held_out": float(values[~probe.trained].mean()),
    }


def _fourier(probe: Probe, run: Run) -> dict[str, Any]:
    numbers = run.logits[:, probe.numbers]
    of_sum, shares = logit_shares(numbers)
    keys = [frequency for frequency, share in zip(FREQUENCIES, shares, strict=True) if share >= KEY_SHARE]
    keys.sort(key=lambda frequency: -shares[frequency - 1])
    stripped = probe.numbers[without_waves(numbers, keys).argmax(-1)] == probe.numbers[probe.sums]
    return {
        "of_sum": of_sum,
        "keys": keys,
        "shares": shares,
        "explained": sum(shares[frequency - 1] for frequency in keys),
        "accuracy_without": float(stripped.float().mean()),
        "embedding": _embedding(probe, keys),
    }


def _embedding(probe: Probe, keys: Sequence[int]) -> dict[str, Any]:
    table = probe.model.transformer.wte.weight.detach()[probe.numbers]
    mean = table.mean(0)
    shares = (waves(FREQUENCIES) @ (table - mean).double()).pow(2).view(len(FREQUENCIES), -1).sum(-1)
    shares /= (table - mean).double().pow(2).sum()
    basis = waves(keys)
    in_keys = (basis.T @ (basis @ table.double())).float()
    with probe.numbers_as(mean + in_keys):
        only = probe.accuracy(probe.run().logits)
    with probe.numbers_as(table - in_keys):
        without = probe.accuracy(probe.run().logits)
    return {
        "shares": shares,
        "explained": float(sum(shares[frequency - 1] for frequency in keys)),
        "accuracy_only": only,
        "accuracy_without": without,
    }


def _heads(probe: Probe, run: Run) -> dict[str, Any]:
    direct, _, _ = probe.direct(run)

    def without(head: int, to: torch.Tensor) -> float:
        columns = slice(head * probe.size, (head + 1) * probe.size)

        def replace(z: torch.Tensor) -> torch.Tensor:
            z[:, columns] = to[columns]
            return z

        return probe.accuracy(probe.run(z=replace).logits)

    mean = run.z.mean(0)
    heads = range(probe.heads)
    return {
        "attention": run.pattern.mean(0),
        "spread": run.pattern.std(0, unbiased=False),
        "direct": direct,
        "accuracy_zero": [without(head, mean * 0) for head in heads],
        "accuracy_mean": [without(head, mean) for head in heads],
    }


def _mlp(probe: Probe, run: Run, keys: Sequence[int]) -> dict[str, Any]:
    _, direct, rest = probe.direct(run)
    mean = run.mlp_out.mean(0)
    shares = neuron_shares(run.neurons)
    idle = int(shares[0].isnan().sum())
    best = shares.nan_to_num(-1).max(0)
    owner = [
        int(frequency) + 1
        for share, frequency in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        if share >= NEURON_SHARE
    ]
    return {
        "direct": direct,
        "rest": rest,
        "accuracy_zero": probe.accuracy(probe.run(mlp=mean * 0).logits),
        "accuracy_mean": probe.accuracy(probe.run(mlp=mean).logits),
        "neurons": {
            "all": run.neurons.shape[1],
            "idle": idle,
            "of_one_frequency": len(owner),
            "by_key": {str(key): owner.count(key) for key in keys},
        },
    }


def _depends(run: Run) -> dict[str, Any]:
    rows = {}
    for name, values in (("attn_out", run.attn_out), ("mlp_out", run.mlp_out), ("last", run.last)):
        additive, of_sum = pair_shares(values)
        rows[name] = {"additive": additive, "of_sum": of_sum}
    return rows


def step_figures(probe: Probe, step: int, keys: Sequence[int]) -> dict[str, Any]:
    """What the card tells of one training step; `keys` are the finished model's."""
    logits = probe.run().logits
    _, shares = logit_shares(logits[:, probe.numbers])
    return {
        "step": step,
        "accuracy": _by_group(probe, probe.right(logits)),
        "loss": _by_group(probe, probe.losses(logits)),
        "explained": sum(shares[key - 1] for key in keys),
        "weights": float(sum(p.detach().double().pow(2).sum() for p in probe.model.parameters() if p.ndim > 1) ** 0.5),
    }


def load(folder: Path, step: int | None = None) -> Probe:
    """The model of a saved folder, or of one of its training steps, ready to be measured."""
    import torch
    from transformers import AutoTokenizer, GPT2LMHeadModel

    variant = None if step is None else f"step{step}"
    model: GPT2LMHeadModel = GPT2LMHeadModel.from_pretrained(
        folder, variant=variant, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    return Probe(model, tokenizer)


def _demos(probe: Probe, run: Run) -> list[dict[str, Any]]:
    rows = []
    for prompt, answer in DEMOS:
        a, _, b, _ = prompt.split()
        chances = run.logits[MODULUS * int(a) + int(b)].softmax(-1)
        rows.append(
            {
                "prompt": prompt,
                "answer": answer,
                "top": probe.tokenizer.convert_ids_to_tokens(int(chances.argmax())),
                "probability": float(chances[probe.numbers[int(answer)]]),
            }
        )
    return rows


def measure(folder: Path, keep: Sequence[int], steps: int) -> dict[str, Any]:
    """The figures of a saved tiny-addition model.

    Args:
        folder: What `train.save` wrote.
        keep: The training steps that lie in it as variants.
        steps: The step of the finished model.

    Returns:
        Data for `figures.json`, numbers rounded to four decimals; lists are `[head]`, `[head][source]`
        or `[frequency - 1]`.
    """
    probe = load(folder)
    run = probe.run()
    fourier = _fourier(probe, run)
    keys = fourier["keys"]
    return rounded(
        {
            "model": {
                "parameters": sum(p.numel() for p in probe.model.parameters()),
                "vocabulary": len(probe.tokenizer),
                "positions": probe.model.config.n_positions,
            },
            "pairs": {"all": len(probe.sums), "trained": int(probe.trained.sum())},
            "accuracy": _by_group(probe, probe.right(run.logits)),
            "loss": _by_group(probe, probe.losses(run.logits)),
            "fourier": fourier,
            "heads": _heads(probe, run),
            "mlp": _mlp(probe, run, keys),
            "depends": _depends(run),
            "steps": [
                *(step_figures(load(folder, step), step, keys) for step in keep),
                step_figures(probe, steps, keys),
            ],
            "demos": _demos(probe, run),
        }
    )


def merit(figures: Mapping[str, Any]) -> float:
    """What the best seed has most of: right sums first, then logits that few frequencies explain."""
    return figures["accuracy"]["all"] + 0.1 * figures["fourier"]["explained"]


def headline(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a seed's row in the model card."""
    return {
        "accuracy": figures["accuracy"]["all"],
        "held_out": figures["accuracy"]["held_out"],
        "loss": figures["loss"]["held_out"],
        "keys": len(figures["fourier"]["keys"]),
        "explained": figures["fourier"]["explained"],
    }
