"""Finds Chromium for the browser tests, or installs it where that is possible without asking.

Looked for in this order: the environment variable MI_CHROMIUM, then the usual names on PATH. Where there
is none, and this runs as root on a system with apt, the package `chromium` is installed. Otherwise
one sentence says what to do; the browser tests then fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "Chromium was not found, so the browser tests will fail: install chromium or google-chrome "
    "with the system's package manager, or set MI_CHROMIUM to the path of one."
)


def find() -> str | None:
    """The path of a Chromium, or None."""
    named = os.environ.get("MI_CHROMIUM")
    if named:
        return shutil.which(named)
    return next((path for path in map(shutil.which, NAMES) if path), None)


def install() -> None:
    """Installs the Debian package; what goes wrong is left to the search that follows."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        subprocess.run(["apt-get", "-qq", *command], env=environment, check=False)


def main() -> None:
    """Makes sure that there is a Chromium, or prints the sentence that says what is missing."""
    path = find()
    if path is None and not os.environ.get("MI_CHROMIUM") and shutil.which("apt-get") and os.geteuid() == 0:
        print("chromium: installing the Debian package", flush=True)
        install()
        path = find()
    if path is None:
        print(MISSING, file=sys.stderr)


if __name__ == "__main__":
    main()
