"""The libraries that the heads widget is held against, in a folder of their own.

`python -m tests.benchmarks.heads.peers` sets it up.

CircuitsVis is a dependency already. BertViz goes into `.venv/peers` without what its other views need, and so do the
scripts that it loads from a content network, as npm has them: of jQuery 2 the oldest there is 2.1.0, BertViz asks for
2.0.0. Of CircuitsVis npm has nothing that can be loaded, so the script is made from the one in the Python package.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path

FOLDER = Path(sys.prefix) / "peers"
BERTVIZ = "bertviz==1.4.1"
SERVED = "/files/peers"
"""Where a JupyterLab shows the folder `peers` of the notebooks it serves."""


@dataclass(frozen=True)
class Script:
    """A script of a content network.

    Attributes:
        package: npm package and version.
        inside: its file there.
        name: the file it becomes.
        address: where BertViz looks for it.
    """

    package: str
    inside: str
    name: str
    address: str


_NETWORK = "https://cdnjs.cloudflare.com/ajax/libs"
SCRIPTS = (
    Script("requirejs@2.3.6", "require.js", "require.min.js", f"{_NETWORK}/require.js/2.3.6/require.min.js"),
    Script("d3@5.7.0", "dist/d3.min.js", "d3.min.js", f"{_NETWORK}/d3/5.7.0/d3.min"),
    Script("jquery@2.1.0", "dist/jquery.min.js", "jquery.min.js", f"{_NETWORK}/jquery/2.0.0/jquery.min"),
)


def versions() -> dict[str, str]:
    """Of the peers and their scripts."""
    found = {it.metadata["Name"].lower(): it.version for it in distributions(path=[str(FOLDER)])}
    scripts = dict(script.package.split("@") for script in SCRIPTS)
    return {"circuitsvis": version("circuitsvis"), "bertviz": found["bertviz"], **scripts}


def set_up() -> None:
    """Put BertViz and the scripts into the folder, anew."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--target", str(FOLDER), BERTVIZ], check=True)
    (FOLDER / "scripts").mkdir()
    with tempfile.TemporaryDirectory() as place:
        for script in SCRIPTS:
            pack = ["npm", "pack", "--silent", "--pack-destination", place, script.package]
            packed = subprocess.run(pack, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]
            with tarfile.open(Path(place) / packed) as tar:
                member = tar.extractfile(f"package/{script.inside}")
                assert member is not None
                (FOLDER / "scripts" / script.name).write_bytes(member.read())


def moved(text: str) -> str:
    """BertViz's source with the addresses of its scripts changed to the server's."""
    for script in SCRIPTS:
        # RequireJS is given paths without the ending.
        name = script.name if script.address.endswith(".js") else script.name.removesuffix(".js")
        text = text.replace(script.address, f"{SERVED}/{name}")
    return text


def lay_out(python: Path, served: Path) -> None:
    """Copies for one run: BertViz with the addresses of its scripts changed to the server's, and the scripts.

    Args:
        python: folder for the kernel's path.
        served: folder for the scripts, which the server shows at `SERVED`.

    Raises:
        RuntimeError: nothing was set up.
    """
    if not (FOLDER / "scripts").is_dir():
        raise RuntimeError("The peers are not there: run `python -m tests.benchmarks.heads.peers`.")
    import circuitsvis

    shutil.copytree(FOLDER / "bertviz", python / "bertviz")
    for name in ("model_view.py", "model_view.js"):
        file = python / "bertviz" / name
        file.write_text(moved(file.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copytree(FOLDER / "scripts", served)
    inline = Path(circuitsvis.__file__).parent / "dist" / "cdn" / "iife.js"
    exported = "\nexport const { render, AttentionHeads } = CircuitsVis;\n"
    (served / "circuitsvis.js").write_text(inline.read_text(encoding="utf-8") + exported, encoding="utf-8")


if __name__ == "__main__":
    set_up()
    print("peers: " + ", ".join(f"{name} {number}" for name, number in versions().items()))
