"""`Model`: a Hugging Face causal language model together with its shadow, its parts and its tokenizer."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from types import MethodType
from typing import Any, NoReturn

from torch import nn

from ..errors import BadInput, MiWidgetsError, SiteUnavailable, UnsupportedArchitecture
from .architecture import GLOBAL_SITES, SITES, Architecture
from .discovery import discover
from .fingerprint import Fingerprint
from .glance import Glance
from .limits import limits_of
from .passes import Passes
from .proof import prove
from .resume import Skips
from .shadow import Shadow
from .stamp import Change, stamp_of, words_of
from .stand_ins import hooks_of
from .tokenizer import Prompt, Tokenizer
from .tokens import Tokens
from .unwrap import unwrap

_REGISTRY: dict[int, weakref.ref[Model]] = {}
_WRAPPING = threading.RLock()

KEPT_CHANGES = 50
"""Changes of the user's model that a `Model` remembers."""


class Model(Passes):
    """A causal language model seen as a residual stream with named sites.

    Made by `load` and `wrap`; one per wrapped object. Everything is computed on a copy of the module tree that shares
    the weights (`shadow`), so the user's model is never hooked, stubbed or switched. What cannot be copied runs in
    place and is put back after each pass; `notices` says so.

    Attributes:
        hf: the user's model, untouched.
        tokenizer: the user's tokenizer.
        name: short name for headers and provenance.
        architecture: what was found where, `.sites` this model offers, `.missing` {site: reason}.
        generation: rises whenever the user's model was seen to have changed; caches are keyed by it.
        origin: where `load` has read it and with which options, None for a model that was wrapped.

    Example:
        >>> import mi_widgets as mi
        >>> model = mi.load()
        >>> model.n_layers, model.n_heads
        (4, 4)
    """

    origin: tuple[str, dict[str, Any]] | None = None

    def __init__(self, hf: Any, tokenizer: Any, name: str) -> None:
        self.hf = hf
        self.tokenizer = tokenizer
        self.name = name
        self.text = Tokenizer(tokenizer, limits_of(hf), int(hf.get_input_embeddings().weight.shape[0]))
        self.generation = 0
        self._random = False
        self._fingerprint: tuple[int, Fingerprint] | None = None
        self._changes: list[Change] = []
        self._observers: list[weakref.WeakMethod[Callable[[Change], None]]] = []
        self._see()
        self._build()
        self._absorb()

    def _build(self) -> None:
        _require_weights(self.hf)
        running = Shadow(self.hf)
        ids = self._probe_ids()
        versions = _versions(self.hf)
        try:
            with running.running() as module:
                self.architecture: Architecture = prove(module, discover(module, ids), ids)
        except MiWidgetsError:
            raise
        except Exception as problem:  # whatever a foreign class does when it is run on a few tokens
            raise UnsupportedArchitecture(
                f"{type(self.hf).__name__} could not be looked into: {type(problem).__name__}: {problem}",
                hint="See whether model(input_ids=...) runs on its own, with a few tokens.",
            ) from problem
        changed = [name for name, version in _versions(self.hf).items() if versions[name] != version]
        if changed:
            raise UnsupportedArchitecture(
                f"The forward pass of {type(self.hf).__name__} writes into its own weights ({changed[0]} and "
                f"{len(changed) - 1} more), which a copy that shares them must not do.",
                hint="Load the model anew, with whatever switches that off in its config.",
            )
        self._running = running
        self._skips: Skips | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """Plain sentences about how this model is run that a reader of its results must know."""
        stamp = self._stamp
        training = any(on and (not p or "Dropout" in stamp.modules[p][1].__name__) for p, on in stamp.training.items())
        mode = "The model is in training mode; runs here are in eval mode, without dropout."
        dice = "Two runs of the same prompt gave different numbers: something in the model is random."
        theirs, ours = getattr(self.hf.config, "_attn_implementation", None), self.architecture.kernel
        kernel = f"The model's attention runs {theirs}, which shows no weights; runs here use {ours}."
        return (
            *self._running.notes,
            *((mode,) if training else ()),
            *((dice,) if self._random else ()),
            *((kernel,) if theirs and theirs != ours else ()),
        )

    @property
    def n_layers(self) -> int:
        """How many layers."""
        return self.architecture.n_layers

    @property
    def n_heads(self) -> int:
        """Query heads per layer."""
        return self.architecture.n_heads

    @property
    def n_kv_heads(self) -> int:
        """Key-value heads per layer; each serves n_heads / n_kv_heads query heads."""
        return self.architecture.n_kv_heads

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.architecture.d_model

    @property
    def d_head(self) -> int:
        """Width of queries and keys."""
        return self.architecture.d_head

    @property
    def d_head_v(self) -> int:
        """Width of values and z."""
        return self.architecture.d_head_v

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"Model({self.name}: {self.n_layers} layers x {self.n_heads} heads, {dtype}, {self.device})"

    def tokens(self, prompt: Prompt, bos: bool | None = None) -> Tokens:
        """Tokenise a prompt: ids, visible strings and positions.

        Args:
            prompt: text, or token ids.
            bos: None = what the tokenizer does; True forces one beginning token, False forces none.

        Raises:
            BadInput: nothing to tokenise, ids out of range, or too long for the model.
        """
        return self.text.encode(prompt, bos)

    def require(self, kind: str, layer: int | None = None) -> None:
        """Raise unless this model (and this layer) has a site.

        Raises:
            BadInput: no such kind of site, or no such layer.
            SiteUnavailable: the model or the layer does not have it; says why and what there is.
        """
        parts = self.architecture
        if kind not in SITES:
            raise BadInput(f"There is no site {kind!r}.", hint=f"Sites: {', '.join(SITES)}.")
        if layer is not None and kind not in GLOBAL_SITES and not 0 <= layer < parts.n_layers:
            raise BadInput(
                f"Layer {layer} does not exist: {self.name} has {parts.n_layers} layers.",
                hint=f"Use 0 to {parts.n_layers - 1}.",
            )
        reason = parts.missing.get(kind) or parts.missing_at.get((kind, layer if layer is not None else -1))
        if reason:
            where = f"layer {layer} of {self.name}" if kind not in parts.missing else self.name
            raise SiteUnavailable(f"{where} has no {kind}: {reason}.", hint=f"Sites it has: {', '.join(parts.sites)}.")

    def layers_with(self, kind: str) -> list[int | None]:
        """The layers that have a site; [None] for a site that belongs to no layer."""
        self.require(kind)
        if kind in GLOBAL_SITES:
            return [None]
        return [i for i in range(self.n_layers) if (kind, i) not in self.architecture.missing_at]

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was seen to have changed about the user's model, the oldest first."""
        return tuple(self._changes)

    def changed_since(self, generation: int) -> tuple[str, ...]:
        """What has changed since a generation, a phrase each; () for nothing."""
        later = [change for change in self._changes if change.generation > generation]
        return tuple(dict.fromkeys(word for change in later for word in change.words))

    def observe(self, callback: Callable[[Change], None]) -> None:
        """Call a bound method, held weakly, with each `Change`; on the thread that has noticed it."""
        assert isinstance(callback, MethodType)
        self._observers.append(weakref.WeakMethod(callback))

    def refresh(self) -> Change | None:
        """Look whether the user's model has changed; rebuild and prove again if more than its numbers have.

        Returns:
            What has changed since the last look (and `generation` has risen), or None.

        Raises:
            UnsupportedArchitecture, NotFinite, BadInput: what it has become cannot be run; the next look says so again.
        """
        if self._glance.same():
            return None
        # The glance first: what another thread changes in between is news to the next look, and never lost.
        glance, now = Glance(self.hf), stamp_of(self.hf)
        if now == self._stamp:
            self._glance = glance
            return None
        self._random = False
        words = words_of(self._stamp, now)
        if not now.same_shadow(self._stamp):
            self._build()
        self._stamp, self._glance = now, glance
        self._absorb()
        return self._tell(words)

    def same_weights(self, tokens: Iterable[int]) -> bool:
        """Whether the weights, and the rows of some tokens, seem to be what they were when first asked about.

        See `Fingerprint`: it looks at a number of each row and column, and costs milliseconds.
        """
        if self._fingerprint is None or self._fingerprint[0] != self.generation:
            self._fingerprint = self.generation, Fingerprint(self.hf, self.architecture.d_vocab)
        return self._fingerprint[1].same(tokens)

    @property
    def opaque(self) -> bool:
        """Its numbers may change though its weights do not: a hook of the user's, or weights that are fetched."""
        return self._glance.opaque

    def edited(self, steady: bool = True) -> Change | None:
        """Take note that a run gave other numbers than before, though `refresh` saw no change.

        Args:
            steady: it gives the new numbers again: weights were written through `.data`. Otherwise something in the
                model is random, which is no change; `notices` say so.
        """
        self._random = not steady
        return self._tell(("weights were edited through .data",)) if steady else None

    def _tell(self, words: tuple[str, ...]) -> Change:
        self.generation += 1
        change = Change(self.generation, words)
        self._changes.append(change)
        del self._changes[:-KEPT_CHANGES]
        for ref in list(self._observers):
            callback = ref()
            if callback is not None:
                callback(change)
            else:
                self._observers.remove(ref)
        return change

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise BadInput(
            f"A Model ({self.name}) stands for one loaded model and can be neither copied nor pickled.",
            hint="Copy or save model.hf (save_pretrained), and wrap what you load.",
        )


