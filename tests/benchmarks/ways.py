"""The ways to one map: ours, TransformerLens, nnsight, and plain hooks, each written as its own documents show it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from typing import Protocol

import nnsight
import pandas as pd
import torch
import transformers
from nnsight.modeling.transformers import TransformersModel
from torch import nn
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

import mi_widgets as mi

from .rows import Cell, Pair, Row, copy_of, tokenizer_of

Found = dict[Cell, float]
"""The metric of the patched run, cell by cell."""


class Way(Protocol):
    """One column of the table.

    Attributes:
        name: of the column.
        whole: how much of a map it runs at a time: "map", "layer" or "cell".
    """

    name: str
    whole: str

    def prepare(self, pair: Pair) -> None:
        """Take new prompts and keep the clean run's values; not timed."""

    def run(self, cells: list[Cell]) -> Found:
        """Patch these cells of the corrupted run, each in a run of its own; timed."""

    def one(self, cell: Cell) -> float:
        """Patch one cell, as after a drag; timed."""


class Ours:
    """`exp.sweep` and `exp.run`. Every round is a new experiment, so that nothing can be answered from a table.

    Attributes:
        kernel: what the last result's provenance says it ran on.
    """

    whole = "map"

    def __init__(self, hf: PreTrainedModel, row: Row) -> None:
        self.name, self.row = "mi-widgets", row
        self.model = mi.wrap(copy_of(hf), tokenizer_of(hf.config.vocab_size))

    def prepare(self, pair: Pair) -> None:
        self.exp = mi.Experiment(
            self.model,
            clean=pair.clean[0].tolist(),
            corrupted=pair.corrupted[0].tolist(),
            answer=pair.answer,
            distractor=pair.distractor,
        )
        _ = self.exp.baselines
        self.exp.read(self.row.site, run="clean")

    def run(self, cells: list[Cell]) -> Found:
        result = self.exp.sweep(self.row.site, progress=False)
        self.kernel = result.provenance.kernel
        values = result.metric.tolist()
        return {(layer, i): values[layer][i] for layer, i in cells}

    def one(self, cell: Cell) -> float:
        layer, index = cell
        resid = self.row.site == "resid_pre"
        edit = mi.Patch("resid_pre", layer, position=index) if resid else mi.Patch("z", layer, head=index)
        result = self.exp.run([edit])
        self.kernel = result.provenance.kernel
        return result.metric


