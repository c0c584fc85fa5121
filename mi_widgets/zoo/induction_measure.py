"""Every figure of the tiny-induction model card, measured on the saved folder and its training steps.

The result is plain data, written as `figures.json` beside the weights. Each group names the rows it was
measured on by how many there are and by the seed that draws them.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

from mi_widgets.zoo import induction_text
from mi_widgets.zoo.figures import rounded
from mi_widgets.zoo.induction_probe import (
    Probe,
    Run,
    followers,
    offset_scores,
    own,
    previous,
    second,
    text_scores,
)
from mi_widgets.zoo.train import loss_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch
    from transformers import LlamaForCausalLM

ROWS = 64
PERIOD = 20
SEED = 1
PERIODS = (5, 10, 20, 25, 30, 40, 60)
SENTENCES_SEED = 20_000
SENTENCES_LENGTH = 47
TEXT_BATCHES = 10
TEXT_SEED = 40_000
DEMOS: tuple[tuple[str, str], ...] = (
    ("fox lamp river coat bell song fox lamp river coat", "bell"),
    ("fox lamp river coat drum song fox lamp river coat", "drum"),
    ("the old cat sees the green boat . the old", "cat"),
    ("the old king sees the green boat . the old", "king"),
)
READERS = ("q", "k", "v")


def accuracy(probe: Probe, period: int, run: Run | None = None) -> tuple[float, float]:
    """Share of right top tokens over the second of two mentions, and the loss there in nats."""
    ids = probe.repeated(ROWS, period, SEED)
    logits = (run or probe.run(ids)).logits[:, second(ids)]
    targets = followers(ids)
    right = (logits.argmax(-1) == targets).float().mean()
    loss = -logits.log_softmax(-1).gather(2, targets[..., None]).mean()
    return float(right), float(loss)


def sentences(probe: Probe) -> torch.Tensor:
    """`[row, position]`: the rows of text that are measured."""
    rng = random.Random(SENTENCES_SEED)
    return probe.ids([induction_text.sentences(rng, SENTENCES_LENGTH) for _ in range(ROWS)])


def known_nouns(probe: Probe, ids: torch.Tensor) -> list[tuple[int, int]]:
    """(row, position) of each adjective that the row said before: the noun that follows is known."""
    words = [probe.tokenizer.convert_ids_to_tokens(row) for row in ids.tolist()]
    return [
        (row, at)
        for row, line in enumerate(words)
        for at, word in enumerate(line[:-1])
        if word in induction_text.ADJECTIVES and word in line[:at]
    ]


def noun_accuracy(ids: torch.Tensor, logits: torch.Tensor, asked: Sequence[tuple[int, int]]) -> float:
    """Share of right nouns at the positions asked."""
    return sum(int(logits[row, at].argmax() == ids[row, at + 1]) for row, at in asked) / len(asked)


def _text_loss(probe: Probe) -> float:
    import torch

    fresh = itertools.islice(induction_text.batches(probe.tokenizer, TEXT_SEED), TEXT_BATCHES)
    with torch.no_grad():
        return sum(float(loss_of(probe.model, batch)) for batch in fresh) / TEXT_BATCHES


def _random(probe: Probe) -> dict[str, Any]:
    ids = probe.repeated(ROWS, PERIOD, SEED)
    run = probe.run(ids)
    induction, duplicate = offset_scores(run.patterns)
    direct, rest = probe.direct(run, followers(ids), second(ids))
    right, loss = accuracy(probe, PERIOD, run)
    layers, heads = range(len(probe.layers)), range(probe.heads)

    def without(zero: list[tuple[int, int]]) -> float:
        return accuracy(probe, PERIOD, probe.run(ids, zero=zero))[0]

    unread: dict[str, Any] = {"accuracy": {}, "induction": {}}
    for reader in READERS:
        runs = [probe.run(ids, unread=(head, reader)) for head in heads]
        unread["accuracy"][reader] = [accuracy(probe, PERIOD, one)[0] for one in runs]
        unread["induction"][reader] = [float(offset_scores(one.patterns)[0][1].mean()) for one in runs]
    return {
        "rows": ROWS,
        "seed": SEED,
        "period": PERIOD,
        "accuracy": right,
        "loss": loss,
        "previous": previous(run.patterns),
        "own": own(run.patterns),
        "induction": induction,
        "duplicate": duplicate,
        "direct": {"heads": direct, "rest": rest},
        "accuracy_without": [[without([(layer, head)]) for head in heads] for layer in layers],
        "accuracy_without_layer": [without([(layer, head) for head in heads]) for layer in layers],
        "accuracy_with_only": [without([(1, other) for other in heads if other != head]) for head in heads],
        "unread": unread,
    }


def _sentences(probe: Probe) -> dict[str, Any]:
    ids = sentences(probe)
    run = probe.run(ids)
    asked = known_nouns(probe, ids)
    induction, duplicate = text_scores(run.patterns, ids)
    return {
        "rows": ROWS,
        "seed": SENTENCES_SEED,
        "questions": len(asked),
        "accuracy": noun_accuracy(ids, run.logits, asked),
        "previous": previous(run.patterns),
        "own": own(run.patterns),
        "induction": induction,
        "duplicate": duplicate,
    }


def step_figures(probe: Probe, step: int) -> dict[str, Any]:
    """What the card tells of one training step."""
    ids, text = probe.repeated(ROWS, PERIOD, SEED), sentences(probe)
    run = probe.run(ids)
    right, loss = accuracy(probe, PERIOD, run)
    return {
        "step": step,
        "text_loss": _text_loss(probe),
        "accuracy": right,
        "loss": loss,
        "noun_accuracy": noun_accuracy(text, probe.run(text).logits, known_nouns(probe, text)),
        "previous": previous(run.patterns),
        "induction": offset_scores(run.patterns)[0],
    }


def load(folder: Path, step: int | None = None) -> Probe:
    """The model of a saved folder, or of one of its training steps, ready to be measured."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    variant = None if step is None else f"step{step}"
    model: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(
        folder, variant=variant, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    return Probe(model, tokenizer)


def _demos(probe: Probe) -> list[dict[str, Any]]:
    rows = []
    for prompt, answer in DEMOS:
        chances = probe.run(probe.ids([prompt.split()])).logits[0, -1].softmax(-1)
        top = int(chances.argmax())
        rows.append(
            {
                "prompt": prompt,
                "answer": answer,
                "top": probe.tokenizer.convert_ids_to_tokens(top),
                "probability": float(chances[probe.tokenizer.convert_tokens_to_ids(answer)]),
            }
        )
    return rows


def measure(folder: Path, keep: Sequence[int], steps: int) -> dict[str, Any]:
    """The figures of a saved tiny-induction model.

    Args:
        folder: What `train.save` wrote.
        keep: The training steps that lie in it as variants.
        steps: The step of the finished model.

    Returns:
        Data for `figures.json`, numbers rounded to four decimals; lists are `[layer][head]`, or
        `[head]` of layer 0 under "unread".
    """
    probe = load(folder)
    config = probe.model.config
    return rounded(
        {
            "model": {
                "parameters": sum(p.numel() for p in probe.model.parameters()),
                "idle_parameters": sum(p.numel() for layer in probe.layers for p in layer.mlp.parameters()),
                "vocabulary": len(probe.tokenizer),
                "positions": config.max_position_embeddings,
            },
            "text": {"batches": TEXT_BATCHES, "seed": TEXT_SEED, "loss": _text_loss(probe)},
            "random": _random(probe),
            "periods": {str(period): accuracy(probe, period)[0] for period in PERIODS},
            "sentences": _sentences(probe),
            "steps": [*(step_figures(load(folder, step), step) for step in keep), step_figures(probe, steps)],
            "demos": _demos(probe),
        }
    )


def merit(figures: Mapping[str, Any]) -> float:
    """What the best seed has most of: right answers first, then heads that are plainly what they are."""
    found = headline(figures)
    return found["accuracy"] + found["noun_accuracy"] + 0.1 * (found["previous"] + found["induction"])


def headline(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a seed's row in the model card."""
    random_rows = figures["random"]
    return {
        "loss": figures["text"]["loss"],
        "accuracy": random_rows["accuracy"],
        "noun_accuracy": figures["sentences"]["accuracy"],
        "previous": max(random_rows["previous"][0]),
        "induction": min(random_rows["induction"][1]),
    }
