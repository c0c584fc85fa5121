"""`link`: one selection across experiments or models."""

from __future__ import annotations

import weakref
from typing import Any

from mi_widgets.errors import BadInput, MiWidgetsError
from mi_widgets.interventions.sites import Site
from mi_widgets.widgets.base import MiWidget

__all__ = ["Link", "link"]


class Link:
    """Keeps the selection of some widgets the same, until `unlink`; made by `link`."""

    def __init__(self, widgets: tuple[MiWidget, ...]) -> None:
        # Weakly: a link must not keep a closed widget, and through it a model, alive.
        self._widgets = [weakref.ref(widget) for widget in widgets]
        for widget in widgets:
            widget.observe(self._changed, "selection")
        if widgets[0].selection:
            self._pass_on(widgets[0])
        else:
            for widget in widgets[1:]:
                if widget.selection:
                    self._pass_on(widget)
                    break

    def _changed(self, change: Any) -> None:
        self._pass_on(change["owner"])

    def _pass_on(self, source: MiWidget) -> None:
        for ref in self._widgets:
            widget = ref()
            if widget is None or widget is source:
                continue
            wanted = tuple(site for site in source.selection if _has(widget, site))
            current = tuple(site for site in widget.selection if _has(source, site))
            # What the other has and this one cannot have is no difference: otherwise two models of different size
            # would take each other's sites away for ever.
            if wanted != current:
                widget.selection = wanted

    def unlink(self) -> None:
        """Ends the link; what is selected stays."""
        for ref in self._widgets:
            widget = ref()
            if widget is not None:
                widget.unobserve(self._changed, "selection")
        self._widgets = []


def link(*widgets: MiWidget) -> Link:
    """Selects in all of these widgets what is selected in one of them, also across experiments and models.

    A site that another model or prompt does not have (layer, head, position) is left out there.

    Args:
        *widgets: two or more.

    Returns:
        The link; `.unlink()` ends it.

    Raises:
        BadInput: fewer than two widgets, or something else.

    Example:
        >>> import mi_widgets as mi
        >>> model = mi.load()
        >>> first, second = (mi.AttentionHeads(model, p) for p in ("Mary went to the", "John went to the"))
        >>> both = mi.link(first, second)
        >>> first.selection = ["L1H1.pattern"]
        >>> [str(site) for site in second.selection]
        ['L1H1.pattern']
        >>> first.close(), second.close()
        (None, None)
    """
    if len(widgets) < 2 or not all(isinstance(widget, MiWidget) for widget in widgets):
        raise BadInput("link takes two or more widgets.", hint="For example mi.link(heads, other_heads).")
    return Link(widgets)


def _has(widget: MiWidget, site: Site) -> bool:
    try:
        widget.check_selection((site,))
    except MiWidgetsError:
        return False
    return True
