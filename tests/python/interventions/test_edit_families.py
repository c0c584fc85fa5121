"""Every kind of edit at every site of every named family, against plain hooks on the user's own model.

Rows of one batch are edited differently, so that a family is loaded once and each of its sites takes two passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import pytest
import torch
from transformers import PreTrainedModel

import mi_widgets as mi
from mi_widgets.interventions.layouts import own
from mi_widgets.interventions.sources import Sources
from mi_widgets.interventions.writes import Write, writes_of
from mi_widgets.model.batches import Batch
from tests.families.oracle import FAMILIES, GLOBAL, LAYERED, Key, model_of, record, written
from tests.python.families import word_tokenizer

BASE = (1, 17, 30, 5, 42, 9, 17, 23, 38)
CLEAN = (1, 8, 33, 8, 20, 46, 11, 29, 5)
THIRD = (1, 21, 40, 12, 3, 30, 44, 7, 19)
LENGTH = len(BASE)

SQUARE = ("scores", "pattern")
HEADED = ("q", "k", "v", "z", "result")
UNITED = frozenset(LAYERED) - set(SQUARE) | {"embed", "final_norm"}

Old = Callable[[torch.Tensor, int, int | None], torch.Tensor]
"""What an edit makes of one cell: its numbers, its position and its head."""


@dataclass(frozen=True)
class Case:
    """One family: the model as the package sees it, and the user's own, from the same seed."""

    name: str
    model: mi.Model
    own: PreTrainedModel
    runs: dict[tuple[int, ...], dict[Key, torch.Tensor]] = field(default_factory=dict)

    def site(self, ids: tuple[int, ...], key: Key) -> torch.Tensor:
        """A site of an unedited run by the oracle, positions first: [position, (head,) d], [dest, head, src]."""
        if ids not in self.runs:
            self.runs[ids] = record(self.own, self.name, torch.tensor([ids]))
        value = self.runs[ids][key][0]
        return value.transpose(0, 1) if key[0] in SQUARE else value

    @cached_property
    def experiment(self) -> mi.Experiment:
        return mi.Experiment(self.model, list(CLEAN), list(BASE), answer=7, distractor=8)

    @cached_property
    def sources(self) -> Sources:
        return self.experiment.snapshot(()).sources()

    def writes(self, edit: mi.Edit) -> list[Write]:
        return writes_of(self.model, self.experiment.prompt("corrupted"), edit, "corrupted", self.sources)[0]

    def places(self) -> list[Key]:
        """Every site at one layer: a different one for each, where the site is on several."""
        sites = [site for site in (*GLOBAL, *LAYERED) if site in self.model.architecture.sites]
        found = []
        for i, site in enumerate(sites):
            layers = self.model.layers_with(site)
            found.append((site, layers[i % len(layers)]))
        return found


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest) -> Case:
    own = model_of(request.param)
    own.set_attn_implementation("eager")
    return Case(request.param, mi.wrap(model_of(request.param), word_tokenizer(), request.param), own)


def several(index, count):
    return list(range(count)) if index is None else [i % count for i in ([index] if isinstance(index, int) else index)]


