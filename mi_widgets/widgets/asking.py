"""Changing what is asked, from the header of any widget."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

from mi_widgets.errors import BadInput, Stale
from mi_widgets.jobs import Priority
from mi_widgets.widgets.base import MiWidget
from mi_widgets.widgets.ops import Params, Reply, Task, op

__all__ = ["ALIGNS", "Asking"]

ALIGNS: Mapping[str, str | None] = {"start": None, "end": "suffix", "common": "common", "custom": None}
"""How positions of two prompts pair: {name on the wire: what `exp.ask(align=)` takes}; "custom" are the user's own."""


class Asking(MiWidget):
    """A widget whose page changes the question: prompts, how they pair, answer, distractor, metric, base."""

    @op("question.set", slot="question", priority=Priority.RUN)
    def _set_question(self, params: Params) -> Task:
        base_rev = params.revision()
        changes: dict[str, Any] = {}
        if "which" in params or "text" in params:
            changes[params.choice("which", ("clean", "corrupted"))] = params.text("text")
        for name in ("answer", "distractor"):
            if name in params:
                changes[name] = params.text_or_none(name, 1000)
        if "metric" in params:
            changes["metric"] = params.choice("metric", [name for name, _ in self.question["metrics"]])
        if "base" in params:
            changes["base"] = params.choice("base", ("clean", "corrupted"))
        if "align" in params:
            changes["align"] = self._pairing_of(params.choice("align", tuple(ALIGNS)))
        shown = self.shown_prompt(params)
        params.end()
        if shown is not None and not changes:
            return self.change(base_rev, shown)
        if not changes or shown is not None:
            raise BadInput(
                "question.set changes nothing, or two things at once.",
                hint="Send a prompt's text, answer, distractor, metric, base or align; or, alone, a prompt's number.",
            )
        return self.change(base_rev, lambda: self._exp.ask(**changes))

    def shown_prompt(self, params: Params) -> Callable[[], object] | None:
        """What shows another prompt, where a page asks for one."""
        if "prompt" not in params:
            return None
        number = params.integer("prompt", 0, self.question["n_prompts"] - 1)
        return lambda: self._exp.show_prompt(number)

    def _pairing_of(self, name: str) -> Any:
        """What `exp.ask` takes for a way to pair positions."""
        if self.question["prompts"]["corrupted"] is None:
            raise BadInput("There is one prompt, so nothing pairs.", hint="Give a second one first.")
        if name != "custom":
            return ALIGNS[name]
        if self._exp.pairs is None:
            raise BadInput(
                "No pairs of positions were given.", hint="mi.Experiment(..., align={base position: source position})."
            )
        return self._exp.pairs

    def change(self, base_rev: int, make: Callable[[], object]) -> Task:
        """A change of the experiment as a task; its reply is the revision that it made.

        Args:
            base_rev: the revision that the page looked at: another one now, or when the task's turn has come, is
                refused.
            make: changes the experiment; runs on the worker.

        Raises:
            Stale: the question has changed meanwhile.
        """
        self._require_current(base_rev)

        def steps() -> Generator[None, None, int]:
            yield
            self._require_current(base_rev)
            make()
            # A cell may have made another change by now, which the reader of the reply has not seen.
            return min(self._exp.rev, base_rev + 1)

        return Task(steps(), lambda rev: Reply(rev, {"rev": rev}))

    def _require_current(self, base_rev: int) -> None:
        now = self._exp.rev
        if base_rev != now:
            raise Stale(
                f"The question has changed meanwhile (revision {now}, not {base_rev}).",
                hint="Look at it again, then send the change once more.",
            )
