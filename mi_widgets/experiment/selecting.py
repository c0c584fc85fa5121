"""What is selected in all views of an experiment."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import BadInput
from ..interventions.question import Question
from ..interventions.sites import Site
from ..model.architecture import HEAD_SITES
from ..model.handle import Model
from .observers import Observers


class Selecting:
    """The selection of an experiment: sites that its model and prompts have."""

    model: Model
    _question: Question
    _observers: Observers
    _selection: tuple[Site, ...] = ()

    @property
    def selection(self) -> tuple[Site, ...]:
        """What is selected in all views; assign sites or their texts."""
        return self._selection

    @selection.setter
    def selection(self, sites: Iterable[Site | str]) -> None:
        if not isinstance(sites, Iterable):
            raise BadInput(f"A selection is sites or their texts, not {sites!r}.", hint="() selects nothing.")
        several = (sites,) if isinstance(sites, (str, Site)) else tuple(sites)
        new = tuple(s if isinstance(s, Site) else Site.parse(s) for s in several)
        for site in new:
            self.check_site(site)
        if new != self._selection:
            self._selection = new
            self._observers.notify("selection")

    def check_site(self, site: Site) -> None:
        """Raise unless a site lies within this model and its prompts.

        Raises:
            BadInput, SiteUnavailable: out of range, or not there.
        """
        self.model.require(site.kind, site.layer)
        if site.head is not None and site.head >= getattr(self.model, HEAD_SITES[site.kind]):
            raise BadInput(
                f"{site} names a head the model does not have.",
                hint=f"Use 0 to {getattr(self.model, HEAD_SITES[site.kind]) - 1}.",
            )
        longest = max(max(b.lengths) for b in (self._question.clean, self._question.corrupted) if b is not None)
        for place in (site.position, site.src):
            if place is not None and not -longest <= place < longest:
                raise BadInput(
                    f"{site} names position {place}; the longest prompt has {longest} tokens.",
                    hint="Use exp.at(' word').",
                )
