"""The `mi-widgets` command: `demo` runs the main job, `doctor` says what is found in a model, `zoo` trains."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import BadInput, MiWidgetsError

NOTEBOOK = Path("notebooks/01_getting_started.ipynb")
SUMMARY = "summary"
"""Tag of the notebook cell whose text `demo` prints."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it worked, 1 with a plain sentence when it did not."""
    parser = argparse.ArgumentParser(prog="mi-widgets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="execute the getting-started notebook and print what it found")
    demo.add_argument("--notebook", type=Path, default=NOTEBOOK)
    demo.add_argument("--out", type=Path, default=Path("out"), help="folder for the executed notebook")
    doctor = commands.add_parser("doctor", help="say what is found in a model, and what is proven")
    doctor.add_argument("model", nargs="?", help="shipped name, folder or hub id; the shipped default when left out")
    commands.add_parser("zoo", help="list or train the shipped checkpoints", add_help=False)
    args, rest = parser.parse_known_args(argv)
    if rest and args.command != "zoo":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if args.command == "demo":
            run_demo(args.notebook, args.out)
        elif args.command == "doctor":
            run_doctor(args.model)
        else:
            return subprocess.run([sys.executable, "-m", "mi_widgets.zoo", *rest], check=False).returncode
    except MiWidgetsError as problem:
        print(f"mi-widgets {args.command}: {problem}", file=sys.stderr)
        return 1
    return 0


def run_doctor(name: str | None) -> None:
    """Print a model's parts, the sites it offers, what is missing and why, and the versions in use."""
    import anywidget
    import ipywidgets
    import torch
    import transformers

    from . import __version__
    from .model.loading import load

    model = load(name)
    print(model)
    print(model.architecture)
    print(
        f"  versions   mi-widgets {__version__}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"anywidget {anywidget.__version__}, ipywidgets {ipywidgets.__version__}"
    )


def run_demo(notebook: Path, out: Path) -> None:
    """Execute a notebook in a real kernel, print its summary, and open it when somebody is there to look.

    Raises:
        BadInput: the notebook is not there, a cell failed, or a package is missing.
    """
    if not notebook.is_file():
        raise BadInput(f"{notebook} is not there.", hint="Run this in a clone of the project, or pass --notebook.")
    started = time.perf_counter()
    print(f"Executing {notebook} in a kernel of its own ...", flush=True)
    executed = execute(notebook)
    print(f"\n{summary_of(executed)}\n")
    path = out / notebook.name
    save(executed, path)
    print(f"Executed in {time.perf_counter() - started:.0f} s: {path}")
    if sys.stdin.isatty() and sys.stdout.isatty() and not os.environ.get("CI"):
        open_lab(path)


def open_lab(path: Path) -> None:
    """Open JupyterLab on a notebook, until Ctrl-C.

    Raises:
        BadInput: it did not start, or stopped by itself with an error.
    """
    print("Opening JupyterLab on it; Ctrl-C stops it.", flush=True)
    command = [sys.executable, "-m", "jupyterlab", str(path)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # JupyterLab refuses root unless it is told
    try:
        code = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        print("Stopped.")
        return
    if code:
        raise BadInput(f"JupyterLab ended with exit code {code}.", hint="Its messages above say why.")


def execute(notebook: Path) -> Any:
    """Run all cells in a real kernel and keep the widgets' state; returns the notebook.

    Raises:
        BadInput: a cell failed (shows its error), or nbclient is not installed.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError as missing:
        raise BadInput(f"{missing.name} is not installed.", hint='pip install "mi-widgets[lab]"') from missing
    content = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        content, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(notebook.parent)}}
    )
    try:
        client.execute()
    except CellExecutionError as problem:
        raise BadInput(
            f"A cell of {notebook} failed: {problem.ename}: {problem.evalue}", hint="Run it in JupyterLab: make lab."
        ) from problem
    return content


def summary_of(notebook: Any) -> str:
    """The text that the cell tagged "summary" printed.

    Raises:
        BadInput: there is no such cell, or it printed nothing.
    """
    for cell in notebook.cells:
        if SUMMARY in cell.metadata.get("tags", []):
            text = "".join(o.get("text", "") for o in cell.get("outputs", []) if o.get("name") == "stdout").strip()
            if text:
                return text
    raise BadInput(
        f"The notebook has no cell tagged {SUMMARY!r} that prints.", hint="Tag the cell that prints the result."
    )


def save(notebook: Any, path: Path) -> None:
    """Write an executed notebook and sign it, so that JupyterLab shows its widgets without running it again."""
    import nbformat
    from nbformat.sign import NotebookNotary

    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    NotebookNotary().sign(notebook)


if __name__ == "__main__":
    sys.exit(main())
