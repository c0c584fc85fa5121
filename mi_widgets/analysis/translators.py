"""Translators of a tuned lens, read from the folder that the tuned-lens library writes; no code of a file is run.

A translator is an affine map that takes the stream as it enters a layer to where the final norm and the unembedding can
read it (Belrose et al. 2023).
"""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import BadInput
from ..model.handle import Model
from .lens_rows import LensRow

CONFIG = "config.json"
WEIGHTS = ("params.safetensors", "params.pt")

SHOWN = 64
"""Rows and columns of a matrix that are enough for numpy to print it as it prints the whole: shortened."""

_FOLDER = "Give the folder that tuned_lens saves: config.json and params.pt (or params.safetensors)."


@dataclass(frozen=True, eq=False)
class Translators:
    """Translators of one model's tuned lens.

    Attributes:
        weights: [layer, d_model, d_model] float32.
        biases: [layer, d_model] float32.
        trained_for: name of the model that they were trained for, or "".
        path: the folder.
        unembed_hash: tells the unembedding that they were trained with, see `hash_of`; "" = not to be compared.
    """

    weights: torch.Tensor
    biases: torch.Tensor
    trained_for: str = ""
    path: str = ""
    unembed_hash: str = ""

    def __len__(self) -> int:
        return len(self.weights)

    def of(self, row: LensRow, n_layers: int) -> int | None:
        """Number of the translator of a row, or None: the last row and what lies within a layer have none.

        Example:
            >>> none = Translators(torch.zeros(2, 4, 4), torch.zeros(2, 4))
            >>> none.of(LensRow("resid_pre", 0), 2), none.of(LensRow("resid_post", 0), 2)
            (0, 1)
            >>> none.of(LensRow("resid_post", 1), 2) is None
            True
        """
        if row.site == "resid_pre":
            return row.layer
        return row.layer + 1 if row.site == "resid_post" and row.layer + 1 < n_layers else None

    def applied(self, row: LensRow, stream: torch.Tensor) -> torch.Tensor:
        """The stream h + (W h + b), [position, d_model] in its own dtype; as it is where the row has no translator."""
        number = self.of(row, len(self))
        if number is None:
            return stream
        weight, bias = self.weights[number].to(stream.device), self.biases[number].to(stream.device)
        h = stream.float()
        return (h + torch.addmm(bias, h, weight.T)).to(stream.dtype)

    def require(self, model: Model) -> None:
        """Raise when these are not translators of a model of this shape.

        Raises:
            BadInput: another number of layers, another width, or another unembedding.
        """
        layers, width = self.weights.shape[:2]
        if (layers, width) != (model.n_layers, model.d_model):
            raise BadInput(
                f"These translators are for {layers} layers of width {width} ({self.trained_for or 'unnamed model'}), "
                f"and {model.name} has {model.n_layers} layers of width {model.d_model}.",
                hint="Take the tuned lens that was trained for this model.",
            )
        if self.unembed_hash and self.unembed_hash != hash_of(model):
            raise BadInput(
                f"These translators were trained with another unembedding ({self.trained_for or 'not named'}) than "
                f"that of {model.name}: their unembed_hash does not match.",
                hint="Take the tuned lens of this very model, or read them by read_translators(folder, compare=False).",
            )

    def notes(self, model: Model) -> tuple[str, ...]:
        """What a reader must know: where the numbers are not those of the library, and for which model it was made."""
        parts = model.architecture
        found = [f"Tuned lens from {Path(self.path).name or 'memory'}, trained for {self.trained_for or '(not said)'}."]
        extra = []
        if parts.logit_scale != 1.0:
            extra.append(f"logit scale {parts.logit_scale:g}")
        if parts.softcap is not None:
            extra.append(f"softcap {parts.softcap:g}")
        if extra:
            found.append(
                f"The model's own {' and '.join(extra)} is applied behind the translators; the tuned-lens library "
                "leaves it out, so its probabilities differ."
            )
        return tuple(found)


def read_translators(folder: str | Path, compare: bool = True) -> Translators:
    """Translators from a folder that the tuned-lens library has saved.

    `config.json` says d_model and num_hidden_layers; `params.pt` (or `params.safetensors`) holds "0.weight", "0.bias",
    ... Weights are read with `torch.load(weights_only=True)`, which runs no code of the file.

    Args:
        folder: on this machine; nothing is fetched.
        compare: refuse models with another unembedding than the one they were trained with.

    Raises:
        BadInput: what is missing, or does not fit together.
    """
    path = Path(folder)
    config = _config(path)
    file = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
    if file is None:
        raise BadInput(f"There are no weights of translators in {path}.", hint=_FOLDER)
    found = _translators(path, config, _state(file), file)
    return found if compare else replace(found, unembed_hash="")


