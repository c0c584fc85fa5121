"""One run of the question, shown whole: drawn at once, and drawn anew when a change makes the picture old."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from typing import Any, ClassVar

from mi_widgets.errors import MiWidgetsError
from mi_widgets.jobs import Priority
from mi_widgets.widgets.editing import Editing
from mi_widgets.widgets.ops import Reply, Task

__all__ = ["Drawing"]

logger = logging.getLogger("mi_widgets")

OF_EDITS = ("edited", "change")
"""The runs that edits have a say in."""


class Drawing(Editing):
    """A widget with a picture of one run.

    Its picture is a trait, {"rev", "run", ...}, that is written when a picture is whole; {} before the first.
    """

    picture: ClassVar[str]
    """Name of that trait, which is a topic too."""

    _run: str

    def draw(self) -> None:
        """Draws the run that is shown."""
        raise NotImplementedError

    def run_now(self) -> str:
        """The run to show, now that the question has changed."""
        alone = self.question["prompts"]["corrupted"] is None
        return "clean" if alone and self._run in ("corrupted", "difference") else self._run

    def is_wanted(self, shown: Mapping[str, Any]) -> bool:
        """Whether a picture is of what is to be shown, whatever revision it is of."""
        return bool(shown["run"] == self._run)

    def still_true(self, rev: int) -> None:
        """Called when a change has left the picture as it was; from now on it is of revision `rev`."""

    def question_changed(self, topic: str) -> None:
        """Draws anew what the change has made old."""
        with self.exclusive():
            self._run = self.run_now()
            shown = getattr(self, self.picture)
            settled = bool(shown) and self.is_wanted(shown) and self.status["state"] == "idle"
            if topic == "edits" and settled and self._run not in OF_EDITS:
                # Edits leave the unedited runs as they are: the same picture answers the new question too.
                rev = self.question["rev"]
                self.still_true(rev)
                self.publish(**{self.picture: {**shown, "rev": rev}})
                if self.question["edits"]:
                    self.begin("question.measure", self._measure_task(), priority=Priority.REFRESH, slot="measure")
                return
        self.draw()

    def measured(self) -> Generator[Any, None, None]:
        """Tells what the unedited runs and the live list give, once the picture is there."""
        known, edits = self.question["baselines"], self.question["edits"]
        if self.question["model"] is None:
            return
        if known is not None and (known["edited"] is not None or not any(edit["on"] for edit in edits)):
            return
        try:
            yield from self._exp.measure_steps()
        except MiWidgetsError as error:
            logger.warning("%s: the runs could not be measured: %s", type(self).__name__, error)
        self.refresh_question()

    def _measure_task(self) -> Task:
        rev = self.question["rev"]
        return Task(self.measured(), lambda _: Reply(rev, {}))
