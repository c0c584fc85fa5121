"""`PatchBoard`: causal experiments by hand. Carry an activation from one run into another and see the answer change.

Synced state: that of every widget, and `board` (the grids that open first and the effect), which the kernel writes when
they are whole. Previews, further cells, maps and the history are never synced: the page asks for what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from mi_widgets.analysis.lens_rows import rows_of
from mi_widgets.errors import MiWidgetsError
from mi_widgets.widgets import board_fallback
from mi_widgets.widgets.board_ops import BoardOps
from mi_widgets.widgets.lens_asking import LensChoice
from mi_widgets.widgets.sweeping import Sweeping
from mi_widgets.widgets.words import BOARD

if TYPE_CHECKING:
    from mi_widgets.results import Result

__all__ = ["PatchBoard"]


class PatchBoard(Sweeping, BoardOps):
    """Clean and corrupted run side by side; what is dropped from one onto the other is an edit of the experiment.

    Edits add up; each change of the list is run at once, and kept in `exp.runs`. With one prompt activations move
    within it.

    Args:
        *args: an `Experiment`; or a model and a prompt; or a transformers model, its tokenizer and a prompt.
        **kwargs: with a model: what `Experiment` takes (`corrupted`, `answer`, ...); `layout`.

    Raises:
        BadInput: an argument that cannot be meant.
        SiteUnavailable: the model's streams cannot be read.

    Example:
        >>> import mi_widgets as mi
        >>> exp = mi.Experiment(mi.load(),
        ...     clean="When Mary and John went to the store, John gave a drink to",
        ...     corrupted="When Mary and John went to the store, Mary gave a drink to",
        ...     answer=" Mary", distractor=" John")
        >>> board = mi.PatchBoard(exp)
        >>> _ = exp.edits.add(mi.Patch("resid_post", 1, position=10))
        >>> board.wait().result.recovered == exp.run().recovered
        True
        >>> board.close()
    """

    bundle_name: ClassVar[str] = "patch-board"
    words_of_its_own: ClassVar[Mapping[str, str]] = BOARD

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._run = "edited"
        self._choice = LensChoice("edited")
        self._windows = {}
        super().__init__(*args, **kwargs)
        try:
            # A model without streams is refused where the widget is made.
            rows_of(self._exp.model)
            self.draw()
        except MiWidgetsError:
            self.close()
            raise

    @property
    def result(self) -> Result | None:
        """The run that is shown: the live edits on the live base, or the unedited base; None before the first."""
        return self._result

    # Without a kernel

    def static_picture(self) -> bytes | None:
        """A PNG of the grids and the effect, with the prompts and where they came from."""
        return None if self._drawn is None else board_fallback.picture(self._drawn, self.board, self.question)

    def static_text(self) -> str:
        """Model, prompts, edits, and what they did to the answer."""
        return board_fallback.words(self.board, self.question)
