"""What tests of edits share: small models of two families, and a question about each."""

from __future__ import annotations

import pytest
import torch

from tests.python.by_hand import record
from tests.python.families import CORRUPTED, experiment, ids_of, wrapped


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request):
    return wrapped(request.param)


@pytest.fixture(scope="module")
def exp(model):
    return experiment(model)


@pytest.fixture(scope="module")
def base(model):
    return record(model.hf, ids_of(model, CORRUPTED))


@pytest.fixture(scope="module")
def noise():
    generator = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(shape, generator=generator)
