"""What is odd about a prompt, in plain sentences: each is a way to a wrong number without an error."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tokenizer import Tokenizer
    from .tokens import Tokens

_GLYPHS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}

# The joiners shape letters and emoji; they are part of the writing.
_SHAPING = frozenset("\u200c\u200d")
_LOOK_LIKE_A_SPACE = frozenset("\u00a0\u202f")


def visible(text: str) -> str:
    """Text with visible whitespace, and characters that cannot be seen as ``<U+200B>``."""
    shown = [_GLYPHS.get(ch) or (ch if ch.isprintable() else f"<U+{ord(ch):04X}>") for ch in text]
    return "".join(shown) or "‹empty›"


def _hidden(ch: str) -> bool:
    category = unicodedata.category(ch)
    if ch in _LOOK_LIKE_A_SPACE or ch == "\ufffd":
        return True
    return (category == "Cf" and ch not in _SHAPING) or (category == "Cc" and ch not in _GLYPHS)


def of_text(text: str) -> list[str]:
    """Whitespace at the end, and characters that are not what they look like."""
    found = []
    tail = text[len(text.rstrip()) :]
    if tail:
        then = (
            "the answer begins a new line."
            if tail.endswith(("\n", "\r"))
            else "most models expect the space on the next token, not in front of it."
        )
        found.append(f"The prompt ends with whitespace ({visible(tail)}): {then}")
    hidden = [(i, ch) for i, ch in enumerate(text) if _hidden(ch)]
    if hidden:
        shown = ", ".join(f"U+{ord(ch):04X} at character {i}" for i, ch in hidden[:3])
        more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
        found.append(f"The prompt holds characters that cannot be told by eye: {shown}{more}.")
    return found


def of_ids(tokenizer: Tokenizer, ids: Sequence[int], text: str | None, bos: bool | None) -> list[str]:
    """Beginning tokens, padding, special tokens at the end, unknown words, and length.

    Args:
        tokenizer: whose ids they are.
        ids: of the prompt, as they go to the model.
        text: what they were made of; None when ids were given.
        bos: what was asked for; None = the tokenizer's default.
    """
    found: list[str] = []
    hf, special = tokenizer.hf, tokenizer.special
    first = tokenizer.bos_id
    if first is not None and list(ids[:2]) == [first, first]:
        found.append("The prompt starts with two beginning tokens: leave one out, or pass bos=True.")
    elif first is not None and bos is None and ids[0] != first:
        begin = tokenizer.label(first)
        if text is None and tokenizer.adds_bos:
            found.append(f"The token ids do not start with {begin}, which this tokenizer puts in front of text: "
                         "pass bos=True to have it.")  # fmt: skip
        elif text is not None and getattr(hf, "add_bos_token", None) is True:
            found.append(f"The tokenizer says that it puts {begin} in front, and does not: pass bos=True to have it.")
    pad = getattr(hf, "pad_token_id", None)
    if text is None and pad is not None and pad != first and ids[0] == pad:
        found.append("The token ids start with padding, which the model reads as text: leave it out, prompts of "
                     "different length are padded here.")  # fmt: skip
    if all(i in special for i in ids):
        found.append("The prompt holds only special tokens.")
    elif ids[-1] in special and ids[-1] != getattr(hf, "unk_token_id", None):
        found.append(f"The prompt ends with the special token {tokenizer.label(ids[-1])}, and the answer is read "
                     "behind it: leave it out, or give another answer_position.")  # fmt: skip
    unk = getattr(hf, "unk_token_id", None)
    if unk is not None and unk != first and unk in ids:
        at = ", ".join(str(i) for i, token in enumerate(ids) if token == unk)
        found.append(f"Unknown to this model's vocabulary, read as {tokenizer.label(unk)}: position {at}.")
    trained = tokenizer.limits.trained
    if trained is not None and len(ids) > trained:
        found.append(f"The prompt has {len(ids)} tokens and the model's config speaks of {trained}: further positions "
                     "are computed, but the model may never have seen them.")  # fmt: skip
    return found


def of_pair(clean: Tokens, corrupted: Tokens) -> list[str]:
    """What makes two prompts differ where nobody meant them to: their beginning token and their end."""
    found = []
    begins = [t.strings[0] if t.special[:1] == (0,) else None for t in (clean, corrupted)]
    if begins[0] != begins[1]:
        names = [name or "no special token" for name in begins]
        found.append(f"The prompts begin differently: clean with {names[0]}, corrupted with {names[1]}.")
    tails = [t.text[len(t.text.rstrip()) :] for t in (clean, corrupted)]
    if tails[0] != tails[1]:
        ends = [visible(tail) if tail else "none" for tail in tails]
        found.append(f"The prompts end differently in whitespace: clean with {ends[0]}, corrupted with {ends[1]}.")
    return found
