"""What users write as prompts, answers and positions, made into what the engine takes; or a clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import AnswerNotSingleToken, BadInput
from ..interventions.metrics import Answer
from ..model.handle import Model
from ..model.numbers import whole
from ..model.tokens import Batch


def prompts_of(model: Model, prompts: Any, bos: bool | None) -> Batch:
    """One prompt (text or ids) or a list of them, side by side.

    Raises:
        BadInput: no prompt, or one that cannot be tokenised.
    """
    # Tensors and arrays of token ids: one prompt, or one in each row.
    given = prompts.tolist() if hasattr(prompts, "tolist") else prompts
    if isinstance(given, str):
        several: list[Any] = [given]
    elif isinstance(given, Sequence) and len(given) and not isinstance(given, (bytes, bytearray)):
        several = [given] if all(whole(p) is not None for p in given) else list(given)
    else:
        raise BadInput(
            f"A prompt is text, token ids, or a list of these, not {prompts!r}.", hint="Write at least one word."
        )
    return Batch.of([model.tokens(p, bos) for p in several], model.text.pad_id)


def _token(model: Model, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < model.architecture.d_vocab:
            raise BadInput(
                f"Token id {value} is outside the vocabulary of {model.architecture.d_vocab}.",
                hint="Give the token's text.",
            )
        return value
    if not isinstance(value, str):
        raise BadInput(
            f"An answer is text or a token id, not {value!r}.",
            hint="Write it with its leading space: ' Mary'.",
        )
    ids = model.text.ids_of(value)
    unk = getattr(model.tokenizer, "unk_token_id", None)
    if len(ids) != 1:
        split = [model.text.label(i) for i in ids]
        raise AnswerNotSingleToken(
            f"The answer {value!r} is {len(ids)} tokens: {split}.",
            hint="Give one token, its leading space included.",
        )
    if unk is not None and ids[0] == unk and value != model.text.piece(unk):
        close = f" {value}" if not value.startswith(" ") else value.strip()
        known = model.text.ids_of(close)
        also = f" Did you mean {close!r}?" if len(known) == 1 and known[0] != unk else ""
        raise AnswerNotSingleToken(
            f"The answer {value!r} is not in this model's vocabulary.", hint=f"Choose a token it knows.{also}"
        )
    return ids[0]


def answers_of(model: Model, given: Any, prompts: int, name: str) -> Answer | None:
    """Answers as users give them.

    Args:
        model: the model whose tokens they are.
        given: text or id; a tuple or set of these = alternatives; a list as long as the prompts = one per prompt.
        prompts: how many prompts there are.
        name: "answer" or "distractor", for messages.

    Raises:
        AnswerNotSingleToken: the tokenizer splits it, or does not know it.
        BadInput: a list of another length, or an empty one.
    """
    if given is None:
        return None
    if isinstance(given, list):
        if len(given) != prompts:
            raise BadInput(
                f"{name} is a list of {len(given)}, and there are {prompts} prompts.",
                hint="A list gives one per prompt; for alternatives write a tuple.",
            )
        rows = given
    else:
        rows = [given] * prompts
    ids, texts = [], []
    for row in rows:
        several = (
            sorted(row, key=str)
            if isinstance(row, (set, frozenset))
            else list(row)
            if isinstance(row, tuple)
            else [row]
        )
        if not several:
            raise BadInput(f"{name} is empty.", hint="Give at least one token, or leave it out.")
        found = tuple(dict.fromkeys(_token(model, value) for value in several))
        ids.append(found)
        texts.append(tuple(model.text.piece(i) for i in found))
    return Answer(tuple(ids), tuple(texts))


def guessed(model: Model, ids: list[int]) -> Answer:
    """An answer taken from the model's own top tokens, one per prompt."""
    return Answer(tuple((i,) for i in ids), tuple((model.text.piece(i),) for i in ids), guessed=True)


def checked_position(batch: Batch, given: Any) -> int | tuple[int, ...]:
    """answer_position as an int for all prompts or one per prompt; checked against every prompt."""
    if isinstance(given, int) and not isinstance(given, bool):
        batch.columns(given)
        return given
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == len(batch):
        several = tuple(int(p) for p in given)
        for row, p in enumerate(several):
            batch.column(row, p)
        return several
    raise BadInput(
        f"answer_position is a whole number, or one per prompt, not {given!r}.", hint="-1 is the last token."
    )
