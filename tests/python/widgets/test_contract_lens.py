"""The golden messages of the logit lens: a really trained model's, compared to what its numbers can vary by.

`MI_WRITE_CONTRACT=1 pytest tests/python/widgets/test_contract_lens.py` writes them anew after a change of the format.
"""

from __future__ import annotations

import copy
import json
import os

import numpy as np
import pytest

from mi_widgets.interventions.edit_kinds import Zero
from mi_widgets.widgets import arrays, lens_asking
from tests.python.widgets.test_contract import FOLDER, load

TIMES = {"forward_ms": 6.25, "lens_ms": 12.5, "seconds_left": 0.25}
"""What is measured stands in the files as these numbers."""

REQUESTS = {
    "request-lens": "done-lens",
    "request-lens-cells": "done-lens-cells",
    "request-lens-card": "done-lens-card",
    "request-lens-card-contribution": "done-lens-card-contribution",
    "request-lens-track": "done-lens-track",
    "request-lens-find": "done-lens-find",
    "request-lens-attribution": "done-lens-attribution",
    "request-lens-attribution-head": "done-lens-attribution-head",
    "request-lens-attribution-source": "done-lens-attribution-source",
}


def plain(value):
    """A copy in which times are those of the files."""
    if isinstance(value, dict):
        return {k: TIMES[k] if k in TIMES and v is not None else plain(v) for k, v in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def check(name, message, buffers):
    """Equal to the golden file, numbers to rounding."""
    message = plain(message)
    if os.environ.get("MI_WRITE_CONTRACT"):
        whole = message | ({"buffer_sizes": [len(b) for b in buffers]} if buffers else {})
        (FOLDER / f"{name}.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if buffers:
            (FOLDER / f"{name}.bin").write_bytes(b"".join(buffers))
    golden, data = load(name)
    content, expected = copy.deepcopy(message), copy.deepcopy(golden)
    both = zip(entries(content), entries(expected), strict=True)
    for (own, entry), (theirs, wanted) in both:
        assert (own, entry) == (theirs, wanted)
        found = arrays.decode(entry, buffers[entry["buffer"]])
        np.testing.assert_allclose(found, arrays.decode(wanted, data[wanted["buffer"]]), atol=1e-4, rtol=1e-4)
    same(content, expected)


def entries(message):
    """The described arrays of a message or a trait, by name."""
    return sorted(message.get("arrays", {}).items())


def same(found, golden):
    """Equal, floats to rounding."""
    assert type(found) is type(golden)
    if isinstance(found, dict):
        assert list(found) == list(golden)
        for name in found:
            same(found[name], golden[name])
    elif isinstance(found, list):
        assert len(found) == len(golden)
        for one, other in zip(found, golden, strict=True):
            same(one, other)
    elif isinstance(found, float):
        assert found == pytest.approx(golden, rel=1e-4, abs=1e-4)
    else:
        assert found == golden


@pytest.fixture
def table(lens_of, exp):
    return lens_of(exp)


def snapshot(page):
    """The trait as a page that opens now gets it, with its buffers."""
    welcome = page.hello({"question": page.widget.revs["question"]})
    return welcome.content["snapshot"]["lens"], welcome.buffers


def test_the_trait(table):
    check("lens", *snapshot(table))


def test_the_trait_of_an_edited_run_with_sublayers(table):
    table.exp.edits.add(Zero("z", 1, head=0))
    table.answer(table.request("lens.run", run="edited", measure="logit_diff", sublayers=True))
    check("lens-edited", *snapshot(table))


@pytest.mark.parametrize("name", REQUESTS)
def test_replies(table, name):
    table.exp.edits.add(Zero("z", 1, head=0))
    table.widget.wait(120)
    sent = load(name)[0]
    table.send(sent)
    done = table.answer(sent["id"])
    assert done.content["kind"] == "done", done.content
    check(REQUESTS[name], done.content, done.buffers)


def test_cells_in_parts(table, monkeypatch):
    monkeypatch.setattr(lens_asking, "ONE_MESSAGE", 0)
    table.unlimited()
    request_id = table.request("lens.cells", run="clean", measure="prob", rows=[1, 3], columns=[4, 7])
    table.answer(request_id)
    (part,) = [m for m in table.messages("partial", request_id) if m.content["arrays"]]
    check("partial-lens-cells", part.content, part.buffers)
