"""What tiny-induction reads: rows of random words that repeat, and rows of small sentences.

In a random row nothing can be predicted before the row repeats itself, and everything after: the only way
to do well is to find what followed the last time. The sentences tell of a few things by an adjective and a
noun that go together within the row and with others in the next.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mi_widgets.zoo.recipe import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerFast

ADJECTIVES: tuple[str, ...] = (
    "old", "new", "red", "blue", "green", "black", "white", "small", "big", "tall", "short", "warm", "cold", "soft",
    "hard", "dark", "bright", "quiet", "loud", "fast", "slow", "heavy", "light", "round", "flat", "sharp", "sweet",
    "dry", "wet", "young", "clean", "empty", "full", "rich", "poor", "brave", "calm", "wild", "kind", "proud",
)  # fmt: skip
NOUNS: tuple[str, ...] = (
    "cat", "dog", "horse", "bird", "fish", "fox", "bear", "wolf", "mouse", "lion", "king", "queen", "child",
    "friend", "doctor", "farmer", "sailor", "baker", "tree", "river", "mountain", "lake", "sea", "island", "forest",
    "garden", "field", "stone", "house", "door", "window", "roof", "wall", "bridge", "road", "tower", "castle",
    "ship", "boat", "train", "wheel", "engine", "book", "letter", "map", "key", "lamp", "clock", "mirror", "chair",
    "table", "bed", "box", "cup", "knife", "bread", "apple", "cake", "soup", "egg", "coat", "hat", "ring", "flag",
    "drum", "bell", "song", "story", "storm", "cloud", "moon", "star",
)  # fmt: skip
VERBS: tuple[str, ...] = (
    "sees", "finds", "meets", "hears", "follows", "leaves", "takes", "keeps", "holds", "moves", "turns", "opens",
    "closes", "breaks", "builds", "paints", "draws", "sells", "buys", "loses", "hides", "brings", "sends", "wants",
    "needs", "likes", "fears", "knows", "helps", "calls", "watches", "carries", "washes", "cuts", "burns", "covers",
    "fills", "lifts", "pulls", "pushes",
)  # fmt: skip
FUNCTION_WORDS: tuple[str, ...] = ("the", "and", ".", ",")
WORDS: tuple[str, ...] = (*FUNCTION_WORDS, *ADJECTIVES, *NOUNS, *VERBS)


@dataclass(frozen=True)
class Layout:
    """The shape of the batches.

    Attributes:
        rows: Rows of a batch.
        width: Tokens per row, the beginning token included.
        repeated: Chance that a row is random words that repeat; the rest are sentences.
        periods: Shortest and longest number of words before a random row repeats itself.
    """

    rows: int = 64
    width: int = 48
    repeated: float = 0.7
    periods: tuple[int, int] = (5, 22)


DEFAULT = Layout()


def repeated(rng: random.Random, length: int, period: int) -> list[str]:
    """`length` words: `period` different random ones, over and over."""
    words = rng.sample(WORDS, period)
    return list(itertools.islice(itertools.cycle(words), length))


def sentences(rng: random.Random, length: int) -> list[str]:
    """`length` words of text about four things, each an adjective and a noun that stay together.

    Example:
        >>> " ".join(sentences(random.Random(1), 16))
        'the bright coat takes the big farmer , the big farmer knows the calm flag and'
    """
    things = list(zip(rng.sample(ADJECTIVES, 4), rng.sample(NOUNS, 4), strict=True))
    words: list[str] = []
    while len(words) < length:
        one, other = rng.sample(things, 2)
        words += ["the", *one, rng.choice(VERBS), "the", *other, rng.choice((".", ",", "and"))]
    return words[:length]


def batches(tokenizer: PreTrainedTokenizerFast, seed: int, layout: Layout = DEFAULT) -> Iterator[Batch]:
    """Endless batches in which every token counts the same; the same seed gives the same ones."""
    import torch

    rng = random.Random(seed)
    known = tokenizer.get_vocab()
    weights = torch.ones(layout.rows, layout.width)
    weights[:, 0] = 0
    while True:
        rows = [[tokenizer.bos_token_id, *(known[word] for word in _row(rng, layout))] for _ in range(layout.rows)]
        yield Batch(torch.tensor(rows), weights)


def _row(rng: random.Random, layout: Layout) -> list[str]:
    length = layout.width - 1
    if rng.random() < layout.repeated:
        return repeated(rng, length, rng.randint(*layout.periods))
    return sentences(rng, length)
