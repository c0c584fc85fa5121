"""The question as a widget's header shows it: plain JSON values, as laid down in tests/contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import MiWidgetsError
from ..interventions.baselines import Baselines
from ..interventions.edit_kinds import Patch, Zero
from ..interventions.edits import Edit, Place
from ..interventions.hiding import hidden_by
from ..interventions.metrics import METRICS, Answer
from ..interventions.positions import rows_of
from ..interventions.question import Question
from ..interventions.set_edits import Mean
from ..model.handle import Model
from ..model.tokens import Tokens
from .edit_list import Entry


def question_on_wire(
    question: Question,
    entries: tuple[Entry, ...],
    baselines: Baselines | None,
    notices: tuple[str, ...] = (),
    prompt: int = 0,
    *,
    edited: float | None = None,
    history: Mapping[str, bool],
) -> dict[str, Any]:
    """See tests/contract/README.md, `question`.

    Args:
        question: with the enabled edits.
        entries: all edits, switched on or off.
        baselines: of the question, when they are known.
        notices: sentences about the model that come before all warnings.
        prompt: which of several prompts is shown.
        edited: metric of the live list, when it is known.
        history: of the live list: whether there is something to undo, and to redo.
    """
    clean = question.clean.prompts[prompt]
    corrupted = question.corrupted.prompts[prompt] if question.corrupted is not None else None
    warnings = [
        *notices,
        *clean.warnings,
        *(f"Corrupted prompt: {w}" for w in (corrupted.warnings if corrupted is not None else ())),
    ]
    warnings += [sentence for sentence in question.warnings if sentence not in warnings]
    if corrupted is not None and len(clean) != len(corrupted):
        warnings.append(f"The prompts differ in length: clean has {len(clean)} tokens, corrupted has {len(corrupted)}.")
    if len(question.clean) > 1:
        warnings.append(_which(prompt, len(question.clean)))
    where = question.answer_position
    row = (
        question.clean.column(prompt, where[prompt] if isinstance(where, tuple) else where)
        - question.clean.pads[prompt]
    )
    return {
        "rev": question.rev,
        "model": _model(question.model),
        "title": None,
        "arrays": False,
        "compare": None,
        "prompts": {
            "clean": prompt_on_wire(clean),
            "corrupted": prompt_on_wire(corrupted) if corrupted is not None else None,
        },
        "prompt": prompt,
        "n_prompts": len(question.clean),
        "answer": _answer(question.model, question.answer, prompt),
        "distractor": _answer(question.model, question.distractor, prompt),
        "metric": question.metric,
        "metric_label": METRICS[question.metric][1] if question.user_metric is None else question.metric,
        "metrics": _metrics(question),
        "base": question.base,
        "answer_position": row,
        "edits": edits_on_wire(question, entries, prompt),
        "history": dict(history),
        "baselines": _baselines(baselines, edited),
        "warnings": warnings,
    }


def _which(prompt: int, count: int) -> str:
    return f"This shows prompt {prompt + 1} of {count}."


def told_of_all(found: dict[str, Any], *sentences: str) -> dict[str, Any]:
    """A question on the wire whose picture is of all prompts: with these sentences in place of which one is shown.

    Args:
        found: from `question_on_wire`.
        sentences: what is said instead.
    """
    which = _which(found["prompt"], found["n_prompts"])
    told = [sentences if sentence == which else (sentence,) for sentence in found["warnings"]]
    return {**found, "warnings": [sentence for some in told for sentence in some]}


def _metrics(question: Question) -> list[list[str]]:
    """What a header offers: a page cannot set a function, but goes back to the one that was given."""
    own = question.custom
    names = [[name, label] for name, (_, label) in METRICS.items()]
    if question.sequential:
        names = [entry for entry in names if entry[0] == "logprob"]
    return [*names, *([[own.name, own.name]] if own is not None and not question.sequential else [])]


def edits_on_wire(question: Question, entries: tuple[Entry, ...], prompt: int = 0) -> list[dict[str, Any]]:
    """Chips: {"label", "on", "site", "note", "alpha", "source", "spec"}; an edit that another one overwrites says so.

    Args:
        question: whose base they are for.
        entries: in order.
        prompt: the one whose positions they tell.
    """
    on = [i for i, entry in enumerate(entries) if entry.on]
    batch = question.batch(question.base)
    length = batch.lengths[0] if len(set(batch.lengths)) == 1 else None
    paired = question.corrupted is None or question.clean.lengths == question.corrupted.lengths
    hidden = hidden_by([entries[i].edit for i in on], question.model, length, paired)
    over = {on[i]: entries[on[j]].edit for i, j in hidden.items()}
    return [
        {
            "label": entry.edit.words(len(batch)),
            "on": entry.on,
            "site": entry.edit.where,
            "note": f"has no effect: overwritten by {over[i]}" if i in over else entry.note,
            "alpha": entry.edit.alpha if isinstance(entry.edit, Patch) else None,
            "source": _source(question, entry.edit),
            "spec": spec_of(question, entry.edit, prompt),
        }
        for i, entry in enumerate(entries)
    ]


def _source(question: Question, edit: Edit) -> str | None:
    """The run of the experiment's own that an edit reads; None where it reads none of them."""
    source = getattr(edit, "source", None)
    if source == "other":
        return "corrupted" if question.base == "clean" else "clean"
    return source if source in ("clean", "corrupted") else None


