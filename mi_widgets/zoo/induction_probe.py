"""What is measured inside a tiny-induction model, with plain transformers and PyTorch hooks.

Nothing here uses the rest of the package, so these figures can be held against what the package says.
All passes are float32 with eager attention.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mi_widgets.zoo import induction_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

Head = tuple[int, int]


@dataclass(frozen=True)
class Run:
    """One pass.

    Attributes:
        logits: `[row, position, vocab]`.
        patterns: `[layer, row, head, dest, src]`.
        z: `[layer, row, position, d]`, the heads of a layer side by side.
        last: `[row, position, d]`, what the final norm reads.
    """

    logits: torch.Tensor
    patterns: torch.Tensor
    z: torch.Tensor
    last: torch.Tensor


class Probe:
    """A model under measurement.

    Args:
        model: A Llama of transformers, float32, evaluation mode, eager attention.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.layers: Any = model.model.layers
        self.heads: int = model.config.num_attention_heads
        self.size: int = model.config.hidden_size // self.heads

    def ids(self, rows: list[list[str]]) -> torch.Tensor:
        """Token ids `[row, position]` of rows of words of equal length, the beginning token in front."""
        import torch

        known = self.tokenizer.get_vocab()
        return torch.tensor([[self.tokenizer.bos_token_id, *(known[word] for word in row)] for row in rows])

    def repeated(self, rows: int, period: int, seed: int) -> torch.Tensor:
        """`[row, 1 + 2 period]`: different random words, said twice."""
        rng = random.Random(seed)
        return self.ids([induction_text.repeated(rng, 2 * period, period) for _ in range(rows)])

    def columns(self, head: int) -> slice:
        """Where a head lies in `Run.z`."""
        return slice(head * self.size, (head + 1) * self.size)

    def write(self, run: Run, layer: int, head: int) -> torch.Tensor:
        """What a head adds to the residual stream, `[row, position, d]`."""
        columns = self.columns(head)
        weight = self.layers[layer].self_attn.o_proj.weight
        return run.z[layer][..., columns] @ weight[:, columns].T

    def run(self, ids: torch.Tensor, zero: Collection[Head] = (), unread: tuple[int, str] | None = None) -> Run:
        """One pass, changed or not.

        Args:
            ids: `[row, position]`.
            zero: Heads whose z is set to zero.
            unread: A head of layer 0 and one of "q", "k", "v": layer 1 computes that one from a residual
                stream which lacks what the head wrote; all else stays.
        """
        import torch

        z: list[torch.Tensor] = []
        ends: list[torch.Tensor] = []

        def output(layer: int) -> Callable[..., Any]:
            def hook(_module: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
                changed = args[0].clone()
                for _, head in (one for one in zero if one[0] == layer):
                    changed[..., self.columns(head)] = 0
                z.append(changed)
                return (changed,)

            return hook

        hooks = [(layer.self_attn.o_proj, output(index)) for index, layer in enumerate(self.layers)]
        hooks.append((self.model.model.norm, lambda _m, args: ends.append(args[0])))
        if unread is not None:
            hooks += self._unreading(z, *unread)
        with torch.no_grad(), _hooked(hooks):
            out = self.model(input_ids=ids, output_attentions=True, use_cache=False)
        return Run(out.logits, torch.stack(out.attentions), torch.stack(z), ends[0])

    def _unreading(self, z: list[torch.Tensor], head: int, reader: str) -> list[tuple[Any, Callable[..., Any]]]:
        norm, columns = self.layers[1].input_layernorm, self.columns(head)
        stream: list[torch.Tensor] = []

        def replace(_module: Any, _args: Any) -> tuple[torch.Tensor]:
            lacking = stream[0] - z[0][..., columns] @ self.layers[0].self_attn.o_proj.weight[:, columns].T
            scale = lacking.pow(2).mean(-1, keepdim=True).add(norm.variance_epsilon).rsqrt()
            return (lacking * scale * norm.weight,)

        return [
            (norm, lambda _m, args: stream.append(args[0])),
            (getattr(self.layers[1].self_attn, f"{reader}_proj"), replace),
        ]

    def direct(self, run: Run, targets: torch.Tensor, at: slice) -> tuple[torch.Tensor, float]:
        """What each head writes straight into the logit of the right word, less the mean over the vocabulary.

        Read through the final norm with its scale frozen.

        Args:
            run: An unchanged pass.
            targets: The right words `[row, position in at]`.
            at: The positions that are asked.

        Returns:
            `[layer, head]` in logits, means over rows and positions, and what no head writes.
        """
        import torch

        norm, table = self.model.model.norm, self.model.lm_head.weight
        scale = run.last[:, at].pow(2).mean(-1, keepdim=True).add(norm.variance_epsilon).rsqrt()
        direction = (table[targets] - table.mean(0)) * norm.weight * scale
        with torch.no_grad():
            effects = torch.tensor(
                [
                    [
                        float((self.write(run, layer, head)[:, at] * direction).sum(-1).mean())
                        for head in range(self.heads)
                    ]
                    for layer in range(len(self.layers))
                ]
            )
            total = float((run.last[:, at] * direction).sum(-1).mean())
        return effects, total - float(effects.sum())


@contextmanager
def _hooked(hooks: list[tuple[Any, Callable[..., Any]]]) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def second(ids: torch.Tensor) -> slice:
    """The positions of the second time that `repeated` words are said."""
    return slice(1 + ids.shape[1] // 2, ids.shape[1])


def followers(ids: torch.Tensor) -> torch.Tensor:
    """What came after each word of the second half the first time `[row, period]`; the first word after the last."""
    period = ids.shape[1] // 2
    return ids[:, 2 : period + 2]


def previous(patterns: torch.Tensor) -> torch.Tensor:
    """Mean weight on the token before, `[layer, head]`, over positions from 2 on."""
    diagonal = patterns.diagonal(offset=-1, dim1=-2, dim2=-1)
    return diagonal[..., 1:].mean((1, 3))


def own(patterns: torch.Tensor) -> torch.Tensor:
    """Mean weight on the token itself, `[layer, head]`, over positions from 1 on."""
    return patterns.diagonal(dim1=-2, dim2=-1)[..., 1:].mean((1, 3))


def offset_scores(patterns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Induction and duplicate scores `[layer, head]` on `repeated` words.

    Mean weight, from the second half, on the token after the same word's first mention, and on that mention.
    """
    period = patterns.shape[-1] // 2
    induction = patterns.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 2:]
    duplicate = patterns.diagonal(offset=-period, dim1=-2, dim2=-1)[..., 1:]
    return induction.mean((1, 3)), duplicate.mean((1, 3))


def text_scores(patterns: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Induction and duplicate scores `[layer, head]` on any text, position 0 never counting as a source.

    Over the positions whose token occurred before: the weight on all tokens right after such an occurrence,
    and on the occurrences themselves; mean over positions, then over rows.
    """
    import torch

    length = ids.shape[1]
    same = (ids[:, :, None] == ids[:, None, :]) & torch.ones(length, length, dtype=torch.bool).tril(-1)
    same[:, :, 0] = False
    after = torch.zeros_like(same)
    after[:, :, 1:] = same[:, :, :-1]
    after &= torch.ones(length, length, dtype=torch.bool).tril(-1)
    return _masked(patterns, after), _masked(patterns, same)


def _masked(patterns: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    mass = (patterns * mask[None, :, None]).sum(-1)
    eligible = mask.any(-1)[None, :, None].float()
    return ((mass * eligible).sum(-1) / eligible.sum(-1)).mean(1)
