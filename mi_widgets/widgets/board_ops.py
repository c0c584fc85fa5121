"""The patch board's own work: its picture, drawn anew with every change, previews of drags, the history, the code."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets as t

from mi_widgets.analysis.attention_runs import through
from mi_widgets.analysis.cone import cone_of
from mi_widgets.analysis.lens_tops import Tops, edited_steps, tops_steps
from mi_widgets.errors import BadInput
from mi_widgets.jobs import Priority, Progress
from mi_widgets.widgets import board_wire as wire
from mi_widgets.widgets.arrays import Array, u8
from mi_widgets.widgets.board_wire import Drawn, Window
from mi_widgets.widgets.edit_specs import edits_asked, strength, with_strength
from mi_widgets.widgets.effects import effect_on_wire
from mi_widgets.widgets.lens_asking import LensAsking
from mi_widgets.widgets.lens_wire import labelled
from mi_widgets.widgets.ops import Params, Part, Reply, Task, op

if TYPE_CHECKING:
    from mi_widgets.experiment.effect import Effect
    from mi_widgets.interventions.edits import Edit
    from mi_widgets.interventions.question import Question
    from mi_widgets.results import Result

__all__ = ["BoardOps"]

KEPT_WINDOWS = 8
"""Unedited grids that a board remembers, so that an edit draws only what it changes."""

MANY = 2e8
"""Products of a preview's cells with the unembedding from which on its effect is sent ahead of them."""


@dataclass(frozen=True)
class Preview:
    """What some edits would do: the effect, and the cells that open first."""

    effect: Effect
    window: Window
    tops: Tops
    cone: Any


