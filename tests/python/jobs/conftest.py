"""A scheduler that is stopped after each test."""

from __future__ import annotations

import pytest

from mi_widgets.jobs import Scheduler


@pytest.fixture
def scheduler():
    made = Scheduler("test")
    yield made
    made.cancel_all()
