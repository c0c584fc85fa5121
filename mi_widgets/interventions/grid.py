"""The cells of a sweep: the same edit at every layer and position, head or unit that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadInput, PromptMismatch
from ..model.architecture import GLOBAL_SITES, HEAD_SITES
from ..model.batches import Batch
from ..model.handle import Model
from .edits import DoesNotFit, Edit, index_of, place_of
from .positions import from_end, is_name, label_of, rows_of

Positions = Sequence[int | str] | int | str | None

UNIT_SITES = frozenset({"mlp_pre", "mlp_post", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"})
"""Sites whose units (neurons, dimensions of the stream) can be an axis."""

MOST_CELLS = 1_000_000


@dataclass(frozen=True)
class Grid:
    """The cells of a sweep.

    Attributes:
        site: where.
        axes: axes after layer: of "unit", "head", "position".
        layers, heads, positions, units: labels along the axes; empty where there is no such axis. A position is a
            number in the base prompt's own tokens, negative from its end, or a name.
        tokens: what is read at each position of the first prompt.
        edits: {index: edit}, row by row; layers that do not have the site, and positions without a partner, have no
            cells.
        refused: {index: why} where there would be a cell and its edit cannot be done.
    """

    site: str
    axes: tuple[str, ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...] = ()
    positions: tuple[int | str, ...] = ()
    units: tuple[int, ...] = ()
    tokens: tuple[str, ...] = ()
    edits: dict[tuple[int, ...], Edit] = field(default_factory=dict)
    refused: dict[tuple[int, ...], DoesNotFit] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the layer axis and of `axes`."""
        sizes = {"head": len(self.heads), "position": len(self.positions), "unit": len(self.units)}
        return (len(self.layers), *(sizes[axis] for axis in self.axes))

    def position_at(self, index: tuple[int, ...]) -> int | str | None:
        """The position of a cell; None where there is no such axis."""
        return self.positions[index[1 + self.axes.index("position")]] if "position" in self.axes else None


def grid_of(
    model: Model,
    template: Edit,
    site: str,
    batch: Batch,
    layers: Sequence[int] | int | None = None,
    heads: Sequence[int] | int | None = None,
    positions: Positions = None,
    units: Sequence[int] | int | str | None = None,
    offered: Callable[[], Sequence[Collection[int]] | None] = lambda: None,
    fits: Callable[[Edit], DoesNotFit | None] = lambda edit: None,
) -> Grid:
    """Lay out the cells.

    Layer x position for sites of the stream; layer x head for sites with heads, and layer x unit where units are asked
    for, in both all positions at once unless positions are asked for too.

    Args:
        model: the model.
        template: the edit of every cell, without its place.
        site: where.
        batch: the base prompts.
        layers, heads: which; None = all.
        positions: which, by number or name; None = all where position is an axis by itself, "all" = make it one, and
            "from_end" = the same counted from the prompts' ends.
        units: which; "all" = every one; None = no such axis.
        offered: gives for each prompt the positions that have a partner in the source prompt, None = all; cells of
            others are left out.
        fits: says why an edit cannot be done where it acts; such cells are left out too, unless all are.

    Raises:
        DoesNotFit: no cell can be done.
        BadInput: numbers out of range, or an axis that the site does not have.
        SiteUnavailable: the model has no such site.
        PromptMismatch: prompts of different length, and positions counted from their front.
    """
    model.require(site)
    if site in GLOBAL_SITES:
        raise BadInput(f"{site} belongs to no layer.", hint="Run its edit by itself: exp.run(edit).")
    rows = _labels("layers", layers, model.n_layers)
    by_head = site in HEAD_SITES
    if heads is not None and not by_head:
        raise BadInput(f"{site} has no heads.", hint=f"Sites with heads: {', '.join(HEAD_SITES)}.")
    columns = _labels("heads", heads, getattr(model, HEAD_SITES[site])) if by_head else ()
    neurons = _units(model, site, units)
    by_position = positions is not None or not (by_head or neurons)
    places = _places(batch, positions) if by_position else ()
    if by_position and len(set(batch.lengths)) > 1 and any(isinstance(p, int) and p >= 0 for p in places):
        raise PromptMismatch(
            f"A sweep over positions needs base prompts of one length; these have {sorted(set(batch.lengths))} tokens.",
            hint="Give positions='from_end', or named positions: Experiment(positions={'io': [...]}).",
        )
    axes = ("unit",) * bool(neurons) + ("head",) * by_head + ("position",) * by_position
    count = len(rows) * max(1, len(neurons)) * max(1, len(columns)) * max(1, len(places))
    if count > MOST_CELLS:
        raise BadInput(f"This map would have {count} cells.", hint="Choose layers, heads, positions or units.")
    # What was asked for by number must pair, and says so where it does not.
    pairs = offered() if by_position and (positions is None or positions in ("all", "from_end")) else None
    grid = Grid(site, axes, rows, columns, places, neurons, tuple(label_of(batch, p) for p in places))
    for i, layer in enumerate(rows):
        if (site, layer) in model.architecture.missing_at:
            continue
        for a, unit in _each(neurons):
            for b, head in _each(columns):
                for c, position in _each(places):
                    if pairs is not None and position is not None and not _paired(batch, position, pairs):
                        continue
                    place = {"site": site, "layer": layer, "head": head, "position": position, "unit": unit}
                    index = (i, *a, *b, *c)
                    edit = template.on(**place)
                    why = fits(edit)
                    if why is None:
                        grid.edits[index] = edit
                    else:
                        grid.refused[index] = why
    if grid.refused and not grid.edits:
        raise grid.refused[min(grid.refused)]
    return grid


