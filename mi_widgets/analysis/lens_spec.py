"""What is asked of a lens, and whether it can be."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadInput, PromptMismatch
from ..interventions.question import Question
from .lens_head import require_contributions
from .lens_measures import MEASURES, reason_against
from .lens_rows import LensRow, rows_of
from .translators import Translators

RUNS = ("clean", "corrupted", "edited", "difference", "change")
"""The first three are runs; difference = clean - corrupted, change = edited - the unedited base."""

MOST = 1000
"""Top tokens that can be asked for."""


@dataclass(frozen=True)
class LensSpec:
    """What is asked of a lens.

    Attributes:
        run: one of `RUNS`.
        at: sites of the rows; see `lens_rows.rows_of`.
        rows: (site, layer) of some of these rows; None = all.
        columns: half-open range of positions; None = all.
        k: top tokens of a cell.
        track: tokens that are followed.
        measures: names of `lens_measures.MEASURES`; nothing is worked out that is not asked for.
        translators: of a tuned lens; None = the plain lens.
        positions: single positions in place of a range, rising.
    """

    run: str = "edited"
    at: tuple[str, ...] = ("resid_post",)
    rows: tuple[tuple[str, int], ...] | None = None
    columns: tuple[int, int] | None = None
    k: int = 5
    track: tuple[int, ...] = ()
    measures: tuple[str, ...] = ()
    translators: Translators | None = None
    positions: tuple[int, ...] | None = None


def check_lens(question: Question, spec: LensSpec) -> tuple[tuple[LensRow, ...], tuple[int, ...]]:
    """The rows and positions of a lens; nothing is run.

    Args:
        question: about one prompt.
        spec: what is asked.

    Raises:
        BadInput, PromptMismatch, SiteUnavailable: what is wrong with it.
    """
    model = question.model
    if spec.run not in RUNS:
        raise BadInput(f"There is no run {spec.run!r}.", hint=f"Runs: {', '.join(RUNS)}.")
    names = runs_of(question, spec.run)
    lengths = [question.batch(name).width for name in names]
    if len(set(lengths)) > 1:
        raise PromptMismatch(
            f"The prompts differ in length ({lengths[0]} and {lengths[1]} tokens), so their lenses have no difference.",
            hint="Look at one after the other, or make the prompts equally long.",
        )
    if not 1 <= spec.k <= min(MOST, model.architecture.d_vocab):
        raise BadInput(f"k is from 1 to {min(MOST, model.architecture.d_vocab)}, not {spec.k!r}.", hint="Use k=5.")
    for token in spec.track:
        if not 0 <= token < model.architecture.d_vocab:
            raise BadInput(f"Token id {token} is outside the vocabulary.", hint=f"It has {model.architecture.d_vocab}.")
    for name in spec.measures:
        if not isinstance(name, str) or name not in MEASURES:
            raise BadInput(f"There is no measure {name!r}.", hint=f"Measures: {', '.join(MEASURES)}.")
        reason = reason_against(question, name)
        if reason is not None:
            raise BadInput(reason, hint="For example answer=' Mary'.")
    if spec.translators is not None:
        spec.translators.require(model)
    rows = rows_of(model, spec.at)
    require_contributions(model, spec.at)
    model.require("resid_post", model.n_layers - 1)
    if spec.rows is not None:
        known = {row.key: row for row in rows}
        lacking = [key for key in spec.rows if tuple(key) not in known]
        if lacking or not spec.rows:
            what = f"there is no row {lacking[0]}" if lacking else "no row is asked for"
            raise BadInput(f"Of this lens {what}.", hint=f"It has {rows[0].label} to {rows[-1].label}.")
        chosen = {tuple(key) for key in spec.rows}
        rows = tuple(row for row in rows if row.key in chosen)
    if spec.positions is not None:
        positions = tuple(sorted(set(spec.positions)))
    else:
        positions = tuple(range(*(spec.columns or (0, lengths[0]))))
    if not positions or positions[0] < 0 or positions[-1] >= lengths[0]:
        raise BadInput(
            f"Positions {spec.positions or spec.columns} are not within the prompt's {lengths[0]} tokens.",
            hint=f"Use 0 to {lengths[0] - 1}.",
        )
    return rows, positions


def runs_of(question: Question, run: str) -> tuple[str, ...]:
    """The runs behind what is shown, that on top first: one, or the two that are compared."""
    if run == "difference":
        return "clean", "corrupted"
    return ("edited", question.base) if run == "change" else (run,)
