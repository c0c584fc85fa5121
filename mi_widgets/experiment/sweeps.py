"""`Sweeps`: maps of an experiment, whole or as they come, and single answers from finished ones."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

from ..errors import BadInput, Cancelled
from ..interventions.edits import Edit, edits_of
from ..interventions.grid import Positions
from ..jobs import Priority
from ..model.numbers import whole
from ..results import SweepResult
from .bar import Bar
from .sweep_memory import SweepMemory
from .sweeping import ORDERS, Asked, Map, laid_out, name_of


class Sweeps(SweepMemory):
    """The sweeps of an experiment; `Experiment` adds the rest."""

    def sweep(
        self,
        site: str,
        edit: Edit | None = None,
        base: str | None = None,
        *,
        on_top: bool = False,
        layers: Sequence[int] | int | None = None,
        heads: Sequence[int] | int | None = None,
        positions: Positions = None,
        units: Sequence[int] | int | str | None = None,
        method: str = "exact",
        steps: int = 1,
        top: int | None = None,
        progress: bool = True,
    ) -> SweepResult:
        """A map of edited runs: the same edit in every cell, each an exact rerun of the model.

        A cell is the unedited base with one edit. What equals the base run is not computed again, and all cells share
        large matrix products, so that a map costs a fraction of one forward pass per cell; models that do not allow it
        are run side by side (`provenance.recomputed` says which).

        Args:
            site: layer x position for sites of the stream; layer x head for q, k, v, z, pattern, scores and result
                (key-value heads for k and v), all positions at once.
            edit: `Patch()` by default; `Zero()` gives an ablation map.
            base: None = the live base.
            on_top: add each cell's edit to the live edits; the clean and corrupted baselines stay the unedited ones.
            layers: which; None = all.
            heads: which; None = all.
            positions: which, by number or name; None = all that pair, and for sites with heads all at once; "all" =
                each by itself there too; "from_end" = counted from the ends of prompts of different length. Positions
                without a partner in the source prompt are NaN, and so are those where the edit cannot be done, as a
                knockout of a source that comes later; `provenance.notes` says how many.
            units: which neurons (mlp_pre, mlp_post) or dimensions of the stream; "all"; None = no such axis.
            method: "exact", or "gradient": two forward passes and one backward estimate all cells at once, as
                sum (source - base) . d metric / d site (attribution patching: Nanda 2023; Syed et al. 2023).
            steps: of "gradient": integrated gradients over that many points between the two prompts.
            top: run only the cells with the largest estimates; the others keep their estimate, with `exact` False.
            progress: show a progress bar.

        Raises:
            Cancelled: it was cancelled; `.partial` is the map with the cells that were finished.
            NotFinite: no cell gives a number. One that gives none among others is NaN, and `provenance.notes` says why.
            SiteUnavailable: the model has no such site.
            PromptMismatch: the prompts do not pair position by position.
            BadInput: numbers out of range, base prompts of different length in a sweep over positions counted from the
                front, or an estimate of a metric without a gradient.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(),
            ...     clean="When Mary and John went to the store, John gave a drink to",
            ...     corrupted="When Mary and John went to the store, Mary gave a drink to",
            ...     answer=" Mary", distractor=" John")
            >>> found = exp.sweep("z", progress=False)
            >>> found.recovered.shape
            torch.Size([4, 4])
            >>> abs(exp.run(found.top(1)).metric - float(found.metric.max())) < 1e-4
            True
        """
        asked = Asked(site, edit, layers, heads, positions, units, method, steps, top)
        laid = laid_out(self.snapshot(None if on_top else (), base), asked)
        work = Map(laid, self._fresh)
        with Bar(f"{type(laid.template).__name__.lower()} {site}", progress) as bar:
            try:
                return self.scheduler.run(
                    self._news.told(self.remembered(work)),
                    priority=Priority.SWEEP,
                    op="sweep.run",
                    on_partial=lambda _, value: bar.see(value),
                )
            except Cancelled as problem:
                problem.partial = work.so_far() if work.begun else None
                raise

    def sweep_stream(
        self,
        site: str,
        edit: Edit | None = None,
        base: str | None = None,
        *,
        on_top: bool = False,
        layers: Sequence[int] | int | None = None,
        heads: Sequence[int] | int | None = None,
        positions: Positions = None,
        units: Sequence[int] | int | str | None = None,
        estimate: bool = True,
        steps: int = 1,
        order: str = "columns",
        first: int | str | None = None,
    ) -> Iterator[SweepResult]:
        """The same map while it comes: first the estimate, then ever more exact cells.

        Each result holds all that is known by then: `exact` tells cells that were run from those that are an estimate;
        without one a pending cell is NaN. The last result is the whole map. Closing the iterator cancels the sweep.

        Args:
            site, edit, base, on_top, layers, heads, positions, units, steps: as in `sweep`.
            estimate: begin with the estimate by gradients, where the metric has one.
            order: "columns": column by column; "largest": cells with the largest estimates first.
            first: the position whose column comes first.

        Raises:
            As `sweep`, from the iterator where it arises in the work.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(), "Mary saw John", "John saw Mary", answer=" Mary", distractor=" John")
            >>> *_, whole = exp.sweep_stream("resid_pre")
            >>> bool(whole.exact.all())
            True
        """
        if order not in ORDERS:
            raise BadInput(f"There is no order {order!r}.", hint=f"Orders: {', '.join(ORDERS)}.")
        asked = Asked(site, edit, layers, heads, positions, units, steps=steps)
        laid = laid_out(self.snapshot(None if on_top else (), base), asked)
        if first is not None and first not in laid.grid.positions:
            length, number = len(self._question.batch(laid.question.base).prompts[0]), whole(first)
            first = number % length if number is not None and -length <= number < length else first
            if first not in laid.grid.positions:
                raise BadInput(f"The map has no column {first!r}.", hint="Take one of its positions.")
        work = Map(laid, self._fresh, stream=True, guess=estimate, order=order, first=first)
        told = self._news.told(self.remembered(work))
        return self._streamed(self.scheduler.stream(told, op="sweep.stream"))

    def known(self, edits: Iterable[Edit] | Edit, base: str | None = None) -> tuple[float, float] | None:
        """What a single edit gives, from a finished map of this question; None when no map has it.

        Args:
            edits: one edit.
            base: None = the live base.

        Returns:
            (metric, recovered), as `run` would give them.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(), "Mary saw John", "John saw Mary", answer=" Mary", distractor=" John")
            >>> exp.known(mi.Patch("z", 1, head=2)) is None
            True
            >>> found = exp.sweep("z", progress=False)
            >>> exp.known(mi.Patch("z", 1, head=2)) == (float(found.metric[1, 2]), float(found.recovered[1, 2]))
            True
        """
        several = edits_of(edits)
        if len(several) != 1 or not self._maps:
            return None
        question = self.snapshot((), base)

        def look() -> Generator[Any, None, None]:
            yield from self._look(question)

        self._work(look(), "sweep.known", Priority.PREVIEW)
        name = name_of(question)
        for (of, _), found in reversed(self._maps.items()):
            index = found.cell(several[0]) if of == name else None
            if index is not None:
                return float(found.metric[index]), float(found.recovered[index])
        return None

    @staticmethod
    def _streamed(stream: Any) -> Iterator[SweepResult]:
        """The partial maps of a stream, then the whole one."""
        with stream:
            for value in stream:
                if isinstance(value, SweepResult):
                    yield value
            yield stream.job.wait()
