"""The lowest versions that pyproject.toml admits really work.

`make setup-test` lays them over the environment in `.venv/kernels/floors` (see `.ci/overlays.py`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = Path(sys.prefix) / "kernels" / "floors"
PROMPT = "When Mary and John went to the store, John gave a drink to"
PACKAGES = ("transformers", "anywidget", "ipywidgets", "ipykernel")

# Runs under the lowest versions. The comparison is a plain eager model that the package never saw.
CODE = f"""
import importlib.metadata, json
import torch, transformers, anywidget, ipywidgets, ipykernel
import mi_widgets as mi

model = mi.load()
exp = mi.Experiment(model, {PROMPT!r})
values = exp.patterns().values
plain = type(model.hf).from_pretrained(model.hf.name_or_path, attn_implementation="eager").float().eval()
ids = torch.tensor([list(model.tokens({PROMPT!r}).ids)])
with torch.no_grad():
    expected = torch.stack([p[0] for p in plain(ids, output_attentions=True).attentions])
widget = mi.AttentionHeads(exp)
print(json.dumps({{
    "versions": {{name: importlib.metadata.version(name) for name in {PACKAGES!r}}},
    "files": [module.__file__ for module in (transformers, anywidget, ipywidgets, ipykernel)],
    "shape": list(values.shape),
    "expected_shape": list(expected.shape),
    "difference": float((values - expected).abs().max()),
    "spread": float(expected.std()),
    "error": str(widget.last_error) if widget.last_error else None,
}}))
widget.close()
"""


def stated(package: str) -> str:
    """The lowest version in pyproject.toml, read as text."""
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(rf'^  "{package}>=([\d.]+)[,"]', lines, flags=re.MULTILINE)
    return str(version)


def same_release(left: str, right: str) -> bool:
    """Whether two versions differ in trailing zeros at most."""
    return re.sub(r"(\.0)+$", "", left) == re.sub(r"(\.0)+$", "", right)


@pytest.fixture(scope="module")
def under_floors() -> dict[str, object]:
    assert FLOORS.is_dir(), "the overlay is missing: run `make setup-test`"
    answer = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "PYTHONPATH": str(FLOORS)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, object] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_overlay_holds_the_lowest_stated_version(under_floors: dict[str, object], package: str) -> None:
    versions = under_floors["versions"]
    assert isinstance(versions, dict)
    assert same_release(versions[package], stated(package))


def test_overlay_is_what_was_imported(under_floors: dict[str, object]) -> None:
    files = under_floors["files"]
    assert isinstance(files, list)
    assert len(files) == len(PACKAGES)
    assert all(Path(file).is_relative_to(FLOORS) for file in files)


def test_default_checkpoint_and_widget_work(under_floors: dict[str, object]) -> None:
    assert under_floors["shape"] == under_floors["expected_shape"]
    assert isinstance(under_floors["difference"], float)
    assert under_floors["difference"] < 1e-5
    assert isinstance(under_floors["spread"], float)
    assert under_floors["spread"] > 0.05
    assert under_floors["error"] is None
