"""`load`: a causal language model by name, from a folder or from the hub."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..errors import BadInput
from . import shipped
from .handle import Model, wrap
from .numbers import whole

_FAILURES = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)
_LONGEST_CAUSE = 200


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load(
    name: str | os.PathLike[str] | None = None,
    *,
    step: int | None = None,
    dtype: Any = None,
    device_map: Any = None,
    **kwargs: Any,
) -> Model:
    """Load a causal language model: a shipped one, a local folder, or a hub id.

    Args:
        name: None = the shipped default; a shipped name; a folder; or a hub id.
        step: a training step of a shipped model, one of `checkpoints(name)`; None = the finished model.
        dtype: torch dtype or its name. None = float32 for shipped models, what transformers does for others.
        device_map: as in transformers.
        **kwargs: passed to `AutoModelForCausalLM.from_pretrained` (`revision`, `token`, ...). Remote code is never run.

    Raises:
        BadInput: nothing could be loaded from there, or no such step ships; says what there is. What transformers
            raised is its `__cause__`.

    Example:
        >>> import mi_widgets as mi
        >>> mi.load().name
        'tiny-names'
        >>> mi.load("tiny-induction", step=600).name
        'tiny-induction step 600'
    """
    import transformers

    if "trust_remote_code" in kwargs:
        raise BadInput(
            "trust_remote_code is not set on your behalf.",
            hint="Load the model yourself and pass it to mi.wrap.",
        )
    is_shipped = name is None or str(name) in shipped.names()
    short = str(name or shipped.DEFAULT)
    where = str(shipped.path(short)) if is_shipped else short
    options: dict[str, Any] = dict(kwargs)
    if dtype is not None or is_shipped:
        options["dtype"] = dtype if dtype is not None else torch.float32
    if device_map is not None:
        options["device_map"] = device_map
    label = short if is_shipped else Path(short).name
    if step is not None:
        asked = _known_step(short, step, is_shipped)
        label = f"{short} step {asked}"
        if asked != shipped.checkpoints(short)[-1]:
            options["variant"] = shipped.variant(asked)
    if Path(where).is_dir() and not (Path(where) / "config.json").is_file():
        raise BadInput(
            f"The folder {short!r} has no config.json, so no model can be loaded from it.",
            hint="Give the folder that save_pretrained wrote.",
        )
    # A bar for 0.7 MB is noise; for a large model it is news.
    quiet = _no_bars() if is_shipped else contextlib.nullcontext()
    try:
        with quiet:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                where, **{k: v for k, v in kwargs.items() if k in ("revision", "token")}
            )
            hf = transformers.AutoModelForCausalLM.from_pretrained(where, **options)
    except _FAILURES as problem:
        raise BadInput(
            f"No causal language model could be loaded from {short!r}: {_first_line(problem)}",
            hint=f"Give a folder, a hub id, or one of the shipped models: {', '.join(shipped.names())}.",
        ) from problem
    model = wrap(hf, tokenizer, label)
    model.origin = where, {name: value for name, value in options.items() if name != "token"}
    return model


def _known_step(name: str, step: int, is_shipped: bool) -> int:
    if not is_shipped:
        raise BadInput(
            f"step= chooses among the training steps of a shipped model, and {name!r} is none.",
            hint=f"Shipped are: {', '.join(shipped.names())}. A hub model names its checkpoints by revision=.",
        )
    steps = shipped.checkpoints(name)
    asked = whole(step)
    if asked is None or asked not in steps:
        raise BadInput(
            f"{name} ships no training step {step!r}.",
            hint=f"It ships {'these steps' if len(steps) > 1 else 'this step alone'}: {', '.join(map(str, steps))}.",
        )
    return asked


def _first_line(problem: Exception) -> str:
    """The cause in one short sentence: libraries follow theirs with pages of advice."""
    # str() of a KeyError is the key alone, in quotes.
    text = f"unknown key {problem}" if isinstance(problem, KeyError) else str(problem)
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(problem).__name__)
    if line.endswith(":"):
        line = " ".join(text.split())
    if len(line) > _LONGEST_CAUSE:
        line = line[: _LONGEST_CAUSE - 1].rsplit(" ", 1)[0] + " …"
    return line if line.endswith((".", "…")) else f"{line}."
