"""The logit lens of five families written out in plain PyTorch: final norm, unembedding, scale, softcap, measures.

It reads the weights of the user's model and shares no code with the package.
"""

from __future__ import annotations

import math

import torch

FAMILIES = ("gpt2", "llama", "gemma2", "cohere", "olmo2")


def streams(hf, ids) -> list[torch.Tensor]:
    """What enters the first layer and what leaves each: [position, d_model] each, by plain hooks."""
    layers = hf.transformer.h if hf.config.model_type == "gpt2" else hf.model.layers
    seen: list[torch.Tensor] = []

    def enter(module, args, kwargs):
        seen.append((args[0] if args else kwargs["hidden_states"])[0].detach().clone())

    def leave(module, args, output):
        seen.append((output if isinstance(output, torch.Tensor) else output[0])[0].detach().clone())

    handles = [layers[0].register_forward_pre_hook(enter, with_kwargs=True)]
    handles += [layer.register_forward_hook(leave) for layer in layers]
    with torch.no_grad():
        hf(input_ids=torch.as_tensor(ids)[None])
    for handle in handles:
        handle.remove()
    return seen


def norm_of(hf) -> tuple[torch.Tensor, torch.Tensor, bool, float]:
    """Gain, bias, whether the mean is taken off, and epsilon of the final norm."""
    kind = hf.config.model_type
    module = hf.transformer.ln_f if kind == "gpt2" else hf.model.norm
    weight = module.weight.detach()
    bias = getattr(module, "bias", None)
    eps = {"gpt2": "layer_norm_epsilon", "cohere": "layer_norm_eps"}.get(kind, "rms_norm_eps")
    gain = 1 + weight if kind == "gemma2" else weight
    return (
        gain,
        torch.zeros_like(gain) if bias is None else bias.detach(),
        kind in ("gpt2", "cohere"),
        getattr(hf.config, eps),
    )


def scale(hf, x: torch.Tensor) -> torch.Tensor:
    """What the final norm divides by: [position, 1]."""
    _, _, centres, eps = norm_of(hf)
    x = x - x.mean(-1, keepdim=True) if centres else x
    return (x.square().mean(-1, keepdim=True) + eps).sqrt()


def linear(hf, x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """What x writes to the logits at a frozen scale: no biases, no softcap; [position, vocab]."""
    gain, _, centres, _ = norm_of(hf)
    x = x - x.mean(-1, keepdim=True) if centres else x
    return (x / s * gain) @ hf.lm_head.weight.detach().T * getattr(hf.config, "logit_scale", 1.0)


def lens(hf, x: torch.Tensor) -> torch.Tensor:
    """Logits that the model would give for a last stream: [position, d_model] -> [position, vocab]."""
    gain, bias, centres, _ = norm_of(hf)
    y = (x - x.mean(-1, keepdim=True) if centres else x) / scale(hf, x) * gain + bias
    logits = y @ hf.lm_head.weight.detach().T
    if getattr(hf.lm_head, "bias", None) is not None:
        logits = logits + hf.lm_head.bias.detach()
    logits = logits * getattr(hf.config, "logit_scale", 1.0)
    cap = getattr(hf.config, "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def measured(rows, final, ids, answers=(), distractors=(), says_at=-1) -> dict[str, torch.Tensor]:
    """Every measure of [row, position, vocab] logits, one position after the other.

    Args:
        rows: of each row.
        final: [position, vocab], the last row's.
        ids: of the prompt.
        answers, distractors: token ids.
        says_at: where the answer is read.
    """
    names = ("prob", "rank", "entropy", "kl", "logit_diff", "cross_entropy")
    found = {name: torch.full((len(rows), len(ids)), math.nan) for name in names}
    for r, logits in enumerate(rows):
        for p in range(len(ids)):
            x = logits[p].double()
            p_row, p_final = x.softmax(-1), final[p].double().softmax(-1)
            found["prob"][r, p] = p_row.max()
            found["entropy"][r, p] = -(p_row * p_row.log()).sum()
            found["kl"][r, p] = (p_final * (p_final.log() - p_row.log())).sum()
            if answers:
                found["rank"][r, p] = int((x > max(x[i] for i in answers)).sum())
                against = sum(x[i] for i in distractors) / len(distractors) if distractors else x.mean()
                found["logit_diff"][r, p] = sum(x[i] for i in answers) / len(answers) - against
            if p + 1 < len(ids):
                found["cross_entropy"][r, p] = -p_row[ids[p + 1]].log()
            elif answers and says_at % len(ids) == p:
                found["cross_entropy"][r, p] = -sum(p_row[i] for i in answers).log()
    return found
