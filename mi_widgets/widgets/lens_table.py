"""The lens table: the cells that open first, drawn anew when the question changes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets as t

from mi_widgets.analysis.lens import lens_steps
from mi_widgets.analysis.lens_rows import LensRow
from mi_widgets.analysis.lens_spec import runs_of
from mi_widgets.jobs import Priority
from mi_widgets.widgets import lens_wire as wire
from mi_widgets.widgets.arrays import embedded
from mi_widgets.widgets.lens_asking import LensAsking, LensChoice
from mi_widgets.widgets.ops import Params, Reply, Task, op
from mi_widgets.widgets.plain import number, provenance_on_wire

if TYPE_CHECKING:
    from mi_widgets.analysis.lens_result import LensResult
    from mi_widgets.interventions.question import Question

__all__ = ["LensTable"]


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


class LensTable(LensAsking):
    """A widget that shows what the model would say at every layer."""

    topics: ClassVar[tuple[str, ...]] = ("question", "lens")
    picture: ClassVar[str] = "lens"
    runs: ClassVar[tuple[str, ...]] = ("clean", "corrupted", "edited", "difference", "change")

    lens = t.Dict(read_only=True).tag(sync=True)

    _wished: LensChoice
    """What a reader has asked for, and what is shown whenever it can be."""
    _choice: LensChoice
    """What is shown."""
    _result: LensResult | None

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
