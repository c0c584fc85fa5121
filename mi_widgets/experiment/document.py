"""An experiment as a JSON document and back: versioned, checked against the tokenizer, and never trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import BadInput, MiWidgetsError
from ..interventions.metrics import METRICS, Answer
from ..interventions.positions import named
from ..interventions.question import Question
from ..interventions.sites import Site
from ..model.batches import Batch
from ..model.handle import Model
from ..model.tokens import Tokens
from .edit_list import Entries, Entry
from .plain import DAMAGED, NEWER, Budget, edit_of, mapping, plain_edit, short, whole_numbers

FORMAT = "mi_widgets.experiment"
VERSION = 1
MOST_BYTES = 64 * 2**20
"""Of a file that is opened."""

_PARTS = frozenset(
    {"format", "version", "written_by", "model", "clean", "corrupted", "answer", "distractor", "metric", "base",
     "align", "answer_position", "positions", "bos", "edits", "selection"}
)  # fmt: skip


@dataclass(frozen=True)
class Document:
    """What a file asks, read and checked for a model.

    Attributes:
        clean, corrupted: the prompts, with the names of `clean`'s positions.
        answer, distractor: as saved; None = none.
        metric: name of the metric.
        custom: it is a function's, which a file cannot hold.
        base, align, answer_position, bos: as in `Experiment`.
        entries: the live edits.
        selection: what was selected.
    """

    clean: Batch
    corrupted: Batch | None
    answer: Answer | None
    distractor: Answer | None
    metric: str
    custom: bool
    base: str
    align: str | dict[int, int] | None
    answer_position: int | tuple[int, ...]
    bos: bool | None
    entries: Entries
    selection: tuple[Site, ...]


def written(question: Question, entries: Entries, selection: tuple[Site, ...], bos: bool | None) -> str:
    """The JSON text of an experiment.

    Raises:
        BadInput: an edit that cannot be saved.
    """
    budget = Budget()
    align, where, model = question.align, question.answer_position, question.model
    document = {
        "format": FORMAT,
        "version": VERSION,
        "written_by": f"mi_widgets {__version__}",
        "model": model.name,
        "clean": _prompts(question.clean),
        "corrupted": None if question.corrupted is None else _prompts(question.corrupted),
        "answer": _answer(model, question.answer),
        "distractor": _answer(model, question.distractor),
        "metric": {"name": question.metric, "custom": question.user_metric is not None},
        "base": question.base,
        "align": [[b, s] for b, s in align.items()] if isinstance(align, Mapping) else align,
        "answer_position": list(where) if isinstance(where, tuple) else where,
        "positions": {name: list(places) for name, places in question.clean.names.items()},
        "bos": bos,
        "edits": [{"edit": plain_edit(e.edit, budget), "on": e.on, "note": e.note} for e in entries],
        "selection": [str(site) for site in selection],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _prompts(batch: Batch) -> list[dict[str, Any]]:
    return [{"text": p.text, "ids": list(p.ids), "pieces": list(p.pieces)} for p in batch.prompts]


def _answer(model: Model, answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    rows = answer.ids if answer.sequences is None else answer.sequences
    return {
        "ids": [list(row) for row in rows],
        "pieces": [[model.text.piece(i) for i in row] for row in rows],
        "sequence": answer.sequences is not None,
        "guessed": answer.guessed,
    }


def read(path: Path, model: Model) -> Document:
    """A file, checked for a model.

    Raises:
        BadInput: no such file, not one of these, of a newer version, damaged, or written for another tokenizer; says
            where and what.
    """
    given = _loaded(path)
    if given.get("format") != FORMAT:
        raise BadInput(f"{path} holds no experiment.", hint="Open what exp.save(...) wrote.")
    version = given.get("version")
    if type(version) is not int or version != VERSION:
        raise BadInput(f"{path} has the version {short(version)}; this package reads version {VERSION}.", hint=NEWER)
    if set(given) != _PARTS:
        odd = sorted(set(given) ^ _PARTS)[0]
        what = "is missing" if odd in _PARTS else "is not known here"
        raise BadInput(f"{path}: {short(odd)} {what}.", hint=DAMAGED if odd in _PARTS else NEWER)
    clean = _batch(model, given["clean"], "clean")
    corrupted = None if given["corrupted"] is None else _batch(model, given["corrupted"], "corrupted")
    metric = mapping(given["metric"], "metric")
    name, custom = metric.get("name"), metric.get("custom")
    if not isinstance(name, str) or not isinstance(custom, bool) or (not custom and name not in METRICS):
        raise BadInput(f"metric is {short(dict(metric))}; metrics are {', '.join(METRICS)}.", hint=NEWER)
    return Document(
        clean=_named(clean, given["positions"]),
        corrupted=corrupted,
        answer=_answer_of(model, given["answer"], "answer", len(clean)),
        distractor=_answer_of(model, given["distractor"], "distractor", len(clean)),
        metric=name,
        custom=custom,
        base=_one_of(given["base"], "base", ("clean", "corrupted")),
        align=_align(given["align"]),
        answer_position=_places(given["answer_position"]),
        bos=_one_of(given["bos"], "bos", (None, True, False)),
        entries=_entries(given["edits"]),
        selection=_selection(given["selection"]),
    )


def _loaded(path: Path) -> Mapping[str, Any]:
    def constant(name: str) -> Any:
        raise ValueError(f"{name} is no number in JSON")

    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(f"{path} has more than {MOST_BYTES // 2**20} MiB.", hint="Open what exp.save(...) wrote.")
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=constant)
    except OSError as problem:
        raise BadInput(f"{path} cannot be read: {problem.strerror}.", hint="Look at the path.") from None
    except (ValueError, RecursionError) as problem:
        raise BadInput(f"{path} is no JSON: {problem}.", hint=DAMAGED) from None
    return mapping(value, str(path))


def _one_of(value: Any, where: str, options: tuple[Any, ...]) -> Any:
    if not any(value is option or (isinstance(option, str) and value == option) for option in options):
        raise BadInput(f"{where} is {short(value)}, not one of {list(options)}.", hint=DAMAGED)
    return value


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise BadInput(f"{where} is {short(value)}, not a list of texts.", hint=DAMAGED)
    return value


def _batch(model: Model, value: Any, where: str) -> Batch:
    if not isinstance(value, list) or not value:
        raise BadInput(f"{where} is {short(value)}, not a list of prompts.", hint=DAMAGED)
    return Batch.of([_prompt(model, p, f"{where}[{i}]") for i, p in enumerate(value)], model.text.pad_id)


def _prompt(model: Model, value: Any, where: str) -> Tokens:
    """A prompt whose ids mean here what they meant where it was saved, with its text if the text still gives them."""
    given = mapping(value, where)
    text, ids = given.get("text"), whole_numbers(given.get("ids"), f"{where}.ids")
    pieces = _texts(given.get("pieces"), f"{where}.pieces")
    if not isinstance(text, str):
        raise BadInput(f"{where}.text is {short(text)}, not a text.", hint=DAMAGED)
    _same_tokens(model, ids, pieces, where)
    for bos in (None, True, False):
        try:
            again = model.tokens(text, bos)
        except MiWidgetsError:
            continue
        if list(again.ids) == ids:
            return again
    try:
        return model.tokens(ids)
    except MiWidgetsError as problem:
        raise BadInput(f"{where} cannot be asked of this model: {problem}", hint=OTHER) from None


OTHER = "Open it with the model it was saved for, or one with the same tokenizer."


def _same_tokens(model: Model, ids: list[int], pieces: list[str], where: str) -> None:
    """Raise unless every id reads here as it did there."""
    if len(ids) != len(pieces):
        raise BadInput(f"{where} holds {len(ids)} ids and {len(pieces)} pieces.", hint=DAMAGED)
    size = min(model.text.vocabulary(), model.text.rows or model.text.vocabulary())
    differ = {
        i: (there, model.text.piece(i) if 0 <= i < size else None)
        for i, there in zip(ids, pieces, strict=True)
        if not 0 <= i < size or model.text.piece(i) != there
    }
    if differ:
        token, (there, here) = next(iter(differ.items()))
        reads = "is not there" if here is None else f"reads {short(here)}"
        more = f", and {len(differ) - 1} more differ" if len(differ) > 1 else ""
        raise BadInput(
            f"{where} was saved for another tokenizer: token id {token} reads {short(there)} there and {reads} in "
            f"{model.name}{more}.",
            hint=OTHER,
        )


def _answer_of(model: Model, value: Any, where: str, prompts: int) -> Answer | None:
    if value is None:
        return None
    given = mapping(value, where)
    rows, texts = given.get("ids"), given.get("pieces")
    flags = [_one_of(given.get(name), f"{where}.{name}", (True, False)) for name in ("sequence", "guessed")]
    if not isinstance(rows, list) or not isinstance(texts, list) or not len(rows) == len(texts) == prompts:
        raise BadInput(f"{where} does not hold one answer for each of {prompts} prompts.", hint=DAMAGED)
    found: list[tuple[int, ...]] = []
    for i, (row, pieces) in enumerate(zip(rows, texts, strict=True)):
        ids = whole_numbers(row, f"{where}.ids[{i}]")
        if not ids:
            raise BadInput(f"{where}.ids[{i}] is empty.", hint=DAMAGED)
        _same_tokens(model, ids, _texts(pieces, f"{where}.pieces[{i}]"), where)
        found.append(tuple(ids))
    pieces_of = [tuple(model.text.piece(i) for i in ids) for ids in found]
    if flags[0]:
        first, joined = tuple(ids[:1] for ids in found), tuple(("".join(p),) for p in pieces_of)
        return Answer(first, joined, flags[1], tuple(found))
    return Answer(tuple(found), tuple(pieces_of), flags[1])


def _align(value: Any) -> str | dict[int, int] | None:
    if value is None or value in ("suffix", "common"):
        return None if value is None else str(value)
    if not isinstance(value, list):
        raise BadInput(f"align is {short(value)}, not null, 'suffix', 'common' or pairs.", hint=DAMAGED)
    pairs = [whole_numbers(pair, f"align[{i}]", low=0) for i, pair in enumerate(value)]
    if not all(len(pair) == 2 for pair in pairs):
        raise BadInput("align holds something else than pairs of positions.", hint=DAMAGED)
    return {pair[0]: pair[1] for pair in pairs}


def _places(value: Any) -> int | tuple[int, ...]:
    if type(value) is int:
        return whole_numbers([value], "answer_position")[0]
    return tuple(whole_numbers(value, "answer_position"))


def _named(clean: Batch, value: Any) -> Batch:
    given = mapping(value, "positions")
    return named(clean, None, {n: whole_numbers(p, f"positions.{n}") for n, p in given.items()}, None, "clean")[0]


def _entries(value: Any) -> Entries:
    if not isinstance(value, list):
        raise BadInput(f"edits is {short(value)}, not a list.", hint=DAMAGED)
    budget, found = Budget(), []
    for i, item in enumerate(value):
        given = mapping(item, f"edits[{i}]")
        on = _one_of(given.get("on"), f"edits[{i}].on", (True, False))
        note = _texts([given.get("note")], f"edits[{i}].note")[0]
        found.append(Entry(edit_of(given.get("edit"), f"edits[{i}].edit", budget), on, note))
    return tuple(found)


def _selection(value: Any) -> tuple[Site, ...]:
    return tuple(Site.parse(text) for text in _texts(value, "selection"))
