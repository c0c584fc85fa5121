"""Where the shipped checkpoints lie. Data only: how they were made is in `mi_widgets.zoo`."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import BadInput

DEFAULT = "tiny-names"
_WEIGHTS = Path(__file__).parent.parent / "zoo" / "weights"


def names() -> tuple[str, ...]:
    """Names of the checkpoints that lie there, the default one first."""
    found = {config.parent.name for config in _WEIGHTS.glob("*/config.json")}
    return tuple(sorted(found, key=lambda name: (name != DEFAULT, name)))


def path(name: str = DEFAULT) -> Path:
    """The folder of a shipped checkpoint, for `from_pretrained`; loads without a network.

    Raises:
        BadInput: there is no checkpoint of that name.
    """
    if name not in names():
        raise BadInput(f"There is no shipped checkpoint {name!r}.", hint=f"Shipped are: {', '.join(names())}.")
    return _WEIGHTS / name


def variant(step: int) -> str:
    """What transformers calls a training step in its folder: `from_pretrained(folder, variant="step600")`."""
    return f"step{step}"


def checkpoints(name: str = DEFAULT) -> tuple[int, ...]:
    """The training steps of a shipped model that ship, ascending; the last is the finished model.

    Step 0 is the untrained model. A model that ships in its final form alone has one step, so this loop runs for
    every shipped model:

        for step in mi.checkpoints(name):
            model = mi.load(name, step=step)

    Raises:
        BadInput: there is no shipped model of that name; lists those there are.

    Example:
        >>> import mi_widgets as mi
        >>> mi.checkpoints("tiny-induction")[-1]
        1500
        >>> mi.checkpoints("tiny-names")
        (2500,)
    """
    folder = path(name)
    kept = {int(file.name.split(".")[1].removeprefix("step")) for file in folder.glob("model.step*.safetensors")}
    final = int(json.loads((folder / "training.json").read_text(encoding="utf-8"))["steps"])
    return tuple(sorted(kept | {final}))
