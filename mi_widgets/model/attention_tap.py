"""One tap that sees q, k, v, scores and pattern of every family, and lets visitors replace them.

transformers hands most attention calls to a function that it looks up by name. A shadow's config names ours; ours calls
the kernel that the user's model would have used. Families that compute attention by themselves are tapped one level
lower (`attention_ops`), at the softmax and at the two matrix products beside it; what visitors see is the same.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from .attention_math import Terms, causal_pattern, mix, pattern_of, scores_of

Visit = Callable[[str, torch.Tensor], torch.Tensor]
"""`visit(kind, value) -> value`: shows a value to whoever wants it and gives back what shall be used."""

Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""q, k, v [row, head or kv head, position, d] -> what the pattern mixes, [row, position, head, d_head_v]."""

Around = Callable[[Kernel, torch.Tensor, torch.Tensor, torch.Tensor, Terms], torch.Tensor]
"""`around(kernel, q, k, v, terms)` gives what the kernel would: it may call it, or do its work otherwise."""

TAP_KINDS = frozenset({"q", "k", "v", "scores", "pattern", "attended"})
"""What a tap shows. "attended" is no site: what the kernel gave, [row, position, head, d_head_v], z before any gate."""

# transformers refuses names that contain "sdpa" for families with softcap or sinks.
_NAMES = {"sdpa": "mi_fused", "eager": "mi_eager"}


