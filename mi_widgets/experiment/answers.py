"""What users write as prompts, answers and positions, made into what the engine takes; or a clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import AnswerNotSingleToken, BadInput
from ..interventions.metrics import Answer
from ..interventions.sequences import Sequence as AnswerSequence
from ..model.batches import Batch
from ..model.handle import Model
from ..model.numbers import whole
from ..model.tokenizer import is_text
from ..model.tokens import Tokens, listed


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
            f"A prompt is text, token ids, or a list of these, not {prompts!r}.",
            hint="Give its 'input_ids'." if hasattr(given, "keys") else "Write at least one word.",
        )
    return Batch.of([model.tokens(p, bos) for p in several], model.text.pad_id)


def token_of(model: Model, value: Any) -> int:
    """The one token that a text or an id names.

    Raises:
        AnswerNotSingleToken: the tokenizer splits it, or does not know it.
        BadInput: neither text nor id, or outside the vocabulary.
    """
    vocabulary = model.architecture.d_vocab
    number = whole(value)
    if number is not None:
        if not 0 <= number < vocabulary:
            raise BadInput(
                f"Token id {number} is outside the vocabulary of {vocabulary}.", hint="Give the token's text."
            )
        return number
    if not isinstance(value, str):
        raise BadInput(
            f"An answer is text or a token id, not {value!r}.",
            hint="Write it with its leading space: ' Mary'.",
        )
    if not value:
        raise BadInput("The answer is empty: it gives no token.", hint="Write it with its leading space: ' Mary'.")
    ids = model.text.ids_of(is_text(value, "The answer"))
    if len(ids) != 1:
        split = listed([model.text.label(i) for i in ids])
        first = model.text.piece(ids[0]) if ids else ""
        head = f", or measure its first token, {first!r}" if ids and first.strip() and _known(model, first) else ""
        raise AnswerNotSingleToken(
            f"The answer {value!r} is {len(ids)} tokens: {split}.",
            hint=f"Give one token, its leading space included{head}.{_near(model, value)}",
        )
    if ids[0] == _unknown(model) and value != model.text.piece(ids[0]):
        raise AnswerNotSingleToken(
            f"The answer {value!r} is not in this model's vocabulary.",
            hint=f"Choose a token it knows.{_near(model, value)}",
        )
    if ids[0] >= vocabulary:
        raise BadInput(
            f"The answer {value!r} was added to the tokenizer, and the model has no logit for it.",
            hint=f"Choose one of its {vocabulary} tokens.",
        )
    return ids[0]


def _unknown(model: Model) -> int | None:
    return getattr(model.tokenizer, "unk_token_id", None)


def _known(model: Model, text: str) -> bool:
    """Whether a text is one token that the model knows."""
    ids = model.text.ids_of(text)
    return len(ids) == 1 and ids[0] != _unknown(model) and ids[0] < model.architecture.d_vocab


def _near(model: Model, text: str) -> str:
    """A question naming single tokens close to a text that is none: with or without the space, in another case."""
    bare = text.strip()
    words = (bare, bare.capitalize(), bare.lower(), bare.upper())
    close = [c for word in words if word for c in (f" {word}", word) if c != text and _known(model, c)]
    # Where the tokenizer itself puts the space, two spellings are one token.
    by_id: dict[int, str] = {}
    for candidate in close:
        by_id.setdefault(model.text.ids_of(candidate)[0], candidate)
    named = list(by_id.values())[:3]
    return f" Did you mean {' or '.join(map(repr, named))}?" if named else ""


def answers_of(model: Model, given: Any, prompts: int, name: str) -> Answer | None:
    """Answers as users give them.

    Args:
        model: the model whose tokens they are.
        given: text or id; a tuple or set of these = alternatives; `mi.Sequence` = several tokens in order; a list
            (tensor, array) as long as the prompts = one per prompt.
        prompts: how many prompts there are.
        name: "answer" or "distractor", for messages.

    Raises:
        AnswerNotSingleToken: the tokenizer splits it, or does not know it.
        BadInput: a list of another length, or an empty one.
    """
    if given is None:
        return None
    if whole(given) is None and hasattr(given, "tolist"):
        given = given.tolist()
    if isinstance(given, list):
        if len(given) != prompts:
            raise BadInput(
                f"{name} is a list of {len(given)}, and there are {prompts} prompts.",
                hint="A list gives one per prompt; for alternatives write a tuple.",
            )
        rows = given
    else:
        rows = [given] * prompts
    if any(isinstance(row, AnswerSequence) for row in rows):
        return _sequences(model, rows, name)
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
        found = tuple(dict.fromkeys(token_of(model, value) for value in several))
        ids.append(found)
        texts.append(tuple(model.text.piece(i) for i in found))
    return Answer(tuple(ids), tuple(texts))


def _sequences(model: Model, rows: Sequence[Any], name: str) -> Answer:
    """Answers of several tokens, one per prompt."""
    if not all(isinstance(row, AnswerSequence) for row in rows):
        raise BadInput(
            f"{name} mixes answers of one and of several tokens.",
            hint="Wrap each in mi.Sequence; one of a single token may be wrapped too.",
        )
    found: list[tuple[int, ...]] = []
    for row in rows:
        if isinstance(row.text, str):
            ids = model.text.ids_of(is_text(row.text, f"The {name}"))
            if _unknown(model) in ids:
                raise AnswerNotSingleToken(
                    f"The {name} {row.text!r} holds a word that is not in this model's vocabulary.",
                    hint="Choose tokens it knows.",
                )
        else:
            ids = list(row.text)
        found.append(tuple(token_of(model, i) for i in ids))
    return Answer(
        ids=tuple((ids[0],) for ids in found),
        texts=tuple(("".join(model.text.piece(i) for i in ids),) for ids in found),
        sequences=tuple(found),
    )


def same_answers(answer: Answer | None, distractor: Answer | None) -> str | None:
    """A sentence when answer and distractor of a prompt are the same tokens, and so differ by 0 in every run."""
    if answer is None or distractor is None:
        return None
    for row, (good, bad) in enumerate(zip(answer.ids, distractor.ids, strict=True)):
        if set(good) == set(bad):
            whose = f" of prompt {row}" if len(answer.ids) > 1 else ""
            texts = " or ".join(map(repr, answer.texts[row]))
            return f"Answer and distractor{whose} are the same, {texts}: no run can prefer one to the other."
    return None


def odd_answer(model: Model, name: str, token: int, text: str, prompt: Tokens, position: int) -> str | None:
    """What is odd about an answer after a prompt, in a plain sentence; None when nothing is.

    Args:
        model: whose tokens they are.
        name: "answer" or "distractor".
        token, text: the answer.
        prompt, position: where it is read.
    """
    if token in model.text.special:
        return f"The {name} {model.text.label(token)} is a special token."
    if model.tokenizer.convert_ids_to_tokens(token) is None:
        return f"The {name}, token id {token}, has no text: the model has more rows than its tokenizer has tokens."
    before = prompt.pieces[position][-1:]
    spaced = f" {text}"
    starts_word = _cased(before) and _cased(text[:1]) and position not in prompt.special
    if starts_word and _known(model, spaced) and model.text.ids_of(spaced)[0] != token:
        return f"The {name} {text!r} has no leading space, so it goes on with {prompt.strings[position]!r}; " \
               f"{spaced!r} begins a new word."  # fmt: skip
    return None


def _cased(ch: str) -> bool:
    """A letter of a script that sets its words apart by spaces."""
    return ch.lower() != ch.upper()


def guessed(model: Model, ids: list[int]) -> Answer:
    """An answer taken from the model's own top tokens, one per prompt."""
    return Answer(tuple((i,) for i in ids), tuple((model.text.piece(i),) for i in ids), guessed=True)


def checked_position(batch: Batch, given: Any) -> int | tuple[int, ...]:
    """answer_position as an int for all prompts or one per prompt; checked against every prompt."""
    one = whole(given)
    if one is not None:
        batch.columns(one)
        return one
    listed_out = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(listed_out, Sequence) and not isinstance(listed_out, str) and len(listed_out) == len(batch):
        several = [whole(p) for p in listed_out]
        for row, p in enumerate(several):
            if p is not None:
                batch.column(row, p)
        if None not in several:
            return tuple(p for p in several if p is not None)
    raise BadInput(
        f"answer_position is a whole number, or one per prompt, not {given!r}.", hint="-1 is the last token."
    )