class Hooks:
    """A loop over forward passes of the Hugging Face model, with one plain hook in each. The others are held to it."""

    whole = "cell"

    def __init__(self, hf: PreTrainedModel, row: Row) -> None:
        self.name, self.row = "plain hooks", row
        self.hf = copy_of(hf)
        self.heads = hf.config.num_attention_heads

    def _module(self, layer: int) -> nn.Module:
        if self.row.site == "resid_pre":
            return layers_of(self.hf)[layer]
        return out_of(layers_of(self.hf)[layer])

    def prepare(self, pair: Pair) -> None:
        self.pair, self.clean = pair, []
        handles = [
            self._module(layer).register_forward_pre_hook(lambda _, args: self.clean.append(args[0].clone()))
            for layer in range(self.hf.config.num_hidden_layers)
        ]
        self.hf(pair.clean, use_cache=False)
        for handle in handles:
            handle.remove()

    def run(self, cells: list[Cell]) -> Found:
        return {cell: self.one(cell) for cell in cells}

    def one(self, cell: Cell) -> float:
        layer, index = cell

        def patch(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            new = args[0].clone()
            if self.row.site == "resid_pre":
                new[:, index] = self.clean[layer][:, index]
            else:
                here = new.unflatten(-1, (self.heads, -1))
                here[:, :, index] = self.clean[layer].unflatten(-1, (self.heads, -1))[:, :, index]
            return (new, *args[1:])

        handle = self._module(layer).register_forward_pre_hook(patch)
        try:
            return float(self.pair.metric(self.hf(self.pair.corrupted, use_cache=False).logits))
        finally:
            handle.remove()


class TransformerLens:
    """Its own patching functions on a `TransformerBridge` with the weights as they are."""

    whole = "cell"

    def __init__(self, hf: PreTrainedModel, row: Row) -> None:
        self.name, self.row = f"TransformerLens {version('transformer-lens')}", row
        with tempfile.TemporaryDirectory() as folder:
            # It loads a tokenizer again by its path.
            tokenizer_of(hf.config.vocab_size).save_pretrained(folder)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            self.bridge = TransformerBridge.boot_transformers(
                "bench", hf_model=copy_of(hf), tokenizer=tokenizer, device="cpu"
            )
        self.suffix = "hook_resid_pre" if row.site == "resid_pre" else "attn.hook_z"

    def prepare(self, pair: Pair) -> None:
        self.pair = pair
        _, self.cache = self.bridge.run_with_cache(pair.clean, names_filter=lambda name: name.endswith(self.suffix))

    def run(self, cells: list[Cell]) -> Found:
        resid = self.row.site == "resid_pre"
        patch = patching.get_act_patch_resid_pre if resid else patching.get_act_patch_attn_head_out_all_pos
        given = (self.bridge, self.pair.corrupted, self.cache, self.pair.metric)
        if len(cells) == len(self.row.cells(self.bridge.cfg.n_layers, self.bridge.cfg.n_heads)):
            values = patch(*given).tolist()
            return {(layer, i): values[layer][i] for layer, i in cells}
        table = pd.DataFrame(cells, columns=["layer", "pos" if resid else "head"])
        return dict(zip(cells, patch(*given, index_axis_names=None, index_df=table).tolist(), strict=True))

    def one(self, cell: Cell) -> float:
        layer, index = cell
        name = f"blocks.{layer}.{self.suffix}"
        there = self.cache[name]

        def put(x: torch.Tensor, hook: object) -> torch.Tensor:
            if self.row.site == "resid_pre":
                x[:, index] = there[:, index]
            else:
                x[:, :, index] = there[:, :, index]
            return x

        return float(self.pair.metric(self.bridge.run_with_hooks(self.pair.corrupted, fwd_hooks=[(name, put)])))


class NNsight:
    """The map of its patching guide: an invoke per cell, and a trace per layer that runs them as one batch."""

    whole = "layer"

    def __init__(self, hf: PreTrainedModel, row: Row) -> None:
        self.name, self.row = f"nnsight {version('nnsight')}", row
        self.model = TransformersModel(copy_of(hf), tokenizer=tokenizer_of(hf.config.vocab_size))
        self.heads = hf.config.num_attention_heads

    def prepare(self, pair: Pair) -> None:
        self.pair = pair
        layers = layers_of(self.model)
        with self.model.trace(pair.clean):
            if self.row.site == "resid_pre":
                kept = nnsight.save([layer.input.detach() for layer in layers])
            else:
                kept = nnsight.save([out_of(layer).input.detach() for layer in layers])
        self.clean = kept

    def run(self, cells: list[Cell]) -> Found:
        return {cell: value for layer in sorted({c[0] for c in cells}) for cell, value in self._layer(layer, cells)}

    def _layer(self, layer: int, cells: list[Cell]) -> Iterable[tuple[Cell, float]]:
        own = [cell for cell in cells if cell[0] == layer]
        patched = self._resid_pre if self.row.site == "resid_pre" else self._z
        return zip(own, (float(value) for value in patched(layer, [cell[1] for cell in own])), strict=True)

    def _resid_pre(self, layer: int, positions: list[int]) -> list[torch.Tensor]:
        pair, there, block = self.pair, self.clean[layer], layers_of(self.model)[layer]
        with self.model.trace() as tracer:
            row = nnsight.save([])
            for position in positions:
                with tracer.invoke(pair.corrupted):
                    block.input[:, position, :] = there[:, position, :]
                    row.append(pair.metric(self.model.output.logits).detach())
        return row

    def _z(self, layer: int, heads: list[int]) -> list[torch.Tensor]:
        pair, there, out = self.pair, self.clean[layer], out_of(layers_of(self.model)[layer])
        size = there.shape[-1] // self.heads
        with self.model.trace() as tracer:
            row = nnsight.save([])
            for head in heads:
                with tracer.invoke(pair.corrupted):
                    out.input[:, :, head * size : (head + 1) * size] = there[:, :, head * size : (head + 1) * size]
                    row.append(pair.metric(self.model.output.logits).detach())
        return row

    def one(self, cell: Cell) -> float:
        return self.run([cell])[cell]


def layers_of(model):
    """The layers of a model or of nnsight's view of one."""
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


def out_of(layer):
    """The output projection of a layer's attention; what enters it is z."""
    return layer.attn.c_proj if hasattr(layer, "attn") else layer.self_attn.o_proj


def ways_of(hf: PreTrainedModel, row: Row) -> tuple[Ours, Hooks, TransformerLens, NNsight]:
    """All columns; ours first, the reference second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Ours(hf, row), Hooks(hf, row), TransformerLens(hf, row), NNsight(hf, row)
