"""A real JupyterLab on a free port of the loopback, with a home of its own that nothing else sees."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOKEN = "lab-test"
_SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    # Saves only when asked, so that no dialog about a changed file comes up in the middle of a test.
    "@jupyterlab/docmanager-extension/plugin.jupyterlab-settings": {"autosave": False},
}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class LabServer:
    """A running server.

    Attributes:
        url: its address, without a slash at the end.
        root: the folder it serves.
        process: the server process.
        log: file with everything it printed.
    """

    url: str
    root: Path
    process: subprocess.Popen[bytes]
    log: Path

    def api(self, path: str, method: str = "GET") -> Any:
        """Call the server's REST interface."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def end_sessions(self) -> None:
        """Shut every kernel down."""
        for session in self.api("sessions"):
            with contextlib.suppress(urllib.error.HTTPError):
                self.api(f"sessions/{session['id']}", "DELETE")

    def stop(self) -> None:
        """End the server, its kernels first."""
        with contextlib.suppress(Exception):
            self.end_sessions()
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def environment(folder: Path) -> dict[str, str]:
    """The variables of a server and its kernels: all they keep at home lies below `folder`, and is seen by no other."""
    homes = {
        "HOME": folder / "home",
        "IPYTHONDIR": folder / "ipython",
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
    }
    for path in homes.values():
        path.mkdir(parents=True, exist_ok=True)
    # Its kernels find compiled what they import, as they do where the package was installed.
    others = ("JUPYTER", "PYTEST", "PYTHONDONTWRITEBYTECODE")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    return {**plain, **{k: str(v) for k, v in homes.items()}, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}


def start(folder: Path, app: str = "jupyterlab") -> LabServer:
    """Start a server that serves `folder/notebooks`.

    Args:
        folder: where everything lies that the server reads and writes.
        app: the module to run: `jupyterlab`, or `notebook` for Notebook 7.

    Raises:
        RuntimeError: it did not answer within 200 s; shows the end of its log.
    """
    root = folder / "notebooks"
    root.mkdir(parents=True, exist_ok=True)
    for name, values in _SETTINGS.items():
        file = folder / "settings" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    port = free_port()
    log = folder / "lab.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                app,
                "--no-browser",
                "--allow-root",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={TOKEN}",
                f"--ServerApp.root_dir={root}",
                "--expose-app-in-browser",
                "--LabApp.extension_manager=readonly",
            ],
            env=environment(folder),
            cwd=root,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    server = LabServer(f"http://127.0.0.1:{port}", root, process, log)
    end = time.monotonic() + 200
    pause = 0.05
    while True:
        try:
            server.api("status")
            return server
        except (urllib.error.URLError, ConnectionError, TimeoutError):  # noqa: PERF203
            if process.poll() is not None or time.monotonic() > end:
                server.stop()
                raise RuntimeError(f"{app} did not start:\n" + log.read_text()[-3000:]) from None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(pause)
