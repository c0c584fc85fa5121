"""The mean over the prompts, in place of one of them: attention cell by cell, where all prompts have one length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mi_widgets.analysis.attention import no_mean
from mi_widgets.errors import PromptMismatch
from mi_widgets.experiment.wire import told_of_all
from mi_widgets.widgets.heads_atlas import HeadsAtlas

if TYPE_CHECKING:
    from mi_widgets.interventions.question import Question
    from mi_widgets.model.batches import Batch
    from mi_widgets.widgets.ops import Params

__all__ = ["HeadsMean", "labels_of", "prompt_of_mean"]


class HeadsMean(HeadsAtlas):
    """A widget of heads whose page can show the mean over the prompts.

    In `question` of several prompts is `mean`: {"shown": whether it is the mean that is shown, "reason": why it cannot
    be, or None}; `prompt` stays the one whose next tokens are told.
    """

    _mean: int | None = None
    """The prompt in whose place the mean was chosen: it goes when another one is shown, here or in another widget."""

    def asked(self) -> dict[str, Any]:
        """The question; of a mean with the tokens of all prompts where these differ."""
        found = super().asked()
        if found["n_prompts"] == 1:
            return found
        question: Question = self._exp.snapshot()
        reason = _reason(question)
        shown = self._mean == found["prompt"] and reason is None
        found["mean"] = {"shown": shown, "reason": reason}
        if not shown:
            return found
        found["prompts"] = {
            name: of and prompt_of_mean(question.batch(name), of) for name, of in found["prompts"].items()
        }
        for name, answer in (("answer", question.answer), ("distractor", question.distractor)):
            if answer is not None and len(set(answer.ids)) > 1:
                first = [[question.model.text.label(ids[0])] for ids in answer.ids]
                found[name] = {**found[name], "labels": labels_of(first)}
        return told_of_all(found)

    def shown_prompt(self, params: Params) -> Callable[[], object] | None:
        """What shows another prompt, or the mean over them, where a page asks for it."""
        mean = params.flag("mean")
        if mean and (reason := _reason(self._exp.snapshot())) is not None:
            raise PromptMismatch(reason, hint="Look at one prompt at a time.")
        choose = super().shown_prompt(params)
        if choose is None and not mean:
            return None

        def show() -> None:
            before, rev = self.of_mean, self._exp.rev
            self._mean = self.question["prompt"] if mean else None
            if choose is not None:
                choose()
            if self._exp.rev == rev and before != mean:
                self._exp.renew()

        return show

    def question_changed(self, topic: str) -> None:
        """Draws anew what the change has made old; a mean that is no longer there is not waited for."""
        if not self.of_mean:
            self._mean = None
        super().question_changed(topic)

    @property
    def of_mean(self) -> bool:
        """It is the mean that is shown."""
        return bool(self.question.get("mean", {}).get("shown"))

    def about(self, question: Question) -> Question:
        """A question about what is shown: one prompt, or all of them."""
        return question if self.of_mean else question.one(self.question["prompt"])


def _reason(question: Question) -> str | None:
    """Why there is no mean over the prompts, of whatever run; None where there is one."""
    return next(filter(None, (no_mean(question.batch(run)) for run in question.unedited)), None)


def labels_of(prompts: Sequence[Sequence[str]]) -> list[str]:
    """The tokens of several prompts of one length as one: "and", "Mary|Anna", "Mary|+3"."""
    found = []
    for position in zip(*prompts, strict=True):
        first, *others = dict.fromkeys(position)
        rest = others[0].removeprefix("␣") if len(others) == 1 else f"+{len(others)}"
        found.append(f"{first}|{rest}" if others else first)
    return found


def prompt_of_mean(batch: Batch, one: dict[str, Any]) -> dict[str, Any]:
    """Several prompts of one length as one: labels and text tell where their tokens differ.

    Args:
        batch: the prompts.
        one: the one of them that a page would show alone; its ids stand for the others'.
    """
    labels = labels_of([prompt.strings for prompt in batch.prompts])
    special = set(batch.prompts[0].special).intersection(*(prompt.special for prompt in batch.prompts))
    text = "".join(label for position, label in enumerate(labels) if position not in special)
    return {**one, "text": text.replace("␣", " ").strip(), "labels": labels, "special": sorted(special)}
