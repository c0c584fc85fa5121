"""Many edited runs as whole runs side by side: for models, and for sites, whose runs cannot be packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ..errors import EditNeverFired, NotFinite
from ..model.access import Key, Visitor
from ..model.batches import Batch
from ..model.kernels import fast
from .layouts import squares
from .plan import Planned
from .question import Question
from .writes import Write

TOKENS = 1024
"""Tokens of one batch."""


class Rectangle:
    """Runs planned edits in batches of whole runs, prompts of one length together and without padding.

    Args:
        question: what is asked.
        live: something is edited in every run, so that no cached stream can be resumed from.
    """

    def __init__(self, question: Question, live: bool) -> None:
        self.question, self.live = question, live
        self.batch = question.batch(question.base)
        self._answers = question.answers(self.batch)
        self.resumed = False

    @property
    def words(self) -> str:
        """How the runs are done."""
        return "whole runs side by side" + (", from the first edited layer on" if self.resumed else "")

    def logits(self, parts: Sequence[Planned]) -> Iterator[tuple[list[Planned], torch.Tensor | None]]:
        """Logits at the answer, batch by batch: the runs and [run, vocab] float32, or None where one is not finite."""
        by_shape: dict[tuple[int, int], list[Planned]] = {}
        for part in parts:
            by_shape.setdefault((self.batch.lengths[part.prompt], self._first(part)), []).append(part)
        for (length, first), several in by_shape.items():
            size = max(1, TOKENS // length)
            for i in range(0, len(several), size):
                some = several[i : i + size]
                yield some, self._run(some, first)

    def _first(self, part: Planned) -> int:
        """The first layer that must be run."""
        if self.live or not self.question.model.resumes:
            return 0
        layers = [-1 if w.key[0] == "embed" else self.question.model.n_layers - 1 if w.key[1] is None else w.key[1]
                  for w in part.writes]  # fmt: skip
        return max(0, min(layers, default=0))

    def _run(self, some: Sequence[Planned], first: int) -> torch.Tensor | None:
        model = self.question.model
        batch = Batch.of([self.batch.prompts[part.prompt] for part in some])
        by_key: dict[Key, list[tuple[int, Write]]] = {}
        for row, part in enumerate(some):
            for write in part.writes:
                by_key.setdefault(write.key, []).append((row, write))
        spoiled: list[int] = []
        waiting = {key: several[0][1] for key, several in by_key.items()}
        visitors = {key: _visitor(key, several, waiting, spoiled) for key, several in by_key.items()}
        resume = None
        if first > 0:
            key: Key = ("resid_pre", first)
            streams = self.question.captures.get(model, self.batch, [key])[key]
            rows = [streams[part.prompt, self.batch.pads[part.prompt] :] for part in some]
            resume, self.resumed = (first, torch.stack(rows)), True
        where = [self._answers[part.prompt] for part in some]
        keep = None if ("logits", None) in visitors else where
        try:
            with fast(model):
                logits = model.forward(batch, visitors, resume=resume, keep=keep)
        except NotFinite:
            return None
        for write in waiting.values():
            raise EditNeverFired(f"{write.edit} was never reached in the run.", hint="Please report the model's class.")
        if spoiled:
            return None
        return (logits[:, 0] if keep is not None else logits[torch.arange(len(some)), where]).float()


def _visitor(key: Key, several: list[tuple[int, Write]], waiting: dict[Key, Write], spoiled: list[int]) -> Visitor:
    def visitor(value: torch.Tensor) -> torch.Tensor:
        waiting.pop(key, None)
        new = value.clone()
        for row, write in several:
            write.into(new, row)
        if key[0] not in ("scores", "pattern", "logits") and not squares(new):
            spoiled.extend(row for row, _ in several)
        return new

    return visitor
