"""The atlas of all heads, drawn for the run that is shown, and drawn anew when the question changes."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets as t

from mi_widgets.jobs import Priority
from mi_widgets.widgets.arrays import Array, differences, embedded, weights
from mi_widgets.widgets.drawing import Drawing
from mi_widgets.widgets.heads_source import SIGNED, HeadsSource
from mi_widgets.widgets.ops import Params, Part, Reply, Task, op
from mi_widgets.widgets.plain import number, provenance_on_wire

if TYPE_CHECKING:
    from mi_widgets.analysis.attention import Atlas, AtlasPart
    from mi_widgets.analysis.scores import HeadScore

__all__ = ["HeadsAtlas", "encoded", "score_on_wire"]

THUMBS_BYTES = 600_000
LARGEST_THUMB = 48


class HeadsAtlas(Drawing):
    """A widget that shows all heads of one run at a glance."""

    topics: ClassVar[tuple[str, ...]] = ("question", "atlas")
    picture: ClassVar[str] = "atlas"
    runs: ClassVar[tuple[str, ...]] = ("clean", "corrupted", "edited", "difference", "other", "against")

    atlas = t.Dict(read_only=True).tag(sync=True)

    _result: Atlas | None

    def heads(self) -> HeadsSource:
        """What is shown, as it is now: where numbers come from."""
        raise NotImplementedError

    def still_true(self, rev: int) -> None:
        """The atlas answers the new question too."""
        if self._result is not None:
            self._result = replace(self._result, rev=rev)

    def draw(self) -> None:
        """Draws the run that is shown."""
        self.begin("heads.atlas", self._atlas_task(self._run), priority=Priority.SWEEP, slot="atlas")

    @op("heads.atlas", slot="atlas", priority=Priority.SWEEP)
    def _ask_atlas(self, params: Params) -> Task:
        run = params.choice("run", self.runs)
        params.end()
        task = self._atlas_task(run)
        # From now on this is what a change of the question draws anew.
        self._run = run
        return task

    def _atlas_task(self, run: str) -> Task:
        source = self.heads()
        length = source.length(run)
        side = min(LARGEST_THUMB, math.isqrt(THUMBS_BYTES // (source.n_layers * source.n_heads)))
        about = {"run": run, "rev": source.rev, "positions": length, "side": min(side, length)}

        def part(values: Sequence[AtlasPart]) -> Part:
            thumbs = np.concatenate([value.thumbs.numpy() for value in values])
            layers = [values[0].layers[0], values[-1].layers[1]]
            return Part({**about, "layers": layers}, {"thumbs": encoded(thumbs, run, lower=True)})

        def steps() -> Generator[Any, None, Atlas]:
            atlas = yield from source.atlas_steps(run, side)
            self._show(atlas)
            if run not in ("other", "against"):
                yield from self.measured()
            return atlas

        def done(atlas: Atlas) -> Reply:
            return Reply(atlas.rev, {"run": run})

        # Of a thumbnail the lower half travels: the rest holds nothing that is not in it too.
        return Task(steps(), done, part, lambda it: it.thumbs.numel() // 2, source.scheduler(run), whole=True)

    def _show(self, atlas: Atlas) -> None:
        with self.exclusive():
            # A slow answer to an old question must not replace the answer to a newer one, nor one run another that
            # was asked for since: the other experiment's worker has a queue of its own.
            if self._result is not None and (atlas.rev < self._result.rev or atlas.run != self._run):
                return
            self._result = atlas
            self.publish(atlas=self._on_wire(atlas))
            self.recover()

    def _on_wire(self, atlas: Atlas) -> dict[str, Any]:
        thumbs = encoded(atlas.thumbs.numpy(), atlas.run, lower=True)
        where = atlas.provenance
        layers, heads = atlas.thumbs.shape[:2]
        model = self.question["model"]
        return {
            "rev": atlas.rev,
            "run": atlas.run,
            "n_layers": layers,
            "n_heads": heads,
            "n_kv_heads": heads if model is None else model["n_kv_heads"],
            "positions": atlas.positions,
            "side": atlas.side,
            "provenance": {
                **provenance_on_wire(where, atlas.forward_ms),
                "patterns": (layers - len(atlas.missing)) * heads,
                "bytes": len(thumbs.data),
            },
            "missing": {str(layer): reason for layer, reason in atlas.missing.items()},
            "scores": {name: score_on_wire(score) for name, score in atlas.scores.items()},
            "arrays": embedded({"thumbs": thumbs}),
        }


def score_on_wire(score: HeadScore) -> dict[str, Any]:
    """A score of every head, as plain values."""
    return {
        "label": score.label,
        "card": score.card,
        "source": score.source,
        "values": _numbers(score.values),
        # A bar is at most some 60 pixels long, and a saved notebook holds one for each head and score.
        "bars": _numbers(score.bars, 3),
        "n": score.n,
        "reason": score.reason,
    }


def encoded(values: Any, run: str, *, lower: bool = False) -> Array:
    """Attention weights as bytes; those of a signed run around 0."""
    return (differences if run in SIGNED else weights)(values, lower=lower)


def _numbers(values: Any, digits: int = 6) -> list[list[float | None]]:
    return [[number(value, digits) for value in row] for row in values.tolist()]
