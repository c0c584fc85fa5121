"""What stands in the place of an experiment when a heads widget is made from arrays."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, NoReturn

from mi_widgets.analysis.given import MODEL, GivenHeads
from mi_widgets.errors import BadInput, SiteUnavailable
from mi_widgets.experiment.observers import Observers
from mi_widgets.experiment.selecting import Selecting
from mi_widgets.interventions.sites import Site
from mi_widgets.jobs import Scheduler
from mi_widgets.model.oddities import visible

__all__ = ["ArraysExperiment"]


class ArraysExperiment(Selecting):
    """One prompt and its attention; it can be looked at, and asked nothing.

    Args:
        given: the arrays.
        title: what the header says, or None.

    Raises:
        BadInput: the title is no text.
    """

    def __init__(self, given: GivenHeads, title: str | None = None) -> None:
        if title is not None and not isinstance(title, str):
            raise BadInput(f"title is text, not {type(title).__name__}.", hint="Leave it out for none.")
        self.given = given
        self.id = f"arrays-{uuid.uuid4().hex[:8]}"
        self.rev = given.rev
        self.scheduler = Scheduler("arrays")
        self._title = title
        self._observers = Observers()

    def observe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with "selection" after each change; returns a function that stops it."""
        return self._observers.add(callback)

    def check_site(self, site: Site) -> None:
        """Raise unless a site is a pattern within the arrays.

        Raises:
            BadInput, SiteUnavailable: out of range, or not there.
        """
        if site.kind != "pattern":
            raise SiteUnavailable(f"{site} is not there: this widget was made from arrays of attention.", hint=MODEL)
        given = self.given
        for what, value, end in (("layer", site.layer, given.n_layers), ("head", site.head, given.n_heads)):
            if value is not None and value >= end:
                raise BadInput(f"{site} names a {what} that is not there.", hint=f"Use 0 to {end - 1}.")
        length = len(given.tokens)
        for place in (site.position, site.src):
            if place is not None and not -length <= place < length:
                raise BadInput(f"{site} names position {place}; there are {length} tokens.", hint="Count from 0.")

    def snapshot(self, *_: Any, **__: Any) -> NoReturn:
        """There is no question."""
        raise BadInput("This widget was made from arrays: there is no model to ask.", hint=MODEL)

    ask = snapshot

    def question(self) -> dict[str, Any]:
        """What the header shows; see tests/contract."""
        given = self.given
        clean = {
            "text": "".join(given.tokens),
            "ids": list(given.ids),
            "labels": [visible(token) for token in given.tokens],
            "special": [],
        }
        return {
            "rev": self.rev,
            "model": None,
            "title": self._title,
            "arrays": True,
            "compare": None,
            "prompts": {"clean": clean, "corrupted": None},
            "prompt": 0,
            "n_prompts": 1,
            "answer": None,
            "distractor": None,
            "metric": "",
            "metric_label": "",
            "metrics": [],
            "base": "clean",
            "answer_position": len(given.tokens) - 1,
            "edits": [],
            "history": {"undo": False, "redo": False},
            "baselines": None,
            "warnings": [],
        }
