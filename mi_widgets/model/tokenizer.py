"""Text to tokens and back, by any Hugging Face tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import torch

from ..errors import BadInput
from . import oddities
from .limits import Limits
from .numbers import whole
from .tokens import Tokens

Prompt = str | Sequence[int] | torch.Tensor
"""Text, or token ids."""


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
