"""Run only the end of a model: layers before a given one are skipped, and that one is entered with a given stream.

Skipping is exact only where a layer hears of earlier ones through the residual stream alone. Some families hand keys
and values, or something else, past it. Nothing here knows which: `find_skips` proves it on a few tokens, by one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import BadInput
from .access import Key, Visitor, visiting
from .architecture import Architecture
from .batches import Batch
from .watch import input_of, logits_of, with_input, with_tensor


@dataclass(frozen=True)
class Skips:
    """How the layers of a model are skipped, or why they cannot be.

    Attributes:
        returned: for each layer the container of its hidden states: None = a tensor by itself, else the type and the
            length of a tuple or list that it comes first in.
        reason: why a pass cannot be resumed at a layer; None when it can.
    """

    returned: tuple[tuple[type, int] | None, ...] = ()
    reason: str | None = None


def find_skips(shadow: Any, parts: Architecture, ids: torch.Tensor, limit: float) -> Skips:
    """See what each layer returns, and prove that nothing passes a layer by.

    One pass with a row for every layer: the rows start as noise, and row L gets row 0's stream as it enters layer L.
    All must then end in row 0's logits. A resumed pass at a few layers tells whether skipping works. Only the last
    token is unembedded, which in small models costs more than all layers do.

    Args:
        shadow: a shadow that is ready to run.
        parts: its parts.
        ids: [1, position] int64, a few tokens.
        limit: difference of logits, over the largest, that counts as none.

    Example:
        >>> import torch
        >>> import mi_widgets as mi
        >>> model = mi.load()
        >>> find_skips(model.shadow, model.architecture, torch.tensor([[5, 6, 7]]), 1e-5).reason is None
        True
    """
    n = parts.n_layers
    generator = torch.Generator().manual_seed(0)
    streams: list[torch.Tensor] = []
    returned: list[tuple[type, int] | None] = [None] * n

    def enter(layer: int) -> Visitor:
        def visitor(x: torch.Tensor) -> torch.Tensor:
            x = x.clone()
            if layer == 0:
                x[1:] = torch.randn(x[1:].shape, generator=generator).to(x) * x[0].std()
            x[layer] = x[0]
            streams.append(x[:1].clone())
            return x

        return visitor

    def note(layer: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            returned[layer] = None if isinstance(output, torch.Tensor) else (type(output), len(output))

        return hook

    visitors: dict[Key, Visitor] = {("resid_pre", i): enter(i) for i in range(n)}
    visitors["resid_post", n - 1] = enter(n)
    with torch.no_grad():
        with ExitStack() as stack:
            for index, part in enumerate(parts.layers):
                stack.callback(shadow.get_submodule(part.path).register_forward_hook(note(index)).remove)
            stack.enter_context(visiting(shadow, parts, visitors))
            stack.enter_context(keeping(shadow, parts, [-1] * (n + 1)))
            logits = logits_of(shadow, input_ids=ids.expand(n + 1, -1))
        plain, largest = logits[:1], logits[0].abs().max()
        for row in range(1, n + 1):
            if not bool((logits[row] - plain[0]).abs().max() <= limit * largest):
                return Skips(reason=f"layer {row} or what follows reads something of earlier layers past the stream")
        found = Skips(tuple(returned))
        for layer in sorted({1, n - 1, n}):
            try:
                with resuming(shadow, parts, found, layer, streams[layer]), keeping(shadow, parts, [-1]):
                    again = logits_of(shadow, input_ids=ids)
            except Exception as problem:  # whatever a foreign class does when its layers give less than it is used to
                return Skips(reason=f"its layers cannot be skipped ({type(problem).__name__}: {problem})")
            if not bool((again - plain).abs().max() <= limit * largest):
                return Skips(reason=f"a pass resumed at layer {layer} gives other logits")
    return found


@contextmanager
def resuming(shadow: nn.Module, parts: Architecture, skips: Skips, layer: int, x: torch.Tensor) -> Iterator[None]:
    """Skip the layers before one in every forward pass of the shadow inside the block.

    Nothing of a skipped layer runs but hooks on the layer itself, and what those give is not used. Nothing stays
    behind, also when the pass raises. Entered before `visiting`, so that visitors of the layer's resid_pre see `x`.

    Args:
        shadow: the shadow.
        parts: its parts.
        skips: from `find_skips`, without a reason against.
        layer: the first that runs; n_layers = none.
        x: [row, position, d_model], what enters it (for n_layers: what leaves the last).
    """

    def skipped(returned: tuple[type, int] | None) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            stream = input_of(args, kwargs)
            return stream if returned is None else returned[0]([stream, *[None] * (returned[1] - 1)])

        return forward

    def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return with_input(args, kwargs, x)

    def leave(_: nn.Module, __: Any, output: Any) -> Any:
        return with_tensor(output, x)

    with ExitStack() as stack:
        for part, returned in zip(parts.layers[:layer], skips.returned, strict=False):
            module = shadow.get_submodule(part.path)
            stack.enter_context(forward_replaced(module, skipped(returned)))
        if layer < parts.n_layers:
            first = shadow.get_submodule(parts.layers[layer].path)
            stack.callback(first.register_forward_pre_hook(enter, with_kwargs=True).remove)
        else:
            last = shadow.get_submodule(parts.layers[-1].path)
            stack.callback(last.register_forward_hook(leave).remove)
        yield


@contextmanager
def forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """A module's `forward` replaced inside the block; hooks run around it as ever."""
    own = vars(module)
    had, was = "forward" in own, own.get("forward")
    own["forward"] = forward
    try:
        yield
    finally:
        if had:
            own["forward"] = was
        else:
            del own["forward"]


