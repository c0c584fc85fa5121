"""Tests, on a few tokens, that what `discovery.py` found is true. What fails is not offered, with the reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ..errors import UnsupportedArchitecture
from .access import Key, Visitor, head_results, projection_of, visiting
from .architecture import GLOBAL_SITES, SITES, Architecture, LayerParts
from .attention_math import mix
from .watch import logits_of

_NEEDS = {
    "z": ("out_proj", "the attention has no output projection that was found"),
    "result": ("out_proj", "the attention has no output projection that was found"),
    "attn_out": ("attn_writer", "no module's output adds up to what attention writes"),
    "resid_mid": ("attn_writer", "the stream between attention and MLP was not found"),
    "mlp_out": ("mlp_writer", "no module's output adds up to what the MLP writes"),
    "mlp_pre": ("activation", "the MLP has no activation module of its own"),
    "mlp_post": ("down", "the MLP has no last projection of its own"),
} | dict.fromkeys(("q", "k", "v", "scores", "pattern"), ("attention", "no module computes attention"))
_COMPARED = 2
"""At how many of the last positions logits are compared: under a chunked mask one alone may see only itself."""
_LAYERED = tuple(kind for kind in SITES if kind not in GLOBAL_SITES)

Missing = dict[tuple[str, int], str]


def prove(shadow: Any, parts: Architecture, ids: torch.Tensor) -> Architecture:
    """Run the proofs and fill in `sites`, `missing`, `missing_at` and `proof`.

    The proofs: the residual stream adds up layer by layer; the sum over heads is attn_out before its norm; pattern @ v
    is what the kernel gave; writing a site's own value back changes nothing; writing a random value changes what the
    next layer reads; the model is causal, and padding on the left changes nothing. A handful of passes of the few
    tokens, the largest with one row per kind of site.

    Args:
        shadow: the shadow `parts` was found on.
        parts: what was found.
        ids: [1, position] int64, a few tokens.

    Raises:
        UnsupportedArchitecture: the residual stream itself could not be read and written.
    """
    missing: Missing = {}
    keys: list[Key] = [(kind, None) for kind in SITES if kind in GLOBAL_SITES]
    if parts.final_norm is None:
        missing["final_norm", 0] = "no norm takes the last layer's output to what the unembedding reads"
        keys.remove(("final_norm", None))
    for index, layer in enumerate(parts.layers):
        for kind in _LAYERED:
            reason = _absent(layer, kind)
            if reason is None:
                keys.append((kind, index))
            else:
                missing[kind, index] = reason
    with torch.no_grad():
        plain = logits_of(shadow, input_ids=ids)
        limit = limit_of(plain.dtype)
        values, written = _write_back(shadow, parts, ids, keys)
        for kind, at in keys:
            if (kind, at) not in values:
                missing[kind, at or 0] = "never reached in a forward pass"
        keys = [key for key in keys if key in values]
        figures = {"own value written back": _relative(written, plain)}
        if figures["own value written back"] > limit:
            _blame(shadow, parts, ids, keys, plain, missing)
        padding = _padding(shadow, ids, plain, parts.family)
        figures |= _arithmetic(shadow, parts, values, limit, missing)
        _random_writes(shadow, parts, ids[:, :4], [k for k in keys if (k[0], k[1] or 0) not in missing], missing)
    return _verdict(replace(parts, padding=padding), missing, figures)


def _padding(shadow: Any, ids: torch.Tensor, plain: torch.Tensor, family: str) -> str | None:
    """Why prompts of different length cannot share a batch, or None when they can.

    The first tokens alone, padded on the left, must give the logits they have at the start of the whole prompt.

    Raises:
        UnsupportedArchitecture: later tokens change earlier logits.
    """
    length, limit = ids.shape[1] - 2, limit_of(plain.dtype)
    later = torch.cat([ids[:, :length], ids[:, :2]], dim=1)
    rows = torch.cat([later, torch.cat([ids[:, :2], ids[:, :length]], dim=1)])
    mask = torch.ones_like(rows)
    mask[1, :2] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    refused = None
    try:
        logits = logits_of(shadow, input_ids=rows, attention_mask=mask, position_ids=positions)
    except (TypeError, ValueError, RuntimeError, IndexError) as problem:
        refused = f"it does not take a left-padded batch ({type(problem).__name__})"
        logits = logits_of(shadow, input_ids=later)
    start = plain[0, :length]
    padded = 0.0 if refused else _relative(logits[1, -1], start[-1])
    changes = padded > (1e-3 if limit < 1e-3 else 0.125)
    ahead = _relative(logits[0, :length], start)
    # Quantised activations share one scale, so that all tokens move each other a little; looking ahead moves them much.
    much = 0.1
    if changes and ahead > much:  # handed positions may not be this family's: as it is by itself
        ahead = _relative(logits_of(shadow, input_ids=later)[0, :length], start)
    if ahead > much:
        raise UnsupportedArchitecture(
            f"Later tokens change the logits of earlier ones in {family}, so it is no causal language model.",
            hint="Encoders become decoders with config.is_decoder = True.",
        )
    return refused or ("padding on the left changes its logits" if changes else None)


def _absent(layer: LayerParts, kind: str) -> str | None:
    """Why a layer cannot have a site, judged by its parts alone."""
    need = _NEEDS.get(kind)
    lacks = need is not None and getattr(layer, need[0]) is None and not (kind == "mlp_out" and layer.open)
    return layer.reasons.get(kind) or (need[1] if need is not None and lacks else None)


def limit_of(dtype: torch.dtype) -> float:
    """What counts as equal, relative to the largest value: the rounding of a sum."""
    eps = torch.finfo(dtype).eps
    return max(64 * eps, 1e-5) if eps < 1e-4 else 8 * eps


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1e-12))


def _write_back(
    shadow: Any, parts: Architecture, ids: torch.Tensor, keys: list[Key]
) -> tuple[dict[Key, torch.Tensor], torch.Tensor]:
    """Every site's value, and the logits when every site is overwritten with its own value."""
    values: dict[Key, torch.Tensor] = {}

    def own(key: Key) -> Visitor:
        def visitor(value: torch.Tensor) -> torch.Tensor:
            values[key] = value.detach().clone()
            return value.clone()

        return visitor

    # No sites, but what pattern @ v (a gate may stand between that and z) and the sum over heads must be.
    inner: list[Key] = [("attended", i) for kind, i in keys if kind == "pattern"]
    inner += [("projected", i) for kind, i in keys if kind == "z"]
    with visiting(shadow, parts, {key: own(key) for key in keys + inner}):
        logits = logits_of(shadow, input_ids=ids)
    return values, logits


