"""Sweeps that a page asks for: a map that comes cell by cell, parts of it run again, single cells run for real."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mi_widgets.errors import BadInput
from mi_widgets.jobs import Priority, current_job
from mi_widgets.widgets import sweep_wire as wire
from mi_widgets.widgets.arrays import Array, f32, u8
from mi_widgets.widgets.edit_specs import KINDS, SITES
from mi_widgets.widgets.editing import Editing
from mi_widgets.widgets.effects import effect_on_wire
from mi_widgets.widgets.ops import Params, Part, Reply, Task, op
from mi_widgets.widgets.plain import number
from mi_widgets.widgets.sweep_wire import SweepChoice

if TYPE_CHECKING:
    from mi_widgets.experiment.effect import Effect
    from mi_widgets.experiment.sweeping import Standing
    from mi_widgets.interventions.question import Question
    from mi_widgets.results import SweepResult

__all__ = ["Outline", "Rectangle", "SweepChoice", "SweepShown", "Sweeping"]

MOST_CELLS = 40_000
"""More are not drawn in a notebook, nor saved in it."""

NAME = "sweep.start"


@dataclass(frozen=True)
class Rectangle:
    """Cells to run again: layers by number, columns by what they are (position or head)."""

    layers: tuple[int, ...]
    places: tuple[int, ...]


@dataclass(frozen=True)
class SweepShown:
    """A sweep, how far it is, and what it is shown with.

    Attributes:
        choice: which sweep it is.
        question: it is of; None where a finished map is shown without a model.
        asked: the trait `question`, as it was then.
        standing: all that is known of it.
        cancelled: somebody stopped it: the exact cells are those that were run by then.
        from_table: it was known before it was asked for.
    """

    choice: SweepChoice
    question: Question | None
    asked: Mapping[str, Any]
    standing: Standing
    cancelled: bool = False
    from_table: bool = False

    @property
    def result(self) -> SweepResult:
        """Its numbers."""
        return self.standing.result

    @property
    def map(self) -> dict[str, Any]:
        """What it is of, as the wire has it."""
        return wire.map_on_wire(
            self.standing,
            self.choice,
            self.asked,
            self.question,
            cancelled=self.cancelled,
            from_table=self.from_table,
        )

    @property
    def arrays(self) -> dict[str, Array]:
        """Its cells, [layer, column]."""
        found = wire.Grid(self.result).numbers(self.standing)
        state = u8(found.pop("state"), scale=1, offset=0)
        return {**{name: f32(values) for name, values in found.items()}, "state": state}


@dataclass(frozen=True)
class Outline:
    """A map before its cells are told, as the wire has it."""

    map: dict[str, Any]


class Sweeping(Editing):
    """A widget whose page asks for sweeps. What a sweep gave reaches `sweep_shown`."""

    _hellos = 0
    """How often a page said hello: what it may have missed of a running sweep is told again."""

    def sweep_asked(self, choice: SweepChoice) -> None:
        """Called when a page has asked for a sweep, before it is queued; with the widget's lock held."""

    def sweep_shown(self, shown: SweepShown) -> None:
        """Called on the worker when a sweep has ended, or was stopped by somebody and keeps what it has."""

    @op(NAME, slot="sweep", priority=Priority.FETCH)
    def _ask_sweep(self, params: Params) -> Task:
        question, choice = self._sweep_of(params)
        places = wire.places_of(question, choice.site)
        first = places[params.integer("first", 0, len(places) - 1)] if params.given("first") else None
        part: Rectangle | None = None
        if params.given("part"):
            inside, layers = params.inner("part"), question.model.n_layers
            columns = inside.integers("columns", len(places), len(places) - 1)
            part = Rectangle(inside.integers("layers", layers, layers - 1), tuple(places[at] for at in columns))
            inside.end()
        params.end()
        # Where a whole map is in the making, what is run again comes first, and the rest goes on.
        going = any(job.op == NAME and not job.settled for job in self._channel.jobs)
        task = self.sweep_task(question, choice, first=first, part=part, rest=part is None or going)
        self.sweep_asked(choice)
        return task

    @op("sweep.cell", slot="cell", priority=Priority.PREVIEW)
    def _ask_sweep_cell(self, params: Params) -> Task:
        question, choice = self._sweep_of(params)
        layer = params.integer("layer", 0, question.model.n_layers - 1)
        places = wire.places_of(question, choice.site)
        column = params.integer("column", 0, len(places) - 1)
        params.end()
        question.model.require(choice.site, layer)
        axis = "head" if wire.by_head(choice.site) else "position"
        edit = wire.template_of(choice.edit).on(site=choice.site, layer=layer, **{axis: places[column]})

        def reply(found: Effect) -> Reply:
            data = {
                "layer": layer,
                "column": column,
                "metric": number(found.after),
                "recovered": number(found.recovered),
                "stderr": number(found.result.stderr),
                "exact": True,
                "effect": effect_on_wire(found, self.question),
            }
            return Reply(question.rev, data)

        return Task(self._exp.effect_steps(question, (edit,), self.question["prompt"]), reply)

    def _sweep_of(self, params: Params) -> tuple[Question, SweepChoice]:
        """The question and the sweep that a request is about."""
        site, edit = params.choice("site", SITES), params.choice("edit", KINDS)
        choice = SweepChoice(site, edit, params.choice("base", ("clean", "corrupted")), params.flag("on_top"))
        question = self.sweep_question(choice)
        question.model.require(site)
        reason = wire.reason_against_edit(question, site, edit)
        if reason is not None:
            raise BadInput(f"{edit} cannot be swept over {site}. {reason}", hint="Choose another edit or site.")
        return question, choice

    def sweep_question(self, choice: SweepChoice) -> Question:
        """The question that a sweep is of, as it is now."""
        found: Question = self._exp.snapshot(None if choice.on_top else (), choice.base)
        return found

    def sweep_task(
        self,
        question: Question,
        choice: SweepChoice,
        *,
        first: int | None = None,
        part: Rectangle | None = None,
        rest: bool = True,
    ) -> Task:
        """A sweep as work for the worker.

        Args:
            question: it is of.
            choice: which sweep.
            first: the position or head whose column comes first.
            part: cells that are run though they are known.
            rest: also run what is not known.
        """
        asked = dict(self.question)

        def steps() -> Generator[Any, None, SweepShown]:
            shown = yield from self._sweep_steps(question, choice, asked, first, part, rest)
            self.sweep_shown(shown)
            return shown

        def told(values: Sequence[Any]) -> Part:
            outlines = [value for value in values if isinstance(value, Outline)]
            cells = [value for value in values if isinstance(value, wire.Cells)]
            data: dict[str, Any] = {"map": outlines[-1].map} if outlines else {}
            if not cells:
                return Part(data)
            new = wire.joined(cells)
            return Part({**data, "done": new.done, "total": new.total}, new.arrays)

        def size(value: Any) -> int:
            return wire.CELL_BYTES * len(value.at) if isinstance(value, wire.Cells) else 0

        def done(shown: SweepShown) -> Reply:
            return Reply(question.rev, {"map": shown.map}, shown.arrays)

        return Task(steps(), done, told, size)

    def _sweep_steps(
        self,
        question: Question,
        choice: SweepChoice,
        asked: Mapping[str, Any],
        first: int | None,
        part: Rectangle | None,
        rest: bool,
    ) -> Generator[Any, None, SweepShown]:
        from mi_widgets.experiment.sweeping import Asked, Standing, laid_out

        job = current_job()
        by_position = not wire.by_head(choice.site)
        cells = question.model.n_layers * len(wire.places_of(question, choice.site))
        if cells > MOST_CELLS:
            raise BadInput(
                f"This map would have {cells} cells; a widget shows at most {MOST_CELLS}.",
                hint="Sweep some layers or positions: mi.PatchSweep(exp.sweep(site, layers=..., positions=...)).",
            )
        positions = wire.positions_of(question) if by_position else None
        laid = laid_out(question, Asked(choice.site, wire.template_of(choice.edit), positions=positions))
        yield
        yield from self._exp.look_steps(laid)
        # The unedited runs are measured by now.
        self.refresh_question()
        known = self._exp.finished(laid) if part is None else None
        if known is None and job is not None:
            # A map has to be made, which goes on behind whatever is looked at meanwhile.
            job.priority = Priority.SWEEP
            yield
            known = self._exp.finished(laid) if part is None else None
        if known is not None:
            return SweepShown(choice, question, asked, Standing.whole(known), from_table=True)
        again = None
        if part is not None:
            whole = {(layer, place) for layer in part.layers for place in part.places}
            axis = laid.grid.heads if not by_position else laid.grid.positions
            again = [index for index in laid.grid.edits if (laid.grid.layers[index[0]], axis[index[1]]) in whole]
        work = self._exp.map_steps(laid, first=first, again=again, rest=rest)
        shown: SweepShown | None = None
        hellos, news = -1, None
        try:
            while True:
                try:
                    event = next(work)
                except StopIteration as end:
                    return SweepShown(choice, question, asked, end.value.settled)
                if not isinstance(event, Standing):
                    yield event
                    continue
                shown = SweepShown(choice, question, asked, event)
                if news is None or hellos != self._hellos:
                    hellos = self._hellos
                    news = wire.Told(wire.Grid(event.result))
                    yield Outline(shown.map)
                yield from news.news(event)
        except GeneratorExit:
            work.close()
            left = self._exp.left(laid)
            if shown is not None and job is not None and job.reason == "user":
                kept = shown.standing if left is None else replace(shown.standing, result=left)
                self.sweep_shown(replace(shown, standing=kept.settled, cancelled=True))
            raise

    def _welcome(self, hello: Any) -> None:
        super()._welcome(hello)
        self._hellos += 1
