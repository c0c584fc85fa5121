"""Edits as a page asks for them and as chips tell them: plain fields, checked one by one against the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mi_widgets.errors import BadInput, SiteUnavailable
from mi_widgets.model.architecture import HEAD_SITES
from mi_widgets.widgets.ops import Params

if TYPE_CHECKING:
    from mi_widgets.interventions.edits import Edit
    from mi_widgets.interventions.question import Question
    from mi_widgets.interventions.set_edits import Mean

__all__ = ["KINDS", "SITES", "SOURCES", "edits_asked", "mean_of", "reason_against", "strength", "with_strength"]

KINDS = ("patch", "zero", "mean")
SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z", "q", "k", "v", "pattern")
"""What can be carried, in the order of the page's switch."""

SOURCES = ("other", "clean", "corrupted")
MOST_EDITS = 1000
"""That one request may bring: a column of the deepest models there are."""


def edits_asked(question: Question, params: Params, prompt: int, name: str = "edits", least: int = 1) -> list[Edit]:
    """The edits of a request, in order.

    A position is one of the prompt that is shown. Where the prompts of the base differ in length it stands for the one
    as far from the end in each of them.

    Args:
        question: about all prompts; its base is the one they are for.
        params: that hold a list of specs, {"kind", "site", "layer", "head", "positions", "source", "source_positions",
            "src", "alpha"}; see tests/contract.
        prompt: the one that is shown.
        name: of the list.
        least: how many there must be.

    Raises:
        BadInput, SiteUnavailable: which field of which edit is wrong, and what it may be.
    """
    return [_edit(question, each, prompt) for each in params.each(name, MOST_EDITS, least)]


def _edit(question: Question, params: Params, prompt: int) -> Edit:
    from mi_widgets.interventions.edit_kinds import Patch, Zero

    model = question.model
    kind, site = params.choice("kind", KINDS), params.choice("site", SITES)
    layer = params.integer("layer", 0, model.n_layers - 1)
    head = None
    if params.given("head"):
        if site not in HEAD_SITES:
            raise BadInput(f"{site} has no heads.", hint=f"Sites with heads: {', '.join(HEAD_SITES)}.")
        head = params.integer("head", 0, getattr(model, HEAD_SITES[site]) - 1)
    model.require(site, layer)
    if params.given("src"):
        raise BadInput("A patch moves whole rows, not one cell of a pattern.", hint="Leave src out.")
    positions = _positions(question, question.base, prompt, params, "positions")
    place = (site, layer, head, _one(positions))
    if kind != "patch":
        params.ignore("source", "source_positions", "alpha")
        params.end()
        if kind == "zero":
            return Zero(*place)
        return mean_of(question).on(site=site, layer=layer, head=head, position=_one(positions))
    source = params.choice("source", SOURCES) if params.given("source") else "other"
    run = _run_of(question, source)
    read = _positions(question, run, prompt, params, "source_positions")
    alpha = strength(params.number("alpha")) if params.given("alpha") else 1.0
    params.end()
    if read is not None and len(read) != len(positions or ()):
        raise BadInput(
            f"{len(read)} positions are read and {len(positions or ())} are written.",
            hint="Give as many source_positions as positions, or none.",
        )
    if run == question.base and (read is None or any(p == q for p, q in zip(positions or (), read, strict=True))):
        raise BadInput(
            f"This patch reads the {run} run where it writes it, which changes nothing.",
            hint="Carry it to another position, or take it from the other prompt.",
        )
    return Patch(*place, source=source, source_position=_one(read), alpha=alpha)


def _one(positions: tuple[int, ...] | None) -> int | tuple[int, ...] | None:
    """A single position as a number, as users and sweeps write it."""
    return positions[0] if positions is not None and len(positions) == 1 else positions


def _run_of(question: Question, source: str) -> str:
    """The run that a patch reads."""
    run = ("clean" if question.base == "corrupted" else "corrupted") if source == "other" else source
    if run not in question.unedited:
        raise BadInput(
            f"There is no {run} prompt to take this from.",
            hint="Give a second prompt, or carry it to another position of this one.",
        )
    return run


def _positions(question: Question, run: str, prompt: int, params: Params, name: str) -> tuple[int, ...] | None:
    if not params.given(name):
        return None
    lengths = question.batch(run).lengths
    length = lengths[prompt]
    found = params.places(name, max(question.batch(run).width for run in question.unedited), -length, length - 1)
    if name == "positions" and len({p % length for p in found}) < len(found):
        raise BadInput(f"{name} names a position twice.", hint="Name each once.")
    uneven = len(set(lengths)) > 1
    return tuple(p % length - length if uneven else p % length for p in found)


def mean_of(question: Question) -> Mean:
    """The mean that the prompts of a question allow, without a place: their own where they are enough."""
    from mi_widgets.interventions.set_edits import ENOUGH, Mean

    prompts = question.batch(question.base).prompts
    # As the whole list of prompts will have it when the edit is kept, also where one of them is previewed.
    return Mean(over=tuple(p.ids for p in prompts) if len(prompts) >= ENOUGH else None)


def reason_against(question: Question, site: str) -> str | None:
    """Why nothing can be carried at a site; None where it can, on one layer at least.

    Example:
        >>> import mi_widgets as mi
        >>> reason_against(mi.Experiment(mi.load(), "Mary went to the").snapshot(), "z") is None
        True
    """
    try:
        if question.model.layers_with(site):
            return None
        return f"No layer of {question.model.name} has {site}."
    except SiteUnavailable as problem:
        return str(problem)


def strength(alpha: float) -> float:
    """A strength that a page may ask for.

    Raises:
        BadInput: outside 0..1.
    """
    if not 0 <= alpha <= 1:
        raise BadInput(f"The strength of a patch lies in 0 to 1, not {alpha:g}.", hint="1 replaces, 0 changes nothing.")
    return alpha


def with_strength(edit: Edit, alpha: float) -> Edit:
    """The same edit at another strength.

    Raises:
        BadInput: it has none, or that is none for it.
    """
    from mi_widgets.interventions.edit_kinds import Patch

    if not isinstance(edit, Patch):
        raise BadInput(f"{edit} has no strength.", hint="Only patches have; remove it, or switch it off.")
    return edit.on(alpha=strength(alpha))
