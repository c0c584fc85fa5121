"""Text to tokens and back, with positions and visible whitespace; batches of prompts; pairing two prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import torch

from ..errors import BadInput, PromptMismatch
from . import oddities
from .limits import Limits
from .numbers import whole

Prompt = str | Sequence[int] | torch.Tensor

END = "end"
"""The name of every prompt's last token."""


@dataclass(frozen=True)
class Tokens:
    """A tokenised prompt.

    Attributes:
        text: the text as given, or decoded when token ids were given.
        ids: token ids, one per position.
        pieces: the text of each token alone, its leading space included; bytes that are no text as ``<0xE2>``.
        strings: `pieces` with visible whitespace (``␣Mary``); special tokens as ``‹bos›``.
        special: positions that hold special tokens.
        warnings: plain sentences about what is odd (unknown words, a trailing space, a doubled BOS).

    Example:
        >>> import mi_widgets as mi
        >>> mi.load().tokens("Mary went to").strings
        ('‹bos›', 'Mary', '␣went', '␣to')
    """

    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    strings: tuple[str, ...]
    special: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def positions(self) -> range:
        """Positions, counted from 0 in this prompt's own tokens."""
        return range(len(self.ids))

    def start(self, count: int) -> Tokens:
        """The first tokens alone; all where there are no more.

        Example:
            >>> import mi_widgets as mi
            >>> mi.load().tokens("Mary went to").start(2).strings
            ('‹bos›', 'Mary')
        """
        if len(self) <= count:
            return self
        special = tuple(p for p in self.special if p < count)
        pieces = self.pieces[:count]
        return replace(
            self,
            text="".join(pieces),
            ids=self.ids[:count],
            pieces=pieces,
            strings=self.strings[:count],
            special=special,
        )

    def find(self, text: str, occurrence: int = -1) -> int:
        """Position of the token whose text is `text`; `occurrence` counts as a list index does.

        Raises:
            BadInput: no such token, or fewer occurrences; the message lists the tokens there are.
        """
        if not isinstance(text, str) or whole(occurrence) is None:
            raise BadInput(
                f"A position is found by the text of its token and a whole number, not {text!r} and {occurrence!r}.",
                hint="For example exp.at(' John', -1).",
            )
        hits = [i for i, piece in enumerate(self.pieces) if piece == text]
        hits = hits or [i for i, piece in enumerate(self.pieces) if piece.strip() == text.strip() != ""]
        if not hits:
            raise BadInput(
                f"No token reads {text!r} in {listed(self.strings)}.",
                hint="Give one token as it is split, its leading space included.",
            )
        if not -len(hits) <= occurrence < len(hits):
            raise BadInput(
                f"{text!r} occurs {len(hits)} times (positions {hits}), so there is no occurrence {occurrence}.",
                hint=f"Use {-len(hits)} to {len(hits) - 1}.",
            )
        return hits[occurrence]


