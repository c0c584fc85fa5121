"""`Lens`: what an experiment's model would say at every layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..analysis.lens import lens_steps
from ..analysis.lens_result import LensResult
from ..analysis.lens_spec import LensSpec, check_lens, runs_of
from ..analysis.translators import Translators, as_translators
from ..errors import BadInput
from ..interventions.edits import index_of, place_of, several
from ..jobs import Priority
from ..model.numbers import whole
from .answers import token_of
from .live import LiveQuestion
from .runs import Steps


class Lens(LiveQuestion):
    """What an `Experiment` tells by its logit lens."""

    def lens(
        self,
        at: Sequence[str] | str = ("resid_post",),
        k: int = 5,
        track: Any = (),
        prompt: int = 0,
        run: str = "edited",
        *,
        layers: Sequence[int] | int | None = None,
        positions: Any = None,
        measures: Sequence[str] | str = (),
        translators: Translators | str | Path | None = None,
    ) -> LensResult:
        """What the model would say at every layer and position.

        lens(x) = the model's own final norm recomputed on x, its unembedding with bias, scale and softcap, then softmax
        (nostalgebraist 2020). Row "input" is resid_pre 0, row L is resid_post L, the last row is the model's output.
        Rows of attn_out and mlp_out are contributions: x / (the final norm's scale of that position's last residual)
        through norm weight and unembedding, minus the mean over the vocabulary; they have logits and no probability.

        Measures: prob (of the top token), rank (of the answer: tokens with a strictly greater logit), entropy (nats),
        kl (KL(final || row), nats), logit_diff (answers minus distractors, without any minus the mean over the
        vocabulary), cross_entropy (of the prompt's next token, at the last position of the answer read there; nats).

        Args:
            at: resid_post (brings "input" along), resid_mid, attn_out, mlp_out.
            k: how many top tokens.
            track: tokens to follow, by text or id.
            prompt: which of several.
            run: "clean", "corrupted", "edited" (without edits: the unedited base), "difference" (clean - corrupted) or
                "change" (edited - unedited base); of the last two measures are differences, and the tokens are those of
                the clean and of the edited run.
            layers: rows of some layers, without "input"; None = all.
            positions: one or several, by number or name; None = all.
            measures: which to work out.
            translators: the folder of a tuned lens (see `analysis.translators`), or what was read of one.

        Raises:
            BadInput, PromptMismatch, SiteUnavailable: what is wrong with it.
            NotFinite: the run holds NaN or infinity.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(), "When Mary and John went to the store, John gave a drink to",
            ...     answer=" Mary", distractor=" John")
            >>> found = exp.lens(measures=("rank",))
            >>> found.rows[-1].label, found.measure("rank")[-1, -1].item()
            ('L3', 0.0)
            >>> frame = found.to_frame()
            >>> frame[(frame.layer == 3) & (frame.place == 0)].iloc[-1].top_token
            ' Mary'
        """
        question = self.snapshot().one(prompt)
        followed = _given("track", track, "tokens, by text or id")
        count = whole(k)
        if count is None:
            raise BadInput(f"k is a whole number, not {k!r}.", hint="Use k=5.")
        spec = LensSpec(
            run=run,
            at=_given("at", at, "names of sites"),
            k=count,
            track=tuple(token_of(self.model, one) for one in followed),
            measures=_given("measures", measures, "names of measures"),
            translators=as_translators(translators),
        )
        rows, _ = check_lens(question, spec)
        which = index_of("layers", layers)
        if which is not None:
            wanted = {which} if isinstance(which, int) else set(which)
            for layer in wanted:
                self.model.require("resid_post", layer)
            spec = replace(spec, rows=tuple(r.key for r in rows if r.layer in wanted and r.site != "resid_pre"))
        if positions is not None:
            batch = question.batch(runs_of(question, run)[0])
            columns = {batch.column(0, place) for place in several(place_of("positions", positions))}
            spec = replace(spec, positions=tuple(sorted(columns)))

        def steps() -> Steps[LensResult]:
            yield from self._look(question)
            return (yield from lens_steps(question, spec))

        return self._work(steps(), "lens.run", Priority.FETCH)


def _given(name: str, given: Any, what: str) -> tuple[Any, ...]:
    """One or several, as users give them."""
    if isinstance(given, str) or whole(given) is not None:
        return (given,)
    if not isinstance(given, Iterable):
        raise BadInput(f"{name} are {what}, not {given!r}.", hint="Give one, or several in a list.")
    return tuple(given)
