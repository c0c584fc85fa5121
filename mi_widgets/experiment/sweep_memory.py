"""`SweepMemory`: the maps an experiment has made, whole or in part, so that no cell is run twice to be shown."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Generator
from functools import cached_property
from typing import Any

from ..interventions.sweep import Index
from ..results import SweepResult
from .live import LiveQuestion
from .sweeping import Laid, Map, Standing, name_of

KEPT = 16
"""Finished maps that an experiment remembers."""

LEFT = 4
"""Unfinished maps that it remembers."""

Steps = Generator[Any, None, SweepResult]
Maps = OrderedDict[tuple[Any, Any], SweepResult]


class SweepMemory(LiveQuestion):
    """The maps of an experiment, and sweeps for jobs of widgets; `Sweeps` adds the public calls."""

    @cached_property
    def _left(self) -> Maps:
        """Maps that were left before they were whole, the newest last."""
        return OrderedDict()

    def finished(self, laid: Laid) -> SweepResult | None:
        """The whole map of these cells, if it was made before; None otherwise.

        Only a look at the user's model (`map_steps`, `look_steps`) tells whether it is still the same.
        """
        name = name_of(laid.question)
        found = (result for (of, _), result in reversed(self._maps.items()) if of == name and _is_of(result, laid))
        return next((result for result in found if _is_whole(result)), None)

    def look_steps(self, laid: Laid) -> Generator[Any, None, None]:
        """See whether the user's model has changed, which drops what was known."""
        yield from self._fresh(laid.question)

    def map_steps(
        self, laid: Laid, *, first: int | str | None = None, again: Collection[Index] | None = None, rest: bool = True
    ) -> Generator[Any, None, Standing]:
        """A sweep for jobs of widgets: goes on where an earlier one of these cells was left.

        Args:
            laid: the cells.
            first: the position, or head, whose column comes first.
            again: cells that are run though they are known, before all others.
            rest: also run cells that are not known.

        Yields:
            A `Standing` whenever more is known, the first before anything is run; else what lets more urgent work in.
        """
        yield from self.look_steps(laid)
        begun = self.finished(laid) or self.left(laid)
        work = Map(
            laid, self._fresh, stream=True, guess=rest, first=first, begun=begun, again=again, rest=rest, outline=True
        )
        steps = self.remembered(work)
        try:
            while True:
                event = next(steps)
                yield work.standing(event) if isinstance(event, SweepResult) else event
        except StopIteration as end:
            return work.standing(end.value)
        finally:
            steps.close()

    def remembered(self, work: Map) -> Steps:
        """The steps of a map, which is kept when it is whole, and as far as it is when it is cancelled."""
        try:
            found = yield from work.steps()
        except GeneratorExit:
            if work.begun:
                _keep(self._left, work, work.so_far(), LEFT)
            raise
        if work.mixed:
            return found
        if _is_whole(found):
            _forget(self._left, work)
        elif self.finished(work.laid) is not None:
            # An estimate, or some cells of a map, take no place of the whole map.
            return found
        _keep(self._maps, work, found, KEPT)
        return found

    def left(self, laid: Laid) -> SweepResult | None:
        """The map of these cells as far as it was known when its work was stopped; None when it was never begun."""
        name = name_of(laid.question)
        return next((found for (of, _), found in self._left.items() if of == name and _is_of(found, laid)), None)


def _keep(maps: Maps, work: Map, found: SweepResult, most: int) -> None:
    _forget(maps, work)
    # By the name it began with: the model may have changed since.
    maps[work.name, (found.site, id(found))] = found
    while len(maps) > most:
        maps.popitem(last=False)


def _forget(maps: Maps, work: Map) -> None:
    """Drop maps of the same cells."""
    for key in [key for key, result in maps.items() if key[0] == work.name and _is_of(result, work.laid)]:
        del maps[key]


def _is_of(result: SweepResult, laid: Laid) -> bool:
    """Whether a map has these cells."""
    grid = laid.grid
    own = (result.site, result.axes, result.layers, result.heads, result.positions, result.units)
    theirs = (grid.site, grid.axes, grid.layers, grid.heads, grid.positions, grid.units)
    return own == theirs and bool(result.template == laid.template)


def _is_whole(result: SweepResult) -> bool:
    """Whether every cell that has a number was run."""
    return bool(result.exact.any()) and not bool((~result.exact & ~result.metric.isnan()).any())
