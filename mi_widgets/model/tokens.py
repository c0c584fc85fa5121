"""A prompt in tokens: ids, the text of each with its whitespace made visible, and positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import BadInput
from .numbers import whole


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


def listed(strings: Sequence[str]) -> str:
    """Tokens in a message: all of them, or both ends of many."""
    if len(strings) <= 40:
        return str(list(strings))
    head, tail = (str(list(part))[1:-1] for part in (strings[:10], strings[-10:]))
    return f"[{head}, ... {len(strings) - 20} more ..., {tail}]"
