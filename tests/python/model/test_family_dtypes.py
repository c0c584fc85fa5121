"""Every named family in half precision: the same sites are proven, and the package runs what the user's model runs."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.model.batches import Batch
from tests.families.oracle import FAMILIES, model_of
from tests.python.families import word_tokenizer

PROMPT = [1, 17, 30, 5, 42, 9, 17, 23, 38]
WIDTHS = {"intermediate_size": 56, "moe_intermediate_size": 24}
"""The kernel that multiplies by experts in half precision wants rows of a multiple of 16 bytes."""


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_half_precision(name, dtype):
    """Proven with the same sites as in float32; the logits are the user's own, bit for bit, and finite."""
    user = model_of(name, **WIDTHS).to(dtype)
    model = mi.wrap(user, word_tokenizer(), name)
    batch = Batch.of([model.tokens(PROMPT)])
    with torch.no_grad():
        plain = user(input_ids=torch.tensor([PROMPT]), use_cache=False).logits
    logits = model.forward(batch)
    assert model.dtype == logits.dtype == dtype
    assert bool(logits.isfinite().all())
    assert torch.equal(logits, plain)

    kept = {}
    offered = [(site, layer) for site in model.architecture.sites for layer in model.layers_with(site)]
    assert set(offered) == FAMILIES[name].offered(model.n_layers)
    seen = model.forward(batch, {key: lambda x, key=key: kept.update({key: x.clone()}) for key in offered})
    assert torch.equal(seen, plain)
    assert set(kept) == set(offered)
    assert all(bool(x.isfinite().all()) for (site, _), x in kept.items() if site != "scores")
