"""The packed way of running many edits: for which models it is right, in what pieces, and how each run is measured."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import torch

from ...errors import OutOfMemory
from ...model.access import Key, Visitor
from ...model.batches import Batch
from ...model.handle import Model
from ...model.proof import limit_of
from ...model.tokens import Tokens
from ..edit_kinds import Add
from ..layouts import own
from ..metrics import Rows, measure
from ..plan import Plan, Planned
from ..question import Question
from ..rerun import rerun
from ..writes import Write
from .base import BaseRuns, NotPackable, capture_base
from .run import run_variants
from .tail import Tail
from .variants import Variant, in_order, variant_of

ROWS = 1280
"""Rows of one piece: enough for a product to run at full speed, few enough for a piece to end soon."""

WEIGHTS = 32 * 2**20
"""Attention weights that a piece may hold at once, in numbers."""

UNEMBEDDED = 128
"""Rows whose logits over the whole vocabulary are held at once."""

TRIED = 128
"""Tokens of a prompt that a trial takes at most."""

ENOUGH = 4
"""Tokens of a prompt on which a trial tells for others too."""

_PROVEN: WeakKeyDictionary[Model, tuple[int, str | None]] = WeakKeyDictionary()
"""For each model the generation at which packing was tried, and why it is wrong there (None: it is right)."""


@dataclass(frozen=True, eq=False)
class Number:
    """The metric of one planned run; `spoiled` when it must be looked at by a plain run."""

    planned: Planned
    metric: float
    spoiled: bool = False


_Laid = tuple[Planned, Variant | None]
"""A planned run and its variant; None where it must equal its base run."""


@dataclass
class Packed:
    """Runs planned edits as variants of base runs.

    Attributes:
        question: what is asked.
        plan: the runs.
        floor: the largest difference so far between the metric of the unedited base among variants and the base's.
    """

    question: Question
    plan: Plan
    floor: float = 0.0
    _tail: Tail = field(init=False)
    _base_metric: dict[int, float] = field(default_factory=dict)
    _runs: BaseRuns | None = None

    words = "only what differs from the base run, packed into one sequence"

    def __post_init__(self) -> None:
        self._tail = Tail(self.question.model)
        self._answers = self.question.answers(self.question.batch(self.question.base))

    def why_not(self, planned: Iterable[Planned]) -> str | None:
        """Why runs cannot be packed, or None when they can."""
        model = self.question.model
        if model.in_place:
            return "the model is run in place"
        if model.architecture.odd_logits is not None:
            return model.architecture.odd_logits
        outside = next((w.key[0] for part in planned for w in part.writes if w.key[1] is None), None)
        if outside is not None:
            return f"{outside} belongs to no layer"
        return None

    def steps(self, parts: Sequence[Planned]) -> Generator[list[Number] | None, None, None]:
        """Run some planned runs; yields None between layers and numbers as they come.

        Raises:
            NotPackable: the model, or these prompts, cannot be run this way.
            EditNeverFired: an edit's site was not reached.
        """
        runs = self.runs()
        yield None
        for piece in self._pieces([(part, self._variant(runs, part)) for part in parts]):
            same = [Number(part, self._unedited(runs, part.prompt)) for part, variant in piece if variant is None]
            if same:
                yield same
            changed = [(part, variant) for part, variant in piece if variant is not None]
            if changed:
                yield from self._piece(runs, changed)

    def _pieces(self, runs: list[_Laid]) -> Iterator[list[_Laid]]:
        """Cut runs, in their order, into pieces of about the same size, none larger than what is run at once."""
        rows = [0 if variant is None else variant.end - variant.start for _, variant in runs]
        most = sum(rows) / max(1, math.ceil(sum(rows) / ROWS))
        piece: list[_Laid] = []
        held = weights = 0
        for (part, variant), count in zip(runs, rows, strict=True):
            more = 0 if variant is None else count * variant.end * self.question.model.n_heads
            if held and count and (held + count / 2 > most or held + count > ROWS or weights + more > WEIGHTS):
                yield piece
                piece, held, weights = [], 0, 0
            piece.append((part, variant))
            held, weights = held + count, weights + more
        if piece:
            yield piece

    def streams(self, parts: Sequence[Planned]) -> Generator[None, None, torch.Tensor | None]:
        """What leaves the last layer at the answer of a few planned runs, [part, d_model] in the model's dtype.

        None when a plain run must look at one of them.
        """
        runs = self.runs()
        yield
        variants = [self._variant(runs, part) for part in parts]
        streams = torch.stack([self._final(runs, part.prompt) for part in parts])
        if any(variant is None and part.own for variant, part in zip(variants, parts, strict=True)):
            return None  # it cannot reach the answer; a plain run still says what is wrong with it
        if not all(_reads_numbers(write) for part in parts for write in part.own):
            return None
        changed = [i for i, variant in enumerate(variants) if variant is not None]
        if changed:
            spoiled: set[Variant] = set()
            asked = [v for v in variants if v is not None]
            streams[changed] = yield from run_variants(self.question.model, runs, asked, spoiled)
            if spoiled or not bool(torch.isfinite(streams).all()):
                return None
        for part in parts:
            self._unedited(runs, part.prompt)  # for the floor
        return streams

    def _variant(self, runs: BaseRuns, part: Planned) -> Variant | None:
        """A planned run as a variant of its base run; None where it cannot differ from that at the answer."""
        length, answer = runs.lengths[part.prompt], self._answers[part.prompt]
        n_layers = self.question.model.n_layers
        return variant_of(part.prompt, in_order(part.own), part.live, length, answer, n_layers)

    def extent(self, parts: Sequence[Planned]) -> str:
        """What of the prompts was run again, in words: ``layers 2 to 3 from position 10 on``."""
        if not any(part.writes for part in parts):
            return "nothing, since the prompts are the same up to there"
        first = min((w.key[1] for part in parts for w in part.writes if w.key[1] is not None), default=0)
        start = min((p for part in parts for w in part.writes for p in w.positions), default=0)
        return f"layers {first} to {self.question.model.n_layers - 1} from position {start} on"

    def runs(self) -> BaseRuns:
        """The base runs; of unedited ones the cache's."""
        question = self.question
        batch = question.batch(question.base)
        if self._runs is None and any(self.plan.live):
            self._runs = capture_base(question.model, batch, self._live_visitors)
        elif self._runs is None:
            name = ("base runs", question.model.generation, batch.key)
            self._runs = question.captures.held(name, lambda: capture_base(question.model, batch))
        return self._runs

    def _live_visitors(self, some: Batch, rows: Sequence[int]) -> Mapping[Key, Visitor]:
        by_key: dict[Key, list[tuple[int, Write]]] = {}
        for place, row in enumerate(rows):
            for write in self.plan.live[row]:
                by_key.setdefault(write.key, []).append((place, write))

        def visitor(writes: list[tuple[int, Write]]) -> Visitor:
            def visit(x: torch.Tensor) -> torch.Tensor:
                new = x.clone()
                for row, write in writes:
                    write.into(new, row)
                return new

            return visit

        return {key: visitor(writes) for key, writes in by_key.items()}

    def _final(self, runs: BaseRuns, prompt: int) -> torch.Tensor:
        """[d_model] that leaves the last layer of the base run at the answer."""
        return runs.final[runs.starts[prompt] + self._answers[prompt]]

    def _unedited(self, runs: BaseRuns, prompt: int) -> float:
        """The metric of a prompt's base run."""
        if prompt not in self._base_metric:
            self._base_metric[prompt] = float(self.measure(self._final(runs, prompt)[None], [prompt])[0])
            self.floor = max(self.floor, abs(self._base_metric[prompt] - float(self._plain[prompt])))
        return self._base_metric[prompt]

    @cached_property
    def _plain(self) -> torch.Tensor:
        """[prompt] metric of the base run in a plain pass."""
        edits = () if self.plan.drawn else self.question.edits
        return replace(self.question, edits=edits).outcome("edited").metric

    def _piece(
        self, runs: BaseRuns, piece: list[tuple[Planned, Variant]]
    ) -> Generator[list[Number] | None, None, None]:
        """Run a piece; where it does not fit the memory, its halves."""
        try:
            yield from self._whole_piece(runs, piece)
        except RuntimeError as problem:
            if not _out_of_memory(problem):
                raise
            if len(piece) == 1:
                raise OutOfMemory(
                    "A single edited run does not fit the memory.", hint="Shorten the prompt, or free memory."
                ) from problem
            half = len(piece) // 2
        else:
            return
        yield from self._piece(runs, piece[:half])
        yield from self._piece(runs, piece[half:])

    def _whole_piece(
        self, runs: BaseRuns, piece: list[tuple[Planned, Variant]]
    ) -> Generator[list[Number] | None, None, None]:
        variants = [variant for _, variant in piece]
        spoiled: set[Variant] = set()
        reference = self._reference(variants)
        stream = yield from run_variants(self.question.model, runs, [*variants, reference], spoiled)
        prompts = [part.prompt for part, _ in piece]
        found = self.measure(stream, [*prompts, reference.prompt]).tolist()
        self.floor = max(self.floor, abs(found[-1] - float(self._plain[reference.prompt])))
        finite = torch.isfinite(stream).all(-1).tolist()
        yield [
            Number(part, number, spoiled=variant in spoiled or not ok or number - number != 0)
            for (part, variant), number, ok in zip(piece, found[:-1], finite[:-1], strict=True)
        ]

    def _reference(self, variants: Sequence[Variant]) -> Variant:
        """A variant with the live edits alone, as short as the shortest: what the base run is among these."""
        shortest = max(variants, key=lambda v: v.start)
        prompt, layer = shortest.prompt, min(v.layer for v in variants)
        by_key: dict[Key, list[Write]] = {}
        for write in self.plan.live[prompt]:
            by_key.setdefault(write.key, []).append(write)
        writes = {key: tuple(several) for key, several in by_key.items()}
        return Variant(prompt, layer, shortest.start, shortest.end, self._answers[prompt], writes)

    def logits(self, streams: torch.Tensor) -> torch.Tensor:
        """All logits: [row, d_model] that leave the last layer -> [row, vocab] float32."""
        return self._tail.logits(streams)

    @property
    def tracked(self) -> bool:
        """The metric is told by the logits of answers and distractors alone, and those by weights alone."""
        question = self.question
        if question.model.opaque:
            return False  # a hook of the user's may change what the unembedding gives
        return question.metric == "logit_diff" and question.user_metric is None and question.distractor is not None

    def measure(self, stream: torch.Tensor, prompts: Sequence[int]) -> torch.Tensor:
        """[row, d_model] that leave the last layer -> [row] float32 metrics on the CPU."""
        question = self.question
        if self.tracked:
            assert question.answer is not None
            assert question.distractor is not None
            named = [*(i for r in question.answer.ids for i in r), *(i for r in question.distractor.ids for i in r)]
            ids = sorted(set(named))
            place = {token: i for i, token in enumerate(ids)}
            rows = Rows(
                index=torch.tensor(list(prompts)),
                answer_ids=tuple(tuple(place[i] for i in question.answer.ids[p]) for p in prompts),
                distractor_ids=tuple(tuple(place[i] for i in question.distractor.ids[p]) for p in prompts),
            )
            return measure("logit_diff", self._tail.of_tokens(stream, ids), rows).cpu()
        found = [
            question.measure_rows(self._tail.logits(stream[i : i + UNEMBEDDED]), prompts[i : i + UNEMBEDDED]).cpu()
            for i in range(0, len(stream), UNEMBEDDED)
        ]
        return torch.cat(found)

    def prove(self) -> str | None:
        """Why packing gives other numbers than a plain run on this model, or None; tried once for each model.

        Three random writes into the longest prompt (a stream, all heads, an MLP's output, those of them that there are)
        are run packed and plain.
        """
        model = self.question.model
        known = _PROVEN.get(model)
        if known is not None and known[0] == model.generation:
            return known[1]
        prompt = max(self.question.batch(self.question.base).prompts, key=len).start(TRIED)
        try:
            why = self._compare(prompt)
        except NotPackable as reason:
            why = str(reason)
        if len(prompt) >= ENOUGH:
            _PROVEN[model] = (model.generation, why)
        return why

    def _compare(self, prompt: Tokens) -> str | None:
        model, question = self.question.model, self.question
        batch = Batch.of([prompt])
        runs = capture_base(model, batch)
        length, n_layers = len(prompt), model.n_layers
        generator = torch.Generator().manual_seed(0)
        middle = (n_layers - 1) // 2
        # An edit behind the last layer's attention reaches the answer from the answer's own position alone.
        heads = 0 if middle < n_layers - 1 else length - 1
        variants, plain = [], []
        for kind, layer, position in (
            ("resid_pre", 0, length // 2),
            ("z", middle, heads),
            ("mlp_out", n_layers - 1, length - 1),
        ):
            if kind not in model.architecture.sites or (kind, layer) in model.architecture.missing_at:
                continue
            value = own(kind, question.captures.get(model, batch, [(kind, layer)])[kind, layer], 0, 0)[position]
            noise = torch.randn(value.shape, generator=generator).to(value)
            noise *= value.float().square().mean().sqrt().to(value)
            edit = Add(kind, layer, position=position, vector=noise)
            write = Write(edit, (kind, layer), (position,), noise[None])
            variant = variant_of(0, [write], [], length, length - 1, n_layers)
            assert variant is not None
            variants.append(variant)
            run = rerun(model, batch, [edit], question.base, self.plan.sources, at=[length - 1])
            plain.append(run["logits", None][0, -1].float())
        if not variants:
            return None
        found = self._tail.logits(_drained(run_variants(model, runs, variants, set())))
        wanted = torch.stack(plain)
        error = float((found - wanted).abs().max() / wanted.abs().max())
        return None if error <= limit_of(model.dtype) else f"packed runs differ from plain ones by {error:.1g}"


def _reads_numbers(write: Write) -> bool:
    """Whether all that a write reads is finite; masked scores are -inf by right."""
    return write.there is None or write.key[0] == "scores" or bool(torch.isfinite(write.there).all())


def _out_of_memory(problem: RuntimeError) -> bool:
    """An accelerator that is full, or a CPU whose allocator is."""
    return isinstance(problem, torch.OutOfMemoryError) or "can't allocate memory" in str(problem)


def _drained(steps: Generator[None, None, torch.Tensor]) -> torch.Tensor:
    """The result of steps, taken at once."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        found: torch.Tensor = end.value
        return found
