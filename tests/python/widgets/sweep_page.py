"""What tests of the patch sweep ask, and what they read."""

from __future__ import annotations

import numpy as np

from mi_widgets.widgets import arrays

SWEEP = {"site": "resid_pre", "edit": "patch", "base": "corrupted", "on_top": False, "first": None, "part": None}
S2 = 10
NAMES = ("metric", "recovered", "stderr", "state")


def shown(page, name):
    """An array of the trait, as numbers."""
    entry = page.widget.sweep["arrays"][name]
    return arrays.decode(entry, entry["data"])


def start(page, **changed):
    return page.request("sweep.start", slot="sweep", **SWEEP | {"base": page.exp.base} | changed)


def swept(page, **changed):
    """The final answer to a sweep, which went well."""
    done = page.answer(start(page, **changed))
    assert done.content["kind"] == "done", done.content
    return done


def parts_of(page, request_id):
    """The partial replies of a request that carry cells."""
    return [m for m in page.messages("partial", request_id) if m.content["arrays"]]


def same_as(page, found):
    """Checks that the trait shows a map of the experiment, to the bit."""
    for name in ("metric", "recovered", "stderr"):
        np.testing.assert_array_equal(shown(page, name), getattr(found, name))
