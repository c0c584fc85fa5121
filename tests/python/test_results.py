"""Results: frozen, float32 on the CPU, saved and read back whole."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys

import pytest
import torch

import mi_widgets as mi
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, experiment, wrapped


@pytest.fixture(scope="module")
def exp():
    return experiment(wrapped("gemma2"))


@pytest.fixture(scope="module")
def results(exp):
    pair = mi.Experiment(
        exp.model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], [" Mary", " Mary"], [" John", " Anna"]
    )
    given = mi.Patch(source=torch.ones(15, 32))
    return {
        "run": exp.run(mi.Zero("z", 1)),
        "two prompts": pair.run(mi.Zero("z", 1)),
        "no corrupted": mi.Experiment(exp.model, CLEAN, answer=" Mary").run(()),
        "sweep": exp.sweep("z", layers=[1], progress=False),
        "part of the way": exp.sweep("resid_pre", mi.Patch(alpha=0.5), layers=[1], positions=[3, 4], progress=False),
        "from a tensor": exp.sweep("resid_pre", given, layers=[1], positions=[3], progress=False),
        "ablation": exp.sweep("z", mi.Zero(), layers=[0], heads=[2], progress=False),
        "patterns": exp.patterns(layers=1),
        "component": exp.attribution(),
        "head": exp.attribution("head"),
        "source": exp.attribution("source"),
    }


NAMES = ["run", "two prompts", "no corrupted", "sweep", "part of the way", "from a tensor", "ablation", "patterns",
         "component", "head", "source"]  # fmt: skip


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a.nan_to_num(7e7), b.nan_to_num(7e7))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_read_back(results, name, tmp_path):
    result = results[name]
    read = type(result).load(result.save(tmp_path / "result.safetensors"))
    for field in dataclasses.fields(result):
        assert equal(getattr(result, field.name), getattr(read, field.name)), field.name
    assert read.to_frame().equals(result.to_frame())


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_itself_and_no_other(results, name, tmp_path):
    result = results[name]
    read = type(result).load(result.save(tmp_path / "result.safetensors"))
    assert result == result
    assert result != read
    assert len({result, read}) == 2


@pytest.mark.parametrize("name", NAMES)
def test_frozen_and_float32_on_the_cpu(results, name):
    result = results[name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.provenance = None
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        several = value.values() if isinstance(value, dict) else [value]
        for tensor in several:
            if isinstance(tensor, torch.Tensor):
                assert tensor.device.type == "cpu"
                assert tensor.dtype == (torch.bool if field.name in ("exact", "same") else torch.float32)
                assert not tensor.requires_grad
    about = result.provenance
    assert (about.model, about.dtype, about.device) == ("gemma2", "float32", "cpu")
    assert re.fullmatch("eager(, products on [a-z0-9, ]+)?", about.kernel)
    assert about.milliseconds > 0
    assert about.question
    assert about.recomputed


def test_a_read_sweep_still_gives_runnable_edits(exp, results, tmp_path):
    for name in ("part of the way", "from a tensor"):
        read = mi.SweepResult.load(results[name].save(tmp_path / "sweep.safetensors"))
        edit = read.edit(1, position=3)
        assert edit == results[name].edit(1, position=3)
        assert exp.run(edit).metric == pytest.approx(float(read.metric[0, 0]), abs=1e-5)


def test_a_sweep_is_read_in_a_fresh_interpreter(results, tmp_path):
    """Nothing but the result was imported there, and no model is needed."""
    path = results["part of the way"].save(tmp_path / "sweep.safetensors")
    code = f"import mi_widgets as mi; print(mi.SweepResult.load({str(path)!r}).edit(1, position=3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip() == "patch L1.resid_pre@3 by 0.5", done.stderr


def test_another_kind_of_file_is_refused(results, tmp_path):
    path = results["sweep"].save(tmp_path / "sweep.safetensors")
    with pytest.raises(mi.BadInput, match="holds a SweepResult, not a Result"):
        mi.Result.load(path)


def test_a_file_names_no_code_outside_the_package(results, tmp_path):
    """A header that asks for a class from elsewhere is refused, and nothing of it is imported."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = results["sweep"].save(tmp_path / "sweep.safetensors")
    with safe_open(str(path), framework="pt") as file:
        header = file.metadata()
    changed = header["plain"].replace('"module": "mi_widgets.interventions.edit_kinds"', '"module": "antigravity"')
    changed = changed.replace('"type": "Patch"', '"type": "Popen"')
    assert changed != header["plain"]
    save_file(load_file(str(path)), str(path), metadata=header | {"plain": changed})
    with pytest.raises(mi.BadInput, match="Popen"):
        mi.SweepResult.load(path)
    assert "antigravity" not in sys.modules


def test_frame_columns(results):
    columns = {
        "run": ["prompt", "metric", "recovered"],
        "sweep": ["site", "layer", "head", "position", "token", "metric", "recovered", "stderr", "exact"],
        "patterns": ["layer", "head", "dest", "src", "weight"],
        "component": ["component", "layer", "head", "position", "value"],
    }
    for name, expected in columns.items():
        assert list(results[name].to_frame().columns) == expected
