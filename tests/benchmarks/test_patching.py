"""Every row of the patching benchmark; `make bench` runs this and writes BENCHMARKS.md. Nothing fails on time."""

from __future__ import annotations

import pytest

from tests.benchmarks.__main__ import WINDOW, main
from tests.benchmarks.rows import all_rows


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", [*(row.name for row in all_rows()), WINDOW])
def test_every_cell_agrees_with_plain_hooks(name):
    print()
    assert main([name]) == 0
