"""Sweeps as they travel to the page: what a map is of, its columns, its cells as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mi_widgets.errors import PromptMismatch
from mi_widgets.widgets.arrays import Array, f32, i32, u8
from mi_widgets.widgets.edit_specs import KINDS, SITES, reason_against
from mi_widgets.widgets.lens_wire import shortened
from mi_widgets.widgets.plain import number, provenance_on_wire

if TYPE_CHECKING:
    from mi_widgets.experiment.sweeping import Standing
    from mi_widgets.interventions.edits import Edit
    from mi_widgets.interventions.question import Question
    from mi_widgets.results import SweepResult

__all__ = [
    "CELL_BYTES", "ESTIMATE", "EXACT", "NONE", "PENDING", "SAME", "Cells", "Grid", "SweepChoice", "Told",
    "by_head", "edits_on_wire", "joined", "map_on_wire", "places_of", "positions_of", "reason_against_edit",
    "sites_on_wire", "template_of",
]  # fmt: skip

PENDING, ESTIMATE, EXACT, SAME, NONE = range(5)
"""What is known of a cell: nothing yet, an estimate, a run; that it equals the base run; that it has no number."""

CELL_BYTES = 17
"""What a cell takes in a partial reply."""

PIECE = 3000
"""Cells that fit into one partial reply."""


@dataclass(frozen=True)
class SweepChoice:
    """Which sweep a page looks at.

    Attributes:
        site: where.
        edit: patch, zero or mean.
        base: the prompt that is edited.
        on_top: whether the live edits are under every cell.
    """

    site: str
    edit: str
    base: str
    on_top: bool = False

    @property
    def told(self) -> dict[str, Any]:
        """As the wire has it."""
        return {"site": self.site, "edit": self.edit, "base": self.base, "on_top": self.on_top}


# Which cells


def template_of(edit: str) -> Edit:
    """The edit of every cell of a sweep, without its place."""
    from mi_widgets.interventions.edit_kinds import Patch, Zero
    from mi_widgets.interventions.set_edits import Mean

    return {"patch": Patch, "zero": Zero, "mean": Mean}[edit]()


def by_head(site: str) -> bool:
    """Whether the columns of a sweep over a site are heads."""
    from mi_widgets.model.architecture import HEAD_SITES

    return site in HEAD_SITES


def positions_of(question: Question) -> str | None:
    """How positions are counted, as `Experiment.sweep` takes it: from the ends where prompts differ in length."""
    return "from_end" if len(set(question.batch(question.base).lengths)) > 1 else None


def places_of(question: Question, site: str) -> tuple[int, ...]:
    """What the columns of a sweep are: positions as they are read, or heads."""
    from mi_widgets.interventions.positions import from_end
    from mi_widgets.model.architecture import HEAD_SITES

    if by_head(site):
        return tuple(range(getattr(question.model, HEAD_SITES[site])))
    batch = question.batch(question.base)
    return tuple(range(batch.lengths[0])) if positions_of(question) is None else from_end(batch)[::-1]


def sites_on_wire(question: Question, edit: str) -> list[dict[str, Any]]:
    """The menu of sites, each with why an edit of this kind cannot be swept over it, or None."""
    return [
        {
            "name": site,
            "label": site,
            "reason": reason_against(question, site) or reason_against_edit(question, site, edit),
        }
        for site in SITES
    ]


def edits_on_wire(question: Question, site: str) -> list[dict[str, Any]]:
    """The menu of edits, each with why it cannot be swept over a site, or None."""
    return [{"name": edit, "reason": reason_against_edit(question, site, edit)} for edit in KINDS]


def reason_against_edit(question: Question, site: str, edit: str) -> str | None:
    """Why an edit cannot be done at a site of these prompts; None where it can."""
    from mi_widgets.interventions.reading import pairing
    from mi_widgets.interventions.set_edits import ENOUGH

    lengths = question.batch(question.base).lengths
    if edit == "mean":
        if len(lengths) < ENOUGH and site in ("q", "k", "pattern"):
            return f"{site} has no mean over a prompt's own positions, and a mean over prompts needs {ENOUGH} of them."
        if len(lengths) >= ENOUGH and len(set(lengths)) > 1:
            return "A mean over prompts needs prompts of one length."
    if edit != "patch":
        return None
    if question.corrupted is None:
        return "There is no other prompt to patch from: give a corrupted prompt."
    try:
        pairing(template_of(edit), question.base, question.sources())
    except PromptMismatch as problem:
        return str(problem)
    if site == "pattern" and question.clean.lengths != question.corrupted.lengths:
        return "A pattern can only be carried between prompts of the same length."
    return None


# A map


class Grid:
    """The columns of a map in the order in which they are read.

    Args:
        result: the map; layer x position or layer x head.
    """

    def __init__(self, result: SweepResult) -> None:
        (self.axis,) = result.axes
        places: Sequence[Any] = result.heads if self.axis == "head" else result.positions
        # Positions that are counted from the end come last to first.
        numbered = all(isinstance(place, int) for place in places)
        self.order = sorted(range(len(places)), key=lambda at: places[at]) if numbered else list(range(len(places)))
        self.places = [places[at] for at in self.order]
        self.layers = list(result.layers)

    def index(self, layer: int, place: int) -> tuple[int, int]:
        """Where the map has the cell of a layer and a position or head."""
        return self.layers.index(layer), self.order[self.places.index(place)]

    def columns(self, result: SweepResult, question: Question | None, prompt: int) -> list[dict[str, Any]]:
        """The columns as the wire has them, with the tokens of the prompt that is shown.

        Args:
            result: the map.
            question: it is of; None where there is none, and the map's own tokens stand.
            prompt: the one that is shown.
        """
        if self.axis == "head":
            named = _heads_named(result.site, question)
            return [{"position": None, "head": head, "label": named(head), "other": ""} for head in self.places]
        if question is None:
            tokens = {at: (result.tokens[at], result.source_tokens[at]) for at in self.order}
        else:
            tokens = dict(zip(self.order, _tokens(self.places, question, prompt, result.template), strict=True))
        return [
            {
                "position": place if isinstance(place, int) else None,
                "head": None,
                "label": shortened(tokens[at][0]),
                "other": shortened(tokens[at][1]) if tokens[at][1] != tokens[at][0] else "",
            }
            for at, place in zip(self.order, self.places, strict=True)
        ]

    def numbers(self, standing: Standing) -> dict[str, npt.NDArray[Any]]:
        """Metric, recovered, stderr and state of all cells, [layer, column]."""
        result, order = standing.result, self.order
        metric = result.metric.numpy()
        state = np.where(np.isfinite(metric), ESTIMATE, PENDING).astype(np.uint8)
        state[result.exact.numpy()] = EXACT
        state[result.same.numpy()] = SAME
        state[standing.none.numpy()] = NONE
        values = {"metric": metric, "recovered": result.recovered.numpy(), "stderr": result.stderr.numpy()}
        return {name: value[:, order] for name, value in {**values, "state": state}.items()}


def _heads_named(site: str, question: Question | None) -> Any:
    """How heads are called: key-value heads with the query heads they serve."""
    heads, own = (0, 0) if question is None else (question.model.n_heads, question.model.n_kv_heads)
    if site not in ("k", "v") or heads == own:
        return lambda head: f"H{head}"
    each = heads // own
    return lambda head: f"kv{head} (H{head * each}-H{head * each + each - 1})"


def _tokens(places: Sequence[Any], question: Question, prompt: int, template: Any) -> Iterator[tuple[str, str]]:
    """At each position the token of the base prompt that is shown, and the one it is patched with."""
    from mi_widgets.interventions.edit_kinds import Patch
    from mi_widgets.interventions.positions import rows_of

    batch = question.batch(question.base)
    source = question.sources().get("other") if isinstance(template, Patch) else None
    pairs: Mapping[int, int] = source.pairs[prompt] if source is not None else {}
    for place in places:
        (at,) = rows_of(batch, place)[prompt]
        partner = pairs.get(at)
        other = "" if source is None or partner is None else source.batch.prompts[prompt].strings[partner]
        yield batch.prompts[prompt].strings[at], other


def map_on_wire(
    standing: Standing,
    choice: SweepChoice,
    asked: Mapping[str, Any],
    question: Question | None,
    *,
    cancelled: bool = False,
    from_table: bool = False,
) -> dict[str, Any]:
    """What a map is of, and how far it is; see tests/contract, `sweep`.

    Args:
        standing: of the map.
        choice: which sweep it is.
        asked: the trait `question`.
        question: it is of; None where a finished map is shown without a model.
        cancelled: somebody stopped it.
        from_table: it was known before it was asked for.
    """
    result = standing.result
    grid, where = Grid(result), result.provenance
    lacking = {} if question is None else question.model.architecture.missing_at
    known = {layer: lacking[result.site, layer] for layer in result.layers if (result.site, layer) in lacking}
    name = result.metric_name
    if question is None:
        why = "This is a finished map: there is no model to run."
        sites = [{"name": site, "label": site, "reason": None if site == choice.site else why} for site in SITES]
        edits = [{"name": edit, "reason": None if edit == choice.edit else why} for edit in KINDS]
    else:
        sites, edits = sites_on_wire(question, choice.edit), edits_on_wire(question, choice.site)
    return {
        "rev": asked["rev"] if question is None else question.rev,
        "run": "edited",
        **choice.told,
        "axis": grid.axis,
        "layers": grid.layers,
        "columns": grid.columns(result, question, asked["prompt"]),
        "metric": name,
        "label": asked["metric_label"] if name == asked["metric"] else name,
        "baselines": {run: number(result.baselines.get(run, float("nan"))) for run in ("clean", "corrupted")},
        "n_prompts": len(result.per_prompt["metric"]) if "metric" in result.per_prompt else 1,
        "noise_floor": None if where.noise_floor is None else number(where.noise_floor),
        "done": standing.done,
        "total": standing.total,
        "complete": bool((grid.numbers(standing)["state"] >= EXACT).all()),
        "cancelled": cancelled,
        "from_table": from_table,
        "sites": sites,
        "edits_allowed": edits,
        "missing": {str(layer): reason for layer, reason in known.items()},
        "provenance": {**provenance_on_wire(where, float("nan")), "sweep_ms": number(round(where.milliseconds, 2))},
        "notes": list(where.notes),
    }


# Cells as they come


@dataclass(frozen=True)
class Cells:
    """Some cells of a map: what they are numbered (layer index * columns + column), and what is known of them."""

    at: npt.NDArray[np.int32]
    metric: npt.NDArray[np.float32]
    recovered: npt.NDArray[np.float32]
    stderr: npt.NDArray[np.float32]
    state: npt.NDArray[np.uint8]
    done: int
    total: int

    @property
    def arrays(self) -> dict[str, Array]:
        """As the wire has them."""
        values = {name: f32(getattr(self, name)) for name in ("metric", "recovered", "stderr")}
        return {"at": i32(self.at), **values, "state": u8(self.state, scale=1, offset=0)}


class Told:
    """What a page has been told of the cells of a map: only what is new is told again."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self.forget()

    def forget(self) -> None:
        """From now on everything is new."""
        self._state: npt.NDArray[Any] | None = None
        self._metric: npt.NDArray[Any] | None = None

    def news(self, standing: Standing) -> Iterator[Cells]:
        """The cells that are new, in pieces that fit into a message."""
        now = self._grid.numbers(standing)
        state, metric = now["state"].ravel(), now["metric"].ravel()
        new = state != PENDING
        if self._state is not None and self._metric is not None:
            known = (state == self._state) & ((metric == self._metric) | np.isnan(metric))
            new &= ~known
        self._state, self._metric = state, metric
        which = np.flatnonzero(new).astype(np.int32)
        for start in range(0, len(which), PIECE):
            at = which[start : start + PIECE]
            values = {name: value.ravel()[at] for name, value in now.items()}
            yield Cells(at, **values, done=standing.done, total=standing.total)


def joined(cells: Sequence[Cells]) -> Cells:
    """Cells that came one after the other, each once: what was told last holds."""
    at = np.concatenate([one.at for one in cells])
    # The last of each number: the first one from behind.
    kept, back = np.unique(at[::-1], return_index=True)
    last = len(at) - 1 - back

    def of(name: str) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = np.concatenate([getattr(one, name) for one in cells])[last]
        return found

    done, total = cells[-1].done, cells[-1].total
    return Cells(kept, of("metric"), of("recovered"), of("stderr"), of("state"), done, total)
