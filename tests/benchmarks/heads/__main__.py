"""Measure the heads widget in a real JupyterLab: `python -m tests.benchmarks.heads [PART ...]`; without names, all.

The page is written anew with what was measured; parts that were not stay as they were. Fewer rounds write nothing.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version

from . import deep_lens, drag, first_paint, frames, live, long, peers, report
from .stage import stage, versions_of

PARTS = ("first-paint", "live", "long", "frames", "lens", "drag")
ROUNDS = 3


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.heads", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of the first paint")
    asked = parser.parse_args(arguments)
    if unknown := [part for part in asked.parts if part not in PARTS]:
        parser.error(f"There is no part {', '.join(unknown)}. Parts: {', '.join(PARTS)}.")

    def tell(found: list[report.Figure]) -> None:
        print(report.table(found), flush=True)
        # At once: a part that fails takes nothing of the others with it.
        if asked.rounds >= ROUNDS:
            report.keep(found, facts)

    def say(text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    with stage() as running:
        facts = report.facts_of(
            {**versions_of(running.browser), "jupyterlab": version("jupyterlab"), **peers.versions()}
        )
        print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
        for part in asked.parts or PARTS:
            if part == "first-paint":
                tell(report.first_paint_figures(first_paint.measure(running, asked.rounds, say)))
            elif part == "live":
                tell(report.live_figures(live.measure(running)))
            elif part == "long":
                tell(report.long_figures(long.measure(running)))
            elif part == "lens":
                tell(report.lens_figures(deep_lens.measure(running)))
            elif part == "drag":
                tell(report.drag_figures(drag.measure(running)))
            else:
                tell(report.frame_figures(frames.measure(running)))
    if asked.rounds < ROUNDS:
        print("\nNothing was written: that was less than the page is made of.")
    else:
        print(f"\nwrote {report.PAGE.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