@contextmanager
def keeping(shadow: nn.Module, parts: Architecture, columns: Sequence[int]) -> Iterator[None]:
    """Unembed one position of each row only: the logits of passes inside the block are [row, 1, vocab].

    Args:
        shadow: the shadow.
        parts: its parts.
        columns: for each row the column of the batch that is kept.
    """

    def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        x = input_of(args, kwargs)
        assert x is not None
        rows = torch.arange(len(columns), device=x.device)
        return with_input(args, kwargs, x[rows, torch.tensor(columns, device=x.device)][:, None])

    handle = shadow.get_submodule(parts.unembed).register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def require_reached(
    parts: Architecture,
    batch: Batch,
    visitors: Iterable[Key],
    watchers: Iterable[int],
    resume: tuple[int, torch.Tensor] | None,
    keep: Sequence[int] | None,
) -> None:
    """Raise when a pass is resumed at what is no layer or no stream, or when it would not show what is asked of it.

    Args:
        parts: the model's parts.
        batch: the prompts.
        visitors, watchers: what is to be seen.
        resume, keep: as in `Model.forward`.

    Raises:
        BadInput: says what does not fit.
    """
    if keep is not None and len(keep) != len(batch):
        raise BadInput(f"keep names {len(keep)} columns for {len(batch)} prompts.", hint="Give one for each.")
    if keep is not None and ("logits", None) in visitors:
        raise BadInput("With keep there are no whole logits to visit.", hint="Leave keep out.")
    if resume is None:
        return
    first, x = resume
    if not 0 <= first <= parts.n_layers:
        raise BadInput(f"There is no layer {first} to resume at.", hint=f"Use 0 to {parts.n_layers}.")
    shape = [len(batch), max(batch.lengths), parts.d_model]
    if list(x.shape) != shape:
        raise BadInput(f"The stream to resume with is {list(x.shape)}, not {shape}.", hint="Give it as it was visited.")
    early = [key for key in visitors if key[0] == "embed" or (key[1] is not None and key[1] < first)]
    early += [("attention", layer) for layer in watchers if layer < first]
    if early:
        raise BadInput(
            f"{early[0]} lies before layer {first}, where the pass is resumed.", hint="Resume earlier, or run whole."
        )
