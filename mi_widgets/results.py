"""Results: frozen, on the CPU, float32, with where they came from. A leaf that imports nothing else of the package."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from .errors import BadInput

if TYPE_CHECKING:
    import pandas as pd
    import torch

R = TypeVar("R", bound="BaseResult")
T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is; long work yields it between its steps.

    Attributes:
        done, total: units finished and in all (cells, layers).
        seconds_left: estimate from the pace so far, or None.
    """

    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class Provenance:
    """Where a number came from.

    Attributes:
        model: name of the model.
        dtype, device, kernel: what the forward passes ran in.
        question: what was asked, in words (prompts, answer, base, edits).
        recomputed: what was rerun, in words ("56 full forward passes").
        milliseconds: wall time of the work on the worker.
        noise_floor: metric units below which a difference means nothing; None where there is no metric.
        notes: plain sentences a reader must know (odd tokens, prompts whose own difference is below the floor).
    """

    model: str
    dtype: str
    device: str
    kernel: str
    question: str = ""
    recomputed: str = ""
    milliseconds: float = 0.0
    noise_floor: float | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class BaseResult:
    """What all results share: tensors as fields, provenance, `to_frame`, `save` and `load`.

    Two results are equal only when they are the same one: compare their tensors.
    """

    provenance: Provenance

    kind: ClassVar[str] = ""

    def to_frame(self) -> pd.DataFrame:
        """A tidy table, one row per number; columns are named in the class docstring."""
        import pandas as pd

        return pd.DataFrame(list(self._rows()))

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        raise TypeError(f"{type(self).__name__} has no table.")

    def save(self, path: str | Path) -> Path:
        """Write the result as one safetensors file; everything that is no tensor rides in its header as JSON.

        Example:
            >>> import mi_widgets as mi, tempfile, pathlib
            >>> result = mi.Experiment(mi.load(), "Mary went to the").patterns()
            >>> file = result.save(pathlib.Path(tempfile.mkdtemp()) / "patterns.safetensors")
            >>> bool((type(result).load(file).values == result.values).all())
            True
        """
        import torch
        from safetensors.torch import save_file

        tensors, plain = {}, {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, torch.Tensor):
                tensors[f.name] = value.contiguous()
            elif isinstance(value, dict) and value and all(isinstance(v, torch.Tensor) for v in value.values()):
                tensors |= {f"{f.name}.{k}": v.contiguous() for k, v in value.items()}
            elif isinstance(value, Provenance):
                plain[f.name] = value.as_dict()
            elif type(value).__name__ in _STORED:
                own = {g.name: getattr(value, g.name) for g in fields(value)}
                held = {k: v for k, v in own.items() if isinstance(v, torch.Tensor)}
                tensors |= {f"{f.name}.{k}": v.contiguous() for k, v in held.items()}
                kept = {k: v for k, v in own.items() if k not in held}
                plain[f.name] = {"type": type(value).__name__, "module": type(value).__module__, **kept}
            else:
                plain[f.name] = value
        header = {"kind": type(self).__name__, "version": "1", "plain": json.dumps(plain)}
        save_file(tensors, str(path), metadata=header)
        return Path(path)

    @classmethod
    def load(cls: type[R], path: str | Path) -> R:
        """Read what `save` wrote.

        Raises:
            BadInput: the file holds another kind of result.
        """
        from safetensors import safe_open

        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            if header.get("kind") != cls.__name__:
                raise BadInput(
                    f"{path} holds a {header.get('kind', 'file of another program')}, not a {cls.__name__}.",
                    hint="Load it with the class it was saved from.",
                )
            values: dict[str, Any] = json.loads(header["plain"])
            for name in file.keys():  # noqa: SIM118  (safe_open is no mapping)
                whole, _, part = name.partition(".")
                if part:
                    values.setdefault(whole, {})[part] = file.get_tensor(name)
                else:
                    values[name] = file.get_tensor(name)
        values["provenance"] = Provenance(**values["provenance"] | {"notes": tuple(values["provenance"]["notes"])})
        known = {f.name for f in fields(cls)}
        return cls(**{k: _restored(v) for k, v in values.items() if k in known})


