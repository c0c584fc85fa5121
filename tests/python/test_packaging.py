"""The distributions: what they contain, that the bundle is fresh, and that a user can install them.

Everything is built from a copy of the source tree, so that the bundle in the checkout, which
other tests load, is left alone.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "When Mary and John went to the store, John gave a drink to"
MADE = shutil.ignore_patterns(
    ".git", ".venv", "dist", "build", "out", "static", "__pycache__", ".*_cache", ".ipynb_checkpoints"
)

pytestmark = pytest.mark.packaging


def not_source(folder: str, names: list[str]) -> set[str]:
    """What a copy of the sources leaves out; packages of npm are copied whole, with their own `dist`."""
    return set() if "node_modules" in Path(folder).parts else MADE(folder, names)


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Runs a command without the variables that would let it see this checkout or its tools."""
    hidden = ("PYTHON", "VIRTUAL_ENV", "SKIP_JUPYTER_BUILDER", "HATCH_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    answer = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def source_hash(tree: Path) -> str:
    """The hash of what a bundle is made from: path, NUL, content, NUL of each file, in order of path."""
    files = [path for path in (tree / "js").rglob("*") if path.is_file()] + [tree / "package-lock.json"]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(tree).as_posix(), path) for path in files):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@pytest.fixture(scope="module")
def no_tools(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH without Node, or anything else."""
    folder = tmp_path_factory.mktemp("no-tools")
    assert shutil.which("node", path=str(folder)) is None
    return str(folder)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist of the current sources, built with Node from a tree that has no bundle yet."""
    folder = tmp_path_factory.mktemp("sdist")
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=not_source)
    assert not (tree / "mi_widgets" / "static").exists()
    # The Node that `make` put into the environment counts, also when pytest was started without make.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    build = [sys.executable, "-m", "build", "--sdist", "--no-isolation"]
    run(*build, "--outdir", folder, cwd=tree, PATH=path)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder / "unpacked", filter="data")
        else:
            tar.extractall(folder / "unpacked")
    (top,) = (folder / "unpacked").iterdir()
    return top


