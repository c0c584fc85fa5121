"""Run rows of the benchmark: `python -m tests.benchmarks [ROW ...]`; without names, all of them.

Each row has a process of its own, on one thread. Fewer rounds or cells than the table is made of (`--rounds 1 --cells
4 --layers 1 --drags 4`) are for a quick look: then nothing is written.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

from .rows import LONG, SHAPES, TINY, all_rows

ALONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
"""One thread in every library, no network, and nobody's progress bar on the clock."""

WINDOW = "window"
"""The row about the memory of a long prompt; see `window`."""


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; the exit status tells whether every cell agreed with plain hooks."""
    known = {row.name: row for row in all_rows()}
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of: {', '.join([*known, WINDOW])}")
    parser.add_argument("--rounds", type=int, help="of all columns")
    parser.add_argument("--cells", type=int, help="that TransformerLens and plain hooks run in a round")
    parser.add_argument("--layers", type=int, help="that nnsight runs in a round")
    parser.add_argument("--drags", type=int, help="single patches")
    parser.add_argument("--full", action="store_true", help="everybody runs whole maps")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try the benchmark itself")
    parser.add_argument("--profile", action="store_true", help="where the time of our own map goes, and nothing else")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    names = asked.rows or [*known, WINDOW]
    if unknown := [name for name in names if name not in known and name != WINDOW]:
        parser.error(f"There is no row {', '.join(unknown)}. Rows: {', '.join([*known, WINDOW])}.")
    if asked.inside:
        return _inside(asked, names[0])
    from .report import keep

    own = sys.argv[1:] if arguments is None else arguments
    options = [word for word in own if word not in known and word != WINDOW]
    status, records = 0, {}
    for name in names:
        child = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks", *options, name, "--inside"],
            env={**os.environ, **ALONE},
            stdout=subprocess.PIPE,
            text=True,
        )
        status = status or child.returncode
        told = child.stdout.splitlines()
        if told and told[-1].startswith("{"):
            records[name] = json.loads(told.pop())
        print("\n".join(told), flush=True)
    if records:
        print(keep(records, records.pop(WINDOW, None)))
    elif not status and not asked.profile:
        print("Nothing was written: that was less than the table is made of.")
    return status


def _inside(asked: argparse.Namespace, name: str) -> int:
    """One row, in this process; its record is the last line printed when there is enough of it."""
    from .measure import TOLERANCE, measure, plan_of
    from .profiling import profile
    from .report import ENOUGH, record_of, told, told_window
    from .window import measure_window

    if name == WINDOW:
        found = asdict(measure_window(TINY["gpt2"], 64) if asked.tiny else measure_window(LONG))
        print(told_window(found))
        if not found["error"] <= TOLERANCE:
            print("  DIFFERENT FROM PLAIN HOOKS")
            return 1
        if not asked.tiny:
            print(json.dumps(found))
        return 0
    row = next(row for row in all_rows() if row.name == name)
    config = (TINY if asked.tiny else SHAPES)[row.shape]
    if asked.profile:
        print(profile(row, config))
        return 0
    usual = plan_of(row)
    plan = replace(usual, cells=None, layers=None) if asked.full else usual
    given = {part: getattr(asked, part) for part in ("rounds", "cells", "layers", "drags")}
    plan = replace(plan, **{part: value for part, value in given.items() if value is not None})
    measured = measure(row, config, plan, lambda text: print(f"  {text}", file=sys.stderr, flush=True))
    record = record_of(measured)
    print(told(row, record))
    if measured.wrong:
        print(f"  DIFFERENT FROM PLAIN HOOKS: {', '.join(measured.wrong)}")
        return 1
    if not asked.tiny and plan.rounds >= ENOUGH and plan.drags >= usual.drags:
        print(json.dumps(record))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