_STORED: dict[str, type] = {}


def storable(cls: type[T]) -> type[T]:
    """Decorator: a frozen dataclass of plain values and tensors that results may hold, save and load."""
    _STORED[cls.__name__] = cls
    return cls


def _restored(value: Any) -> Any:
    """What a header's JSON stands for: lists are tuples, marked mappings are `storable` dataclasses."""
    if isinstance(value, list):
        return tuple(_restored(v) for v in value)
    if not isinstance(value, dict) or not {"type", "module"} <= value.keys():
        return value
    # The class enters the table when its module is imported; a file can name no module outside the package.
    if value["type"] not in _STORED and str(value["module"]).startswith(f"{__package__}."):
        importlib.import_module(value["module"])
    if value["type"] not in _STORED:
        raise BadInput(
            f"The file holds a {value['type']!r}, which this version does not know.",
            hint="Load it with a newer version.",
        )
    own = {k: _restored(v) for k, v in value.items() if k not in ("type", "module")}
    return _STORED[value["type"]](**own)


class Lazily(Generic[T]):
    """A field of a frozen result that may be given as a function, which is called when the field is first read.

    Args:
        default: what the field is when it is not given; without one it must be.
    """

    def __init__(self, *default: T) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, held: None, owner: type) -> T: ...

    @overload
    def __get__(self, held: object, owner: type) -> T: ...

    def __get__(self, held: object | None, owner: type) -> T:
        if held is None:  # a dataclass asks for the field's default
            if not self._default:
                raise AttributeError(self._name)
            return self._default[0]
        value = vars(held)[self._name]
        if callable(value):
            value = vars(held)[self._name] = value()
        found: T = value
        return found

    def __set__(self, held: object, value: T | Callable[[], T]) -> None:
        vars(held)[self._name] = value


@dataclass(frozen=True, eq=False, kw_only=True)
class Result(BaseResult):
    """One run with edits. Frame columns: prompt, metric, recovered.

    Attributes:
        logits: [prompt, vocab] float32 at the answer position. Of a large vocabulary, where the metric could be told
            without them, they are computed when they are first read; once the model has changed or is gone that raises
            `Stale`.
        metric: mean over prompts, in the metric's unit (logits for logit_diff).
        recovered: ratio of means, 1 = the clean run, 0 = the corrupted one; NaN without a corrupted prompt or when the
            two runs differ by less than ten noise floors.
        stderr: standard error of `recovered` over prompts; NaN for one prompt without draws (`mi.Resample`).
        metric_stderr: s.d. of the metric over prompts / sqrt(prompts); for one prompt the same over its draws.
        per_prompt: {"metric", "recovered"} as [prompt].
        metric_name: which metric it is.
        labels: (id, text) of the tokens `top` can show.
    """

    logits: Lazily[torch.Tensor] = Lazily()
    metric: float
    recovered: float
    stderr: float
    metric_stderr: float
    per_prompt: dict[str, torch.Tensor] = field(default_factory=dict)
    metric_name: str = "logit_diff"
    labels: Lazily[tuple[tuple[int, str], ...]] = Lazily(())

    @property
    def held(self) -> int:
        """Bytes of logits that it holds; none before they are first read, where they are computed then."""
        logits = vars(self)["logits"]
        return 0 if callable(logits) else int(logits.nbytes)

    def __repr__(self) -> str:
        # A notebook shows it unasked: that computes nothing, and cannot fail.
        own = vars(self)
        shown = (f"{f.name}={'...' if callable(own[f.name]) else repr(own[f.name])}" for f in fields(self))
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getstate__(self) -> dict[str, Any]:
        # A copy, or a pickle, must not depend on the model.
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        columns = self.per_prompt
        for p in range(len(columns["metric"])):
            yield {
                "prompt": p,
                "metric": float(columns["metric"][p]),
                "recovered": float(columns["recovered"][p]),
            }

    def top(self, k: int = 5, prompt: int = 0) -> pd.DataFrame:
        """The k most probable next tokens of one prompt. Columns: id, token, prob, logit.

        Args:
            k: at most 50; token texts are kept for the first 50.
            prompt: which row.
        """
        import pandas as pd

        if not isinstance(k, int) or not 1 <= k <= 50:
            raise BadInput(f"top takes k from 1 to 50, not {k!r}.", hint="For more, take .logits.")
        logits = self.logits[prompt]
        probs = logits.softmax(-1)
        ids = logits.topk(min(k, logits.numel())).indices.tolist()
        texts = dict(self.labels)
        return pd.DataFrame(
            {
                "id": ids,
                "token": [texts.get(i, str(i)) for i in ids],
                "prob": probs[ids].tolist(),
                "logit": logits[ids].tolist(),
            }
        )


