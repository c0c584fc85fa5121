"""Where the sites of a model are hooked: its modules by their paths, as `discovery` found them, and what they need."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ..errors import SiteUnavailable
from ..model.access import Key
from ..model.architecture import SITES, LayerParts
from ..model.attention_tap import AttentionCall, Weights
from ..model.batches import Batch
from ..model.handle import Model
from ..model.watch import logits_of
from . import helpers
from .helpers import Kernel, Shape
from .text import WIDTH, called, module, numbers, quoted, site_name

_INSIDE = frozenset({"q", "k", "v", "scores", "pattern"})


@dataclass(frozen=True)
class _Seen:
    """How a module was called in one pass: how often, where the stream came in, and what it came out in."""

    calls: int
    keyword: str | None
    given: str
    axes: int


@dataclass
class Places:
    """The sites of one script.

    Args:
        model: who is run.
        batch: a prompt, to see how the modules are called.
        keys: the sites.

    Attributes:
        imports: lines at the top.
        texts: the helper functions, in the order in which they are written.
        table: the lines of the script's table of sites.
        inside: some lie inside attention.
    """

    model: Model
    batch: Batch
    keys: tuple[Key, ...]
    imports: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    table: list[str] = field(default_factory=list)
    seen: dict[str, _Seen] = field(default_factory=dict)
    used: dict[str, None] = field(default_factory=dict)
    inside: bool = False

    def __post_init__(self) -> None:
        self._look()
        entries = {key: self._entry(key) for key in self.keys}
        self.table = _grouped(entries)
        self.texts = self._texts()

    def _parts(self, key: Key) -> LayerParts:
        assert key[1] is not None
        return self.model.architecture.layers[key[1]]

    def _paths(self, key: Key) -> list[str]:
        """The modules that a site's hooks stand on."""
        kind, parts = key[0], self.model.architecture
        if key[1] is None:
            return [p for p in ({"embed": parts.embed, "final_norm": parts.final_norm}.get(kind),) if p]
        layer = self._parts(key)
        if kind in _INSIDE:
            return []
        by_kind: dict[str, list[str | None]] = {
            "resid_pre": [layer.path], "resid_post": [layer.path], "attn_out": [layer.attn_writer],
            "z": [layer.out_proj], "result": [layer.out_proj], "mlp_pre": [layer.activation], "mlp_post": [layer.down],
            "resid_mid": [layer.path, layer.attn_writer, *layer.mid_readers],
            "mlp_out": [layer.path, layer.attn_writer] if layer.open else [layer.mlp_writer],
        }  # fmt: skip
        return [path for path in by_kind[kind] if path]

    def _look(self) -> None:
        """One pass, to see how the hooked modules are called."""
        notes: dict[str, list[tuple[str | None, str, int]]] = {}
        paths = dict.fromkeys(path for key in self.keys for path in self._paths(key))
        if not paths:
            return

        def noting(path: str) -> Any:
            def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
                named = next((k for k in ("hidden_states", "input") if isinstance(kwargs.get(k), torch.Tensor)), None)
                keyword = None if args and isinstance(args[0], torch.Tensor) else named
                x = args[0] if keyword is None and args else kwargs.get(keyword or "")
                y = output if isinstance(output, torch.Tensor) else output[0]
                given = "tensor" if y is output else "list" if isinstance(output, list) else "tuple"
                axes = min(t.ndim for t in (x, y) if isinstance(t, torch.Tensor) and t.is_floating_point())
                notes.setdefault(path, []).append((keyword, given, axes))

            return hook

        one = self.batch.take(0, self.model.text.pad_id)
        with self.model.passing() as shadow:
            handles = [shadow.get_submodule(p).register_forward_hook(noting(p), with_kwargs=True) for p in paths]
            try:
                logits_of(shadow, **one.inputs(self.model.device))
            finally:
                for handle in handles:
                    handle.remove()
        self.seen = {path: _Seen(len(calls), *calls[0]) for path, calls in notes.items()}

    def _require(self, key: Key, path: str | None, positional: bool = False) -> str:
        """A module that a plain hook can stand on.

        Raises:
            SiteUnavailable: it runs several times in a pass, or takes the stream where the hook does not look.
        """
        seen = self.seen.get(path or "")
        why = None
        if path is None or seen is None:
            why = "no module gives it"
        elif seen.calls > 1:
            why = f"{path} is shared by layers, so that a hook on it acts in all of them"
        elif positional and seen.keyword is not None:
            why = f"{path} takes the stream as a keyword"
        if why is not None or path is None:
            raise _unwritten(key, self.model, str(why))
        return module(path)

    def _use(self, *names: str) -> None:
        self.used.update(dict.fromkeys(names))

    def _before(self, key: Key, path: str | None) -> str:
        text = self._require(key, path)
        named = self.seen[path or ""].keyword
        self._use("before" if named is None else "before_named")
        return f"before({text})" if named is None else f"before_named({text}, {quoted(named)})"

    def _after(self, key: Key, path: str | None, times: float) -> str:
        text = self._require(key, path)
        self._use("after" if times == 1.0 else "after_times")
        return f"after({text})" if times == 1.0 else f"after_times({text}, {times!r})"

    def _entry(self, key: Key) -> str:
        kind = key[0]
        arch = self.model.architecture
        if kind == "logits":
            self._use("output")
            return "output(model)"
        if kind == "embed":
            return self._after(key, arch.embed, arch.embed_scale)
        if kind == "final_norm":
            return self._after(key, arch.final_norm, 1.0)
        layer = self._parts(key)
        if kind in _INSIDE:
            self._use(f"attention {kind}")
            return f"attention({quoted(kind)}, {module(layer.attention or '')})"
        if kind in ("resid_mid", "mlp_out") and (kind == "resid_mid" or layer.open):
            return self._middle(key, layer)
        if kind == "result":
            text = self._require(key, layer.out_proj, positional=True)
            self._use("results")
            return f"results({text}, {arch.n_heads})"
        if kind == "z":
            inner = self._before(key, layer.out_proj)
            self._use("by_head")
            return f"by_head({inner}, {arch.n_heads})"
        if kind in ("resid_pre", "mlp_pre", "mlp_post"):
            path = {"resid_pre": layer.path, "mlp_pre": layer.activation, "mlp_post": layer.down}[kind]
            return self._before(key, path)
        if kind == "resid_post":
            return self._after(key, layer.path, 1.0)
        writer, times = (
            (layer.attn_writer, layer.attn_scale) if kind == "attn_out" else (layer.mlp_writer, layer.mlp_scale)
        )
        return self._after(key, writer, times)

    def _middle(self, key: Key, layer: LayerParts) -> str:
        if layer.open and {("resid_mid", key[1]), ("mlp_out", key[1])} <= set(self.keys):
            raise _unwritten(key, self.model, "resid_mid and mlp_out of one layer are both told from its stream")
        text = self._require(key, layer.path, positional=True)
        given = [text, self._require(key, layer.attn_writer)]
        if key[0] == "resid_mid":
            readers = [self._require(key, path, positional=True) for path in layer.mid_readers]
            given.append(f"[{', '.join(readers)}]")
        if layer.attn_scale != 1.0:
            given.append(repr(layer.attn_scale))
        name = "between" if key[0] == "resid_mid" else "rest"
        self._use(name)
        return f"{name}({', '.join(given)})"

    def _texts(self) -> list[str]:
        outputs = frozenset(s.given for s in self.seen.values()) or frozenset({"tensor"})
        shape = Shape(outputs, any(s.axes == 2 for s in self.seen.values()))
        known = shape.texts() | {"by_head": helpers.BY_HEAD, "output": helpers.LOGITS}
        if "results" in self.used:
            known["results"] = self._results(known["results"])
        order = ("first", "before", "before_named", "after", "after_times", "by_head", "results", "between", "rest")
        names = [name for name in (*order, "output") if name in self.used]
        if any("first(" in known[name] for name in names):
            names.insert(0, "first")
        found = [known[name] for name in names]
        kinds = frozenset(name.removeprefix("attention ") for name in self.used if name.startswith("attention "))
        if kinds:
            self.inside = True
            kernel = self._kernel(kinds)
            self.imports += kernel.imports
            found.append(kernel.text(kinds))
        return found

    def _results(self, text: str) -> str:
        keys = [key for key in self.keys if key[0] == "result"]
        projections = [self.model.shadow.get_submodule(self._parts(key).out_proj or "") for key in keys]
        for key, projection in zip(keys, projections, strict=True):
            if not isinstance(projection, (nn.Linear, Conv1D)) or projection.weight.ndim != 2:
                raise _unwritten(key, self.model, f"its projection is a {type(projection).__name__}")
        conv = isinstance(projections[0], Conv1D)
        bias = projections[0].bias is not None
        return text.format(turn="" if conv else ".T", bias=" + projection.bias" if bias else "")

    def _kernel(self, kinds: frozenset[str]) -> Kernel:
        """The attention kernel, and what the family hands to it.

        Raises:
            SiteUnavailable: attention does not go through transformers' interface, where a script could see it.
        """
        keys = [key for key in self.keys if key[0] in _INSIDE]
        calls: list[AttentionCall] = []

        def watch(weights: Weights) -> None:
            if isinstance(weights, AttentionCall):
                calls.append(weights)

        layers = sorted({key[1] for key in keys if key[1] is not None})
        for key in keys:
            attention: Any = self.model.shadow.get_submodule(self._parts(key).attention or "")
            if attention._mi_tap.undo is not None:
                raise _unwritten(
                    key,
                    self.model,
                    f"{type(attention).__name__} computes attention by itself, past transformers' attention interface",
                )
        self.model.forward(self.batch.take(0, self.model.text.pad_id), watchers=dict.fromkeys(layers, watch))
        terms = [call.terms for call in calls]
        fused = self.model.architecture.kernel == "sdpa"
        home = type(attention).__module__
        if not fused and not hasattr(sys.modules[home], "eager_attention_forward"):
            raise _unwritten(keys[0], self.model, f"{home} has no attention function of its own to put another for")
        if any(t.scaling is None for t in terms) and kinds & {"scores", "pattern"}:
            raise _unwritten(keys[0], self.model, "its attention does not say how it scales scores")
        own = ("transformers.integrations.sdpa_attention", "sdpa_attention_forward")
        return Kernel(
            own if fused else (home, "eager_attention_forward"),
            fused,
            softcap=any(t.softcap is not None for t in terms),
            sinks="s_aux" if any(t.sinks is not None for t in terms) else None,
            bias=any(t.bias is not None for t in terms),
            grouped=any(call.query.shape[1] != call.key.shape[1] for call in calls),
        )