def by_hand(edit: mi.Edit, make: Old) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function that writes into one row of a site, cell by cell: [position, ...] or [head, dest, src] in place."""

    def change(x: torch.Tensor) -> None:
        square = edit.site in SQUARE
        y = x.transpose(0, 1) if square else x
        heads = [None] if edit.site not in (*SQUARE, *HEADED) else several(edit.head, y.shape[1])
        for p in several(edit.position, len(y)):
            for h in heads:
                cell = y[p] if h is None else y[p, h]
                units = several(edit.unit, len(cell))
                old = cell.clone()
                new = make(old[units], p, h)
                if square:
                    hidden = old.isneginf() if edit.site == "scores" else torch.arange(len(old)) > p
                    new = torch.where(hidden, old, new)
                cell[units] = new

    return change


def edits_of(case: Case, key: Key) -> list[tuple[mi.Edit, Old]]:
    """Edits of one site, each with what it makes of a cell by the definition."""
    site, layer = key
    read = {ids: case.site(ids, key) for ids in (BASE, CLEAN, THIRD)}
    generator = torch.Generator().manual_seed(2)
    shape = read[BASE].shape
    last = shape[-1]
    size = read[BASE][read[BASE].isfinite()].std()
    vector = size * torch.randn(last, generator=generator)
    # Weights stay weights: what is carried into a pattern is one.
    given = torch.randn(shape, generator=generator) * size if site != "pattern" else read[THIRD]
    basis = torch.randn(last, 2, generator=generator)
    head = {"head": shape[1] - 1} if len(shape) == 3 else {}
    unit = {"unit": (1, -1)} if site in UNITED else {}
    some = {"position": (3, -1)}
    tensor = given.transpose(0, 1) if site in SQUARE else given

    def part(values: torch.Tensor, edit: mi.Edit, p: int, h: int | None) -> torch.Tensor:
        cell = values[p] if h is None else values[p, h]
        return cell[several(edit.unit, len(cell))]

    def reading(edit: mi.Edit, values: torch.Tensor, share: float = 1.0) -> tuple[mi.Edit, Old]:
        def make(old: torch.Tensor, p: int, h: int | None) -> torch.Tensor:
            s = part(values, edit, p, h)
            return s if share == 1.0 else old + share * (s - old)

        return edit, make

    half = 0.5 if site == "pattern" else -1.5
    # Equal on both sides: -inf there means masked.
    mean = torch.stack([read[CLEAN], read[THIRD]]).mean(0)
    found = [
        reading(mi.Patch(site, layer), read[CLEAN]),
        reading(mi.Patch(site, layer, **some, **unit, alpha=half), read[CLEAN], half),
        reading(mi.Patch(site, layer, **some, source=list(THIRD)), read[THIRD]),
        reading(mi.Patch(site, layer, **head, source=tensor), given),
        reading(mi.Mean(site, layer, **head, over=[list(CLEAN), list(THIRD)]), mean),
        (mi.Zero(site, layer, **some, **unit), lambda old, p, h: torch.zeros_like(old)),
        (mi.Zero(site, layer, **head), lambda old, p, h: torch.zeros_like(old)),
        (mi.Scale(site, layer, **head, position=-1, factor=-2), lambda old, p, h: -2 * old),
        (mi.Add(site, layer, **some, vector=vector, scale=0.5), lambda old, p, h: old + 0.5 * vector),
    ]
    if site not in SQUARE:
        q = torch.linalg.qr(basis)[0]
        found += [
            (mi.Project(site, layer, **head, basis=basis), lambda old, p, h: old - q @ (q.T @ old)),
            (
                mi.Project(site, layer, **some, basis=basis, source="clean"),
                lambda old, p, h: old + q @ (q.T @ ((read[CLEAN][p] if h is None else read[CLEAN][p, h]) - old)),
            ),
        ]
    if site not in ("q", "k", *SQUARE):
        every = torch.cat([read[CLEAN][1:], read[THIRD][1:]]).mean(0)
        found.append(
            (
                mi.Mean(site, layer, **some, over=[list(CLEAN), list(THIRD)], pool="all"),
                lambda old, p, h: every if h is None else every[h],
            )
        )
    if site == "scores":
        cut = torch.zeros(LENGTH).index_fill(0, torch.tensor([LENGTH - 2, LENGTH - 3]), -math.inf)
        found.append((mi.Knockout(layer=layer, **head, dest=-1, src=(-2, -3)), lambda old, p, h: old + cut))
    if site == "pattern":
        weights = torch.rand(shape[1], LENGTH, LENGTH, generator=generator).tril()
        weights = (weights / weights.sum(-1, keepdim=True)).transpose(0, 1)
        found.append(
            reading(mi.SetPattern(layer=layer, **some, weights=weights.transpose(0, 1)), weights),
        )
    return found


def ours(case: Case, key: Key, edits: list[mi.Edit]) -> torch.Tensor:
    """Logits of a batch whose rows are edited one by one, by the package's own writes."""
    writes = [next(w for w in case.writes(edit) if w.key == key) for edit in edits]

    def visitor(x: torch.Tensor) -> torch.Tensor:
        new = x.clone()
        for row, write in enumerate(writes):
            view = own(key[0], new, row, 0)
            view[list(write.positions)] = write.apply(view[list(write.positions)])
        return new

    return case.model.forward(Batch.of([case.model.tokens(list(BASE))] * len(edits)), {key: visitor})


