"""`Heads`: what an experiment tells about attention heads: patterns, scores, what they write, attribution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..analysis.attention import logit_effect, patterns, score_steps
from ..analysis.attention_runs import AttentionRun, finished
from ..analysis.attribution import attribute
from ..analysis.edges import edge_scores
from ..analysis.masks import mask_of, mask_rules
from ..analysis.random_tokens import PERIOD, REPEATS, SEED, N, random_scores_steps
from ..analysis.scores import DETECTED, SCORES, facts_of
from ..analysis.writes import head_writes
from ..errors import BadInput
from ..interventions.edits import index_of
from ..interventions.question import RUNS, Question
from ..model.numbers import whole
from ..results import AttributionResult, PatternResult
from .live import LiveQuestion

if TYPE_CHECKING:
    import pandas as pd

NORMALISED = (None, "all")


class Heads(LiveQuestion):
    """What an `Experiment` tells about attention heads."""

    def patterns(
        self,
        layers: Sequence[int] | int | None = None,
        heads: Sequence[int] | int | None = None,
        prompt: int = 0,
        run: str = "clean",
    ) -> PatternResult:
        """Attention patterns of one prompt.

        Args:
            layers: which; None = all.
            heads: which; None = all.
            prompt: which of several prompts.
            run: "clean", "corrupted", "edited", or "difference" (clean - corrupted).

        Returns:
            `.values` [layer, head, dest, src] float32, after softmax and before dropout.

        Raises:
            BadInput: out of range, or over 256 MB: then ask by layer or head.
            SiteUnavailable: a layer asked for has no attention; without `layers` it is NaN with a note.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(), "Mary went to the store")
            >>> found = exp.patterns(layers=1, heads=[0, 2])
            >>> found.values.shape, bool((found.values.sum(-1) - 1).abs().max() < 1e-5)
            (torch.Size([1, 2, 6, 6]), True)
        """
        question = self.snapshot().one(prompt)
        one_or_several = (index_of("layers", layers), index_of("heads", heads))
        which, whose = ([given] if isinstance(given, int) else given for given in one_or_several)
        return self._fetch(lambda: patterns(question, which, whose, run), "heads.pattern")

    def head_scores(
        self,
        on: str = "prompt",
        edge: tuple[int | str, int | str] | None = None,
        masks: Mapping[str, Any] | None = None,
        *,
        run: str = "clean",
        prompt: int | str = 0,
        n: int = N,
        period: int = PERIOD,
        repeats: int = REPEATS,
        seed: int = SEED,
        normalise: str | None = None,
    ) -> pd.DataFrame:
        """A row per head, with what it looks like on the prompt, or on random tokens that repeat.

        On the prompt, with A = pattern[dest, src] of the run; position 0 never counts as a source except for `first`,
        and a score is NaN where no dest counts:

        - previous = mean over dest >= 2 of A[dest, dest-1];
        - induction = mean over the dests whose token stood at j before of sum A[dest, j+1] over all such j, j+1 < dest
          (prefix matching: Olsson et al. 2022); induction_n counts these dests;
        - duplicate = the same with sum A[dest, j];
        - first = mean over dest >= 1 of A[dest, 0]; entropy = mean over dest >= 1 of the entropy of the row in nats;
        - logit_effect = direct logit attribution of the head at the answer position, in logits of the answer direction.

        On random tokens ([the beginning token] + `period` uniformly drawn ordinary tokens, said `repeats` times):
        induction_random = mean of A[d, d-period+1], duplicate_random = mean of A[d, d-period], over the dests after the
        first time (induction_n of them in all prompts), and previous_random, each the mean over `n` prompts.

        Args:
            on: "prompt" or "random".
            edge: (dest, src), by number or name: adds the column `edge`, that cell's attention, to rank heads by it.
            masks: {name: [dest, src] of 0 and 1}: adds a column each, the mean over the dests with a marked source of
                the attention on their marked sources.
            run: "clean", "corrupted", "edited", or "difference" (clean - corrupted). On random tokens: clean.
            prompt: which of several; "mean" = over the prompts where a score is defined, induction_n their sum.
            n, period, repeats, seed: of the random prompts; the same seed gives the same ones.
            normalise: "all" divides the attention on previous, induction and duplicate cells by all attention there is
                and counts position 0 and the diagonal, as TransformerLens' `detect_head(error_measure="mul")` does.

        Raises:
            BadInput: what cannot be meant; random prompts longer than the model's positions.
            SiteUnavailable: the model has no attention pattern.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load("tiny-induction"), "the old cat sees the old")
            >>> frame = exp.head_scores(on="random")
            >>> bool(frame["induction_random"].max() > 0.5)
            True
            >>> exp.head_scores(edge=(5, 2)).sort_values("edge", ascending=False).columns[-1]
            'edge'
        """
        if normalise not in NORMALISED:
            raise BadInput(f"normalise is None or 'all', not {normalise!r}.", hint="'all' is as in TransformerLens.")
        if on == "random":
            if edge is not None or masks:
                raise BadInput("edge and masks are about the prompt, not random tokens.", hint="Leave out on='random'.")
            if run != "clean":
                raise BadInput("On random tokens there is only the clean run.", hint="Leave run out.")
            question = self.snapshot(()).one(0)
            return self._fetch(lambda: random_frame(question, n, period, repeats, seed, normalise), "heads.random")
        if on != "prompt":
            raise BadInput(f"on is 'prompt' or 'random', not {on!r}.", hint="Leave it out for the prompt.")
        if run not in (*RUNS, "difference"):
            raise BadInput(f"There is no run {run!r}.", hint=f"Runs: {', '.join(RUNS)}, difference.")
        whole_question = self.snapshot()
        which = range(len(whole_question.clean)) if prompt == "mean" else [prompt]
        questions = [whole_question.one(i) for i in which]
        return self._fetch(lambda: score_frame(questions, run, edge, masks or {}, normalise), "heads.scores")

    def head_writes(
        self,
        layer: int,
        head: int,
        position: int | str = -1,
        k: int = 10,
        *,
        run: str = "clean",
        prompt: int = 0,
    ) -> pd.DataFrame:
        """The tokens that a head promotes and suppresses at a position: its direct effect on the logits there.

        What the head adds to the stream goes through the final norm at the scale it has there in this run, and the
        unembedding; logits are relative to the mean over the vocabulary. What later layers make of it is not in it.

        Args:
            layer, head: which query head.
            position: where, in the prompt's own tokens, or a named position.
            k: how many tokens either way.
            run: "clean", "corrupted" or "edited".
            prompt: which of several prompts.

        Returns:
            Columns rank, promoted, promoted_id, promoted_logit, suppressed, suppressed_id, suppressed_logit.

        Raises:
            BadInput: numbers out of range.
            SiteUnavailable: the layer has no heads, or direct effects are not defined for the model.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(), "When Mary and John went to the store, John gave a drink to")
            >>> found = exp.head_writes(3, 0, k=5)
            >>> len(found), bool(found["promoted_logit"].is_monotonic_decreasing)
            (5, True)
        """
        if run not in RUNS:
            raise BadInput(f"There is no run {run!r}.", hint=f"Runs: {', '.join(RUNS)}.")
        question = self.snapshot().one(prompt)
        found = self._fetch(lambda: head_writes(question, run, layer, head, position, k), "heads.writes")
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "rank": rank,
                    "promoted": up[1],
                    "promoted_id": up[0],
                    "promoted_logit": up[2],
                    "suppressed": down[1],
                    "suppressed_id": down[0],
                    "suppressed_logit": down[2],
                }
                for rank, (up, down) in enumerate(zip(found.promoted, found.suppressed, strict=True))
            ]
        )

    def attribution(self, by: str = "component", run: str = "clean", prompt: int | str = "mean") -> AttributionResult:
        """Direct logit attribution at the answer position; adds up to the pre-softcap logit difference.

        Args:
            by: "component", "head" ([layer, head]) or "source" ([layer, head, src]).
            run: "clean", "corrupted" or "edited".
            prompt: a prompt's number, or "mean".

        See `analysis.attribution.attribute` for the definition.

        Example:
            >>> import mi_widgets as mi
            >>> exp = mi.Experiment(mi.load(), "Mary went to the store", answer=" Mary", distractor=" John")
            >>> found = exp.attribution()
            >>> abs(float(found.values.sum()) - exp.run(()).metric) < 1e-3
            True
        """
        question = self.snapshot()
        return self._fetch(lambda: attribute(question, by, run, prompt), "attribution.run")


def score_frame(
    questions: Sequence[Question],
    run: str,
    edge: tuple[int | str, int | str] | None,
    masks: Mapping[str, Any],
    normalise: str | None,
) -> pd.DataFrame:
    """A row per head, the mean over questions about one prompt each; see `Heads.head_scores`."""
    import pandas as pd

    frames = [_one_frame(question, run, edge, masks, normalise) for question in questions]
    if len(frames) == 1:
        return frames[0]
    found = pd.concat(frames).groupby(["layer", "head"], as_index=False).mean()
    found["induction_n"] = sum(frame["induction_n"] for frame in frames)
    return found[frames[0].columns]


def _one_frame(
    question: Question,
    run: str,
    edge: tuple[int | str, int | str] | None,
    masks: Mapping[str, Any],
    normalise: str | None,
) -> pd.DataFrame:
    import pandas as pd

    names = ("clean", "corrupted") if run == "difference" else (run,)
    sides = [AttentionRun(question, name) for name in names]
    length = sides[0].length
    marked = {name: mask_of(name, given) for name, given in masks.items()}
    for name, mask in marked.items():
        if len(mask) != length:
            raise BadInput(
                f"The mask {name!r} is {len(mask)} x {len(mask)} and the prompt has {length} tokens.",
                hint="Give one row and one column for each token.",
            )
    rules = SCORES | (DETECTED if normalise == "all" else {}) | mask_rules(marked, length)
    each = [finished(score_steps(one, rules)) for one in sides]
    model, facts = question.model, facts_of(sides[0].ids[0])
    effect = logit_effect(question, run).values
    cell = None if edge is None else edge_scores(question, run, *_edge(question, names[0], edge))
    rows: list[dict[str, float]] = []
    for layer in range(model.n_layers):
        by_name = {name: _difference([one[layer][name] for one in each]) for name in rules} if layer in each[0] else {}
        for head in range(model.n_heads):
            own = {name: float(by_name[name][head]) if by_name else math.nan for name in rules}
            row = {"layer": layer, "head": head, **{name: own[name] for name in SCORES}}
            row |= {"induction_n": rules["induction"].eligible(facts), "logit_effect": float(effect[layer, head])}
            row |= {name: own[name] for name in marked}
            rows.append(row if cell is None else row | {"edge": float(cell[layer, head])})
    return pd.DataFrame(rows)


def _difference(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else values[0] - values[1]


def _edge(question: Question, run: str, edge: Any) -> tuple[int, int]:
    """The two positions, counted from 0."""
    if not isinstance(edge, Sequence) or isinstance(edge, str) or len(edge) != 2:
        raise BadInput(f"edge is (dest, src), not {edge!r}.", hint="For example edge=(10, 4).")
    batch = question.batch(run)
    dest, src = (batch.column(0, place if isinstance(place, str) else whole(place)) for place in edge)  # type: ignore[arg-type]
    return dest, src


def random_frame(
    question: Question, n: int, period: int, repeats: int, seed: int, normalise: str | None
) -> pd.DataFrame:
    """A row per head on random tokens; see `Heads.head_scores`."""
    import pandas as pd

    scores = finished(random_scores_steps(question, n, period, repeats, seed, normalise=normalise))
    order = ("previous_random", "induction_random", "duplicate_random")
    shape = scores[order[0]].values.shape
    return pd.DataFrame(
        [
            {
                "layer": layer,
                "head": head,
                **{name: float(scores[name].values[layer, head]) for name in order},
                "induction_n": scores["induction_random"].n,
            }
            for layer in range(shape[0])
            for head in range(shape[1])
        ]
    )
