"""Tests, on a few tokens, that what `architecture.py` found is true. What fails is not offered, with the reason."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import torch

from ..errors import UnsupportedArchitecture
from .access import Key, Visitor, head_results, out_weight, visiting
from .architecture import GLOBAL_SITES, SITES, Architecture, LayerParts
from .attention_tap import mix

_NEEDS = {
    "q": ("attention", "no module calls the attention interface"),
    "k": ("attention", "no module calls the attention interface"),
    "v": ("attention", "no module calls the attention interface"),
    "scores": ("attention", "no module calls the attention interface"),
    "pattern": ("attention", "no module calls the attention interface"),
    "z": ("out_proj", "the attention has no output projection that was found"),
    "result": ("out_proj", "the attention has no output projection that was found"),
    "attn_out": ("attn_writer", "no module's output adds up to what attention writes"),
    "mlp_out": ("mlp_writer", "no module's output adds up to what the MLP writes"),
    "mlp_pre": ("activation", "the MLP has no single activation module"),
    "mlp_post": ("down", "the MLP has no last projection of its own"),
}
_ROWS = 256


def _absent(parts: LayerParts, kind: str) -> str | None:
    """Why a layer cannot have a site, judged by its parts alone."""
    if kind == "resid_mid":
        if parts.parallel:
            return "attention and MLP run in parallel: choose resid_pre or resid_post"
        return None if parts.attn_writer else "the stream between attention and MLP was not found"
    need = _NEEDS.get(kind)
    return need[1] if need is not None and getattr(parts, need[0]) is None else None


def _odd_projection(shadow: Any, parts: Architecture, layer: LayerParts, kind: str) -> str | None:
    """Why heads cannot be told apart behind a layer's output projection (packed or sharded weights), or None."""
    if kind not in ("z", "result") or layer.out_proj is None:
        return None
    weight = getattr(shadow.get_submodule(layer.out_proj), "weight", None)
    wanted = sorted((parts.n_heads * parts.d_head_v, parts.d_model))
    if isinstance(weight, torch.Tensor) and sorted(weight.shape) == wanted:
        return None
    return f"the weight of its output projection is no matrix of {wanted[0]} x {wanted[1]}"


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1e-12))


def prove(shadow: Any, parts: Architecture, ids: torch.Tensor) -> Architecture:
    """Run the proofs and fill in `sites`, `missing`, `missing_at` and `proof`.

    The proofs: the residual stream adds up layer by layer; the sum over heads is the projection's output; pattern @ v
    is z; writing a site's own value back changes nothing; writing a random value changes the logits.

    Args:
        shadow: the shadow `parts` was found on.
        parts: what was found.
        ids: [1, position] int64, a few tokens.

    Raises:
        UnsupportedArchitecture: the residual stream itself could not be read and written.
    """
    missing: dict[tuple[str, int], str] = {}
    keys: list[Key] = [(kind, None) for kind in SITES if kind in GLOBAL_SITES]
    for index, layer in enumerate(parts.layers):
        for kind in SITES:
            if kind not in GLOBAL_SITES:
                reason = _absent(layer, kind) or _odd_projection(shadow, parts, layer, kind)
                if reason is None:
                    keys.append((kind, index))
                else:
                    missing[kind, index] = reason

    eps = torch.finfo(next(shadow.parameters()).dtype).eps
    limit = max(64 * eps, 1e-5)
    with torch.no_grad():
        plain = shadow(input_ids=ids, use_cache=False).logits
        values, written = _write_back(shadow, parts, ids, keys)
        keys = [
            key
            for key in keys
            if key in values or missing.setdefault((key[0], key[1] or 0), "never reached in a forward pass") is None
        ]
        figures = {"own value written back": _relative(written, plain)}
        if figures["own value written back"] > limit:
            for kind in {kind for kind, _ in keys}:
                _, again = _write_back(shadow, parts, ids, [k for k in keys if k[0] == kind])
                if _relative(again, plain) > limit:
                    missing |= {
                        (kind, layer or 0): "writing its own value back changes the logits"
                        for k, layer in keys
                        if k == kind
                    }
        figures |= _arithmetic(shadow, parts, values, limit, missing)
        _random_writes(shadow, parts, ids, [k for k in keys if (k[0], k[1] or 0) not in missing], missing)
    return _verdict(parts, missing, figures)


def _write_back(
    shadow: Any, parts: Architecture, ids: torch.Tensor, keys: list[Key]
) -> tuple[dict[Key, torch.Tensor], torch.Tensor]:
    values: dict[Key, torch.Tensor] = {}

    def own(key: Key) -> Visitor:
        def visitor(value: torch.Tensor) -> torch.Tensor:
            values[key] = value.detach().clone()
            return value.clone()

        return visitor

    with visiting(shadow, parts, {key: own(key) for key in keys}):
        logits = shadow(input_ids=ids, use_cache=False).logits
    return values, logits


