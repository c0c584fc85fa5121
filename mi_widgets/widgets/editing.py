"""Changing the live list of edits, from the chips of any widget."""

from __future__ import annotations

from collections.abc import Callable

from mi_widgets.jobs import Priority
from mi_widgets.widgets.asking import Asking
from mi_widgets.widgets.edit_specs import edits_asked, strength, with_strength
from mi_widgets.widgets.ops import Params, Task, op

__all__ = ["Editing"]

MOST_EDITS = 10_000


class Editing(Asking):
    """A widget whose page changes the experiment's edits. The page never writes the list: it asks, by index."""

    @op("edits.add", slot="edits", priority=Priority.RUN)
    def _add_edits(self, params: Params) -> Task:
        base_rev = params.revision()
        base = params.choice("base", ("clean", "corrupted")) if params.given("base") else None
        asked = self._exp.snapshot(edits=(), base=base)
        edits = edits_asked(asked, params, self.question["prompt"])
        params.end()
        return self.change(base_rev, lambda: self._exp.edits.extend(edits, asked.base))

    @op("edits.replace", slot="edits", priority=Priority.RUN)
    def _replace_edit(self, params: Params) -> Task:
        base_rev, index = params.revision(), params.integer("index", 0, MOST_EDITS)
        alpha = strength(params.number("alpha"))
        params.end()
        edits = self._exp.edits
        return self.change(base_rev, lambda: edits.replace(index, with_strength(edits[index], alpha)))

    @op("edits.remove", slot="edits", priority=Priority.RUN)
    def _remove_edit(self, params: Params) -> Task:
        return self._by_index(params, self._exp.edits.remove)

    @op("edits.toggle", slot="edits", priority=Priority.RUN)
    def _toggle_edit(self, params: Params) -> Task:
        return self._by_index(params, self._exp.edits.toggle)

    @op("edits.move", slot="edits", priority=Priority.RUN)
    def _move_edit(self, params: Params) -> Task:
        to = params.integer("to", 0, MOST_EDITS)
        return self._by_index(params, lambda index: self._exp.edits.move(index, to))

    @op("edits.clear", slot="edits", priority=Priority.RUN)
    def _clear_edits(self, params: Params) -> Task:
        return self._without_index(params, self._exp.edits.clear)

    @op("edits.undo", slot="edits", priority=Priority.RUN)
    def _undo_edit(self, params: Params) -> Task:
        return self._without_index(params, self._exp.edits.undo)

    @op("edits.redo", slot="edits", priority=Priority.RUN)
    def _redo_edit(self, params: Params) -> Task:
        return self._without_index(params, self._exp.edits.redo)

    def _by_index(self, params: Params, make: Callable[[int], object]) -> Task:
        base_rev, index = params.revision(), params.integer("index", 0, MOST_EDITS)
        params.end()
        return self.change(base_rev, lambda: make(index))

    def _without_index(self, params: Params, make: Callable[[], object]) -> Task:
        base_rev = params.revision()
        params.end()
        return self.change(base_rev, make)
