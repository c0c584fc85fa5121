"""The streams of one run that a lens reads: kept in the cache of unedited runs, so that scrolling reruns nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
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
from ..model.finite import require_finite_values
from ..model.handle import Model
from .lens_rows import CONTRIBUTIONS, LensRow

Values = dict[Key, torch.Tensor]


@dataclass(frozen=True, eq=False)
class _Kept:
    """Sites of one edited run."""

    values: Values

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in self.values.values())


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
    wanted = [row.key for row in rows]
    sites = {site for site, _ in wanted}
    every = [
        (site, layer) for site in sites - {"resid_pre"} for layer in model.layers_with(site)
    ]  # fmt: skip
    one = batch.width * model.d_model * model.dtype.itemsize
    keys: list[Key] = [*wanted, ("resid_post", model.n_layers - 1)]
    if len(every) * one <= question.captures.budget // 2:
        keys += [("resid_pre", 0), *every]
    keys = list(dict.fromkeys(keys))
    keys += [(site, None) for site in ("final_norm", "logits") if any(edit.site == site for edit in edits)]
    started = time.perf_counter()
    ran = [False]
    if edits:
        draws = [
            _edited(question, one_draw, i, keys, ran) for i, one_draw in enumerate(draws_of(edits, len(batch)))
        ]  # fmt: skip
    else:
        draws = [_unedited(question, run, keys, ran)]
    spent = 1000 * (time.perf_counter() - started) if ran[0] else 0.0
    return Streams(tuple({key: value[0] for key, value in draw.items()} for draw in draws), spent)


def _unedited(question: Question, run: str, keys: Sequence[Key], ran: list[bool]) -> Values:
    model, batch = question.model, question.batch(run)
    found = {key: question.captures.peek(model, batch, key) for key in keys}
    lacking = [key for key, value in found.items() if value is None]
    if lacking:
        ran[0] = True
        fresh = capture(model, batch, lacking, at=question.columns(batch))
        fresh.pop(("logits", None))
        require_finite_values(batch, fresh)
        for key, value in fresh.items():
            question.captures.put(model, batch, key, value)
        found |= fresh
    return {key: value for key, value in found.items() if value is not None}


def _edited(question: Question, edits: tuple[Edit, ...], draw: int, keys: list[Key], ran: list[bool]) -> Values:
    model, batch = question.model, question.batch("edited")
    name: tuple[Hashable, ...] = (
        "streams", model.generation, batch.key, question.key, question.edits, draw, tuple(keys)
    )  # fmt: skip
    make: Callable[[], _Kept] = partial(_run, question, edits, keys, ran)
    return question.captures.held(name, make).values


def _run(question: Question, edits: tuple[Edit, ...], keys: list[Key], ran: list[bool]) -> _Kept:
    model, batch = question.model, question.batch("edited")
    ran[0] = True
    at = None if ("logits", None) in keys else question.columns(batch)
    found = rerun(model, batch, edits, question.base, question.sources(), keys, resume=True, at=at)
    values = {key: found[key] for key in keys}
    require_finite_values(batch, {key: value for key, value in values.items() if key != ("logits", None)})
    return _Kept(values)


def written(model: Model, row: LensRow, streams: Streams, draw: int) -> torch.Tensor:
    """[position, d_model] of a row in a draw, on the device of the last layer."""
    value = streams.draws[draw][row.key]
    return value.to(streams.last(draw, model.n_layers).device)


def has_contributions(rows: Sequence[LensRow]) -> bool:
    """Whether any row is one."""
    return any(row.site in CONTRIBUTIONS for row in rows)
