"""`Viewed`: what widgets take from an experiment beside its public calls: the question as they show it, and work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import BadInput
from ..interventions.baselines import Baselines, baseline_steps
from ..interventions.edits import Edit
from ..interventions.many import outcome_steps
from ..interventions.question import Question
from .effect import Effect, effect_steps
from .history import Run
from .live import LiveQuestion
from .runs import Steps


class Viewed(LiveQuestion):
    """An experiment as its views see it."""

    def show_prompt(self, prompt: int) -> None:
        """Choose which of several prompts views show one at a time; numbers stay those of all prompts.

        Args:
            prompt: its number, from 0.

        Raises:
            BadInput: there is no such prompt.
        """
        count = len(self.snapshot().clean)
        if not 0 <= prompt < count:
            raise BadInput(f"There is no prompt {prompt}.", hint=f"Choose one of 0 to {count - 1}.")
        if prompt != self._shown_prompt:
            self._shown_prompt = prompt
            self._changed("question")

    def question(self, prompt: int | None = None) -> dict[str, Any]:
        """The question as widgets show it: JSON of plain values (see tests/contract).

        Args:
            prompt: which of several prompts is shown; None is the one that was chosen last.
        """
        from .wire import question_on_wire

        question = self.snapshot()
        if prompt is None:
            # Another question may have fewer prompts.
            prompt = min(self._shown_prompt, len(question.clean) - 1)
        name, edited = self.named(question), self._edited
        return question_on_wire(
            question,
            self.edits.entries,
            self._baselines.get(name),
            self._news.notices,
            prompt,
            edited=edited[1] if edited is not None and edited[0] == (name, question.edits) else None,
            history=self.edits.history,
        )

    def live_steps(self, question: Question, prompt: int = 0) -> Steps[tuple[Effect, Run | None]]:
        """The run of the live list, and its place in the history; for jobs of widgets.

        A run that the history has is not added again, so that undo leads back to it. Without edits there is none.

        Args:
            question: as `snapshot` gave it.
            prompt: whose tokens are told.
        """
        effect = yield from self.effect_steps(replace(question, edits=()), question.edits, prompt)
        if not question.edits:
            return effect, None
        name = self.named(question)
        self._edited = ((name, question.edits), effect.after)
        run = Run(question.edits, question.base, effect.result, name, effect)
        return effect, self.runs.add(run, anywhere=True)

    def measure_steps(self) -> Steps[None]:
        """Measure the unedited runs and that of the live list, so that `question` can tell; for jobs of widgets."""
        question = self.snapshot()
        yield from self._fresh(question)
        if question.edits:
            found, _ = yield from outcome_steps(question)
            self._edited = ((self.named(question), question.edits), float(found.metric.mean()))

    def effect_steps(self, question: Question, edits: Sequence[Edit], prompt: int = 0) -> Steps[Effect]:
        """What edits do to the run of a question of this experiment, about one prompt or all; for jobs of widgets.

        Args:
            question: its edits are those of the run that is shown.
            edits: what is tried.
            prompt: whose tokens are told, of those the question is about.
        """
        whole = question.which is None

        def fresh(one: Question) -> Steps[Baselines]:
            # The baselines that are kept are those of all prompts.
            yield from self._look(one)
            return (yield from baseline_steps(one))

        return effect_steps(question, edits, self._fresh if whole else fresh, prompt)

    def renew(self) -> None:
        """Raise the revision: something that views of this question also show has changed elsewhere."""
        self._changed("question")