def _blame(
    shadow: Any, parts: Architecture, ids: torch.Tensor, keys: list[Key], plain: torch.Tensor, missing: Missing
) -> None:
    """Find the kinds of site whose own value, written back, changes the logits."""
    for kind in dict.fromkeys(kind for kind, _ in keys):
        alone = [key for key in keys if key[0] == kind]
        _, again = _write_back(shadow, parts, ids, alone)
        if _relative(again, plain) > limit_of(plain.dtype):
            missing |= {(kind, layer or 0): "writing its own value back changes the logits" for _, layer in alone}


def _arithmetic(
    shadow: Any, parts: Architecture, values: dict[Key, torch.Tensor], limit: float, missing: Missing
) -> dict[str, float]:
    """Sums that must hold between the sites of one forward pass."""
    stream, heads, mixed = 0.0, 0.0, 0.0
    # In float32 sums over heads and sources run in another order; half precision is compared in float32.
    wide = 10 * limit if limit < 1e-3 else limit
    for index, layer in enumerate(parts.layers):
        get = {kind: values.get((kind, index)) for kind in (*SITES, "attended")}
        pre, post, attn, mlp = (get[k] for k in ("resid_pre", "resid_post", "attn_out", "mlp_out"))
        if index + 1 < parts.n_layers and post is not None:
            error = _relative(values["resid_pre", index + 1], post)
            stream = max(stream, error)
            if error > limit:
                missing["resid_post", index] = "the next layer reads something else"
        if pre is not None and post is not None:
            total = pre if attn is None else pre + attn
            if layer.norms is not None:
                total = shadow.get_submodule(layer.norms[0])(total)
            total = total if mlp is None else total + mlp
            if layer.norms is not None:
                total = shadow.get_submodule(layer.norms[1])(total)
            told = (attn is not None or layer.attn_writer is None) and (mlp is not None or layer.mlp_writer is None)
            error = _relative(total, post) if told and (attn is not None or mlp is not None) else 0.0
            stream = max(stream, error)
            if error > limit:
                terms = [kind for kind in ("attn_out", "mlp_out", "resid_mid") if get[kind] is not None]
                missing |= {(kind, index): "attention and MLP do not add up to the layer" for kind in terms}
        z, pattern, v, attended = (get[k] for k in ("z", "pattern", "v", "attended"))
        projected = values.get(("projected", index))
        if z is not None and projected is not None and layer.out_proj is not None:
            weight, bias = projection_of(shadow.get_submodule(layer.out_proj), z.shape[-2] * z.shape[-1])
            summed = head_results(z.float(), weight).sum(-2) + (0 if bias is None else bias.float())
            error = _relative(summed.reshape(projected.shape), projected)
            if attn is not None and not layer.attn_more:
                entered = projected
                if layer.attn_post_norm is not None:
                    entered = shadow.get_submodule(layer.attn_post_norm)(projected)
                error = max(error, _relative(entered.reshape(attn.shape) * layer.attn_scale, attn))
            heads = max(heads, error)
            if error > wide:
                missing |= {
                    (kind, index): "the sum over heads is not what the projection gave" for kind in ("z", "result")
                }
        if pattern is not None and v is not None and attended is not None:
            error = _relative(mix(pattern.float(), v.transpose(1, 2).float()), attended)
            mixed = max(mixed, error)
            if error > wide:
                missing |= {(kind, index): "pattern @ v is not what attention gave" for kind in ("pattern", "scores")}
    return {
        "residual adds up": stream,
        "heads add up to attn_out": heads,
        "pattern @ v is attention's output": mixed,
    }


