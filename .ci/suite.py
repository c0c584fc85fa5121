"""Runs every step of `make test`, also after one has failed, and ends with the closing lines of all.

Each step is `name=command`. What a step prints is passed on as it comes. The exit code is 1 if any
step failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What the tools end with: pytest's "== 12 passed in 3.4s ==", vitest's "Tests  40 passed (40)", and
# the single lines of the linters.
CLOSING = re.compile(
    r"\b(\d+ (passed|failed|errors?)|no tests ran)\b.* in [\d.]+s|^\s*(Tests|Test Files)\s+\d"
    r"|^Checked \d|^Success: |^Found \d|^All checks passed|already formatted"
)


def run(name: str, command: str) -> tuple[bool, float, list[str]]:
    """Runs one step; returns whether it passed, its seconds, and its closing lines."""
    print(f"\n--- {name}", flush=True)
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
            print(line, end="", flush=True)
            plain = COLOUR.sub("", line).rstrip()
            if CLOSING.search(plain):
                closing.append(plain.strip("= "))

    # A server that a step left behind would keep the pipe open: wait for the step, not for the pipe.
    reader = threading.Thread(target=pass_on, daemon=True)
    reader.start()
    process.wait()
    reader.join(timeout=10)
    return process.returncode == 0, time.monotonic() - started, closing


def main(steps: list[str]) -> int:
    """Runs all steps and prints the summary."""
    rows = []
    for step in steps:
        name, _, command = step.partition("=")
        rows.append((name, *run(name, command)))
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
