"""What tiny-addition reads: every sum of two numbers, modulo 97, as one line each."""

from __future__ import annotations

import itertools
import random
from functools import cache
from typing import TYPE_CHECKING

from mi_widgets.zoo.recipe import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerFast

MODULUS = 97
WORDS: tuple[str, ...] = (*(str(number) for number in range(MODULUS)), "+", "=")
TRAIN_FRACTION = 0.5
SPLIT_SEED = 0


def line(a: int, b: int) -> str:
    """A sum as text, with its answer.

    Example:
        >>> line(60, 45)
        '60 + 45 = 8'
    """
    return f"{a} + {b} = {(a + b) % MODULUS}"


@cache
def trained_pairs() -> frozenset[tuple[int, int]]:
    """The ordered pairs that training sees.

    Drawn as unordered pairs, so that no sum is held out whose mirror image (`b + a`) was trained.
    """
    unordered = list(itertools.combinations_with_replacement(range(MODULUS), 2))
    random.Random(SPLIT_SEED).shuffle(unordered)
    chosen = unordered[: round(TRAIN_FRACTION * len(unordered))]
    return frozenset(pair for a, b in chosen for pair in ((a, b), (b, a)))


def all_pairs() -> list[tuple[int, int]]:
    """Every ordered pair; pair (a, b) is at index 97 a + b."""
    return list(itertools.product(range(MODULUS), range(MODULUS)))


def batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[Batch]:
    """The same batch again and again: every trained sum, of which the answer alone counts.

    The split is the recipe's and not the seed's, so that all seeds are asked the same held-out sums.
    """
    import torch

    ids = torch.tensor(tokenizer([line(a, b) for a, b in sorted(trained_pairs())]).input_ids)
    weights = torch.zeros(ids.shape)
    weights[:, -1] = 1
    return itertools.repeat(Batch(ids, weights))
