"""What is measured inside a tiny-names model, with plain transformers and PyTorch hooks.

Nothing here uses the rest of the package, so these figures can be held against what the package says.
All passes are float32 with eager attention.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mi_widgets.zoo import names_text, names_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

ROLES: tuple[str, ...] = ("bos", "clause", "n1", "and", "n2", "move", "to", "the", "place", "comma",
                          "s2", "gave", "a", "object", "end")  # fmt: skip
"""What stands at each position of a scene; n1 and n2 are the two names in order, s2 is the giver."""


@dataclass(frozen=True)
class Scenes:
    """Prompts of one shape, as in "When Mary and John went to the store, John gave a drink to".

    Attributes:
        clean: Prompts, 15 tokens each; the giver is one of the two names.
        swapped: The same with the other of the two as giver, which asks the opposite question.
        third: The same with a third name as giver, which leaves the answer open.
        answers: The receiver in `clean`, with its leading space.
        foils: The giver in `clean`, with its leading space.
        io: Position of the receiver, 2 or 4, per prompt.
        s1: Position of the giver's first mention, 4 or 2, per prompt.
    """

    clean: tuple[str, ...]
    swapped: tuple[str, ...]
    third: tuple[str, ...]
    answers: tuple[str, ...]
    foils: tuple[str, ...]
    io: tuple[int, ...]
    s1: tuple[int, ...]


def scenes(count: int, seed: int) -> Scenes:
    """`count` scenes over pairs of names held out of training, half with the receiver first."""
    rng = random.Random(seed)
    rows = []
    for index in range(count):
        while True:
            first, second, other = rng.sample(names_words.NAMES, 3)
            if frozenset((first, second)) in names_text.HELD_OUT_PAIRS:
                break
        giver, receiver = (second, first) if index % 2 == 0 else (first, second)
        start = (
            f"{rng.choice(names_words.CLAUSES)} {first} and {second}"
            f" {rng.choice(names_words.MOVES)} the {rng.choice(names_words.PLACES)},"
        )
        end = f"{rng.choice(names_words.GIVES)} a {rng.choice(names_words.OBJECTS)} to"
        prompts = tuple(f"{start} {name} {end}" for name in (giver, receiver, other))
        rows.append((*prompts, f" {receiver}", f" {giver}", *((2, 4) if index % 2 == 0 else (4, 2))))
    return Scenes(*(tuple(column) for column in zip(*rows, strict=True)))


class Probe:
    """A model under measurement.

    Args:
        model: A GPT-2 of transformers, float32, evaluation mode, eager attention.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.body: Any = model.transformer
        self.layers: int = model.config.n_layer
        self.heads: int = model.config.n_head

    def ids(self, prompts: Sequence[str]) -> torch.Tensor:
        """Token ids `[prompt, position]` of prompts of equal length."""
        import torch

        return torch.tensor(self.tokenizer(list(prompts)).input_ids)

    def words(self, words: Sequence[str]) -> torch.Tensor:
        """The token id `[word]` of each single-token word."""
        import torch

        rows = self.tokenizer(list(words), add_special_tokens=False).input_ids
        return torch.tensor([token for (token,) in rows])

    def last_logits(self, prompts: Sequence[str]) -> torch.Tensor:
        """Logits `[prompt, vocab]` after the last token of prompts of any lengths."""
        import torch

        encoded = self.tokenizer(list(prompts), return_tensors="pt", padding=True, padding_side="left")
        positions = (encoded.attention_mask.cumsum(1) - 1).clamp(min=0)
        with torch.no_grad():
            out = self.model(input_ids=encoded.input_ids, attention_mask=encoded.attention_mask, position_ids=positions)
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def difference(self, logits: torch.Tensor, scene: Scenes) -> torch.Tensor:
        """Answer logit minus foil logit `[prompt]`."""
        row = range(len(logits))
        return logits[row, self.words(scene.answers)] - logits[row, self.words(scene.foils)]

    @contextmanager
    def _hooked(self, hooks: Sequence[tuple[torch.nn.Module, Callable[..., Any]]]) -> Iterator[None]:
        handles = [module.register_forward_pre_hook(hook) for module, hook in hooks]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def read(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """One pass, read with hooks.

        Returns:
            `resid [layer + 1, prompt, position, d]`, whose last row is what the final norm reads;
            `z [layer, prompt, position, d]`; `attention [layer, prompt, head, dest, src]`; and the last
            logits `[prompt, vocab]`.
        """
        import torch

        resid: list[torch.Tensor] = []
        z: list[torch.Tensor] = []
        body = self.body
        hooks: list[tuple[Any, Callable[..., Any]]] = [
            (block, lambda _m, args: resid.append(args[0].detach().clone())) for block in body.h
        ]
        hooks += [(block.attn.c_proj, lambda _m, args: z.append(args[0].detach().clone())) for block in body.h]
        hooks.append((body.ln_f, lambda _m, args: resid.append(args[0].detach().clone())))
        with torch.no_grad(), self._hooked(hooks):
            out = self.model(input_ids=ids, output_attentions=True, use_cache=False)
        return torch.stack(resid), torch.stack(z), torch.stack(out.attentions), out.logits[:, -1]

    def patched(self, ids: torch.Tensor, module: Any, value: torch.Tensor, at: Any) -> torch.Tensor:
        """Last logits `[prompt, vocab]` when `module` reads `value[at]` in place of its own input's `[at]`."""
        import torch

        fired = []

        def hook(_module: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            fired.append(True)
            changed = args[0].clone()
            changed[at] = value[at]
            return (changed, *args[1:])

        with torch.no_grad(), self._hooked([(module, hook)]):
            logits: torch.Tensor = self.model(input_ids=ids, use_cache=False).logits[:, -1]
        assert len(fired) == 1
        return logits

    def recovered_by_position(self, scene: Scenes, base: Sequence[str], positions: Sequence[int]) -> torch.Tensor:
        """What the residual stream entering a layer brings back at one position.

        Returns:
            `[layer, position]`, the share of clean minus base that returns when that vector of the base
            run is taken from the clean run; ratio of means over the scenes.
        """
        import torch

        clean, other = self.ids(scene.clean), self.ids(base)
        resid, _, _, logits = self.read(clean)
        low = self.difference(self.read(other)[3], scene).mean()
        span = self.difference(logits, scene).mean() - low
        grid = torch.zeros(self.layers, len(positions))
        for layer, block in enumerate(self.body.h):
            for column, position in enumerate(positions):
                at = (slice(None), position)
                run = self.difference(self.patched(other, block, resid[layer], at), scene).mean()
                grid[layer, column] = (run - low) / span
        return grid

    def recovered_by_head(self, scene: Scenes, base: Sequence[str]) -> torch.Tensor:
        """The same share `[layer, head]` for one head's z, taken from the clean run at all positions."""
        import torch

        clean, other = self.ids(scene.clean), self.ids(base)
        _, z, _, logits = self.read(clean)
        low = self.difference(self.read(other)[3], scene).mean()
        span = self.difference(logits, scene).mean() - low
        grid = torch.zeros(self.layers, self.heads)
        size = self.model.config.n_embd // self.heads
        for layer, block in enumerate(self.body.h):
            for head in range(self.heads):
                at = (slice(None), slice(None), slice(head * size, (head + 1) * size))
                run = self.difference(self.patched(other, block.attn.c_proj, z[layer], at), scene).mean()
                grid[layer, head] = (run - low) / span
        return grid

    def redirected(
        self, scene: Scenes, base: Sequence[str], heads: Sequence[tuple[int, int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The clean run with some heads' z taken from another run, at all positions.

        Returns:
            Its attention `[layer, prompt, head, dest, src]` and its last logits `[prompt, vocab]`.
        """
        import torch

        other = self.read(self.ids(base))[1]
        size = self.model.config.n_embd // self.heads

        def replacing(layer: int, columns: list[int]) -> Callable[..., Any]:
            def hook(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
                changed = args[0].clone()
                changed[..., columns] = other[layer][..., columns]
                return (changed, *args[1:])

            return hook

        hooks: list[tuple[Any, Callable[..., Any]]] = []
        for layer in sorted({layer for layer, _ in heads}):
            chosen = [head for at, head in heads if at == layer]
            columns = [head * size + unit for head in chosen for unit in range(size)]
            hooks.append((self.body.h[layer].attn.c_proj, replacing(layer, columns)))
        with torch.no_grad(), self._hooked(hooks):
            out = self.model(input_ids=self.ids(scene.clean), output_attentions=True, use_cache=False)
        return torch.stack(out.attentions), out.logits[:, -1]

    def direct_effects(self, scene: Scenes) -> tuple[torch.Tensor, torch.Tensor]:
        """What each head writes straight into the logit difference.

        Heads are read at the last position through the final norm with its scale frozen, without the
        output projection's bias.

        Returns:
            `[layer, head]` in logits, means over the scenes, and the part `[]` that heads do not write.
        """
        import torch

        ids = self.ids(scene.clean)
        resid, z, _, logits = self.read(ids)
        norm, table = self.body.ln_f, self.model.lm_head.weight
        direction = (table[self.words(scene.answers)] - table[self.words(scene.foils)]) * norm.weight
        last = resid[-1][:, -1]
        scale = (last.var(-1, unbiased=False) + norm.eps).sqrt()
        effects = torch.zeros(self.layers, self.heads)
        size = self.model.config.n_embd // self.heads
        with torch.no_grad():
            for layer, block in enumerate(self.body.h):
                for head in range(self.heads):
                    rows = slice(head * size, (head + 1) * size)
                    written = z[layer][:, -1, rows] @ block.attn.c_proj.weight[rows]
                    centred = written - written.mean(-1, keepdim=True)
                    effects[layer, head] = ((centred * direction).sum(-1) / scale).mean()
            rest = self.difference(logits, scene).mean() - effects.sum()
        return effects, rest

    def lens(self, scene: Scenes) -> torch.Tensor:
        """The logit difference `[layer + 1]` read off the stream at the last position.

        Through the final norm recomputed there: entering layer 0, then after each layer; the last is
        the model's own.
        """
        import torch

        resid = self.read(self.ids(scene.clean))[0]
        with torch.no_grad():
            rows = [
                self.difference(self.model.lm_head(self.body.ln_f(stream[:, -1])), scene).mean() for stream in resid
            ]
        return torch.stack(rows)
