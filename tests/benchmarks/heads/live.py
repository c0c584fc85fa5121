"""A model of 32 x 32 heads at 1,024 tokens: its atlas as it streams, beside the bare attention weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

from .stage import Stage, Tab

MODEL = """
import json, time, torch, transformers
import mi_widgets as mi

def model_of(layers, heads, d_model, tokens):
    torch.manual_seed(0)
    tokenizer = mi.load().tokenizer
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=d_model, intermediate_size=d_model * 8 // 3, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=tokens, bos_token_id=0, eos_token_id=0,
    )
    hf = transformers.LlamaForCausalLM(config).eval()
    words = [i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids]
    ids = [words[(7 * i + i * i // 11) % len(words)] for i in range(tokens)]
    return hf, mi.Experiment(mi.wrap(hf, tokenizer), clean=ids, answer=words[0])
"""
SETUP = f"""{MODEL}
def memory(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])

hf, exp = model_of(LAYERS, HEADS, D_MODEL, TOKENS)
"""
SHOWN = """
open("/proc/self/clear_refs", "w").write("5")  # The peak is counted from here.
before, done, started = memory("VmRSS"), [], time.perf_counter()
widget = mi.AttentionHeads(exp)
widget.observe(lambda _: done.append(time.perf_counter() - started), "atlas")
widget
"""
ASKED = """
widget.wait()
print("found", json.dumps({"seconds": done[0], "grown": memory("VmHWM") - before}))
"""
# The same queries and keys but for the rotation, which takes no time worth naming; one layer at a time.
BARE = """
widget.close()  # What the page asks for would run through the same hooks.
kept = {}
def keep(name):
    return lambda module, given, out: kept.__setitem__(name, out.detach())
hooks = [
    getattr(layer.self_attn, part).register_forward_hook(keep((number, part)))
    for number, layer in enumerate(hf.model.layers) for part in ("q_proj", "k_proj")
]
ids = torch.tensor([exp.snapshot().batch("clean").prompts[0].ids])
with torch.no_grad():
    hf(ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    length = ids.shape[1]
    mask = torch.full((length, length), -torch.inf).triu(1)
    split = lambda x: x[0].unflatten(-1, (HEADS, -1)).transpose(0, 1)
    def bare():
        for number in range(LAYERS):
            q, k = split(kept[number, "q_proj"]), split(kept[number, "k_proj"])
            (q @ k.mT * q.shape[-1] ** -0.5 + mask).softmax(-1)
    def timed(work):
        started = time.perf_counter()
        work()
        return time.perf_counter() - started
    weights = min(timed(bare) for _ in range(3))
    hf.set_attn_implementation("eager")
    eager = min(timed(lambda: hf(ids, use_cache=False)) for _ in range(3))
print("found", json.dumps({"weights": weights, "eager": eager}))
"""


@dataclass(frozen=True)
class Live:
    """What was measured.

    Attributes:
        first, last: seconds from running the cell to the first layers on the canvas, and to the whole atlas.
        seconds: from making the widget to its atlas, in the kernel.
        weights: that the softmax of queries and keys of all layers takes in plain torch.
        eager: that a forward pass which forms the weights takes.
        stall: longest task of the page's main thread while the pointer moved over the atlas, ms.
        gap: longest time between two animation frames then, ms.
        heap: bytes that the page's heap grew by.
        grown: bytes that the kernel's memory rose by at most.
    """

    first: float
    last: float
    seconds: float
    weights: float
    eager: float
    stall: float
    gap: float
    heap: int
    grown: int


_FIRST = """() => {
  const canvas = document.querySelector('.jp-Cell .mi-widget [data-part=atlas] canvas[data-rev]');
  return canvas ? performance.now() : null;
}"""
# The picture is whole; what the runs give is measured after it.
_WHOLE = "!!document.querySelector('.jp-Cell .mi-widget[data-ready]:not([data-atlas-rev=\"0\"])')"


def measure(stage: Stage, layers: int = 32, heads: int = 32, d_model: int = 512, tokens: int = 1024) -> Live:
    """One atlas, hovered over from the moment that its first layers are there until it is whole."""
    sizes = f"LAYERS, HEADS, D_MODEL, TOKENS = {layers}, {heads}, {d_model}, {tokens}\n"
    warm = "mi.AttentionHeads(mi.load(), 'When Mary and John went to the store')"
    with stage.notebook("live", [sizes + SETUP, warm, SHOWN, ASKED, BARE]) as tab:
        tab.run(0)
        tab.run(1)
        tab.clear()
        heap = tab.heap()
        tab.forget(keep=False)
        started = tab.page.evaluate("performance.now()")
        tab.notebook.run_cell(2)
        first = tab.page.wait_for_function(_FIRST, polling="raf").json_value()
        stall, gap = _hover(tab)
        last = tab.page.evaluate("performance.now()")
        tab.notebook.until_idle()
        asked = _found(tab, 3)
        tab.forget()
        grown = tab.heap() - heap
        bare = _found(tab, 4)
    return Live(
        (first - started) / 1000, (last - started) / 1000, asked["seconds"], bare["weights"], bare["eager"], stall, gap,
        grown, int(asked["grown"]),
    )  # fmt: skip


def _found(tab: Tab, cell: int) -> dict[str, float]:
    tab.run(cell)
    found: dict[str, float] = json.loads(tab.notebook.output(cell).split("found", 1)[1])
    return found


def _hover(tab: Tab) -> tuple[float, float]:
    """Move over the atlas until it is whole: the longest task, and the longest time between frames, in ms."""
    canvas = tab.page.locator(".jp-Cell .mi-widget [data-part=atlas] canvas[role=grid]")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    tab.page.evaluate("probe.watchFrames()")
    for step in range(100_000):
        across, down = (step * 7 % 100) / 100, (step * 3 % 40) / 100
        tab.page.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
        if step % 10 == 0 and tab.page.evaluate(_WHOLE):
            break
    frames, stalls = tab.notes("frames"), tab.notes("stalls")
    tab.page.evaluate("probe.watching = false")
    gaps = [b - a for a, b in pairwise(frames)]
    return max((it["ms"] for it in stalls), default=0.0), max(gaps, default=0.0)
