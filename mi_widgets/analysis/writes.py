"""What a head writes: the tokens that it promotes and suppresses at a position, directly."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import BadInput
from ..interventions.question import Question
from ..model.numbers import whole
from ..results import Provenance
from .attribution import frozen_norm, heads_added, require_direct
from .common import provenance

ROWS = 2**14
"""Tokens whose unembedding is worked out at once, in float32."""

PROMPTS = 16
"""Prompts whose logits exist at once."""

Token = tuple[int, str, float]
"""Id, text with its leading space, and logits."""


@dataclass(frozen=True)
class HeadWrites:
    """What a head adds to the logits at one position, directly; of several prompts the mean.

    Attributes:
        run, layer, head: which head, in which run.
        position: in the prompt's own tokens, counted from 0.
        promoted, suppressed: the tokens whose logits it raises and lowers most, the strongest first; relative
            to the mean over the vocabulary.
        logit_effect: what it writes along the answer direction there, in logits; None without an answer.
        provenance: where it came from.
    """

    run: str
    layer: int
    head: int
    position: int
    promoted: tuple[Token, ...]
    suppressed: tuple[Token, ...]
    logit_effect: float | None
    provenance: Provenance


def head_writes(
    question: Question, run: str, layer: int, head: int, position: int | str = -1, k: int = 10
) -> HeadWrites:
    """The direct effect of a head's result on the logits at a position, through the final norm at its scale there.

    A contribution c gives ((c - mean(c) if the norm centres) / s) * gain @ W_U * logit_scale, minus its mean over
    the vocabulary, with s the final norm's scale at that position of this run, frozen; before any softcap. After a
    post-norm the post-norm's scale is frozen too. At the answer position its `logit_effect` is that of `attribute`.

    Args:
        question: about one prompt, or about several of one length: then the mean over them, each at its own scale.
        run: "clean", "corrupted" or "edited".
        layer, head: which query head.
        position: where, in the prompt's own tokens; or a named position.
        k: how many tokens either way.

    Raises:
        BadInput: numbers out of range.
        SiteUnavailable: the layer has no heads, or the model's logits are no linear map of the final norm's output.

    Example:
        >>> import mi_widgets as mi
        >>> question = mi.Experiment(mi.load(), "Mary went to the store").snapshot()
        >>> found = head_writes(question, "clean", 3, 1, k=2)
        >>> len(found.promoted), found.promoted[0][2] > 0 > found.suppressed[0][2]
        (2, True)
    """
    started = time.perf_counter()
    model, batch = question.model, question.batch(run)
    number, many = whole(head), whole(k)
    at = whole(layer)
    if at is None:
        raise BadInput(f"layer is a whole number, not {layer!r}.", hint=f"Use 0 to {model.n_layers - 1}.")
    model.require("z", at)
    if number is None or not 0 <= number < model.n_heads:
        raise BadInput(f"Head {head!r} does not exist: layers have {model.n_heads}.", hint="Count from 0.")
    if many is None or not 1 <= many <= model.architecture.d_vocab:
        raise BadInput(f"k is a whole number from 1 to {model.architecture.d_vocab}, not {k!r}.", hint="Use k=10.")
    require_direct(model)
    column = batch.column(0, position)
    keys = (("z", at), ("resid_post", model.n_layers - 1))
    values = {key: value[:, column] for key, value in question.values(run, keys).items()}
    norm, scale = frozen_norm(model, values["resid_post", model.n_layers - 1])
    added, _ = heads_added(model, at, values["z", at])
    normed = norm.shape(added[:, number].to(scale.device)) / scale
    logits, along = _unembedded(question, normed)
    return HeadWrites(
        run=run,
        layer=at,
        head=number,
        position=column - batch.pads[0],
        promoted=_top(question, logits, many),
        suppressed=_top(question, -logits, many, sign=-1.0),
        logit_effect=along,
        provenance=provenance(question, run, "one forward pass", started, notes=_notes(question)),
    )


def _unembedded(question: Question, normed: torch.Tensor) -> tuple[torch.Tensor, float | None]:
    """[prompt, d_model] -> [vocab] float32 logits less their mean, and their part along the answer direction.

    Both are the mean over the prompts, and without the unembedding's bias.
    """
    parts = question.model.architecture
    weight: Any = question.model.shadow.get_submodule(parts.unembed).weight
    total, along = torch.zeros(len(weight)), []
    for first in range(0, len(normed), PROMPTS):
        some = normed[first : first + PROMPTS].T
        with torch.no_grad():
            pieces = [rows.detach().float() @ some.to(rows.device) for rows in weight.split(ROWS)]
        logits = torch.cat(pieces).cpu() * parts.logit_scale
        logits = logits - logits.mean(0)
        total += logits.sum(1)
        along += [_along(question, first + row, own) for row, own in enumerate(logits.T)]
    return total / len(normed), None if question.answer is None else sum(along) / len(along)


def _top(question: Question, logits: torch.Tensor, k: int, sign: float = 1.0) -> tuple[Token, ...]:
    values, ids = logits.topk(k)
    return tuple(
        (int(i), question.model.text.piece(int(i)), sign * float(value)) for value, i in zip(values, ids, strict=True)
    )


def _along(question: Question, row: int, logits: torch.Tensor) -> float:
    """The part of a prompt's [vocab] logits along its own answer direction; 0 without an answer."""
    right, wrong = (
        0.0 if asked is None else float(logits[list(asked.ids[row])].mean())
        for asked in (question.answer, question.distractor)
    )
    return right - wrong


def _notes(question: Question) -> tuple[str, ...]:
    return ("Of the logits before the model's softcap.",) if question.model.architecture.softcap is not None else ()
