"""What wrapping costs: finding and proving a model's parts, beside plain forward passes of the same model.

Run with `make bench`. Random weights in the GPT-2-small shape; nothing is asserted about time.
"""

from __future__ import annotations

import time

import torch
import transformers

import mi_widgets as mi
from mi_widgets.model.discovery import discover
from mi_widgets.model.handle import Model
from mi_widgets.model.proof import prove
from mi_widgets.model.shadow import shadow_of

REPEATS = 5
TOKENS = 64


def median(times: list[float]) -> float:
    return sorted(times)[len(times) // 2]


def timed(work) -> float:
    """Median CPU time of one thread, after one run to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return median(times)


def test_wrap_against_plain_forwards():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    hf = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    tokenizer = mi.load().tokenizer
    ids = torch.randint(0, 50257, (1, TOKENS))
    few = ids[:, :5]

    def forward():
        with torch.no_grad():
            hf(ids, use_cache=False)

    shadow = shadow_of(hf)
    parts = discover(shadow, few)
    rows = {
        f"plain forward, {TOKENS} tokens": timed(forward),
        "shadow": timed(lambda: shadow_of(hf)),
        "discover, 5 tokens": timed(lambda: discover(shadow, few)),
        "prove, 5 tokens": timed(lambda: prove(shadow, parts, few)),
        "all of it: wrap": timed(lambda: Model(hf, tokenizer, "gpt2-small shape")),
    }
    plain = rows[f"plain forward, {TOKENS} tokens"]
    print(
        f"\ngpt2-small shape, one thread, CPU time, median of {REPEATS}; torch {torch.__version__}, "
        f"transformers {transformers.__version__}, mi-widgets {mi.__version__}"
    )
    for name, seconds in rows.items():
        print(f"  {name:26} {1000 * seconds:8.1f} ms  {seconds / plain:5.2f} forwards")
