"""A progress bar is there for work that takes a while, and only for that."""

from __future__ import annotations

import pytest

from mi_widgets.experiment import bar
from mi_widgets.results import Progress


@pytest.mark.parametrize(("delay", "shown", "seen"), [(0, True, True), (0, False, False), (60, True, False)])
def test_a_bar_appears_after_its_delay(monkeypatch, capsys, delay, shown, seen):
    monkeypatch.setattr(bar, "DELAY", delay)
    with bar.Bar("patch z", shown) as made:
        made.see("no progress")
        made.see(Progress(3, 4))
    assert ("patch z" in capsys.readouterr().err) == seen
