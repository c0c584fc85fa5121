"""A model's passes: on its shadow, whole or from any layer on, with visitors that see and replace sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ..errors import PromptMismatch, UnsupportedArchitecture
from .access import Key, Visitor, Watcher, visiting
from .architecture import Architecture
from .attention_tap import Around
from .batches import Batch
from .finite import require_finite
from .glance import Glance
from .proof import limit_of
from .resume import Skips, find_skips, keeping, require_reached, resuming
from .shadow import Shadow
from .stamp import Stamp, stamp_of
from .stand_ins import hooks_of
from .stopping import stopping
from .tokenizer import Tokenizer
from .watch import logits_of

if TYPE_CHECKING:
    from .handle import Model


class Passes:
    """What `Model` runs; it sets what is declared here."""

    hf: Any
    tokenizer: Any
    name: str
    text: Tokenizer
    architecture: Architecture
    _running: Shadow
    _skips: Skips | None
    _stamp: Stamp
    _glance: Glance

    @property
    def shadow(self) -> Any:
        """The module tree that the engine runs."""
        return self._running.module

    @property
    def in_place(self) -> bool:
        """The shadow is the user's own tree, which could not be copied."""
        return self._running.in_place is not None

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights, and of every run."""
        return next(p.dtype for p in self.hf.parameters() if p.is_floating_point())

    @property
    def device(self) -> torch.device:
        """Where the token embedding lies, or where it is taken to be computed."""
        embedding = self.hf.get_input_embeddings()
        offloaded = hooks_of(embedding)
        return torch.device(offloaded[0].execution_device if offloaded else embedding.weight.device)

    def _probe_ids(self) -> torch.Tensor:
        """Five ordinary tokens, all different, spread over the vocabulary."""
        special = set(self.tokenizer.all_special_ids)
        vocabulary = min(self.text.vocabulary(), int(self.hf.get_input_embeddings().weight.shape[0]))
        ordinary = [i for i in range(vocabulary) if i not in special]
        step = max(1, len(ordinary) // 5)
        return torch.tensor([(ordinary[step // 2 :: step] * 5)[:5]], device=self.device)

    @property
    def resumes(self) -> bool:
        """Whether a pass can start at any layer; see `forward`. Proven on a few tokens when first asked for.

        What weights hold does not matter to it, so it is proven anew only when modules or hooks change.
        """
        return self.whole is None

    @property
    def whole(self) -> str | None:
        """Why passes can only be run whole, or None when they can be resumed at any layer."""
        return self._skipping().reason

    def _skipping(self) -> Skips:
        if self._skips is None:
            ids = self._probe_ids()
            with self._running.running() as shadow:
                self._skips = find_skips(shadow, self.architecture, ids, limit_of(self.dtype))
            self._absorb()
        return self._skips

    def _absorb(self) -> None:
        """What passes in place leave on the user's own modules (a cache that grew, what a hook keeps) is no change."""
        if self._running.in_place is not None:
            self._see()

    def _see(self) -> None:
        # The glance first, so that the next one sees what another thread changes in between.
        self._glance, self._stamp = Glance(self.hf), stamp_of(self.hf)

    @contextmanager
    def passing(
        self,
        visitors: Mapping[Key, Visitor] | None = None,
        *,
        arounds: Mapping[int, Around] | None = None,
        layers: Iterable[int] | None = None,
    ) -> Iterator[nn.Module]:
        """The shadow, ready for calls of it or of some of its layers; what is done to it ends with the block.

        Args:
            visitors, arounds, layers: see `access.visiting`.
        """
        running = self._running.running()
        with torch.no_grad(), running as shadow, visiting(
            shadow, self.architecture, visitors or {}, None, arounds, layers
        ):  # fmt: skip
            yield shadow
        self._absorb()

    def forward(
        self,
        batch: Batch,
        visitors: Mapping[Key, Visitor] | None = None,
        watchers: Mapping[int, Watcher] | None = None,
        *,
        resume: tuple[int, torch.Tensor] | None = None,
        keep: Sequence[int] | None = None,
        gradients: bool = False,
    ) -> torch.Tensor:
        """One forward pass on the shadow.

        Args:
            batch: the prompts.
            visitors: {(site, layer): function} that see or replace sites on the way.
            watchers: {layer: function} that are shown a layer's attention call.
            resume: (layer, x): layers before that one are skipped, and it is entered with x [row, position, d_model].
                With layer n_layers only the last norm and the unembedding run, on x.
            keep: for each row the one column (pads count) that is unembedded; None = all.
            gradients: keep what `torch.autograd.grad` needs. The weights are the user's: never call `backward`.

        Returns:
            [row, position, vocab] logits in the model's dtype; with `keep` [row, 1, vocab].

        Raises:
            NotFinite: the logits hold NaN or infinity; names the first site where it arises.
            Cancelled: the work that this is a part of was cancelled; seen before each layer.
            PromptMismatch: prompts of different length, for a model whose numbers change with padding.
            UnsupportedArchitecture: `resume`, and this model can only be run whole (`resumes` tells).
            BadInput: a visitor or watcher at what is skipped, or of logits that are not there.

        Example:
            >>> import mi_widgets as mi
            >>> from mi_widgets.model.batches import Batch
            >>> model = mi.load()
            >>> batch = Batch.of([model.tokens("When Mary and John")], model.text.pad_id)
            >>> seen = []
            >>> whole = model.forward(batch, {("resid_pre", 2): seen.append})
            >>> end = model.forward(batch, resume=(2, seen[0]), keep=[-1])
            >>> bool(torch.allclose(end[:, 0], whole[:, -1], atol=1e-5))
            True
        """
        if any(batch.pads) and self.architecture.padding is not None:
            raise PromptMismatch(
                f"The prompts have {sorted(set(batch.lengths))} tokens, and {self.name} cannot take them side by side: "
                f"{self.architecture.padding}.",
                hint="Make the prompts equally long, or ask about one at a time.",
            )
        require_reached(self.architecture, batch, visitors or {}, watchers or {}, resume, keep)
        if resume is not None and not self.resumes:
            raise UnsupportedArchitecture(
                f"{self.name} can only be run whole: {self.whole}.", hint="Ask model.resumes first."
            )

        def run(asked: Mapping[Key, Visitor], keep: Sequence[int] | None = None) -> torch.Tensor:
            with torch.set_grad_enabled(gradients), ExitStack() as stack:
                shadow = stack.enter_context(self._running.running())
                stack.enter_context(stopping(shadow, self.architecture))
                if resume is not None:
                    stack.enter_context(resuming(shadow, self.architecture, self._skipping(), *resume))
                stack.enter_context(visiting(shadow, self.architecture, asked, watchers))
                if keep is not None:
                    stack.enter_context(keeping(shadow, self.architecture, keep))
                logits = logits_of(shadow, **batch.inputs(self.device))
            self._absorb()
            return logits

        logits = run(visitors or {}, keep)
        if keep is not None and logits.shape[:2] != (len(batch), 1):
            raise UnsupportedArchitecture(
                f"{self.name} does not unembed position by position: asked for one of each row, it gave "
                f"{list(logits.shape)}.",
                hint="Leave keep out.",
            )
        require_finite(cast("Model", self), batch, logits, visitors or {}, run, keep, resume[0] if resume else 0)
        return logits