class BoardOps(LensAsking):
    """A widget whose page carries activations from one run into another."""

    topics: ClassVar[tuple[str, ...]] = ("question", "board")
    picture: ClassVar[str] = "board"
    runs: ClassVar[tuple[str, ...]] = ("clean", "corrupted", "edited")

    board = t.Dict(read_only=True).tag(sync=True)

    _result: Result | None = None
    _drawn: Drawn | None = None
    _windows: dict[Any, Tops]

    # The picture

    def draw(self) -> None:
        """Runs the live list and draws all grids."""
        with self.exclusive():
            self.begin("board.run", self._board_task(), priority=Priority.RUN, slot="board")

    @op("board.run", slot="board", priority=Priority.RUN)
    def _ask_board(self, params: Params) -> Task:
        params.end()
        return self._board_task()

    def _board_task(self) -> Task:
        prompt, whole = self.question["prompt"], self._exp.snapshot()
        question = whole.one(prompt)

        def steps() -> Generator[Any, None, None]:
            now = Progress(0, 2)
            yield now
            effect, run = yield from through(self._exp.live_steps(whole, prompt), now)
            now = Progress(1, 2)
            yield now
            windows = {name: wire.window_of(question, name, self._rows) for name in (*question.unedited, "edited")}
            tops = {}
            for name in question.unedited:
                tops[name] = yield from through(self._unedited(question, name, windows[name]), now)
            cone = cone_of(question, question.edits, self._rows)
            tops["edited"] = yield from through(
                self._edited(question, windows["edited"], tops[question.base], cone), now
            )
            newest = self._exp.runs[-1].number if self._exp.runs else 0
            told = effect_on_wire(effect, self.question)
            drawn = Drawn(windows, tops, cone, told, run, newest, effect.provenance.notes)
            self._show(question, drawn, effect.result)
            self.refresh_question()

        return Task(steps(), lambda _: Reply(question.rev, {"rev": question.rev}))

    def _show(self, question: Question, drawn: Drawn, result: Result) -> None:
        with self.exclusive():
            # A slow answer to an old question must not replace the answer to a newer one.
            if question.rev < self.board.get("rev", 0):
                return
            self._result, self._drawn = result, drawn
            self.publish(board=wire.board_on_wire(question, self._exp.pairs is not None, drawn))
            self.recover()

    def _unedited(self, question: Question, run: str, window: Window) -> Generator[Any, None, Tops]:
        """The cells of an unedited run: the same for all edits, answers and metrics."""
        name = question.model.generation, question.batch(run).key, window.shown, window.columns
        known = self._windows.get(name)
        if known is None:
            known = yield from tops_steps(question, run, window.open, window.positions)
            self._windows[name] = known
            while len(self._windows) > KEPT_WINDOWS:
                del self._windows[next(iter(self._windows))]
        return known

    def _edited(self, question: Question, window: Window, base: Tops, cone: Any) -> Generator[Any, None, Tops]:
        return (yield from edited_steps(question, window.open, window.positions, base, window.of(cone)))

    @property
    def _rows(self) -> Any:
        return self.rows(self._choice)

    def cells_beside(self, question: Question, run: str, rows: Sequence[int], columns: range) -> dict[str, Array]:
        """Of the edited run also what the edits can change."""
        if run != "edited":
            return {}
        cone = cone_of(question, question.edits, self._rows)
        return {"cone": u8(cone[list(rows)][:, list(columns)].numpy(), scale=1, offset=0)}

    # Previews

    @op("patch.preview", slot="preview", priority=Priority.PREVIEW)
    def _ask_preview(self, params: Params) -> Task:
        prompt = self.question["prompt"]
        base = params.choice("base", ("clean", "corrupted")) if params.given("base") else None
        asked = self._exp.snapshot(edits=(), base=base)
        edits = self._with_list(asked, params, prompt)
        params.end()
        one = replace(asked, edits=edits).one(prompt)
        window = wire.window_of(one, asked.base, self._rows)
        model = asked.model
        question = dict(self.question)

        def steps() -> Generator[Any, None, Preview]:
            effect = yield from self._exp.effect_steps(asked, edits, prompt)
            cone = cone_of(one, edits, self._rows)
            count = int(window.of(cone).sum())
            if count * model.d_model * model.architecture.d_vocab > MANY:
                yield effect
            base_cells = yield from self._unedited(one, one.base, window)
            tops = yield from self._edited(one, window, base_cells, cone)
            return Preview(effect, window, tops, cone)

        def part(effects: Sequence[Effect]) -> Part:
            return Part({"effect": effect_on_wire(effects[-1], question)})

        def reply(found: Preview) -> Reply:
            told = {
                "effect": effect_on_wire(found.effect, question),
                "base": asked.base,
                "rows": list(window.shown),
                "columns": list(window.columns),
                "tokens": labelled(found.tops.ids.flatten().tolist(), model.text.label),
            }
            arrays = wire.cells_on_wire(found.tops, "edited_")
            cone = {"edited_cone": u8(window.of(found.cone).numpy(), scale=1, offset=0)}
            return Reply(asked.rev, told, arrays | cone)

        return Task(steps(), reply, part)

    def _with_list(self, asked: Question, params: Params, prompt: int) -> tuple[Edit, ...]:
        """The edits of a preview: those of the list that are on, and the ones that are tried."""
        entries = self._exp.edits.entries
        if not params.given("replace"):
            params.ignore("alpha")
            added = edits_asked(asked, params, prompt)
            # Dropped on the other prompt, they are alone: what was made for the live one is switched off then.
            live = self._exp.edits.enabled if asked.base == self.question["base"] else ()
            return (*live, *added)
        at = params.integer("replace", 0, max(0, len(entries) - 1))
        if not entries:
            raise BadInput("There is no edit to replace.", hint="Add one first.")
        if asked.base != self.question["base"]:
            raise BadInput("An edit of the list runs on the live base.", hint="Leave base out.")
        tried: tuple[Edit, ...]
        if params.given("alpha"):
            params.ignore("edits")
            tried = (with_strength(entries[at].edit, strength(params.number("alpha"))),)
        else:
            tried = tuple(edits_asked(asked, params, prompt))
        before = [entry.edit for entry in entries[:at] if entry.on]
        after = [entry.edit for entry in entries[at + 1 :] if entry.on]
        return (*before, *tried, *after)

    # History and code

    @op("runs.list")
    def _list_runs(self, params: Params) -> Reply:
        params.end()
        now = self._exp.snapshot()
        current = self._exp.runs.found(self._exp.named(now), now.edits, now.base) if now.edits else None
        runs = [wire.run_on_wire(run, current=run is current) for run in self._exp.runs]
        return Reply(now.rev, {"runs": runs})

    @op("runs.effect", slot="runs", priority=Priority.PREVIEW)
    def _ask_run(self, params: Params) -> Task:
        run = self._exp.runs.numbered(params.integer("number", 1, 2**31))
        params.end()
        prompt, question = self.question["prompt"], dict(self.question)
        now = self._exp.snapshot(edits=(), base=run.base if run.base in self._exp.snapshot().unedited else None)
        if run.effect is None and run.asked != self._exp.named(now):
            raise BadInput(
                f"Run {run.number} was made of another question.", hint="Restore it, to run its edits on this one."
            )

        def steps() -> Generator[Any, None, Effect]:
            yield Progress(0, 1)
            if run.effect is not None:
                return run.effect
            return (yield from self._exp.effect_steps(now, run.edits, prompt))

        return Task(
            steps(),
            lambda effect: Reply(now.rev, {"number": run.number, "effect": effect_on_wire(effect, question)}),
        )

    @op("runs.restore", slot="edits", priority=Priority.RUN)
    def _restore_run(self, params: Params) -> Task:
        from mi_widgets.experiment.edit_list import Entry

        base_rev = params.revision()
        run = self._exp.runs.numbered(params.integer("number", 1, 2**31))
        params.end()
        self._exp.snapshot(edits=(), base=run.base)
        entries = tuple(Entry(edit) for edit in run.edits)
        return self.change(base_rev, lambda: self._exp.edits.restore(entries, run.base))

    @op("code.python", slot="code", priority=Priority.FETCH)
    def _ask_code(self, params: Params) -> Task:
        params.end()
        rev = self._exp.rev

        def steps() -> Generator[Any, None, str]:
            yield Progress(0, 1)
            text: str = self._exp.to_code()
            return text

        return Task(steps(), lambda text: Reply(rev, {"text": text}))
