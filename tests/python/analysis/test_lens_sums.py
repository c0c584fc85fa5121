"""Sums over the vocabulary in blocks against the same sums of whole logits."""

from __future__ import annotations

import pytest
import torch

from mi_widgets.analysis.lens_sums import Tally, Wanted

ROWS, LENGTH, VOCAB = 3, 5, 700


@pytest.fixture(params=("small", "far apart", "rising", "equal"))
def logits(request):
    x = torch.randn(ROWS * LENGTH, VOCAB, generator=torch.Generator().manual_seed(1))
    if request.param == "far apart":
        return x * 60 - 300
    if request.param == "rising":
        return x.sort(-1).values * 40
    return torch.zeros_like(x) + x[:, :1] if request.param == "equal" else x


def tallied(wanted, logits, width):
    tally = Tally(wanted, len(logits), logits.device)
    for low in range(0, VOCAB, width):
        tally.add(logits[:, low : low + width].clone(), low)
    return tally


def close(a, b, atol=1e-4):
    torch.testing.assert_close(a, b, atol=atol, rtol=1e-5, check_dtype=False)


@pytest.mark.parametrize("width", [VOCAB, 350, 333, 64, 7])
def test_in_any_blocks(logits, width):
    picks = torch.randint(-1, VOCAB, (len(logits), 4), generator=torch.Generator().manual_seed(2))
    above = logits.gather(1, picks.clamp(min=0))
    wanted = Wanted(6, bottom=True, entropy=True, mean=True, picks=picks, above=above, finals=ROWS)
    tally = tallied(wanted, logits, width)
    assert torch.equal(tally.top, logits.topk(6).values)
    assert torch.equal(tally.low, logits.topk(6, largest=False).values)
    for ids, values in ((tally.top_ids, tally.top), (tally.low_ids, tally.low)):
        assert torch.equal(logits.gather(1, ids), values)
        assert all(len(set(row)) == 6 for row in ids.tolist())
    assert torch.equal(tally.count, (logits[:, None] > above[..., None]).sum(-1))
    none = picks < 0
    assert torch.equal(tally.picked[~none], above[~none])
    assert bool(tally.picked[none].isnan().all())
    exact = logits.double()
    log_p = exact.log_softmax(-1)
    close(tally.lse, exact.logsumexp(-1))
    close(tally.mean, exact.mean(-1), 1e-3)
    close(tally.entropy, -(log_p.exp() * log_p).sum(-1))
    final = log_p.view(ROWS, LENGTH, VOCAB)[-1]
    kl = (final.exp() * (final - log_p.view(ROWS, LENGTH, VOCAB))).sum(-1)
    close(tally.divergence, kl, 2e-3)
    assert bool((tally.divergence[-1] == 0).all())
