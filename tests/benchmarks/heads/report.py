"""Every figure beside what was to be reached: for the terminal, and as BENCHMARKS_HEADS.md."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.report import machine, verdict

from .deep_lens import DeepLens
from .drag import Drags
from .first_paint import FirstPaint
from .frames import Frames
from .live import Live
from .long import Long

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "BENCHMARKS_HEADS.md"
RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        part: which measurement it is of.
        name: what was measured.
        value: in `unit`.
        unit: "s", "ms", "kB", "MB", "x", or "" for a share of 1.
        target: to be reached; None = it is only told.
        less: whether less is better.
    """

    part: str
    name: str
    value: float
    unit: str
    target: float | None = None
    less: bool = True

    @property
    def verdict(self) -> str:
        """Reached, to 80 %, or below; "" where nothing was promised."""
        return verdict(self.value, self.target, self.less) if self.value > 0 else "reached" if self.target else ""

    @property
    def aim(self) -> str:
        """The target in words."""
        if self.target is None:
            return ""
        return f"{'at most' if self.less else 'at least'} {self.target:,g} {self.unit}".strip()

    @property
    def told(self) -> str:
        """The value in words."""
        if not self.unit:
            return f"{self.value:.0%}" if self.value >= 0.1 else f"{self.value:.1%}"
        digits = 0 if self.value >= 100 else 1 if self.value >= 10 else 2
        return f"{self.value:,.{digits}f} {self.unit}"


def first_paint_figures(found: FirstPaint) -> list[Figure]:
    """Of 12 x 12 heads beside the others."""
    part = "12 x 12 heads at 64 tokens, from the cell to the picture"
    ours = found.shown["ours"]
    figures = []
    names = {"ours": "ours", "circuitsvis": "CircuitsVis attention_heads", "bertviz": "BertViz model_view"}
    for name, shown in found.shown.items():
        figures.append(Figure(part, names[name], statistics.median(shown.seconds), "s"))
        figures.append(Figure(part, f"{names[name]}: data sent", shown.bytes / 1000, "kB"))
        if shown.early < shown.bytes:
            figures.append(Figure(part, f"{names[name]}: data sent until it was drawn", shown.early / 1000, "kB"))
        figures.append(Figure(part, f"{names[name]}: sent with program text", shown.whole / 1000, "kB"))
    for name, sooner in (("circuitsvis", 50), ("bertviz", 20)):
        theirs = found.shown[name]
        ratio = statistics.median(b / a for a, b in zip(ours.seconds, theirs.seconds, strict=False))
        figures.append(Figure(part, f"{names[name]} / ours: time", ratio, "x", sooner, less=False))
        figures.append(Figure(part, f"{names[name]} / ours: data", theirs.bytes / ours.bytes, "x", 25, less=False))
    figures += [Figure(part, f"ours, until: {name}", ms, "ms") for name, ms in found.parts.items()]
    part = "12 x 12 heads at 256 tokens"
    return [
        *figures,
        Figure(part, "atlas drawn after the data arrived", statistics.median(found.after_data), "ms", 150),
        Figure(part, "and the exact pattern in focus, which is fetched", statistics.median(found.focus), "ms"),
        Figure(part, "data sent before the first interaction", found.large_bytes / 1000, "kB", 400),
        Figure(part, "of it until all was drawn", found.large_early / 1000, "kB"),
    ]


def live_figures(found: Live) -> list[Figure]:
    """Of the large live model."""
    part = "a live model of 32 x 32 heads at 1,024 tokens"
    return [
        Figure(part, "first layers drawn", found.first, "s"),
        Figure(part, "first layers drawn / whole atlas drawn", found.first / found.last, "", 0.9),
        Figure(part, "whole atlas drawn", found.last, "s"),
        Figure(part, "atlas, in the kernel", found.seconds, "s"),
        Figure(part, "softmax(q k) of all layers alone", found.weights, "s"),
        Figure(part, "a forward pass that forms the weights", found.eager, "s"),
        Figure(part, "atlas / softmax(q k) alone", found.seconds / found.weights, "x", 1.5),
        Figure(part, "atlas / forward pass that forms the weights", found.seconds / found.eager, "x", 1.5),
        Figure(part, "longest task while hovering", found.stall, "ms", 100),
        Figure(part, "longest time between frames while hovering", found.gap, "ms"),
        Figure(part, "browser heap grown by", found.heap / 1e6, "MB", 60),
        Figure(part, "kernel grown by, at most", found.grown / 1e6, "MB", 1000),
    ]


def lens_figures(found: DeepLens) -> list[Figure]:
    """Of the logit lens."""
    part = "a logit lens of 40 layers at 512 tokens"
    return [
        Figure(part, "table drawn", found.drawn, "s"),
        Figure(part, "data sent before the first interaction", found.bytes / 1000, "kB", 300),
        Figure(part, "longest task while it opens", found.opening, "ms", 100),
        Figure(part, "longest task while hovering and moving by keys", found.moving, "ms", 100),
    ]


def drag_figures(found: Drags) -> list[Figure]:
    """Of the patch board."""
    part = "a drag on the patch board, the shipped default model"
    return [
        Figure(
            part, f"let go to new effect: median of {len(found.dropped)}", statistics.median(found.dropped), "ms", 120
        ),
        Figure(part, "let go to new effect: slowest in ten", statistics.quantiles(found.dropped, n=10)[-1], "ms"),
        Figure(
            part, f"over a finished map: median of {len(found.followed)}", statistics.median(found.followed), "ms", 17
        ),
        Figure(part, "over a finished map: worst", max(found.followed), "ms"),
        Figure(part, "talk notebook: from opening it to the effect of a first drag", found.talk, "s", 10),
        Figure(part, "talk notebook: the same, JupyterLab not yet loaded", found.cold, "s"),
        Figure(part, "talk notebook: of these, importing torch and transformers", found.imports, "s"),
    ]


