"""`Site`: a named place in a run, as people write it: ``L9H6.z@-1``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import BadInput
from ..model.architecture import GLOBAL_SITES, HEAD_SITES, SITES

_TEXT = re.compile(
    r"(?:L(?P<layer>[0-9]{1,9})(?:H(?P<head>[0-9]{1,9}))?\.)?(?P<kind>[a-z_]+)"
    r"(?:@(?P<position>-?[0-9]{1,9})(?:<(?P<src>[0-9]{1,9}))?)?"
)


@dataclass(frozen=True)
class Site:
    """A place in a run; what is left out means all.

    Attributes:
        kind: one of `SITES` (``resid_pre``, ``z``, ``pattern``, ...).
        layer: None for the sites that belong to no layer.
        head: query head; for k and v the key-value head.
        position: token position, negative from the end; for pattern, scores and q the dest, for k and v the src.
        src: source position of a pattern or scores cell.

    Example:
        >>> Site.parse("L9H6.z@-1")
        Site(kind='z', layer=9, head=6, position=-1, src=None)
        >>> str(Site("pattern", 1, 1, position=14, src=10))
        'L1H1.pattern@14<10'
    """

    kind: str
    layer: int | None = None
    head: int | None = None
    position: int | None = None
    src: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in SITES:
            raise BadInput(f"There is no site {self.kind!r}.", hint=f"Sites: {', '.join(SITES)}.")
        for name in ("layer", "head", "position", "src"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise BadInput(f"{name} is a whole number or None, not {value!r}.", hint="Leave it out for all.")
        if self.layer is not None and (self.kind in GLOBAL_SITES or self.layer < 0):
            raise BadInput(
                f"{self.kind} cannot have layer {self.layer}.",
                hint="Layers count from 0; embed, final_norm and logits have none.",
            )
        if self.head is not None and (self.kind not in HEAD_SITES or self.head < 0 or self.layer is None):
            raise BadInput(
                f"{self.kind} cannot have head {self.head}.",
                hint=f"Heads belong to {', '.join(HEAD_SITES)}, with a layer.",
            )
        if self.src is not None and (self.kind not in ("pattern", "scores") or self.position is None or self.src < 0):
            raise BadInput(
                f"{self.kind} cannot have src {self.src}.",
                hint="A pattern or scores cell has position (its dest) and src.",
            )

    def __str__(self) -> str:
        layer = "" if self.layer is None else f"L{self.layer}"
        head = "" if self.head is None else f"H{self.head}"
        position = "" if self.position is None else f"@{self.position}"
        src = "" if self.src is None else f"<{self.src}"
        return f"{layer}{head}{'.' if layer else ''}{self.kind}{position}{src}"

    @classmethod
    def parse(cls, text: str) -> Site:
        """Read what `str(site)` writes.

        Raises:
            BadInput: not a site; shows the form.
        """
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise BadInput(
                f"{text!r} is not a site.",
                hint="Write it like L9H6.z@-1, L2.resid_pre@10 or L1H1.pattern@14<10.",
            )
        number = {k: None if v is None else int(v) for k, v in match.groupdict().items() if k != "kind"}
        return cls(match["kind"], **number)
