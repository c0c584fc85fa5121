"""Wraps a tiny model of each family and says in plain data what was proven, what was not, and why."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import transformers

import mi_widgets as mi
from mi_widgets.errors import MiWidgetsError
from mi_widgets.model.architecture import GLOBAL_SITES, SITES, Architecture
from tests.python.families import word_tokenizer

from .configs import build
from .offered import class_of, families

OUTCOMES = ("fully proven", "proven in part", "refused", "not built", "not offered")
"""What can become of a family.

Fully proven: every proof holds, and a site that is not offered cannot exist in such a layer. Proven in part: something
that such a layer has was not found, or did not hold. Refused: `mi.wrap` raised. Not built: the installed transformers
could not make a tiny one. Not offered: the installed transformers has no such model type.
"""


@dataclass(frozen=True)
class Lack:
    """Sites that some layers do not have, for one reason.

    Attributes:
        sites: kinds, in the order of the computation.
        layers: which; empty = all.
        reason: in words.
        by_nature: no reading of such a layer could give them.
    """

    sites: tuple[str, ...]
    layers: tuple[int, ...]
    reason: str
    by_nature: bool

    def __str__(self) -> str:
        where = f" in layer{'s' * (len(self.layers) > 1)} {', '.join(map(str, self.layers))}" if self.layers else ""
        return f"{', '.join(self.sites)}{where}: {self.reason}"


@dataclass(frozen=True)
class Row:
    """What became of one family.

    Attributes:
        family: the model type.
        outcome: one of `OUTCOMES`.
        model: the class; "" when there is none.
        layers: how many were found.
        attending: how many of them compute attention.
        attention: where attention and its output projection are in a layer.
        sites: kinds offered on at least one layer.
        lacks: what is not offered, and why.
        padding: why prompts of different length cannot share a batch; "" when they can.
        worst: largest relative error of the proofs.
        reason: why it was refused, not built or not offered.
        expected: it was refused with one of the package's own errors.
    """

    family: str
    outcome: str
    model: str = ""
    layers: int = 0
    attending: int = 0
    attention: str = ""
    sites: tuple[str, ...] = ()
    lacks: tuple[Lack, ...] = ()
    padding: str = ""
    worst: float = float("nan")
    reason: str = ""
    expected: bool = True
    proof: dict[str, float] = field(default_factory=dict)

    def mark(self, site: str) -> str:
        """One sign per site: on every layer, on some, on none by nature, not found or not proven, or not known."""
        if self.outcome not in ("fully proven", "proven in part"):
            return "?"
        lacks = [lack for lack in self.lacks if site in lack.sites]
        if any(not lack.by_nature for lack in lacks):
            return "✗"
        return "●" if not lacks else "◐" if site in self.sites else "-"


def walk(names: Iterable[str] | None = None) -> Iterator[Row]:
    """Prove families one after the other.

    Args:
        names: model types; None = all that the installed transformers offers.
    """
    tokenizer = word_tokenizer()
    for family in families() if names is None else names:
        yield prove(family, tokenizer)
        gc.collect()


def prove(
    family: str, tokenizer: transformers.PreTrainedTokenizerFast | None = None, seed: int = 0, **config: Any
) -> Row:
    """Build one family, wrap it, and say what came of it.

    Args:
        family: a model type.
        tokenizer: None = the tests' own, a token per word.
        seed: of the weights.
        **config: changes of the config.
    """
    try:
        name = class_of(family).__name__
    except KeyError:
        reason = f"transformers {transformers.__version__} has no model type {family!r}"
        return Row(family, "not offered", reason=reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            hf = build(family, seed, **config)
        except Exception as error:
            return Row(family, "not built", name, reason=_said(error))
        try:
            found = mi.wrap(hf, tokenizer or word_tokenizer(), family).architecture
        except Exception as error:
            return Row(family, "refused", name, reason=_said(error), expected=isinstance(error, MiWidgetsError))
    lacks = tuple(_lacks(found))
    with_attention = [layer for layer in found.layers if layer.attention is not None]
    parts = [
        path.removeprefix(f"{layer.path}.")
        for layer in with_attention[:1]
        for path in (layer.attention, layer.out_proj)
        if path
    ]
    return Row(
        family,
        "fully proven" if all(lack.by_nature for lack in lacks) else "proven in part",
        name,
        layers=found.n_layers,
        attending=len(with_attention),
        attention=" → ".join(parts),
        sites=found.sites,
        lacks=lacks,
        padding=found.padding or "",
        worst=max(found.proof.values()),
        proof=found.proof,
    )


def _said(error: Exception) -> str:
    """The first line of what an error said, its kind in front where it is none of the package's own."""
    first = " ".join(str(error).split())
    return first if isinstance(error, MiWidgetsError) else f"{type(error).__name__}: {first}"


def _lacks(found: Architecture) -> Iterator[Lack]:
    """What is not offered, one entry per reason and set of layers."""
    why: dict[tuple[str, int], str] = dict(found.missing_at)
    for site, reason in found.missing.items():
        why |= {(site, layer): _own(found, site, layer, reason) for layer in _layers(found, site)}
    by_site: dict[tuple[str, str, bool], list[int]] = {}
    for (site, layer), reason in why.items():
        by_site.setdefault((site, reason, found.structural(site, layer)), []).append(layer)
    together: dict[tuple[str, bool, tuple[int, ...]], list[str]] = {}
    for (site, reason, by_nature), layers in by_site.items():
        everywhere = set(layers) == set(_layers(found, site))
        key = (reason, by_nature, () if everywhere else tuple(sorted(layers)))
        together.setdefault(key, []).append(site)
    for (reason, by_nature, layers), sites in together.items():
        yield Lack(tuple(sorted(sites, key=SITES.index)), layers, reason, by_nature)


def _own(found: Architecture, site: str, layer: int, reason: str) -> str:
    """A layer's own reason where the model's joins those of several layers."""
    return found.layers[layer].reasons.get(site, reason)


def _layers(found: Architecture, site: str) -> range:
    return range(1 if site in GLOBAL_SITES else found.n_layers)
