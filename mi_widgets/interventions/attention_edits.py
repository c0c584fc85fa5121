"""The edits of attention alone: cut edges, or set its weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import torch

from ..errors import BadInput
from ..results import storable
from .edits import DoesNotFit, Edit, Place, place_of, several
from .kept import Kept, frozen
from .layouts import SQUARE
from .sites import Site


def _listed(index: Place) -> str:
    return str(index) if isinstance(index, (int, str)) else "[" + ",".join(map(str, index or ())) + "]"


@storable
@frozen()
class Knockout(Edit):
    """Cut attention from some destinations to some sources: their scores become -inf, the rest renormalise.

    The score is set before the softmax (Geva et al. 2023). Its site is always scores; `position` is `dest`.

    Attributes:
        src: source, or several; in the base prompt's own tokens, negative from its end.

    Example:
        >>> str(Knockout(layer=1, head=1, dest=14, src=10))
        'knockout L1H1.scores@14<10'
        >>> Knockout(Site("pattern", 1, 1, position=14, src=10)) == Knockout(layer=1, head=1, dest=14, src=10)
        True
    """

    src: Kept[Place] = Kept(place_of)

    only = "scores"

    def __init__(
        self,
        site: str | Site | None = None,
        layer: Any = None,
        head: Any = None,
        position: Any = None,
        unit: Any = None,
        *,
        dest: Any = None,
        src: Any = None,
    ) -> None:
        # Written out, since `dest` is a name that is taken and no field that is kept.
        if position is not None and dest is not None:
            raise BadInput("dest and position are the same thing here.", hint="Give one of them.")
        if isinstance(site, Site):
            src = site.src if src is None else src
            site = replace(site, src=None)
        self._keep(src=src)
        super().__init__(site, layer, head, dest if position is None else position, unit)

    def check(self) -> None:
        """It cuts attention, and something of it."""
        if self.site not in SQUARE:
            raise BadInput(f"Knockout cuts attention, and {self.site!r} is not attention.", hint="Leave the site out.")
        self._keep(site=self.only)
        if self.src is None:
            raise BadInput("Knockout needs the sources that are cut.", hint="mi.Knockout(layer=1, dest=14, src=10).")

    @property
    def dest(self) -> Place:
        """The destinations: `position` by another name."""
        return self.position

    def on(self, **changes: Any) -> Knockout:
        """A copy that acts elsewhere; `dest` stands for position. A `Site` says the whole place, and may name src."""
        if "dest" in changes:
            if "position" in changes:
                raise BadInput("dest and position are the same thing here.", hint="Give one of them.")
            changes["position"] = changes.pop("dest")
        site = changes.get("site")
        if isinstance(site, Site) and site.src is not None:
            changes.setdefault("src", site.src)
        return super().on(**changes)

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """X with -inf at the sources.

        Raises:
            DoesNotFit: some destination would be left without any source.
        """
        new = x.clone()
        new[..., [s for s in several(self.src) if isinstance(s, int) and s < x.shape[-1]]] = -torch.inf
        empty = torch.isneginf(new).all(-1) & ~torch.isneginf(x).all(-1)
        if bool(empty.any()):
            raise self.empties()
        return new

    def empties(self) -> DoesNotFit:
        """What is said where it takes the last source of a position."""
        return DoesNotFit(f"{self} takes the last source of a position.", hint="Leave each position one to look at.")

    def __str__(self) -> str:
        return f"knockout {self.where}<{_listed(self.src)}"


@storable
@frozen()
class SetPattern(Edit):
    """Put weights in place of attention's own, after the softmax, as they are: they are not renormalised.

    Its site is always pattern; `position` is the destination.

    Attributes:
        weights: [src] for each edited destination, [dest, src] for each edited head, [head, dest, src], or [prompt,
            head, dest, src]; dest counts the edited destinations or all of the prompt, head the edited heads or all.
            Zero where src comes after dest. Rows that do not sum to 1 are warned of.

    Example:
        >>> import torch
        >>> str(SetPattern(layer=1, head=1, position=2, weights=torch.tensor([0.5, 0.5, 0.0])))
        'set pattern L1H1.pattern@2 to weights[3]'
    """

    weights: torch.Tensor

    only = "pattern"

    def check(self) -> None:
        """It sets a pattern, to weights."""
        weights: Any = self.weights
        if self.site != self.only:
            raise BadInput(f"SetPattern sets a pattern, not {self.site!r}.", hint="Leave the site out.")
        if not isinstance(weights, torch.Tensor) or not 1 <= weights.ndim <= 4 or not weights.is_floating_point():
            raise BadInput(
                "weights is a tensor of real numbers: [src], [dest, src], [head, dest, src] or with prompts in front.",
                hint="exp.read('pattern', layer, head) gives one to start from.",
            )
        if not bool(weights.isfinite().all()):
            raise BadInput("weights are not finite.", hint="Weights follow the softmax: 0 where nothing is seen.")
        sums = weights.detach().double().sum(-1)
        off = sums[(sums - 1).abs() > 1e-3]
        if off.numel():
            warnings.warn(
                f"{off.numel()} of {sums.numel()} rows of weights do not sum to 1 (the first to {float(off[0]):.3g}); "
                "they are used as they are.",
                stacklevel=4,  # whoever makes the edit
            )

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """The weights."""
        assert source is not None
        return source

    @property
    def overwrites(self) -> bool:
        """Nothing is left of what was there before."""
        return True

    def __str__(self) -> str:
        return f"set pattern {self.where} to weights{list(self.weights.shape)}"
