"""A glance never says "the same" of what a stamp tells apart, and says it of what nobody has touched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mi_widgets as mi
from mi_widgets.model import handle
from mi_widgets.model.glance import Glance
from mi_widgets.model.stamp import stamp_of
from tests.python.families import CLEAN, build, experiment, word_tokenizer


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Dropout(0.1)
        self.register_buffer("seen", torch.zeros(1))
        self.gain = nn.Parameter(torch.ones(1))
        self.factor, self.names = 2.0, ["x", "y"]

    def forward(self, x):
        return self.b(self.a(x)) * self.factor * self.gain


def twin(x):
    return x


CHANGES = {
    "other storage": lambda m: setattr(m.a.weight, "data", torch.ones(2, 2)),
    "a parameter in place": lambda m: nn.init.zeros_(m.a.weight),
    "a buffer in place": lambda m: m.seen.add_(1),
    "an equal parameter": lambda m: setattr(m, "gain", nn.Parameter(torch.ones(1))),
    "no bias": lambda m: setattr(m.a, "bias", None),
    "another module": lambda m: setattr(m, "b", nn.Dropout(0.1)),
    "one more module": lambda m: m.add_module("c", nn.Identity()),
    "a hook": lambda m: m.a.register_forward_hook(lambda *_: None),
    "a hook before": lambda m: m.a.register_forward_pre_hook(lambda *_: None),
    "training": lambda m: m.b.train(not m.b.training),
    "a number": lambda m: setattr(m, "factor", 3.0),
    "inside a list": lambda m: m.names.append("z"),
    "a forward": lambda m: setattr(m.a, "forward", twin),
    "dtype": lambda m: m.double(),
    "transposed in its storage": lambda m: setattr(m.a.weight, "data", m.a.weight.data.T),
    "a class": lambda m: setattr(m.b, "__class__", nn.Identity),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_seen(change):
    model = Small()
    glance, stamp = Glance(model), stamp_of(model)
    assert glance.same()
    CHANGES[change](model)
    assert stamp_of(model) != stamp, "the stamp must tell it too, or this tests nothing"
    assert not glance.same()
    assert Glance(model).same()


def test_passes_and_use_leave_it_the_same():
    hf = build("llama")
    model = mi.wrap(hf, word_tokenizer())
    glance = Glance(hf)
    hf(torch.tensor([word_tokenizer()(CLEAN)["input_ids"]]))
    exp = experiment(model)
    exp.run([mi.Zero("z", 1, head=0)])
    exp.sweep("resid_pre", progress=False)
    assert glance.same()
    assert not glance.opaque


def test_what_cannot_be_told_is_never_the_same():
    with torch.inference_mode():
        made = nn.Linear(2, 2)
    assert not Glance(made).same()
    fetched = nn.Linear(2, 2)
    fetched._hf_hook = object()
    assert not Glance(fetched).same()
    assert Glance(fetched).opaque
    assert Glance(nn.Linear(2, 2, device="meta")).opaque


def test_a_replaced_tensor_beside_the_weights_is_left_to_the_stamp():
    model = Small()
    model.remembered = torch.zeros(3)
    glance, stamp = Glance(model), stamp_of(model)
    model.remembered = torch.ones(3)
    assert not glance.same()
    assert stamp_of(model) == stamp


class Unlike:
    """Cannot be compared."""

    __hash__ = None

    def __eq__(self, other):
        raise KeyError(other)


def test_an_attribute_that_cannot_be_compared_is_left_to_the_stamp():
    model = Small()
    model.odd = Unlike()
    glance, stamp = Glance(model), stamp_of(model)
    assert glance.same()
    model.odd = Unlike()
    assert not glance.same()
    assert stamp_of(model) == stamp


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_changes_while_it_is_looked_at_is_told_at_the_next_look_at_the_latest(monkeypatch, when):
    hf = build("llama")
    model = mi.wrap(hf, word_tokenizer())

    def edit():
        with torch.no_grad():
            hf.lm_head.weight.mul_(2)

    def stamp_beside_a_thread(looked_at):
        if when == "before":
            edit()
        found = stamp_of(looked_at)
        if when == "after":
            edit()
        return found

    hf.model.norm.weight.data = hf.model.norm.weight.data.clone()
    with monkeypatch.context() as patched:
        patched.setattr(handle, "stamp_of", stamp_beside_a_thread)
        first = model.refresh()
    words = [str(change) for change in (first, model.refresh()) if change is not None]
    assert any("lm_head.weight" in word for word in words)
    assert model.refresh() is None
