"""The lens table: the cells that open first, drawn anew when the question changes, and further cells on request."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets as t

from mi_widgets.analysis.lens import LensPart, lens_steps
from mi_widgets.analysis.lens_measures import MEASURES
from mi_widgets.analysis.lens_rows import LensRow, rows_of, sublayers_of
from mi_widgets.analysis.lens_spec import LensSpec, runs_of
from mi_widgets.errors import BadInput
from mi_widgets.jobs import Priority
from mi_widgets.widgets import lens_wire as wire
from mi_widgets.widgets.arrays import embedded
from mi_widgets.widgets.drawing import Drawing
from mi_widgets.widgets.ops import Params, Part, Reply, Task, op
from mi_widgets.widgets.plain import number, provenance_on_wire

if TYPE_CHECKING:
    from mi_widgets.analysis.lens_result import LensResult
    from mi_widgets.analysis.translators import Translators
    from mi_widgets.interventions.question import Question

__all__ = ["LensChoice", "LensTable"]

TOP = 5
MOST_CELLS = 20_000
ONE_MESSAGE = 64_000


@dataclass(frozen=True)
class LensChoice:
    """Which lens a page looks at.

    Attributes:
        run: clean, corrupted, edited, difference (clean - corrupted) or change (edited - unedited).
        measure: what colours its cells.
        sublayers: whether it has rows between and of the halves of layers.
        tuned: whether translators come before the final norm.
    """

    run: str
    measure: str = "prob"
    sublayers: bool = False
    tuned: bool = False

    @property
    def told(self) -> dict[str, Any]:
        """As the wire has it."""
        return {"run": self.run, "measure": self.measure, "sublayers": self.sublayers, "tuned": self.tuned}


@dataclass(frozen=True)
class Window:
    """The cells of a lens that open first.

    Attributes:
        rows: all rows there are.
        shown: numbers of those that open.
        columns: half-open range of positions.
    """

    rows: tuple[LensRow, ...]
    shown: tuple[int, ...]
    columns: tuple[int, int]


class LensTable(Drawing):
    """A widget that shows what the model would say at every layer."""

    topics: ClassVar[tuple[str, ...]] = ("question", "lens")
    picture: ClassVar[str] = "lens"
    runs: ClassVar[tuple[str, ...]] = ("clean", "corrupted", "edited", "difference", "change")

    lens = t.Dict(read_only=True).tag(sync=True)

    _wished: LensChoice
    """What a reader has asked for, and what is shown whenever it can be."""
    _choice: LensChoice
    """What is shown."""
    _translators: Translators | None
    _result: LensResult | None

    # The cells that open first

    def run_now(self) -> str:
        """The run that is wished for, or what comes nearest: without edits the unedited base."""
        question, wished = self.question, self._wished.run
        edited = any(edit["on"] for edit in question["edits"])
        lacking = (wished in ("edited", "change") and not edited) or (
            wished in ("corrupted", "difference") and question["prompts"]["corrupted"] is None
        )
        return str(question["base"]) if lacking else wished

    def is_wanted(self, shown: Mapping[str, Any]) -> bool:
        """Whether a picture is of the lens that is to be shown."""
        return all(shown[name] == value for name, value in replace(self._choice, run=self._run).told.items())

    def draw(self) -> None:
        """Draws the lens that is shown."""
        with self.exclusive():
            self._run = self.run_now()
            self._choice = replace(self._wished, run=self._run)
            self.begin("lens.run", self._window_task(self._choice), priority=Priority.SWEEP, slot="lens")

    @op("lens.run", slot="lens", priority=Priority.SWEEP)
    def _ask_lens(self, params: Params) -> Task:
        choice = self.chosen(params, with_measure=True)
        params.end()
        task = self._window_task(choice)
        # From now on this is what a change of the question draws anew.
        self._wished = self._choice = choice
        self._run = choice.run
        return task

    def _window_task(self, choice: LensChoice) -> Task:
        question = self.asked_now()
        rows = self.rows(choice)
        batch = question.batch(runs_of(question, choice.run)[0])
        columns = wire.columns_at_first(batch.lengths[0], question.answers(batch)[0])
        window = Window(rows, wire.rows_at_first(rows), columns)
        spec = self.spec(choice, [rows[at] for at in window.shown], columns, measures=(choice.measure,))

        def steps() -> Generator[Any, None, LensResult]:
            found = yield from lens_steps(question, spec)
            self._show(question, choice, window, found)
            yield from self.measured()
            return found

        return Task(steps(), lambda _: Reply(question.rev, choice.told))

    def _show(self, question: Question, choice: LensChoice, window: Window, found: LensResult) -> None:
        with self.exclusive():
            # A slow answer to an old question must not replace the answer to a newer one, nor one lens another.
            if choice != self._choice or question.rev < self.lens.get("rev", 0):
                return
            self._result = found
            self.publish(lens=self._on_wire(question, choice, window, found))
            self.recover()

    def _on_wire(self, question: Question, choice: LensChoice, window: Window, found: LensResult) -> dict[str, Any]:
        model, where = question.model, found.provenance
        batch = question.batch(runs_of(question, choice.run)[0])
        told = {
            "rev": question.rev,
            **choice.told,
            "n_layers": model.n_layers,
            "positions": batch.lengths[0],
            "rows": wire.rows_on_wire(window.rows),
            "shown": {"rows": list(window.shown), "columns": list(window.columns)},
            "k": found.top_ids.shape[-1],
            "tokens": wire.labelled(found.top_ids.flatten().tolist(), model.text.label),
            "answer": {
                "position": question.answers(batch)[0],
                "ids": [] if question.answer is None else list(question.answer.ids[0]),
                "distractor": [] if question.distractor is None else list(question.distractor.ids[0]),
            },
            "measures": wire.measures_on_wire(question),
            "card": wire.card_of(choice.measure),
            "scale": wire.scale_of(
                choice.measure, found.measure(choice.measure), choice.run, model.architecture.d_vocab
            ),
            "provenance": {
                **provenance_on_wire(where, found.forward_ms),
                "lens_ms": number(round(where.milliseconds - found.forward_ms, 2)),
                "notes": list(where.notes),
            },
            "arrays": embedded(wire.arrays_of(found, choice.measure)),
        }
        # Without translators there is no switch for them; with them, null says that it works.
        return told if self._translators is None else {**told, "translators": None}

    # Further cells

    @op("lens.cells", slot="cells", priority=Priority.FETCH)
    def _ask_cells(self, params: Params) -> Task:
        question, choice = self.asked_now(), self.chosen(params, with_measure=True)
        rows = self.rows(choice)
        numbers = sorted(params.integers("rows", len(rows), len(rows) - 1))
        columns = params.span("columns", self.length(question, choice.run))
        params.end()
        cells = len(numbers) * (columns[1] - columns[0])
        if cells > MOST_CELLS:
            raise BadInput(
                f"{cells} cells are more than {MOST_CELLS}.", hint="Ask for fewer rows or positions at a time."
            )
        label = question.model.text.label
        spec = self.spec(choice, [rows[at] for at in numbers], columns, measures=(choice.measure,))
        about = {**choice.told, "rows": numbers, "columns": list(columns)}

        def part(parts: Sequence[LensPart]) -> Part:
            arrays, ids = wire.side_by_side([each.cells for each in parts], choice.measure)
            reach = [parts[0].positions[0], parts[-1].positions[-1] + 1]
            return Part({**about, "columns": reach, "tokens": wire.labelled(ids, label)}, arrays)

        def size(each: LensPart) -> int:
            return wire.CELL_BYTES * len(numbers) * len(each.positions)

        def done(found: LensResult) -> Reply:
            if cells * wire.CELL_BYTES > ONE_MESSAGE:
                return Reply(question.rev, about)
            tokens = wire.labelled(found.top_ids.flatten().tolist(), label)
            return Reply(question.rev, {**about, "tokens": tokens}, wire.arrays_of(found, choice.measure))

        # What fits into one message is not sent in two.
        parted = part if cells * wire.CELL_BYTES > ONE_MESSAGE else None
        return Task(lens_steps(question, spec), done, parted, size)

    # What is asked

    def asked_now(self) -> Question:
        """The question as it is now, about the prompt that is shown."""
        found: Question = self._exp.snapshot().one(self.question["prompt"])
        return found

    def chosen(self, params: Params, *, with_measure: bool = False) -> LensChoice:
        """The lens that a request is about."""
        run = params.choice("run", self.runs)
        measure = params.choice("measure", tuple(MEASURES)) if with_measure else "prob"
        choice = LensChoice(run, measure, params.flag("sublayers"), params.flag("tuned"))
        if run == "change" and not any(edit["on"] for edit in self.question["edits"]):
            raise BadInput("No edit is switched on, so nothing has changed.", hint="Switch one on, or add one.")
        if choice.tuned and self._translators is None:
            raise BadInput("There are no translators.", hint="Give them: mi.LogitLens(exp, translators='folder').")
        return choice

    def length(self, question: Question, run: str) -> int:
        """Tokens of the prompt of a run."""
        return question.batch(runs_of(question, run)[0]).lengths[0]

    def rows(self, choice: LensChoice) -> tuple[LensRow, ...]:
        """All rows of a lens."""
        return rows_of(self._exp.model, self._sites(choice))

    def spec(
        self,
        choice: LensChoice,
        rows: Sequence[LensRow] | None = None,
        columns: tuple[int, int] | None = None,
        *,
        k: int = TOP,
        measures: Sequence[str] = (),
    ) -> LensSpec:
        """What the analysis is asked for a lens."""
        return LensSpec(
            run=choice.run,
            at=self._sites(choice),
            rows=None if rows is None else tuple(row.key for row in rows),
            columns=columns,
            k=min(k, self._exp.model.architecture.d_vocab),
            measures=tuple(measures),
            translators=self._translators if choice.tuned else None,
        )

    def _sites(self, choice: LensChoice) -> tuple[str, ...]:
        return ("resid_post", *(sublayers_of(self._exp.model) if choice.sublayers else ()))