@dataclass(frozen=True, eq=False)
class PatternResult(BaseResult):
    """Attention patterns. Frame columns: layer, head, dest, src, weight.

    Attributes:
        values: [layer, head, dest, src] float32, rows sum to 1 (less with an attention sink); NaN for a layer without
            attention.
        layers, heads: which ones, as numbered in the model.
        tokens: strings of the prompt.
        run: "clean", "corrupted" or "edited".
    """

    values: torch.Tensor
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    tokens: tuple[str, ...]
    run: str = "clean"

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        for i, layer in enumerate(self.layers):
            for j, head in enumerate(self.heads):
                cells = self.values[i, j].tolist()
                for dest, row in enumerate(cells):
                    for src, weight in enumerate(row):
                        yield {"layer": layer, "head": head, "dest": dest, "src": src, "weight": weight}


@dataclass(frozen=True, eq=False)
class AttributionResult(BaseResult):
    """Direct logit attribution. Frame columns: component, layer, head, position, value.

    Attributes:
        values: [component], [layer, head] or [layer, head, position] float32, in logits of the answer direction.
        by: "component", "head" or "source".
        components: for each component its name, layer and head (None where it has none).
        rest: {name: value} of what `by="head"` and `"source"` leave out of `values`.
        total: the pre-softcap logit difference they explain.
        residue: the model's own logit difference minus the sum of all parts; zero up to rounding without a softcap.
    """

    values: torch.Tensor
    by: str
    components: tuple[tuple[str, int | None, int | None], ...]
    rest: dict[str, float]
    total: float
    residue: float

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        if self.by == "component":
            for (name, layer, head), value in zip(self.components, self.values.tolist(), strict=True):
                yield {"component": name, "layer": layer, "head": head, "position": None, "value": value}
            return
        for layer in range(self.values.shape[0]):
            for head in range(self.values.shape[1]):
                cell = self.values[layer, head]
                for position, value in enumerate(cell.tolist() if cell.ndim else [float(cell)]):
                    yield {"component": f"L{layer}H{head}", "layer": layer, "head": head,
                           "position": position if cell.ndim else None, "value": value}  # fmt: skip
        for name, value in self.rest.items():
            yield {"component": name, "layer": None, "head": None, "position": None, "value": value}


