"""`LogitLens`: what the model would say at every layer, on the user's own prompt, with the interventions on.

Synced state: that of every widget, and `lens` (the cells that open first), which the kernel writes when they are whole.
Further cells, cards and trajectories are never synced: the page asks for what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from mi_widgets.analysis.lens_spec import check_lens
from mi_widgets.analysis.translators import as_translators
from mi_widgets.errors import MiWidgetsError
from mi_widgets.widgets import lens_fallback
from mi_widgets.widgets.lens_asking import LensChoice
from mi_widgets.widgets.lens_ops import LensOps
from mi_widgets.widgets.words import LENS

if TYPE_CHECKING:
    from mi_widgets.analysis.lens_result import LensResult

__all__ = ["LogitLens"]


class LogitLens(LensOps):
    """The lens table: layers down, positions across, and what the model would say in each cell.

    Shows the edited run while an edit is switched on, the unedited base otherwise, unless a reader chose a run.

    Args:
        *args: an `Experiment`; or a model and a prompt; or a transformers model, its tokenizer and a prompt.
        translators: folder of a tuned lens (`config.json` with `params.pt` or `params.safetensors`), or what
            `read_translators` gave: they come before the final norm, and can be switched off; None = none.
        **kwargs: with a model: what `Experiment` takes (`corrupted`, `answer`, ...); `layout`.

    Raises:
        BadInput: an argument that cannot be meant; translators of another shape than the model's.
        SiteUnavailable: the model has no lens.

    Example:
        >>> import mi_widgets as mi
        >>> lens = mi.LogitLens(mi.load(), "When Mary and John went to the store, John gave a drink to")
        >>> result = lens.wait().result
        >>> [row.label for row in result.rows], len(result.positions)
        (['input', 'L0', 'L1', 'L2', 'L3'], 15)
        >>> lens.close()
    """

    bundle_name: ClassVar[str] = "logit-lens"
    words_of_its_own: ClassVar[Mapping[str, str]] = LENS

    def __init__(self, *args: Any, translators: Any = None, **kwargs: Any) -> None:
        self._wished = self._choice = LensChoice("edited", tuned=translators is not None)
        self._run = ""
        self._result: LensResult | None = None
        self._translators = None
        super().__init__(*args, **kwargs)
        try:
            self._translators = as_translators(translators)
            # A model that has no lens, and translators of another model, are refused where the widget is made.
            check_lens(self.asked_now(), self.spec(self._wished))
            self.draw()
        except MiWidgetsError:
            self.close()
            raise

    @property
    def result(self) -> LensResult | None:
        """The cells that opened first, as numbers; None before the first."""
        return self._result

    # Without a kernel

    def static_picture(self) -> bytes | None:
        """A PNG of the cells that opened first, with the prompt and where they came from."""
        return None if self._result is None else lens_fallback.picture(self._result, self.lens, self.question)

    def static_text(self) -> str:
        """Model, prompt, and what each row says at the answer position."""
        return lens_fallback.words(self._result, self.lens, self.question)
