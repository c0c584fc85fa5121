"""Which edits have no effect, because a later one overwrites all that they could have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import MiWidgetsError
from ..model.architecture import HEAD_SITES
from ..model.handle import Model
from .edit_kinds import Reading
from .edits import Edit, Place, several
from .writes import keys_of

_ATTENTION = ("q", "scores", "pattern", "z", "result")

_FEEDS: dict[str, tuple[str, ...]] = {
    "scores": _ATTENTION[:1],
    "pattern": _ATTENTION[:2],
    "z": _ATTENTION[:3],
    "result": _ATTENTION[:4],
    "attn_out": _ATTENTION,
    "resid_mid": (*_ATTENTION, "attn_out"),
    "mlp_post": ("mlp_pre",),
    "mlp_out": ("mlp_pre", "mlp_post"),
    "resid_post": (*_ATTENTION, "attn_out", "resid_mid", "mlp_pre", "mlp_post", "mlp_out"),
}
"""What, inside a layer, acts on a position through this site of the same position alone."""

_SOURCES = {"k": ("scores", "pattern", "z", "result"), "v": ("z", "result")}
"""What keys and values act through, at the positions that look at them."""

_STREAM = ("resid_pre", "resid_mid", "resid_post")


@dataclass(frozen=True)
class _Reach:
    """Where an edit acts; None = everywhere along an axis."""

    site: str
    layers: frozenset[int | None]
    heads: frozenset[int] | None
    positions: frozenset[int | str] | None
    units: frozenset[int] | None

    def covers(self, other: _Reach, *axes: str) -> bool:
        pairs = [(getattr(self, axis), getattr(other, axis)) for axis in axes]
        return all(mine is None or (theirs is not None and theirs <= mine) for mine, theirs in pairs)

    @property
    def whole(self) -> bool:
        """All of the site, at every position."""
        return self.positions is None and self.heads is None and self.units is None


def hidden_by(edits: Sequence[Edit], model: Model, length: int | None = None, paired: bool = True) -> dict[int, int]:
    """The edits that change nothing, since another one overwrites whatever they did.

    Only what is certain is told: an edit that several others hide together is not in the answer.

    Args:
        edits: those that are on, in list order.
        model: the model.
        length: tokens of the base prompt, so that position -1 is known for the last one; None = not known.
        paired: every base position has a partner in the other prompts, so that a patch of all positions reaches all.

    Returns:
        {index of an edit: index of the one that hides it}.

    Example:
        >>> import mi_widgets as mi
        >>> hidden_by([mi.Patch("z", 1, head=2), mi.Zero("attn_out", 1), mi.Zero("z", 2)], mi.load())
        {0: 1}
    """
    reaches = [_reach(edit, model, length) for edit in edits]
    hidden = {}
    for i, mine in enumerate(reaches):
        for j, theirs in enumerate(reaches):
            if i == j or mine is None or theirs is None or not edits[j].overwrites:
                continue
            part = isinstance(edits[j], Reading) and theirs.positions is None and not paired
            if not part and _hides(theirs, mine, model, length, later=j > i):
                hidden[i] = j
                break
    return hidden


def _reach(edit: Edit, model: Model, length: int | None) -> _Reach | None:
    try:
        layers = frozenset(layer for _, layer in keys_of(model, edit))
    except MiWidgetsError:
        return None
    assert edit.site is not None
    heads = None if edit.head is None else frozenset(several(edit.head))
    if heads is not None and len(heads) == getattr(model, HEAD_SITES[edit.site]):
        heads = None
    units = None if edit.unit is None else frozenset(several(edit.unit))
    return _Reach(edit.site, layers, heads, _positions(edit.position, length), units)


def _positions(place: Place, length: int | None) -> frozenset[int | str] | None:
    if place is None:
        return None
    found = frozenset(p % length if isinstance(p, int) and length and p < 0 else p for p in several(place))
    return None if length and found >= set(range(length)) else found


def _acting(under: _Reach, model: Model, length: int | None) -> _Reach:
    """Where keys or values act: through the query heads that share them, at the positions from theirs on."""
    each = model.n_heads // model.n_kv_heads
    heads = None if under.heads is None else frozenset(h * each + i for h in under.heads for i in range(each))
    known = [p for p in under.positions or () if isinstance(p, int)]
    positions = None
    if length and known and len(known) == len(under.positions or ()):
        positions = frozenset(range(min(known), length)) if min(known) else None
    return replace(under, heads=heads, positions=positions)


def _hides(over: _Reach, under: _Reach, model: Model, length: int | None, later: bool) -> bool:
    """Whether all layers of one edit are overwritten by another that leaves nothing of what was there."""
    return all(any(_hides_at(over, b, under, a, model, length, later) for b in over.layers) for a in under.layers)


def _hides_at(
    over: _Reach, b: int | None, under: _Reach, a: int | None, model: Model, length: int | None, later: bool
) -> bool:
    if (over.site, b) == (under.site, a):
        return later and over.covers(under, "heads", "positions", "units")
    here, there = _order(under.site, a, model.n_layers), _order(over.site, b, model.n_layers)
    if over.whole and (over.site in _STREAM or b is None) and here < there and under.site != "logits":
        return True
    if (under.site, over.site) == ("resid_post", "resid_pre") and a is not None and b == a + 1:
        return over.covers(under, "positions", "units")
    if a != b:
        return False
    if under.site in _SOURCES:
        acts = _acting(under, model, length)
        return (
            over.units is None
            and over.site in (*_SOURCES[under.site], "attn_out")
            and over.covers(acts, "heads", "positions")
        )
    if under.site not in _FEEDS.get(over.site, ()) or not over.covers(under, "positions"):
        return False
    if over.site in HEAD_SITES:
        return over.units is None and over.covers(under, "heads")
    return over.covers(under, "units") if over.site == "mlp_post" else over.units is None


def _order(site: str, layer: int | None, n_layers: int) -> tuple[int, int]:
    """The place of a stream, or of what feeds it, in the computation."""
    if layer is None:
        return {"embed": (-1, 0), "final_norm": (n_layers, 0), "logits": (n_layers, 1)}[site]
    half = {"resid_pre": 0, "resid_mid": 2, "resid_post": 4, "mlp_pre": 3, "mlp_post": 3, "mlp_out": 3}
    return (layer, half.get(site, 1))
