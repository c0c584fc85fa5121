"""Every figure of the tiny-names model card, measured on the saved folder.

The result is plain data, written as `figures.json` beside the weights. Each group names the prompts it
was measured on by how many there are and by the seed that draws them.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

from mi_widgets.zoo import names_batches, names_text, names_words
from mi_widgets.zoo.figures import rounded
from mi_widgets.zoo.names_probe import ROLES, Probe, Scenes, scenes
from mi_widgets.zoo.train import loss_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SCENES = 200
SCENES_SEED = 1
SENTENCES = 500
SENTENCES_SEED = 20_000
TEXT_BATCHES = 20
TEXT_SEED = 40_000
DEMO = Scenes(
    clean=("When Mary and John went to the store, John gave a drink to",),
    swapped=("When Mary and John went to the store, Mary gave a drink to",),
    third=("When Mary and John went to the store, Anna gave a drink to",),
    answers=(" Mary",),
    foils=(" John",),
    io=(2,),
    s1=(4,),
)


def ask(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, questions: Sequence[tuple[str, str]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether each answer is the top token `[question]` bool, and the logits `[question, vocab]`."""
    probe = Probe(model, tokenizer)  # type: ignore[arg-type]
    logits = probe.last_logits([prompt for prompt, _ in questions])
    return logits.argmax(-1) == probe.words([answer for _, answer in questions]), logits


def _text_loss(model: Any, tokenizer: PreTrainedTokenizerFast) -> float:
    import torch

    fresh = itertools.islice(names_batches.batches(tokenizer, TEXT_SEED), TEXT_BATCHES)
    with torch.no_grad():
        return sum(float(loss_of(model, batch)) for batch in fresh) / TEXT_BATCHES


def _tasks(probe: Probe) -> dict[str, Any]:
    tasks: dict[str, Any] = {}
    for name, (make, share) in names_text.TASKS.items():
        rng = random.Random(SENTENCES_SEED)
        sentences = [make(rng, True) for _ in range(SENTENCES)]
        questions = [question for sentence in sentences for question in sentence.questions]
        right, logits = ask(probe.model, probe.tokenizer, questions)
        extra: dict[str, float] = {}
        tops = probe.tokenizer.convert_ids_to_tokens(logits.argmax(-1).tolist())
        if name == "third_giver":
            accuracy = _share(top[1:] in prompt.split()[1:4] for top, (prompt, _) in zip(tops, questions, strict=True))
        elif name == "years":
            later = [_later(prompt) for prompt, _ in questions]
            accuracy = _share(top in allowed for top, allowed in zip(tops, later, strict=True))
            probabilities = logits.softmax(-1)
            mass = [float(row[probe.words(allowed)].sum()) for row, allowed in zip(probabilities, later, strict=True)]
            extra["mass_on_later_years"] = rounded(sum(mass) / len(mass))
        else:
            accuracy = float(right.float().mean())
        tasks[name] = {"share": share, "questions": len(questions), "accuracy": rounded(accuracy), **extra}
    rng = random.Random(SENTENCES_SEED)
    met = [names_text.indirect_object(rng).questions[0] for _ in range(SENTENCES)]
    tasks["indirect_object"]["accuracy_met_pairs"] = rounded(
        float(ask(probe.model, probe.tokenizer, met)[0].float().mean())
    )
    return tasks


def _later(prompt: str) -> list[str]:
    start = int(prompt.split(" year ")[1][2:4])
    return list(names_words.YEARS[start + 1 :])


def _share(flags: Any) -> float:
    listed = list(flags)
    return sum(listed) / len(listed)


def _differences(probe: Probe, scene: Scenes) -> dict[str, float]:
    return {
        name: rounded(float(probe.difference(probe.last_logits(prompts), scene).mean()))
        for name, prompts in (("clean", scene.clean), ("swapped", scene.swapped), ("third", scene.third))
    }


def _attention(attention: torch.Tensor, scene: Scenes) -> dict[str, Any]:
    import torch

    s2, end = ROLES.index("s2"), ROLES.index("end")
    io, s1 = torch.tensor(scene.io), torch.tensor(scene.s1)
    every = torch.arange(len(scene.clean))

    def mean(dest: int, src: torch.Tensor) -> Any:
        return rounded(attention[:, every, :, dest, src].mean(0))

    return {
        "s2_to_io": mean(s2, io),
        "s2_to_s1": mean(s2, s1),
        "s2_to_s2": mean(s2, torch.full_like(io, s2)),
        "end_to_s2": mean(end, torch.full_like(io, s2)),
        "end_to_io": mean(end, io),
        "end_to_s1": mean(end, s1),
    }


def _redirected(probe: Probe, scene: Scenes, heads: Sequence[tuple[int, int]]) -> dict[str, Any]:
    attention, logits = probe.redirected(scene, scene.swapped, heads)
    edges = _attention(attention, scene)
    return {
        "heads": [list(head) for head in heads],
        "logit_difference": rounded(float(probe.difference(logits, scene).mean())),
        "end_to_io": edges["end_to_io"],
        "end_to_s1": edges["end_to_s1"],
    }


