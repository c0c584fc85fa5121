"""Where the numbers of a heads widget come from: an experiment's model, two of them, or arrays."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from mi_widgets.analysis.attention import Atlas, atlas_steps, window_steps
from mi_widgets.analysis.edges import edge_steps
from mi_widgets.analysis.scores import HeadScore
from mi_widgets.analysis.writes import HeadWrites, head_writes
from mi_widgets.errors import BadInput, PromptMismatch
from mi_widgets.jobs import Progress, Scheduler

if TYPE_CHECKING:
    import torch

    from mi_widgets.analysis.attention_runs import AttentionRun
    from mi_widgets.interventions.question import Question

__all__ = ["SIGNED", "Compared", "HeadsSource", "LiveHeads"]

Heads = Sequence[tuple[int, int]]
Range = tuple[int, int]
COMPARED = ("other", "against")
SIGNED = ("difference", "against")
"""The runs that are one thing minus another."""


class HeadsSource(Protocol):
    """Attention of some runs at one moment; each method that computes gives the steps of a job."""

    @property
    def rev(self) -> int:
        """Revision of the question."""

    @property
    def n_layers(self) -> int:
        """Layers."""

    @property
    def n_heads(self) -> int:
        """Query heads of each layer."""

    def length(self, run: str) -> int:
        """Tokens of the prompt of a run; raises when there is no such run."""

    def require(self, layer: int) -> None:
        """Raises when a layer has no attention."""

    def scheduler(self, run: str) -> Scheduler | None:
        """On whose worker the steps of a run belong; None = the experiment's."""

    def atlas_steps(self, run: str, side: int) -> Generator[Any, None, Atlas]:
        """Thumbnails and scores of all heads."""

    def window_steps(
        self, run: str, heads: Heads, dest: Range, src: Range, side: int, weighting: str
    ) -> Generator[Any, None, torch.Tensor]:
        """Cells of some heads, [head, row, column]."""

    def cell_steps(self, run: str, dest: int, src: int, weighting: str) -> Generator[Any, None, HeadScore]:
        """One cell of every head."""


@dataclass(frozen=True)
class Compared:
    """The experiment that another one is held against.

    Attributes:
        question: its clean prompt or prompts, with the revision of the experiment that is shown.
        scheduler: of its model.
        run: its attention, for differences; its passes run on its own model's worker.
    """

    question: Question
    scheduler: Scheduler
    run: AttentionRun


@dataclass(frozen=True)
class LiveHeads:
    """The heads of an experiment's model on the prompt that is shown; see `HeadsSource`.

    Attributes:
        question: about one prompt, or about several of one length: then everything is the mean over them.
        compared: what it is held against, or None.
        masks: {name: [dest, src]}, scores of the user's own.
    """

    question: Question
    compared: Compared | None
    masks: Mapping[str, Any]

    @property
    def rev(self) -> int:
        """Revision of the question."""
        return self.question.rev

    @property
    def n_layers(self) -> int:
        """Layers of the model."""
        return self.question.model.n_layers

    @property
    def n_heads(self) -> int:
        """Query heads of each layer."""
        return self.question.model.n_heads

    def length(self, run: str) -> int:
        """Tokens of the prompt of a run.

        Raises:
            BadInput: there is no such run.
            PromptMismatch: prompts of different length have no difference.
        """
        if run in COMPARED:
            other = self._other.question.batch("clean").lengths[0]
            own = self.question.batch("clean").lengths[0]
            if run == "against" and own != other:
                raise PromptMismatch(
                    f"The prompts differ in length ({own} and {other} tokens), so their patterns have no difference.",
                    hint="Look at clean and at the other experiment in turn, or ask both the same.",
                )
            return other
        if run == "difference":
            self.question.batch("corrupted")
        return self.question.batch("clean" if run == "difference" else run).lengths[0]

    def require(self, layer: int) -> None:
        """Raises when a layer has no attention."""
        self.question.model.require("pattern", layer)

    def scheduler(self, run: str) -> Scheduler | None:
        """The other model's for its own run."""
        return self._other.scheduler if run == "other" else None

    def atlas_steps(self, run: str, side: int) -> Generator[Any, None, Atlas]:
        """Thumbnails and scores of all heads."""
        question, name, other = self._of(run)
        atlas = yield from atlas_steps(question, name, side, masks=self.masks, other=other)
        return replace(atlas, run=run)

    def window_steps(
        self, run: str, heads: Heads, dest: Range, src: Range, side: int, weighting: str
    ) -> Generator[Any, None, torch.Tensor]:
        """Cells of some heads, [head, row, column]."""
        question, name, other = self._of(run)
        return window_steps(question, name, heads, dest, src, side, weighting=weighting, other=other)

    def cell_steps(self, run: str, dest: int, src: int, weighting: str) -> Generator[Any, None, HeadScore]:
        """One cell of every head."""
        question, name, other = self._of(run)
        return edge_steps(question, name, dest, src, weighting, other=other)

    def writes_steps(self, run: str, layer: int, head: int, position: int, k: int) -> Generator[Any, None, HeadWrites]:
        """What a head writes at a position of a run; of a difference it is asked of the clean run."""
        question, name, _ = self._of("clean" if run in SIGNED else run)
        yield Progress(0, 1)
        question.model.refresh()
        return head_writes(question, name, layer, head, position, k)

    def label(self, run: str, token: int) -> str:
        """A token of the vocabulary of a run's model, as shown."""
        return self._of(run)[0].model.text.label(token)

    @property
    def _other(self) -> Compared:
        if self.compared is None:
            raise BadInput(
                "There is nothing to compare with.", hint="Give it: mi.AttentionHeads(exp, compare=other_exp)."
            )
        return self.compared

    def _of(self, run: str) -> tuple[Question, str, AttentionRun | None]:
        """The question, the run of it, and what that is held against."""
        if run == "other":
            return self._other.question, "clean", None
        return self.question, run, self._other.run if run == "against" else None
