"""`AttentionHeads`: every head's attention pattern on the user's own prompt, as thumbnails and one by one.

Synced state: that of every widget, and `atlas` (thumbnails as bytes, scores), which the kernel writes when all heads
are done. Full patterns and exact values are never synced: the page asks for what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from mi_widgets.analysis.masks import mask_of
from mi_widgets.errors import BadInput, MiWidgetsError
from mi_widgets.widgets import heads_fallback
from mi_widgets.widgets.comparing import Comparison
from mi_widgets.widgets.heads_arrays import ArraysExperiment
from mi_widgets.widgets.heads_ops import HeadsOps
from mi_widgets.widgets.heads_source import HeadsSource, LiveHeads
from mi_widgets.widgets.intervening import Intervening
from mi_widgets.widgets.words import HEADS

if TYPE_CHECKING:
    from typing_extensions import Self

    from mi_widgets.analysis.attention import Atlas

__all__ = ["AttentionHeads"]

OF_ARRAYS = ("heads.atlas", "heads.pattern", "heads.value", "heads.rank")


class AttentionHeads(HeadsOps, Intervening):
    """All heads of a model at a glance, with a score each; click one to read its pattern.

    Args:
        *args: an `Experiment`; or a model and a prompt; or a transformers model, its tokenizer and a prompt.
        compare: another experiment whose model has as many layers and heads (a checkpoint, say): its clean run, and the
            difference, can be shown too.
        masks: {name: [dest, src] of 0 and 1}: scores of your own, the attention on the marked cells.
        **kwargs: with a model: what `Experiment` takes (`corrupted`, `answer`, ...); `layout`.

    Raises:
        BadInput: an argument that cannot be meant.
        SiteUnavailable: the model has no attention pattern.

    Example:
        >>> import mi_widgets as mi
        >>> heads = mi.AttentionHeads(mi.load(), "When Mary and John went to the store, John gave a drink to")
        >>> heads.wait().result.thumbs.shape[:2]
        torch.Size([4, 4])
        >>> heads.selection = ["L1H1.pattern"]
        >>> heads.close()
    """

    bundle_name: ClassVar[str] = "attention-heads"
    words_of_its_own: ClassVar[Mapping[str, str]] = HEADS

    def __init__(self, *args: Any, compare: Any = None, masks: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        self._run = "clean"
        self._result: Atlas | None = None
        self._compared: Comparison | None = None
        self._masks = {name: mask_of(name, given) for name, given in _named(masks).items()}
        super().__init__(*args, **kwargs)
        try:
            if not self._of_arrays:
                self._exp.model.require("pattern")
            if compare is not None:
                self._compared = Comparison(self._exp, compare, self._other_changed)
                self.refresh_question()
        except MiWidgetsError:
            self.close()
            raise
        self.draw()

    @classmethod
    def from_arrays(cls, tokens: Any, attention: Any, scores: Any = None, title: str | None = None) -> Self:
        """The widget of attention that is there already; no model is needed, and none can be asked.

        Args:
            tokens: texts, one for each position.
            attention: [head, dest, src] or [layer, head, dest, src] weights, 0..1 and causal: tensor, array or lists;
                or what transformers calls attentions.
            scores: {name: [layer, head]} further scores, or None.
            title: what the header says.

        Raises:
            BadInput: says which of them cannot be meant, where, and what was expected.

        Example:
            >>> import mi_widgets as mi
            >>> heads = mi.AttentionHeads.from_arrays(["a", "b"], [[[1.0, 0.0], [0.25, 0.75]]])
            >>> heads.wait().result.scores["first"].values.tolist()
            [[0.25]]
            >>> heads.close()
        """
        from mi_widgets.analysis.given import given_heads

        return cls(ArraysExperiment(given_heads(tokens, attention, scores), title))

    @property
    def result(self) -> Atlas | None:
        """The thumbnails and scores that are shown, as numbers; None before the first."""
        return self._result

    @property
    def _of_arrays(self) -> bool:
        return isinstance(self._exp, ArraysExperiment)

    def heads(self) -> HeadsSource:
        """What is shown, as it is now."""
        if isinstance(self._exp, ArraysExperiment):
            return self._exp.given
        asked, prompt = self._exp.snapshot(), None if self.of_mean else self.question["prompt"]
        compared = None if self._compared is None else self._compared.at(asked.rev, prompt)
        return LiveHeads(self.about(asked), compared, self._masks)

    def asked(self) -> dict[str, Any]:
        """The question, with what it is compared with."""
        found = super().asked()
        if self._compared is not None:
            of_mean = found.get("mean", {}).get("shown")
            found["compare"] = self._compared.on_wire(None if of_mean else found["prompt"])
        return found

    def check_op(self, name: str) -> None:
        """Raises for what needs a model where there is none."""
        if self._of_arrays and name not in OF_ARRAYS:
            self._exp.snapshot()

    def on_worker(self) -> bool:
        """True on a thread that does this widget's work, the other experiment's worker included."""
        return super().on_worker() or (self._compared is not None and self._compared.scheduler.on_worker())

    def close(self) -> None:
        """Ends the widget, and lets go of both experiments."""
        if self._compared is not None:
            self._compared.close()
        super().close()

    def _other_changed(self) -> None:
        """The pictures of the other experiment are old; a new revision tells pages so."""
        self._exp.renew()

    # Without a kernel

    def static_picture(self) -> bytes | None:
        """A PNG of the atlas, with the prompt, the score that is defined first, and where it came from."""
        return None if self._result is None else heads_fallback.picture(self._result, self.question)

    def static_text(self) -> str:
        """Model, prompt, and the heads that stand out in each score."""
        return heads_fallback.words(self._result, self.question)


def _named(masks: Any) -> Mapping[str, Any]:
    if masks is None:
        return {}
    if not isinstance(masks, Mapping):
        raise BadInput(f"masks is {{name: [dest, src]}}, not {type(masks).__name__}.", hint="Give each one a name.")
    return masks
