"""Values that are carried to another position: rotations undone and done again, and what carries its old place along.

How a family turns its queries and keys by position is not looked up: the model is given the same vector at every
position of a layer's input, and what queries and keys then differ by is the rotation. It is fitted in pairs of
dimensions, and proven on vectors that it was not fitted on, before anything is moved.
"""

from __future__ import annotations

import torch

from ..errors import BadInput
from ..model.access import Key, Visitor
from ..model.batches import Batch
from ..model.handle import Model
from ..model.tokens import Tokens
from .capture import capture
from .sources import Sources

_FITTED, _HELD_OUT = 6, 2


def turned(
    model: Model,
    key: Key,
    value: torch.Tensor,
    source: tuple[Tokens, tuple[int, ...]],
    base: tuple[Tokens, tuple[int, ...]],
    sources: Sources,
) -> torch.Tensor:
    """Queries or keys of one prompt as they would be at other positions.

    Args:
        model: the model.
        key: ("q" or "k", layer).
        value: [position, head, d_head] as read, after the family's rotation.
        source, base: the prompt and the positions that `value` comes from, and those it goes to.
        sources: keeps what was found out.

    Returns:
        [position, head, d_head].

    Raises:
        BadInput: it cannot be told how this model turns them.
    """
    before, after = (_everywhere(model, key, tokens, sources)[:, list(at)] for tokens, at in (source, base))
    partner, real, imaginary = _rotation(before[:_FITTED], after[:_FITTED])

    def turn(x: torch.Tensor) -> torch.Tensor:
        return x * real[:, None] - x[..., partner] * imaginary[:, None]

    expected = after[_FITTED:]
    error = float((turn(before[_FITTED:]) - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    if not error <= max(1e-4, 8 * torch.finfo(model.dtype).eps):
        raise BadInput(
            f"How {model.name} turns {key[0]} by position in layer {key[1]} could not be told (what was found is off "
            f"by {error:.1e}), so it is not moved between positions.",
            hint="Carry resid_pre, z or v.",
        )
    return turn(value.double()).to(value.dtype)


def _rotation(before: torch.Tensor, after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each dimension its partner and the complex factor that takes the pair from one position to the other.

    Args:
        before, after: [vector, position, head, d] float64.

    Returns:
        partner [d]; real and imaginary parts [position, d]: new[i] = real x[i] - imaginary x[partner[i]].
    """
    a, b = (x.transpose(0, 1).flatten(1, 2) for x in (before, after))
    gram = a.mT @ b
    straight = gram.diagonal(dim1=-2, dim2=-1)
    real = straight[:, :, None] + straight[:, None, :]
    imaginary = gram - gram.mT
    size_a, size_b = (x.square().sum(1) for x in (a, b))
    before_both = (size_a[:, :, None] + size_a[:, None, :]).clamp(min=1e-300)
    after_both = size_b[:, :, None] + size_b[:, None, :]
    # What no factor of a pair explains; a dimension that does not turn is its own partner.
    left = (after_both - (real.square() + imaginary.square()) / before_both) / size_b.sum(-1)[:, None, None]
    partner = left.sum(0).argmin(-1)
    which = partner.expand(len(a), -1)[..., None]
    real, imaginary = (
        (x / before_both).gather(-1, which)[..., 0] for x in (real, imaginary)
    )  # fmt: skip
    return partner, real, imaginary


def _everywhere(model: Model, key: Key, tokens: Tokens, sources: Sources) -> torch.Tensor:
    """Queries or keys of a few vectors that stand at every position of a layer's input, [vector, position, head, d]."""
    layer = key[1]
    model.require("resid_pre", layer)

    def make() -> torch.Tensor:
        batch = Batch.of([tokens] * (_FITTED + _HELD_OUT))

        def everywhere(x: torch.Tensor) -> torch.Tensor:
            dice = torch.Generator().manual_seed(0)
            drawn = torch.randn(x.shape[0], 1, x.shape[2], generator=dice, dtype=torch.float32).to(x)
            return (x.float().std().to(x) * drawn).expand(x.shape).clone()

        visitors: dict[Key, Visitor] = {("resid_pre", layer): everywhere}
        return capture(model, batch, [key], visitors)[key]

    # Some families turn by other angles in longer prompts: the length is part of what is asked.
    return sources.derived(("turn", key, len(tokens)), make).double()


def carries_position(model: Model, batch: Batch, sources: Sources) -> bool:
    """Whether the stream holds where a token stands from the start: position embeddings are added to it."""
    if any(site not in model.architecture.sites for site in ("embed", "resid_pre")) or batch.lengths[0] < 2:
        return False
    keys: list[Key] = [("embed", None), ("resid_pre", 0)]
    values = sources.read(batch, keys)
    embed, pre = (values[key][0, batch.pads[0] :].float() for key in keys)
    added = pre - embed
    return float((added - added.mean(0)).abs().max()) > 1e-3 * float(embed.abs().max())
