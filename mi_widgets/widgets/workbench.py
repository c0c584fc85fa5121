"""`Workbench`: all views of one experiment in one widget, with one question, one list of edits and one selection.

Synced state: that of every widget; `views`, the widgets inside, of which the page takes the models; `panes`, the names
of those in view. A view is made when it is first shown, so that one that nobody looks at costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import ipywidgets
import traitlets as t

from mi_widgets.errors import BadInput
from mi_widgets.widgets.attention_heads import AttentionHeads
from mi_widgets.widgets.base import MiWidget
from mi_widgets.widgets.editing import Editing
from mi_widgets.widgets.logit_lens import LogitLens
from mi_widgets.widgets.ops import Params, Reply, op
from mi_widgets.widgets.patch_board import PatchBoard
from mi_widgets.widgets.patch_sweep import PatchSweep
from mi_widgets.widgets.words import BENCH

__all__ = ["VIEWS", "Workbench"]

W = TypeVar("W", bound="Workbench")
VIEWS: Mapping[str, type[MiWidget]] = {
    "heads": AttentionHeads,
    "lens": LogitLens,
    "board": PatchBoard,
    "sweep": PatchSweep,
}
MOST_PANES = 2
NOTHING = "export default {};"


class _Inside(t.HasTraits):
    """A widget that the workbench's page draws: its own front end does not travel a second time."""

    @t.default("_esm")
    def _no_script(self) -> str:
        return NOTHING

    @t.default("_css")
    def _no_style(self) -> str:
        return ""


_INSIDE = {name: type(kind.__name__, (_Inside, kind), {"__doc__": kind.__doc__}) for name, kind in VIEWS.items()}


class Workbench(Editing):
    """Attention heads, logit lens, patch board and patch sweep of one experiment, in tabs or two side by side.

    Args:
        *args: an `Experiment`; or a model and a prompt; or a transformers model, its tokenizer and a prompt.
        show: the views to open with, one or two of "heads", "lens", "board", "sweep".
        **kwargs: with a model: what `Experiment` takes (`corrupted`, `answer`, ...); `layout`.

    Attributes:
        panes: names of the views that are shown, one or two; see `show`.

    Raises:
        BadInput: an argument that cannot be meant.

    Example:
        >>> import mi_widgets as mi
        >>> bench = mi.Workbench(mi.load(), "When Mary and John went to the store, John gave a drink to")
        >>> bench.panes, bench.show("heads", "lens").panes
        (('heads',), ('heads', 'lens'))
        >>> len(bench.lens.wait().result.rows)
        5
        >>> bench.close()
    """

    bundle_name: ClassVar[str] = "workbench"
    words_of_its_own: ClassVar[Mapping[str, str]] = BENCH

    views = t.Dict(read_only=True).tag(sync=True, **ipywidgets.widget_serialization)
    panes = t.Tuple(read_only=True).tag(sync=True)

    def __init__(self, *args: Any, show: str | Sequence[str] = "heads", **kwargs: Any) -> None:
        names = _checked((show,) if isinstance(show, str) else tuple(show))
        super().__init__(*args, **kwargs)
        self.publish(status={**self.status, "state": "idle"})
        try:
            self.show(*names)
        except Exception:
            self.close()
            raise

    # The views

    def show(self: W, *names: str) -> W:
        """Shows one view, or two side by side; each of "heads", "lens", "board", "sweep".

        Raises:
            BadInput: other names, or more than two.
        """
        wanted = _checked(names)
        for name in wanted:
            self._view(name)
        self.publish(panes=wanted)
        return self

    def _view(self, name: str) -> Any:
        """The widget inside, which is made when it is first asked for."""
        with self.exclusive():
            if self._closed:
                raise BadInput("This workbench was closed.", hint="Make a new one: mi.Workbench(exp).")
            found = self.views.get(name)
            if found is None:
                found = _INSIDE[name](self._exp)
                self.publish(views={**self.views, name: found})
            return found

    @property
    def heads(self) -> AttentionHeads:
        """The attention heads."""
        found: AttentionHeads = self._view("heads")
        return found

    @property
    def lens(self) -> LogitLens:
        """The logit lens."""
        found: LogitLens = self._view("lens")
        return found

    @property
    def board(self) -> PatchBoard:
        """The patch board."""
        found: PatchBoard = self._view("board")
        return found

    @property
    def sweep(self) -> PatchSweep:
        """The patch sweep."""
        found: PatchSweep = self._view("sweep")
        return found

    @property
    def result(self) -> Any:
        """What the view on the left shows, as a result object; None before the first."""
        return self.views[self.panes[0]].result if self.panes else None

    @op("bench.show", slot="show")
    def _ask_show(self, params: Params) -> Reply:
        several = params.each("panes", MOST_PANES)
        names = tuple(each.choice("name", tuple(VIEWS)) for each in several)
        for each in (*several, params):
            each.end()
        self.show(*names)
        return Reply(self.question["rev"], {"panes": list(names)})

    # Their life is this widget's

    def wait(self: W, timeout: float | None = None) -> W:
        """Waits until no view has work left; see `AttentionHeads.wait`."""
        super().wait(timeout)
        for view in tuple(self.views.values()):
            view.wait(timeout)
        return self

    def cancel(self) -> None:
        """Stops all work of all views; what is shown stays."""
        super().cancel()
        for view in tuple(self.views.values()):
            view.cancel()

    def close(self) -> None:
        """Ends the widget and the views in it."""
        inside = () if getattr(self, "_closed", True) else tuple(self.views.values())
        super().close()
        for view in inside:
            view.close()

    # Without a kernel

    def static_picture(self) -> bytes | None:
        """A PNG of the view on the left."""
        found: bytes | None = self.views[self.panes[0]].static_picture() if self.panes else None
        return found

    def static_text(self) -> str:
        """What the views that are shown have to say."""
        return "\n\n".join(self.views[name].static_text() for name in self.panes)


def _checked(names: tuple[Any, ...]) -> tuple[str, ...]:
    several = tuple(dict.fromkeys(names))
    wrong = [name for name in several if name not in VIEWS]
    if wrong or not 1 <= len(several) <= MOST_PANES:
        said = f"There is no view {wrong[0]!r}." if wrong else f"A workbench shows one view or two, not {len(several)}."
        raise BadInput(said, hint=f"Views: {', '.join(VIEWS)}.")
    return several
