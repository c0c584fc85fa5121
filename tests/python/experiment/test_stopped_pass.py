"""A forward pass whose work was cancelled ends before its next layer, and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.errors import Cancelled
from mi_widgets.experiment.worker import scheduler_of
from mi_widgets.jobs import current_job
from tests.python.families import CLEAN, wrapped


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_cancel_ends_the_pass_before_the_next_layer(family):
    model = wrapped(family)
    exp = mi.Experiment(model, CLEAN, answer=" Mary")
    batch = exp.prompt("clean")
    before = model.forward(batch)
    seen = []

    def cancels(x):
        seen.append(0)
        current_job().cancel()

    def steps():
        yield
        model.forward(batch, {("resid_pre", 0): cancels, ("resid_pre", 1): lambda x: seen.append(1)})
        seen.append("the end")

    job = scheduler_of(model).submit(steps(), op="test")
    with pytest.raises(Cancelled):
        job.wait(60)
    assert job.state == "cancelled"
    assert seen == [0]
    for module in (*model.hf.modules(), *model.shadow.modules()):
        assert not module._forward_pre_hooks
    torch.testing.assert_close(model.forward(batch), before, rtol=0, atol=0)


def test_a_pass_that_nobody_can_cancel_is_run_to_its_end():
    model = wrapped("gpt2")
    batch = mi.Experiment(model, CLEAN, answer=" Mary").prompt("clean")
    assert torch.isfinite(model.forward(batch)).all()


def test_a_lens_that_is_superseded_in_its_pass_ends_there():
    model = wrapped("gpt2")
    exp = mi.Experiment(model, CLEAN, answer=" Mary")
    passed = []
    handles = [
        layer.register_forward_pre_hook(lambda *_, at=at: passed.append(at) or stop(at))
        for at, layer in enumerate(model.hf.transformer.h)
    ]

    def stop(at):
        job = current_job()
        if at == 0 and job is not None and job.op.startswith("lens"):
            job.cancel("superseded")

    try:
        with pytest.raises(Cancelled):
            exp.lens()
        assert passed[-1] == 0
    finally:
        for handle in handles:
            handle.remove()
    assert exp.lens().top_ids.shape[0] == model.n_layers + 1
