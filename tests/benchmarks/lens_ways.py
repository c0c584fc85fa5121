"""The ways to one lens of a GPT-2: ours, a plain loop, nnsight's, and the bare products that none can do without."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

import nnsight
import torch
from nnsight.modeling.transformers import TransformersModel
from transformers import PreTrainedModel

import mi_widgets as mi
from mi_widgets.analysis.lens_measures import MEASURES
from mi_widgets.model.kernels import multiply

from .rows import copy_of, tokenizer_of

K = 5
AT_ONCE, BLOCK = 512, 4096
"""Rows and tokens of the bare products' blocks."""

ANSWER, DISTRACTOR = 11, 12


@dataclass(frozen=True)
class Found:
    """What the ways are compared by: [row, position] of the top token, its probability, and measures by name."""

    tokens: torch.Tensor
    probs: torch.Tensor
    measures: dict[str, torch.Tensor]


class Way(Protocol):
    """One column.

    Attributes:
        name: of the column.
        short: its name on the command line.
    """

    name: str
    short: str

    def prepare(self, ids: torch.Tensor) -> None:
        """Take a new prompt, [position] int64; not timed."""

    def run(self) -> Found | None:
        """The lens of input and every layer, forward pass included; timed. None where nothing is left of it."""


class Products:
    """As many rows as the lens has, times the unembedding, block by block, with the fastest product there is here."""

    name, short = "bare matrix products", "products"

    def __init__(self, hf: PreTrainedModel) -> None:
        self.weight, self.rows = hf.lm_head.weight, hf.config.n_layer + 1

    def prepare(self, ids: torch.Tensor) -> None:
        self.x = torch.randn(self.rows * len(ids), self.weight.shape[1])

    def run(self) -> None:
        for x in self.x.split(AT_ONCE):
            for weight in self.weight.split(BLOCK):
                multiply(x, weight, None)


class Ours:
    """`exp.lens`. Every round is a new experiment, of which only the baselines are there, as in any widget."""

    def __init__(self, hf: PreTrainedModel, measures: tuple[str, ...]) -> None:
        every = len(measures) == len(MEASURES)
        self.name = f"mi-widgets, {'all measures' if every else 'top tokens and probability'}"
        self.short, self.measures = "ours-all" if every else "ours", measures
        self.model = mi.wrap(copy_of(hf), tokenizer_of(hf.config.vocab_size))

    def prepare(self, ids: torch.Tensor) -> None:
        self.exp = mi.Experiment(self.model, ids.tolist(), answer=ANSWER, distractor=DISTRACTOR)
        # With them comes the look whether the weights are what they were, which is two passes of its own.
        _ = self.exp.baselines

    def run(self) -> Found:
        found = self.exp.lens(k=K, measures=self.measures, run="clean")
        return Found(found.top_ids[..., 0], found.probs[..., 0], dict(found.measures))


class Loop:
    """Hidden states of one pass, then the model's own norm and unembedding on each, row after row."""

    def __init__(self, hf: PreTrainedModel, every: bool) -> None:
        self.name = f"plain loop, {'all measures' if every else 'top tokens and probability'}"
        self.short, self.hf, self.every = "loop-all" if every else "loop", copy_of(hf), every

    def prepare(self, ids: torch.Tensor) -> None:
        self.ids = ids

    def run(self) -> Found:
        out = self.hf(input_ids=self.ids[None], output_hidden_states=True)
        # The last of the hidden states has passed the final norm already.
        final = out.logits[0].log_softmax(-1)
        tops: list[torch.return_types.topk] = []
        measures: dict[str, list[torch.Tensor]] = {name: [] for name in MEASURES}
        for i, stream in enumerate(out.hidden_states):
            last = i == len(out.hidden_states) - 1
            logits = self.hf.lm_head(stream if last else self.hf.transformer.ln_f(stream))[0]
            log_p = logits.log_softmax(-1)
            p = log_p.exp()
            tops.append(p.topk(K))
            if self.every:
                answer = logits[:, ANSWER]
                nexts = torch.cat([self.ids[1:], torch.tensor([ANSWER])])
                for name, value in {
                    "prob": p.amax(-1),
                    "rank": (logits > answer[:, None]).sum(-1).float(),
                    "entropy": -(p * log_p).sum(-1),
                    "kl": (final.exp() * (final - log_p)).sum(-1),
                    "logit_diff": answer - logits[:, DISTRACTOR],
                    "cross_entropy": -log_p.gather(1, nexts[:, None])[:, 0],
                }.items():
                    measures[name].append(value)
        return Found(
            torch.stack([top.indices[:, 0] for top in tops]),
            torch.stack([top.values[:, 0] for top in tops]),
            {name: torch.stack(values) for name, values in measures.items() if values},
        )


class Sight:
    """The logit lens of nnsight's tutorial: one trace, probabilities of all rows, the greatest of each."""

    def __init__(self, hf: PreTrainedModel) -> None:
        self.name, self.short = f"nnsight {version('nnsight')}, top token and probability", "nnsight"
        self.model = TransformersModel(copy_of(hf), tokenizer=tokenizer_of(hf.config.vocab_size))

    def prepare(self, ids: torch.Tensor) -> None:
        self.ids = ids[None]

    def run(self) -> Found:
        model, every = self.model, []
        with model.trace(self.ids):
            each = nnsight.save([])
            first = model.transformer.h[0].input
            each.append(model.lm_head(model.transformer.ln_f(first)).softmax(-1))
            for layer in model.transformer.h:
                out = layer.output
                stream = out if isinstance(out, torch.Tensor) else out[0]
                each.append(model.lm_head(model.transformer.ln_f(stream)).softmax(-1))
        every = torch.cat(list(each))
        probs, tokens = every.max(-1)
        return Found(tokens, probs, {})


def ways_of(hf: PreTrainedModel, only: str | None = None) -> list[Way]:
    """The columns, in their order; or one of them."""
    make = {
        "products": lambda: Products(hf),
        "ours": lambda: Ours(hf, ("prob",)),
        "ours-all": lambda: Ours(hf, tuple(MEASURES)),
        "loop": lambda: Loop(hf, False),
        "loop-all": lambda: Loop(hf, True),
        "nnsight": lambda: Sight(hf),
    }
    return [made() for short, made in make.items() if only in (None, short)]
