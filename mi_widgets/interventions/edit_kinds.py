"""The edits of any site that read one run or none: replace, remove, scale, add to, project."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from ..errors import BadInput
from ..results import storable
from .edits import Edit, Place, finite_number, place_of, several
from .layouts import SQUARE
from .prompts import NAMED, Prompts, prompts_of, shown
from .sites import Site


@dataclass(frozen=True, eq=False, init=False)
class Reading(Edit):
    """An edit that reads the same site elsewhere.

    Attributes:
        source: "other" (the prompt that is not the base), "clean", "corrupted"; another prompt as text or token ids,
            or one for each prompt of the base; a tensor in base positions, [position, ...site axes] or [prompt,
            position, ...site axes] (a pattern is [head, dest, src]); None reads nothing.
        source_position: where to read; None = the positions that the prompts' alignment pairs.
    """

    source: Prompts | torch.Tensor | None = "other"
    source_position: Place = None

    def _read_from(self, source: Any, source_position: Any) -> None:
        index = place_of("source_position", source_position)
        if index is not None and len(several(index)) != len(several(self.position)):
            raise BadInput("source_position must name as many positions as position.", hint="Give one for each.")
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "source_position", index)

    @property
    def _from(self) -> str:
        """Where it reads, in words; "" for the other prompt."""
        source = self.source
        what = "" if isinstance(source, str) and source == "other" else f" from {shown(source)}"
        at = self.source_position
        return what if at is None else f"{what or ' from other'}@{at if isinstance(at, (int, str)) else list(at)}"


@storable
@dataclass(frozen=True, eq=False, init=False)
class Patch(Reading):
    """Replace a value by the same site's value in an unedited source run: x <- x + alpha (s - x).

    Attributes:
        source, source_position: what is read; see `Reading`.
        alpha: any real number; 1 replaces, 0 changes nothing. For pattern 0 to 1.

    Keys and queries that move to another position are turned to it, in families that rotate them.

    Example:
        >>> str(Patch("resid_pre", layer=2, position=10))
        'patch L2.resid_pre@10'
        >>> str(Patch("z", 1, source="Mary went to the"))
        "patch L1.z from 'Mary went to the'"
    """

    alpha: float = 1.0

    def __init__(
        self,
        site: str | Site | None = None,
        layer: Any = None,
        head: Any = None,
        position: Any = None,
        unit: Any = None,
        *,
        source: Any = "other",
        source_position: Any = None,
        alpha: float = 1.0,
    ) -> None:
        self._place(site, layer, head, position, unit)
        if source is None:
            raise BadInput("source is None, and a patch reads something.", hint="Use Zero to remove what is there.")
        self._read_from(prompts_of("source", source, NAMED), source_position)
        object.__setattr__(self, "alpha", finite_number("alpha", alpha, "1 replaces, 0 changes nothing."))
        if self.site == "pattern" and not 0 <= alpha <= 1:
            raise BadInput(f"alpha of a pattern patch lies in 0..1, not {alpha}.", hint="Weights must stay weights.")

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """X + alpha (s - x)."""
        assert source is not None
        # Taken whole at alpha 1, so that a full patch is the source's value bit for bit.
        return source if self.alpha == 1.0 else x + self.alpha * (source - x)

    @property
    def overwrites(self) -> bool:
        """Nothing is left of what was there before."""
        return self.alpha == 1.0

    def __str__(self) -> str:
        share = "" if self.alpha == 1.0 else f" by {self.alpha:g}"
        return f"patch {self.where}{self._from}{share}"


@storable
@dataclass(frozen=True, eq=False, init=False)
class Zero(Edit):
    """Set a value to zero: x <- 0 (zero ablation).

    Example:
        >>> str(Zero("z", 1, head=2))
        'zero L1H2.z'
    """

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """0."""
        return torch.zeros_like(x)

    @property
    def overwrites(self) -> bool:
        """Nothing is left of what was there before."""
        return True


@storable
@dataclass(frozen=True, eq=False, init=False)
class Scale(Edit):
    """Multiply a value: x <- factor x.

    Attributes:
        factor: any real number.

    Example:
        >>> str(Scale("attn_out", 1, factor=0.5))
        'scale L1.attn_out by 0.5'
    """

    factor: float = 1.0

    def __init__(
        self,
        site: str | Site | None = None,
        layer: Any = None,
        head: Any = None,
        position: Any = None,
        unit: Any = None,
        *,
        factor: float,
    ) -> None:
        self._place(site, layer, head, position, unit)
        object.__setattr__(self, "factor", finite_number("factor", factor, "0 removes, 1 changes nothing."))

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """Factor times x."""
        return self.factor * x

    @property
    def overwrites(self) -> bool:
        """Nothing is left of what was there before."""
        return self.factor == 0.0

    def __str__(self) -> str:
        return f"scale {self.where} by {self.factor:g}"


@storable
@dataclass(frozen=True, eq=False, init=False)
class Add(Edit):
    """Add a vector, as it is: x <- x + scale vector (steering). The vector is not normalised.

    Attributes:
        vector: a number; [d]; the site's own axes, [head, d]; by position, [position, ...site axes] in base positions;
            [prompt, position, ...site axes]. Of scores and pattern [src], [dest, src], [head, dest, src] and so on.
        scale: any real number.

    Example:
        >>> import torch
        >>> str(Add("resid_post", 1, position=-1, vector=torch.ones(64), scale=4))
        'add 4 x vector[64] to L1.resid_post@-1'
    """

    vector: torch.Tensor | float = 0.0
    scale: float = 1.0

    def __init__(
        self,
        site: str | Site | None = None,
        layer: Any = None,
        head: Any = None,
        position: Any = None,
        unit: Any = None,
        *,
        vector: Any,
        scale: float = 1.0,
    ) -> None:
        self._place(site, layer, head, position, unit)
        if not isinstance(vector, torch.Tensor):
            vector = finite_number("vector", vector, "It is a tensor, or one number for all units.")
        object.__setattr__(self, "vector", vector)
        object.__setattr__(self, "scale", finite_number("scale", scale, "1 adds the vector as it is."))

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """X + scale vector."""
        return x + self.scale * (self.vector if source is None else source)

    def __str__(self) -> str:
        size = f"vector{list(self.vector.shape)}" if isinstance(self.vector, torch.Tensor) else f"{self.vector:g}"
        return f"add {'' if self.scale == 1.0 else f'{self.scale:g} x '}{size} to {self.where}"


# The bases of subspaces, by the tensor that spans them: an edit is copied for every cell of a map.
_AXES = WeakTensorKeyDictionary()


@storable
@dataclass(frozen=True, eq=False, init=False)
class Project(Reading):
    """Replace what a value has in a subspace: x <- x + Q Q^T (s - x), Q an orthonormal basis of the columns of `basis`.

    Attributes:
        basis: [d] one direction, or [d, k] k of them, along the site's last axis (the edited units, where some are
            named); heads share it.
        source, source_position: what s is; see `Reading`. None: s = 0, which removes the subspace.

    Example:
        >>> import torch
        >>> str(Project("resid_mid", 2, basis=torch.eye(64)[:, :3]))
        'project out 3 directions of L2.resid_mid'
    """

    basis: torch.Tensor = field(default_factory=torch.Tensor)
    source: Prompts | torch.Tensor | None = None

    def __init__(
        self,
        site: str | Site | None = None,
        layer: Any = None,
        head: Any = None,
        position: Any = None,
        unit: Any = None,
        *,
        basis: torch.Tensor,
        source: Any = None,
        source_position: Any = None,
    ) -> None:
        self._place(site, layer, head, position, unit)
        if self.site in SQUARE:
            raise BadInput(f"{self.site} has no directions to project on.", hint="Take q, k, z or a stream.")
        if not isinstance(basis, torch.Tensor) or basis.ndim not in (1, 2) or not basis.is_floating_point():
            raise BadInput("basis is a tensor of [d] or [d, k] real numbers.", hint="One direction in each column.")
        if source is None and source_position is not None:
            raise BadInput("source_position says where to read, and nothing is read.", hint="Give source='other'.")
        self._read_from(None if source is None else prompts_of("source", source, NAMED), source_position)
        object.__setattr__(self, "basis", basis)
        if self.axes.shape[1] == 0:
            raise BadInput("basis holds no direction: it is zero, empty or not finite.", hint="Give at least one.")

    @property
    def axes(self) -> torch.Tensor:
        """Q: orthonormal columns that span those of `basis`, [d, rank] float64."""
        version, axes = _AXES.get(self.basis, (None, None))
        if axes is None or version != self.basis._version:
            axes = self._span()
            _AXES[self.basis] = (self.basis._version, axes)
        return axes

    def _span(self) -> torch.Tensor:
        columns = self.basis.detach().double().reshape(len(self.basis), -1)
        if columns.numel() == 0 or not bool(columns.isfinite().all()):
            return columns[:, :0]
        u, s, _ = torch.linalg.svd(columns, full_matrices=False)
        return u[:, s > s[0] * max(columns.shape) * torch.finfo(self.basis.dtype).eps]

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """X + Q Q^T (s - x)."""
        q = self.axes.to(x)
        if x.shape[-1] != len(q):
            raise BadInput(
                f"The basis has {len(q)} rows, and {self.where} has {x.shape[-1]} units.",
                hint="Give one row for each unit.",
            )
        return x + ((-x if source is None else source - x) @ q) @ q.T

    def __str__(self) -> str:
        k = self.axes.shape[1]
        what = f"{k} direction{'s' * (k > 1)} of {self.where}"
        if self.source is None:
            return f"project out {what}"
        return f"project {what} onto {self._from.removeprefix(' from ') or 'other'}"
