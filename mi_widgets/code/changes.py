"""Edits as the lines of functions that change a site's value in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..errors import BadInput
from ..interventions.attention_edits import Knockout, SetPattern
from ..interventions.draws import draws_of
from ..interventions.edit_kinds import Add, Patch, Project, Reading, Scale, Zero
from ..interventions.edits import Edit, several
from ..interventions.layouts import SQUARE
from ..interventions.moving import turned
from ..interventions.prompts import NAMED
from ..interventions.question import Question
from ..interventions.reading import Reader, reader_of, source_of
from ..interventions.set_edits import Mean, Resample
from ..interventions.writes import keys_of
from ..model.access import Key
from ..model.architecture import HEAD_SITES
from .index import Axis, Index, Row, neighbours, runs_of, runs_of_pairs, with_src
from .means import Means
from .runs import Runs
from .tensors import Tensors
from .text import Varying, assigned, comment, number, site_name, site_names


@dataclass(frozen=True)
class Change:
    """One edit, written.

    Attributes:
        name: of its function.
        kind: the site.
        layers: in which layers; (None,) for a site that belongs to none.
        comment: what it is.
        body: the lines of the function, without indentation.
        by_site: the lines name the site they read, `site`.
    """

    name: str
    kind: str
    layers: tuple[int | None, ...]
    comment: str
    body: tuple[str, ...]
    by_site: bool

    @property
    def lines(self) -> list[str]:
        """The function."""
        if not self.by_site:
            return [f"def {self.name}(x):", comment(self.comment, "    "), *_indented(self.body)]
        inner = ["def change(x):", *_indented(self.body)]
        return [f"def {self.name}(site):", comment(self.comment, "    "), "", *_indented([*inner, "", "return change"])]

    @property
    def items(self) -> list[str]:
        """Its items in the list of edits: a site and a change each."""
        numbers = [layer for layer in self.layers if layer is not None]
        if not self.by_site and len(numbers) < 4:
            return [f'("{site_name(self.kind, layer)}", {self.name})' for layer in self.layers]
        given = f'{self.name}(f"L{{i}}.{self.kind}")' if self.by_site else self.name
        if len(numbers) < 4:
            return [
                f'("L{n}.{self.kind}", {self.name}("L{n}.{self.kind}"))' if self.by_site else given for n in numbers
            ]
        names = site_names(self.kind, self.layers)
        which = names[names.rindex(" for i in ") + 1 : -1]
        return [f'*[(f"L{{i}}.{self.kind}", {given}) {which}]']


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" if line else "" for text in lines for line in text.split("\n")]


@dataclass
class Writer:
    """Writes the edits of a question, and gathers what their functions need.

    Attributes:
        question: with its edits.
        runs: the runs that are read.
        means: the means that are taken.
        tensors: numbers that stand in the script, or in a file beside it.
        helpers: names of further functions.
    """

    question: Question
    runs: Runs
    means: Means
    tensors: Tensors
    helpers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        question = self.question
        self.model, self.sources = question.model, question.sources()
        self.batch = question.batch(question.base)
        self.draws = draws_of(question.edits, question.count)

    def changes(self) -> list[Change]:
        """All edits, in the user's order."""
        found: list[Change] = []
        for i, edit in enumerate(self.question.edits):
            mark = f"_{i + 1}" if len(self.question.edits) > 1 else ""
            name = _word(edit) + mark
            keys = keys_of(self.model, edit)
            versions = [draw[i] for draw in self.draws]
            # Rotations are a layer's own.
            turns = edit.site in ("q", "k") and isinstance(versions[0], Patch | Project)
            groups = [[key] for key in keys] if turns and self._moves(versions) and len(keys) > 1 else [keys]
            for group in groups:
                own = name if len(groups) == 1 else f"{name}_layer_{group[0][1]}"
                found.append(self._change(edit, versions, own, group, mark))
        return found

    def _reader(self, edit: Edit) -> Reader:
        return reader_of(self.model, self.batch, edit, self.question.base, self.sources)

    def _moves(self, versions: Sequence[Edit]) -> bool:
        return any(any(self._reader(one).moves) for one in versions)

    def _change(self, edit: Edit, versions: list[Edit], name: str, keys: list[Key], mark: str) -> Change:
        kind = keys[0][0]
        readers = [self._reader(one) for one in versions]
        rows = range(len(self.batch))
        positions = Varying(tuple(tuple(reader.positions[row] for reader in readers) for row in rows))
        writing = _Writing(self, edit, versions, readers, keys, positions, mark)
        body = writing.body()
        layers = tuple(key[1] for key in keys)
        words = edit.words(self.question.count)
        return Change(name, kind, layers, words, tuple(body), writing.by_site)


