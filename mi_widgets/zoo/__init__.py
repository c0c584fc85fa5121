"""The shipped checkpoints: tiny models that were really trained, with what is known of their insides.

`python -m mi_widgets.zoo list` names them; `python -m mi_widgets.zoo train tiny-names` trains one anew.
"""

from __future__ import annotations

from ..errors import BadInput
from ..model.shipped import DEFAULT, path

__all__ = ["DEFAULT", "check", "names", "path"]


def names() -> tuple[str, ...]:
    """The names of the checkpoints that have a recipe, the default one first."""
    from .recipe import MODULES

    return tuple(sorted(MODULES, key=lambda name: (name != DEFAULT, name)))


def check(name: str) -> str:
    """The name itself if there is a recipe of that name.

    Raises:
        BadInput: There is none; the message lists those there are.
    """
    if name not in names():
        raise BadInput(f"There is no shipped checkpoint named {name!r}.", hint=f"Shipped are: {', '.join(names())}.")
    return name
