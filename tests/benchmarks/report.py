"""The table: what was measured beside what was to be reached, as JSON, as BENCHMARKS.md and as a part of the README."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mi_widgets as mi

from .rows import LONG, SHAPES, Row, all_rows
from .window import MOST

if TYPE_CHECKING:
    from .measure import Column, Measured

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "BENCHMARKS.md"
README = ROOT / "README.md"
MARKS = ("<!-- benchmarks: written by `make bench` -->", "<!-- end of benchmarks -->")

ENOUGH = 5
"""Rounds without which nothing is written."""

Record = dict[str, Any]


def machine() -> dict[str, str]:
    """What the figures depend on."""
    packages = {name: version(name) for name in ("torch", "transformers", "transformer-lens", "nnsight")}
    return {"processor": _processor(), "threads": "1", "mi-widgets": mi.__version__, **packages}


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        names = [
            line.split(":")[1].strip() for line in listed.read_text().splitlines() if line.startswith("model name")
        ]
        return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def verdict(value: float, target: float | None, less: bool = False) -> str:
    """How a figure stands to its target: "reached", "80 %" for within 80 % of it, "below"; "" without one.

    Args:
        value: measured.
        target: to be reached.
        less: whether less is better.
    """
    if target is None:
        return ""
    part = target / value if less else value / target
    return "reached" if part >= 1 else "80 %" if part >= 0.8 else "below"


def _ratio(theirs: Column, ours: Column) -> float:
    """How many times their CPU time is ours: the median over rounds, or over cells of a drag row."""
    return statistics.median(b / a for a, b in zip(ours.cpu, theirs.cpu, strict=True))


def _p90(times: list[float]) -> float:
    return sorted(times)[-(-9 * len(times) // 10) - 1]


def record_of(measured: Measured) -> Record:
    """One row as plain numbers: seconds, ratios, targets and verdicts."""
    ours, hooks, lens, sight = measured.columns
    targets = measured.row.targets(measured.rate.fast)
    cpu = statistics.median(ours.cpu)
    figures = {
        "transformer_lens": (_ratio(lens, ours), targets.transformer_lens, False),
        "nnsight": (_ratio(sight, ours), targets.nnsight, False),
        "hooks": (_ratio(hooks, ours), None, False),
    }
    if measured.floor is not None:
        figures["floor"] = (cpu / measured.floor, targets.floor, True)
    if measured.row.kind == "drag":
        figures["p90"] = (1000 * _p90(ours.cpu), targets.p90, True)
    return {
        "rounds": len(ours.cpu),
        "cells": measured.cells,
        "ours": {
            "cpu": cpu,
            "wall": statistics.median(ours.wall),
            "wall_p90": _p90(ours.wall),
            "paused": statistics.median(ours.paused) if ours.paused else None,
        },
        "figures": {
            name: {"value": value, "target": target, "verdict": verdict(value, target, less)}
            for name, (value, target, less) in figures.items()
        },
        "seconds": {c.name: statistics.median(c.cpu) for c in measured.columns},
        "run": {c.name: c.share for c in measured.columns},
        "error": {c.name: c.error for c in measured.columns if c is not hooks},
        "compared": {c.name: c.compared for c in measured.columns if c is not hooks},
        "spread": measured.spread,
        "floor_seconds": measured.floor,
        "products": None if measured.products is None else asdict(measured.products),
        "gigaflops": {name: 2e-9 * rate for name, rate in measured.rate.by_kernel.items()},
        "kernel": measured.kernel,
    }


def told(row: Row, record: Record) -> str:
    """One row for the terminal."""
    lines = [f"{row.name}: {record['rounds']} {'patches' if row.kind == 'drag' else 'rounds'}, one thread, float32"]
    for name, seconds in record["seconds"].items():
        part = record["run"][name]
        how = "" if part == 1 or row.kind == "drag" else f"  (scaled up from {part:.1%} of the cells)"
        off = record["error"].get(name)
        right = "the reference" if off is None else f"off by {off:.1e} in {record['compared'][name]} cells"
        lines.append(f"  {name:24} {1000 * seconds:10.1f} ms CPU   {right}{how}")
    own = record["ours"]
    lines.append(f"  ours on the clock: median {1000 * own['wall']:.1f} ms, p90 {1000 * own['wall_p90']:.1f} ms")
    if own["paused"] is not None:
        lines.append(f"  ours after a pause: median {1000 * own['paused']:.1f} ms CPU")
    if record["products"] is not None:
        alone = record["products"]
        lines.append(f"  products alone: median {1000 * alone['median']:.1f} ms, p90 {1000 * alone['p90']:.1f} ms")
    units = {"p90": " ms", "floor": "x the floor"}
    for name, figure in record["figures"].items():
        aim = "" if figure["target"] is None else f"   target {figure['target']:g}: {figure['verdict']}"
        lines.append(f"  {name:24} {figure['value']:10.2f}{units.get(name, 'x ours')}{aim}")
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in record["gigaflops"].items())
    lines.append(f"  matrix products at 1024 rows, GFLOP/s: {rates};  ours ran on {record['kernel']}")
    return "\n".join(lines)


def keep(rows: dict[str, Record], window: Record | None = None) -> str:
    """Put new rows beside those of earlier runs, and write the table anew; says what was written.

    Rows of another machine or other versions are dropped: one table holds what can be compared.
    """
    here = machine()
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"machine": here, "rows": {}}
    same = old["machine"] == here
    known = {**(old["rows"] if same else {}), **rows}
    ordered = {row.name: known[row.name] for row in all_rows() if row.name in known}
    table = {"machine": here, "rows": ordered, "window": window or (old.get("window") if same else None)}
    RESULTS.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(table), encoding="utf-8")
    before, after = MARKS
    readme = README.read_text(encoding="utf-8")
    head, tail = readme.split(before)[0], readme.split(after)[1]
    README.write_text(f"{head}{before}\n{summary(table)}\n{after}{tail}", encoding="utf-8")
    dropped = "" if same else "; rows of another machine or other versions were dropped"
    return f"wrote {len(rows)} of {len(ordered)} rows to {PAGE.name}{dropped}"


_HEAD = """\
# Benchmarks

