"""`Experiment`: a question to a model, its answers, and the live list of edits that all its views show."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from ..errors import BadInput
from ..interventions.edits import Edit
from ..interventions.notes import CARRIED
from ..interventions.positions import position_of
from ..interventions.question import RUNS
from ..interventions.sites import Site
from ..interventions.writes import keys_of
from ..jobs import Priority
from ..model.architecture import HEAD_SITES
from ..results import Result
from .bar import Bar
from .coding import code_steps
from .cut import cut
from .generating import Generation, checked, generation_steps
from .heads import Heads
from .history import Run
from .lens import Lens
from .runs import baseline_frame, run_steps
from .stored import Stored
from .sweeps import Sweeps
from .viewed import Viewed

if TYPE_CHECKING:
    import pandas as pd


class Experiment(Heads, Lens, Sweeps, Stored, Viewed):
    """Prompts, an answer direction, a metric, and a live list of edits; every widget is a view of one.

    Args:
        model: from `mi.load` or `mi.wrap`.
        clean: the prompt: text, token ids, or a list of these.
        corrupted: a second prompt that differs where the behaviour should break; None = none.
        answer: text (with its leading space) or token id; a tuple = alternatives, a list = one per prompt. None =
            guessed from the clean run's top token when a metric needs one. `mi.Sequence` = several tokens.
        distractor: the same for the wrong answer; None = guessed from the corrupted run when the answer was guessed,
            otherwise the metric is relative to the mean over the vocabulary.
        metric: logit_diff, prob, logprob, rank, kl, or a function ``f(logits [row, vocab] float32, rows) -> [row]``
            that does not depend on how rows are batched; ``rows`` is a `metrics.Rows`.
        base: "clean" or "corrupted": where edited runs start. None = corrupted when there is one.
        align: how positions of prompts of different length pair: "suffix" (the ends), "common" (the tokens that both
            have, and those in the same place between them), or {base position: source position}. Pairs that are given
            one by one stay the same pairs when the base changes.
        answer_position: where the answer is read, in the prompt's own tokens; one, or one per prompt.
        positions: named positions in the clean prompts, {"s2": 10} or {"s2": [10, 11]} with one per prompt; usable
            wherever a position is. In corrupted prompts they are where the alignment pairs them. "end" is always there.
        bos: None = what the tokenizer does; True / False forces one beginning token / none.

    What is odd about prompts and answers (an unknown word, a trailing space, a beginning token too many or too few, an
    answer without its space) is warned of here, and stands in the provenance of results and in every widget.

    Raises:
        BadInput, AnswerNotSingleToken, PromptMismatch: says what was wrong and what to do.

    Example:
        >>> import mi_widgets as mi
        >>> exp = mi.Experiment(mi.load(),
        ...     clean="When Mary and John went to the store, John gave a drink to",
        ...     corrupted="When Mary and John went to the store, Mary gave a drink to",
        ...     answer=" Mary", distractor=" John")
        >>> exp.at(" John", -1)
        10
        >>> round(exp.run([mi.Patch("resid_pre", layer=0, position=10)]).recovered, 2)
        1.0
    """

    def at(self, text: str, occurrence: int = -1, run: str = "clean", prompt: int = 0) -> int:
        """A position by its name or its token; never count by eye.

        Args:
            text: a named position; or one token, its leading space included.
            occurrence: which of several, as a list index; -1 = the last.
            run: in which prompt to look.
            prompt: which of several prompts.

        Raises:
            BadInput: no such token; lists those there are.
        """
        prompts = self._question.batch(run).prompts
        if not 0 <= prompt < len(prompts):
            raise BadInput(f"There is no prompt {prompt}: there are {len(prompts)}.", hint="Count from 0.")
        named = position_of(self._question.batch(run), text, prompt) if isinstance(text, str) else None
        return prompts[prompt].find(text, occurrence) if named is None else named

    @property
    def baselines(self) -> pd.DataFrame:
        """The unedited runs. Index: run. Columns: prompt, metric, probability, rank, correct, top.

        probability and rank are the answer's (rank 0 = top token); correct = the answer outranks the distractor
        (without distractor: it is the top token); top is the top token as text. Of a `mi.Sequence` the probability is
        the whole answer's, and rank and correct are its first token's.
        """
        question = self.snapshot(edits=())
        return baseline_frame(question, self._work(self._fresh(question), "baselines.run"))

    def read(
        self, site: str | Site, layer: Any = None, head: Any = None, position: Any = None, run: str = "clean"
    ) -> torch.Tensor:
        """Activations of a run.

        Args:
            site: kind, or a `Site` that fills in the rest.
            layer: a number takes that one and drops the axis; several keep it; None = all.
            head: the same for heads (key-value heads for k and v).
            position: the same for positions, named ones included; of scores and pattern the dest.
            run: "clean", "corrupted" or "edited".

        Returns:
            [prompt, (layer,) position, ...site axes] float32 on the CPU; scores and pattern are
            [prompt, (layer,) head, dest, src]. Prompts of different length are padded on the left with NaN.

        Raises:
            SiteUnavailable: the model, or a layer, has no such site.
            BadInput: numbers out of range.
        """
        if isinstance(site, Site):
            layer, head, position = (
                given if own is None else own
                for own, given in ((layer, site.layer), (head, site.head), (position, site.position))
            )
            site = site.kind
        if run not in RUNS:
            raise BadInput(f"There is no run {run!r}.", hint=f"Runs: {', '.join(RUNS)}.")
        kind, place, question = site, Edit(site, layer, head, position), self.snapshot()

        def find() -> torch.Tensor:
            keys = keys_of(self.model, place)
            values = question.values(run, keys)
            n_heads = getattr(self.model, HEAD_SITES[kind]) if kind in HEAD_SITES else None
            return cut(question.batch(run), kind, [values[key] for key in keys], place, n_heads)

        return self._fetch(find, "site.read")

    def run(self, edits: Iterable[Edit] | Edit | None = None, base: str | None = None) -> Result:
        """Rerun the base prompt with edits and measure; runs of the live list are kept in `runs`, each once in a row.

        Args:
            edits: None = the live list; () = the unedited run.
            base: None = the live base.

        Raises:
            EditNeverFired: an edit's site was not reached.
            NotFinite: the logits hold NaN or infinity.
            SiteUnavailable: an edit names a site that is not there.
            PromptMismatch: a patch between positions that do not pair.
            BadInput: an edit that cannot be meant.
        """
        question = self.snapshot(edits, base)
        result = self._work(run_steps(question, self._fresh), "patch.run")
        if edits is None:
            self.runs.add(Run(question.edits, question.base, result, self.named(question)))
        self._warn_once([note for note in result.provenance.notes if CARRIED in note])
        return result

    def generate(
        self,
        tokens: int = 20,
        edits: Iterable[Edit] | Edit | None = None,
        phase: str = "all",
        *,
        base: str | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        progress: bool = True,
    ) -> Generation:
        """Go on from the base prompts, token by token, with edits at absolute positions.

        Args:
            tokens: how many new ones; an end token stops a text before.
            edits: None = the live list; () = none. An edit without a position acts on all positions of its phase; one
                at a number beyond the prompt acts when that token is run. Negative positions count from the end of
                the prompt.
            phase: "prompt": edits act on prompt positions only; "decode": on new tokens only; "all": on both.
            base: which prompt to go on from; None = the live base.
            temperature: 0 takes the most probable token; otherwise one is drawn.
            seed: of the draws.
            progress: show a progress bar.

        Returns:
            A `Generation`, the same as whole passes over the growing text with every edit at its positions would give.

        Raises:
            EditNeverFired: an edit has no position in the phase, or no token came to it.
            BadInput: more tokens than the model has positions; an edit that reads by position acting on new tokens.
            NotFinite: a step's logits hold NaN or infinity.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(), "When Mary and John went to the store, John gave a drink to")
            >>> exp.generate(2, progress=False).texts
            (' Mary.',)
            >>> calm = exp.generate(2, mi.Zero("attn_out", 2), phase="decode", progress=False)
            >>> calm.ids[0][0] == exp.generate(1, progress=False).ids[0][0]  # the first token follows the prompt alone
            True
        """
        count, where, sampling = checked(tokens, phase, temperature, seed)
        steps = generation_steps(self.snapshot(edits, base), count, where, sampling, self._look)
        with Bar("generate", progress) as bar:
            return self.scheduler.run(
                self._news.told(steps),
                priority=Priority.RUN,
                op="generate.run",
                on_partial=lambda _, value: bar.see(value),
            )

    def to_code(
        self,
        edits: Iterable[Edit] | Edit | None = None,
        base: str | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        tensors: str | os.PathLike[str] | None = None,
    ) -> str:
        """The edited run as one script of PyTorch and transformers, which runs on its own and prints the same number.

        It loads the model as it was loaded, holds prompts, answers and drawn donors as token ids, hooks the model's own
        modules by their paths, and says of each edit what it is. The run is measured first, and the script tells what
        it must print.

        Args:
            edits: None = the live list; () = the unedited run.
            base: None = the live base.
            path: a folder or hub id to load the model from, in place of where it was loaded; needed for a model that
                was made in memory.
            tensors: a file for numbers of yours (a source, a vector, weights) that are too many for a script. It is
                written only where there are such, and the script reads it.

        Raises:
            SiteUnavailable: a site that no plain hook reaches in this family; says why.
            BadInput: what cannot be written as text (long tensors without a file, a metric that uses what stands
                elsewhere); or what is wrong with an edit.
            EditNeverFired, NotFinite, PromptMismatch: as `run`.

        Warns when nobody knows where the model is from, or it was changed after it was loaded.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(),
            ...     clean="When Mary and John went to the store, John gave a drink to",
            ...     corrupted="When Mary and John went to the store, Mary gave a drink to",
            ...     answer=" Mary", distractor=" John")
            >>> code = exp.to_code(mi.Patch("resid_pre", layer=2, position=10))
            >>> "mi_widgets." in code, "sites = {" in code
            (False, True)
            >>> print(code.splitlines()[-1])
            print(f"logit_diff {value:.4f}   recovered {recovered:.4f}")
        """
        where, file = (None if given is None else os.fspath(given) for given in (path, tensors))
        found = self._work(code_steps(self.snapshot(edits, base), self._fresh, where, file), "code.python")
        for note in found.notes:
            warnings.warn(note, stacklevel=2)
        return found.text

    def __repr__(self) -> str:
        clean = self._question.clean.prompts
        return (
            f"Experiment({self.model.name}: {clean[0].text!r}{f' and {len(clean) - 1} more' if len(clean) > 1 else ''})"
        )