def _arithmetic(
    shadow: Any,
    parts: Architecture,
    values: dict[Key, torch.Tensor],
    limit: float,
    missing: dict[tuple[str, int], str],
) -> dict[str, float]:
    """Sums that must hold between the sites of one forward pass."""
    stream, heads, mixed = 0.0, 0.0, 0.0
    for index, layer in enumerate(parts.layers):
        get = {kind: values.get((kind, index)) for kind in SITES}
        pre, mid, post, attn, mlp = (get[k] for k in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"))
        if index + 1 < parts.n_layers and post is not None:
            stream = max(stream, _relative(values["resid_pre", index + 1], post))
        if pre is not None and post is not None and attn is not None and mlp is not None:
            total = (mid if mid is not None else pre + attn) + mlp
            error = _relative(total, post)
            stream = max(stream, error)
            if error > limit:
                missing |= {
                    (kind, index): "attention and MLP do not add up to the layer"
                    for kind in ("attn_out", "mlp_out", "resid_mid")
                }
        z, result, pattern, v = (get[k] for k in ("z", "result", "pattern", "v"))
        if z is not None and result is not None and attn is not None and layer.out_proj is not None:
            projection = shadow.get_submodule(layer.out_proj)
            bias = getattr(projection, "bias", None)
            summed = head_results(z, out_weight(projection)).sum(-2) + (bias if bias is not None else 0)
            if layer.attn_post_norm is not None:
                summed = shadow.get_submodule(layer.attn_post_norm)(summed)
            error = _relative(summed, attn)
            heads = max(heads, error)
            if error > 10 * limit:
                missing |= {(kind, index): "the sum over heads is not attn_out" for kind in ("z", "result")}
        if pattern is not None and v is not None and z is not None:
            error = _relative(mix(pattern, v.transpose(1, 2)), z)
            mixed = max(mixed, error)
            if error > 10 * limit:
                missing |= {(kind, index): "pattern @ v is not z" for kind in ("pattern", "scores")}
    return {"residual adds up": stream, "heads add up to attn_out": heads, "pattern @ v is z": mixed}


def _random_writes(
    shadow: Any, parts: Architecture, ids: torch.Tensor, keys: list[Key], missing: dict[tuple[str, int], str]
) -> None:
    """Each row of a batch overwrites one site at the last position; its logits there must move."""
    last_only = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(shadow.forward).parameters else {}
    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(keys), _ROWS):
        chunk = keys[start : start + _ROWS]

        def write(row: int, key: Key) -> Visitor:
            def visitor(value: torch.Tensor) -> torch.Tensor:
                value = value.clone()
                axis_last = value[row, :, -1] if key[0] in ("scores", "pattern") else value[row, -1]
                noise = torch.randn(axis_last.shape, generator=generator).to(value)
                if key[0] == "pattern":
                    axis_last.copy_(torch.softmax(3 * noise, dim=-1))
                elif key[0] == "scores":
                    axis_last.copy_(3 * noise)
                else:
                    axis_last.copy_(3 * noise * axis_last.float().std().clamp(min=1e-2).to(value.dtype))
                return value

            return visitor

        rows = ids.expand(len(chunk) + 1, -1)  # row 0 stays as it is
        with visiting(shadow, parts, {key: write(i + 1, key) for i, key in enumerate(chunk)}):
            logits = shadow(input_ids=rows, use_cache=False, **last_only).logits[:, -1].float()
        moved = (logits[1:] - logits[:1]).abs().amax(-1)
        floor = 32 * torch.finfo(logits.dtype).eps * logits.abs().max()
        for key, change in zip(chunk, moved, strict=True):
            if not bool(change > floor):
                missing[key[0], key[1] or 0] = "a random value written there leaves the logits as they were"


def _verdict(parts: Architecture, missing: dict[tuple[str, int], str], figures: dict[str, float]) -> Architecture:
    nowhere: dict[str, str] = {}
    for kind in SITES:
        count = 1 if kind in GLOBAL_SITES else parts.n_layers
        reasons = [missing[kind, i] for i in range(count) if (kind, i) in missing]
        if len(reasons) == count:
            nowhere[kind] = reasons[0]
    if "resid_pre" in nowhere or "logits" in nowhere:
        raise UnsupportedArchitecture(
            f"{parts.family}: {nowhere.get('resid_pre', nowhere.get('logits'))} (resid_pre).",
            hint="The residual stream could not be proven, so no site is offered.",
        )
    return replace(
        parts,
        sites=tuple(kind for kind in SITES if kind not in nowhere),
        missing=nowhere,
        missing_at={key: reason for key, reason in missing.items() if key[0] not in nowhere},
        proof=figures,
    )