def _versions(hf: nn.Module) -> dict[str, int]:
    """How often each weight was written."""
    return {name: 0 if p.is_inference() else p._version for name, p in hf.named_parameters()}


def _require_weights(hf: nn.Module) -> None:
    """Raise when weights are on no device and nothing would fetch them, or when the model rewrites its own."""
    if getattr(hf.config, "rescale_every", 0):
        raise UnsupportedArchitecture(
            f"{type(hf).__name__} rescales its weights in place when it first runs (rescale_every), which a copy that "
            "shares them would do a second time.",
            hint="Load it with rescale_every=0 in its config.",
        )
    empty = [name for name, p in hf.named_parameters() if p.is_meta]
    if empty and not any(hooks_of(module) for module in hf.modules()):
        raise BadInput(
            f"The weights of this model are not loaded: {empty[0]} and {len(empty) - 1} more are on the meta device.",
            hint="Load it with from_pretrained, or move it to a device with its weights.",
        )


def wrap(hf_model: Any, tokenizer: Any = None, name: str | None = None) -> Model:
    """See a model you already loaded as a residual stream with named sites.

    The model is not changed, hooked or moved; its parts are found and proven on a few tokens. Hooks that you have
    registered yourself are part of what it computes and run in the engine's passes too. Wrapping the same object
    again gives the same `Model`; a `name` given then renames it.

    Args:
        hf_model: a transformers causal language model; or what holds one: nnsight's models, TransformerLens's
            `TransformerBridge`, PEFT's models (adapters stay in place), `torch.compile(model)`, `DataParallel`.
        tokenizer: its tokenizer; None = the one that its holder has.
        name: how to call it in headers; None = from its config.

    Raises:
        UnsupportedArchitecture: parts are missing or a proof failed; says what was found.
        BadInput: not a transformers model, its weights are not loaded, or no tokenizer.

    Example:
        >>> import mi_widgets as mi
        >>> loaded = mi.load()
        >>> mi.wrap(loaded.hf, loaded.tokenizer) is loaded
        True
    """
    hf, tokenizer = unwrap(hf_model, tokenizer)
    if not isinstance(hf, nn.Module) or not hasattr(hf, "config"):
        raise BadInput(
            f"wrap expects a transformers model, not {type(hf).__name__}.",
            hint="Pass AutoModelForCausalLM.from_pretrained(...), or use mi.load(name).",
        )
    if tokenizer is None or not callable(tokenizer) or not hasattr(tokenizer, "all_special_ids"):
        raise BadInput("wrap needs the model's tokenizer.", hint="Pass AutoTokenizer.from_pretrained(...).")
    if not hasattr(hf, "get_output_embeddings"):
        raise UnsupportedArchitecture(
            f"{type(hf).__name__} is not a causal language model.",
            hint="Load it with AutoModelForCausalLM.",
        )
    # Held while a model is proven, so that two threads which wrap the same one get the same `Model`.
    with _WRAPPING:
        known = _REGISTRY.get(id(hf))
        model = known() if known is not None else None
        if model is not None and model.hf is hf and model.tokenizer is tokenizer:
            model.name = name or model.name
            return model
        model = Model(hf, tokenizer, name or _name_of(hf))
        key = id(hf)
        _REGISTRY[key] = weakref.ref(model, lambda ref: _forget(key, ref))
        return model


def _forget(key: int, ref: weakref.ref[Model]) -> None:
    if _REGISTRY.get(key) is ref:
        del _REGISTRY[key]


def _name_of(hf: Any) -> str:
    path = str(getattr(hf.config, "_name_or_path", "") or "").rstrip("/" + os.sep)
    return Path(path).name or str(getattr(hf.config, "model_type", "")) or type(hf).__name__
