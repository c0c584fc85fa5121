"""`python -m tests.families` proves every family and writes MODELS.md; with names it proves those and prints them."""

from __future__ import annotations

import sys

import transformers

from .configs import NAMED, families
from .page import GROUPS, MODELS, SUPPORTED, marks, page, supported
from .walk import Row, walk


def _line(row: Row) -> str:
    signs = " ".join(marks(row, group) for group in GROUPS) if row.sites else ""
    why = row.reason or "; ".join(str(lack) for lack in row.lacks)
    return f"{row.family:<22} {row.outcome:<15} {signs} {why}".rstrip()


def main(names: list[str]) -> int:
    """Prove families; the exit code says whether each of them, or each named one, is fully proven."""
    transformers.logging.set_verbosity_error()
    rows = []
    for row in walk(names or None):
        print(_line(row), flush=True)
        rows.append(row)
    wanted = names or [family for family in NAMED if family in families()]
    lost = [row.family for row in rows if row.family in wanted and row.outcome != "fully proven"]
    if not names:
        MODELS.write_text(page(rows), encoding="utf-8")
        SUPPORTED.write_text(supported(rows), encoding="utf-8")
        proven = sum(row.outcome == "fully proven" for row in rows)
        print(f"{proven} of {len(rows)} families fully proven; written to {MODELS.name}")
    if lost:
        print(f"not fully proven: {', '.join(lost)}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
