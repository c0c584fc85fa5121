"""Direct logit attribution: what each component writes along the answer direction; adds up to the logit difference."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch

from ..errors import BadInput, SiteUnavailable
from ..interventions.draws import draws_of
from ..interventions.metrics import measure
from ..interventions.question import Question
from ..model.access import Key, head_results, projection_of
from ..model.handle import Model
from ..model.norms import Norm, read_norm
from ..results import AttributionResult
from .at_answer import after, at_answer, has_more
from .common import provenance

_STREAM = frozenset({"resid_pre", "result", "attn_out", "resid_mid", "resid_post", "final_norm"})
"""Sites whose edits reach the logits without passing through a component's own output."""


@dataclass(frozen=True)
class _Direction:
    """A linear map from what is written to the stream to logits of the answer direction, at one run's frozen scale.

    Attributes:
        along: [prompt, d_model] float32: gain * u * logit_scale / s.
        norm: the final norm.
    """

    along: torch.Tensor
    norm: Norm

    def of(self, written: torch.Tensor) -> torch.Tensor:
        """[prompt, ..., d_model] -> [prompt, ...] logits."""
        written = written.float()
        if self.norm.centres:
            written = written - written.mean(-1, keepdim=True)
        return torch.einsum("p...d,pd->p...", written, self.along)


def require_direct(model: Model) -> None:
    """Raise where what a head writes has no share of its own in the logits.

    Raises:
        SiteUnavailable: no z or final norm, or logits that are no linear map of the norm's output.
    """
    model.require("z")
    require_linear(model)


def require_linear(model: Model) -> None:
    """Raise where what is added to the stream has no share of its own in the logits, whoever adds it.

    Raises:
        SiteUnavailable: no final norm, or logits that are no linear map of the norm's output.
    """
    model.require("final_norm")
    if model.architecture.odd_logits is not None:
        raise SiteUnavailable(
            f"Direct attribution is not defined for {model.name}: {model.architecture.odd_logits}.",
            hint="Measure by patching instead: exp.sweep('z').",
        )


def answer_direction(question: Question) -> torch.Tensor:
    """Mean W_U of the answers minus that of the distractors (none: of the vocabulary), [prompt, d_model] float32."""
    weight = question.model.shadow.get_submodule(question.model.architecture.unembed).weight
    assert isinstance(weight, torch.Tensor)
    return _rows_of(question, weight)


def _rows_of(question: Question, weight: torch.Tensor) -> torch.Tensor:
    """Mean over answers minus mean over distractors of rows of [vocab, ...] or entries of [vocab]."""
    if question.answer is None:
        raise BadInput("Attribution needs an answer.", hint="Give the experiment answer=' word'.")
    weight = weight.detach().float()
    out = []
    for row, ids in enumerate(question.answer.ids):
        against = weight.mean(0) if question.distractor is None else weight[list(question.distractor.ids[row])].mean(0)
        out.append(weight[list(ids)].mean(0) - against)
    return torch.stack(out)


