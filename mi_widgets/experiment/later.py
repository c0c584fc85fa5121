"""Logits that a run did not need: a metric of a few tokens is told without the other fifty thousand."""

from __future__ import annotations

import weakref
from collections.abc import Generator

import torch

from ..errors import NotFinite, Stale
from ..interventions.many import Edited
from ..interventions.packed.tail import Tail
from ..interventions.question import Question
from ..jobs import Priority
from ..model.handle import Model
from ..results import Progress
from .worker import scheduler_of

KEPT_TEXTS = 50
"""Token texts a `Result` keeps for `top`, per prompt."""

_HINT = "Run it again; or read .logits while the model is there as it was."


class Later:
    """The logits of a run, computed when somebody reads them, and the texts of those at the top.

    Args:
        question: what was asked; its model is held weakly.
        run: the run.
    """

    def __init__(self, question: Question, run: Edited) -> None:
        self._model, self._piece = weakref.ref(question.model), question.model.text.piece
        self._generation, self._tokens = question.model.generation, question.tokens
        self._stream = run.stream
        self._found = None if run.logits is None else run.logits.cpu()

    def logits(self) -> torch.Tensor:
        """[prompt, vocab] float32 on the CPU.

        Raises:
            Stale: the model is not what the run was made on.
            NotFinite: they hold NaN or infinity.
        """
        if self._found is None:
            model = self._model()
            if model is None:
                raise Stale("The model of this run is gone, and its logits were not read before.", hint=_HINT)
            self._found = scheduler_of(model).run(self._steps(model), priority=Priority.FETCH, op="logits.read")
        return self._found

    def _steps(self, model: Model) -> Generator[Progress, None, torch.Tensor]:
        yield Progress(0, 1)
        model.refresh()
        if model.generation != self._generation or not model.same_weights(self._tokens):
            raise Stale("The model has changed since this run, and its logits were not read before.", hint=_HINT)
        assert self._stream is not None
        logits = Tail(model).logits(self._stream).cpu()
        if not bool(torch.isfinite(logits).all()):
            raise NotFinite("The logits of this run are not finite.", hint="Look at the edits.")
        return logits

    def labels(self) -> tuple[tuple[int, str], ...]:
        """(id, text) of the tokens at the top of each prompt."""
        tops = {i for row in self.logits() for i in row.topk(min(KEPT_TEXTS, row.numel())).indices.tolist()}
        return tuple((i, self._piece(i)) for i in sorted(tops))
