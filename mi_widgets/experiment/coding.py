"""`exp.to_code`: the edited run of a question as a plain script, measured first to say what it must print."""

from __future__ import annotations

from ..code.script import Script, script_of
from ..interventions.question import Question
from .runs import Fresh, Steps, run_steps


def code_steps(question: Question, fresh: Fresh, path: str | None = None, tensors: str | None = None) -> Steps[Script]:
    """Write a question's edited run as a script; for jobs of widgets too.

    Args:
        question: with the edits.
        fresh: gives the unedited runs.
        path, tensors: as in `Experiment.to_code`.

    Raises:
        BadInput, SiteUnavailable, PromptMismatch, NotFinite, EditNeverFired: as a run of these edits; or what cannot be
            written plainly, and why.
    """
    result = yield from run_steps(question, fresh)
    return script_of(question, result, path, tensors)
