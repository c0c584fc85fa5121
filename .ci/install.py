"""Installs the package, editable, with the extras named on the command line, into the running `.venv`.

A torch that is already there is kept: its version replaces the one of constraints.txt, so that anyone can put
the build they want (CPU, a CUDA version, a nightly) into `.venv` first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def constraints() -> Path:
    """The constraints of this environment, written beside it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    try:
        kept = f"torch=={version('torch')}"
    except PackageNotFoundError:
        pass
    else:
        lines = [kept if line.startswith("torch==") else line for line in lines]
    path = Path(sys.prefix) / "constraints.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main(extras: str) -> None:
    """Installs `.[extras]`; the bundle is built by a step of its own."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run(
        [*pip, "--constraint", str(constraints()), "--editable", f"{ROOT}[{extras}]"],
        env={**os.environ, "SKIP_JUPYTER_BUILDER": "1"},
        check=True,
    )


if __name__ == "__main__":
    main(sys.argv[1])
