"""`AttentionHeads`: every head's attention pattern on the user's own prompt, as thumbnails and one by one.

Synced state: that of every widget, and `atlas` (thumbnails as bytes, scores), which the kernel writes when all heads
are done. Full patterns and exact values are never synced: the page asks for what it shows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import traitlets as t

from mi_widgets.analysis.attention import Atlas, AtlasPart, atlas_steps, window_steps
from mi_widgets.errors import BadInput, MiWidgetsError, SiteUnavailable, Stale
from mi_widgets.export.image import AtlasPicture, atlas_png
from mi_widgets.interventions.question import Question
from mi_widgets.jobs import Priority
from mi_widgets.widgets.arrays import Array, differences, embedded, weights
from mi_widgets.widgets.base import MiWidget
from mi_widgets.widgets.ops import Params, Part, Reply, Task, op

__all__ = ["AttentionHeads"]

logger = logging.getLogger("mi_widgets")

RUNS = ("clean", "corrupted", "edited", "difference")
THUMBS_BYTES = 600_000
LARGEST_THUMB = 48
MOST_HEADS = 16
LARGEST_WINDOW = 1024


class AttentionHeads(MiWidget):
    """All heads of a model at a glance, with a score each; click one to read its pattern.

    Args:
        *args: an `Experiment`; or a model and a prompt; or a transformers model, its tokenizer and a prompt.
        **kwargs: with a model: what `Experiment` takes (`corrupted`, `answer`, ...); `layout`.

    Example:
        >>> import mi_widgets as mi
        >>> heads = mi.AttentionHeads(mi.load(), "When Mary and John went to the store, John gave a drink to")
        >>> heads.wait().result.thumbs.shape[:2]
        torch.Size([4, 4])
        >>> heads.selection = ["L1H1.pattern"]
        >>> heads.close()
    """

    bundle_name: ClassVar[str] = "attention-heads"
    topics: ClassVar[tuple[str, ...]] = ("question", "atlas")

    atlas = t.Dict(read_only=True).tag(sync=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._run = "clean"
        self._result: Atlas | None = None
        super().__init__(*args, **kwargs)
        try:
            self._exp.model.require("pattern")
        except SiteUnavailable:
            self.close()
            raise
        self._draw()

    @property
    def result(self) -> Atlas | None:
        """The thumbnails and scores that are shown, as numbers; None before the first."""
        return self._result

    def question_changed(self, topic: str) -> None:
        """Draws anew what the change has made old."""
        if self._run in ("corrupted", "difference") and self.question["prompts"]["corrupted"] is None:
            self._run = "clean"
        with self.exclusive():
            shown = self._result
            settled = shown is not None and shown.run == self._run and self.status["state"] == "idle"
            if topic == "edits" and shown is not None and settled and shown.run != "edited":
                # Edits leave the unedited runs as they are: the same picture answers the new question too.
                self._result = replace(shown, rev=self.question["rev"])
                self.publish(atlas={**self.atlas, "rev": self._result.rev})
                return
        self._draw()

    def _draw(self) -> None:
        self.begin("heads.atlas", self._atlas_task(self._run), priority=Priority.SWEEP, slot="atlas")

    def _snapshot(self) -> Question:
        """The question as it is now, about the prompt that is shown."""
        asked: Question = self._exp.snapshot()
        return asked.one(self.question["prompt"])

    # What pages ask for

    @op("question.set", slot="question", priority=Priority.RUN)
    def _set_question(self, params: Params) -> Task:
        base_rev = params.integer("base_rev", 0, 2**53)
        changes: dict[str, Any] = {}
        if "which" in params or "text" in params:
            changes[params.choice("which", ("clean", "corrupted"))] = params.text("text")
        for name in ("answer", "distractor"):
            if name in params:
                changes[name] = params.text_or_none(name, 1000)
        if "metric" in params:
            changes["metric"] = params.choice("metric", [name for name, _ in self.question["metrics"]])
        if "base" in params:
            changes["base"] = params.choice("base", ("clean", "corrupted"))
        params.end()
        if not changes:
            raise BadInput("question.set changes nothing.", hint="Send a prompt, answer, distractor, metric or base.")
        self._require_current(base_rev)

        def steps() -> Generator[None, None, int]:
            yield
            self._require_current(base_rev)
            rev: int = self._exp.ask(**changes)
            return rev

        return Task(steps(), lambda rev: Reply(rev, {"rev": rev}))

    def _require_current(self, base_rev: int) -> None:
        now = self._exp.rev
        if base_rev != now:
            raise Stale(
                f"The question has changed meanwhile (revision {now}, not {base_rev}).",
                hint="Look at it again, then send the change once more.",
            )

    @op("heads.atlas", slot="atlas", priority=Priority.SWEEP)
    def _ask_atlas(self, params: Params) -> Task:
        run = params.choice("run", RUNS)
        params.end()
        task = self._atlas_task(run)
        # From now on this is what a change of the question draws anew.
        self._run = run
        return task

    @op("heads.pattern", slot="pattern", priority=Priority.FETCH)
    def _ask_pattern(self, params: Params) -> Task:
        asked = self._snapshot()
        run = params.choice("run", RUNS)
        heads = params.pairs("heads", MOST_HEADS, (asked.model.n_layers - 1, asked.model.n_heads - 1))
        length = self._length(asked, run)
        dest, src = params.span("dest", length), params.span("src", length)
        side = params.integer("side", 1, LARGEST_WINDOW)
        params.end()
        for layer, _ in heads:
            asked.model.require("pattern", layer)
        pooled = dest[1] - dest[0] > side or src[1] - src[0] > side
        whole = dest == src == (0, length) and not pooled and run != "difference"
        about = {"run": run, "heads": [list(h) for h in heads], "dest": list(dest), "src": list(src), "pooled": pooled}

        def reply(pattern: Any) -> Reply:
            return Reply(asked.rev, about, {"pattern": _encoded(pattern.numpy(), run, lower=whole)})

        return Task(window_steps(asked, run, heads, dest, src, side), reply)

    @op("heads.value", slot="value", priority=Priority.PREVIEW)
    def _ask_value(self, params: Params) -> Task:
        asked = self._snapshot()
        run = params.choice("run", RUNS)
        layer = params.integer("layer", 0, asked.model.n_layers - 1)
        head = params.integer("head", 0, asked.model.n_heads - 1)
        length = self._length(asked, run)
        dest, src = params.integer("dest", 0, length - 1), params.integer("src", 0, length - 1)
        params.end()
        asked.model.require("pattern", layer)
        about = {"run": run, "layer": layer, "head": head, "dest": dest, "src": src}

        def reply(pattern: Any) -> Reply:
            return Reply(asked.rev, {"value": _number(float(pattern[0, 0, 0])), **about})

        return Task(window_steps(asked, run, [(layer, head)], (dest, dest + 1), (src, src + 1), 1), reply)

    def _length(self, asked: Question, run: str) -> int:
        """Tokens of the prompt of a run; raises when there is no such run."""
        if run == "difference":
            asked.batch("corrupted")
        return asked.batch("clean" if run == "difference" else run).lengths[0]

    # The atlas

    def _atlas_task(self, run: str) -> Task:
        asked = self._snapshot()
        model = asked.model
        length = self._length(asked, run)
        side = min(LARGEST_THUMB, math.isqrt(THUMBS_BYTES // (model.n_layers * model.n_heads)))
        about = {"run": run, "rev": asked.rev, "positions": length, "side": min(side, length)}

        def part(values: Sequence[AtlasPart]) -> Part:
            thumbs = np.concatenate([value.thumbs.numpy() for value in values])
            layers = [values[0].layers[0], values[-1].layers[1]]
            return Part({**about, "layers": layers}, {"thumbs": _encoded(thumbs, run)})

        def steps() -> Generator[Any, None, Atlas]:
            atlas = yield from atlas_steps(asked, run, side)
            self._show(atlas)
            yield from self._measure()
            return atlas

        def done(atlas: Atlas) -> Reply:
            return Reply(atlas.rev, {"run": run})

        return Task(steps(), done, part, lambda value: int(value.thumbs.numel()))

    def _show(self, atlas: Atlas) -> None:
        with self.exclusive():
            # A slow answer to an old question must not replace the answer to a newer one.
            if self._result is not None and atlas.rev < self._result.rev:
                return
            self._result = atlas
            self.publish(atlas=self._on_wire(atlas))
            self.recover()

    def _measure(self) -> Generator[Any, None, None]:
        """Tells what the unedited runs give, once the picture is there."""
        if self.question["baselines"] is None:
            try:
                yield from self._exp.measure_steps()
            except MiWidgetsError as error:
                logger.warning("%s: the unedited runs could not be measured: %s", type(self).__name__, error)
                return
            measured = self._exp.question()
            if measured["baselines"] is not None:
                self.publish(question=measured)

    def _on_wire(self, atlas: Atlas) -> dict[str, Any]:
        thumbs = _encoded(atlas.thumbs.numpy(), atlas.run)
        where = atlas.provenance
        layers, heads = atlas.thumbs.shape[:2]
        return {
            "rev": atlas.rev,
            "run": atlas.run,
            "n_layers": layers,
            "n_heads": heads,
            "n_kv_heads": self.question["model"]["n_kv_heads"],
            "positions": atlas.positions,
            "side": atlas.side,
            "provenance": {
                "model": where.model,
                "dtype": where.dtype,
                "device": where.device,
                "kernel": where.kernel,
                "forward_ms": round(atlas.forward_ms, 2),
                "patterns": (layers - len(atlas.missing)) * heads,
                "bytes": len(thumbs.data),
                "recomputed": where.recomputed,
                "noise_floor": where.noise_floor,
            },
            "missing": {str(layer): reason for layer, reason in atlas.missing.items()},
            "scores": {
                name: {
                    "label": score.label,
                    "card": score.card,
                    "source": score.source,
                    "values": _numbers(score.values),
                    "bars": _numbers(score.bars),
                    "n": score.n,
                    "reason": score.reason,
                }
                for name, score in atlas.scores.items()
            },
            "arrays": embedded({"thumbs": thumbs}),
        }

    # Without a kernel

    def static_picture(self) -> bytes | None:
        """A PNG of the atlas, with the prompt, the score that is defined first, and where it came from."""
        atlas, question = self._result, self.question
        if atlas is None:
            return None
        prompt = question["prompts"][self._prompt_shown(atlas)]
        shown = next((name for name, score in atlas.scores.items() if score.reason is None), None)
        score = atlas.scores[shown] if shown is not None else None
        where = atlas.provenance
        return atlas_png(
            AtlasPicture(
                title="Attention heads",
                model=f"{where.model} · {atlas.thumbs.shape[0]} layers × {atlas.thumbs.shape[1]} heads · {where.dtype}",
                tokens=tuple(prompt["labels"]),
                run=atlas.run,
                thumbs=atlas.thumbs.numpy(),
                score=score.label if score is not None else "",
                bars=score.bars.numpy() if score is not None else None,
                footer=(f"forward {atlas.forward_ms:.1f} ms", where.recomputed, where.kernel, where.device),
            )
        )

    def static_text(self) -> str:
        """Model, prompt, and the heads that stand out in each score."""
        question, atlas = self.question, self._result
        model = question["model"]
        lines = [
            f"Attention heads of {model['name']} ({model['n_layers']} layers x {model['n_heads']} heads)",
            f"prompt: {question['prompts']['clean']['text']}",
        ]
        if question["prompts"]["corrupted"] is not None:
            lines.append(f"corrupted: {question['prompts']['corrupted']['text']}")
        if question["answer"] is not None:
            other = question["distractor"]
            against = f" not {', '.join(other['texts'])!r}" if other is not None else ""
            lines.append(f"answer: {', '.join(question['answer']['texts'])!r}{against}")
        if atlas is None:
            return "\n".join(lines)
        lines.append(f"run: {atlas.run}; the heads that stand out:")
        width = max(len(score.label) for score in atlas.scores.values())
        lines += [f"  {score.label:<{width}}  {score.reason or _top(score.values)}" for score in atlas.scores.values()]
        return "\n".join(lines)

    def _prompt_shown(self, atlas: Atlas) -> str:
        if atlas.run == "difference":
            return "clean"
        name: str = self.question["base"] if atlas.run == "edited" else atlas.run
        return name if self.question["prompts"].get(name) is not None else "clean"


def _encoded(values: Any, run: str, *, lower: bool = False) -> Array:
    return differences(values) if run == "difference" else weights(values, lower=lower)


def _number(value: float) -> float | None:
    # JSON has no NaN; the page draws null as "undefined".
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _numbers(values: Any) -> list[list[float | None]]:
    return [[_number(value) for value in row] for row in values.tolist()]


def _top(values: Any, most: int = 3) -> str:
    """The heads with the largest values by magnitude: "L1H1 0.87, L0H2 0.41"."""
    cells = [
        (value, f"L{layer}H{head}")
        for layer, row in enumerate(values.tolist())
        for head, value in enumerate(row)
        if math.isfinite(value)
    ]
    cells.sort(key=lambda cell: -abs(cell[0]))
    return ", ".join(f"{name} {value:.2f}" for value, name in cells[:most]) or "undefined here"
