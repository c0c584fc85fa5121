"""Runs every step of `make test`, also after one has failed, and ends with the closing lines of all.

Each step is `name=command`. What a step prints is passed on as it comes. A step called `name&` runs beside the next
one, which leaves it a core, and what it prints follows that. The exit code is 1 if any step failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What the tools end with: pytest's "== 12 passed in 3.4s ==", vitest's "Tests  40 passed (40)", and
# the single lines of the linters.
CLOSING = re.compile(
    r"\b(\d+ (passed|failed|errors?)|no tests ran)\b.* in [\d.]+s|^\s*(Tests|Test Files)\s+\d"
    r"|^Checked \d|^Success: |^Found \d|^All checks passed|already formatted"
)


Outcome = tuple[bool, float, list[str]]


def run(name: str, command: str, beside: bool = False) -> Outcome:
    """Runs one step; returns whether it passed, its seconds, and its closing lines.

    Args:
        name, command: of the step.
        beside: another step is running, so that what this one prints is kept until its end.
    """
    lines = [f"\n--- {name}\n"]

    def show() -> None:
        print("".join(lines), end="", flush=True)
        lines.clear()

    if not beside:
        show()
    started = time.monotonic()
    closing: list[str] = []
    process = subprocess.Popen(
        command,
        shell=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )

    def pass_on() -> None:
        for line in process.stdout or ():
            lines.append(line)
            if not beside:
                show()
            plain = COLOUR.sub("", line).rstrip()
            if CLOSING.search(plain):
                closing.append(plain.strip("= "))

    # A server that a step left behind would keep the pipe open: wait for the step, not for the pipe.
    reader = threading.Thread(target=pass_on, daemon=True)
    reader.start()
    process.wait()
    reader.join(timeout=10)
    show()
    return process.returncode == 0, time.monotonic() - started, closing


def main(steps: list[str]) -> int:
    """Runs all steps and prints the summary."""
    outcomes: dict[str, Future[Outcome]] = {}
    with ThreadPoolExecutor(2) as workers:
        for step in steps:
            name, _, command = step.partition("=")
            beside = name.endswith("&")
            name = name.rstrip("&")
            outcomes[name] = workers.submit(run, name, command, beside)
            if not beside:
                for outcome in outcomes.values():
                    outcome.result()
        rows = [(name, *outcome.result()) for name, outcome in outcomes.items()]
    print("\n--- summary")
    for name, passed, seconds, closing in rows:
        print(f"{'passed' if passed else 'FAILED'}  {name:<12} {seconds:6.1f} s")
        for line in closing:
            print(f"          {line}")
    failed = [name for name, passed, *_ in rows if not passed]
    print(f"failed: {', '.join(failed)}" if failed else "all steps passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
