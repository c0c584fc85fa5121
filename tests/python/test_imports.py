"""What importing costs, and which way imports may point."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mi_widgets"
JS = ROOT / "js"

HEAVY = ("torch", "transformers", "pandas", "circuitsvis")
WIDGET_LIBRARIES = {"anywidget", "ipywidgets"}

# Every room of the house and the rooms it may import from; a room may always import from itself.
_LEAVES = {"results", "errors", "_version"}
_DOWN = ["model", "interventions", "analysis", "code", "jobs", "experiment"]
ALLOWED: dict[str, set[str]] = {
    "_version": set(),
    "errors": {"_version"},
    "results": {"errors", "_version"},
    **{room: _LEAVES | set(_DOWN[:index]) for index, room in enumerate(_DOWN)},
    "export": _LEAVES,
    "zoo": _LEAVES | {"model"},
    "widgets": _LEAVES | set(_DOWN) | {"export"},
    "cli": _LEAVES | set(_DOWN) | {"export", "widgets", "zoo"},
}
# The package itself re-exports public names, so only the top may read from it.
TOP = {"__init__", "__main__", "cli"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def room(path: Path) -> str:
    """The part of the package that a file belongs to: its folder, or its own name at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST, path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, also inside functions and under TYPE_CHECKING."""
    here = ("mi_widgets", *path.relative_to(PACKAGE).with_suffix("").parts)
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(here[: len(here) - node.level]) if node.level else []
            name = ".".join([*base, *(node.module.split(".") if node.module else [])])
            # `from mi_widgets import model` names a room, `from mi_widgets.model import Model` a thing in it.
            found.update({f"{name}.{alias.name}" for alias in node.names} if name == "mi_widgets" else {name})
    return found


def violations(path: Path, source: str) -> list[str]:
    """Imports of `source`, taken as the file `path`, that point up or sideways."""
    own = room(path)
    wrong = []
    for name in sorted(imports(ast.parse(source), path)):
        top, *rest = name.split(".")
        if top in WIDGET_LIBRARIES and own in {"model", "interventions", "analysis"}:
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
        if top != "mi_widgets" or own in TOP - {"cli"}:
            continue
        other = rest[0] if rest else "__init__"
        known = other in ALLOWED
        if known and other != own and other not in ALLOWED[own]:
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
        if not known and own not in TOP and own != other:
            wrong.append(f"{path.relative_to(ROOT)} reads {name} from the top of the package")
    return wrong


def run_python(code: str) -> str:
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_import_loads_nothing_heavy() -> None:
    loaded = json.loads(run_python("import json, sys, mi_widgets; print(json.dumps(sorted(sys.modules)))"))
    assert "mi_widgets" in loaded
    assert set(HEAVY) & set(loaded) == set()


def test_star_import_gives_every_public_name() -> None:
    code = "import json, mi_widgets as mi; print(json.dumps([hasattr(mi, n) for n in mi.__all__]))"
    answers = json.loads(run_python(code))
    assert answers
    assert all(answers)


def test_every_module_belongs_to_a_known_room() -> None:
    assert {room(path) for path in modules()} - TOP - set(ALLOWED) == set()


def test_python_imports_point_down_only() -> None:
    wrong = [line for path in modules() for line in violations(path, path.read_text(encoding="utf-8"))]
    assert wrong == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("model/handle.py", "from mi_widgets.experiment import Experiment"),
        ("model/handle.py", "def f():\n    import mi_widgets.jobs"),
        ("model/handle.py", "from ..widgets.base import MiWidget"),
        ("model/handle.py", "import ipywidgets as w"),
        ("analysis/lens.py", "from anywidget import AnyWidget"),
        ("interventions/rerun.py", "from mi_widgets import jobs"),
        ("export/html.py", "from mi_widgets.experiment import Experiment"),
        ("zoo/train.py", "from mi_widgets.interventions import rerun"),
        ("experiment.py", "from mi_widgets import AttentionHeads"),
        ("jobs.py", "import mi_widgets"),
        ("results.py", "from mi_widgets.model.tokens import Tokens"),
    ],
)
def test_an_import_that_points_up_is_found(file: str, source: str) -> None:
    assert len(violations(PACKAGE / file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("widgets/base.py", "from mi_widgets.experiment import Experiment\nimport anywidget"),
        ("experiment.py", "from mi_widgets import jobs\nfrom mi_widgets.errors import Cancelled"),
        ("model/handle.py", "from .tokens import Tokens\nfrom mi_widgets.errors import MiWidgetsError"),
        ("cli.py", "import mi_widgets as mi\nfrom mi_widgets.zoo import train"),
    ],
)
def test_an_import_that_points_down_is_allowed(file: str, source: str) -> None:
    assert violations(PACKAGE / file, source) == []


JS_IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["']([^"']+)["']""")
JS_ALLOWED = {"entry": {"views", "lib"}, "views": {"views", "lib"}, "lib": {"lib"}}


def js_layer(path: Path) -> str:
    """`views`, `lib`, or `entry` for the files at the top of js/."""
    first = path.relative_to(JS).parts[0]
    return first if first in {"views", "lib"} else "entry"


def js_violations(path: Path, source: str) -> list[str]:
    """Relative imports of `source`, taken as the file `path`, that point up, and imports of other hosts."""
    wrong = []
    for target in JS_IMPORT.findall(source):
        if target.startswith("."):
            layer = js_layer((path.parent / target).resolve())
            if layer not in JS_ALLOWED[js_layer(path)]:
                wrong.append(f"{path.relative_to(ROOT)} imports {target}")
        elif "//" in target:
            wrong.append(f"{path.relative_to(ROOT)} loads {target} from the network")
    return wrong


def test_js_imports_point_down_only() -> None:
    files = sorted(JS.rglob("*.ts"))
    assert {js_layer(path) for path in files} == set(JS_ALLOWED)
    wrong = [line for path in files for line in js_violations(path, path.read_text(encoding="utf-8"))]
    assert wrong == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("lib/channel.ts", 'import { atlas } from "../views/head-atlas";'),
        ("lib/channel.ts", "export * from '../attention-heads';"),
        ("views/pattern.ts", 'import type { Model } from "../attention-heads";'),
        ("views/pattern.ts", 'const d3 = await import("https://cdn.example/d3");'),
        ("attention-heads.ts", 'import other from "./logit-lens";'),
    ],
)
def test_a_js_import_that_points_up_is_found(file: str, source: str) -> None:
    assert len(js_violations(JS / file, source)) == 1