@dataclass(frozen=True)
class Batch:
    """Prompts laid side by side, padded on the left.

    Attributes:
        prompts: one `Tokens` per row.
        ids: [prompt, position] int64; the last column is every prompt's last token.
        pads: how many columns of padding each row starts with.
        names: named positions, {name: one per row}, counted from 0 in the row's own tokens. "end" is every prompt's
            last token unless it is named otherwise.
    """

    prompts: tuple[Tokens, ...]
    ids: torch.Tensor
    pads: tuple[int, ...]
    names: Mapping[str, tuple[int, ...]] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, prompts: Sequence[Tokens], pad_id: int = 0) -> Batch:
        """Lay prompts of any lengths side by side."""
        width = max(len(p) for p in prompts)
        pads = tuple(width - len(p) for p in prompts)
        rows = [[pad_id] * pad + list(p.ids) for pad, p in zip(pads, prompts, strict=True)]
        return cls(tuple(prompts), torch.tensor(rows, dtype=torch.long), pads)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def width(self) -> int:
        """Columns, padding included."""
        return int(self.ids.shape[1])

    @property
    def key(self) -> tuple[tuple[int, ...], ...]:
        """What tells two batches apart: the ids of every prompt."""
        return tuple(p.ids for p in self.prompts)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each prompt."""
        return tuple(len(p) for p in self.prompts)

    def inputs(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Keyword arguments for the model: ids alone, or with mask and position_ids when any row is padded.

        A left-padded batch without position_ids moves learned positions by the padding (2.8 logits on GPT-2).
        """
        ids = self.ids.to(device)
        if not any(self.pads):
            return {"input_ids": ids}
        columns = torch.arange(self.width, device=device)
        pads = torch.tensor(self.pads, device=device)[:, None]
        return {
            "input_ids": ids,
            "attention_mask": (columns >= pads).long(),
            "position_ids": (columns - pads).clamp(min=0),
        }

    def take(self, row: int, pad_id: int = 0) -> Batch:
        """One of the prompts by itself, its named positions included."""
        alone = Batch.of([self.prompts[row]], pad_id)
        return replace(alone, names={name: (where[row],) for name, where in self.names.items()})

    def column(self, row: int, position: int | str) -> int:
        """Column of a position counted in the row's own tokens (negative: from its end), or of a named one.

        Raises:
            BadInput: the prompt has no such position; pads can never be named.
        """
        length = len(self.prompts[row])
        if isinstance(position, str):
            if position not in self.names and position != END:
                raise BadInput(
                    f"No position of these prompts is named {position!r}.",
                    hint=f"Names: {', '.join([*self.names, END])}; give more by Experiment(positions={{...}}).",
                )
            position = self.names[position][row] if position in self.names else -1
        if isinstance(position, bool) or not isinstance(position, int):
            raise BadInput(f"A position is a whole number, not {position!r}.", hint="Use exp.at(' word') to find one.")
        if not -length <= position < length:
            raise BadInput(
                f"Position {position} does not exist: prompt {row} has {length} tokens "
                f"{listed(self.prompts[row].strings)}.",
                hint=f"Use {-length} to {length - 1}, or exp.at(' word').",
            )
        return self.pads[row] + position % length

    def columns(self, position: int | str) -> list[int]:
        """Column of one position in every row."""
        return [self.column(row, position) for row in range(len(self))]


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    """The byte behind each character of a byte-level vocabulary (printable bytes stand for themselves)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(rest)}


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return False
    spec = json.loads(backend.to_str())
    return '"ByteLevel"' in json.dumps([spec.get("decoder"), spec.get("pre_tokenizer")])


def _readable(raw: bytes) -> str:
    """Bytes as text; what is not UTF-8 as ``<0xE2>`` per byte."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"<0x{b:02X}>" for b in raw)


def listed(strings: Sequence[str]) -> str:
    """Tokens in a message: all of them, or both ends of many."""
    if len(strings) <= 40:
        return str(list(strings))
    head, tail = (str(list(part))[1:-1] for part in (strings[:10], strings[-10:]))
    return f"[{head}, ... {len(strings) - 20} more ..., {tail}]"