def spec_of(question: Question, edit: Edit, prompt: int) -> dict[str, Any] | None:
    """An edit as a page could have asked for it (see tests/contract, `SPEC`); None for one that it could not.

    Args:
        question: whose base it is for.
        edit: what to tell.
        prompt: the one whose positions are told.
    """
    kind = {Patch: "patch", Zero: "zero", Mean: "mean"}.get(type(edit))
    source = getattr(edit, "source", "other")
    told = isinstance(edit.layer, int) and not isinstance(edit.head, tuple) and edit.unit is None
    if kind is None or not told or source not in ("other", "clean", "corrupted"):
        return None

    def places(run: str, place: Place) -> list[int] | None:
        return None if place is None else rows_of(question.batch(run), place)[prompt]

    read = getattr(edit, "source_position", None)
    try:
        return {
            "kind": kind,
            "site": edit.site,
            "layer": edit.layer,
            "head": edit.head,
            "positions": places(question.base, edit.position),
            "source": source,
            "source_positions": places(_source(question, edit) or question.base, read),
            "src": None,
            "alpha": getattr(edit, "alpha", 1.0),
        }
    except MiWidgetsError:
        # It was made for prompts that had such a position.
        return None


def _model(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "n_kv_heads": model.n_kv_heads,
        "d_model": model.d_model,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "missing": model.architecture.lacking,
    }


def prompt_on_wire(tokens: Tokens) -> dict[str, Any]:
    """A prompt as a header and axes show it: text, ids, labels, special positions."""
    return {
        "text": tokens.text,
        "ids": list(tokens.ids),
        "labels": list(tokens.strings),
        "special": list(tokens.special),
    }


def _answer(model: Model, answer: Answer | None, prompt: int) -> dict[str, Any] | None:
    if answer is None:
        return None
    ids = list(answer.ids[prompt])
    labels = [model.text.label(i) for i in ids]
    if answer.sequences is not None:
        labels = ["".join(model.text.label(i) for i in answer.sequences[prompt])]
    return {
        "texts": list(answer.texts[prompt]),
        "labels": labels,
        "ids": ids,
        "guessed": answer.guessed,
    }


def _baselines(known: Baselines | None, edited: float | None) -> dict[str, float | None] | None:
    if known is None:
        return None
    return {
        "clean": float(known.clean.mean()),
        "corrupted": float(known.corrupted.mean()) if known.corrupted is not None else None,
        "edited": edited,
    }
