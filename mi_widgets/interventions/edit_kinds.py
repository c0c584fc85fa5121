"""The edits of any site that read one run or none: replace, remove, scale, add to, project."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from ..errors import BadInput
from ..results import storable
from .edits import Edit, Place, finite_number, place_of, several
from .kept import Kept, frozen
from .layouts import SQUARE
from .prompts import NAMED, Prompts, prompts_of, shown

Readable = Prompts | torch.Tensor | None
"""What an edit reads, as it is kept."""


def read_source(name: str, given: Any) -> Readable:
    """What a user gave to read, as it is kept.

    Raises:
        BadInput: see `prompts_of`.
    """
    return None if given is None else prompts_of(name, given, NAMED)


@frozen()
class Reading(Edit):
    """An edit that reads the same site elsewhere.

    Attributes:
        source: "other" (the prompt that is not the base), "clean", "corrupted"; another prompt as text or token ids,
            or one for each prompt of the base; a tensor in base positions, [position, ...site axes] or [prompt,
            position, ...site axes] (a pattern is [head, dest, src]); None reads nothing.
        source_position: where to read; None = the positions that the prompts' alignment pairs.
    """

    source: Kept[Readable] = Kept(read_source, default="other")
    source_position: Kept[Place] = Kept(place_of)

    def check(self) -> None:
        """As many positions are read as written."""
        at = self.source_position
        if at is not None and len(several(at)) != len(several(self.position)):
            raise BadInput("source_position must name as many positions as position.", hint="Give one for each.")

    @property
    def _from(self) -> str:
        """Where it reads, in words; "" for the other prompt."""
        source = self.source
        what = "" if isinstance(source, str) and source == "other" else f" from {shown(source)}"
        at = self.source_position
        return what if at is None else f"{what or ' from other'}@{at if isinstance(at, (int, str)) else list(at)}"


@storable
@frozen()
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

    def check(self) -> None:
        """It reads something; weights stay weights."""
        if self.source is None:
            raise BadInput("source is None, and a patch reads something.", hint="Use Zero to remove what is there.")
        super().check()
        self._keep(alpha=finite_number("alpha", self.alpha, "1 replaces, 0 changes nothing."))
        if self.site == "pattern" and not 0 <= self.alpha <= 1:
            raise BadInput(
                f"alpha of a pattern patch lies in 0..1, not {self.alpha:g}.", hint="Weights must stay weights."
            )

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
@frozen()
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
@frozen()
class Scale(Edit):
    """Multiply a value: x <- factor x.

    Attributes:
        factor: any real number.

    Example:
        >>> str(Scale("attn_out", 1, factor=0.5))
        'scale L1.attn_out by 0.5'
    """

    factor: float

    def check(self) -> None:
        """The factor is a number."""
        self._keep(factor=finite_number("factor", self.factor, "0 removes, 1 changes nothing."))

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
@frozen()
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

    vector: torch.Tensor | float
    scale: float = 1.0

    def check(self) -> None:
        """Vector and scale are numbers."""
        if not isinstance(self.vector, torch.Tensor):
            self._keep(vector=finite_number("vector", self.vector, "It is a tensor, or one number for all units."))
        self._keep(scale=finite_number("scale", self.scale, "1 adds the vector as it is."))

    def value(self, x: torch.Tensor, source: torch.Tensor | None) -> torch.Tensor:
        """X + scale vector."""
        return x + self.scale * (self.vector if source is None else source)

    def __str__(self) -> str:
        size = f"vector{list(self.vector.shape)}" if isinstance(self.vector, torch.Tensor) else f"{self.vector:g}"
        return f"add {'' if self.scale == 1.0 else f'{self.scale:g} x '}{size} to {self.where}"


# The bases of subspaces, by the tensor that spans them: an edit is copied for every cell of a map.
_AXES = WeakTensorKeyDictionary()


@storable
@frozen()
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

    basis: torch.Tensor
    source: Kept[Readable] = Kept(read_source)

    def check(self) -> None:
        """The basis spans something, along an axis there is."""
        basis: Any = self.basis
        if self.site in SQUARE:
            raise BadInput(f"{self.site} has no directions to project on.", hint="Take q, k, z or a stream.")
        if not isinstance(basis, torch.Tensor) or basis.ndim not in (1, 2) or not basis.is_floating_point():
            raise BadInput("basis is a tensor of [d] or [d, k] real numbers.", hint="One direction in each column.")
        if self.source is None and self.source_position is not None:
            raise BadInput("source_position says where to read, and nothing is read.", hint="Give source='other'.")
        super().check()
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
