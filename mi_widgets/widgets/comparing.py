"""Holding one experiment against another: the same heads of another checkpoint, model or prompt."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from mi_widgets.analysis.attention import no_mean
from mi_widgets.analysis.attention_runs import AttentionRun, Reader
from mi_widgets.errors import BadInput
from mi_widgets.jobs import Job, Priority, Scheduler, current_job
from mi_widgets.widgets.heads_mean import prompt_of_mean
from mi_widgets.widgets.heads_source import Compared

if TYPE_CHECKING:
    from mi_widgets.interventions.question import Question

__all__ = ["Comparison"]

T = TypeVar("T")
NAP = 0.02


class Comparison:
    """Another experiment, followed while a widget lives.

    Args:
        own: the experiment that the widget shows.
        other: the one it is held against.
        changed: called when the other's clean prompt or model has changed; on any thread, no lock held.

    Raises:
        BadInput: it is no experiment, or its model has another number of layers or heads.
    """

    def __init__(self, own: Any, other: Any, changed: Callable[[], None]) -> None:
        if not callable(getattr(other, "snapshot", None)) or not callable(getattr(other, "measure_steps", None)):
            raise BadInput(
                f"compare= takes an experiment, not {type(other).__name__}.",
                hint="For example compare=mi.Experiment(mi.load('tiny-induction', step=600), prompt).",
            )
        shapes = [(model.n_layers, model.n_heads) for model in (own.model, other.model)]
        if shapes[0] != shapes[1]:
            (layers, heads), (other_layers, other_heads) = shapes
            raise BadInput(
                f"{own.model.name} has {layers} layers x {heads} heads and {other.model.name} {other_layers} x "
                f"{other_heads}: their heads have no counterparts.",
                hint="Compare checkpoints of one model, or models of the same shape.",
            )
        self._own, self._exp, self._changed = own, other, changed
        self._seen = self._state()
        self._stop: Callable[[], None] = other.observe(self._follow)

    @property
    def scheduler(self) -> Scheduler:
        """Of the other model."""
        found: Scheduler = self._exp.scheduler
        return found

    @property
    def label(self) -> str:
        """What the other is called: its model's name, where that tells them apart."""
        name: str = self._exp.model.name
        if name != self._own.model.name:
            return name
        return "the other prompt" if self._exp.model is self._own.model else f"the other {name}"

    def on_wire(self, prompt: int | None) -> dict[str, Any]:
        """For the header: {"label", "prompt"}; with None in place of a prompt about all of them."""
        shown = self._exp.question(self._row(prompt or 0))["prompts"]["clean"]
        batch = self._exp.snapshot(edits=()).clean
        if prompt is None and no_mean(batch) is None:
            shown = prompt_of_mean(batch, shown)
        return {"label": self.label, "prompt": shown}

    def at(self, rev: int, prompt: int | None) -> Compared:
        """The other experiment as it is now, about one of its prompts, or about all.

        Args:
            rev: revision of the experiment that is shown.
            prompt: its prompt that is shown; the other's of the same number, or its last. None = the mean over all.
        """
        question = self._exp.snapshot(edits=(), base="clean")
        question = replace(question if prompt is None else question.one(self._row(prompt)), rev=rev)
        return Compared(question, self.scheduler, Elsewhere(question, self.scheduler))

    def close(self) -> None:
        """Follows no more."""
        self._stop()

    def _row(self, prompt: int) -> int:
        return min(prompt, len(self._exp.snapshot(edits=()).clean) - 1)

    def _state(self) -> tuple[Any, ...]:
        return self._exp.model.generation, self._exp.snapshot(edits=()).clean.key

    def _follow(self, topic: str) -> None:
        # Only what is shown of it: two widgets may compare their experiments with each other.
        if topic == "question" and (now := self._state()) != self._seen:
            self._seen = now
            self._changed()


class Elsewhere(AttentionRun):
    """The attention of a question whose passes run on the worker of its own model, whoever asks.

    Args:
        question: about one prompt; its clean run.
        scheduler: of its model.
    """

    def __init__(self, question: Question, scheduler: Scheduler) -> None:
        super().__init__(question, "clean")
        self._scheduler = scheduler
        self._looked = False

    def reach(self, layer: int, weighting: str = "attention") -> Generator[None, None, Reader]:
        """See `AttentionRun.reach`."""
        return across(self._scheduler, self._reached(layer, weighting))

    def _reached(self, layer: int, weighting: str) -> Generator[None, None, Reader]:
        if not self._looked:
            self._looked = True
            self.model.refresh()
        return (yield from super().reach(layer, weighting))


def across(scheduler: Scheduler, steps: Generator[Any, None, T]) -> Generator[None, None, T]:
    """Some steps on another worker, as steps of a job here.

    Waits in naps and, meanwhile, gives way to everything else: the other worker may be waiting for this one in the same
    way, and both must get on.
    """
    here = current_job()
    assert here is not None
    urgency, here.priority = here.priority, Priority.REFRESH
    job = scheduler.submit(steps, priority=Priority.RUN, op="heads.compare")
    try:
        while not _ended(job):
            yield
        return job.wait()
    finally:
        job.cancel("superseded")
        here.priority = urgency


def _ended(job: Job[Any]) -> bool:
    """Whether a job has settled, looked at for the length of a nap."""
    with suppress(Exception):
        job.wait(NAP)
    return job.settled
