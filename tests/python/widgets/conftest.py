"""Pages without a browser, on canned answers, and no swallowed exceptions."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace

import comm
import pytest

import mi_widgets as mi
from mi_widgets.experiment import sweeping as making
from mi_widgets.interventions.packed import engine
from mi_widgets.widgets import AttentionHeads, assets, heads_ops, heads_source
from tests.python.widgets.page import LIMIT, Page, RecordingComm, decoded
from tests.python.widgets.questions import CLEAN, CORRUPTED
from tests.python.widgets.toy import Analysis, FakeExperiment, canned_pattern


class Swallowed(logging.Handler):
    """Collects exceptions that had no caller to go to."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.errors = []
        self.expected = ()

    def emit(self, record):
        if record.exc_info and record.exc_info[1] is not None:
            self.errors.append(record.exc_info[1])

    def expect(self, *types):
        """From now on these are part of the test."""
        self.expected = types


@pytest.fixture(autouse=True)
def swallowed():
    """Raises at the end of a test what ipywidgets, a comm or the widget itself swallowed meanwhile."""
    handler = Swallowed()
    names = ("mi_widgets", "traitlets", "Comm")
    for name in names:
        logging.getLogger(name).addHandler(handler)
    yield handler
    for name in names:
        logging.getLogger(name).removeHandler(handler)
    for error in handler.errors:
        if not isinstance(error, handler.expected):
            raise error


@pytest.fixture(autouse=True)
def recording(monkeypatch):
    """Every widget of a test opens a comm that records."""
    monkeypatch.setattr(comm, "create_comm", RecordingComm)


@pytest.fixture(autouse=True)
def bundle(monkeypatch, tmp_path):
    """A front end to load: these tests are about the kernel's side, with or without a built bundle."""
    for name in ("attention-heads", "logit-lens", "patch-board", "patch-sweep", "workbench"):
        (tmp_path / f"{name}.js").write_text("export default {};\n")
        (tmp_path / f"{name}.css").write_text(".mi { color: inherit }\n")
    monkeypatch.setattr(assets, "STATIC", tmp_path)
    return tmp_path


@pytest.fixture
def page_of():
    """Makes pages, and closes their widgets at the end."""
    pages = []

    def make(widget, client="tab"):
        pages.append(Page(widget, client))
        return pages[-1]

    yield make
    for page in pages:
        page.widget.close()


@pytest.fixture
def analysis(monkeypatch):
    canned = Analysis()
    for module, name in (
        (heads_source, "atlas_steps"),
        (heads_source, "window_steps"),
        (heads_source, "edge_steps"),
        (heads_source, "head_writes"),
        (heads_ops, "random_scores_steps"),
    ):
        monkeypatch.setattr(module, name, getattr(canned, name))
    yield canned
    if canned.gate is not None:
        canned.let(10_000)


@pytest.fixture
def experiment():
    """Makes experiments with canned answers."""
    return FakeExperiment


@pytest.fixture
def heads(analysis, page_of):
    """Makes an AttentionHeads on a canned experiment, finished, with a page."""

    def make(**options):
        page = page_of(AttentionHeads(FakeExperiment(**options)))
        page.exp = page.widget._exp
        page.widget.wait(LIMIT)
        return page

    return make


@pytest.fixture
def canned():
    """The numbers behind the canned answers, and how to read them from a message."""
    return SimpleNamespace(pattern=canned_pattern, decoded=decoded, limit=LIMIT)


@pytest.fixture
def exp():
    """A real question to the shipped model."""
    return mi.Experiment(mi.load(), CLEAN, CORRUPTED, answer=" Mary", distractor=" John")


@pytest.fixture
def page(page_of, exp):
    """A page of its heads, finished."""
    page = page_of(AttentionHeads(exp))
    page.widget.wait(120)
    page.exp = exp
    return page


@pytest.fixture
def lens_of(page_of):
    """Makes a LogitLens of an experiment, finished, with a page."""

    def make(exp, **options):
        page = page_of(mi.LogitLens(exp, **options))
        page.exp = exp
        page.widget.wait(LIMIT)
        return page

    return make


@pytest.fixture
def sweep_of(page_of):
    """Makes a PatchSweep of an experiment or of a finished map, with a page; it may still be at work."""

    def make(given, client="tab", **options):
        page = page_of(mi.PatchSweep(given, **options), client)
        page.exp = given
        return page

    return make


@pytest.fixture
def table(sweep_of, exp):
    """The page of a finished sweep."""
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    return page


@pytest.fixture
def piecewise(monkeypatch):
    """Small pieces, and each told at once."""
    monkeypatch.setattr(engine, "ROWS", 8)
    monkeypatch.setattr(making, "EVERY", 0.0)


@pytest.fixture
def halt(monkeypatch):
    """Halts the work before its n-th piece: `halt(3)` gives (reached, go on)."""
    plain, pieces, halts = engine.run_variants, [], {}

    def counted(*args):
        pieces.append(len(pieces))
        if len(pieces) in halts:
            reached, go_on = halts.pop(len(pieces))
            reached.set()
            assert go_on.wait(LIMIT)
        return (yield from plain(*args))

    monkeypatch.setattr(engine, "run_variants", counted)

    def before(piece):
        halts[len(pieces) + piece] = events = threading.Event(), threading.Event()
        return events

    yield before
    for _, go_on in halts.values():
        go_on.set()


@pytest.fixture
def board_of(page_of):
    """Makes a PatchBoard of an experiment, finished, with a page."""

    def make(exp):
        page = page_of(mi.PatchBoard(exp))
        page.exp = exp
        page.widget.wait(120)
        return page

    return make


@pytest.fixture
def board(board_of, exp):
    """The page of a patch board of clean and corrupted, finished."""
    return board_of(exp)