def is_text(text: str, what: str) -> str:
    """The text itself.

    Raises:
        BadInput: half of a surrogate pair, which no tokenizer takes.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(
            f"{what} {text!r} holds half of a surrogate pair, which is no character.",
            hint="Decode the text again, or leave it out.",
        ) from None
    return text


def _ids_of(prompt: Any) -> list[int]:
    listed = prompt.tolist() if hasattr(prompt, "tolist") else prompt
    if isinstance(listed, Sequence) and not isinstance(listed, (str, bytes, bytearray)):
        ids = [whole(i) for i in listed]
        if None not in ids:
            return [i for i in ids if i is not None]
    raise BadInput(f"A prompt is text or token ids, not {prompt!r}.", hint="Token ids are whole numbers.")


class Tokenizer:
    """One way to ask any Hugging Face tokenizer the questions this package has.

    Args:
        tokenizer: a transformers tokenizer (fast or slow).
        limits: the longest prompts the model takes.
        rows: how many tokens the model embeds, or None; a tokenizer that was added to may have more.

    Attributes:
        hf: the user's tokenizer.
        special: ids of its special tokens.
    """

    def __init__(self, tokenizer: Any, limits: Limits | None = None, rows: int | None = None) -> None:
        self.hf = tokenizer
        self.limits = Limits() if limits is None else limits
        self.rows = rows
        self._byte_level = _is_byte_level(tokenizer)
        self.special = frozenset(tokenizer.all_special_ids)

    @property
    def pad_id(self) -> int:
        """A token to pad with; never read, never edited."""
        for name in ("pad_token_id", "eos_token_id", "bos_token_id"):
            value = getattr(self.hf, name, None)
            if isinstance(value, int) and (self.rows is None or value < self.rows):
                return value
        return 0

    @property
    def bos_id(self) -> int | None:
        """The beginning token, or None."""
        value = getattr(self.hf, "bos_token_id", None)
        return value if isinstance(value, int) else None

    @cached_property
    def adds_bos(self) -> bool:
        """Whether text gets a beginning token by default: what the tokenizer does, not what it says."""
        return self.bos_id is not None and list(self.hf("a")["input_ids"])[:1] == [self.bos_id]

    @cached_property
    def _doubles_space(self) -> bool:
        """Whether a space is put in front of every text, also where there is one: then the user's own is that one."""
        bare, spaced = self._plain_ids("a"), self._plain_ids(" a")
        return bare != spaced and self.piece(bare[0]).startswith(" ")

    def piece(self, token_id: int) -> str:
        """Text of one token alone, its leading space included."""
        token = self.hf.convert_ids_to_tokens(int(token_id))
        if token is None:
            return f"<id {token_id}>"
        if isinstance(token, bytes):
            return _readable(token)
        if token_id in self.special:
            return str(token)
        if self._byte_level and all(ch in _byte_of() for ch in token):
            return _readable(bytes(_byte_of()[ch] for ch in token))
        if "▁" in token:
            return str(token).replace("▁", " ")
        return str(token)

    def label(self, token_id: int) -> str:
        """A token as people see it: visible whitespace, special tokens as ``‹bos›``."""
        if token_id in self.special:
            bare = str(self.hf.convert_ids_to_tokens(int(token_id))).strip("<>|[]")
            return f"‹{bare or token_id}›"
        return oddities.visible(self.piece(token_id))

    def vocabulary(self) -> int:
        """How many tokens the tokenizer has, added ones included."""
        return len(self.hf)

    def encode(self, prompt: Prompt, bos: bool | None = None) -> Tokens:
        """Tokenise a prompt with the tokenizer's own defaults; token ids are taken as they are.

        Args:
            prompt: text, or token ids.
            bos: None = what the tokenizer does; True = exactly one BOS in front; False = none.

        Raises:
            BadInput: an empty prompt, ids out of range, no BOS to force, or more tokens than the model has positions.
        """
        if bos is not None and not isinstance(bos, bool):
            raise BadInput(f"bos is True, False or None, not {bos!r}.", hint="None = what the tokenizer does.")
        given = prompt if isinstance(prompt, str) else None
        ids = self._with_bos(_ids_of(prompt) if given is None else self._ids_of_text(given), bos)
        self._check(ids)
        pieces = tuple(self.piece(i) for i in ids)
        text = self._decoded(ids) if given is None else given
        # Decoders may drop whitespace at the end, pieces keep it; a special token there ends no text.
        tail = "" if ids[-1] in self.special else _tail(text) or _tail("".join(pieces))
        ending = given if given is not None else text.rstrip() + tail
        return Tokens(
            text=text,
            ids=tuple(ids),
            pieces=pieces,
            strings=tuple(self.label(i) for i in ids),
            special=tuple(p for p, i in enumerate(ids) if i in self.special),
            warnings=(*oddities.of_text(ending), *oddities.of_ids(self, ids, given, bos)),
        )

    def _ids_of_text(self, prompt: str) -> list[int]:
        if not prompt.strip():
            raise BadInput("The prompt is empty.", hint="Write at least one word.")
        # Not verbose: too long a prompt is refused in words of our own.
        return list(self.hf(is_text(prompt, "The prompt"), add_special_tokens=True, verbose=False)["input_ids"])

    def _with_bos(self, ids: list[int], bos: bool | None) -> list[int]:
        if bos is None:
            return ids
        if self.bos_id is None:
            if bos:
                raise BadInput("This tokenizer has no beginning-of-sequence token.", hint="Leave bos=None.")
            return ids
        start = next((p for p, i in enumerate(ids) if i != self.bos_id), len(ids))
        return [self.bos_id, *ids[start:]] if bos else ids[start:]

    def _check(self, ids: list[int]) -> None:
        if not ids:
            raise BadInput("The prompt is empty: it gives no token.", hint="Write at least one word.")
        top = max(self.vocabulary(), int(getattr(self.hf, "vocab_size", 0) or 0))
        top = top if self.rows is None else min(top, self.rows)
        wrong = [i for i in ids if not 0 <= i < top]
        if wrong:
            raise BadInput(f"Token ids {wrong[:5]} are outside the vocabulary of {top}.", hint="Check the tokenizer.")
        table = self.limits.table
        if table is not None and len(ids) > table:
            raise BadInput(
                f"The prompt has {len(ids)} tokens and the model has {table} positions.",
                hint="Shorten the prompt.",
            )

    def _decoded(self, ids: list[int]) -> str:
        return str(self.hf.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _plain_ids(self, text: str) -> list[int]:
        return list(self.hf(text, add_special_tokens=False)["input_ids"])

    def ids_of(self, text: str) -> list[int]:
        """Ids of a text as written, without special tokens; its leading space is the user's.

        Raises:
            BadInput: half of a surrogate pair.
        """
        as_written = text[1:] if text.startswith(" ") and len(text) > 1 and self._doubles_space else text
        return self._plain_ids(is_text(as_written, "The text"))


def _tail(piece: str) -> str:
    return piece[len(piece.rstrip()) :]


def source_positions(base: Tokens, source: Tokens, align: str | Mapping[int, int] | None) -> dict[int, int]:
    """Which source position stands for which base position.

    Args:
        base: the prompt that is edited.
        source: the prompt that is read.
        align: None = position by position, for equal lengths; "suffix" pairs the ends (and the beginning tokens);
            a mapping {base position: source position}.

    Raises:
        PromptMismatch: lengths differ and no alignment was given; shows both tokenisations.
        BadInput: a mapping that names positions which are not there.
    """
    if isinstance(align, Mapping):
        for where, what, tokens in (("base", align.keys(), base), ("source", align.values(), source)):
            wrong = [p for p in what if whole(p) is None or not 0 <= p < len(tokens)]
            if wrong:
                raise BadInput(
                    f"align names {where} positions {wrong}; that prompt has {len(tokens)} tokens.",
                    hint="Count from 0.",
                )
        return dict(align)
    if align == "suffix":
        pairs = {len(base) - 1 - i: len(source) - 1 - i for i in range(min(len(base), len(source)))}
        if len(base) != len(source) and base.special[:1] == (0,) == source.special[:1]:
            pairs.pop(0, None)
            pairs = {b: s for b, s in pairs.items() if s != 0} | {0: 0}
        return dict(sorted(pairs.items()))
    if align is not None:
        raise BadInput(f"align is None, 'suffix' or a mapping, not {align!r}.", hint="'suffix' pairs the ends.")
    if len(base) != len(source):
        raise PromptMismatch(
            f"The prompts differ in length: {len(base)} tokens {listed(base.strings)} against {len(source)} tokens "
            f"{listed(source.strings)}.",
            hint="Pass align='suffix' or a mapping {base position: source position}.",
        )
    return {i: i for i in range(len(base))}
