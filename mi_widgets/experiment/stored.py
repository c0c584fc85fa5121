"""`Stored`: experiments from tables and files, and into files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..interventions.metrics import Answer, Metric
from ..interventions.sequences import Sequence as AnswerSequence
from ..model.handle import Model
from .another import arguments_for, same_tokens
from .document import read, written
from .frames import rows_of_frame
from .live import LiveQuestion

if TYPE_CHECKING:
    from typing_extensions import Self


class Stored(LiveQuestion):
    """How an experiment is made from a table or a file, and saved; `Experiment` adds the rest."""

    @classmethod
    def from_frame(
        cls,
        model: Model,
        frame: Any,
        metric: str | Metric = "logit_diff",
        on_error: str = "raise",
        *,
        base: str | None = None,
        align: str | Mapping[int, int] | None = None,
        answer_position: Any = -1,
        bos: bool | None = None,
    ) -> Self:
        """An experiment with one prompt per row of a table.

        Args:
            model: from `mi.load` or `mi.wrap`.
            frame: a DataFrame, or what makes one. Columns: clean; corrupted, answer, distractor, where wanted (an
                answer is text, a token id, or a tuple of alternatives); every other column of whole numbers or of token
                texts is a named position in the clean prompt, one per row (a text names its last occurrence).
            metric: as in the constructor.
            on_error: "raise" lists every bad row, not only the first; "drop" leaves them out, which is warned of and
                stands in the provenance of results.
            base, align, answer_position, bos: as in the constructor.

        Raises:
            BadInput: rows cannot be asked: each is listed with what is wrong.

        Example:
            >>> import mi_widgets as mi
            >>> rows = [
            ...     {"clean": f"When {a} and {b} went to the store, {b} gave a drink to", "answer": f" {a}",
            ...      "corrupted": f"When {a} and {b} went to the store, {a} gave a drink to", "distractor": f" {b}",
            ...      "s2": 10, "verb": " gave"}
            ...     for a, b in (("Mary", "John"), ("John", "Mary"))]
            >>> exp = mi.Experiment.from_frame(mi.load(), rows)
            >>> exp.positions
            {'s2': (10, 10), 'verb': (11, 11)}
            >>> len(exp.run(mi.Patch("resid_pre", 2, position="s2")).per_prompt["metric"])
            2
        """
        if not isinstance(model, Model):
            raise BadInput(
                f"The first argument is a Model, not {type(model).__name__}.",
                hint="Use mi.load() or mi.wrap(hf_model, tokenizer).",
            )
        rows = rows_of_frame(model, frame, on_error, base, align, bos)
        exp = cls(
            model,
            rows.clean,
            rows.corrupted,
            rows.answer,
            rows.distractor,
            metric,
            base,
            align=align,
            answer_position=answer_position,
            positions=rows.positions,
            bos=bos,
        )
        now = exp._question
        exp._question = replace(now, dropped=rows.notes, warnings=(*rows.notes, *now.warnings))
        return exp

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the question, the live edits and the selection as one JSON file; results are saved by themselves.

        Prompts and answers are kept as token ids and as text, tensors of edits within the file, at most 32 MiB. A
        function that measures is kept by its name only: give it again to `open`.

        Raises:
            BadInput: an edit that cannot be saved.

        Example:
            >>> import mi_widgets as mi, tempfile, pathlib
            >>> model = mi.load()
            >>> exp = mi.Experiment(model, "Mary went to the", answer=" store")
            >>> _ = exp.edits.add(mi.Zero("z", 1, head=2))
            >>> again = mi.Experiment.open(exp.save(pathlib.Path(tempfile.mkdtemp()) / "x.json"), model)
            >>> again.run().metric == exp.run().metric
            True
        """
        text = written(self._question, self.edits.entries, self.selection, self._bos)
        target = Path(path)
        # Whole or not at all: a file half written would be refused later, when nothing can be done about it.
        beside = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        return target

    def with_model(self, other: Model) -> Self:
        """The same question to another model or checkpoint: an experiment of its own, tokenised anew and checked.

        Where both models have the same tokens the live edits come along (those that cannot run there are switched off
        and marked with the reason); elsewhere they would stand at other tokens, and are left out.

        Args:
            other: from `mi.load` or `mi.wrap`.

        Raises:
            BadInput: positions are named or paired by number, and the other model has other tokens there.
            AnswerNotSingleToken: the answer is several tokens for the other model; shows the split.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load("tiny-induction"), "the cat the dog the cat the", answer=" dog")
            >>> young = exp.with_model(mi.load("tiny-induction", step=600))
            >>> young.answer == exp.answer, young.run().metric == exp.run().metric
            (True, False)
        """
        if not isinstance(other, Model):
            raise BadInput(
                f"The other model is a Model, not {type(other).__name__}.",
                hint="Use mi.load() or mi.wrap(hf_model, tokenizer).",
            )
        now = self._question
        exp = type(self)(other, **arguments_for(other, now))
        exp._keep_guesses(now.answer, now.distractor)
        if same_tokens(other, now):
            exp.edits.restore(self.edits.entries)
        return exp

    @classmethod
    def open(cls, path: str | os.PathLike[str], model: Model, *, metric: str | Metric | None = None) -> Self:
        """Read what `save` wrote, for a model with the same tokenizer.

        Edits that cannot run on this model stay in the list, switched off and marked with the reason.

        Args:
            path: the file.
            model: from `mi.load` or `mi.wrap`; it may be another checkpoint.
            metric: in place of the saved one; needed where that was a function.

        Raises:
            BadInput: not such a file, of a newer version, damaged, or saved for another tokenizer; says what differs.
        """
        if not isinstance(model, Model):
            raise BadInput(
                f"The second argument is a Model, not {type(model).__name__}.",
                hint="Use mi.load() or mi.wrap(hf_model, tokenizer).",
            )
        found = read(Path(path), model)
        if found.custom and metric is None:
            raise BadInput(
                f"It was measured by the function {found.metric!r}, which a file cannot hold.",
                hint=f"Pass it: Experiment.open(path, model, metric={found.metric}).",
            )
        exp = cls(
            model,
            found.clean,
            found.corrupted,
            _given(found.answer),
            _given(found.distractor),
            found.metric if metric is None else metric,
            found.base,
            align=found.align,
            answer_position=found.answer_position,
            positions=found.clean,
            bos=found.bos,
        )
        exp._keep_guesses(found.answer, found.distractor)
        exp.edits.restore(found.entries)
        exp.selection = found.selection
        return exp

    def _keep_guesses(self, answer: Answer | None, distractor: Answer | None) -> None:
        """Marks answers as guessed that were where they come from."""
        now = self._question

        def kept(own: Answer | None, old: Answer | None) -> Answer | None:
            return own if old is None or own is None else replace(own, guessed=old.guessed)

        self._question = replace(now, answer=kept(now.answer, answer), distractor=kept(now.distractor, distractor))


def _given(answer: Answer | None) -> Any:
    """An answer as the constructor takes it."""
    if answer is None:
        return None
    return list(answer.ids) if answer.sequences is None else [AnswerSequence(ids) for ids in answer.sequences]
