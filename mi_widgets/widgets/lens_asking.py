"""Cells of a lens as any widget with such a table asks for them: a rectangle, or one cell whole."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mi_widgets.analysis.lens import LensPart, lens_steps
from mi_widgets.analysis.lens_measures import MEASURES, reason_against
from mi_widgets.analysis.lens_rows import LensRow, rows_of, sublayers_of
from mi_widgets.analysis.lens_spec import LensSpec, runs_of
from mi_widgets.analysis.lens_trajectory import trajectory_steps
from mi_widgets.errors import BadInput
from mi_widgets.jobs import Priority
from mi_widgets.widgets import lens_wire as wire
from mi_widgets.widgets.arrays import Array
from mi_widgets.widgets.drawing import Drawing
from mi_widgets.widgets.ops import Params, Part, Reply, Task, op
from mi_widgets.widgets.plain import number

if TYPE_CHECKING:
    from mi_widgets.analysis.lens_result import LensResult
    from mi_widgets.analysis.translators import Translators
    from mi_widgets.interventions.question import Question

__all__ = ["LensAsking", "LensChoice"]

TOP = 5
MOST_CELLS = 20_000
MOST_TOKENS = 50
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


class LensAsking(Drawing):
    """A widget whose page looks into the cells of a lens."""

    runs: ClassVar[tuple[str, ...]]
    """Those whose cells it has."""

    _translators: Translators | None = None

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
            beside = self.cells_beside(question, choice.run, numbers, range(*reach))
            return Part({**about, "columns": reach, "tokens": wire.labelled(ids, label)}, arrays | beside)

        def size(each: LensPart) -> int:
            return wire.CELL_BYTES * len(numbers) * len(each.positions)

        def done(found: LensResult) -> Reply:
            if cells * wire.CELL_BYTES > ONE_MESSAGE:
                return Reply(question.rev, about)
            tokens = wire.labelled(found.top_ids.flatten().tolist(), label)
            arrays = wire.arrays_of(found, choice.measure)
            beside = self.cells_beside(question, choice.run, numbers, range(*columns))
            return Reply(question.rev, {**about, "tokens": tokens}, arrays | beside)

        # What fits into one message is not sent in two.
        parted = part if cells * wire.CELL_BYTES > ONE_MESSAGE else None
        return Task(lens_steps(question, spec), done, parted, size)

    def cells_beside(self, question: Question, run: str, rows: Sequence[int], columns: range) -> dict[str, Array]:
        """What a widget tells of cells beside what a lens does.

        Args:
            question: about the prompt that is shown.
            run: whose cells they are.
            rows: their numbers.
            columns: their positions.
        """
        return {}

    @op("lens.card", slot="card", priority=Priority.PREVIEW)
    def _ask_card(self, params: Params) -> Task:
        question, choice = self.asked_now(), self.chosen(params)
        rows = self.rows(choice)
        row = params.integer("row", 0, len(rows) - 1)
        position = params.integer("position", 0, self.length(question, choice.run) - 1)
        k = min(params.integer("k", 1, MOST_TOKENS), question.model.architecture.d_vocab)
        params.end()
        measures = [name for name in MEASURES if reason_against(question, name) is None]
        label = question.model.text.label

        def listed(ids: Any, values: Iterable[float], logits: Any, before: Any) -> list[dict[str, Any]]:
            return [
                {"id": i, "label": label(i), "value": number(v), "logit": number(x), "before": number(b)}
                for i, v, x, b in zip(ids.tolist(), values, logits.tolist(), before, strict=True)
            ]

        stream = rows[row].kind == "stream"
        spec = self.spec(choice, [rows[row]], (position, position + 1), k=k, measures=measures)

        def steps() -> Generator[Any, None, tuple[LensResult, list[float] | None]]:
            found = yield from lens_steps(question, spec)
            if not stream or choice.run not in ("edited", "change"):
                return found, None
            followed = yield from trajectory_steps(question, spec, position, found.top_ids[0, 0].tolist())
            return found, None if followed.unedited is None else followed.unedited.ranks[0].tolist()

        def reply(both: tuple[LensResult, list[float] | None]) -> Reply:
            found, ranks = both
            logits = found.logits[0, 0]
            values = (found.probs[0, 0] if stream else logits).tolist()
            data: dict[str, Any] = {
                "run": choice.run,
                "row": row,
                "position": position,
                "tokens": listed(found.top_ids[0, 0], values, logits, found.before[0, 0].tolist()),
                "measures": {name: number(float(found.measure(name)[0, 0])) for name in measures},
            }
            if not stream:
                low = found.bottom_logits[0, 0]
                data["suppressed"] = listed(found.bottom_ids[0, 0], low.tolist(), low, [float("nan")] * len(low))
            for token, rank in zip(data["tokens"], ranks or (), strict=False):
                token["before_rank"] = int(rank)
            return Reply(question.rev, data)

        return Task(steps(), reply)

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