Activation patching maps of whole models, cell by cell: every layer and position of the residual stream, every layer and
head of z, and single patches as after a drag. `make bench` runs it and writes this page; do not edit it by hand.
`make bench ROWS="gpt2-16-resid_pre"` runs some rows alone.

{machine}

- Times are CPU time of one process on one thread. All columns take turns in it, round after round with new random
  prompts; a ratio is the median over the rounds (for single patches: over the cells) of *their time / our time*.
- Shapes: {shapes}. Random weights at 1/√fan-in, float32. No token is the same in both prompts, except in rows marked
  *shared*: there the first 60 % are. The others' idioms run those cells too; we skip what cannot differ.
- TransformerLens: `patching.get_act_patch_resid_pre` and `get_act_patch_attn_head_out_all_pos` on a
  `TransformerBridge` with the same unprocessed weights; single patches with `run_with_hooks`. nnsight: the map of its
  patching guide, one invoke per cell and one trace per layer. Plain hooks: a loop over forward
  passes of the Hugging Face model. All run without gradients and give the logit difference at the last position.
- Clean runs are cached before the clock starts, everybody's; ours are `exp.baselines` and `exp.read` of the clean site.
  Our capture of the base run is inside the time. Every round is a new experiment, so that nothing is answered from a
  table; so are single patches.
- Single patches are ours while dragging. *After a pause* of some seconds the first one also looks, by a pass of each
  prompt, whether the user has changed the weights.
- Where a column says *of cells*, a random part of the map was run and the time scaled up: they run every cell alike.
- *Floor*: the fewest multiply-adds that give all cells, over this machine's best rate of float32 matrix products at
  1024 rows (`tests/benchmarks/floor.py`).
- *Off by*: the largest difference of the metric from plain hooks in the same run, over all cells that both ran.
- *Products alone*: the matrix products of the same single patches and nothing else, on weights that are not in the
  cache. With the few rows of one patch they are bound by reading the weights.
- A target is *reached*, or reached to *80 %*, or the figure is *below* that. Where torch has no float32 product that is
  at least 1.2 times as fast as its usual one, targets over TransformerLens and nnsight are 10 and 5 at most.
