"""The first notebook as a newcomer meets it: run all, look, click, ask something else."""

from __future__ import annotations

import json

import numpy as np
from playwright.sync_api import expect

from tests.browser.lab.atlas import assert_shows, atlas_canvas, click_head, read_atlas

# Independent of the package: plain transformers, eager attention, the text tokenised anew.
EAGER = """
import json, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = model.hf.config._name_or_path
plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
ids = AutoTokenizer.from_pretrained(folder)({text!r}, return_tensors="pt").input_ids
with torch.no_grad():
    found = plain(ids, output_attentions=True).attentions
print(json.dumps([layer[0].round(decimals=5).tolist() for layer in found]))
"""
CLEAN = "When Mary and John went to the store, John gave a drink to"


def eager_pattern(notebook, cell: int, text: str) -> np.ndarray:
    return np.array(json.loads(notebook.evaluate_in_kernel(cell, EAGER.format(text=text)).strip().splitlines()[-1]))


def test_run_all_click_a_head_and_ask_about_another_sentence(open_notebook):
    notebook = open_notebook("01_getting_started.ipynb")
    notebook.run_all()
    last = notebook.last_code_cell
    notebook.until_run(last)
    notebook.until_idle()
    widget = notebook.resting_widget()

    pattern = eager_pattern(notebook, last, CLEAN)
    atlas_canvas(widget).scroll_into_view_if_needed()
    assert_shows(read_atlas(widget), pattern)

    click_head(widget, 2, 1)
    expect(widget.locator("[data-part=focus]")).to_contain_text("L2.H1")
    assert "L2H1.pattern" in notebook.until_kernel_prints(last, "print(*heads.selection)", "L2H1")

    asked = "When Anna and Paul went to the park, Paul gave a book to"
    widget.get_by_role("button", name="prompt").first.click()
    field = widget.locator("textarea, input[type=text], [contenteditable=true]").first
    field.fill(asked)
    expect(widget).to_contain_text("prompt changed")
    before = atlas_canvas(widget).get_attribute("data-rev")
    field.press("Enter")
    expect(atlas_canvas(widget)).not_to_have_attribute("data-rev", str(before))
    expect(widget).to_have_attribute("data-state", "ready")
    pattern = eager_pattern(notebook, last, asked)
    assert_shows(read_atlas(widget), pattern)
    assert asked in notebook.evaluate_in_kernel(last, "print(exp.prompt('clean').prompts[0].text)")
