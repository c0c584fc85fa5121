"""Synced state that is set in one place, under one lock, while observers run with no lock held."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets
import traitlets as t

from mi_widgets.errors import BadInput, MiWidgetsError
from mi_widgets.interventions.sites import Site

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LockedTraits", "Selection", "sites_of"]

logger = logging.getLogger("mi_widgets")

MOST_SELECTED = 256
LONGEST_SITE = 80


def sites_of(given: Any) -> tuple[Site, ...]:
    """A selection as users write it: a site, its text, or several of these.

    Raises:
        BadInput: something else, or more than 256.
    """
    several: Iterable[Any] = (given,) if isinstance(given, (str, Site)) else given
    if not isinstance(several, Iterable):
        raise BadInput(f"A selection is sites or their texts, not {given!r}.", hint="For example ['L1H1.pattern'].")
    found: list[Site] = []
    for site in several:
        if len(found) == MOST_SELECTED:
            raise BadInput(f"At most {MOST_SELECTED} sites are selected at a time.", hint="Select fewer.")
        if isinstance(site, str) and len(site) > LONGEST_SITE:
            raise BadInput(f"{site[:20]!r}... is not a site.", hint="Write it like L9H6.z@-1.")
        found.append(site if isinstance(site, Site) else Site.parse(site))
    return tuple(found)


class Selection(t.TraitType[Any, Any]):
    """A tuple of `Site`; texts are taken too. On the wire it is a list of texts."""

    default_value = ()
    info_text = "sites, or their texts like 'L1H1.pattern@10'"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tag(sync=True, to_json=lambda value, _: [str(site) for site in value], echo_update=False)

    def validate(self, obj: Any, value: Any) -> tuple[Site, ...]:
        """Parses it, and asks the widget whether it can be selected there."""
        found = sites_of(value)
        obj.check_selection(found)
        return found

    def set(self, obj: Any, value: Any) -> None:
        """Assigns it like everything else that is synced: under the widget's lock."""
        with obj.exclusive():
            super().set(obj, value)


class LockedTraits(anywidget.AnyWidget):
    """An anywidget whose traits several threads may set.

    traitlets and ipywidgets keep what is being sent on the instance, without a lock. Here every change happens inside
    `exclusive`; the page is told at once, and observers are called after the lock was released, in order.
    """

    _depth: int
    _holder: int | None
    _later: deque[Callable[[], None]]
    last_error: BaseException | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: D102
        # Here and not in the constructor: traits may be set before that has run.
        made: Self = super().__new__(cls, *args, **kwargs)
        made._lock = threading.RLock()
        made._depth = 0
        made._holder = None
        made._later = deque()
        made.last_error = None
        return made

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds the widget's lock; when the outermost one ends, runs what was put off, with no lock held."""
        self._lock.acquire()
        self._depth += 1
        self._holder = threading.get_ident()
        try:
            yield
        finally:
            self._depth -= 1
            outermost = self._depth == 0
            if outermost:
                self._holder = None
            self._lock.release()
            if outermost:
                self._run_later()

    def later(self, call: Callable[[], None]) -> None:
        """Puts a call off until no lock of this widget is held."""
        self._later.append(call)

    def _run_later(self) -> None:
        while self._later:
            try:
                call = self._later.popleft()
            except IndexError:
                return
            try:
                call()
            except Exception as error:
                self.trouble(error, "an observer")

    def trouble(self, error: BaseException, where: str) -> None:
        """Keeps an error that has no caller to go to, and logs it: ours in words, others with their traceback."""
        self.last_error = error
        if isinstance(error, MiWidgetsError):
            logger.warning("%s: %s: %s", type(self).__name__, where, error)
        else:
            logger.error("%s: %s failed", type(self).__name__, where, exc_info=error)

    def notify_change(self, change: Any) -> None:
        """Sends a change to the page, and lets observers know once the lock is free."""
        if self._holder != threading.get_ident():
            super().notify_change(change)
            return
        name = change["name"]
        if self.comm is not None and name in self.keys and self._should_send_property(name, getattr(self, name)):
            self.send_state(key=name)
        # Past ipywidgets' own notify_change, which is the part above with the observers called on the spot.
        notify = super(ipywidgets.Widget, self).notify_change
        self.later(lambda: notify(change))
