"""Intervening on heads with a kernel behind the page: the numbers are the engine's own."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.lab.atlas import click_head
from tests.browser.lab.conftest import EXPERIMENT

WIDGET = "widget = mi.AttentionHeads(exp)\nwidget"
LONG = """
import torch, transformers
import mi_widgets as mi
torch.manual_seed(0)
small = mi.load()
config = transformers.LlamaConfig(
    vocab_size=len(small.tokenizer), max_position_embeddings=4096, hidden_size=32, intermediate_size=32,
    num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, bos_token_id=0, eos_token_id=0,
)
model = mi.wrap(transformers.LlamaForCausalLM(config).eval(), small.tokenizer)
words = [i for i in range(len(small.tokenizer)) if i not in small.tokenizer.all_special_ids]
exp = mi.Experiment(model, clean=[words[(7 * i) % len(words)] for i in range(4096)], answer=words[0])
"""


def opened(open_notebook, first: str = EXPERIMENT):
    notebook = open_notebook([first, WIDGET, "pass"])
    for index in range(2):
        notebook.run_cell(index)
    notebook.until_run(1)
    return notebook, notebook.resting_widget(0)


def kind(widget, name: str):
    return widget.locator("[data-part=intervene]").get_by_role("radio", name=name, exact=True)


def shown(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{abs(value):.2f}"


def test_an_ablation_is_previewed_kept_shown_and_undone(open_notebook):
    notebook, widget = opened(open_notebook)
    click_head(widget, 1, 1)
    kind(widget, "zero").click()
    effect = widget.locator("[data-part=effect]")
    expect(effect).to_contain_text("ablated")
    printed = notebook.until_kernel_prints(
        2,
        "print('is', exp.run([mi.Zero('z', layer=1, head=1)], base='clean').metric, exp.run((), base='clean').metric)",
        "is",
    )
    after, base = (float(it) for it in re.findall(r"-?\d+\.\d+", printed)[:2])
    expect(effect).to_contain_text(shown(base))
    expect(effect).to_contain_text(shown(after))
    assert notebook.until_kernel_prints(2, "print('edits', len(exp.edits))", "edits").strip() == "edits 0"
    widget.locator("[data-action=keep]").click()
    expect(widget.locator("[data-part=edits] [data-action=toggle-edit]")).to_have_count(1)
    assert "1 clean" in notebook.until_kernel_prints(2, "print('edits', len(exp.edits), exp.base)", "edits")
    widget.get_by_role("radio", name="edited", exact=True).click()
    expect(widget).to_have_attribute("data-run", "edited")
    widget.locator("[data-action=undo]").click()
    expect(widget.locator("[data-part=edits] [data-action=toggle-edit]")).to_have_count(0)
    assert "0 corrupted" in notebook.until_kernel_prints(2, "print('edits', len(exp.edits), exp.base)", "edits")


def test_every_kind_answers_and_what_a_head_writes_is_told(open_notebook):
    notebook, widget = opened(open_notebook)
    click_head(widget, 1, 1)
    effect = widget.locator("[data-part=effect]")
    for name in ("mean", "resample"):
        kind(widget, name).click()
        expect(effect).to_contain_text("ablated")
        expect(effect).to_have_attribute("aria-busy", "false")
        assert not widget.locator(".mi-trouble").is_visible()
    kind(widget, "pattern…").click()
    expect(effect).to_contain_text("new row")
    expect(effect).to_have_attribute("aria-busy", "false")
    assert not widget.locator(".mi-trouble").is_visible()
    kind(widget, "knock out").click()
    canvas = widget.locator("[data-part=focus] canvas")
    canvas.focus()
    for _ in range(3):
        notebook.page.keyboard.press("ArrowLeft")
    notebook.page.keyboard.press("Enter")
    expect(effect).to_contain_text("cut")
    widget.locator("[data-part=intervene]").get_by_role("radio", name="writes").click()
    writes = widget.locator("[data-part=writes]")
    expect(writes).to_contain_text("promotes")
    expect(writes).to_contain_text("direct effect")
    widget.get_by_role("radio", name="value-weighted").click()
    expect(widget.locator("[data-part=focus-note]")).to_contain_text("colours end at")


def test_4096_tokens_are_opened_panned_and_zoomed(open_notebook):
    notebook, widget = opened(open_notebook, LONG)
    click_head(widget, 1, 1)
    canvas = widget.locator("[data-part=focus] canvas")
    expect(widget.locator("[data-part=focus-note]")).to_contain_text("4096 tokens in")
    canvas.focus()
    for _ in range(12):
        notebook.page.keyboard.press("+")
    expect(canvas).to_have_attribute("data-window", re.compile(r" \d{1,2}$"))
    notebook.page.keyboard.press("ArrowLeft")
    readout = widget.locator("[data-part=readout]")
    expect(readout).to_contain_text("exactly")
    rough, exact = (float(it) for it in re.findall(r"(\d+\.\d+)", readout.inner_text())[-2:])
    assert abs(rough - exact) < 0.01