def _word(edit: Edit) -> str:
    text = type(edit).__name__
    return "set_pattern" if text == "SetPattern" else text.lower()


class _Writing:
    """One edit that is being written; `by_site` rises when its lines name the site they read."""

    def __init__(
        self,
        writer: Writer,
        edit: Edit,
        versions: list[Edit],
        readers: list[Reader],
        keys: list[Key],
        positions: Varying[Row],
        mark: str,
    ) -> None:
        self.writer, self.edit, self.versions, self.readers = writer, edit, versions, readers
        self.keys, self.positions, self.mark = keys, positions, mark
        self.kind = keys[0][0]
        self.square = self.kind in SQUARE
        self.by_site = False
        self.body_lines: list[str] = []
        batch = writer.batch
        self.rows = range(len(batch))
        self.whole = all(
            set(row) == {tuple(range(batch.lengths[p]))} for p, row in enumerate(positions.values)
        )  # fmt: skip
        head = None if edit.head is None else tuple(several(edit.head))
        unit = None if edit.unit is None else tuple(several(edit.unit))
        self.head = Axis(head)
        self.unit = Axis(unit, fixed=isinstance(edit, Project))
        self.n_heads = getattr(writer.model, HEAD_SITES[self.kind]) if self.kind in HEAD_SITES else None

    def body(self) -> list[str]:
        """The lines."""
        edit = self.edit
        if isinstance(edit, Knockout):
            self._knockout()
        elif isinstance(edit, Mean):
            self._mean(edit)
        else:
            self._plain(edit)
        return self.body_lines

    # Where it writes

    def _index(self, position: Axis) -> Index:
        """The index with these positions, in the order of the site's axes."""
        axes: tuple[Axis, ...]
        if self.square:
            axes = (self.head, position)
        elif self.n_heads is not None:
            axes = (position, self.head, self.unit)
        else:
            axes = (position, self.unit)
        return Index(axes).filled((None, self.n_heads, None))

    def _place(self, positions: Varying[Row], name: str, *, broken: bool = False) -> Index:
        """The index of positions; where they differ between prompts or draws, a line before it looks them up."""
        if positions.same:
            return self._index(Axis(positions.first, broken=broken))
        one = all(len(row) == 1 for rows in positions.values for row in rows)
        place = Axis(positions.first if one else (0, 0), name=name)
        index = self._index(place)
        axis = 1 if self.square else 0
        depth = index.depth(axis) if index.meshed else 0

        def laid(row: Row) -> Any:
            if one and not index.meshed:
                return row[0]
            out: list[Any] = []
            for value in row:
                item: Any = value
                for _ in range(depth):
                    item = [item]
                out.append(item)
            return out

        table, select = Varying(tuple(tuple(laid(row) for row in rows) for rows in positions.values)).table()
        self.body_lines.append(assigned(name, table, after=select))
        return index

    def _here(self) -> Index:
        if self.whole:
            return self._index(Axis())
        return self._place(self.positions, "at")

    # What it does

    def _plain(self, edit: Edit) -> None:
        pairs = self._from_run() if self._reads_run() else [(self._here(), None)]
        for here, there in pairs:
            at = f"x[{here.text()}]"
            if isinstance(edit, Zero):
                self.body_lines.append(f"{at} = 0")
            elif isinstance(edit, Scale):
                self.body_lines.append(f"{at} *= {number(edit.factor)}")
            elif isinstance(edit, Add):
                self._add(edit, here, at)
            elif isinstance(edit, SetPattern):
                self.body_lines.append(f"{at} = {self._numbers(here, 'weights')}")
            elif isinstance(edit, (Patch, Resample)):
                self._patch(edit, here, at, there)
            elif isinstance(edit, Project):
                self._project(edit, here, at, there)
            else:
                raise BadInput(
                    f"{edit} is an edit of a kind of your own, which cannot be written as text.", hint="Use exp.run."
                )

    def _patch(self, edit: Patch | Resample, here: Index, at: str, there: str | None) -> None:
        there = self._numbers(here, "source") if there is None else there
        alpha = edit.alpha if isinstance(edit, Patch) else 1.0
        if alpha == 1.0:
            self.body_lines.append(f"{at} = {there}")
        else:
            self.body_lines += [f"there = {there}", f"{at} += {number(alpha)} * (there - {at})"]

    def _add(self, edit: Add, here: Index, at: str) -> None:
        if not isinstance(edit.vector, torch.Tensor):
            self.body_lines.append(f"{at} += {number(edit.scale * edit.vector)}")
            return
        vector = self._numbers(here, "vector")
        times = "" if edit.scale == 1.0 else f"{number(edit.scale)} * "
        self.body_lines.append(f"{at} += {times}{vector}")

    def _project(self, edit: Project, here: Index, at: str, there: str | None) -> None:
        if there is None and isinstance(edit.source, torch.Tensor):
            there = self._numbers(here, "source")
        basis = self.writer.tensors.name(f"basis{self.mark}", [[edit.axes.float()]], f"The basis of {edit}")
        line = f"q = {basis}.to(x)  # orthonormal columns"
        if line not in self.body_lines:
            self.body_lines.append(line)
        if there is None:
            self.body_lines.append(f"{at} -= {at} @ q @ q.T")
        else:
            self.body_lines.append(f"there = {there}")
            self.body_lines.append(f"{at} += (there - {at}) @ q @ q.T")

    def _knockout(self) -> None:
        cuts = Varying(
            tuple(tuple(tuple(several(reader.edits[p].src)) for reader in self.readers) for p in self.rows)  # type: ignore[attr-defined]
        )
        here = self._here()
        if cuts.same:
            for src in runs_of(cuts.first):
                self.body_lines.append(f"x[{with_src(here, src)}] = -torch.inf")
            return
        count = {len(src) for row in cuts.values for src in row}
        assert len(count) == 1
        for place in range(count.pop()):
            name = "src" if place == 0 else f"src_{place + 1}"
            table, select = Varying(tuple(tuple(src[place] for src in row) for row in cuts.values)).table()
            self.body_lines.append(assigned(name, table, after=select))
            self.body_lines.append(f"x[{with_src(here, name)}] = -torch.inf")

    # What it reads

    def _reads_run(self) -> bool:
        source = getattr(self.versions[0], "source", None)
        return source is not None and not isinstance(source, torch.Tensor)

    def _from_run(self) -> list[tuple[Index, str | None]]:
        """Where it writes, and the expressions of what it reads there from another run."""
        runs, batch = self.writer.runs, self.writer.batch
        sources = [source_of(one, self.writer.sources) for one in self.versions if isinstance(one, Reading)]
        read = []
        for p in self.rows:
            row: list[Row] = []
            for one, source, positions in zip(self.versions, sources, self.positions.values[p], strict=True):
                given = one.source_position if isinstance(one, Reading) else None
                which = source.row(p)
                if given is None:
                    row.append(tuple(source.pairs[p][at] for at in positions))
                else:
                    pad = source.batch.pads[which]
                    row.append(tuple(source.batch.column(which, at) - pad for at in several(given)))
            read.append(tuple(row))
        reads = Varying(tuple(read))
        lengths = [[source.batch.lengths[source.row(p)] for source in sources] for p in self.rows]
        everything = self.whole and all(
            reads.values[p][d] == tuple(range(lengths[p][d])) and lengths[p][d] == batch.lengths[p]
            for p in self.rows
            for d in range(len(sources))
        )
        name = getattr(self.versions[0], "source", None)
        if isinstance(name, str) and name in NAMED:
            value = runs.of_named(sources[0].name)
        else:
            ids = [[source.batch.prompts[source.row(p)] for source in sources] for p in self.rows]
            value = runs.of_prompts(self.mark, ids, drawn=isinstance(self.edit, Resample))
        site = runs.reads(value, self.keys)
        self.by_site = self.by_site or site == "site"
        text = f"{value}[{site}]"
        if everything:
            here = self._index(Axis())
            return [(here, text if here.text() == ":" else f"{text}[{here.text()}]")]
        turns = self.kind in ("q", "k") and any(any(reader.moves) for reader in self.readers)
        if self.positions.same and reads.same and not turns:
            pairs = runs_of_pairs(self.positions.first, reads.first)
            return [self._pair(text, here, there) for here, there in pairs]
        here = self._place(self.positions, "at", broken=True)
        there = here if reads == self.positions else self._place(reads, "source", broken=True)
        if turns:
            return [(here, self._turned(text, there, reads))]
        return [(here, f"{text}[{there.text()}]")]

    def _pair(self, text: str, here: Row, there: Row) -> tuple[Index, str | None]:
        broken = not (neighbours(here) and neighbours(there))
        where, source = (self._index(Axis(row, broken=broken)) for row in (here, there))
        return where, f"{text}[{source.text()}]"

    def _turned(self, text: str, there: Index, reads: Varying[Row]) -> str:
        """Queries or keys that are turned to where they go; the angles are those the engine found."""
        writer = self.writer
        cos, sin, partners, still = [], [], set(), True
        for p in self.rows:
            pairs = []
            for d, one in enumerate(self.versions):
                assert isinstance(one, Reading)
                source = source_of(one, writer.sources)
                goes = self.positions.values[p][d]
                eye = torch.eye(writer.model.d_head, device=writer.model.device).expand(len(goes), -1, -1)
                turn = turned(
                    writer.model,
                    self.keys[0],
                    eye,
                    (source.batch.prompts[source.row(p)], reads.values[p][d]),
                    (writer.batch.prompts[p], goes),
                    writer.sources,
                )
                still = still and torch.allclose(turn, eye[:1].expand_as(turn), atol=1e-6)
                real, imaginary, partner = _angles(turn)
                partners.add(partner)
                pairs.append((real, imaginary))
            cos.append([real for real, _ in pairs])
            sin.append([imaginary for _, imaginary in pairs])
        if still:
            return f"{text}[{there.text()}]"  # this family does not turn them
        if len(partners) > 1:
            raise BadInput(
                f"{self.edit}: prompts turn {self.kind} in different ways, which cannot be written plainly.",
                hint="Carry z or resid_pre, or write one prompt at a time.",
            )
        axes = there.axes[:2]  # its units are picked after it was turned
        where = Index(tuple(replace(axis, fixed=True, broken=True) for axis in axes) if there.meshed else axes)
        if there.meshed and not where.meshed:
            raise BadInput(
                f"{self.edit} moves units of {self.kind}, which cannot be written plainly.", hint="Move whole heads."
            )
        keep = where.meshed or not (self.head.one)
        alone = not where.meshed and where.axes[0].one
        for name, values in (("cos", cos), ("sin", sin)):
            laid = [[_laid(v, keep and not alone, alone) for v in row] for row in values]
            # Angles are rounded far below what float32 keeps of them.
            table, select = Varying(tuple(tuple(_rounded(v) for v in row) for row in laid)).table()
            self.body_lines.append(assigned(name, _lists(table), after=select))
        self.body_lines.append(assigned("partner", list(partners.pop())))
        writer.helpers.add("turned")
        value = f"turned({text}[{where.text()}], cos, sin, partner)"
        return value if self.unit.values is None else f"{value}[..., {self.unit.text()}]"

    def _mean(self, edit: Mean) -> None:
        means = self.writer.means
        if isinstance(edit.over, torch.Tensor):
            here = self._here()
            self.body_lines.append(f"x[{here.text()}] = {self._numbers(here, 'average')}")
            return
        found = means.of(edit, self.mark, self.keys, self.positions)
        site = self.writer.runs.site(self.keys)
        self.by_site = site == "site"
        if found.by_position:
            here = self._here()
            text = here.text()
            there = f"{found.name}[{site}]" + ("" if text == ":" else f"[{text}]")
            self.body_lines.append(f"x[{text}] = {there}")
            return
        axes = (self.head, self.unit) if self.n_heads is not None else (self.unit,)
        own = Index(axes)
        for names, positions in found.parts:
            here = self._index(Axis()) if self.whole else self._place(positions, f"at{names.removeprefix(found.name)}")
            inner = Index(axes).filled((self.n_heads, None)) if self.n_heads is not None else own
            text = inner.text()
            there = f"{names}[{site}]" + ("" if text == ":" else f"[{text}]")
            self.body_lines.append(f"x[{here.text()}] = {there}")

    def _numbers(self, here: Index, what: str) -> str:
        """Numbers that the user gave, as far as they are written."""
        heads, units = self.head.values, self.unit.values
        cells = []
        for p in self.rows:
            row = []
            for reader in self.readers:
                value = reader.there(self.keys[0], p)
                assert value is not None
                if heads is not None and value.shape[1] > 1:
                    value = value[:, list(heads)]
                if units is not None and value.shape[-1] > 1:
                    value = value[..., list(units)]
                row.append(here.shaped(value.transpose(0, 1) if self.square else value))
            cells.append(row)
        text = self.writer.tensors.name(f"{what}{self.mark}", cells, f"{what} of {self.edit}")
        like = self.writer.model.device.type != "cpu" or self.writer.model.dtype != torch.float32
        return f"{text}.to(x)" if like else text


def _angles(turn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
    """Cosines, sines and partners of a turn given as matrices [position, from, to]."""
    real = turn.diagonal(dim1=-2, dim2=-1)
    rest = turn - torch.diag_embed(real)
    partner = rest.abs().sum(0).argmax(0)
    imaginary = -rest.gather(1, partner.expand(len(turn), 1, -1))[:, 0]
    still = rest.abs().sum((0, 1)) == 0
    partner = torch.where(still, torch.arange(len(partner)), partner)
    return real, imaginary, tuple(partner.tolist())


def _laid(value: torch.Tensor, heads: bool, one: bool) -> torch.Tensor:
    """[position, d] as it is broadcast to what is read: with an axis of heads, or of one position."""
    return value[0] if one else value[:, None] if heads else value


def _rounded(value: torch.Tensor) -> tuple[Any, ...]:
    def deep(v: Any) -> Any:
        return tuple(deep(i) for i in v) if isinstance(v, list) else round(v, 8)

    found: tuple[Any, ...] = deep(value.double().tolist())
    return found


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
