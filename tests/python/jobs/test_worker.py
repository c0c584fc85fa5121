"""The life of a worker: idle, forgotten, at the interpreter's end."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import weakref

import pytest

from mi_widgets.jobs import Scheduler
from tests.python.jobs.gates import LIMIT, record


def test_the_idle_worker_ends_and_starts_again():
    scheduler = Scheduler("idle", idle_seconds=0.02)
    scheduler.run(record([], "x"))
    first = scheduler.worker
    if first is not None:
        first.join(LIMIT)
        assert not first.is_alive()
    assert scheduler.worker is None
    assert scheduler.run(record([], "again")) == "again"


def test_the_idle_worker_keeps_nothing_of_its_last_job_alive():
    class Model:
        pass

    scheduler, model = Scheduler("weak", idle_seconds=600), Model()
    gone = weakref.ref(model)

    def steps(model):
        yield model
        return id(model)

    job = scheduler.submit(steps(model), on_partial=lambda *_: None)
    job.wait(LIMIT)
    scheduler.run(record([], "the worker has let go of the job before"))
    del model
    gc.collect()
    assert gone() is None
    worker = scheduler.worker
    assert worker is not None
    del scheduler, job
    gc.collect()
    worker.join(LIMIT)  # a collected scheduler sends its worker home at once
    assert not worker.is_alive()


def test_a_scheduler_nobody_holds_finishes_its_job():
    assert Scheduler("held by its job").submit(record([], "done", 50)).wait(LIMIT) == "done"


EXIT = textwrap.dedent(
    """
    import torch
    from mi_widgets.jobs import Scheduler

    a = torch.randn(700, 700)

    def steps():
        try:
            while True:
                for _ in range(4):
                    a @ a
                yield "chunk"
        finally:
            print("closed", flush=True)

    stream = Scheduler("exit", idle_seconds=600).stream(steps(), size=1_000_000)
    next(stream)
    """
)


@pytest.mark.parametrize("ending", ["", "import sys; sys.exit()"])
def test_the_interpreter_exits_cleanly_with_a_job_inside_torch(ending):
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", EXIT + ending], capture_output=True, text=True, timeout=600)
        assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
