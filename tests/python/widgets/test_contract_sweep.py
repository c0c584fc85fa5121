"""The golden messages of a patch sweep: a really trained model's, compared to what its numbers can vary by.

`MI_WRITE_CONTRACT=1 pytest tests/python/widgets/test_contract_sweep.py` writes them anew after a change of the format.
"""

from __future__ import annotations

import pytest

import mi_widgets as mi
from mi_widgets.experiment import sweeping
from mi_widgets.interventions.packed import engine
from tests.python.widgets.page import LIMIT
from tests.python.widgets.test_contract import load
from tests.python.widgets.test_contract_lens import TIMES, check


@pytest.fixture(autouse=True)
def varying(monkeypatch):
    """What depends on the machine: times, the kernel that is quickest there, how much progress was told."""
    for name, value in (("sweep_ms", 18.5), ("kernel", "sdpa"), ("seq", 6)):
        monkeypatch.setitem(TIMES, name, value)


@pytest.fixture
def table(sweep_of, exp):
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    return page


def snapshot(page):
    """The trait as a page that opens now gets it, with its buffers."""
    welcome = page.hello({"question": page.widget.revs["question"]})
    return welcome.content["snapshot"]["sweep"], welcome.buffers


def test_the_trait(table):
    check("sweep", *snapshot(table))


def test_the_trait_of_heads_with_live_edits(table):
    table.exp.edits.add(mi.Zero("z", 1, head=0))
    table.widget.wait(LIMIT)
    table.answer(table.request("sweep.start", site="z", edit="patch", base="corrupted", on_top=True))
    check("sweep-heads", *snapshot(table))


def test_the_trait_of_a_finished_map(sweep_of, exp):
    page = sweep_of(exp.sweep("resid_pre", layers=[1, 2], positions=[10, 14], progress=False))
    check("sweep-given", *snapshot(page))


def test_a_sweep_that_is_asked_for(table, monkeypatch):
    # Whole columns at a time, and told as they come.
    monkeypatch.setattr(engine, "ROWS", 8)
    monkeypatch.setattr(sweeping, "EVERY", 0.0)
    table.unlimited()
    sent = load("request-sweep")[0]
    table.send(sent)
    done = table.answer(sent["id"])
    partials = [m for m in table.messages("partial", sent["id"]) if m.content["data"] or m.content["arrays"]]
    outline, estimate, *pieces = partials
    check("partial-sweep-map", outline.content, outline.buffers)
    check("partial-sweep-estimate", estimate.content, estimate.buffers)
    check("partial-sweep-cells", pieces[0].content, pieces[0].buffers)
    check("done-sweep", done.content, done.buffers)


def test_a_rectangle_that_is_run_again(table):
    sent = load("request-sweep-part")[0]
    table.send(sent)
    done = table.answer(sent["id"])
    check("done-sweep-part", done.content, done.buffers)


def test_a_single_cell(table):
    sent = load("request-sweep-cell")[0]
    table.send(sent)
    done = table.answer(sent["id"])
    check("done-sweep-cell", done.content, done.buffers)