def _unwritten(key: Key, model: Model, why: str) -> SiteUnavailable:
    name = site_name(*key)
    return SiteUnavailable(
        f"An edit of {name} cannot be written as a plain hook on {model.architecture.family}: {why}.",
        hint="exp.run does it; for a script choose resid_pre, z, attn_out or mlp_out.",
    )


def _grouped(entries: dict[Key, str]) -> list[str]:
    """The lines of the table of sites: alike layers in one."""
    lines: list[str] = []
    by_kind: dict[str, list[Key]] = {}
    for key in sorted(entries, key=lambda k: (-1 if k[1] is None else k[1], SITES.index(k[0]))):
        by_kind.setdefault(key[0], []).append(key)
    for kind, keys in by_kind.items():
        patterns = {key: entries[key].replace(f"[{key[1]}]", "[i]") for key in keys}
        if len(keys) > 3 and len(set(patterns.values())) == 1:
            which = numbers([key[1] for key in keys if key[1] is not None])
            item = f'f"L{{i}}.{kind}": {patterns[keys[0]]}'
            one = f"    **{{{item} for i in {which}}},"
            lines += (
                [one] if len(one) <= WIDTH else ["    **{", f"        {item}", f"        for i in {which}", "    },"]
            )
        else:
            lines += [called(f"{quoted(site_name(*key))}: {entries[key]}", "    ") for key in keys]
    return lines


def keys_in_order(keys: Iterable[Key]) -> tuple[Key, ...]:
    """Each site once."""
    return tuple(dict.fromkeys(keys))
