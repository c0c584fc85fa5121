"""The edited runs of an experiment, the newest last: what was changed, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

from ..errors import BadInput
from ..interventions.edits import Edit
from ..results import Result

if TYPE_CHECKING:
    import pandas as pd

    from .effect import Effect

MOST_RUNS = 100
MOST_BYTES = 64 * 2**20
"""Of logits; a run beyond it drops the oldest, but is kept itself."""


@dataclass(frozen=True)
class Run:
    """One edited run.

    Attributes:
        edits: that were switched on.
        base: the run they were made on.
        result: what came of it.
        asked: of what question, as `Question.key` and the model's generation name it; None = not known.
        effect: what it did to the tokens that were shown, where a widget has looked.
        number: its place among all that were ever added, from 1; 0 before it is added.
    """

    edits: tuple[Edit, ...]
    base: str
    result: Result
    asked: Hashable = None
    effect: Effect | None = None
    number: int = 0

    def __str__(self) -> str:
        what = ", ".join(map(str, self.edits)) or "no edits"
        return f"{self.base}: {what} -> {self.result.metric_name} {self.result.metric:.4g}"


def _same(run: Run, asked: Hashable, edits: tuple[Edit, ...], base: str) -> bool:
    """Whether a run is of these edits, on that base, of the same question."""
    return run.asked == asked and run.base == base and run.edits == edits


class Runs(Sequence[Run]):
    """The runs of the live list, the newest last; at most 100, and the oldest go first. Threads may add.

    A run that is done over, of the same edits on the same base and question as the newest, is that one.

    Example:
        >>> import mi_widgets as mi
        >>> exp = mi.Experiment(mi.load(), "Mary went to the", answer=" store")
        >>> _ = exp.edits.add(mi.Zero("z", 1, head=2))
        >>> exp.run().metric == exp.runs[-1].result.metric
        True
        >>> [str(edit) for edit in exp.runs[-1].edits]
        ['zero L1H2.z']
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[Run, ...] = ()
        self._added = 0

    def add(self, run: Run, *, anywhere: bool = False) -> Run:
        """Append a run, and drop the oldest where there are too many; gives it with its number.

        Args:
            run: what was run.
            anywhere: it is not appended where the history has it anywhere, as a widget wants it whose undo leads back
                to what was run before; without this, where the newest is the same. The one that is there learns the
                effect if it had none.
        """
        with self._lock:
            looked = self._kept if anywhere else self._kept[-1:]
            same = (
                one for one in reversed(looked) if run.asked is not None and _same(one, run.asked, run.edits, run.base)
            )
            known = next(same, None)
            if known is not None:
                found = known if known.effect is not None else replace(known, effect=run.effect)
                self._kept = tuple(found if one is known else one for one in self._kept)
                return found
            self._added += 1
            run = replace(run, number=self._added)
            kept = (*self._kept, run)[-MOST_RUNS:]
            size = sum(r.result.held for r in kept)
            while len(kept) > 1 and size > MOST_BYTES:
                size -= kept[0].result.held
                kept = kept[1:]
            self._kept = kept
        return run

    def found(self, asked: Hashable, edits: tuple[Edit, ...], base: str) -> Run | None:
        """The newest run of these edits on that base, of the same question; None where there is none."""
        return next((run for run in reversed(self._kept) if _same(run, asked, edits, base)), None)

    def numbered(self, number: int) -> Run:
        """The run of a number.

        Raises:
            BadInput: there is none, or it has been dropped.
        """
        for run in self._kept:
            if run.number == number:
                return run
        numbers = [run.number for run in self._kept]
        last = f"Choose one of {numbers[0]} to {numbers[-1]}." if numbers else "Run some edits first."
        raise BadInput(f"There is no run {number} in the history.", hint=last)

    def clear(self) -> None:
        """Forget all."""
        self._kept = ()

    @overload
    def __getitem__(self, i: int) -> Run: ...

    @overload
    def __getitem__(self, i: slice) -> tuple[Run, ...]: ...

    def __getitem__(self, i: int | slice) -> Run | tuple[Run, ...]:
        return self._kept[i]

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._kept)

    def __repr__(self) -> str:
        return "\n".join(["runs:", *(f"  {i} {run}" for i, run in enumerate(self._kept))]) if self._kept else "no runs"

    def to_frame(self) -> pd.DataFrame:
        """A row per run. Columns: run, base, edits, metric_name, metric, recovered."""
        import pandas as pd

        columns = ["run", "base", "edits", "metric_name", "metric", "recovered"]
        rows = [
            [i, run.base, ", ".join(map(str, run.edits)), run.result.metric_name, run.result.metric,
             run.result.recovered] for i, run in enumerate(self._kept)
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)
