"""Lays other versions of a dependency over the environment, each in a folder for PYTHONPATH.

`make setup-test` runs this. Each overlay is a folder under `.venv/kernels`:

* `6.31`, `7.3`, `7.4` hold one version of ipykernel each, and come with a kernelspec
  (`mi-ipykernel-6.31`, ...) in `.venv/share/jupyter/kernels`, where every Jupyter of the
  environment finds it;
* `floors` holds the lowest versions that pyproject.toml admits of the packages in `FLOORS`.

An overlay costs about a second and a megabyte, where an environment of its own would cost
minutes and gigabytes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# ipykernel 7.4 needs Python 3.11.
IPYKERNELS = ("6.31", "7.3", "7.4") if sys.version_info >= (3, 11) else ("6.31", "7.3")
FLOORS = ("transformers", "anywidget", "ipywidgets", "ipykernel")

KERNELS = Path(sys.prefix) / "kernels"
KERNELSPECS = Path(sys.prefix) / "share" / "jupyter" / "kernels"


def floor(package: str) -> str:
    """The lowest version of `package` that mi-widgets admits, as `package==version`."""
    for line in requires("mi-widgets") or ():
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) == package:
            lowest = [clause.version for clause in requirement.specifier if clause.operator == ">="]
            if lowest:
                return f"{package}=={lowest[0]}"
    raise SystemExit(f"pyproject.toml states no lowest version of {package}.")


def installed(folder: Path | None = None) -> dict[str, str]:
    """Name and version of what the environment holds, seen through `folder` where it is given."""
    path = [*([str(folder)] if folder else ()), *sys.path]
    found: dict[str, str] = {}
    for distribution in distributions(path=path):
        found.setdefault(canonicalize_name(distribution.metadata["Name"]), distribution.version)
    return found


def unmet(folder: Path) -> list[str]:
    """What the packages in `folder` require and find neither there nor in the environment."""
    versions = installed(folder)
    missing = set()
    for distribution in distributions(path=[str(folder)]):
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            version = versions.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                missing.add(f"{requirement.name}{requirement.specifier}")
    return sorted(missing)


def lay(name: str, packages: list[str]) -> Path:
    """Installs `packages` and what they need beyond the environment into a fresh folder."""
    folder = KERNELS / name
    shutil.rmtree(folder, ignore_errors=True)
    wanted = packages
    for _ in range(5):
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--upgrade", "--target", str(folder), *wanted], check=True)
        wanted = unmet(folder)
        if not wanted:
            return folder
    raise SystemExit(f"The overlay {name} still lacks {', '.join(wanted)}.")


def write_kernelspec(name: str, label: str, folder: Path) -> None:
    """Writes a kernelspec whose Python sees `folder` before the environment."""
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": label,
        "language": "python",
        "env": {"PYTHONPATH": str(folder)},
        "metadata": {"debugger": True},
    }
    target = KERNELSPECS / name
    target.mkdir(parents=True, exist_ok=True)
    (target / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Lays all overlays."""
    for version in IPYKERNELS:
        folder = lay(version, [f"ipykernel=={version}.*"])
        write_kernelspec(f"mi-ipykernel-{version}", f"Python (ipykernel {version})", folder)
    floors = lay("floors", [floor(package) for package in FLOORS])
    write_kernelspec("mi-floors", "Python (lowest supported versions)", floors)
    print(f"overlays: {', '.join(sorted(path.name for path in KERNELS.iterdir()))}")


if __name__ == "__main__":
    main()
