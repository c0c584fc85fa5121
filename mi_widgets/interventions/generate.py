"""Going on from the prompts, token by token, with edits that act at absolute positions.

What is generated is what a whole pass over prompt and new tokens would give at each step, with every edit at its
positions: also those of keys and values that a cache keeps, which are made anew in each step.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, fields

import torch

from ..errors import BadInput, EditNeverFired, NotFinite
from ..model.batches import Batch
from ..model.decoding import KEPT_SITES, Decoder, fit_of
from ..model.handle import Model
from ..results import Progress
from .draws import draws_of
from .edit_kinds import Reading
from .edits import Edit, Place, several
from .longer import Span, visitors_in
from .positions import rows_of
from .question import Question
from .sources import Sources
from .writes import Write, keys_of, writes_of

PHASES = ("all", "prompt", "decode")
TOP = 5
"""Tokens kept at each step, the most probable first."""

MOVED = frozenset({"q", "k", "scores", "pattern"})
"""Sites whose value at one position does not stand for another's: turned by their position, or a row of its own."""


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen.

    Attributes:
        temperature: 0 takes the most probable token; otherwise one is drawn from softmax(logits / temperature).
        seed: of the draws.
    """

    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Continuations:
    """What came after the prompts.

    Attributes:
        ids: for each prompt the new tokens, the one that ended it included.
        probs: [prompt, step] float32, probability of the token that was taken; NaN after the end.
        top_ids: [prompt, step, k] int64, the most probable tokens; -1 after the end.
        top_probs: [prompt, step, k] float32, at temperature 1.
        uncached: why each step ran the whole text anew; None = with a cache.
        unreached: positions that an edit names and no token came to.
    """

    ids: tuple[tuple[int, ...], ...]
    probs: torch.Tensor
    top_ids: torch.Tensor
    top_probs: torch.Tensor
    uncached: str | None
    unreached: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Numbered(Write):
    """A write and the number of the edit it belongs to."""

    number: int = 0


def _numbered(write: Write, number: int, positions: tuple[int, ...] | None = None) -> _Numbered:
    own = {f.name: getattr(write, f.name) for f in fields(Write)}
    if positions is not None:
        own["positions"] = positions
    return _Numbered(**own, number=number)


@dataclass(frozen=True)
class _Plan:
    """Where one edit acts.

    Attributes:
        inside: for each prompt the writes at its own positions.
        later: {position after the prompt: for each prompt the writes there}; None stands for every new token.
    """

    inside: list[list[Write]]
    later: Mapping[int | None, list[list[Write]]]

    def at(self, position: int) -> list[list[Write]]:
        """For each prompt the writes of a new token at a position, which they do not name yet."""
        return self.later.get(position, self.later.get(None, []))


def generate_steps(
    question: Question, tokens: int, phase: str, sampling: Sampling
) -> Generator[Progress, None, Continuations]:
    """Go on from the base prompts; yields after each token.

    Args:
        question: with the edits.
        tokens: how many new ones, unless an end token comes first.
        phase: "prompt": edits act on prompt positions; "decode": on new tokens; "all": on both. An edit without a
            position acts on all of them; a number beyond the prompt acts when that token is run.
        sampling: how tokens are chosen.

    Raises:
        EditNeverFired: an edit has no position in that phase, or none that was reached.
        BadInput: an edit of new tokens that reads by position, or one that stands for several runs.
        NotFinite: a step's logits hold NaN or infinity.
    """
    model, batch = question.model, question.batch(question.base)
    edits = _one_draw(question.edits, question.count)
    _require_room(model, batch, tokens)
    sources = question.sources()
    plans = [_plan(model, batch, edit, question.base, sources, phase) for edit in edits]
    uncached = _uncached(model, edits)
    run = _Run(model, batch, plans, uncached is None)
    generator = torch.Generator().manual_seed(sampling.seed)
    ends = _ends(model)
    ids: list[list[int]] = [[] for _ in range(len(batch))]
    alive = list(range(len(batch)))
    probs, top_ids, top_probs = [], [], []
    for step in range(tokens):
        logits = run.step(ids, alive).float().cpu()
        chosen, own = _choose(logits, sampling, generator), logits.softmax(-1)
        best = own.topk(min(TOP, own.shape[-1]))
        ended = [row not in alive for row in range(len(batch))]
        probs.append(own.gather(1, chosen[:, None])[:, 0].masked_fill(torch.tensor(ended), torch.nan))
        top_ids.append(best.indices.masked_fill(torch.tensor(ended)[:, None], -1))
        top_probs.append(best.values.masked_fill(torch.tensor(ended)[:, None], torch.nan))
        for row in range(len(batch)):
            # A text that has ended is still run beside the others; what comes after its end is not kept.
            ids[row].append(int(chosen[row]))
        yield Progress(step + 1, tokens)
        alive = [row for row in alive if int(chosen[row]) not in ends]
        if not alive:
            break
    stops = [next((i + 1 for i, token in enumerate(row) if token in ends), len(row)) for row in ids]
    return Continuations(
        ids=tuple(tuple(row[:stop]) for row, stop in zip(ids, stops, strict=True)),
        probs=torch.stack(probs, 1),
        top_ids=torch.stack(top_ids, 1),
        top_probs=torch.stack(top_probs, 1),
        uncached=uncached,
        unreached=run.unreached(edits),
    )


def _one_draw(edits: Sequence[Edit], prompts: int) -> tuple[Edit, ...]:
    draws = draws_of(edits, prompts)
    if len(draws) > 1:
        raise BadInput(
            f"Generation runs once, and these edits stand for {len(draws)} runs.", hint="Take mi.Resample(..., n=1)."
        )
    return draws[0]


def _require_room(model: Model, batch: Batch, tokens: int) -> None:
    table, longest = model.text.limits.table, max(batch.lengths)
    # The last new token is not run.
    if table is not None and longest + tokens - 1 > table:
        raise BadInput(
            f"{longest} tokens and {tokens} new ones are more than the model's {table} positions.",
            hint=f"Ask for at most {max(table - longest + 1, 0)}.",
        )


def _ends(model: Model) -> frozenset[int]:
    """Tokens that end a text, as the model's own generation has it."""
    config = getattr(model.hf, "generation_config", None)
    given = getattr(config, "eos_token_id", None)
    given = model.tokenizer.eos_token_id if given is None else given
    return frozenset(given if isinstance(given, (list, tuple)) else () if given is None else (given,))