def _each(labels: Sequence[Any]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """(index along the axis, label), or one of each where there is no such axis."""
    yield from (((i,), label) for i, label in enumerate(labels)) if labels else [((), None)]


def _paired(batch: Batch, position: int | str, pairs: Sequence[Collection[int]]) -> bool:
    return all(p in own for row, own in zip(rows_of(batch, position), pairs, strict=True) for p in row)


def _labels(name: str, given: Any, count: int) -> tuple[int, ...]:
    index = index_of(name, given)
    labels = tuple(range(count)) if index is None else (index,) if isinstance(index, int) else index
    wrong = [i for i in labels if not 0 <= i < count]
    if wrong or not labels or len(set(labels)) != len(labels):
        raise BadInput(
            f"{name} {list(labels)} must be different numbers from 0 to {count - 1}.",
            hint="Leave it out for all.",
        )
    return labels


def _units(model: Model, site: str, units: Any) -> tuple[int, ...]:
    if units is None:
        return ()
    if site not in UNIT_SITES:
        raise BadInput(f"A sweep over units of {site} is not offered.", hint=f"Sites: {', '.join(sorted(UNIT_SITES))}.")
    count = _width(model, site)
    if isinstance(units, str):
        if units != "all":
            raise BadInput(f"units is None, 'all' or numbers, not {units!r}.", hint="Leave it out for no such axis.")
        return tuple(range(count))
    return _labels("units", units, count)


def _width(model: Model, site: str) -> int:
    """Units of a site: the width of the stream, or of the MLP."""
    if site not in ("mlp_pre", "mlp_post"):
        return model.d_model
    layer = next(i for i in model.layers_with("mlp_post") if i is not None)
    down: Any = model.shadow.get_submodule(str(model.architecture.layers[layer].down))
    weight = down.weight
    return int(weight.shape[0] if weight.shape[1] == model.d_model else weight.shape[1])


def _places(batch: Batch, positions: Positions) -> tuple[int | str, ...]:
    if positions is None or positions == "all":
        return tuple(range(min(batch.lengths))) if len(set(batch.lengths)) == 1 else tuple(range(max(batch.lengths)))
    if positions == "from_end":
        return from_end(batch)
    if isinstance(positions, str) and not is_name(positions):
        raise BadInput(
            f"positions is None, 'all', 'from_end', numbers or names, not {positions!r}.", hint="Leave it out for all."
        )
    place = place_of("positions", positions)
    several = [place] if isinstance(place, (int, str)) else list(place or ())
    rows_of(batch, tuple(several))  # says which prompt does not have one
    alike = len(set(batch.lengths)) == 1
    places = tuple(p if isinstance(p, str) else p % batch.lengths[0] if alike else p for p in several)
    if not places or len(set(places)) != len(places):
        raise BadInput(f"positions {list(places)} must be different.", hint="Leave it out for all.")
    return places