def giver_readers(attention: Mapping[str, Any], recovered: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Heads that from the end attend to s2 with at least half their weight and recover at least a tenth."""
    return [
        (layer, head)
        for layer, row in enumerate(recovered)
        for head, share in enumerate(row)
        if share >= 0.1 and attention["end_to_s2"][layer][head] >= 0.5
    ]


def _recovered(probe: Probe, scene: Scenes, base: Sequence[str]) -> dict[str, Any]:
    roles = ("comma", "s2", "gave", "end")
    grid = probe.recovered_by_position(scene, base, [ROLES.index(role) for role in roles])
    return {
        "resid_pre": {role: rounded(grid[:, column]) for column, role in enumerate(roles)},
        "z": rounded(probe.recovered_by_head(scene, base)),
    }


def measure(folder: Path) -> dict[str, Any]:
    """The figures of a saved tiny-names model.

    Args:
        folder: What `train.save` wrote.

    Returns:
        Data for `figures.json`, numbers rounded to four decimals; lists are `[layer]` or
        `[layer][head]`.
    """
    import torch
    from transformers import AutoTokenizer, GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    probe = Probe(model, tokenizer)
    scene = scenes(SCENES, SCENES_SEED)
    of_scenes = _inside(probe, scene)
    logits = probe.last_logits(scene.clean)
    right = (logits.argmax(-1) == probe.words(scene.answers)).float().mean()
    heads = giver_readers(of_scenes["attention"], of_scenes["recovered_from_swapped"]["z"])
    return {
        "model": {
            "parameters": sum(p.numel() for p in model.parameters()),
            "vocabulary": len(tokenizer),
            "positions": model.config.n_positions,
        },
        "held_out": {
            "pairs": len(names_text.HELD_OUT_PAIRS),
            "of": len(names_text.HELD_OUT_PAIRS) + len(names_text.TRAIN_PAIRS),
        },
        "text": {"batches": TEXT_BATCHES, "seed": TEXT_SEED, "loss": rounded(_text_loss(model, tokenizer))},
        "tasks": {"sentences": SENTENCES, "seed": SENTENCES_SEED, "by_task": _tasks(probe)},
        "scenes": {
            "count": SCENES,
            "seed": SCENES_SEED,
            "accuracy": rounded(float(right)),
            **of_scenes,
            "giver_readers_swapped": _redirected(probe, scene, heads),
        },
        "demo": {
            "clean": DEMO.clean[0],
            "swapped": DEMO.swapped[0],
            "third": DEMO.third[0],
            "answer": DEMO.answers[0],
            "distractor": DEMO.foils[0],
            "tokens": tokenizer(DEMO.clean[0]).tokens(),
            **_inside(probe, DEMO),
            "giver_readers_swapped": _redirected(probe, DEMO, heads),
        },
    }


def _inside(probe: Probe, scene: Scenes) -> dict[str, Any]:
    effects, rest = probe.direct_effects(scene)
    return {
        "logit_difference": _differences(probe, scene),
        "attention": _attention(probe.read(probe.ids(scene.clean))[2], scene),
        "direct": {"heads": rounded(effects), "rest": rounded(rest)},
        "lens": rounded(probe.lens(scene)),
        "recovered_from_swapped": _recovered(probe, scene, scene.swapped),
        "recovered_from_third": _recovered(probe, scene, scene.third),
    }


def merit(figures: Mapping[str, Any]) -> float:
    """What the best seed has most of: right answers first, then attention that tells who receives."""
    accuracy: float = figures["tasks"]["by_task"]["indirect_object"]["accuracy"]
    return accuracy + 0.1 * preference(figures)


def preference(figures: Mapping[str, Any]) -> float:
    """The most that a head attends to the receiver over the giver's first mention, from s2 or the end."""
    attention = figures["scenes"]["attention"]
    return float(
        rounded(
            max(
                to_io - to_s1
                for dest in ("s2", "end")
                for rows in zip(attention[f"{dest}_to_io"], attention[f"{dest}_to_s1"], strict=True)
                for to_io, to_s1 in zip(*rows, strict=True)
            )
        )
    )


def headline(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a seed's row in the model card."""
    difference = figures["demo"]["logit_difference"]
    return {
        "loss": figures["text"]["loss"],
        "accuracy": figures["tasks"]["by_task"]["indirect_object"]["accuracy"],
        "logit_difference": figures["scenes"]["logit_difference"]["clean"],
        "demo_clean": difference["clean"],
        "demo_swapped": difference["swapped"],
        "strongest_head": max(max(row) for row in figures["scenes"]["recovered_from_swapped"]["z"]),
        "preference": preference(figures),
    }