@pytest.fixture(scope="module")
def wheel(sdist: Path, no_tools: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the unpacked sdist gives on a machine without Node."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    run(*command, cwd=sdist, PATH=no_tools)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that holds the wheel.

    Its dependencies are read from the environment that runs the tests, behind its own packages: torch
    is not installed twice. Path files in there are not followed, so this checkout stays out of sight.
    """
    folder = tmp_path_factory.mktemp("user") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    run(*pip, wheel, cwd=folder.parent)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n", encoding="utf-8")
    return python


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def read_metadata(wheel: Path) -> list[str]:
    (name,) = [name for name in names_in(wheel) if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(name).decode()
    return [f"{key}: {value}" for key, value in Parser().parsestr(text, headersonly=True).items()]


def weights(tree: Path) -> list[str]:
    """The files of the shipped checkpoints, relative to `tree`."""
    folder = tree / "mi_widgets" / "zoo" / "weights"
    return sorted(path.relative_to(tree).as_posix() for path in folder.rglob("*") if path.is_file())


def test_sdist_can_be_rebuilt_from_what_it_lists(sdist: Path) -> None:
    wanted = (
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "constraints.txt",
        "pyproject.toml",
        "package.json",
        "package-lock.json",
        "tsconfig.json",
        "biome.json",
        ".npmrc",
        ".ci/run",
        "js/build.mjs",
        "js/attention-heads.ts",
        "js/logit-lens.ts",
        "mi_widgets/py.typed",
        "notebooks/01_getting_started.ipynb",
        "notebooks/02_attention_heads.ipynb",
        "notebooks/03_patching.ipynb",
        "notebooks/04_logit_lens.ipynb",
        "tests/python/test_packaging.py",
    )
    assert [name for name in wanted if not (sdist / name).is_file()] == []
    sources = {path.relative_to(ROOT) for path in (ROOT / "js").rglob("*") if path.is_file()}
    assert {path.relative_to(sdist) for path in (sdist / "js").rglob("*") if path.is_file()} == sources
    unwanted = {"node_modules", "__pycache__", ".venv", ".git", "dist"}
    assert {part for path in sdist.rglob("*") for part in path.parts} & unwanted == set()


def test_bundle_in_the_sdist_is_made_from_its_sources(sdist: Path) -> None:
    manifest = json.loads((sdist / "mi_widgets" / "static" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["hash"] == source_hash(sdist)


def test_bundle_in_the_checkout_is_fresh() -> None:
    manifest = json.loads((ROOT / "mi_widgets" / "static" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["hash"] == source_hash(ROOT), "the bundle is stale: run `make build`"


def test_lock_file_serves_every_platform_and_names_no_registry() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    listed = {key.rpartition("node_modules/")[2] for key in packages}
    optional = {name for package in packages.values() for name in package.get("optionalDependencies", ())}
    # A lock written where a registry lacked some of these makes `npm ci` fail everywhere.
    assert optional - listed == set()
    assert optional
    assert [name for name, package in packages.items() if "resolved" in package] == []


def test_wheel_holds_the_package_its_bundle_and_its_checkpoints(sdist: Path, wheel: Path) -> None:
    names = set(names_in(wheel))
    static = sdist / "mi_widgets" / "static"
    manifest = json.loads((static / "manifest.json").read_text(encoding="utf-8"))
    assert {path.name for path in static.iterdir()} == {"manifest.json", *manifest["files"]}
    assert {f"mi_widgets/static/{name}" for name in ("manifest.json", *manifest["files"])} <= names

    shipped = weights(ROOT)
    default = "mi_widgets/zoo/weights/tiny-names/"
    assert {default + name for name in ("config.json", "model.safetensors", "tokenizer.json")} <= set(shipped)
    assert set(shipped) <= names

    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mi_widgets").rglob("*.py")}
    assert code | {"mi_widgets/py.typed"} <= names


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names_in(wheel)}
    assert len(tops) == 2
    assert {top for top in tops if not re.fullmatch(r"mi_widgets-[\w.]+\.dist-info", top)} == {"mi_widgets"}
    endings = {Path(name).suffix for name in names_in(wheel) if name.startswith("mi_widgets/")}
    assert endings & {".ts", ".pyc", ".map", ".ipynb", ".bin", ".pt"} == set()
    assert wheel.stat().st_size < 6_000_000


def test_wheel_metadata(wheel: Path) -> None:
    lines = read_metadata(wheel)
    namespace: dict[str, str] = {}
    exec((ROOT / "mi_widgets" / "_version.py").read_text(encoding="utf-8"), namespace)
    assert {
        "Name: mi-widgets",
        f"Version: {namespace['__version__']}",
        "License-Expression: MIT",
        "Requires-Python: >=3.10",
        "License-File: LICENSE",
    } <= set(lines)
    assert "Classifier: Typing :: Typed" in lines
    for line in lines:
        if line.startswith("Requires-Dist: ") and "extra ==" not in line:
            assert ">=" in line, f"states no lowest version: {line}"


def test_every_imported_package_is_declared(wheel: Path) -> None:
    declared = {
        canonicalize_name(Requirement(line.removeprefix("Requires-Dist: ")).name)
        for line in read_metadata(wheel)
        if line.startswith("Requires-Dist: ")
    }
    packages = metadata.packages_distributions()
    undeclared = set()
    for path in (ROOT / "mi_widgets").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for name in (name.split(".")[0] for name in names):
                if name == "mi_widgets" or name in sys.stdlib_module_names:
                    continue
                owners = {canonicalize_name(owner) for owner in packages.get(name, [name])}
                if not owners & declared:
                    undeclared.add(f"{name} in {path.relative_to(ROOT)}")
    assert undeclared == set()


def test_wheel_works_without_node_and_without_the_sources(installed: Path, no_tools: str, tmp_path: Path) -> None:
    code = f"""
import json, shutil
import mi_widgets as mi
model = mi.load()
widget = mi.AttentionHeads(model, {PROMPT!r})
print(json.dumps({{
    "node": shutil.which("node"),
    "file": mi.__file__,
    "shape": [model.n_layers, model.n_heads, model.d_model],
    "bundle": len(widget._esm),
    "error": str(widget.last_error) if widget.last_error else None,
}}))
widget.close()
"""
    answer = run(installed, "-c", code, cwd=tmp_path, PATH=no_tools, HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    found = json.loads(answer.splitlines()[-1])
    assert found["node"] is None
    assert Path(found["file"]).is_relative_to(installed.parent.parent)
    assert found["shape"] == [4, 4, 96]
    assert found["bundle"] > 1000
    assert found["error"] is None


def test_console_script_runs(installed: Path, no_tools: str, tmp_path: Path) -> None:
    answer = run(installed.parent / "mi-widgets", "--help", cwd=tmp_path, PATH=no_tools, HOME=str(tmp_path))
    assert "demo" in answer
