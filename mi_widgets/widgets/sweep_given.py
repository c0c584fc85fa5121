"""What stands in the place of an experiment when a sweep widget is made from a finished map."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, NoReturn

from mi_widgets.errors import BadInput, SiteUnavailable
from mi_widgets.experiment.observers import Observers
from mi_widgets.experiment.selecting import Selecting
from mi_widgets.interventions.metrics import METRICS
from mi_widgets.interventions.sites import Site
from mi_widgets.jobs import Scheduler
from mi_widgets.results import SweepResult

__all__ = ["GivenSweep"]

HINT = "Make it from an experiment: mi.PatchSweep(exp, site=...)."


class GivenSweep(Selecting):
    """One finished map; it can be looked at, and asked nothing.

    Args:
        given: the map.

    Raises:
        BadInput: it has other axes than layer and position, or layer and head.
    """

    def __init__(self, given: SweepResult) -> None:
        if given.axes not in (("position",), ("head",)):
            axes = " x ".join(("layer", *given.axes))
            raise BadInput(
                f"A sweep widget shows layer x position or layer x head; this map is {axes}.",
                hint="Sweep with fewer axes, or draw result.to_frame().",
            )
        self.given = given
        self.id = f"map-{uuid.uuid4().hex[:8]}"
        self.rev = 1
        self.scheduler = Scheduler("map")
        self._observers = Observers()

    def observe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with "selection" after each change; returns a function that stops it."""
        return self._observers.add(callback)

    def check_site(self, site: Site) -> None:
        """Raise unless a site is a cell, or some, of the map.

        Raises:
            BadInput, SiteUnavailable: out of range, or not there.
        """
        given = self.given
        if site.kind != given.site:
            raise SiteUnavailable(f"{site} is not there: this is a finished map of {given.site}.", hint=HINT)
        places = (("layer", site.layer, given.layers), ("head", site.head, given.heads))
        for what, value, there in (*places, ("position", site.position, given.positions)):
            if value is not None and value not in there:
                raise BadInput(f"{site} names a {what} that the map does not have.", hint=f"It has {list(there)}.")

    def snapshot(self, *_: Any, **__: Any) -> NoReturn:
        """There is no question."""
        raise BadInput("This widget was made from a finished map: there is no model to ask.", hint=HINT)

    ask = snapshot

    def question(self) -> dict[str, Any]:
        """What the header shows; see tests/contract."""
        given = self.given
        prompts = {given.base: given.tokens}
        if any(given.source_tokens):
            prompts["corrupted" if given.base == "clean" else "clean"] = given.source_tokens
        numbers = {token: at for at, token in enumerate(dict.fromkeys((*given.tokens, *given.source_tokens)))}
        shown = {run: _prompt(tokens, numbers) for run, tokens in prompts.items()}
        name = given.metric_name
        return {
            "rev": self.rev,
            "model": None,
            "title": f"Patch sweep of {given.provenance.model}",
            "arrays": True,
            "compare": None,
            "prompts": {"clean": shown.get("clean", _prompt((), {})), "corrupted": shown.get("corrupted")},
            "prompt": 0,
            "n_prompts": 1,
            "answer": None,
            "distractor": None,
            "metric": name,
            "metric_label": METRICS[name][1] if name in METRICS else name,
            "metrics": [],
            "base": given.base,
            "answer_position": max(0, len(given.tokens) - 1),
            "edits": [],
            "history": {"undo": False, "redo": False},
            "baselines": None,
            "warnings": [],
        }


def _prompt(tokens: tuple[str, ...], numbers: dict[str, int]) -> dict[str, Any]:
    """Tokens as the map names them. Their ids are not kept with a map: the same token has the same number here."""
    return {
        "text": " ".join(tokens),
        "ids": [numbers[token] for token in tokens],
        "labels": list(tokens),
        "special": [],
    }