def attribute(
    question: Question, by: str = "component", run: str = "clean", prompt: int | str = "mean"
) -> AttributionResult:
    """Direct logit attribution with the final norm's scale frozen at the answer position of this run.

    A component c contributes ((c - mean(c) if the norm centres) / s) * gain . u * logit_scale, with u the answer
    direction. Components: embedding and positions, every head, every attention bias, every MLP, the norm's bias, the
    unembedding's bias; a layer without heads (state space, linear attention) or with an MLP that could not be told
    apart has one more component for what else it adds; in an edited run also what edits write into the stream itself,
    and by source what they write into z.
    They add up to the pre-softcap logit difference. After a post-norm the post-norm's scale is frozen too.
    (TransformerLens: `apply_ln_to_stack`, `logit_attrs`.)

    Args:
        question: what is asked.
        by: "component", "head" ([layer, head]) or "source" ([layer, head, src position]).
        run: "clean", "corrupted" or "edited".
        prompt: a prompt's number, or "mean" over prompts.

    Raises:
        BadInput: no answer, or an unknown `by`.
        SiteUnavailable: the model lacks z or a final norm, or its logits are no linear map of the norm's output;
            by source also where a gate stands between pattern @ v and z.
    """
    if by not in ("component", "head", "source"):
        raise BadInput(f"by is 'component', 'head' or 'source', not {by!r}.", hint="Leave it out for 'component'.")
    if prompt != "mean":
        question = question.one(prompt)
    started = time.perf_counter()
    draws = draws_of(question.edits, question.count) if run == "edited" else []
    if len(draws) > 1:
        return _mean(question, [attribute(replace(question, edits=edits), by, run) for edits in draws], started)
    model, batch = question.model, question.batch(run)
    if by == "source" and len(set(batch.lengths)) > 1:
        raise BadInput("Attribution by source needs prompts of one length.", hint="Give prompt=0, 1, ...")
    require_direct(model)
    if by == "source" and any(layer.gated for layer in model.architecture.layers):
        raise SiteUnavailable(
            f"{model.name} gates what attention gave, so a source's share of z is not pattern times v.",
            hint="Use by='head'.",
        )
    values = _captured(question, run, with_pattern=by == "source")
    direction, bias_terms, total = _direction(question, values)

    parts: list[tuple[str, int | None, int | None]] = []
    shares: list[torch.Tensor] = []

    def add(name: str, share: torch.Tensor, layer: int | None = None, head: int | None = None) -> None:
        parts.append((name, layer, head))
        shares.append(share.mean(0).cpu())

    add("embed", direction.of(values["embed", None]))
    add("positions", direction.of(_positions(question, run, values)))
    per_head, per_source = [], []
    nothing = torch.full((len(batch), model.n_heads), float("nan"), dtype=torch.float32)
    for layer in range(model.n_layers):
        known = []
        if ("z", layer) in values:
            heads, sources, bias = _layer(question, layer, values, direction, by == "source")
            for head in range(heads.shape[1]):
                add(f"L{layer}H{head}", heads[:, head], layer, head)
            add(f"L{layer} attention bias", bias, layer)
            known += [heads.sum(1), bias]
        else:
            heads, sources = nothing, nothing[..., None].expand(-1, -1, batch.width) if by == "source" else None
        per_head.append(heads.mean(0).cpu())
        if sources is not None:
            per_source.append(sources.mean(0)[:, batch.pads[0] :].cpu())
        if ("mlp_out", layer) in values:
            known.append(direction.of(values["mlp_out", layer]))
            add(f"L{layer} MLP", known[-1], layer)
        if has_more(model, layer):
            step = values[after(model, layer)].float() - values["resid_pre", layer].float()
            left = direction.of(step)
            for share in known:
                left = left - share
            add(f"L{layer} rest", left, layer)
    for name, share in bias_terms.items():
        add(name, share)
    total_mean = float(total.mean())
    if run == "edited" and any(edit.site in _STREAM for edit in question.edits):
        # What an edit writes into the stream itself is no component's doing.
        parts.append(("edits", None, None))
        shares.append(total_mean - torch.stack(shares).sum())

    flat = torch.stack(shares)
    rest = {name: float(share) for (name, _, head), share in zip(parts, shares, strict=True) if head is None}
    if by == "source" and run == "edited" and any(edit.site == "z" for edit in question.edits):
        # What is written into z comes from no source.
        rest["edits of z"] = float(torch.stack(per_head).nansum() - torch.stack(per_source).nansum())
    chosen = {
        "component": lambda: flat,
        "head": lambda: torch.stack(per_head),
        "source": lambda: torch.stack(per_source),
    }[by]()
    return AttributionResult(
        provenance=provenance(question, run, "one forward pass", started, notes=_notes(question, run)),
        values=chosen,
        by=by,
        components=tuple(parts),
        rest=rest,
        total=total_mean,
        residue=float(_logit_difference(question, values).mean()) - float(flat.sum()),
    )


def _mean(question: Question, each: list[AttributionResult], started: float) -> AttributionResult:
    """Over draws: the norm's scale is another one in each, so what adds up is each draw of its own."""
    first = each[0]

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(each)

    return replace(
        first,
        provenance=provenance(
            question, "edited", f"{len(each)} forward passes", started, notes=_notes(question, "edited")
        ),
        values=torch.stack([one.values for one in each]).mean(0),
        rest={name: mean(one.rest[name] for one in each) for name in first.rest},
        total=mean(one.total for one in each),
        residue=mean(one.residue for one in each),
    )


def _logit_difference(question: Question, values: dict[Key, torch.Tensor]) -> torch.Tensor:
    """The logit difference of the model's own output, after any softcap: [prompt]."""
    return measure("logit_diff", values["logits", None], question.rows())


def _positions(question: Question, run: str, values: dict[Key, torch.Tensor]) -> torch.Tensor:
    """What position embeddings add: [prompt, d_model]; as the unedited run has it where the first stream is edited."""
    if run != "edited" or not any(edit.site == "resid_pre" for edit in question.edits):
        return values["resid_pre", 0].float() - values["embed", None].float()
    batch = question.batch(run)
    plain = question.values(question.base, [("resid_pre", 0), ("embed", None)])
    added = plain["resid_pre", 0].float() - plain["embed", None].float()
    return added[torch.arange(len(batch)), question.columns(batch)]


def _notes(question: Question, run: str) -> tuple[str, ...]:
    notes = []
    if run == "edited" and any(edit.site == "logits" for edit in question.edits):
        notes.append("What edits write into the logits themselves is no component's doing: it is in the residue.")
    if question.metric != "logit_diff":
        notes.append(f"Attribution is of the logit difference; the metric shown elsewhere is {question.metric}.")
    if question.sequential:
        notes.append("Of an answer of several tokens the direction is that of its first.")
    if question.model.architecture.softcap is not None:
        notes.append("Of the logits before the model's softcap.")
    return tuple(notes)


