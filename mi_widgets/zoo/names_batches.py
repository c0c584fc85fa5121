"""Training batches of the tiny-names language: rows of sentences, with the weight of each token."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mi_widgets.zoo import names_text
from mi_widgets.zoo.recipe import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Layout:
    """The shape of the batches.

    Attributes:
        rows: Rows of a usual batch; each holds one sentence, the end token and padding.
        width: Tokens per row, the beginning token included.
        long_every: Each such step has fewer, longer rows of the same number of tokens, full of sentences,
            so that every position the model has is trained.
        long_width: Tokens per row of those.
        answer_weight: Weight of a token that can be predicted.
        other_weight: Weight of every other token.
    """

    rows: int = 64
    width: int = 24
    long_every: int = 16
    long_width: int = 256
    answer_weight: float = 1.0
    other_weight: float = 0.15


DEFAULT = Layout()


def weigh(
    tokenizer: PreTrainedTokenizerFast, sentence: names_text.Sentence, layout: Layout, follows: bool = False
) -> tuple[list[int], list[float]]:
    """Token ids and weights of a sentence, without beginning and end tokens.

    A token is an answer if its characters overlap an answer of the sentence.

    Args:
        tokenizer: The language's tokenizer.
        sentence: What to encode.
        layout: Its two weights are used.
        follows: Put a space in front, as after another sentence.
    """
    lead = " " if follows else ""
    encoding = tokenizer.backend_tokenizer.encode(lead + sentence.text, add_special_tokens=False)
    spans = [(start + len(lead), end + len(lead)) for start, end in sentence.spans]
    weights = [
        layout.answer_weight if any(start < stop and first < end for first, stop in spans) else layout.other_weight
        for start, end in encoding.offsets
    ]
    return encoding.ids, weights


def batches(tokenizer: PreTrainedTokenizerFast, seed: int, layout: Layout = DEFAULT) -> Iterator[Batch]:
    """Endless batches; the same seed gives the same ones."""
    import torch

    rng = random.Random(seed)
    for step in itertools.count(1):
        if step % layout.long_every == 0:
            count = layout.rows * layout.width // layout.long_width
            rows = [_long_row(tokenizer, rng, layout) for _ in range(count)]
        else:
            rows = [_row(tokenizer, rng, layout) for _ in range(layout.rows)]
        yield Batch(torch.tensor([ids for ids, _ in rows]), torch.tensor([weights for _, weights in rows]))


def _row(tokenizer: PreTrainedTokenizerFast, rng: random.Random, layout: Layout) -> tuple[list[int], list[float]]:
    ids, weights = weigh(tokenizer, names_text.draw(rng), layout)
    room = layout.width - len(ids) - 2
    return (
        [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id] + [tokenizer.pad_token_id] * room,
        [0.0, *weights, layout.other_weight] + [0.0] * room,
    )


def _long_row(tokenizer: PreTrainedTokenizerFast, rng: random.Random, layout: Layout) -> tuple[list[int], list[float]]:
    # Scenes stay out of these rows. In the two runs that let them in (rows full of scenes from the start)
    # the end subtracted the giver from a pool of all names, and no head told the receiver from the giver.
    ids, weights = [tokenizer.bos_token_id], [0.0]
    while len(ids) < layout.long_width:
        more, more_weights = weigh(tokenizer, names_text.draw(rng, scenes=False), layout, follows=len(ids) > 1)
        ids += more
        weights += more_weights
    return ids[: layout.long_width], weights[: layout.long_width]
