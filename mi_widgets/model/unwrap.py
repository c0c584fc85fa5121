"""What users hold besides a plain transformers model, and the model that is inside.

Libraries are recognised by the names of an object's classes: nothing is imported for it, so a library that the user has
not imported costs nothing and cannot fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from torch import nn

from ..errors import BadInput, UnsupportedArchitecture

_HF = "Pass the Hugging Face model itself, loaded with AutoModelForCausalLM, and its tokenizer."


def is_a(thing: Any, library: str, *names: str) -> bool:
    """Is this an instance of a library's class? Told by name, over all base classes.

    Example:
        >>> is_a(nn.Linear(2, 2), "torch", "Module")
        True
    """
    kind: Any = type(thing)
    return _is_kind(kind, library, names)


@lru_cache(maxsize=4096)
def _is_kind(kind: type, library: str, names: tuple[str, ...]) -> bool:
    return any(c.__name__ in names and c.__module__.partition(".")[0] == library for c in kind.__mro__)


def unwrap(given: Any, tokenizer: Any = None) -> tuple[Any, Any]:
    """The transformers model inside what a user passed, and its tokenizer.

    Taken apart, also when nested: nnsight's models, TransformerLens's `TransformerBridge`, PEFT's models (the adapter
    layers stay in place), `torch.compile(model)`, `DataParallel` and `DistributedDataParallel`. What is done inside an
    nnsight trace, and hooks on a bridge's own hook points, stay theirs and are no part of what runs here.

    Args:
        given: a model, or something that holds one.
        tokenizer: None = the one of the holder, if it has one.

    Returns:
        The model and the tokenizer; what is already plain comes back as it is.

    Raises:
        BadInput: a holder whose weights are not loaded, not whole, or were rewritten.
        UnsupportedArchitecture: a PEFT method that is more than changed layers.

    Example:
        >>> import mi_widgets as mi
        >>> hf = mi.load().hf
        >>> unwrap(nn.DataParallel(hf))[0] is hf
        True
    """
    while True:
        inner, own = _opened(given)
        tokenizer = own if tokenizer is None else tokenizer
        if inner is given:
            return given, tokenizer
        given = inner


def _opened(given: Any) -> tuple[Any, Any]:
    """One layer of wrapping taken off, and the tokenizer found there."""
    if is_a(given, "nnsight", "Envoy", "NNsight"):
        return _nnsight(given)
    if is_a(given, "transformer_lens", "TransformerBridge", "HookedRootModule", "BridgeCore"):
        return _transformer_lens(given)
    if is_a(given, "peft", "PeftModel", "PeftMixedModel"):
        return _peft(given), None
    if is_a(given, "torch", "OptimizedModule"):
        return given._orig_mod, None
    if is_a(given, "torch", "DataParallel", "DistributedDataParallel"):
        return given.module, None
    if is_a(given, "torch", "FullyShardedDataParallel"):
        raise BadInput("The weights of this model are split over several processes.", hint=_HF)
    return given, None


def _nnsight(given: Any) -> tuple[Any, Any]:
    if getattr(given, "dispatched", True) is False:
        raise BadInput(
            f"The weights of this {type(given).__name__} are not loaded yet: nnsight loads them with its first trace.",
            hint="Call .dispatch() on it, or make it with dispatch=True, then wrap it.",
        )
    return given._module, getattr(given, "tokenizer", None)


def _transformer_lens(given: Any) -> tuple[Any, Any]:
    inner = None
    if is_a(given, "transformer_lens", "TransformerBridge") and not getattr(given, "_weights_processed", False):
        inner = getattr(given, "original_model", None)
    if inner is not None:
        return inner, getattr(given, "tokenizer", None)
    if is_a(given, "transformer_lens", "TransformerBridge"):
        raise BadInput(
            "This TransformerBridge has rewritten its weights (layer norms folded, weights centred), so its "
            "activations are no longer those of the Hugging Face model.",
            hint="Boot a bridge without processing, enable_compatibility_mode(no_processing=True), or pass the "
            "Hugging Face model and its tokenizer.",
        )
    raise BadInput(
        f"A {type(given).__name__} keeps weights of its own (split by head, layer norms folded) and has no Hugging "
        "Face model inside.",
        hint="Pass TransformerBridge.boot_transformers(...), or the Hugging Face model and its tokenizer.",
    )


def _peft(given: Any) -> Any:
    # Of several adapters only the active ones take part.
    kinds = given.peft_config
    active = given.active_adapters if hasattr(given, "active_adapters") else [given.active_adapter]
    for name in [active] if isinstance(active, str) else active:
        method = str(getattr(kinds[name].peft_type, "value", kinds[name].peft_type))
        if getattr(kinds[name], "is_prompt_learning", False):
            raise UnsupportedArchitecture(
                f"The adapter {name!r} ({method}) puts trained vectors before the prompt: positions that are no "
                "tokens, so runs cannot be lined up with the text.",
                hint="Pass the base model; adapters that change layers (LoRA, IA3, DoRA, ...) are supported.",
            )
        if method in ("ADAPTION_PROMPT", "XLORA", "POLY"):
            raise UnsupportedArchitecture(
                f"The adapter {name!r} ({method}) computes more than changed layers do.",
                hint="Pass the base model; adapters that change layers (LoRA, IA3, DoRA, ...) are supported.",
            )
    # The tuner (LoraModel, ...) holds the model whose layers it has replaced.
    return getattr(given.base_model, "model", given.base_model)


def plain(module: nn.Module) -> nn.Module:
    """The module that does the work of a wrapper inside a module tree; the module itself where there is no wrapper.

    TransformerLens puts its components into the Hugging Face model's tree, PEFT its layers, `torch.compile` its
    modules. Where such a wrapper only hands on to one plain module, that one is meant.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> plain(layer) is layer
        True
    """
    while (inner := _delegate(module)) is not None:
        module = inner
    return module


def _delegate(module: nn.Module) -> nn.Module | None:
    if is_a(module, "transformer_lens", "GeneralizedComponent"):
        return module._modules.get("_original_component")
    if is_a(module, "torch", "OptimizedModule"):
        return module._modules["_orig_mod"]
    if not is_a(module, "peft", "BaseTunerLayer", "ModulesToSaveWrapper"):
        return None
    adapter: Any = module
    active = [] if adapter.disable_adapters else list(adapter.active_adapters)
    if is_a(module, "peft", "ModulesToSaveWrapper"):
        kept = [name for name in active if name in adapter.modules_to_save]
        return adapter.modules_to_save[kept[0]] if kept else adapter.original_module
    base: nn.Module = adapter.base_layer
    if adapter.merged and adapter.disable_adapters:
        raise BadInput(
            "An adapter is merged into the weights and switched off at the same time: PEFT takes it out of the weights "
            "in the next forward pass.",
            hint="Call unmerge_adapter() first, or merge_and_unload().",
        )
    if adapter.merged or not set(active) & set(adapter._get_available_adapters()):
        return base
    if is_a(module, "peft", "LNTuningLayer"):
        chosen: nn.Module = adapter.ln_tuning_layers[active[0]]
        return chosen
    return None


def walk(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Paths and modules of a tree, without the wrappers that TransformerLens and `torch.compile` put into it.

    PEFT's layers are kept: they come and go, and that is a change of the model.

    Example:
        >>> [path for path, _ in walk(nn.Sequential(nn.Linear(2, 2)))]
        ['', '0']
    """
    seen: set[int] = set()
    ahead = [("", root)]
    while ahead:
        path, module = ahead.pop()
        while is_a(module, "transformer_lens", "GeneralizedComponent") or is_a(module, "torch", "OptimizedModule"):
            inner = _delegate(module)
            if inner is None:
                break
            module = inner
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield path, module
        children = [(f"{path}.{name}" if path else name, m) for name, m in module._modules.items() if m is not None]
        ahead.extend(reversed(children))


def own_forward(module: nn.Module) -> Any:
    """What stands in for a module's `forward`, or None; nnsight's own, which hands on, does not count.

    Example:
        >>> own_forward(nn.Linear(2, 2)) is None
        True
    """
    found = vars(module).get("forward")
    return None if is_a(found, "nnsight", "Controller") else found
