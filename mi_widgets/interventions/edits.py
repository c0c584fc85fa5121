"""What all edits share: where they act, as plain frozen data. How they are carried out is in `writes.py`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields, replace
from numbers import Real
from typing import Any, ClassVar, TypeVar, overload

import torch

from ..errors import BadInput
from ..model.architecture import GLOBAL_SITES, HEAD_SITES, SITES
from ..model.numbers import whole
from .kept import Kept, frozen
from .positions import is_name
from .sites import Site

E = TypeVar("E", bound="Edit")

Index = int | tuple[int, ...] | None
"""One, several, or all (None)."""

Place = int | str | tuple[int | str, ...] | None
"""One position, several, or all; a named one is text."""

_UNIT_SITES = frozenset(SITES) - {"scores", "pattern", "logits"}


def index_of(name: str, value: Any) -> Index:
    """One, several, or all, as users give them.

    Raises:
        BadInput: something else; no number at all is not several.
    """
    if value is None:
        return None
    try:
        one = whole(value)
        several = tuple(whole(v) for v in value) if one is None and isinstance(value, Iterable) else ()
    except TypeError:
        one, several = None, ()
    if one is not None:
        return one
    if several and None not in several:
        return tuple(v for v in several if v is not None)
    raise BadInput(
        f"{name} is a whole number, several of them, or None for all; not {value!r}.",
        hint="For example 2, or [0, 1].",
    )


def place_of(name: str, value: Any) -> Place:
    """One position, several, or all, as users give them; a name stands for a position of each prompt.

    Raises:
        BadInput: something else.

    Example:
        >>> place_of("position", "s2"), place_of("position", ["io", -1])
        ('s2', ('io', -1))
    """
    if is_name(value):
        return str(value)
    if isinstance(value, (list, tuple)) and any(is_name(v) for v in value):
        parts = [str(v) if is_name(v) else whole(v) for v in value]
        if None not in parts:
            return tuple(p for p in parts if p is not None)
    return index_of(name, value)


@overload
def several(index: Index) -> list[int]: ...


@overload
def several(index: Place) -> list[int | str]: ...


def several(index: Place) -> Any:
    """One or several as a list; none where all is meant."""
    return [index] if isinstance(index, (int, str)) else list(index or ())


def finite_number(name: str, value: Any, hint: str) -> float:
    """A finite number, of Python or numpy, as a float.

    Raises:
        BadInput: something else.
    """
    if not isinstance(value, bool) and isinstance(value, Real):
        with suppress(OverflowError):
            if math.isfinite(number := float(value)):
                return number
    raise BadInput(f"{name} is a finite number, not {value!r}.", hint=hint)


class DoesNotFit(BadInput):
    """An edit that cannot be done at this position and can at others: a map has no number there."""


def _as_given(name: str, value: Any) -> Any:
    return value


@frozen(kw_only=False)
class Edit:
    """Base of all edits: where it acts. `site` may be a kind (``"z"``) or a `Site`, which fills in the rest.

    A kind of edit is a frozen dataclass too, with `kw_only` fields of its own; in `check` it says what they have to be.

    Attributes:
        site: kind of site; None only for the template of a sweep.
        layer: layer, several, or None for all.
        head: head (key-value head for k and v), several, or None for all.
        position: position in the base prompt's own tokens, negative from its end, or a named one of the experiment;
            several, or None for all.
        unit: index along the last axis (neuron, residual dimension), several, or None for all.
    """

    site: Kept[str | None] = Kept(_as_given)
    layer: Kept[Index] = Kept(index_of)
    head: Kept[Index] = Kept(index_of)
    position: Kept[Place] = Kept(place_of)
    unit: Kept[Index] = Kept(index_of)

    only: ClassVar[str | None] = None
    """The site of a kind of edit that has no other."""

    def __post_init__(self) -> None:
        self._fill_in(self.site)
        self._check_place()
        self.check()

    def check(self) -> None:
        """What a kind of edit asks of its own fields; its place is right by then.

        Raises:
            BadInput: what is wrong with them.
        """

    def _fill_in(self, site: Any) -> None:
        """What a `Site` says, where nothing else was given."""
        if site is None:
            self._keep(site=self.only)
        if not isinstance(site, Site):
            return
        if site.src is not None:
            raise BadInput(
                f"{type(self).__name__} acts on whole rows, not on one cell ({site}).",
                hint="Give the site without src.",
            )
        parts = {"layer": site.layer, "head": site.head, "position": site.position}
        self._keep(site=site.kind, **{name: part for name, part in parts.items() if getattr(self, name) is None})

    def _check_place(self) -> None:
        site = self.site
        if site is None:
            return
        if site not in SITES:
            raise BadInput(f"There is no site {site!r}.", hint=f"Sites: {', '.join(SITES)}.")
        if site in GLOBAL_SITES and self.layer is not None:
            raise BadInput(f"{site} belongs to no layer.", hint="Leave layer out.")
        if self.head is not None and site not in HEAD_SITES:
            raise BadInput(f"{site} has no heads.", hint=f"Sites with heads: {', '.join(HEAD_SITES)}.")
        if self.unit is not None and site not in _UNIT_SITES:
            raise BadInput(f"{site} has no units.", hint="Leave unit out.")

    def _keep(self, **values: Any) -> None:
        """Set fields of an edit that is being made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def on(self: E, **changes: Any) -> E:
        """A copy that acts elsewhere: ``edit.on(position=10)``. A `Site` says the whole place.

        Raises:
            BadInput: a keyword this edit does not have.
        """
        known = {f.name for f in fields(self)}
        wrong = set(changes) - known
        if wrong:
            raise BadInput(
                f"{type(self).__name__} has no {', '.join(sorted(wrong))}.",
                hint=f"It has {', '.join(sorted(known))}.",
            )
        site = changes.get("site")
        if isinstance(site, Site):
            changes = {"layer": site.layer, "head": site.head, "position": site.position} | changes
        return replace(self, **changes)

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """What replaces `x`.

        Args:
            x: [position, ...site axes] just before this edit, its heads and units only; of scores and pattern
                [dest, head, src].
            source: the same of what the edit reads, for edits that read something.
        """
        raise TypeError("Edit itself changes nothing: use Patch, Zero, ...")

    @property
    def overwrites(self) -> bool:
        """Nothing is left of what was there before."""
        return False

    def words(self, prompts: int) -> str:
        """The edit as a chip of an experiment with so many prompts reads."""
        return str(self)

    @property
    def where(self) -> str:
        """The place in words: ``L1H1.z@14``."""

        def part(mark: str, index: Place) -> str:
            if index is None:
                return ""
            return mark + (str(index) if isinstance(index, (int, str)) else "[" + ",".join(map(str, index)) + "]")

        layer = part("L", self.layer) or ("" if self.site in GLOBAL_SITES else "L*")
        heads = part("H", self.head)
        return f"{layer}{heads}{'.' if layer else ''}{self.site}{part('@', self.position)}{part('#', self.unit)}"

    def __str__(self) -> str:
        return f"{type(self).__name__.lower()} {self.where}"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    def __hash__(self) -> int:
        return hash((type(self), self.site, self.layer, self.head, self.position, self.unit))


def edits_of(given: Any) -> tuple[Edit, ...]:
    """Edits as users give them: one, or several.

    Raises:
        BadInput: something that is no edit.
    """
    several = (given,) if isinstance(given, (Edit, str)) or not isinstance(given, Iterable) else tuple(given)
    for edit in several:
        if not isinstance(edit, Edit):
            raise BadInput(
                f"An edit is Patch, Zero, ..., not {edit!r}.",
                hint="For example mi.Zero('z', 1, head=2).",
            )
    return several


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and torch.equal(a, b)
    return bool(a == b)