def close(a: torch.Tensor, b: torch.Tensor, what: object, tolerance: float = 2e-5) -> None:
    """To 2e-5 of the largest logit, or of 1 where all are below it."""
    size = max(1.0, float(b.abs().max()))
    torch.testing.assert_close(a, b, atol=tolerance * size, rtol=0, msg=lambda m: f"{what}: {m}")


def test_every_kind_of_edit_at_every_site(case):
    plain = case.site(BASE, ("logits", None))
    for key in case.places():
        edits = edits_of(case, key)

        def change(x: torch.Tensor, edits: list[tuple[mi.Edit, Old]] = edits) -> torch.Tensor:
            new = x.clone()
            for row, (edit, make) in enumerate(edits):
                by_hand(edit, make)(new[row])
            return new

        expected = written(case.own, case.name, torch.tensor([BASE] * len(edits)), {key: change})
        logits = ours(case, key, [edit for edit, _ in edits])
        for row, (edit, _) in enumerate(edits):
            assert float((expected[row] - plain).abs().max()) > 1e-4, f"{edit} moves nothing"
            close(logits[row], expected[row], edit)


def test_all_at_once(case):
    """One edit at each site, of kinds that take turns, in one run, whatever their order: plainly, and by `exp.run`."""
    changes, stack = {}, []
    for i, key in enumerate(case.places()):
        gentle = [one for one in edits_of(case, key) if one[0].position is not None and not isinstance(one[0], mi.Zero)]
        edit, make = gentle[i % len(gentle)]
        stack.append(edit)

        def change(x: torch.Tensor, edit: mi.Edit = edit, make: Old = make) -> torch.Tensor:
            new = x.clone()
            by_hand(edit, make)(new[0])
            return new

        changes[key] = change
    expected = written(case.own, case.name, torch.tensor([BASE]), changes)[0, -1]
    close(case.experiment.snapshot(stack).answer_logits("edited")[0], expected, "plain", 3e-5)
    close(case.experiment.run(stack[::-1]).logits[0], expected, "exp.run", 3e-5)


POSITIONED = {"biogpt", "gpt2", "gpt_bigcode", "gpt_neo", "openai-gpt", "opt", "xglm"}
"""Families that add a position's embedding to the stream, and turn nothing."""


def test_queries_and_keys_are_turned_to_where_they_go(case):
    """Of a token that comes twice, q and k of the first are those of the second once they are moved there.

    In the first attention layer both see the same: what they differ by is the position. Where the position is in the
    stream, what is moved is left as it is.
    """
    first, second = (p for p, i in enumerate(BASE) if i == 17)
    layer = next(layer for layer in case.model.layers_with("k"))
    for site in ("q", "k"):
        value = case.site(BASE, (site, layer))
        edit = mi.Patch(site, layer, position=second, source="corrupted", source_position=first)
        (write,) = case.writes(edit)
        if layer == 0:
            near = value[first] if case.name in POSITIONED else value[second]
            close(write.there[0], near, (site, "moved"))
        back = mi.Patch(site, layer, position=(first, 5), source="corrupted", source_position=(second, 7))
        (write,) = case.writes(back)
        if case.name in POSITIONED:
            close(write.there, value[[second, 7]], (site, "as it is"))
