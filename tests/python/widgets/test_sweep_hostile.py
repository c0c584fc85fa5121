"""Whatever a page sends about a sweep, the kernel answers in words, changes nothing, and lives on."""

from __future__ import annotations

import pytest

from tests.python.widgets.page import LIMIT
from tests.python.widgets.test_hostile import HOSTILE, same

WISH = {"site": "resid_pre", "edit": "patch", "base": "corrupted", "on_top": False}
OPS = {
    "sweep.start": {**WISH, "first": 2, "part": {"layers": [0], "columns": [2, 10]}},
    "sweep.cell": {**WISH, "layer": 1, "column": 10},
}
MEANT = {
    "base": ["clean"],
    "on_top": [False, True],
    "first": [None, 0, 3, 4],
    "part": [None],
    "layer": [0, 3],
    "column": [0, 3, 4],
    "layers": [[0]],
    "columns": [[0], [0, 4], [4, 0]],
}
"""Values of the list that a parameter may have."""


@pytest.fixture
def page(sweep_of, exp):
    page = sweep_of(exp)
    page.widget.wait(LIMIT)
    return page


def refused(page, op, params):
    reply = page.answer(page.request(op, slot=None, **params)).content
    assert reply["kind"] == "failed", (params, reply)
    assert reply["error"] in ("BadInput", "BadMessage", "SiteUnavailable"), reply
    assert len(reply["message"]) < 300


def hostile_for(name, own):
    return [value for value in HOSTILE if not any(same(value, meant) for meant in (own, *MEANT.get(name, ())))]


@pytest.mark.parametrize("op", OPS)
def test_each_parameter_takes_no_hostile_value(page, op):
    revs, shown = page.widget.revs, page.widget.sweep
    for name, own in OPS[op].items():
        for value in hostile_for(name, own):
            refused(page, op, OPS[op] | {name: value})
    refused(page, op, OPS[op] | {"more": 1})
    assert page.widget.revs == revs
    assert page.widget.sweep == shown
    assert page.messages("accepted") == []
    assert page.answer(page.request(op, slot=None, **OPS[op])).content["kind"] == "done"


def test_each_entry_of_a_rectangle_takes_no_hostile_value(page):
    params = OPS["sweep.start"]
    for name, own in params["part"].items():
        for value in hostile_for(name, own):
            refused(page, "sweep.start", params | {"part": params["part"] | {name: value}})
    refused(page, "sweep.start", params | {"part": {"layers": [0]}})
    refused(page, "sweep.start", params | {"part": params["part"] | {"more": 1}})
    assert page.messages("accepted") == []


def test_columns_are_those_of_the_site(page):
    refused(page, "sweep.start", WISH | {"site": "z", "first": 4})
    refused(page, "sweep.start", WISH | {"site": "scores"})
    refused(page, "sweep.cell", WISH | {"site": "z", "layer": 0, "column": 4})
    assert page.answer(page.request("sweep.cell", slot=None, **WISH, layer=3, column=14)).content["kind"] == "done"
