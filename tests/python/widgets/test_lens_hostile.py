"""Whatever a page sends about the lens, the kernel answers in words, changes nothing, and lives on."""

from __future__ import annotations

import pytest

from tests.python.widgets.test_hostile import HOSTILE, same

SIDE = {"sublayers": False, "tuned": False}
OPS = {
    "lens.run": {"run": "clean", "measure": "prob", **SIDE},
    "lens.cells": {"run": "clean", "measure": "prob", "rows": [0, 2], "columns": [0, 3], **SIDE},
    "lens.card": {"run": "clean", "row": 2, "position": 1, "k": 5, **SIDE},
    "lens.track": {"run": "clean", "position": 1, "tokens": [5, 6], **SIDE},
    "lens.attribution": {"run": "clean", "by": "source", "layer": 1, "head": 1},
}
MEANT = {
    "sublayers": [False, True],
    "tuned": [False],
    "rows": [[0], [0, 4], [4, 0]],
    "columns": [[0, 4]],
    "tokens": [[0], [0, 4], [4, 0]],
    "row": [0, 3, 4],
    "position": [0, 3, 4],
    "k": [3, 4],
    "layer": [0, 3],
    "head": [0, 3],
}
"""Values of the list that a parameter may have."""


@pytest.mark.parametrize("op", OPS)
def test_each_parameter_takes_no_hostile_value(lens_of, exp, op):
    page = lens_of(exp)
    revs = page.widget.revs
    for name in OPS[op]:
        for value in HOSTILE:
            if any(same(value, meant) for meant in (OPS[op][name], *MEANT.get(name, ()))):
                continue
            reply = page.answer(page.request(op, slot=None, **OPS[op] | {name: value})).content
            assert reply["kind"] == "failed", (name, value, reply)
            assert reply["error"] in ("BadInput", "BadMessage"), reply
            assert len(reply["message"]) < 300
    assert page.widget.revs == revs
    assert page.messages("accepted") == []
    assert page.answer(page.request(op, slot=None, **OPS[op])).content["kind"] == "done"


@pytest.mark.parametrize("text", [value for value in HOSTILE if isinstance(value, str) and len(value) <= 200])
def test_any_text_may_be_looked_for(lens_of, exp, text):
    page = lens_of(exp)
    found = page.answer(page.request("lens.find", text=text)).content
    assert found["kind"] == "done"
    assert all(isinstance(one["label"], str) for one in found["data"]["tokens"])
