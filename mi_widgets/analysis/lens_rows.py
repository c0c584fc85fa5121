"""Which rows a logit lens has: the stream after each layer, on request also between and what the halves add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import BadInput
from ..model.handle import Model

CONTRIBUTIONS = ("attn_out", "mlp_out")
SUBLAYERS = ("resid_mid", "attn_out", "mlp_out")
"""What is shown beside resid_post on request, where a model has it."""

IN_LAYER = ("attn_out", "resid_mid", "mlp_out", "resid_post")
"""In the order of the computation."""

_LABELS = {"attn_out": " attn", "resid_mid": " mid", "mlp_out": " mlp", "resid_post": ""}


@dataclass(frozen=True)
class LensRow:
    """One row of a lens.

    Attributes:
        site: resid_pre (layer 0 only), resid_mid, resid_post, attn_out or mlp_out.
        layer: of the site.

    Example:
        >>> LensRow("resid_post", 3).label, LensRow("attn_out", 3).label, LensRow("resid_pre", 0).label
        ('L3', 'L3 attn', 'input')
    """

    site: str
    layer: int

    @property
    def label(self) -> str:
        """How the row is called: "input", "L3", "L3 mid", "L3 attn", "L3 mlp"."""
        return "input" if self.site == "resid_pre" else f"L{self.layer}{_LABELS[self.site]}"

    @property
    def kind(self) -> str:
        """What it is: "stream", which has probabilities; or "contribution", which has logits only."""
        return "contribution" if self.site in CONTRIBUTIONS else "stream"

    @property
    def key(self) -> tuple[str, int]:
        """The (site, layer)."""
        return self.site, self.layer


def sublayers_of(model: Model) -> tuple[str, ...]:
    """The sites that the lens of a model can show beside resid_post.

    Example:
        >>> import mi_widgets as mi
        >>> sublayers_of(mi.load())
        ('resid_mid', 'attn_out', 'mlp_out')
    """
    linear = model.architecture.odd_logits is None and "final_norm" in model.architecture.sites
    return tuple(
        site for site in SUBLAYERS if site in model.architecture.sites and (linear or site not in CONTRIBUTIONS)
    )


def rows_of(model: Model, at: Sequence[str] | str = ("resid_post",)) -> tuple[LensRow, ...]:
    """The rows of a lens, in the order of the computation; resid_post brings "input" along.

    A layer that lacks a site has no row of it.

    Args:
        model: whose.
        at: sites: resid_post, resid_mid, attn_out, mlp_out.

    Raises:
        BadInput: another site, or none.
        SiteUnavailable: the model has such a site nowhere, or contributions are not defined for it.

    Example:
        >>> import mi_widgets as mi
        >>> [row.label for row in rows_of(mi.load(), ("resid_post", "mlp_out"))][:3]
        ['input', 'L0 mlp', 'L0']
    """
    sites = (at,) if isinstance(at, str) else tuple(at)
    if not sites or any(site not in IN_LAYER for site in sites):
        raise BadInput(f"The rows of a lens are at {', '.join(IN_LAYER)}, not {at!r}.", hint="Use at=('resid_post',).")
    having = {site: model.layers_with(site) for site in sites}
    rows = [LensRow("resid_pre", 0)] if "resid_post" in sites else []
    for layer in range(model.n_layers):
        rows += [LensRow(site, layer) for site in IN_LAYER if layer in having.get(site, ())]
    return tuple(rows)
