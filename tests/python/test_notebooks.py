"""The patching notebook: it runs from top to bottom, and what it tells is what plain hooks find."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
import torch

from mi_widgets.zoo import names_probe

PATH = Path(__file__).parents[2] / "notebooks" / "03_patching.ipynb"
HEADS = [(1, 3), (2, 0), (2, 1), (2, 3)]
"""Those the notebook calls the second hop."""


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(PATH, as_version=4)


@pytest.fixture(scope="module")
def told(notebook):
    """All names of the notebook after its last cell; its own asserts have held."""
    names = {"__name__": "__main__"}
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"cell {number}", "exec"), names)
    return names


@pytest.fixture(scope="module")
def probe(told):
    from transformers import AutoModelForCausalLM

    folder = told["model"].hf.config._name_or_path
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    return names_probe.Probe(plain, told["model"].tokenizer)


def test_it_is_kept_without_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}
    assert notebook.metadata.kernelspec.name == "python3"


def test_the_baselines_are_those_of_a_plain_forward_pass(told, probe):
    drawn = told["drawn"]
    clean, swapped = (
        probe.difference(probe.last_logits(prompts), drawn).mean() for prompts in (drawn.clean, drawn.swapped)
    )
    assert told["heads"].baselines == pytest.approx({"clean": float(clean), "corrupted": float(swapped)}, abs=1e-4)


def test_what_each_head_recovers_is_what_plain_hooks_recover(told, probe):
    expected = probe.recovered_by_head(told["drawn"], told["drawn"].swapped)
    torch.testing.assert_close(told["heads"].recovered, expected, atol=1e-4, rtol=0)


def test_the_second_hop_looks_where_plain_hooks_see_it_look(told, probe):
    drawn = told["drawn"]
    clean = probe.read(probe.ids(drawn.clean))[2]
    z, size = probe.read(probe.ids(drawn.swapped))[1], probe.model.config.n_embd // probe.heads

    def hand(_module, args):
        changed = args[0].clone()
        changed[:, -1, 2 * size :] = z[0][:, -1, 2 * size :]  # L0H2 and L0H3 are the last two
        return (changed, *args[1:])

    handle = probe.body.h[0].attn.c_proj.register_forward_pre_hook(hand)
    edited = probe.read(probe.ids(drawn.clean))[2]
    handle.remove()
    row = torch.arange(len(drawn.clean))
    for run, attention in (("clean", clean), ("edited", edited)):
        for name, at in (("to io", drawn.io), ("to s1", drawn.s1)):
            mean = attention[:, row, :, -1, torch.tensor(at)].mean(0)  # [layer, head]
            expected = [float(mean[layer, head]) for layer, head in HEADS]
            assert told["looks"][run, name].tolist() == pytest.approx(expected, abs=1e-4)


def test_what_heads_write_directly_is_what_plain_hooks_read(told, probe):
    expected, _ = probe.direct_effects(told["drawn"])
    torch.testing.assert_close(told["receiver"] - told["giver"], expected, atol=1e-3, rtol=0)


def test_handing_the_reading_heads_the_right_giver_mends_a_second_scene(told, probe):
    """The same repair by a hook on the projection to queries, keys and values."""
    drawn, shape = told["drawn"], told["shapes"]["a second scene"]
    texts = []
    for answer, foil, io in zip(drawn.answers[:20], drawn.foils[:20], drawn.io[:20], strict=True):
        first, second = (answer, foil) if io == 2 else (foil, answer)
        a, b, g, r = (name.strip() for name in (first, second, foil, answer))
        texts.append(shape.format(a=a, b=b, g=g, r=r))
    ids = probe.ids(texts)
    width, size = probe.model.config.n_embd, probe.model.config.n_embd // probe.heads
    values = [2 * width + head * size + unit for head in (2, 3) for unit in range(size)]

    def hand(_module, _args, out):
        out = out.clone()
        out[:, 10, values] = out[:, 18, values]
        return out

    handle = probe.body.h[0].attn.c_attn.register_forward_hook(hand)
    with torch.no_grad():
        mended = probe.model(ids, use_cache=False).logits[:, -1]
    handle.remove()
    rows, answers, foils = range(20), probe.words(drawn.answers[:20]), probe.words(drawn.foils[:20])
    plain = probe.last_logits(texts)
    before, after = (logits[rows, answers] - logits[rows, foils] for logits in (plain, mended))
    found = told["tried"].loc["a second scene"]
    assert found["metric"] == pytest.approx(float(before.mean()), abs=1e-4)
    assert found["right"] == float((before > 0).float().mean()) == 0
    assert found["right when repaired"] == float((after > 0).float().mean()) == 1
