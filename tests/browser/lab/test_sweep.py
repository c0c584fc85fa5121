"""The patch sweep while it runs: stopped in the middle, gone on with, and left by its kernel."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.lab.board import HOOKS
from tests.browser.lab.notebook_page import NotebookPage

LAYERS, TOKENS, DIFFER = 12, 40, 34
SLOW = f"""
# While the file `hold` lies here a map stays with the cells that were run first unless it is cancelled, so that no test
# must be quicker than the work it watches.
import pathlib, time, torch, transformers
import mi_widgets as mi
import mi_widgets.experiment.sweeping as sweeping
from mi_widgets.interventions.packed import engine
from mi_widgets.interventions.sweep import Swept
from mi_widgets.results import Progress
engine.ROWS = 64  # of a model as small as this one many cells are run at once
plain_steps = sweeping.sweep_steps
def held(*args):
    progress = None
    for event in plain_steps(*args):
        yield event
        progress = event if isinstance(event, Progress) else progress
        while isinstance(event, Swept) and pathlib.Path("hold").exists():
            time.sleep(0.01)
            yield event
            yield progress
sweeping.sweep_steps = held
small = mi.load()
torch.manual_seed(0)
config = transformers.GPT2Config(
    vocab_size=len(small.tokenizer), n_positions=64, n_embd=64, n_layer={LAYERS}, n_head=4, bos_token_id=0,
    eos_token_id=0, initializer_range=0.3,
)
model = mi.wrap(transformers.GPT2LMHeadModel(config).eval(), small.tokenizer)
words = [i for i in range(len(small.tokenizer)) if i not in small.tokenizer.all_special_ids]
prompt = [words[(7 * i) % len(words)] for i in range({TOKENS})]
def ask():
    corrupted = prompt[:{DIFFER}] + [words[3]] + prompt[{DIFFER} + 1:]
    return mi.Experiment(model, clean=prompt, corrupted=corrupted, answer=words[0], distractor=words[1], bos=False)
exp = ask()
"""
WIDGET = "sweep = mi.PatchSweep(exp)\nsweep"
CELLS = LAYERS * (TOKENS - DIFFER)

# What the widget has, what another experiment finds without it, and what hooks on the plain model give.
TOLD = """
result, fresh = sweep.result, ask().sweep("resid_pre", progress=False)
start, end = difference(hooked("corrupted")), difference(hooked("clean"))
cells = [
    {
        "layer": layer, "position": position, "exact": bool(result.exact[layer, position]),
        "shown": [float(result.metric[layer, position]), float(result.recovered[layer, position])],
        "fresh": [float(fresh.metric[layer, position]), float(fresh.recovered[layer, position])],
        "plain": difference(patched([("resid_pre", layer, None, position, 1.0)])),
    }
    for layer in range(model.n_layers) for position in fresh.positions if not fresh.same[layer, position]
]
print(json.dumps({"corrupted": start, "clean": end, "cells": cells}))
"""


def opened(open_notebook, hold: Path) -> tuple[NotebookPage, Locator]:
    """A sweep that is held in its middle."""
    notebook = open_notebook([SLOW, WIDGET, "pass"])
    hold.touch()
    for index in range(2):
        notebook.run_cell(index)
    notebook.until_run(1)
    sweep = notebook.widget()
    expect(sweep).to_have_attribute("data-exact", re.compile(r"^[1-9]\d*$"))
    return notebook, sweep


def table(sweep: Locator) -> dict[tuple[int, int], str]:
    """The numbers of the columns that are in view, by layer and position, as they are written."""
    sweep.locator("[data-action=sweep-table]").click()
    grid = sweep.locator("[data-part=heatmap-table] table")
    columns = [int(it.split()[-1]) for it in grid.locator("thead th").all_inner_texts() if it.strip()]
    rows = [row.locator("td").all_inner_texts() for row in grid.locator("tbody tr").all()]
    sweep.locator("[data-action=sweep-table]").click()
    return {(layer, at): text for layer, row in enumerate(rows) for at, text in zip(columns, row, strict=True)}


def matches(notebook: NotebookPage, sweep: Locator) -> int:
    """What the page marks exact is what was run, with the numbers of the plain model; gives how many cells that are."""
    told = json.loads(notebook.evaluate_in_kernel(2, HOOKS + TOLD).strip().splitlines()[-1])
    between = told["clean"] - told["corrupted"]
    written = table(sweep)
    seen = 0
    assert len(told["cells"]) == CELLS
    for cell in told["cells"]:
        metric, recovered = cell["shown"]
        text = written[cell["layer"], cell["position"]]
        if not cell["exact"]:
            assert re.match(r"~|…", text), text
            continue
        seen += 1
        plain = cell["plain"], (cell["plain"] - told["corrupted"]) / between
        for numbers in (cell["fresh"], plain):
            assert abs(metric - numbers[0]) <= 1e-4
            assert abs(recovered - numbers[1]) <= 1e-4 * max(1, 1 / abs(between))
        assert abs(float(text.replace("−", "-")) - recovered) <= 0.0051, (cell, text)
    return seen


def test_cancelled_in_the_middle_it_keeps_what_was_run_and_goes_on(open_notebook, signal):
    hold = signal("hold")
    notebook, sweep = opened(open_notebook, hold)
    expect(sweep).to_have_attribute("data-state", "running")
    sweep.locator("[data-action=sweep-cancel]").click()
    expect(sweep).to_have_attribute("data-state", "ready")
    expect(sweep.locator("[data-action=sweep-cancel]")).to_be_hidden()
    hold.unlink()
    exact = int(sweep.get_attribute("data-exact") or 0)
    assert 0 < exact < CELLS
    expect(sweep.locator("[data-part=footer]")).to_contain_text(f"cancelled: {exact} of {CELLS} exact")
    assert matches(notebook, sweep) == exact
    expect(sweep).to_have_attribute("data-exact", str(exact))

    sweep.get_by_role("button", name="Go on").click()
    expect(sweep).to_have_attribute("data-exact", str(CELLS))
    expect(sweep).to_have_attribute("data-state", "ready")
    expect(sweep.locator("[data-part=footer]")).not_to_contain_text("cancelled")
    assert matches(notebook, sweep) == CELLS


def test_a_restart_in_the_middle_is_told_and_the_cell_run_again_sweeps(open_notebook, signal):
    hold = signal("hold")
    notebook, sweep = opened(open_notebook, hold)
    exact = str(sweep.get_attribute("data-exact"))
    notebook.restart_kernel()
    expect(sweep).to_have_attribute("data-state", "restarted")
    expect(sweep.get_by_text("The kernel was restarted", exact=True)).to_be_visible()
    # Nothing waits for the kernel that is gone; what had come stays.
    expect(sweep.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(sweep.locator("[data-part=progress]")).to_be_hidden()
    expect(sweep.get_by_role("button", name="Go on")).to_have_attribute("aria-disabled", "true")
    expect(sweep).to_have_attribute("data-exact", exact)
    assert sum(not re.match(r"~|…|same", text) for text in table(sweep).values()) == int(exact)

    hold.unlink()
    for index in range(2):
        notebook.run_cell(index)
    notebook.until_run(1)
    sweep = notebook.resting_widget()
    expect(sweep).to_have_attribute("data-exact", str(CELLS))
    assert matches(notebook, sweep) == CELLS
