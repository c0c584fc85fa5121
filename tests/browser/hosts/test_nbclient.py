"""nbclient: what stays in a notebook that was executed without a browser."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
from nbformat import NotebookNode
from PIL import Image

from mi_widgets.widgets.arrays import decode
from tests.browser.hosts.plain_model import CLEAN, plain_patterns

VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"


def shown(executed: NotebookNode) -> NotebookNode:
    """The bundle of the cell that shows the widget."""
    (output,) = executed.cells[1].outputs
    assert output.output_type == "execute_result"
    return output.data


def test_the_state_is_saved_with_the_patterns_and_small(executed):
    state = executed.metadata.widgets[STATE]["state"]
    assert len(json.dumps(state)) < 1_000_000
    model = state[shown(executed)[VIEW]["model_id"]]
    assert model["state"]["question"]["prompts"]["clean"]["text"] == CLEAN
    (thumbs,) = (b for b in model["buffers"] if b["path"] == ["atlas", "arrays", "thumbs", "data"])
    weights = decode(model["state"]["atlas"]["arrays"]["thumbs"], base64.b64decode(thumbs["data"]))
    # A byte holds 255 levels: half of one, and the rounding of two computations.
    assert np.abs(weights - plain_patterns(CLEAN)).max() < 0.5 / 254 + 1e-4


def test_the_picture_and_the_text_stand_beside_it(executed):
    data = shown(executed)
    assert "tiny-names" in data["text/plain"]
    assert CLEAN in data["text/plain"]

    png = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    png.load()
    rgb = np.asarray(png.convert("RGB")).astype(int)
    assert len(np.unique(rgb.reshape(-1, 3), axis=0)) > 60
    # Blue deepens with the weight: red falls to 109 at a quarter, to 26 at 0.766. Ink and paper are not blue. Shares
    # of all cells would need the layout; how many of the blue ones are deep needs none.
    red, blue = rgb[..., 0], rgb[..., 2]
    deep, all_blue = ((red < limit) & (blue - red > 60) for limit in (26, 109))
    weights = plain_patterns(CLEAN)
    expected = (weights > 0.766).sum() / (weights > 0.25).sum()
    assert abs(deep.sum() / all_blue.sum() / expected - 1) < 0.2
