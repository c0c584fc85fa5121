"""The forward pass of the five families written out in plain PyTorch, with a look at every site.

The oracle of the engine's tests. It reads the weights of the user's model and shares no code with the package; that it
is itself right is tested against the user's model (logits, hidden states, attentions).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn.functional import gelu, silu

Visit = Callable[[str, int | None, torch.Tensor], torch.Tensor]


def _leave(site: str, layer: int | None, x: torch.Tensor) -> torch.Tensor:
    return x


def _mask(length: int, window: int | None) -> torch.Tensor:
    """[dest, src] True where attention may look."""
    dest, src = torch.arange(length)[:, None], torch.arange(length)[None]
    seen = src <= dest
    return seen if window is None else seen & (dest - src < window)


def _attend(layer, q, k, v, scale, softcap, window, w_o, b_o, visit):
    """q [T, H, d], k and v [T, KV, d], w_o [H, d_v, D] -> what attention's projection gives, [T, D]."""
    q, k, v = visit("q", layer, q), visit("k", layer, k), visit("v", layer, v)
    groups = q.shape[1] // k.shape[1]
    whose = [h // groups for h in range(q.shape[1])]
    scores = torch.einsum("thd,shd->hts", q, k[:, whose]) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.masked_fill(~_mask(len(q), window), -math.inf)
    scores = visit("scores", layer, scores)
    pattern = visit("pattern", layer, scores.softmax(-1))
    z = visit("z", layer, torch.einsum("hts,shd->thd", pattern, v[:, whose]))
    result = visit("result", layer, torch.einsum("thd,hdm->thm", z, w_o))
    out = result.sum(1)
    return out if b_o is None else out + b_o


def gpt2(hf, ids: torch.Tensor, visit: Visit = _leave) -> torch.Tensor:
    """[position] ids -> [position, vocab] logits."""
    body, heads = hf.transformer, hf.config.n_head
    width = hf.config.n_embd // heads
    eps = hf.config.layer_norm_epsilon

    def norm(x, m):
        x = x - x.mean(-1, keepdim=True)
        return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * m.weight + m.bias

    x = visit("embed", None, body.wte.weight[ids]) + body.wpe.weight[: len(ids)]
    for i, block in enumerate(body.h):
        x = visit("resid_pre", i, x)
        qkv = norm(x, block.ln_1) @ block.attn.c_attn.weight + block.attn.c_attn.bias
        q, k, v = (part.reshape(len(ids), heads, width) for part in qkv.split(hf.config.n_embd, -1))
        w_o = block.attn.c_proj.weight.reshape(heads, width, -1)
        out = _attend(i, q, k, v, width**-0.5, None, None, w_o, block.attn.c_proj.bias, visit)
        mid = visit("resid_mid", i, x + visit("attn_out", i, out))
        pre = visit("mlp_pre", i, norm(mid, block.ln_2) @ block.mlp.c_fc.weight + block.mlp.c_fc.bias)
        post = visit("mlp_post", i, gelu(pre, approximate="tanh"))
        out = visit("mlp_out", i, post @ block.mlp.c_proj.weight + block.mlp.c_proj.bias)
        x = visit("resid_post", i, mid + out)
    x = visit("final_norm", None, norm(x, body.ln_f))
    return visit("logits", None, x @ hf.lm_head.weight.T)


def _turned(x: torch.Tensor, theta: float) -> torch.Tensor:
    """Rotary: [T, H, d], pairs (i, i + d/2)."""
    half = x.shape[-1] // 2
    angle = torch.arange(len(x))[:, None] * theta ** (-torch.arange(half) / half)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def gated(hf, ids: torch.Tensor, visit: Visit = _leave) -> torch.Tensor:
    """llama, qwen2, mistral and gemma2: [position] ids -> [position, vocab] logits."""
    c, body = hf.config, hf.model
    gemma = c.model_type == "gemma2"
    heads, groups = c.num_attention_heads, c.num_key_value_heads
    width = getattr(c, "head_dim", None) or c.hidden_size // heads
    scale = (c.query_pre_attn_scalar if gemma else width) ** -0.5
    rope = getattr(c, "rope_parameters", None) or {"rope_theta": getattr(c, "rope_theta", 10000.0)}
    theta = rope["rope_theta"]

    def norm(x, m):
        gain = 1 + m.weight if gemma else m.weight
        return x / (x.square().mean(-1, keepdim=True) + c.rms_norm_eps).sqrt() * gain

    x = body.embed_tokens.weight[ids] * (c.hidden_size**0.5 if gemma else 1.0)
    x = visit("embed", None, x)
    for i, block in enumerate(body.layers):
        window = (
            {"gemma2": c.sliding_window if i % 2 == 0 else None, "mistral": c.sliding_window}
            if gemma or (c.model_type == "mistral")
            else {}
        )
        x = visit("resid_pre", i, x)
        h = norm(x, block.input_layernorm)
        attn = block.self_attn
        q = _turned(attn.q_proj(h).reshape(len(ids), heads, width), theta)
        k = _turned(attn.k_proj(h).reshape(len(ids), groups, width), theta)
        v = attn.v_proj(h).reshape(len(ids), groups, width)
        w_o = attn.o_proj.weight.T.reshape(heads, width, -1)
        softcap = c.attn_logit_softcapping if gemma else None
        out = _attend(i, q, k, v, scale, softcap, window.get(c.model_type), w_o, attn.o_proj.bias, visit)
        if gemma:
            out = norm(out, block.post_attention_layernorm)
        mid = visit("resid_mid", i, x + visit("attn_out", i, out))
        h = norm(mid, block.pre_feedforward_layernorm if gemma else block.post_attention_layernorm)
        pre = visit("mlp_pre", i, block.mlp.gate_proj(h))
        act = gelu(pre, approximate="tanh") if gemma else silu(pre)
        out = block.mlp.down_proj(visit("mlp_post", i, act * block.mlp.up_proj(h)))
        if gemma:
            out = norm(out, block.post_feedforward_layernorm)
        x = visit("resid_post", i, mid + visit("mlp_out", i, out))
    x = visit("final_norm", None, norm(x, body.norm))
    logits = x @ hf.lm_head.weight.T
    if gemma:
        logits = c.final_logit_softcapping * torch.tanh(logits / c.final_logit_softcapping)
    return visit("logits", None, logits)


def forward(hf, ids, visit: Visit = _leave) -> torch.Tensor:
    """Logits [position, vocab] of one prompt, with a look at (and a change of) every site.

    Shapes of sites: streams [position, d]; q, k, v, z, result [position, head, d]; scores, pattern [head, dest, src].
    """
    with torch.no_grad():
        return (gpt2 if hf.config.model_type == "gpt2" else gated)(hf, torch.as_tensor(ids), visit)


def record(hf, ids) -> dict[tuple[str, int | None], torch.Tensor]:
    """Every site of one prompt's run: {(site, layer): value}."""
    kept = {}

    def keep(site, layer, x):
        kept[site, layer] = x.clone()
        return x

    forward(hf, ids, keep)
    return kept


def changed(hf, ids, changes: dict[tuple[str, int | None], list[Callable[[torch.Tensor], torch.Tensor]]]):
    """Run with sites replaced, and keep every site after its changes.

    Args:
        changes: {(site, layer): functions applied in order}.

    Returns:
        (logits [position, vocab], {(site, layer): value}).
    """
    kept = {}

    def visit(site, layer, x):
        for change in changes.get((site, layer), ()):
            x = change(x.clone())
        kept[site, layer] = x.clone()
        return x

    return forward(hf, ids, visit), kept


def logit_diff(logits: torch.Tensor, answers, distractors=None) -> float:
    """Mean logit of the answers minus that of the distractors, or of the vocabulary; logits [vocab]."""
    against = logits.mean() if distractors is None else sum(logits[i] for i in distractors) / len(distractors)
    return float(sum(logits[i] for i in answers) / len(answers) - against)
