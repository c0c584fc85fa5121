"""The lines of a script that load the model as it was loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from ..errors import BadInput
from ..model.handle import Model
from .text import comment, quoted, wrapped

_SECRET = frozenset({"token", "use_auth_token", "cache_dir", "local_files_only", "force_download", "proxies"})
_SAID = frozenset({"dtype", "torch_dtype", "device_map", "attn_implementation"})
PLACEHOLDER = "path or hub id"


@dataclass(frozen=True)
class Loading:
    """How a script loads the model.

    Attributes:
        imports: lines at its top.
        lines: the loading.
        notes: sentences for who runs it.
    """

    imports: tuple[str, ...]
    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()


def loading_of(model: Model, path: str | None) -> Loading:
    """Load a model as the user did, in the dtype, on the device and with the attention kernel of its runs.

    Args:
        model: what was run.
        path: a folder or hub id in place of the known one.

    Raises:
        BadInput: `from_pretrained` alone would not give this model: adapters stand in it, or options that are no text.
    """
    hf = model.hf
    if any(type(m).__module__.split(".")[0] == "peft" for m in hf.modules()):
        raise BadInput(
            "Adapters of PEFT stand in this model, which from_pretrained alone does not load.",
            hint="Merge them (merge_and_unload), save the model with save_pretrained, and load that.",
        )
    where, options = (path, {}) if path is not None else _origin(model)
    name = _class_of(hf)
    given = [f"dtype={model.dtype}", f"attn_implementation={quoted(model.architecture.kernel)}"]
    given += [f"{key}={_plain(key, value)}" for key, value in options.items() if key not in _SECRET | _SAID]
    spread = getattr(hf, "hf_device_map", None)
    several = isinstance(spread, dict) and len(set(spread.values())) > 1
    if isinstance(spread, dict) and several:
        given.append(f"device_map={_plain('device_map', {k: _device(v) for k, v in spread.items()})}")
    notes = []
    if where is None:
        notes.append("Nobody knows where this model is saved: fill in MODEL, or give exp.to_code(path=...).")
    if model.changes and path is None:
        words = ", ".join(model.changes[-1].words)
        notes.append(f"The model was changed after it was loaded ({words}), and the script loads it as it was saved.")
    hooked = [name for name, m in hf.named_modules() if m._forward_hooks or m._forward_pre_hooks]
    if hooked:
        notes.append(f"Hooks of yours stand on {hooked[0] or 'the model'}, which the script does not have.")
    load = wrapped(f"model = {name}.from_pretrained(", ["MODEL", *given], ")")
    move = "model.eval()" if several else f'model = model.to("{model.device}").eval()'
    first = f"MODEL = {quoted(where or PLACEHOLDER)}"
    lines = [*(comment(note) for note in notes), first, load, move]
    return Loading((f"from transformers import {name}",), tuple(lines), tuple(notes))


def _device(value: Any) -> Any:
    return str(value) if isinstance(value, torch.device) else value


def _origin(model: Model) -> tuple[str | None, dict[str, Any]]:
    """Where a model is from and how it was loaded; None where nobody knows."""
    if model.origin is not None:
        return model.origin
    where = str(getattr(model.hf.config, "_name_or_path", "") or "")
    if not where:
        return None, {}
    commit = getattr(model.hf.config, "_commit_hash", None)
    return where, {"revision": str(commit)} if commit and not Path(where).exists() else {}


def _class_of(hf: Any) -> str:
    """The class to load with: the general one where it gives this class."""
    found = transformers.AutoModelForCausalLM._model_mapping.get(type(hf.config), ())
    kinds = found if isinstance(found, tuple) else (found,)
    name = type(hf).__name__
    if type(hf) in kinds:
        return "AutoModelForCausalLM"
    if getattr(transformers, name, None) is None:
        raise BadInput(
            f"{name} is no class of transformers, so a script of transformers and PyTorch alone cannot load it.",
            hint="Run the edits with exp.run.",
        )
    return name


def _plain(key: str, value: Any) -> str:
    if isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_plain(key, k)}: {_plain(key, v)}" for k, v in value.items()) + "}"
    raise BadInput(
        f"The model was loaded with {key}={type(value).__name__}(...), which cannot be written as text.",
        hint="Save the model with save_pretrained, and give its folder: exp.to_code(path='folder').",
    )
