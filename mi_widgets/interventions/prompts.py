"""Prompts as edits keep them: a name, a text, token ids, or several of these."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import torch

from ..errors import BadInput
from ..model.numbers import whole

NAMED = ("other", "clean", "corrupted")
"""The runs of an experiment that edits may name."""

Prompt = str | tuple[int, ...]
"""Text, or token ids."""

Prompts = Prompt | tuple[Prompt, ...]
"""The name of a run, one prompt, or several."""


def prompts_of(name: str, given: Any, named: tuple[str, ...]) -> Prompts | torch.Tensor:
    """What a user gave to read from, as an edit keeps it; a tensor of real numbers stays one.

    Args:
        name: of the argument.
        given: the name of a run, text, token ids, several prompts (a column of a frame), or a tensor.
        named: the names that mean a run.

    Raises:
        BadInput: none of these, or a word that is nearly a name.
    """
    if isinstance(given, torch.Tensor) and given.is_floating_point():
        return given
    if isinstance(given, str):
        close = difflib.get_close_matches(given.lower(), named, 1, 0.75)
        if close and given not in named:
            raise BadInput(
                f"{name} {given!r} is no run, and too near to {close[0]!r} to be taken for a prompt.",
                hint=f"Runs: {', '.join(named)}. A prompt that reads so is given as token ids.",
            )
        if not given.strip():
            raise BadInput(f"{name} is an empty prompt.", hint="Write at least one word.")
        return given
    given = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(given, Iterable) and not isinstance(given, (bytes, bytearray, dict)):
        several = tuple(given)
        ids = tuple(whole(i) for i in several)
        if several and None not in ids:
            return tuple(i for i in ids if i is not None)
        prompts = tuple(_one(p) for p in several)
        if prompts and None not in prompts:
            return tuple(p for p in prompts if p is not None)
    raise BadInput(
        f"{name} is {', '.join([*map(repr, named), 'a prompt, several prompts or a tensor'])}, not "
        f"{type(given).__name__}.",
        hint="Prompts are texts or token ids; an array becomes a tensor by torch.as_tensor(...).",
    )


def _one(prompt: Any) -> Prompt | None:
    if isinstance(prompt, str):
        return prompt if prompt.strip() else None
    if isinstance(prompt, Iterable) and not isinstance(prompt, (bytes, bytearray, dict)):
        ids = tuple(whole(i) for i in prompt)
        return tuple(i for i in ids if i is not None) if ids and None not in ids else None
    return None


def shown(source: Any) -> str:
    """A source in a few words."""
    if isinstance(source, torch.Tensor):
        return f"a tensor {list(source.shape)}"
    if isinstance(source, str):
        return source if source in NAMED else repr(source if len(source) <= 40 else source[:37] + "...")
    if all(isinstance(i, int) for i in source):
        return f"{len(source)} token ids"
    return shown(source[0]) if len(source) == 1 else f"{len(source)} prompts"
