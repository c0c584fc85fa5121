"""What is measured inside a tiny-addition model, with plain transformers and PyTorch hooks.

Nothing here uses the rest of the package, so these figures can be held against what the package says.
All passes are float32 with eager attention, over every pair of numbers at once.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mi_widgets.zoo import addition_pairs
from mi_widgets.zoo.addition_pairs import MODULUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

FREQUENCIES = range(1, MODULUS // 2 + 1)


@dataclass(frozen=True)
class Run:
    """One pass over all pairs, read at "=".

    Attributes:
        logits: `[pair, vocab]`.
        pattern: `[pair, head, src]`.
        z: `[pair, d]`, the heads side by side.
        attn_out: `[pair, d]`.
        neurons: `[pair, unit]`, after the ReLU.
        mlp_out: `[pair, d]`.
        last: `[pair, d]`, what the final norm reads.
    """

    logits: torch.Tensor
    pattern: torch.Tensor
    z: torch.Tensor
    attn_out: torch.Tensor
    neurons: torch.Tensor
    mlp_out: torch.Tensor
    last: torch.Tensor


class Probe:
    """A model under measurement.

    Args:
        model: A GPT-2 of transformers with one layer, float32, evaluation mode, eager attention.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> None:
        import torch

        self.model = model
        self.tokenizer = tokenizer
        self.block: Any = model.transformer.h[0]
        self.heads: int = model.config.n_head
        self.size: int = model.config.n_embd // self.heads
        self.numbers = torch.tensor(tokenizer.convert_tokens_to_ids([str(number) for number in range(MODULUS)]))
        pairs = addition_pairs.all_pairs()
        self.ids = torch.tensor(tokenizer([f"{a} + {b} =" for a, b in pairs]).input_ids)
        self.sums = torch.tensor([(a + b) % MODULUS for a, b in pairs])
        trained = addition_pairs.trained_pairs()
        self.trained = torch.tensor([pair in trained for pair in pairs])

    def run(self, z: Callable[[torch.Tensor], torch.Tensor] | None = None, mlp: torch.Tensor | None = None) -> Run:
        """One pass, changed or not.

        Args:
            z: Given z `[pair, d]` at "=", gives the one to go on with.
            mlp: Taken at "=" for the MLP's output, `[d]`.
        """
        import torch

        seen: dict[str, torch.Tensor] = {}

        def note(name: str, value: torch.Tensor) -> None:
            seen[name] = value[:, -1].clone()

        def read_z(_module: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            changed = args[0].clone()
            if z is not None:
                changed[:, -1] = z(changed[:, -1])
            note("z", changed)
            return (changed,)

        def read_mlp(_module: Any, _args: Any, out: torch.Tensor) -> torch.Tensor:
            changed = out.clone()
            if mlp is not None:
                changed[:, -1] = mlp
            note("mlp_out", changed)
            return changed

        block = self.block
        handles = [
            block.attn.c_proj.register_forward_pre_hook(read_z),
            block.attn.c_proj.register_forward_hook(lambda _m, _a, out: note("attn_out", out)),
            block.mlp.c_proj.register_forward_pre_hook(lambda _m, args: note("neurons", args[0])),
            block.mlp.register_forward_hook(read_mlp),
            self.model.transformer.ln_f.register_forward_pre_hook(lambda _m, args: note("last", args[0])),
        ]
        try:
            with torch.no_grad():
                out = self.model(input_ids=self.ids, output_attentions=True, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return Run(logits=out.logits[:, -1], pattern=out.attentions[0][:, :, -1], **seen)

    def right(self, logits: torch.Tensor) -> torch.Tensor:
        """Whether the top token of the whole vocabulary is the sum, `[pair]` float32."""
        return (logits.argmax(-1) == self.numbers[self.sums]).float()

    def accuracy(self, logits: torch.Tensor) -> float:
        """Share of all pairs whose top token is the sum."""
        return float(self.right(logits).mean())

    def losses(self, logits: torch.Tensor) -> torch.Tensor:
        """Cross-entropy over the whole vocabulary, `[pair]` in nats."""
        return -logits.log_softmax(-1)[range(len(logits)), self.numbers[self.sums]]

    @contextmanager
    def numbers_as(self, table: torch.Tensor) -> Iterator[None]:
        """Numbers embedded as the rows of `table [number, d]`, and put back."""
        weight = self.model.transformer.wte.weight
        before = weight.data[self.numbers].clone()
        weight.data[self.numbers] = table
        try:
            yield
        finally:
            weight.data[self.numbers] = before

    def direct(self, run: Run) -> tuple[list[float], float, float]:
        """What heads, MLP and the rest write straight into the sum's logit, less the mean over the vocabulary.

        Read through the final norm with its scale frozen; heads without the output projection's bias.

        Returns:
            Per head, of the MLP with its bias, and of all else, in logits; means over the pairs.
        """
        norm, table = self.model.transformer.ln_f, self.model.lm_head.weight.detach()
        scale = (run.last.var(-1, unbiased=False, keepdim=True) + norm.eps).rsqrt()
        direction = (table[self.numbers[self.sums]] - table.mean(0)) * norm.weight.detach() * scale

        def effect(written: torch.Tensor) -> float:
            return float(((written - written.mean(-1, keepdim=True)) * direction).sum(-1).mean())

        weight = self.block.attn.c_proj.weight.detach()
        spans = [slice(head * self.size, (head + 1) * self.size) for head in range(self.heads)]
        by_head = [effect(run.z[:, span] @ weight[span]) for span in spans]
        mlp = effect(run.mlp_out)
        right = run.logits[range(len(self.sums)), self.numbers[self.sums]] - run.logits.mean(-1)
        return by_head, mlp, float(right.mean()) - sum(by_head) - mlp


def waves(frequencies: Iterable[int]) -> torch.Tensor:
    """Cosine and sine of each frequency over the numbers, `[2 frequencies, number]`, orthonormal rows."""
    import torch

    turns = torch.outer(torch.tensor([*frequencies], dtype=torch.float64), torch.arange(MODULUS, dtype=torch.float64))
    angles = 2 * math.pi * turns / MODULUS
    return torch.stack([angles.cos(), angles.sin()], 1).view(-1, MODULUS) * math.sqrt(2 / MODULUS)


def logit_shares(numbers: torch.Tensor) -> tuple[float, list[float]]:
    """How much of the logits' variance is waves in c - a - b.

    The variance of logit[a, b, c] is taken after its mean over c is subtracted for each pair.

    Args:
        numbers: Logits of the numbers `[pair, c]`, pair (a, b) at 97 a + b.

    Returns:
        The share that is any function of c - a - b, and the share of each frequency 1..48 of it.
    """
    centred = numbers.double() - numbers.double().mean(-1, keepdim=True)
    total = centred.pow(2).mean()
    mean = aligned(centred).mean(0)
    powers = (waves(FREQUENCIES) @ mean).pow(2).view(-1, 2).sum(-1) / MODULUS
    return float(mean.pow(2).mean() / total), (powers / total).tolist()


def aligned(numbers: torch.Tensor) -> torch.Tensor:
    """`[pair, c - a - b mod 97]` of `[pair, c]`."""
    import torch

    sums = torch.tensor([a + b for a, b in addition_pairs.all_pairs()])
    return numbers.gather(1, (torch.arange(MODULUS)[None] + sums[:, None]) % MODULUS)


def without_waves(numbers: torch.Tensor, frequencies: Iterable[int]) -> torch.Tensor:
    """Logits `[pair, c]` less their part that is waves of these frequencies in c - a - b."""
    import torch

    basis = waves(frequencies)
    removed = (basis @ aligned(numbers.double()).mean(0)) @ basis
    sums = torch.tensor([a + b for a, b in addition_pairs.all_pairs()])
    return numbers.double() - removed[(torch.arange(MODULUS)[None] - sums[:, None]) % MODULUS]


def pair_shares(values: torch.Tensor) -> tuple[float, float]:
    """What a `[pair, unit]` reading depends on.

    Returns:
        The share of its variance that is a function of a plus a function of b, and the share that is
        a function of (a + b) mod 97.
    """
    import torch

    grid = values.double().view(MODULUS, MODULUS, -1)
    grid = grid - grid.mean((0, 1))
    total = grid.pow(2).sum()
    additive = MODULUS * (grid.mean(1).pow(2).sum() + grid.mean(0).pow(2).sum())
    numbers = torch.arange(MODULUS)
    by_sum = grid[numbers[:, None], (numbers[None] - numbers[:, None]) % MODULUS].mean(0)
    return float(additive / total), float(MODULUS * by_sum.pow(2).sum() / total)


def neuron_shares(neurons: torch.Tensor) -> torch.Tensor:
    """How far one frequency explains a neuron: `[frequency, unit]` shares of variance over the pairs.

    A frequency's part is every product of 1, cosine and sine of a with 1, cosine and sine of b, the
    constant apart. NaN for a neuron that never changes.
    """
    import torch

    grid = neurons.double().view(MODULUS, MODULUS, -1)
    grid = grid - grid.mean((0, 1))
    total = grid.pow(2).sum((0, 1))
    flat = torch.full((1, MODULUS), 1 / math.sqrt(MODULUS), dtype=torch.float64)
    shares = []
    for frequency in FREQUENCIES:
        basis = torch.cat([flat, waves([frequency])])
        parts = torch.einsum("ia,abn,jb->ijn", basis, grid, basis)
        shares.append(parts.pow(2).sum((0, 1)) / total)
    return torch.stack(shares)