def as_translators(given: Any) -> Translators | None:
    """Translators as users give them: None, the folder of a tuned lens, or what was read of one.

    Raises:
        BadInput: something else, or a folder that holds none.
    """
    if given is None or isinstance(given, Translators):
        return given
    if not isinstance(given, (str, Path)):
        raise BadInput(
            f"translators is the folder of a tuned lens, not {type(given).__name__}.",
            hint="Give the folder that holds config.json and params.pt.",
        )
    return read_translators(given)


def hash_of(model: Model) -> str:
    """What the tuned-lens library tells an unembedding by: a hash of numpy's short printout of its matrix.

    That shows the corners alone, so only they are looked at.
    """
    import numpy as np

    weight: Any = model.shadow.get_submodule(model.architecture.unembed).weight
    for axis, size in enumerate(weight.shape):
        if size > SHOWN:
            ends = torch.cat([torch.arange(SHOWN // 2), torch.arange(size - SHOWN // 2, size)])
            weight = weight.index_select(axis, ends.to(weight.device))
    with np.printoptions(threshold=1000, edgeitems=3, linewidth=75, suppress=False, floatmode="maxprec", sign="-"):
        printed = np.array_str(weight.detach().float().cpu().numpy(), precision=1)
    return hashlib.sha256(printed.encode()).hexdigest()


def _config(path: Path) -> dict[str, Any]:
    file = path / CONFIG
    if not file.is_file():
        raise BadInput(f"There is no {CONFIG} in {path}.", hint=_FOLDER)
    try:
        config = json.loads(file.read_text("utf-8"))
    except (ValueError, OSError) as problem:
        raise BadInput(f"{file} could not be read: {problem}.", hint=_FOLDER) from None
    if not isinstance(config, dict):
        raise BadInput(f"{file} holds no settings of a tuned lens.", hint=_FOLDER)
    kind = config.get("lens_type", "linear_tuned_lens")
    if kind != "linear_tuned_lens":
        raise BadInput(f"{file} is of a lens of type {kind!r}.", hint="Only linear_tuned_lens is known.")
    for name in ("d_model", "num_hidden_layers"):
        if not isinstance(config.get(name), int) or isinstance(config[name], bool) or config[name] < 1:
            raise BadInput(f"{file} says {name} = {config.get(name)!r}, which is no size.", hint=_FOLDER)
    return config


def _state(file: Path) -> dict[str, torch.Tensor]:
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(str(file))
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        raise BadInput(
            f"{file} holds more than numbers, and was not opened: {str(problem).splitlines()[0]}",
            hint="Save the state_dict of the translators, or convert it to params.safetensors.",
        ) from None
    except Exception as problem:  # a file that is cut off or of another kind fails in many ways
        raise BadInput(f"{file} could not be read: {type(problem).__name__}: {problem}.", hint=_FOLDER) from None
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise BadInput(f"{file} does not hold the weights of translators.", hint=_FOLDER)
    return state


def _translators(path: Path, config: dict[str, Any], state: dict[str, torch.Tensor], file: Path) -> Translators:
    layers, width = config["num_hidden_layers"], config["d_model"]
    biased = config.get("bias", True)
    names: dict[str, tuple[int, ...]] = {f"{i}.weight": (width, width) for i in range(layers)}
    names |= {f"{i}.bias": (width,) for i in range(layers)} if biased else {}
    missing, more = sorted(names.keys() - state.keys()), sorted(map(str, state.keys() - names.keys()))
    if missing or more:
        wrong = [f"{what} {_some(which)}" for what, which in (("missing", missing), ("unknown", more)) if which]
        raise BadInput(
            f"{file.name} does not fit {CONFIG}, which says {layers} layers{'' if biased else ' without bias'}: "
            f"{'; '.join(wrong)}.",
            hint="Take both files from one folder.",
        )
    for name, shape in names.items():
        if tuple(state[name].shape) != shape or not state[name].is_floating_point():
            raise BadInput(
                f"{name} in {file.name} is {list(state[name].shape)} {state[name].dtype}, and {CONFIG} says "
                f"{list(shape)}.",
                hint="Take both files from one folder.",
            )
    weights = torch.stack([state[f"{i}.weight"].float() for i in range(layers)])
    biases = torch.stack([state[f"{i}.bias"].float() if biased else torch.zeros(width) for i in range(layers)])
    if not bool(weights.isfinite().all()) or not bool(biases.isfinite().all()):
        raise BadInput(f"{file.name} holds numbers that are not finite.", hint="Train the lens anew.")
    trained_for, unembed = (str(config.get(name) or "") for name in ("base_model_name_or_path", "unembed_hash"))
    return Translators(weights, biases, trained_for, str(path), unembed)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