def long_figures(found: Long) -> list[Figure]:
    """Of the long prompt."""
    part = "4,096 tokens"
    figures = [Figure(part, "atlas: data sent", found.atlas / 1000, "kB")]
    for step in found.steps:
        figures.append(Figure(part, f"{step.name}: data sent", step.bytes / 1000, "kB"))
        figures.append(Figure(part, f"{step.name}: longest task", step.stall, "ms"))
    most = max(step.cells for step in found.steps)
    return [
        *figures,
        Figure(part, "most cells fetched at once / pixels of the focus", most / found.shown, "x", 1),
        Figure(part, "most cells fetched at once / cells of the pattern", most / found.whole, ""),
    ]


def frame_figures(found: dict[str, Frames]) -> list[Figure]:
    """Of the gestures."""
    part = "frames, 12 x 12 heads at 256 tokens"
    return [
        figure
        for name, frames in found.items()
        for figure in (
            Figure(part, f"{name}: share of {frames.count} frames that came in time", frames.smooth, ""),
            Figure(part, f"{name}: median", frames.median, "ms"),
            Figure(part, f"{name}: worst", frames.worst, "ms"),
        )
    ]


def table(figures: Sequence[Figure]) -> str:
    """The figures for the terminal, part by part."""
    lines = []
    part = ""
    for figure in figures:
        if figure.part != part:
            part = figure.part
            lines.append(f"\n{part}")
        aim = f"   {figure.aim}: {figure.verdict}" if figure.target is not None else ""
        lines.append(f"  {figure.name:62} {figure.told:>12}{aim}")
    return "\n".join(lines)


_HEAD = """\
# Benchmarks of the attention-heads widget

`make bench-heads` runs everything in one headless Chromium, in JupyterLab, and writes this page; do not edit it by
hand.

{facts}

- *From the cell to the picture*: from running the cell to the second animation frame after the last change of a canvas
  or of an element in its output, once all heads are there (thumbnails are not blank, all of BertViz's lines are there).
  Everybody in turn in one notebook, the median over rounds (BertViz, which takes minutes, once); of each library
  something small was shown before, so that imports and scripts are warm. The tensors are the same.
- *Data* is what the kernel sent to the page for a display, without program text: our script and
  style sheet, and BertViz's script, which travel with each display, are not counted. Of ours it includes the picture
  for readers without a kernel, which follows when all is drawn.
- *Atlas drawn after the data arrived*: from the WebSocket's message with the last thumbnails, or with the output to
  draw them in where that comes later, to the frame after which all of them are on the canvas.
- CircuitsVis is shown as with a network: its script is imported from an address, which here is this JupyterLab's, and
  is cached. Its look whether there is a network is answered yes, at once. BertViz's scripts come from this JupyterLab
  too; jQuery is 2.1.0 in place of 2.0.0, which no registry has.
- *softmax(q k) alone*: for all layers and heads, in plain torch, from queries and keys that are there.
- Frames are those that the page's main thread began, from the browser's own trace; one came in time when none was
  missed before it: less than a frame and a half after the last.
- *Let go to new effect*: from the pointer's release to the end of the frame that shows the effect of the new list,
  with JupyterLab's server and kernel on the same cores; what drives the page asks it nothing meanwhile. The talk: the
  median of three openings, a kernel started by each. Nothing here fails a test.
"""


def page(figures: Sequence[Figure], facts: dict[str, str]) -> str:
    """BENCHMARKS_HEADS.md."""
    text = [_HEAD.format(facts="\n".join(f"- {name}: {value}" for name, value in facts.items()))]
    part = ""
    for figure in figures:
        if figure.part != part:
            part = figure.part
            text.append(f"\n## {part[0].upper()}{part[1:]}\n\n| | | target | |\n| --- | ---: | --- | --- |")
        text.append(f"| {figure.name} | {figure.told} | {figure.aim} | {figure.verdict} |")
    return "\n".join(text) + "\n"


def keep(figures: Sequence[Figure], facts: dict[str, str]) -> None:
    """Write the page, and the figures as JSON beside this file; parts that were not measured stay as they were."""
    kept = [Figure(**it) for it in json.loads(RESULTS.read_text(encoding="utf-8"))] if RESULTS.exists() else []
    whole = merged(kept, figures)
    RESULTS.write_text(json.dumps([asdict(it) for it in whole], indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(whole, facts), encoding="utf-8")


def merged(kept: Sequence[Figure], new: Sequence[Figure]) -> list[Figure]:
    """The figures kept with those of the parts that were measured anew in their place."""
    parts = list(dict.fromkeys(it.part for it in (*kept, *new)))
    fresh = {it.part for it in new}
    return [it for part in parts for it in (new if part in fresh else kept) if it.part == part]


def facts_of(versions: dict[str, str]) -> dict[str, str]:
    """The machine and how busy it is, and the versions of everything that took part."""
    here = machine()
    load = f"{os.getloadavg()[1]:.1f} on average, as the measurement began"
    about = {name: here[name] for name in ("processor", "mi-widgets", "torch", "transformers")}
    return about | {"load": load} | versions