def _random_writes(shadow: Any, parts: Architecture, ids: torch.Tensor, keys: list[Key], missing: Missing) -> None:
    """Each row of a batch overwrites one kind of site in every layer; what the next layer reads must move.

    All rows enter every layer with the values of row 0, so that what one row shows is the work of one site in one
    layer; the next layer's input (after the last layer: the logits) is compared before it is made equal again.
    """
    keep = {"logits_to_keep": _COMPARED} if "logits_to_keep" in inspect.signature(shadow.forward).parameters else {}
    generator = torch.Generator().manual_seed(0)
    rows = {kind: row for row, kind in enumerate(dict.fromkeys(kind for kind, _ in keys), start=1)}
    wanted = set(keys)

    def beyond(layer: int) -> Callable[[str], bool]:
        """The kinds that are judged by what the layer gives."""
        early = ("q", "k", "v", "scores", "pattern") if ("z", layer) in wanted else ()
        return lambda kind: kind in _LAYERED and kind not in early

    def compare(kinds: Callable[[str], bool], layer: int, after: torch.Tensor) -> None:
        """Note the rows that are still what row 0 is."""
        values, eps = after.float(), torch.finfo(after.dtype).eps
        # What rows of equal values may differ by: sums in another order; half precision hides nearly all of it.
        floor = (64 if eps < 1e-4 else 2) * eps * values[0].square().mean(-1, keepdim=True).sqrt()
        moved = ((values - values[0]).abs() > floor).flatten(1).any(-1)
        for kind, row in rows.items():
            if kinds(kind) and ((kind, layer) in wanted or (kind, None) in wanted) and not bool(moved[row]):
                less = "" if eps < 1e-4 else f", or less than {str(after.dtype).removeprefix('torch.')} shows"
                missing[kind, layer] = f"a random value written there changes nothing after it{less}"

    def write(kind: str, value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        target = value[rows[kind]]
        noise = torch.randn(target.shape, generator=generator).to(value)
        if kind == "pattern":
            target.copy_(torch.softmax(3 * noise, dim=-1))
        elif kind == "scores":
            target.copy_(3 * noise)
        else:
            target.copy_(3 * noise * target.float().std().clamp(min=1e-2).to(value.dtype))
        return value

    def enter(layer: int) -> Visitor:
        def visitor(value: torch.Tensor) -> torch.Tensor:
            if layer == 0:
                compare(lambda kind: kind == "embed", 0, value)
            else:
                compare(beyond(layer - 1), layer - 1, value)
            value = value[:1].expand(value.shape).clone()
            return write("resid_pre", value) if ("resid_pre", layer) in wanted else value

        return visitor

    def reach(layer: int) -> Visitor:
        def visitor(value: torch.Tensor) -> torch.Tensor:
            # Judged before the output projection, which a user may have set to zero.
            compare(lambda kind: kind in ("q", "k", "v", "scores", "pattern"), layer, value.flatten(2))
            return write("z", value)

        return visitor

    visitors: dict[Key, Visitor] = {key: partial(write, key[0]) for key in keys if key[0] != "resid_pre"}
    visitors |= {("z", i): reach(i) for kind, i in keys if kind == "z" and i is not None}
    visitors |= {("resid_pre", i): enter(i) for i in range(parts.n_layers)}
    with visiting(shadow, parts, visitors):
        logits = logits_of(shadow, input_ids=ids.expand(len(rows) + 1, -1), **keep)
    compare(beyond(parts.n_layers - 1), parts.n_layers - 1, logits)
    compare(lambda kind: kind in ("final_norm", "logits"), 0, logits)


def _verdict(parts: Architecture, missing: Missing, figures: dict[str, float]) -> Architecture:
    nowhere: dict[str, str] = {}
    for kind in SITES:
        count = 1 if kind in GLOBAL_SITES else parts.n_layers
        reasons = [missing[kind, i] for i in range(count) if (kind, i) in missing]
        if len(reasons) == count:
            nowhere[kind] = "; ".join(dict.fromkeys(reasons))
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
