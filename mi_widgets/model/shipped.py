"""Where the shipped checkpoints lie. Data only: how they were made is in `mi_widgets.zoo`."""

from __future__ import annotations

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
