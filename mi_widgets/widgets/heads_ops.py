"""What a page asks about heads beside the atlas: patterns, cells, scores elsewhere, what a head writes."""

from __future__ import annotations

from typing import Any

from mi_widgets.analysis.random_tokens import random_scores_steps
from mi_widgets.analysis.writes import HeadWrites
from mi_widgets.jobs import Priority
from mi_widgets.widgets.arrays import STEPS, Array, u8
from mi_widgets.widgets.heads_atlas import encoded, score_on_wire
from mi_widgets.widgets.heads_mean import HeadsMean
from mi_widgets.widgets.heads_source import SIGNED, LiveHeads
from mi_widgets.widgets.ops import Params, Reply, Task, op
from mi_widgets.widgets.plain import number

__all__ = ["HeadsOps"]

WEIGHTINGS = ("attention", "value")
MOST_HEADS = 16
LARGEST_WINDOW = 1024
MOST_TOKENS = 50

WRITES = (
    "What this head adds to the logits at this position, directly: z W_O through the final norm, its scale frozen, "
    "and the unembedding, minus the mean over the vocabulary."
)


class HeadsOps(HeadsMean):
    """A widget whose page looks at single heads."""

    @op("heads.pattern", slot="pattern", priority=Priority.FETCH)
    def _ask_pattern(self, params: Params) -> Task:
        source = self.heads()
        run = params.choice("run", self.runs)
        heads = params.pairs("heads", MOST_HEADS, (source.n_layers - 1, source.n_heads - 1))
        length = source.length(run)
        dest, src = params.span("dest", length), params.span("src", length)
        side = params.integer("side", 1, LARGEST_WINDOW)
        weighting = self._weighting(params)
        params.end()
        for layer, _ in heads:
            source.require(layer)
        pooled = dest[1] - dest[0] > side or src[1] - src[0] > side
        whole = dest == src == (0, length) and not pooled and run not in SIGNED
        about = {
            "run": run,
            "heads": [list(h) for h in heads],
            "dest": list(dest),
            "src": list(src),
            "pooled": pooled,
            "weighting": weighting,
        }

        def reply(pattern: Any) -> Reply:
            values = pattern.numpy()
            if weighting == "attention":
                return Reply(source.rev, {**about, "top": 1.0}, {"pattern": encoded(values, run, lower=whole)})
            top, array = _scaled(values, signed=run in SIGNED, lower=whole)
            return Reply(source.rev, {**about, "top": top}, {"pattern": array})

        work = source.window_steps(run, heads, dest, src, side, weighting)
        return Task(work, reply, scheduler=source.scheduler(run))

    @op("heads.value", slot="value", priority=Priority.PREVIEW)
    def _ask_value(self, params: Params) -> Task:
        source = self.heads()
        run = params.choice("run", self.runs)
        layer = params.integer("layer", 0, source.n_layers - 1)
        head = params.integer("head", 0, source.n_heads - 1)
        length = source.length(run)
        dest, src = params.integer("dest", 0, length - 1), params.integer("src", 0, length - 1)
        weighting = self._weighting(params)
        params.end()
        source.require(layer)
        about = {"run": run, "layer": layer, "head": head, "dest": dest, "src": src, "weighting": weighting}

        def reply(pattern: Any) -> Reply:
            return Reply(source.rev, {"value": number(float(pattern[0, 0, 0])), **about})

        work = source.window_steps(run, [(layer, head)], (dest, dest + 1), (src, src + 1), 1, weighting)
        return Task(work, reply, scheduler=source.scheduler(run))

    @op("heads.rank", slot="rank", priority=Priority.FETCH)
    def _ask_rank(self, params: Params) -> Task:
        source = self.heads()
        run = params.choice("run", self.runs)
        length = source.length(run)
        dest = params.integer("dest", 0, length - 1)
        src = params.integer("src", 0, dest)
        weighting = self._weighting(params)
        params.end()
        about = {"run": run, "dest": dest, "src": src, "weighting": weighting}
        return Task(
            source.cell_steps(run, dest, src, weighting),
            lambda score: Reply(source.rev, {"score": score_on_wire(score), **about}),
            scheduler=source.scheduler(run),
        )

    @op("heads.random", slot="random", priority=Priority.SWEEP)
    def _ask_random(self, params: Params) -> Task:
        params.end()
        asked = self._exp.snapshot()
        return Task(
            random_scores_steps(asked),
            lambda scores: Reply(asked.rev, {"scores": {name: score_on_wire(s) for name, s in scores.items()}}),
        )

    @op("heads.writes", slot="writes", priority=Priority.FETCH)
    def _ask_writes(self, params: Params) -> Task:
        source = self.heads()
        assert isinstance(source, LiveHeads)
        run = params.choice("run", self.runs)
        layer = params.integer("layer", 0, source.n_layers - 1)
        head = params.integer("head", 0, source.n_heads - 1)
        position = params.integer("position", 0, source.length(run) - 1)
        k = params.integer("k", 1, MOST_TOKENS)
        params.end()
        source.require(layer)

        def reply(found: HeadWrites) -> Reply:
            tokens = {
                name: [{"id": i, "label": source.label(run, i), "logit": number(logit)} for i, _, logit in several]
                for name, several in (("promoted", found.promoted), ("suppressed", found.suppressed))
            }
            effect = None if found.logit_effect is None else number(found.logit_effect)
            about = {"run": run, "layer": layer, "head": head, "position": position}
            return Reply(source.rev, {**about, **tokens, "logit_effect": effect, "card": WRITES})

        return Task(source.writes_steps(run, layer, head, position, k), reply, scheduler=source.scheduler(run))

    def _weighting(self, params: Params) -> str:
        return params.choice("weighting", WEIGHTINGS) if params.given("weighting") else "attention"


def _scaled(values: Any, *, signed: bool, lower: bool) -> tuple[float, Array]:
    """Numbers of any size as bytes: the largest magnitude, and the array in 254 steps up to it."""
    import numpy as np

    finite = np.abs(values[np.isfinite(values)])
    top = float(finite.max(initial=0.0)) or 1.0
    if signed:
        return top, u8(values, scale=2 * top / STEPS, offset=-top)
    return top, u8(values, scale=top / STEPS, offset=0.0, lower=lower)