def _captured(question: Question, run: str, with_pattern: bool) -> dict[Key, torch.Tensor]:
    """The answer position of every site that is needed: [prompt, ...]; whole runs only for v and positions."""
    model, batch = question.model, question.batch(run)
    values = dict(at_answer(question, run))
    rows, columns = torch.arange(len(batch)), question.columns(batch)
    if with_pattern:
        model.require("pattern")
        heads = [layer for kind, layer in values if kind == "z" and layer is not None]
        for layer in heads:
            model.require("pattern", layer)
        more = question.values(run, [(kind, layer) for layer in heads for kind in ("pattern", "v")])
        for layer in heads:
            values["pattern", layer] = more["pattern", layer][rows, :, columns]
            values["v", layer] = more["v", layer]
    return values


def _direction(
    question: Question, values: dict[Key, torch.Tensor]
) -> tuple[_Direction, dict[str, torch.Tensor], torch.Tensor]:
    """The map from written to logits, the terms of the biases, and the pre-softcap logit difference: all [prompt]."""
    model = question.model
    parts = model.architecture
    normed = values["final_norm", None].float()
    norm, s = frozen_norm(model, values["resid_post", model.n_layers - 1])
    u = answer_direction(question) * parts.logit_scale
    unembed = model.shadow.get_submodule(parts.unembed)
    bias = getattr(unembed, "bias", None)
    terms = {"norm bias": (norm.bias * u).sum(-1)}
    total = (normed * u).sum(-1)
    if bias is not None:
        terms["unembedding bias"] = _rows_of(question, bias) * parts.logit_scale
        total = total + terms["unembedding bias"]
    return _Direction(norm.gain * u / s, norm), terms, total


def frozen_norm(model: Model, last: torch.Tensor) -> tuple[Norm, torch.Tensor]:
    """The final norm, and its scale [..., 1] float32 for what leaves the last layer [..., d_model].

    The norm itself is asked for its scale: what was captured behind it may have been edited.
    """
    module = model.shadow.get_submodule(str(model.architecture.final_norm))
    norm = read_norm(module, model.d_model)
    with torch.no_grad():
        return norm, norm.scale(last, module(last))


def heads_added(model: Model, layer: int, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What each head adds to the stream, [..., head, d_model], and what the attention's biases add, [..., d_model].

    Args:
        model, layer: whose attention.
        z: [prompt, head, d_head_v] at one position; after a post-norm its scale there is frozen.

    Returns:
        Both float32.
    """
    weight, bias = _out_projection(model, layer, z)
    written = head_results(z.float(), weight)
    through, extra = _post_norm(model, layer, (written.sum(1) + bias).to(z.dtype))
    return through(written), through(bias.expand(z.shape[0], -1)) + extra


def _out_projection(model: Model, layer: int, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """W_O [head * d_head_v, d_model] and b_O [d_model], float32."""
    projection = model.shadow.get_submodule(str(model.architecture.layers[layer].out_proj))
    weight, bias = projection_of(projection, z.shape[-2] * z.shape[-1])
    zero = torch.zeros(model.d_model, dtype=torch.float32, device=z.device)
    return weight.detach().float(), zero if bias is None else bias.detach().float()


def _layer(
    question: Question, layer: int, values: dict[Key, torch.Tensor], direction: _Direction, with_sources: bool
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Shares of one layer's heads [prompt, head], of their sources [prompt, head, src], and of its bias [prompt]."""
    model, z = question.model, values["z", layer]
    added, bias = heads_added(model, layer, z)
    heads, bias_share = direction.of(added), direction.of(bias)
    if not with_sources:
        return heads, None, bias_share
    pattern, v = values["pattern", layer].float(), values["v", layer].float()
    v = v.repeat_interleave(model.n_heads // v.shape[2], dim=2)
    moved = torch.einsum("phs,pshv->phsv", pattern, v)
    weight, own_bias = _out_projection(model, layer, z)
    through, _ = _post_norm(model, layer, (head_results(z.float(), weight).sum(1) + own_bias).to(z.dtype))
    by_head = weight.reshape(model.n_heads, -1, weight.shape[-1])
    sources = direction.of(through(torch.einsum("phsv,hvd->phsd", moved, by_head)))
    return heads, sources, bias_share


def _post_norm(model: Model, layer: int, before: torch.Tensor):  # type: ignore[no-untyped-def]
    """The linear map from what heads write to the stream, and what its bias adds.

    A family's factor, or a post-norm at its frozen scale; the identity in most.
    """
    parts = model.architecture.layers[layer]
    path, factor = parts.attn_post_norm, parts.attn_scale
    if path is None:
        return (lambda written: written if factor == 1.0 else written * factor), torch.zeros_like(before)
    module = model.shadow.get_submodule(path)
    norm = read_norm(module, model.d_model)
    with torch.no_grad():
        s = norm.scale(before, module(before))

    def through(written: torch.Tensor) -> torch.Tensor:
        extra_axes = written.ndim - s.ndim
        return factor * norm.shape(written) / s.reshape(s.shape[0], *(1,) * extra_axes, 1)

    return through, factor * norm.bias.expand_as(before)
