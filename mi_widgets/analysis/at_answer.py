"""What attribution needs of an unedited run, at the answer position alone: kilobytes in place of streams."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from ..interventions.question import Question
from ..model.access import Key, Visitor
from ..model.handle import Model


def sites_of(model: Model) -> list[Key]:
    """The sites that attribution looks at, but the logits."""
    parts, layers = model.architecture, range(model.n_layers)
    keys: list[Key] = [("embed", None), ("resid_pre", 0), ("resid_post", model.n_layers - 1), ("final_norm", None)]
    keys += [("z", layer) for layer in layers if ("z", layer) not in parts.missing_at]
    if "mlp_out" in parts.sites:
        keys += [("mlp_out", layer) for layer in layers if ("mlp_out", layer) not in parts.missing_at]
    odd = [layer for layer in layers if has_more(model, layer)]
    return list(dict.fromkeys([*keys, *(key for layer in odd for key in (("resid_pre", layer), after(model, layer)))]))


def has_more(model: Model, layer: int) -> bool:
    """A layer adds something that neither its heads nor its MLP account for."""
    parts = model.architecture
    kinds = ("z", "mlp_out", "resid_post")
    missing = {kind for kind in kinds if kind in parts.missing or (kind, layer) in parts.missing_at}
    # A layer that adds once, by its attention, lacks nothing.
    no_mlp = "mlp_out" in missing and not parts.structural("mlp_out", layer)
    return no_mlp or parts.layers[layer].attn_more or bool(missing - {"mlp_out"})


def after(model: Model, layer: int) -> Key:
    """The stream that the next layer reads, whatever stands between the two."""
    return ("resid_pre", layer + 1) if layer + 1 < model.n_layers else ("resid_post", layer)


@dataclass(frozen=True, eq=False)
class AtAnswer:
    """Sites of a run at each prompt's answer position.

    Attributes:
        values: {(site, layer): [prompt, ...site axes]}; the logits among them.
    """

    values: dict[Key, torch.Tensor]

    @property
    def nbytes(self) -> int:
        """What is held for it."""
        return sum(value.nbytes for value in self.values.values())


class Notes:
    """Takes down, in a pass that is run anyway, what attribution needs of it; kept with the question when it is over.

    Args:
        question: what is asked.
        run: "clean" or "corrupted".

    Attributes:
        visitors: what has to look on; they change nothing.
    """

    def __init__(self, question: Question, run: str) -> None:
        self._question, self._batch = question, question.batch(run)
        self._columns = question.columns(self._batch)
        self._values: dict[Key, torch.Tensor] = {}
        self.visitors: dict[Key, Visitor] = {key: self._look(key) for key in sites_of(question.model)}

    @property
    def name(self) -> tuple[Hashable, ...]:
        """Tells it apart in the cache."""
        return ("at the answer", self._question.model.generation, self._batch.key, tuple(self._columns))

    def _look(self, key: Key) -> Visitor:
        def visitor(value: torch.Tensor) -> None:
            self._values[key] = self._cut(value)

        return visitor

    def _cut(self, value: torch.Tensor) -> torch.Tensor:
        return value.detach()[torch.arange(len(self._batch)), self._columns].clone()

    def done(self, logits: torch.Tensor) -> AtAnswer:
        """The pass is over: [prompt, position or 1, vocab]."""
        logits = logits[:, 0] if logits.shape[1] == 1 else self._cut(logits)
        found = AtAnswer({**self._values, ("logits", None): logits.detach()})
        return self._question.captures.held(self.name, lambda: found)

    def known(self) -> AtAnswer | None:
        """What an earlier pass has told."""
        found: AtAnswer | None = self._question.captures.look(self.name)
        return found


def at_answer(question: Question, run: str) -> dict[Key, torch.Tensor]:
    """The answer position of every site that attribution needs: {(site, layer): [prompt, ...]}.

    Args:
        question: what is asked.
        run: "clean", "corrupted" or "edited".

    Raises:
        NotFinite: the run holds NaN or infinity.
    """
    model, batch = question.model, question.batch(run)
    if run == "edited" and question.edits:
        return _cut_out(question, run)
    notes = Notes(question, run)
    found = notes.known()
    if found is None:
        found = notes.done(model.forward(batch, notes.visitors, keep=question.unembedded(batch)))
    if not all(bool(torch.isfinite(value).all()) for value in found.values.values()):
        # Says where it comes from, and raises.
        return _cut_out(question, run)
    return found.values


def _cut_out(question: Question, run: str) -> dict[Key, torch.Tensor]:
    batch = question.batch(run)
    keys: Sequence[Key] = [*sites_of(question.model), ("logits", None)]
    rows, columns = torch.arange(len(batch)), question.columns(batch)
    return {key: value[rows, columns] for key, value in question.values(run, keys).items()}