class KernelName(str):
    """The tap's name, which families that compare names take for the kernel's own.

    It is looked up as what it says ("mi_fused") and equals what it stands for too ("sdpa"): some families choose their
    mask, or whether attention is sparse, by the name.

    Example:
        >>> name = KernelName("sdpa")
        >>> name == "sdpa", name in ("eager", "sdpa"), {"mi_fused": "found"}[name]
        (True, True, 'found')
    """

    kernel: str

    def __new__(cls, kernel: str) -> KernelName:
        """The tap's name for a kernel, "sdpa" or "eager"."""
        name = super().__new__(cls, _NAMES[kernel])
        name.kernel = kernel
        return name

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True or str.__eq__(self.kernel, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __deepcopy__(self, _: object) -> KernelName:
        return self


class Weights(Protocol):
    """Something that can tell attention weights once the call is over."""

    def pattern(
        self, heads: Sequence[int] | None = None, row: int = 0, dest: tuple[int, int] | None = None
    ) -> torch.Tensor:
        """Attention weights of some heads of one row, [head, dest, src] float32.

        Args:
            heads: which; None = all.
            row: of the batch.
            dest: half-open range of columns of the batch. Sources behind its end, which none of them can see, may be
                left out.
        """

    @property
    def nbytes(self) -> int:
        """What is held for it."""


@dataclass(frozen=True, eq=False)
class KeptWeights:
    """Attention weights that were seen: [row, head, dest, src]."""

    weights: torch.Tensor

    def pattern(
        self, heads: Sequence[int] | None = None, row: int = 0, dest: tuple[int, int] | None = None
    ) -> torch.Tensor:
        """Attention weights of some heads of one row; see `Weights`."""
        chosen = self.weights[row] if heads is None else self.weights[row, list(heads)]
        return (chosen if dest is None else chosen[:, slice(*dest)]).float()

    @property
    def nbytes(self) -> int:
        """What is held for it."""
        return self.weights.nbytes


def _span(indices: list[int]) -> slice | list[int]:
    """Neighbours as a slice, which copies nothing."""
    first = indices[0] if indices else 0
    return slice(first, first + len(indices)) if indices == list(range(first, first + len(indices))) else indices


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """What one attention call was given, kept so that patterns can be computed later, for the heads asked for.

    Attributes:
        query: [row, head, dest, d_head], after rotary and norms.
        key: [row, kv head, src, d_head].
        terms: mask, scaling and what else the family passed.
    """

    query: torch.Tensor
    key: torch.Tensor
    terms: Terms

    def pattern(
        self, heads: Sequence[int] | None = None, row: int = 0, dest: tuple[int, int] | None = None
    ) -> torch.Tensor:
        """Attention weights of some heads of one row; see `Weights`."""
        groups = self.query.shape[1] // self.key.shape[1]
        chosen = list(range(self.query.shape[1])) if heads is None else list(heads)
        first, last = (0, self.query.shape[2]) if dest is None else dest
        query = self.query[row : row + 1, _span(chosen), first:last]
        # Without a mask the last dest sees the last source: what lies behind these dests is not worked out.
        plain = self.terms.mask is None and self.terms.causal
        seen = self.key.shape[2] - (self.query.shape[2] - last if plain else 0)
        key = self.key[row : row + 1, _span([h // groups for h in chosen]), :seen]
        terms = self.terms.of(row, chosen, (first, last))
        if plain and terms.bias is None and terms.softcap is None:
            with torch.no_grad():
                return causal_pattern(query, key, terms)[0]
        # Not rounded to a half precision again: fused kernels never do, and rows shall add up to 1.
        return pattern_of(scores_of(query, key, terms).float(), terms.sinks)[0]

    @property
    def nbytes(self) -> int:
        """What is held for it."""
        return sum(t.nbytes for t in (self.query, self.key, self.terms.mask, self.terms.bias) if t is not None)


@dataclass(frozen=True)
class Attended:
    """One attention call as it was seen while the parts of a model are looked for.

    Attributes:
        module: the module that made it.
        query, key, value: shapes [row, head, position, d].
        out: [row, position, head * d_head_v], what the kernel gave.
    """

    module: nn.Module
    query: torch.Size
    key: torch.Size
    value: torch.Size
    out: torch.Tensor

    @property
    def heads(self) -> tuple[int, int, int, int]:
        """n_heads, n_kv_heads, d_head, d_head_v."""
        return self.query[1], self.key[1], self.query[3], self.value[3]


_NOTEBOOK: ContextVar[list[Attended] | None] = ContextVar("mi_widgets_attention_calls", default=None)


@contextmanager
def noting_calls() -> Iterator[list[Attended]]:
    """Write down every call of the attention interface inside the block."""
    calls: list[Attended] = []
    token = _NOTEBOOK.set(calls)
    try:
        yield calls
    finally:
        _NOTEBOOK.reset(token)


class TapState:
    """What a tap needs on one attention module of a shadow.

    Attributes:
        visit: called for every kind in `wanted`, or None when nobody is looking.
        wanted: kinds among `TAP_KINDS` that somebody wants in this forward.
        watch: is shown every call as it is after edits of q and k, or None.
        around: runs in the kernel's place, or None; see `Around`.
        undo: takes the tap off the module again, where that is more than forgetting this state.
    """

    def __init__(self, undo: Callable[[], None] | None = None) -> None:
        self.undo = undo
        self.visit: Visit | None = None
        self.wanted: frozenset[str] = frozenset()
        self.watch: Callable[[Weights], None] | None = None
        self.around: Around | None = None

    @property
    def idle(self) -> bool:
        """Nobody is looking."""
        return not self.wanted and self.watch is None and self.around is None

    def see(self, kind: str, value: torch.Tensor) -> torch.Tensor:
        """Show a value to whoever wants it."""
        return self.visit(kind, value) if self.visit is not None and kind in self.wanted else value


def install(shadow: Any) -> str:
    """Point a shadow at the tap; returns the name of the kernel its attention runs. Harmless when done twice.

    Kernels that show neither weights nor mask (flex, flash) give way to the one of PyTorch, or to plain attention.

    Raises:
        ValueError: the model does not let its attention implementation be chosen.
    """
    was = getattr(shadow.config, "_attn_implementation", None)
    if isinstance(was, KernelName):
        return was.kernel
    kernel = was or "eager"
    if kernel not in _NAMES:
        kernel = "sdpa" if getattr(shadow, "_supports_sdpa", False) else "eager"
    name = KernelName(kernel)
    AttentionInterface.register(str(name), functools.partial(_tap, kernel))
    # Without a mask function under the same name a model silently runs without a causal mask.
    AttentionMaskInterface.register(str(name), ALL_MASK_ATTENTION_FUNCTIONS[kernel])
    shadow.set_attn_implementation(str(name))
    shadow._mi_kernels = [(config, was) for config in _configs(shadow) if config._attn_implementation == str(name)]
    for config, _ in shadow._mi_kernels:
        config._attn_implementation_internal = name
    return kernel


def _configs(shadow: Any) -> list[Any]:
    """Every config in a model, once each."""
    found: dict[int, Any] = {}
    waiting = [getattr(module, "config", None) for module in shadow.modules()]
    while waiting:
        config = waiting.pop()
        if config is not None and id(config) not in found and hasattr(config, "_attn_implementation_internal"):
            found[id(config)] = config
            waiting += [getattr(config, key, None) for key in getattr(config, "sub_configs", {})]
    return list(found.values())


def remove(shadow: Any) -> None:
    """Undo `install`: the attention implementation is what it was, and nothing stays on the modules."""
    for config, was in vars(shadow).pop("_mi_kernels", ()):
        config._attn_implementation_internal = was
    for module in shadow.modules():
        if "_mi_tap" in vars(module):
            state: Any = module._mi_tap
            if state.undo is not None:
                state.undo()
            del module._mi_tap


def attend(
    state: TapState,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    terms: Terms,
    kernel: Kernel,
) -> torch.Tensor:
    """One attention call with visitors.

    Args:
        state: who wants to see what.
        query, key, value: [row, head or kv head, position, d].
        terms: what the family adds to plain attention.
        kernel: the family's own kernel: q, k, v -> [row, position, head, d_head_v].

    Returns:
        [row, position, head, d_head_v].
    """
    query = state.see("q", query.transpose(1, 2)).transpose(1, 2)
    key = state.see("k", key.transpose(1, 2)).transpose(1, 2)
    value = state.see("v", value.transpose(1, 2)).transpose(1, 2)
    if state.watch is not None:
        state.watch(AttentionCall(query, key, terms))
    around = state.around
    out = kernel(query, key, value) if around is None else around(kernel, query, key, value, terms)
    if state.wanted & {"scores", "pattern"}:
        scores = scores_of(query, key, terms)
        plain = pattern_of(scores, terms.sinks)
        seen = state.see("scores", scores)
        pattern = state.see("pattern", plain if seen is scores else pattern_of(seen, terms.sinks))
        if pattern is not plain:
            mixed = mix(pattern, value).to(out.dtype)
            # Only the heads whose weights changed leave the kernel's own output; gradients run through all weights.
            changed = (pattern != plain).flatten(2).any(-1).any(0)
            out = mixed if torch.is_grad_enabled() else torch.where(changed[None, None, :, None], mixed, out)
    # Families may lay heads side by side with `view`, which needs them in order.
    return state.see("attended", out).contiguous()


def _kernel(module: nn.Module, name: str) -> Callable[..., Any]:
    if name == "eager":
        return getattr(sys.modules[type(module).__module__], "eager_attention_forward", _plain)
    return ALL_ATTENTION_FUNCTIONS[name]


def _plain(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    **kw: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    terms = _terms(mask, kw)
    pattern = pattern_of(scores_of(query, key, terms), terms.sinks)
    return mix(pattern, value), pattern


def _terms(mask: torch.Tensor | None, kw: dict[str, Any]) -> Terms:
    """What a family hands to the attention interface beside q, k and v."""
    sinks = kw.get("s_aux") if kw.get("s_aux") is not None else kw.get("sinks")
    return Terms(mask, kw.get("scaling"), kw.get("softcap"), kw.get("position_bias"), sinks)


def _tap(
    kernel: str,
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What transformers calls: [batch, head, position, d_head] in, [batch, position, head, d_head_v] out."""
    state: TapState | None = getattr(module, "_mi_tap", None)
    if attention_mask is not None and attention_mask.ndim == 4:
        attention_mask = attention_mask[..., : key.shape[-2]]  # some versions build it a column too wide
    weights: list[torch.Tensor | None] = [None]

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        out, weights[0] = _kernel(module, kernel)(module, q, k, v, attention_mask, **kwargs)
        return out

    if state is not None and not state.idle:
        return attend(state, query, key, value, _terms(attention_mask, kwargs), run), weights[0]
    out = run(query, key, value)
    notebook = _NOTEBOOK.get()
    if notebook is not None:
        notebook.append(Attended(module, query.shape, key.shape, value.shape, out.detach().flatten(2).clone()))
    return out, weights[0]