"""


def page(table: Record) -> str:
    """BENCHMARKS.md."""
    shapes = "; ".join(
        f"{name}: {c.num_hidden_layers} layers of {c.num_attention_heads} heads"
        f" ({getattr(c, 'num_key_value_heads', c.num_attention_heads)} key-value heads), width {c.hidden_size},"
        f" {c.vocab_size:,} tokens"
        for name, c in SHAPES.items()
    )
    facts = "\n".join(f"- {name}: {value}" for name, value in table["machine"].items())
    rates = [record["gigaflops"] for record in table["rows"].values()]
    for kernel in dict.fromkeys(name for rate in rates for name in rate):
        rate = statistics.median(r[kernel] for r in rates if kernel in r)
        facts += f"\n- matrix products with {kernel}: {rate:.0f} GFLOP/s (median over the rows)"
    text = [_HEAD.format(machine=facts, shapes=shapes)]
    maps = {row: table["rows"][row.name] for row in all_rows() if row.name in table["rows"]}
    text.append("## Maps\n")
    text += _lines(
        ("map", "cells", "rounds", "ours", "TransformerLens", "nnsight", "plain hooks", "over the floor", "off by"),
        [
            (_words(row), r["cells"], r["rounds"], f"{r['ours']['cpu']:.2f} s", *_peers(r), _figure(r, "floor", "×"),
             _error(r))
            for row, r in maps.items() if row.kind != "drag"
        ],
    )  # fmt: skip
    text.append("\n## Single patches\n")
    text += _lines(
        ("patch", "cells", "ours", "90 %", "products alone, 90 %", "after a pause", "TransformerLens", "nnsight",
         "plain hooks", "off by"),
        [
            (_words(row), r["rounds"], f"{1000 * r['ours']['cpu']:.0f} ms", _figure(r, "p90", " ms"),
             f"{1000 * r['products']['median']:.0f} ms, {1000 * r['products']['p90']:.0f} ms",
             f"{1000 * r['ours']['paused']:.0f} ms", *_peers(r), _error(r))
            for row, r in maps.items() if row.kind == "drag"
        ],
    )  # fmt: skip
    if table.get("window"):
        text.append(_window(table["window"]))
    return "\n".join(text) + "\n"


def _window(found: Record) -> str:
    reached = "reached" if found["megabytes"] <= MOST else "not reached"
    layers = LONG.n_layer
    return (
        f"\n## A long prompt\n\nresid_pre at the last {found['cells'] // layers} of {found['tokens']:,} tokens in all "
        f"{layers} layers of GPT-2's shape, {found['cells']} cells:\n"
        f"at most {found['megabytes']:,.0f} MB above the loaded model (target {MOST:,} MB: {reached}), "
        f"{found['seconds']:.0f} s of CPU time for the unedited runs\n"
        f"and the map, off by {found['error']:.0e} in {found['compared']} cells that plain hooks ran too."
    )


def told_window(found: Record) -> str:
    """The long prompt, for the terminal."""
    return (
        f"window: {found['cells']} cells of {found['tokens']} tokens: {found['megabytes']:.0f} MB above the model "
        f"(target {MOST}), {found['seconds']:.1f} s CPU, off by {found['error']:.1e} in {found['compared']} cells"
    )


def summary(table: Record) -> str:
    """The README's part: where all tokens differ in GPT-2's shape, and one row with a shared beginning."""
    rows = [
        (row, table["rows"][row.name])
        for row in all_rows()
        if row.name in table["rows"] and row.shape == "gpt2" and not (row.shares and row.kind == "z")
    ]
    cells = [
        (_words(row), f"{1000 * r['ours']['cpu']:,.0f} ms", *(f"{r['figures'][n]['value']:.1f}×" for n in _PEERS))
        for row, r in rows
    ]
    head = ("GPT-2 small's shape", "ours", *(f"{n} {table['machine'][p]}" for n, p in _LIBRARIES), "plain hooks")
    where = f"On {table['machine']['processor']}, one thread, float32; ratios are *their CPU time / ours*."
    return "\n".join([where, "Targets, other shapes and how it is measured: [BENCHMARKS.md](BENCHMARKS.md).", "",
                      *_lines(head, cells)])  # fmt: skip


_LIBRARIES = (("TransformerLens", "transformer-lens"), ("nnsight", "nnsight"))
_PEERS = ("transformer_lens", "nnsight", "hooks")


def _peers(record: Record) -> list[str]:
    parts = list(record["run"].values())
    # In the order of the columns: ours, plain hooks, TransformerLens, nnsight.
    shares = dict(zip(("ours", "hooks", "transformer_lens", "nnsight"), parts, strict=True))
    drag = "p90" in record["figures"]
    return [
        _figure(record, name, "×") + ("" if shares[name] == 1 or drag else f", {shares[name]:.0%} of cells")
        for name in _PEERS
    ]


def _figure(record: Record, name: str, unit: str) -> str:
    figure = record["figures"][name]
    aim = "" if figure["target"] is None else f" ({figure['target']:g}{unit}: {figure['verdict']})"
    return f"{figure['value']:.1f}{unit}{aim}"


def _error(record: Record) -> str:
    return f"{max(record['error'].values()):.0e}"


def _words(row: Row) -> str:
    what = {"resid_pre": "resid_pre, layer × position", "z": "z, layer × head", "drag": "resid_pre, one cell"}
    return f"{row.shape}, {row.tokens} tokens: {what[row.kind]}{', shared' if row.shares else ''}"


def _lines(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    aligned = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(map(str, line))} |" for line in (head, aligned, *rows)]