@dataclass(frozen=True, eq=False)
class SweepResult(BaseResult):
    """A map of reruns, one edit per cell.

    Frame columns: site, layer, head, position, token, metric, recovered, stderr, exact.

    Attributes:
        metric, recovered, stderr: [layer, position], [layer, head] or [layer, head, position] float32 (with units, they
            come first of these); NaN = not run (yet), the layer has no such site, or the edit cannot be done there.
        exact: the same shape, bool; False where the value is an estimate or is pending.
        same: the same shape, bool; cells that were not run because the two prompts have the same tokens up to there.
        site: the site that was edited.
        axes: names of the axes after layer: ("position",), ("head",), ("head", "position"), ("unit",), ...
        layers, heads, positions, units: labels along the axes; a position is a number or a name.
        tokens: base token at each position ("" where there is no position axis).
        source_tokens: source token at each position.
        template: the edit of every cell, without its place.
        baselines: {"clean", "corrupted"} means of the metric.
        metric_name, base: what was measured, and which prompt was edited.
        per_prompt: {"metric": [prompt, ...]} with the prompt axis in front.
    """

    metric: torch.Tensor
    recovered: torch.Tensor
    stderr: torch.Tensor
    exact: torch.Tensor
    same: torch.Tensor
    site: str
    axes: tuple[str, ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...] = ()
    positions: tuple[int | str, ...] = ()
    units: tuple[int, ...] = ()
    tokens: tuple[str, ...] = ()
    source_tokens: tuple[str, ...] = ()
    template: Any = None
    baselines: dict[str, float] = field(default_factory=dict)
    metric_name: str = "logit_diff"
    base: str = "corrupted"
    per_prompt: dict[str, torch.Tensor] = field(default_factory=dict)

    def _places(self) -> Iterator[tuple[tuple[int, ...], dict[str, Any]]]:
        labels: dict[str, tuple[Any, ...]] = {"head": self.heads, "position": self.positions, "unit": self.units}
        shape = self.metric.shape
        for flat in range(self.metric.numel()):
            index: list[int] = []
            for size in reversed(shape):
                flat, i = divmod(flat, size)
                index.insert(0, i)
            place: dict[str, Any] = {"layer": self.layers[index[0]]}
            for axis, i in zip(self.axes, index[1:], strict=True):
                place[axis] = labels[axis][i]
            yield tuple(index), place

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        token_of = dict(zip(self.positions, self.tokens, strict=False))
        for index, place in self._places():
            position = place.get("position")
            yield {
                "site": self.site,
                "layer": place["layer"],
                "head": place.get("head"),
                "position": position,
                **({"unit": place["unit"]} if self.units else {}),
                "token": token_of.get(position, "") if position is not None else "",
                "metric": float(self.metric[index]),
                "recovered": float(self.recovered[index]),
                "stderr": float(self.stderr[index]),
                "exact": bool(self.exact[index]),
            }

    def edit(
        self, layer: int, head: int | None = None, position: int | str | None = None, unit: int | None = None
    ) -> Any:
        """The edit of one cell, ready for `exp.edits.add` or `exp.run`."""
        return self.template.on(site=self.site, layer=layer, head=head, position=position, unit=unit)

    def cell(self, edit: Any) -> tuple[int, ...] | None:
        """The index of the cell that an edit is the edit of; None where there is none, or it is not exact.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(), "Mary saw John", "John saw Mary", answer=" Mary", distractor=" John")
            >>> found = exp.sweep("z", progress=False)
            >>> found.cell(mi.Patch("z", 1, head=2)), found.cell(mi.Zero("z", 1, head=2))
            ((1, 2), None)
        """
        labels: dict[str, tuple[Any, ...]] = {"head": self.heads, "position": self.positions, "unit": self.units}
        index = []
        for axis, several in (("layer", self.layers), *((axis, labels[axis]) for axis in self.axes)):
            if getattr(edit, axis) not in several:
                return None
            index.append(several.index(getattr(edit, axis)))
        place = {axis: getattr(edit, axis) for axis in ("layer", *self.axes)}
        return tuple(index) if edit == self.edit(**place) and bool(self.exact[tuple(index)]) else None

    def top(self, n: int = 5) -> tuple[Any, ...]:
        """Edits of the n cells whose metric moved furthest from the base run's."""
        start = self.baselines[self.base]
        cells = [
            (abs(float(self.metric[i]) - start), place)
            for i, place in self._places()
            if self.metric[i] == self.metric[i]
        ]
        cells.sort(key=lambda item: -item[0])
        return tuple(self.edit(**place) for _, place in cells[:n])
