"""Prompts side by side, and the columns of their positions."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.model.batches import Batch
from tests.python.families import wrapped


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


def test_a_batch_is_padded_on_the_left(model):
    prompts = [model.tokens("Mary went to"), model.tokens("Mary")]
    batch = Batch.of(prompts, pad_id=0)
    assert batch.ids.tolist() == [list(prompts[0].ids), [0, 0, *prompts[1].ids]]
    assert batch.pads == (0, 2)
    inputs = batch.inputs(torch.device("cpu"))
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]
    assert set(Batch.of(prompts[:1]).inputs(torch.device("cpu"))) == {"input_ids"}
    assert [batch.column(1, p) for p in (0, 1, -1, -2)] == [2, 3, 3, 2]
    for bad in (2, -3, True, 1.0):
        with pytest.raises(mi.BadInput):
            batch.column(1, bad)
