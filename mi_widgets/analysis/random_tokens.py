"""Head scores on random tokens that repeat: what a head does where nothing but the repetition can tell it.

On a prompt of one's own a score may be high by the words that happen to be there, or undefined because none repeats. On
random tokens said twice only heads that look back at the repetition have anything to go by (Olsson et al. 2022).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch

from ..errors import BadInput
from ..interventions.question import Question
from ..model.batches import Batch
from ..model.handle import Model
from ..model.numbers import whole
from ..results import Progress
from .attention import score_steps
from .attention_runs import AttentionRun, Range
from .scores import DETECTED, SCORES, Facts, HeadScore, Pairs, Rule, facts_of, scored

N, PERIOD, REPEATS, SEED = 8, 25, 2, 0
"""Prompts, tokens before they repeat, how often they stand there, and the seed that draws them, by default."""


def random_prompts(model: Model, n: int = N, period: int = PERIOD, repeats: int = REPEATS, seed: int = SEED) -> Batch:
    """Prompts of random tokens: [the beginning token if there is one] + the same `period` tokens `repeats` times.

    Args:
        model: whose vocabulary; special tokens are never drawn, all others are equally likely.
        n: how many prompts.
        period, repeats: as above.
        seed: the same seed gives the same prompts; PyTorch's own random state is not touched.

    Raises:
        BadInput: numbers that cannot be meant, or more tokens than the model has positions.

    Example:
        >>> import mi_widgets as mi
        >>> batch = random_prompts(mi.load(), n=2, period=5)
        >>> batch.lengths
        (11, 11)
        >>> ids = batch.prompts[0].ids
        >>> ids[1:6] == ids[6:11]
        True
    """
    n, period = _at_least("n", n, 1), _at_least("period", period, 2)
    repeats, seed = _at_least("repeats", repeats, 2), _at_least("seed", seed, 0)
    text = model.text
    rows = text.vocabulary() if text.rows is None else min(text.vocabulary(), text.rows)
    bos = [text.bos_id] if text.bos_id is not None and text.bos_id < rows else []
    length = len(bos) + period * repeats
    limits = [limit for limit in (text.limits.table, text.limits.trained) if limit is not None]
    if limits and length > min(limits):
        longest = (min(limits) - len(bos)) // repeats
        raise BadInput(
            f"{repeats} x {period} random tokens{' and a beginning token' if bos else ''} are {length}, and "
            f"{model.name} has {min(limits)} positions.",
            hint=f"Use period={longest}." if longest >= 2 else "It is too short for tokens that repeat.",
        )
    ordinary = torch.tensor([i for i in range(rows) if i not in text.special], dtype=torch.long)
    if not len(ordinary):
        raise BadInput("The vocabulary has no ordinary token to draw.", hint="Check the tokenizer.")
    generator = torch.Generator().manual_seed(seed)
    drawn = ordinary[torch.randint(len(ordinary), (n, period), generator=generator)].tolist()
    return Batch.of([model.tokens(bos + own * repeats) for own in drawn], text.pad_id)


def _at_least(name: str, value: Any, least: int) -> int:
    number = whole(value)
    if number is None or number < least:
        raise BadInput(f"{name} is a whole number from {least} on, not {value!r}.", hint=f"For example {name}={least}.")
    return number


def _repeated(length: int, period: int, back: int) -> Pairs:
    """The cells (dest, dest - back) of all dests but those of the first time, position 0 left out as a source."""
    dest = torch.arange(length % period + period, length)
    dest = dest[dest - back > 0]
    return Pairs(dest, dest - back, len(dest))


def random_rules(length: int, period: int) -> dict[str, Rule]:
    """The scores on prompts of that many tokens, the beginning token included, that repeat after `period`."""
    induction, duplicate = _repeated(length, period, period - 1), _repeated(length, period, period)
    on = f"on random tokens that repeat after {period}"
    none = "these prompts are too short"

    def mass(pairs: Pairs) -> Any:
        def total(block: torch.Tensor, rows: Range, _: Facts) -> torch.Tensor:
            return pairs.mass(block, rows)

        return total

    return {
        "induction_random": Rule(
            "induction on random tokens",
            f"Attention to the token after the last occurrence of this one, {on}: mean of A[dest, dest-{period - 1}] "
            "after the first time.",
            "prefix matching, Olsson et al. 2022",
            mass(induction),
            lambda _: induction.rows,
            none,
        ),
        "duplicate_random": Rule(
            "duplicate on random tokens",
            f"Attention to the last occurrence of the same token, {on}: mean of A[dest, dest-{period}] after the first "
            "time.",
            "duplicate token heads, Wang et al. 2022",
            mass(duplicate),
            lambda _: duplicate.rows,
            none,
        ),
        "previous_random": replace(
            SCORES["previous"],
            label="previous on random tokens",
            card=f"Mean attention to the token just before, {on}: mean over dest >= 2 of A[dest, dest-1].",
        ),
    }


def detected_rules() -> dict[str, Rule]:
    """The same three as shares of all attention, by which tokens are equal; see `scores.DETECTED`."""
    return {
        f"{name}_random": replace(
            DETECTED[name],
            label=f"{DETECTED[name].label} on random tokens",
            card=f"{DETECTED[name].card} On random tokens that repeat.",
        )
        for name in ("induction", "duplicate", "previous")
    }


def random_scores_steps(
    question: Question,
    n: int = N,
    period: int = PERIOD,
    repeats: int = REPEATS,
    seed: int = SEED,
    *,
    normalise: str | None = None,
) -> Generator[Progress, None, dict[str, HeadScore]]:
    """Scores of all heads on seeded random tokens that repeat, the mean over `n` prompts.

    induction_random = mean of A[d, d-period+1] and duplicate_random = mean of A[d, d-period] over all dests after the
    first time the tokens stand there; previous_random = mean over d >= 2 of A[d, d-1]. Edits play no part.

    Args:
        question: about any prompt: its model is asked.
        n, period, repeats, seed: see `random_prompts`.
        normalise: None, or "all": shares of all attention, as TransformerLens' `detect_head(error_measure="mul")`.

    Returns:
        {name: HeadScore} for induction_random, duplicate_random, previous_random; `n` counts rows over all prompts.

    Raises:
        BadInput: as `random_prompts`.
        SiteUnavailable: the model has no attention pattern.

    Example:
        >>> import mi_widgets as mi
        >>> from mi_widgets.analysis.attention_runs import finished
        >>> question = mi.Experiment(mi.load("tiny-induction"), "the cat").snapshot()
        >>> scores = finished(random_scores_steps(question))
        >>> float(scores["induction_random"].values.max()) > 0.5
        True
    """
    model = question.model
    model.refresh()
    batch = random_prompts(model, n, period, repeats, seed)
    asked = replace(
        question, clean=batch, corrupted=None, answer=None, distractor=None, base="clean", align=None,
        answer_position=-1, edits=(), which=None, among=None,
    )  # fmt: skip
    run = AttentionRun(asked, "clean")
    rules = random_rules(run.length, period) if normalise is None else detected_rules()
    by_layer = yield from score_steps(run, rules)
    found = scored(rules, (model.n_layers, model.n_heads), by_layer, facts_of(run.ids[0]))
    return {name: replace(score, n=None if score.n is None else score.n * len(batch)) for name, score in found.items()}
