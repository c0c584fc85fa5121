"""The benchmark of the lens: everybody gives the same lens, and what misses its target is named."""

from __future__ import annotations

from dataclasses import replace

from tests.benchmarks.lens import Column, config_of, measure, missed, page, table


def test_all_ways_agree_on_a_tiny_model():
    columns = measure(config_of(tiny=True), 12, 1, {})
    assert [c.short for c in columns] == ["products", "ours", "ours-all", "loop", "loop-all", "nnsight"]
    assert all(c.error is None or c.error < 1e-5 for c in columns)
    assert columns[0].error is None
    assert columns[0].times == 1
    assert all(c.name in table(columns) for c in columns)


def test_what_misses_its_target_is_named():
    good = Column("ours", "ours", [1.0], 1.2, 80.0, 1e-6)
    assert missed([good]) == []
    for bad, says in ((replace(good, times=1.7), "1.70 times"), (replace(good, memory=301.0), "301 MB"),
                      (replace(good, error=float("nan")), "off the plain loop")):  # fmt: skip
        assert any(says in line for line in missed([bad]))
    assert "| ours | 1.00 | 1.20 | 1.6 | 80 MB | 1e-06 |" in page([good], 256)
