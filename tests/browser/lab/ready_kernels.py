"""Kernels that have imported torch and transformers before they start.

A kernel of its own spends eight seconds of processor time on these imports, more than a test on what it shows. Here one
process imports them once and forks a kernel whenever the server starts one. ipykernel, ipywidgets and the widgets of
this package are imported by each kernel itself, as always: they look for a running shell while they are imported.

The server runs the command in the kernelspec, `client`, and signals it and waits for it as for any kernel. The client
asks the process with the imports, `serve`, for the fork, passes signals on, and ends when the kernel ends. When a
client is gone its kernel ends too.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "ready"
"""Name of the kernelspec; `ready-7.4` has the ipykernel of the overlay 7.4 (see .ci/overlays.py)."""
_OVERLAYS = Path(sys.prefix) / "kernels"
_LATER = ("ipykernel", "ipywidgets", "anywidget", "comm", "IPython", "traitlets", "zmq", "tornado")


@contextmanager
def ready_kernels(kernelspecs: Path, environment: dict[str, str]) -> Iterator[None]:
    """Offer such kernels to a server.

    Args:
        kernelspecs: where the server looks for kernelspecs.
        environment: in which to import: the server's own.
    """
    with tempfile.TemporaryDirectory(prefix="mi-") as folder:  # a short path: a socket's must be under 100 letters
        door, log = Path(folder) / "door", Path(folder) / "log"
        _write_kernelspecs(kernelspecs, door)
        process = _serving(door, log, environment)
        try:
            yield
        finally:
            died = process.poll() is not None
            process.kill()
            process.wait()
            assert not died, "the process with the imports has died:\n" + log.read_text()[-3000:]


def _write_kernelspecs(kernelspecs: Path, door: Path) -> None:
    # The overlay of the lowest versions has another transformers: it cannot share these imports.
    for overlay in (None, *_OVERLAYS.glob("[0-9]*")):
        name = f"{PREFIX}-{overlay.name}" if overlay else PREFIX
        spec = {
            "argv": [sys.executable, "-IS", __file__, "client", str(door), "{connection_file}"],
            "display_name": name,
            "language": "python",
            "env": {"PYTHONPATH": str(overlay)} if overlay else {},
        }
        (kernelspecs / name).mkdir(parents=True)
        (kernelspecs / name / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _serving(door: Path, log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with socket.socket(socket.AF_UNIX) as listening, log.open("wb") as out:
        # Bound here, so that a kernel may be asked for at once; it starts when the imports are done.
        listening.bind(str(door))
        listening.listen()
        return subprocess.Popen(
            [sys.executable, __file__, "serve", str(listening.fileno())],
            pass_fds=[listening.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def serve(listening: socket.socket) -> None:
    """Import what is slow, then fork a kernel for every client. Returns in the kernels, never here."""
    # In a kernel the folder of this file is not on the path.
    sys.path.remove(str(Path(__file__).parent))
    import transformers  # noqa: F401

    import mi_widgets as mi

    _ = mi.load, mi.wrap, mi.Experiment  # looked up, they import the engine and with it torch
    early = [name for name in _LATER if name in sys.modules]
    assert not early, f"{early} must be imported by the kernel itself"
    # The kernels share this memory as long as nobody writes to it.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listening.accept()
        request, streams, *_ = socket.recv_fds(connection, 1_000_000, 3)
        child = os.fork()
        if child == 0:
            listening.close()
            become_kernel(json.loads(request), streams, connection)
            return
        for stream in streams:
            os.close(stream)
        connection.sendall(str(child).encode())
        connection.close()


def become_kernel(request: dict, streams: list[int], connection: socket.socket) -> None:
    """Turn this process into the kernel that a client asked for, and run it until it ends."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[:0] = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.argv = ["ipykernel_launcher", "-f", request["file"]]

    def end_with_the_client() -> None:
        connection.recv(1)
        os._exit(1)

    threading.Thread(target=end_with_the_client, daemon=True).start()
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()


def client(door: str, file: str) -> None:
    """Stand in for a kernel: what the server does to this process happens to the kernel."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(door)
        request = {"cwd": str(Path.cwd()), "env": dict(os.environ), "file": file}
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        kernel = int(connection.recv(20))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _frame: os.kill(kernel, number))
        connection.recv(1)  # nothing comes: it returns when the kernel has ended


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(socket.socket(fileno=int(sys.argv[2])))
    else:
        client(*sys.argv[2:])
