"""The rows of the benchmark: which model, which prompts, which map; and what each is measured against."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.families.weights import fill

SHAPES: dict[str, transformers.PretrainedConfig] = {
    "gpt2": transformers.GPT2Config(),
    "qwen2": transformers.Qwen2Config(
        vocab_size=32000,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    ),
}
"""GPT-2 small, and a grouped-query model of its size."""

LONG = transformers.GPT2Config(n_positions=2048)
"""GPT-2 small with room for a long prompt."""

TINY: dict[str, transformers.PretrainedConfig] = {
    "gpt2": transformers.GPT2Config(
        n_embd=32, n_layer=3, n_head=4, vocab_size=97, n_positions=64, bos_token_id=None, eos_token_id=None
    ),
    "qwen2": transformers.Qwen2Config(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
}
"""The same families at a size at which the benchmark itself can be tested."""

SHARED = 0.6
"""Part of the tokens that clean and corrupted prompt share, in the rows where they share any; rounded down."""

Cell = tuple[int, int]
"""(layer, position) of a resid_pre map, (layer, head) of a z map."""


@dataclass(frozen=True)
class Targets:
    """What a row is to reach; None = nothing was promised.

    Attributes:
        transformer_lens, nnsight: how many times less CPU time than theirs.
        floor: how many times the floor, at most.
        p90: milliseconds that nine of ten single patches take, at most.
    """

    transformer_lens: float | None = None
    nnsight: float | None = None
    floor: float | None = None
    p90: float | None = None


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        shape: key of `SHAPES`.
        tokens: length of both prompts.
        shares: whether they share their beginning; else no position holds the same token in both.
        kind: "resid_pre" and "z" are maps over all layers; "drag" is a resid_pre patch at a time.
    """

    shape: str
    tokens: int
    shares: bool
    kind: str

    @property
    def name(self) -> str:
        """How the row is asked for on the command line."""
        return f"{self.shape}-{self.tokens}-{self.kind}{'-shared' if self.shares else ''}"

    @property
    def site(self) -> str:
        """Where patches are made."""
        return "z" if self.kind == "z" else "resid_pre"

    @property
    def first(self) -> int:
        """The first position at which the prompts differ."""
        return int(SHARED * self.tokens) if self.shares else 0

    def cells(self, layers: int, heads: int) -> list[Cell]:
        """All cells of the map."""
        return [(layer, i) for layer in range(layers) for i in range(heads if self.site == "z" else self.tokens)]

    def targets(self, fast: bool) -> Targets:
        """What the row is to reach.

        Args:
            fast: whether torch has a matrix product here that is faster than its usual one.
        """
        if self.kind == "drag":
            return Targets(6, 6, p90=35)
        if self.kind == "z":
            found = Targets(12, 6, 1.5) if self.tokens == 16 and not self.shares else Targets()
        elif self.shares:
            found = Targets(80, 40, 1.5 if self.tokens == 16 else None)
        else:
            found = Targets(20, 10, 1.5) if self.tokens == 16 else Targets(12, 10)
        if not fast and found.transformer_lens and found.nnsight and not self.shares:
            return Targets(min(found.transformer_lens, 10), min(found.nnsight, 5), found.floor)
        return found


def all_rows() -> list[Row]:
    """Every row, in the order of the table."""
    maps = [
        Row(shape, tokens, shares, kind)
        for shape in SHAPES
        for shares in (False, True)
        for kind in ("resid_pre", "z")
        for tokens in (16, 64)
    ]
    return maps + [Row(shape, tokens, False, "drag") for shape in SHAPES for tokens in (16, 64)]


@dataclass(frozen=True, eq=False)
class Pair:
    """The prompts of one round and the direction that is measured.

    Attributes:
        clean, corrupted: [1, position] int64.
        answer, distractor: token ids.
    """

    clean: torch.Tensor
    corrupted: torch.Tensor
    answer: int
    distractor: int

    def metric(self, logits: torch.Tensor) -> torch.Tensor:
        """Logit difference at the last position of the first row: [1, position, vocab] -> a number."""
        return logits[0, -1, self.answer] - logits[0, -1, self.distractor]


def pair_of(row: Row, vocabulary: int, seed: int) -> Pair:
    """Random prompts; another seed gives others, so that no round can know the answers of the one before."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, vocabulary, (1, row.tokens), generator=generator)
    step = torch.randint(1, vocabulary, (1, row.tokens), generator=generator)
    step[:, : row.first] = 0
    answer, distractor = torch.randperm(vocabulary, generator=generator)[:2].tolist()
    return Pair(clean, (clean + step) % vocabulary, answer, distractor)


def drawn(cells: list[Cell], count: int | None, among: list[int], seed: int) -> list[Cell]:
    """Cells to run of a map: half of them from certain layers, the rest from anywhere.

    Args:
        cells: the whole map.
        count: how many; None = all.
        among: layers that other columns run in full, so that there is something to compare.
        seed: of the draw.
    """
    if count is None or count >= len(cells):
        return cells
    draw = random.Random(seed)
    inside = [cell for cell in cells if cell[0] in among]
    chosen = draw.sample(inside, min(len(inside), (count + 1) // 2))
    rest = [cell for cell in cells if cell not in chosen]
    return sorted(chosen + draw.sample(rest, count - len(chosen)))


def model_of(config: transformers.PretrainedConfig, seed: int = 0) -> PreTrainedModel:
    """A model with random weights at 1/sqrt(fan_in), float32, ready to run."""
    hf = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    fill(hf, seed)
    return hf


def copy_of(hf: PreTrainedModel) -> PreTrainedModel:
    """A module tree of its own on the same weights, so that each library hooks its own and all fit in memory."""
    return copy.deepcopy(hf, {id(t): t for t in (*hf.parameters(), *hf.buffers())})


def tokenizer_of(vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer that knows every id; prompts are given as ids."""
    core = Tokenizer(models.WordLevel({f"w{i}": i for i in range(vocabulary)}, unk_token="w0"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="w0", pad_token="w0", eos_token="w0")
