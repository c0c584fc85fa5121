"""The experiment behind a widget, from what people pass to its constructor."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any

from mi_widgets.errors import BadInput

if TYPE_CHECKING:
    from mi_widgets.experiment import Experiment

__all__ = ["experiment_of"]

LAYOUT = ("layout",)


def experiment_of(widget: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Experiment, dict[str, Any]]:
    """Reads `(exp)`, `(model, "prompt", ...)` or `(hf_model, tokenizer, "prompt", ...)`.

    Args:
        widget: the class's name, for messages.
        args: what was passed by place.
        kwargs: what was passed by name.

    Returns:
        The experiment, and what belongs to the ipywidgets layer.

    Raises:
        BadInput: none of these, or a keyword nobody knows; says which there are.
    """
    layout = {name: kwargs[name] for name in LAYOUT if name in kwargs}
    rest = {name: value for name, value in kwargs.items() if name not in LAYOUT}
    first: Any = args[0] if args else None
    # By what it can do, not by its class: importing the class would load torch for nothing.
    if callable(getattr(first, "snapshot", None)) and callable(getattr(first, "ask", None)):
        if len(args) > 1:
            raise BadInput(f"{widget}(exp) takes one experiment and nothing after it.", hint=_forms(widget))
        _refuse_unknown(widget, rest, LAYOUT)
        return first, layout
    if first is None:
        raise BadInput(f"{widget} needs something to show.", hint=_forms(widget))
    return _made(widget, args, rest), layout


def _made(widget: str, args: tuple[Any, ...], rest: dict[str, Any]) -> Experiment:
    from mi_widgets.experiment import Experiment
    from mi_widgets.model.handle import Model, wrap

    known = [name for name in inspect.signature(Experiment).parameters if name != "model"]
    _refuse_unknown(widget, rest, (*known, *LAYOUT))
    theirs = not isinstance(args[0], Model)
    if theirs and (isinstance(args[0], (str, int, list, tuple, dict)) or len(args) < 2):
        raise BadInput(f"{widget} cannot show {type(args[0]).__name__}.", hint=_forms(widget))
    if len(args) == 1 + theirs and "clean" not in rest:
        raise BadInput(f"{widget} needs a prompt.", hint=_forms(widget))
    if not theirs:
        return Experiment(*args, **rest)
    return Experiment(wrap(args[0], args[1]), *args[2:], **rest)


def _refuse_unknown(widget: str, given: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f"Did you mean {close[0]}=? " if close else ""
            raise BadInput(f"{widget} has no argument {name}=.", hint=f"{meant}It takes {', '.join(known)}.")


def _forms(widget: str) -> str:
    return (
        f"Write {widget}(exp), {widget}(model, 'a prompt') or {widget}(hf_model, tokenizer, 'a prompt'), "
        "where exp = mi.Experiment(model, ...) and model = mi.load()."
    )