def _uncached(model: Model, edits: Sequence[Edit]) -> str | None:
    """Why each step must run the whole text, or None."""
    fit = fit_of(model)
    if fit.reason is not None:
        return fit.reason
    hidden = sorted({key[0] for edit in edits for key in keys_of(model, edit) if key in fit.hidden})
    return f"{', '.join(hidden)} cannot be edited where only new tokens are run" if hidden else None


def _choose(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> torch.Tensor:
    if sampling.temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial((logits / sampling.temperature).softmax(-1), 1, generator=generator)[:, 0]


# Where edits act


def _plan(model: Model, batch: Batch, edit: Edit, base: str, sources: Sources, phase: str) -> _Plan:
    """Split an edit into what it does to the prompt and what it does to new tokens.

    Raises:
        EditNeverFired: it has no position in this phase.
        BadInput: it acts on new tokens and reads by position.
    """
    nothing: list[list[Write]] = [[] for _ in range(len(batch))]
    keys_of(model, edit)
    if edit.position is None:
        return _Plan(
            nothing if phase == "decode" else writes_of(model, batch, edit, base, sources),
            {} if phase == "prompt" else {None: _beyond(model, batch, edit, base, sources)},
        )
    mine, later = _split(edit, batch)
    if (mine is None or phase == "decode") and (not later or phase == "prompt"):
        raise EditNeverFired(
            f"{edit} acts on {'new tokens' if mine is None else 'the prompt'}, and never in the phase {phase!r}.",
            hint="Take phase='all', or another position.",
        )
    return _Plan(
        nothing if mine is None or phase == "decode" else writes_of(model, batch, mine, base, sources),
        {} if phase == "prompt" else {p: _beyond(model, batch, one, base, sources) for p, one in later.items()},
    )


def _split(edit: Edit, batch: Batch) -> tuple[Edit | None, dict[int, Edit]]:
    """The part of an edit within the prompts, and for each position after all of them the edit there."""
    positions = several(edit.position)
    after = {i: p for i, p in enumerate(positions) if isinstance(p, int) and p >= min(batch.lengths)}
    for p in after.values():
        if p < max(batch.lengths):
            raise BadInput(
                f"Position {p} lies inside some of the prompts and after others.",
                hint="Name it (Experiment(positions=...)), or generate from prompts of one length.",
            )
    read = several(getattr(edit, "source_position", None))

    def part(numbers: Sequence[int]) -> Edit:
        changes: dict[str, Place] = {"position": tuple(positions[i] for i in numbers)}
        if read:
            changes["source_position"] = tuple(read[i] for i in numbers)
        return edit.on(**changes)

    inside = [i for i in range(len(positions)) if i not in after]
    return part(inside) if inside else None, {p: part([i]) for i, p in after.items()}


def _beyond(model: Model, batch: Batch, edit: Edit, base: str, sources: Sources) -> list[list[Write]]:
    """The writes of one new token: those of a position of the prompt, which must not depend on where they are.

    Raises:
        BadInput: it reads something else at every position.
    """
    read = several(getattr(edit, "source_position", None))
    if isinstance(edit, Reading) and edit.source is not None:
        if isinstance(edit.source, torch.Tensor) or not read or edit.site in MOVED:
            raise _by_position(edit)
        # What is read is told by source_position alone; any other position may stand for the new token's.
        free = [p for p in range(min(batch.lengths)) if all([p] != own for own in rows_of(batch, read))]
        return writes_of(model, batch, edit.on(position=(free or [0])[0], source_position=read[0]), base, sources)
    last = writes_of(model, batch, edit.on(position=-1), base, sources)
    if any(write.there is not None for row in last for write in row):
        first = writes_of(model, batch, edit.on(position=0), base, sources)
        for here, there in zip(last, first, strict=True):
            for one, other in zip(here, there, strict=True):
                if one.there is None or other.there is None or not torch.equal(one.there, other.there):
                    raise _by_position(edit)
    return last


def _by_position(edit: Edit) -> BadInput:
    return BadInput(
        f"{edit} reads by position, and there is nothing to read for new tokens.",
        hint="Take phase='prompt', a source_position for each new position, or an edit that is the same everywhere.",
    )


# Steps


class _Run:
    """The text so far, and how the next token's logits are found.

    Args:
        model, batch: who is run on what.
        plans: where each edit acts.
        cached: run new tokens only.
    """

    def __init__(self, model: Model, batch: Batch, plans: Sequence[_Plan], cached: bool) -> None:
        self.model, self.batch, self.plans = model, batch, plans
        self.decoder = Decoder(model, batch) if cached else None
        self.writes: list[list[_Numbered]] = [
            [_numbered(write, number) for number, plan in enumerate(plans) for write in plan.inside[row]]
            for row in range(len(batch))
        ]
        self.fired: set[int] = set()
        self.reached: set[int] = set()

    def step(self, ids: list[list[int]], alive: list[int]) -> torch.Tensor:
        """[row, vocab] logits after the prompts and `ids`, the new tokens of each row."""
        count = len(ids[0])
        for row in alive if count else ():
            self._arrive(row, self.batch.lengths[row] + count - 1)
        span = Span(self.batch.pads, self.batch.lengths, self.batch.width + count)
        if self.decoder is None:
            return self._whole(ids, span)
        columns = self.batch.ids if count == 0 else torch.tensor([[row[-1]] for row in ids])
        first = span.total - columns.shape[1]
        due = [
            [w for w in row if w.key[0] in KEPT_SITES or max(w.positions) + pad >= first]
            for row, pad in zip(self.writes, span.pads, strict=True)
        ]
        logits = self.decoder.step(columns, visitors_in(due, span, self._note))
        if not bool(torch.isfinite(logits).all()):
            self._whole(ids, span)  # names where it arises
            raise NotFinite("A step gives NaN or infinity.", hint="Look at the edits, or load the model in float32.")
        return logits

    def _whole(self, ids: list[list[int]], span: Span) -> torch.Tensor:
        """One pass over the whole text."""
        texts = [
            self.model.tokens([*prompt.ids, *new]) if new else prompt
            for prompt, new in zip(self.batch.prompts, ids, strict=True)
        ]
        text = Batch.of(texts, self.model.text.pad_id)
        return self.model.forward(text, visitors_in(self.writes, span, self._note))[:, -1]

    def _arrive(self, row: int, position: int) -> None:
        """A new token has come: place the edits that act on it."""
        self.reached.add(position)
        for number, plan in enumerate(self.plans):
            found = plan.at(position)
            self.writes[row] += [_numbered(write, number, (position,)) for write in found[row]] if found else []
        # At one site edits act in the order of the list.
        self.writes[row].sort(key=lambda write: write.number)

    def _note(self, write: Write, row: int, count: int) -> None:
        if isinstance(write, _Numbered):
            self.fired.add(write.number)

    def unreached(self, edits: Sequence[Edit]) -> tuple[str, ...]:
        """Sentences about positions that no token came to.

        Raises:
            EditNeverFired: an edit whose positions were not reached at all.
        """
        found = []
        for number, (edit, plan) in enumerate(zip(edits, self.plans, strict=True)):
            if number not in self.fired:
                raise EditNeverFired(
                    f"{edit} was never reached: {len(self.reached)} new positions were run after the prompts.",
                    hint="Generate more tokens, or edit an earlier position.",
                )
            late = sorted(p for p in plan.later if p is not None and p not in self.reached)
            if late:
                found.append(f"{edit}: no token came to position {', '.join(map(str, late))}.")
        return tuple(found)


__all__ = ["PHASES", "Continuations", "Sampling", "generate_steps"]
