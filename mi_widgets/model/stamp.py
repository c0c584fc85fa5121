"""Has the user's model changed since we last looked, and what about it? Told in words, for the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from .stand_ins import hooks_of
from .unwrap import is_a, own_forward, walk

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_INTERNAL = frozenset({*vars(nn.Module()), "forward", "_hf_hook", "_old_forward"})
# Of private attributes only these are known to change what is computed.
ADAPTER = ("_disable_adapters", "_active_adapter", "merged_adapters")
_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, type)


@dataclass(frozen=True)
class Change:
    """What was seen to have changed about the user's model at one look.

    Attributes:
        generation: the model's generation after it.
        words: what changed, a phrase each ("weights were edited in place (lm_head.weight)").
    """

    generation: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.words)


@dataclass(frozen=True)
class Stamp:
    """A cheap fingerprint of a model. All are keyed by path.

    Attributes:
        weights: identity, storage, version, dtype, device, shape and strides of every parameter and buffer. An edit
            through ``p.data`` raises no version: a run also compares its baseline with the one it cached.
        modules: identity and class of every module.
        forwards: identity of what stands in for a module's `forward`.
        hooks: the hooks of modules that have any.
        settings: plain attributes of modules, and of configs under "config".
        training: the training flag of every module.
    """

    weights: dict[str, tuple[Any, ...]]
    modules: dict[str, tuple[int, type]]
    forwards: dict[str, int]
    hooks: dict[str, tuple[Any, ...]]
    settings: dict[str, tuple[tuple[str, Any], ...]]
    training: dict[str, bool]

    def same_shadow(self, other: Stamp) -> bool:
        """Would a copy made at one look still do at the other? It shares tensors, so their values may differ."""
        ids = [{name: (w[0], w[1], *w[3:]) for name, w in stamp.weights.items()} for stamp in (self, other)]
        return ids[0] == ids[1] and (self.modules, self.forwards, self.hooks, self.settings) == (
            other.modules,
            other.forwards,
            other.hooks,
            other.settings,
        )


def stamp_of(hf: nn.Module) -> Stamp:
    """Take the fingerprint of a model; about 1 ms for a hundred modules.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> before = stamp_of(layer)
        >>> _ = nn.init.zeros_(layer.weight)
        >>> words_of(before, stamp_of(layer))
        ('weights were edited in place (weight)',)
    """
    stamp = Stamp({}, {}, {}, {}, {}, {})
    configs: dict[int, str] = {}
    for path, module in walk(hf):
        dot = f"{path}." if path else ""
        stamp.modules[path] = (id(module), type(module))
        stamp.training[path] = module.training
        forward = own_forward(module)
        if forward is not None:
            stamp.forwards[path] = id(forward)
        hooks = tuple((name, key, id(h)) for name in HOOKS for key, h in getattr(module, name).items())
        if hooks:
            stamp.hooks[path] = hooks
        for held in (module._parameters, module._buffers):
            for name, t in held.items():
                if t is not None:
                    stamp.weights[dot + name] = _tensor(t)
        own = vars(module)
        settings = []
        for name in own.keys() - _INTERNAL:
            value = own[name]
            if isinstance(value, torch.Tensor):
                continue  # no weight: what a recurrent model remembers of its last pass, say
            if name[0] != "_" or name in ADAPTER:
                if _is_config(value):
                    # One object serves many modules; it is told under the path where it was met first.
                    if configs.setdefault(id(value), dot + name) == dot + name:
                        stamp.settings[dot + name] = _settings(value)
                else:
                    settings.append((name, _plain(value)))
        if settings:
            stamp.settings[path] = tuple(sorted(settings))
        for hook in hooks_of(module):
            stored = getattr(getattr(hook.weights_map, "dataset", hook.weights_map), "state_dict", None)
            if isinstance(stored, Mapping):
                stamp.weights.update({f"{name} (offloaded)": _tensor(t) for name, t in stored.items()})
    return stamp


def _tensor(t: torch.Tensor) -> tuple[Any, ...]:
    # accelerate makes new meta tensors with every forward pass: their identity says nothing.
    if t.is_meta:
        return 0, 0, 0, t.dtype, t.device
    try:
        where, strides = t.data_ptr(), t.stride()
    except RuntimeError:  # a tensor subclass without storage of its own
        where, strides = 0, ()
    return id(t), where, 0 if t.is_inference() else t._version, t.dtype, t.device, t.shape, strides


def plain_of(value: Any) -> Any:
    """What a stamp tells of an attribute: something that can be compared later, whatever becomes of the original."""
    return _settings(value) if _is_config(value) else _plain(value)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str, torch.dtype, torch.device)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    if isinstance(value, (set, frozenset)):
        return tuple(sorted(map(repr, value)))
    if isinstance(value, dict):
        return tuple((str(k), _plain(v)) for k, v in value.items())
    return id(value) if isinstance(value, _FUNCTIONS) else type(value).__name__


def _is_config(value: Any) -> bool:
    return is_a(value, "transformers", "PreTrainedConfig", "PretrainedConfig")


def _settings(config: Any) -> tuple[tuple[str, Any], ...]:
    own = vars(config)
    kept = {k: _plain(v) for k, v in own.items() if k[0] != "_" and not _is_config(v)}
    kept |= {k: _settings(v) for k, v in own.items() if _is_config(v)}
    kernel = own.get("_attn_implementation_internal")
    return tuple(sorted({**kept, "attention implementation": _plain(kernel)}.items()))


def words_of(before: Stamp, after: Stamp) -> tuple[str, ...]:
    """What has changed between two looks, a phrase each; () for nothing.

    Args:
        before: the earlier look.
        after: the later one.
    """
    words: list[str] = []
    changed = _changed(before.modules, after.modules)
    words += _module_words(before, after, changed)
    weights = [
        name
        for name in _changed(before.weights, after.weights)
        if not any(name == path or name.startswith(f"{path}.") for path in changed if path)
    ]
    words += _weight_words(before.weights, after.weights, weights)
    hooks = _changed(before.hooks, after.hooks)
    more = [p for p in hooks if len(after.hooks.get(p, ())) >= len(before.hooks.get(p, ()))]
    words += _phrase("a hook was registered on {}", more)
    words += _phrase("a hook was removed from {}", [p for p in hooks if p not in more])
    words += _phrase(
        "the forward of {} was replaced", [p for p in _changed(before.forwards, after.forwards) if p not in changed]
    )
    words += _setting_words(before.settings, after.settings, changed)
    switched = [p for p in _changed(before.training, after.training) if p in before.training and p in after.training]
    if switched:
        mode = "training" if after.training[switched[0]] else "eval"
        words.append(f"{'the model' if '' in switched else _some(switched)} was switched to {mode} mode")
    return tuple(words)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Keys whose value differs or that only one has, in the order of the model."""
    return [key for key in {**before, **after} if before.get(key, _changed) != after.get(key, _changed)]


