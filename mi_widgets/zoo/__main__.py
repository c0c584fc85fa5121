"""`python -m mi_widgets.zoo`: list the shipped checkpoints, train one anew, measure one again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mi_widgets.errors import MiWidgetsError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m mi_widgets.zoo", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the checkpoints and the folders they ship in")
    train = commands.add_parser("train", help="train a checkpoint anew, on one CPU thread")
    train.add_argument("name")
    train.add_argument(
        "--seed",
        type=int,
        nargs="+",
        help="one or several; the best of several is kept (default: the shipped one)",
    )
    train.add_argument("--out", type=Path, help="folder to write (default: ./NAME)")
    measure = commands.add_parser("measure", help="measure a saved folder and write its figures and model card")
    measure.add_argument("name")
    measure.add_argument("folder", type=Path)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "list":
            _list()
        elif options.command == "train":
            _train(options.name, options.seed, options.out)
        else:
            _measure(options.name, options.folder)
    except MiWidgetsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _list() -> None:
    from mi_widgets.model.shipped import checkpoints
    from mi_widgets.zoo import names, path, recipe

    for name in names():
        steps = ", ".join(map(str, checkpoints(name)))
        sys.stdout.write(f"{name}  {recipe.load(name).summary}\n    {path(name)}\n    training steps: {steps}\n")


def _train(name: str, seeds: list[int] | None, out: Path | None) -> None:
    from mi_widgets.zoo import recipe, survey

    made = recipe.load(name)
    folder = Path(name) if out is None else out
    best = survey.survey(made, seeds or [made.seed], folder, show=True)
    sys.stdout.write(f"{name}, seed {best}: {folder / 'README.md'}\n")


def _measure(name: str, folder: Path) -> None:
    from mi_widgets.zoo import recipe, survey

    survey.describe(recipe.load(name), folder)
    sys.stdout.write(f"{folder / 'README.md'}\n")


if __name__ == "__main__":
    sys.exit(main())
