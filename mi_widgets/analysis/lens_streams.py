"""The streams of one run that a lens reads: kept in the cache of unedited runs, so that scrolling reruns nothing."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from ..errors import BadInput
from ..interventions.capture import capture
from ..interventions.draws import draws_of
from ..interventions.edits import Edit
from ..interventions.question import Question
from ..interventions.rerun import rerun
from ..model.access import Key
from ..model.batches import Batch
from ..model.finite import require_finite_values
from ..model.handle import Model
from .lens_rows import IN_LAYER, LensRow

Values = dict[Key, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Streams:
    """What the rows of one run hold.

    Attributes:
        draws: for each draw of the run (mostly one) the sites, [position, d_model]; logits [position, vocab].
        milliseconds: what the passes took that were run for it; 0 where all was still there.
    """

    draws: tuple[Values, ...]
    milliseconds: float

    def last(self, draw: int, n_layers: int) -> torch.Tensor:
        """What leaves the last layer: [position, d_model]."""
        return self.draws[draw]["resid_post", n_layers - 1]


def streams_of(question: Question, run: str, rows: Sequence[LensRow]) -> Streams:
    """The sites of some rows in a run, and what the last row needs.

    All streams of the same kinds are kept where they fit into half the cache, so that other rows cost no further pass.

    Args:
        question: about one prompt.
        run: "clean", "corrupted" or "edited".
        rows: which.

    Raises:
        BadInput: several prompts, or no such run.
        NotFinite: the run holds NaN or infinity.
    """
    model, batch = question.model, question.batch(run)
    if len(batch) != 1:
        raise BadInput(f"A lens is of one prompt, and there are {len(batch)}.", hint="Take question.one(0).")
    edits = question.edits if run == "edited" else ()
    wanted: list[Key] = [*(row.key for row in rows), ("resid_post", model.n_layers - 1)]
    kinds = [site for site in IN_LAYER if any(site == kind for kind, _ in wanted)]
    every: list[Key] = [("resid_pre", 0), *((site, layer) for site in kinds for layer in model.layers_with(site))]
    if len(every) * batch.width * model.d_model * model.dtype.itemsize <= question.captures.budget // 2:
        wanted = [*every, *wanted]
    keys = list(dict.fromkeys(wanted))
    keys += [(site, None) for site in ("final_norm", "logits") if any(edit.site == site for edit in edits)]
    started = time.perf_counter()
    reading = [_Run(question, run, one, draw) for draw, one in enumerate(draws_of(edits, question.count))]
    draws = [{key: value[0] for key, value in one.values(keys).items()} for one in reading]
    spent = 1000 * (time.perf_counter() - started) if any(one.ran for one in reading) else 0.0
    return Streams(tuple(draws), spent)


@dataclass(eq=False)
class _Run:
    """One draw of a run, of which sites are kept with the question.

    Attributes:
        ran: the model had to be run for them.
    """

    question: Question
    run: str
    edits: tuple[Edit, ...]
    draw: int
    ran: bool = False

    def values(self, keys: Sequence[Key]) -> Values:
        """Sites, [1, position, ...]; run for those that are not there."""
        question, batch = self.question, self.question.batch(self.run)
        found = {key: self._known(batch, key) for key in keys}
        lacking = [key for key, value in found.items() if value is None]
        if lacking:
            self.ran = True
            fresh = self._fresh(batch, lacking)
            require_finite_values(batch, {key: value for key, value in fresh.items() if key[0] != "logits"})
            for key, value in fresh.items():
                if self.edits:
                    question.captures.held(self._name(batch, key), partial(_given, value))
                else:
                    question.captures.put(question.model, batch, key, value)
            found |= fresh
        elif not self.edits:
            question.captures.get(question.model, batch, keys)  # used: they are not the next to be dropped
        return {key: value for key, value in found.items() if value is not None}

    def _known(self, batch: Batch, key: Key) -> torch.Tensor | None:
        captures = self.question.captures
        if not self.edits:
            return captures.peek(self.question.model, batch, key)
        found: torch.Tensor | None = captures.look(self._name(batch, key))
        return found

    def _name(self, batch: Batch, key: Key) -> tuple[Hashable, ...]:
        question = self.question
        return "edited", question.model.generation, batch.key, question.key, question.edits, self.draw, key

    def _fresh(self, batch: Batch, keys: list[Key]) -> Values:
        question = self.question
        at = None if ("logits", None) in keys else question.columns(batch)
        if not self.edits:
            found = capture(question.model, batch, keys, at=at)
        else:
            sources = question.sources()
            found = rerun(question.model, batch, self.edits, question.base, sources, keys, resume=True, at=at)
        return {key: found[key] for key in keys}


def _given(value: torch.Tensor) -> torch.Tensor:
    return value


def written(model: Model, row: LensRow, streams: Streams, draw: int) -> torch.Tensor:
    """[position, d_model] of a row in a draw, on the device of the last layer."""
    value = streams.draws[draw][row.key]
    return value.to(streams.last(draw, model.n_layers).device)