def _some(names: Iterable[str]) -> str:
    first, *rest = [name or "the model" for name in names]
    return first if not rest else f"{first} and {rest[0]}" if len(rest) == 1 else f"{first} and {len(rest)} more"


def _phrase(text: str, names: list[str]) -> list[str]:
    return [text.format(_some(names))] if names else []


def _module_words(before: Stamp, after: Stamp, changed: list[str]) -> list[str]:
    def adapters(stamp: Stamp) -> tuple[str, ...]:
        return tuple(path for path, (_, kind) in stamp.modules.items() if kind.__module__.partition(".")[0] == "peft")

    was, now = adapters(before), adapters(after)
    inside = tuple(f"{path}." for path in {*was, *now})
    words = []
    if set(now) - set(was):
        words.append(f"an adapter was added to {_some(p for p in now if p not in was)}")
    elif set(was) - set(now):
        words.append(f"an adapter was taken off {_some(p for p in was if p not in now)}")
    elif own := [p for p in changed if p.startswith(inside)]:
        words += _phrase("an adapter was added: {}", [p for p in own if p not in before.modules])
        words += _phrase("an adapter was taken away: {}", [p for p in own if p not in after.modules])
    other = [p for p in changed if p not in was and p not in now and not p.startswith(inside)]
    # A module that was replaced takes its children along: only the top is named.
    tops = [p for p in other if not any(p.startswith(f"{q}.") for q in other if q)]
    words += _phrase("{} was replaced", [p for p in tops if p in before.modules and p in after.modules])
    words += _phrase("{} was added", [p for p in tops if p not in before.modules])
    words += _phrase("{} was taken out", [p for p in tops if p not in after.modules])
    return words


def _weight_words(before: Mapping[str, Any], after: Mapping[str, Any], names: list[str]) -> list[str]:
    words = []
    both = [name for name in names if name in before and name in after]
    moved = set()
    for what, at in (("dtype", 3), ("device", 4)):
        differ = [name for name in both if before[name][at] != after[name][at]]
        moved.update(differ)
        if differ:
            old, new = (str(stamp[differ[0]][at]).removeprefix("torch.") for stamp in (before, after))
            words.append(f"{what} changed from {old} to {new} ({_some(differ)})")
    rest = [name for name in both if name not in moved]
    replaced = [name for name in rest if before[name][0] != after[name][0]]
    words += _phrase("{} was replaced", replaced)
    words += _phrase("weights were edited in place ({})", [name for name in rest if name not in replaced])
    words += _phrase("{} was added", [name for name in names if name not in before])
    words += _phrase("{} was taken out", [name for name in names if name not in after])
    return words


def _setting_words(before: Mapping[str, Any], after: Mapping[str, Any], changed: list[str]) -> list[str]:
    words: list[str] = []
    others: list[tuple[str, Any, Any]] = []
    for path in _changed(before, after):
        if path in changed and not path.endswith("config"):
            continue
        old, new = dict(before.get(path, ())), dict(after.get(path, ()))
        for name in _changed(old, new):
            if name in ADAPTER:
                words.append(_ADAPTER_WORDS[name](new.get(name)))
            elif name == "attention implementation":
                words.append(f"the attention implementation changed from {old.get(name)} to {new.get(name)}")
            else:
                others.append((f"{path}.{name}" if path else name, old.get(name), new.get(name)))
    if others:
        name, was, now = others[0]
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        words.append(f"{name} changed from {was!r} to {now!r}{more}")
    return list(dict.fromkeys(words))


def _names(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


_ADAPTER_WORDS: dict[str, Callable[[Any], str]] = {
    "_disable_adapters": lambda off: f"adapters were switched {'off' if off else 'on'}",
    "_active_adapter": lambda names: f"the active adapter is now {_names(names)}",
    "merged_adapters": lambda names: (
        f"an adapter was merged into the weights ({_names(names)})"
        if names
        else "adapters were taken out of the weights"
    ),
}
