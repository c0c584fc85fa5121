"""`PatchSweep`: what every single edit of a kind would do, as a map over layers and positions or heads.

Synced state: that of every widget, and `sweep` (the map with its cells), which the kernel writes when a sweep has ended
or was stopped. While it runs its cells come as messages.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets as t

from mi_widgets.errors import BadInput, MiWidgetsError
from mi_widgets.experiment.wire import told_of_all
from mi_widgets.jobs import Priority
from mi_widgets.results import SweepResult
from mi_widgets.widgets import sweep_fallback
from mi_widgets.widgets.arrays import embedded
from mi_widgets.widgets.drawing import Drawing
from mi_widgets.widgets.edit_specs import SITES
from mi_widgets.widgets.ops import Task
from mi_widgets.widgets.sweep_wire import reason_against_edit
from mi_widgets.widgets.sweeping import NAME, SweepChoice, Sweeping, SweepShown
from mi_widgets.widgets.words import SWEEP

if TYPE_CHECKING:
    from mi_widgets.interventions.question import Question

__all__ = ["PatchSweep"]


class PatchSweep(Sweeping, Drawing):
    """A map of edited runs: the same edit in every cell, an estimate first, then each cell run for real.

    Sweeps by itself when it is made and when what is asked changes: prompts, answer, metric, base; and the live edits,
    where they are under every cell. A map that the experiment has made before is shown at once.

    Args:
        *args: an `Experiment`; or a model and a prompt; or a transformers model, its tokenizer and a prompt; or a
            finished `SweepResult`, which needs no model.
        site: what is edited: a site of the stream (a map of layer x position) or one with heads (layer x head).
        **kwargs: with a model: what `Experiment` takes (`corrupted`, `answer`, ...); `layout`.

    Raises:
        BadInput: an argument that cannot be meant, or a finished map of other axes.
        SiteUnavailable: the model has no such site.

    Example:
        >>> import mi_widgets as mi
        >>> exp = mi.Experiment(mi.load(),
        ...     clean="When Mary and John went to the store, John gave a drink to",
        ...     corrupted="When Mary and John went to the store, Mary gave a drink to",
        ...     answer=" Mary", distractor=" John")
        >>> sweep = mi.PatchSweep(exp, site="z")
        >>> found = sweep.wait().result
        >>> found.recovered.shape, bool(found.exact.all())
        (torch.Size([4, 4]), True)
        >>> sweep.close()
    """

    bundle_name: ClassVar[str] = "patch-sweep"
    words_of_its_own: ClassVar[Mapping[str, str]] = SWEEP
    topics: ClassVar[tuple[str, ...]] = ("question", "sweep")
    picture: ClassVar[str] = "sweep"

    sweep = t.Dict(read_only=True).tag(sync=True)

    def __init__(self, *args: Any, site: str | None = None, **kwargs: Any) -> None:
        self._shown: SweepShown | None = None
        self._shown_name: tuple[Any, ...] = ()
        given = _given(args, site)
        if given is None and site not in (None, *SITES):
            raise BadInput(f"PatchSweep shows no map of {site!r}.", hint=f"Sites: {', '.join(SITES)}.")
        self._wished = self._choice = SweepChoice(site or "resid_pre", "patch", "")
        self._finished_map = given is not None
        super().__init__(*(args if given is None else (given,)), **kwargs)
        if given is not None:
            self._show_given(given.given)
            return
        try:
            self._exp.model.require(self._wished.site)
        except MiWidgetsError:
            self.close()
            raise
        self.draw()

    @property
    def result(self) -> SweepResult | None:
        """The map that is shown, as numbers; of one that was cancelled `.exact` tells which cells were run."""
        return None if self._shown is None else self._shown.result

    # What is shown

    def draw(self) -> None:
        """Sweeps what is shown, as far as it is not known yet."""
        with self.exclusive():
            self._choice = self._choice_now()
            self._stop_others()
            question = self.sweep_question(self._choice)
            task = self.sweep_task(question, self._choice)
            self.begin(NAME, replace(task, work=self._then_measured(task)), priority=Priority.FETCH, slot="sweep")

    def _then_measured(self, task: Task) -> Generator[Any, None, SweepShown]:
        shown: SweepShown = yield from task.work
        yield from self.measured()
        return shown

    def _choice_now(self) -> SweepChoice:
        """The sweep that is wished for, or what comes nearest on the question as it is."""
        choice = replace(self._wished, base=self.question["base"])
        question = self.sweep_question(choice)
        edits = (choice.edit, "zero")
        able = (edit for edit in edits if reason_against_edit(question, choice.site, edit) is None)
        return replace(choice, edit=next(able, choice.edit))

    def sweep_asked(self, choice: SweepChoice) -> None:
        """From now on this is what a change of the question sweeps anew."""
        self._wished = self._choice = choice
        self._stop_others()

    def _stop_others(self) -> None:
        """Supersedes the sweeps that are under way: there is one picture."""
        running = [job for job in self._channel.jobs if job.op == NAME and not job.settled]
        if any(job.id == self.status.get("job") for job in running):
            self.publish(status={**self.status, "state": "idle", "op": None, "job": None})
        for job in running:
            job.cancel("superseded")

    def sweep_shown(self, shown: SweepShown) -> None:
        """Shows a sweep that has ended, unless something else is asked for by now."""
        with self.exclusive():
            question = shown.question
            if question is None or shown.choice != self._choice or question.rev != self.question["rev"]:
                return
            self._publish(shown)
            if not shown.cancelled:
                self.recover()

    def _publish(self, shown: SweepShown) -> None:
        self._shown = shown
        self._shown_name = (shown.choice, None if shown.question is None else _name(shown.question))
        self.publish(sweep={**shown.map, "arrays": embedded(shown.arrays)})

    def _show_given(self, result: SweepResult) -> None:
        from mi_widgets.experiment.sweeping import Standing

        edit = type(result.template).__name__.lower() if result.template is not None else "patch"
        self._choice = SweepChoice(result.site, edit, result.base)
        self._publish(SweepShown(self._choice, None, self.question, Standing.whole(result), from_table=True))
        self.publish(status={**self.status, "state": "idle"})

    # What changes it

    def asked(self) -> dict[str, Any]:
        """The question; of several prompts with what a map of them is."""
        found = super().asked()
        at, count = found["prompt"] + 1, found["n_prompts"]
        return told_of_all(
            found, f"Every cell is the mean over {count} prompts. The tokens beside them are those of prompt {at}."
        )

    def question_changed(self, topic: str) -> None:
        """Sweeps anew when the change has made the map old."""
        with self.exclusive():
            if self._finished_map:
                return
            choice = self._choice_now()
            question = self.sweep_question(choice)
            shown, running = self._shown, any(job.op == NAME and not job.settled for job in self._channel.jobs)
            if shown is not None and not running and self._shown_name == (choice, _name(question)):
                # The same cells answer the new question too; the columns may carry another prompt's tokens.
                self._choice = choice
                self._publish(replace(shown, question=question, asked=dict(self.question)))
                if topic == "edits" and self.question["edits"]:
                    self.begin("question.measure", self._measure_task(), priority=Priority.REFRESH, slot="measure")
                return
        self.draw()

    def check_op(self, name: str) -> None:
        """Raises where there is no model."""
        if self._finished_map:
            self._exp.snapshot()

    # Without a kernel

    def static_picture(self) -> bytes | None:
        """A PNG of the map that is shown, with the prompts and where it came from."""
        return None if self._shown is None else sweep_fallback.picture(self._shown, self.question)

    def static_text(self) -> str:
        """Model, prompts, and the cells that move the answer most."""
        return sweep_fallback.words(self._shown, self.question)


def _name(question: Question) -> tuple[Any, ...]:
    from mi_widgets.experiment.sweeping import name_of

    return name_of(question)


def _given(args: tuple[Any, ...], site: str | None) -> Any:
    """What stands for the experiment of a finished map; None where the arguments are something else."""
    if not args or not isinstance(args[0], SweepResult):
        return None
    from mi_widgets.widgets.sweep_given import GivenSweep

    if len(args) > 1:
        raise BadInput("PatchSweep(result) takes one finished map and nothing after it.", hint="Leave the rest out.")
    if site not in (None, args[0].site):
        raise BadInput(f"This is a finished map of {args[0].site}, not of {site}.", hint="Leave site out.")
    return GivenSweep(args[0])
