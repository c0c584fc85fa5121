"""What an edit reads, and at which positions it writes: from a run, a tensor, a mean, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..errors import BadInput, PromptMismatch
from ..model.access import Key
from ..model.batches import Batch
from ..model.handle import Model
from .attention_edits import Knockout, SetPattern
from .edit_kinds import Add, Reading
from .edits import DoesNotFit, Edit, several
from .layouts import SQUARE, at_positions, given, own, picked, site_axes
from .means import mean_at
from .moving import turned
from .prompts import NAMED
from .set_edits import Mean, Resample
from .sources import Source, Sources

Positions = tuple[int, ...]

There = Callable[[Key, int], torch.Tensor | None]
"""What is read at the edited positions of a row: [position, ...site axes], or None."""


@dataclass(frozen=True, eq=False)
class Reader:
    """Where one edit writes in each prompt, and what it reads there.

    Attributes:
        positions: for each row, in the prompt's own tokens.
        there: what is read.
        edits: for each row the edit, with nothing left that depends on the prompt's length.
        moves: for each row whether a value is carried to another position.
    """

    positions: Sequence[Positions]
    there: There
    edits: Sequence[Edit]
    moves: Sequence[bool] = ()


def reader_of(model: Model, batch: Batch, edit: Edit, base: str, sources: Sources) -> Reader:
    """Where an edit of these prompts writes and what it reads.

    Raises:
        BadInput, PromptMismatch: positions that are not there or do not pair, a run that is not there, a tensor that
            does not fit.
    """
    if isinstance(edit, Resample):
        raise BadInput(f"{edit} stands for {edit.n} runs.", hint="Run its draws one by one: see draws_of.")
    if isinstance(edit, Reading) and edit.source is not None and not isinstance(edit.source, torch.Tensor):
        return _from_run(model, edit, batch, base, sources)
    positions = _positions(edit, batch)
    edits: list[Edit] = [edit] * len(batch)
    there: There = _nothing
    if isinstance(edit, Knockout):
        edits = [_cut(edit, batch, row, positions[row]) for row in range(len(batch))]
    elif isinstance(edit, Reading) and isinstance(edit.source, torch.Tensor):
        there = _from_tensor(edit.source, batch, positions, sources)
    elif isinstance(edit, Mean):
        there = _from_mean(edit, batch, positions, sources)
    elif isinstance(edit, Add) and isinstance(edit.vector, torch.Tensor):
        there = _added(edit.vector, batch, positions, sources)
    elif isinstance(edit, SetPattern):
        there = _weights(edit, model, batch, positions, sources)
    return Reader(positions, there, edits)


def _nothing(key: Key, row: int) -> None:
    """Nothing is read."""


def _positions(edit: Edit, batch: Batch) -> list[Positions]:
    """The positions an edit names in each prompt, counted from its front; all where it names none."""
    if edit.position is None:
        return [tuple(range(length)) for length in batch.lengths]
    return [tuple(batch.column(row, p) - batch.pads[row] for p in several(edit.position)) for row in range(len(batch))]


def _from_tensor(tensor: torch.Tensor, batch: Batch, positions: Sequence[Positions], sources: Sources) -> There:
    def there(key: Key, row: int) -> torch.Tensor:
        what = "The source tensor"
        whole = given(key[0], tensor, sources.number(row), sources.count, what)
        return at_positions(whole, positions[row], batch.lengths[row], row, what)

    return there


def _from_mean(edit: Mean, batch: Batch, positions: Sequence[Positions], sources: Sources) -> There:
    return lambda key, row: mean_at(edit, key, batch, row, positions[row], sources)


def _added(vector: torch.Tensor, batch: Batch, positions: Sequence[Positions], sources: Sources) -> There:
    """See `Add.vector` for its shapes; without a position axis the same is added everywhere."""

    def there(key: Key, row: int) -> torch.Tensor:
        kind, axes, what = key[0], site_axes(key[0]), "The vector"
        if vector.ndim < 2 or (vector.ndim == axes and kind not in SQUARE):
            return vector.reshape((1,) * (axes + 1 - vector.ndim) + tuple(vector.shape))
        if vector.ndim == 2 and kind in SQUARE:
            by_position = vector[:, None]
        else:
            by_position = given(kind, vector, sources.number(row), sources.count, what)
        return at_positions(by_position, positions[row], batch.lengths[row], row, what)

    return there


def _weights(edit: SetPattern, model: Model, batch: Batch, positions: Sequence[Positions], sources: Sources) -> There:
    """[dest, head, src] for all heads; those that are not edited stay zero and are never read."""
    heads = list(range(model.n_heads)) if edit.head is None else several(edit.head)

    def there(key: Key, row: int) -> torch.Tensor:
        length, at = batch.lengths[row], list(positions[row])
        weights = edit.weights
        if weights.ndim == 4 and weights.shape[0] == sources.count:
            weights = weights[sources.number(row)]
        if weights.ndim < 3:
            weights = weights.reshape(1, -1, weights.shape[-1])
        if weights.ndim == 3 and weights.shape[1] == length != len(at):
            weights = weights[:, at]
        if weights.ndim == 3 and weights.shape[0] == model.n_heads != len(heads):
            weights = weights[heads]
        fits = weights.ndim == 3 and weights.shape[2] == length
        if not fits or weights.shape[0] not in (1, len(heads)) or weights.shape[1] not in (1, len(at)):
            raise BadInput(
                f"weights are {list(edit.weights.shape)}; {len(heads)} heads, {len(at)} destinations and {length} "
                "sources are edited.",
                hint="Give [src], [dest, src] or [head, dest, src] in the base prompt's positions.",
            )
        later = torch.arange(length) > torch.tensor(at)[:, None]
        if bool((weights.detach().cpu() != 0).logical_and(later).any()):
            raise DoesNotFit(
                "weights are not zero where the source comes after the destination.",
                hint="A position sees itself and what is before it.",
            )
        whole = weights.new_zeros(len(at), model.n_heads, length)
        whole[:, heads] = weights.transpose(0, 1)
        return whole

    return there


def _cut(edit: Knockout, batch: Batch, row: int, positions: Positions) -> Knockout:
    """The edit with its sources counted from the front of one prompt."""
    sources = tuple(batch.column(row, s) - batch.pads[row] for s in several(edit.src))
    bare = [p for p in positions if set(range(p + 1)) <= set(sources)]
    if bare:
        raise DoesNotFit(
            f"{edit} takes the last source of position {bare[0]}.", hint="Leave each position one to look at."
        )
    blind = [] if edit.position is None else [p for p in positions if min(sources) > p]
    if blind:
        raise DoesNotFit(
            f"{edit} cuts nothing: position {blind[0]} sees only what is up to it.", hint="src comes before dest."
        )
    return edit if tuple(several(edit.src)) == sources else edit.on(src=sources)


def _from_run(model: Model, edit: Reading, batch: Batch, base: str, sources: Sources) -> Reader:
    source = source_of(edit, sources)
    rows = range(len(batch))
    whole = edit.position is None
    positions = [tuple(sorted(source.pairs[row])) for row in rows] if whole else _positions(edit, batch)
    read_at = [_partners(edit, source, positions[row], row) for row in rows]
    moves = [read_at[row] != positions[row] for row in rows]
    if source.name == base and getattr(edit, "alpha", 1.0) != 0 and not any(moves):
        raise BadInput(
            f"{edit} reads the same run, site and position it writes, so it changes nothing.",
            hint="Take another source, or another source_position.",
        )

    def there(key: Key, row: int) -> torch.Tensor:
        kind, at = key[0], source.row(row)
        if kind in SQUARE and source.batch.lengths[at] != batch.lengths[row]:
            raise PromptMismatch(
                f"A {kind} can only be carried between prompts of the same length.",
                hint="Carry z, or another site.",
            )
        value = picked(own(kind, source.read([key])[key], at, source.batch.pads[at]), read_at[row])
        if kind in ("q", "k") and moves[row]:
            comes_from = source.batch.prompts[at], read_at[row]
            return turned(model, key, value, comes_from, (batch.prompts[row], positions[row]), sources)
        return value

    return Reader(positions, there, [edit] * len(batch), moves)


def _partners(edit: Reading, source: Source, positions: Positions, row: int) -> Positions:
    """Where each edited position of a row is read, in the source prompt's own tokens."""
    at = source.row(row)
    if edit.source_position is not None:
        pad = source.batch.pads[at]
        return tuple(source.batch.column(at, p) - pad for p in several(edit.source_position))
    pairs = source.pairs[row]
    lost = [p for p in positions if p not in pairs]
    if lost:
        raise PromptMismatch(
            f"Position {lost[0]} of the base prompt has no partner in the {source.name} prompt.",
            hint="Give source_position, or another alignment.",
        )
    return tuple(pairs[p] for p in positions)


def source_of(edit: Reading, sources: Sources) -> Source:
    """The run that an edit reads.

    Raises:
        BadInput: it is not there.
    """
    given = edit.source
    if not isinstance(given, str) or given not in NAMED:
        return sources.of(given)
    source = sources.get(given)
    if source is None:
        name = ("clean" if sources.base == "corrupted" else "corrupted") if given == "other" else given
        what = str(edit) if edit.site is not None else f"A {type(edit).__name__.lower()}"
        raise BadInput(
            f"{what} reads the {name} prompt, and there is none.",
            hint="Give the experiment a corrupted prompt.",
        )
    return source


def pairing(edit: Edit, base: str, sources: Sources) -> tuple[frozenset[int], ...] | None:
    """For each prompt the base positions that find a partner in the run which an edit reads; None = it reads no run.

    Raises:
        BadInput: the run it reads is not there.
        PromptMismatch: the prompts differ in length and no alignment was given.
    """
    if not isinstance(edit, Reading) or edit.source is None or isinstance(edit.source, torch.Tensor):
        return None
    if edit.source_position is not None:
        return None
    return tuple(frozenset(row) for row in source_of(edit, sources).pairs)
