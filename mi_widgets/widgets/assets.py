"""The built front end, as text: a path would make anywidget watch the file and keep every closed widget alive."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from mi_widgets.errors import MiWidgetsError

__all__ = ["STATIC", "asset"]

STATIC = Path(__file__).parent.parent / "static"


def asset(name: str) -> str:
    """The text of a built file.

    Raises:
        MiWidgetsError: it has not been built.
    """
    path = STATIC / name
    if not path.is_file():
        raise MiWidgetsError(
            f"The front end of this widget is missing: there is no {path}.",
            hint="In a checkout, run `make build`; an installed package without it is broken, install it again.",
        )
    # Keyed by time of change, so that a rebuild is seen by the next widget without a restart.
    return _text(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _text(path: Path, changed: int) -> str:
    return path.read_text(encoding="utf-8")
