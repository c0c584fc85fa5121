"""`load`: a causal language model by name, from a folder or from the hub."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import BadInput
from . import shipped
from .handle import Model, wrap


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
    name: str | os.PathLike[str] | None = None, *, dtype: Any = None, device_map: Any = None, **kwargs: Any
) -> Model:
    """Load a causal language model: a shipped one, a local folder, or a hub id.

    Args:
        name: None = the shipped default; a shipped name; a folder; or a hub id.
        dtype: torch dtype or its name. None = float32 for shipped models, what transformers does for others.
        device_map: as in transformers.
        **kwargs: passed to `AutoModelForCausalLM.from_pretrained` (`revision`, `token`, ...). Remote code is never run.

    Raises:
        BadInput: nothing could be loaded from there; says what the shipped names are.

    Example:
        >>> import mi_widgets as mi
        >>> mi.load().name
        'tiny-names'
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
    # A bar for 0.7 MB is noise; for a large model it is news.
    quiet = _no_bars() if is_shipped else contextlib.nullcontext()
    try:
        with quiet:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                where, **{k: v for k, v in kwargs.items() if k in ("revision", "token")}
            )
            hf = transformers.AutoModelForCausalLM.from_pretrained(where, **options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as problem:
        raise BadInput(
            f"No causal language model could be loaded from {short!r}: {problem}",
            hint=f"Give a folder, a hub id, or one of the shipped models: {', '.join(shipped.names())}.",
        ) from problem
    return wrap(hf, tokenizer, short if is_shipped else Path(short).name)
