"""What an intervention on some heads does to the prompt that is shown: tried as a preview, kept as edits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mi_widgets.errors import BadInput, PromptMismatch
from mi_widgets.jobs import Priority
from mi_widgets.widgets.heads_mean import HeadsMean
from mi_widgets.widgets.ops import Params, Reply, Task, op
from mi_widgets.widgets.plain import number, provenance_on_wire

if TYPE_CHECKING:
    from mi_widgets.experiment.effect import Effect
    from mi_widgets.interventions.edits import Edit
    from mi_widgets.interventions.question import Question

__all__ = ["Intervening"]

WHAT = {"zero": "z", "mean": "z", "resample": "z", "knockout": "scores", "pattern": "pattern"}
"""The interventions, and the site each changes."""

MOST_HEADS = 16
MOST_DRAWS = 8
SHOWN_BY = {
    "difference": "The picture is clean minus corrupted; this runs on the clean prompt.",
    "against": "The picture compares two experiments; this runs on the clean prompt of the first.",
}


@dataclass(frozen=True)
class Intervention:
    """Edits that a page asks for, and the run they are laid over.

    Attributes:
        base: the prompt they run on.
        under: the edits of the run that is shown: the live ones when that is the edited run.
        edits: one for each head.
        notes: what a reader must know beside the edits' own words.
    """

    base: str
    under: tuple[Edit, ...]
    edits: tuple[Edit, ...]
    notes: tuple[str, ...]


class Intervening(HeadsMean):
    """A widget whose page ablates heads and overwrites their attention."""

    @op("heads.effect", slot="effect", priority=Priority.PREVIEW)
    def _ask_effect(self, params: Params) -> Task:
        asked = self._exp.snapshot()
        what, found = self._intervention(asked, params)
        params.end()
        shown = self.about(self._exp.snapshot(found.under, found.base))
        prompt = self.question["prompt"] if self.of_mean else 0
        several = f"The metric is the mean over the prompts; the next tokens are those of prompt {prompt + 1}."
        chips = self._chips(asked, found)

        def reply(effect: Effect) -> Reply:
            name, label = self.question["metric"], self.question["metric_label"]
            where = effect.provenance
            return Reply(
                asked.rev,
                {
                    "what": what,
                    "base": found.base,
                    "metric": {
                        "name": asked.metric,
                        "label": label if name == asked.metric else asked.metric,
                        "base": number(effect.before),
                        "after": number(effect.after),
                        "recovered": number(effect.recovered),
                        "destroyed": number(effect.destroyed),
                    },
                    "tokens": [
                        {"id": t.id, "label": t.label, "before": number(t.before), "after": number(t.after)}
                        for t in effect.tokens
                    ],
                    "edits": chips,
                    "note": " ".join(
                        dict.fromkeys((*([several] if self.of_mean else []), *found.notes, *effect.notes))
                    ),
                    "provenance": provenance_on_wire(where, where.milliseconds),
                },
            )

        return Task(self._exp.effect_steps(shown, found.edits, prompt), reply)

    @op("heads.keep", slot="edits", priority=Priority.RUN)
    def _keep_edits(self, params: Params) -> Task:
        base_rev = params.revision()
        _, found = self._intervention(self._exp.snapshot(), params)
        params.end()
        return self.change(base_rev, lambda: self._exp.edits.extend(found.edits, found.base))

    def _chips(self, asked: Question, found: Intervention) -> list[dict[str, Any]]:
        """The edits as they would stand in the list."""
        from mi_widgets.experiment.edit_list import Entry
        from mi_widgets.experiment.wire import edits_on_wire

        shown = self._exp.snapshot((*found.under, *found.edits), found.base)
        entries = tuple(Entry(edit) for edit in shown.edits)
        return edits_on_wire(shown, entries)[len(found.under) :]

    def _intervention(self, asked: Question, params: Params) -> tuple[str, Intervention]:
        run = params.choice("run", self.runs)
        if run == "other":
            raise BadInput(
                "The other experiment is shown, and interventions run on this one.", hint="Show the clean run first."
            )
        if run == "difference":
            asked.batch("corrupted")
        base = asked.base if run == "edited" else "corrupted" if run == "corrupted" else "clean"
        asked.batch(base)
        what = params.choice("what", tuple(WHAT))
        heads = params.pairs("heads", MOST_HEADS, (asked.model.n_layers - 1, asked.model.n_heads - 1))
        for layer, _ in heads:
            asked.model.require(WHAT[what], layer)
        edits, notes = self._edits(asked, base, what, heads, params)
        under = asked.edits if run == "edited" else ()
        return what, Intervention(base, under, edits, (*([SHOWN_BY[run]] if run in SHOWN_BY else ()), *notes))

    def _edits(
        self, asked: Question, base: str, what: str, heads: Sequence[tuple[int, int]], params: Params
    ) -> tuple[tuple[Edit, ...], tuple[str, ...]]:
        """The edit of each head, with sentences about them; parameters of other interventions are passed over."""
        from mi_widgets.interventions.attention_edits import Knockout
        from mi_widgets.interventions.edit_kinds import Zero
        from mi_widgets.interventions.set_edits import ENOUGH, Mean, Resample

        prompts = asked.batch(base).prompts
        length = len(prompts[self.question["prompt"]])
        if what == "zero":
            params.ignore("dest", "src", "weights", "mean_pool")
            return tuple(Zero("z", layer, head) for layer, head in heads), ()
        if what == "mean":
            pool = params.choice("mean_pool", ("position", "all")) if params.given("mean_pool") else "position"
            params.ignore("dest", "src", "weights")
            # As the whole list of prompts will have it when the edit is kept, also where one of them is previewed.
            over = tuple(p.ids for p in prompts) if len(prompts) >= ENOUGH else None
            return tuple(Mean("z", layer, head, over=over, pool=pool) for layer, head in heads), ()
        if what == "resample":
            params.ignore("dest", "src", "weights", "mean_pool")
            other = "corrupted" if base == "clean" else "clean"
            if other not in asked.unedited:
                raise PromptMismatch(
                    "Resampling takes the head's output from another prompt, and there is none.",
                    hint="Give a corrupted prompt: mi.Experiment(model, clean, corrupted=...).",
                )
            donors = tuple(p.ids for p in asked.batch(other).prompts)
            draws = min(MOST_DRAWS, len(donors))
            note = f"The donor is the {other} prompt." if draws == 1 else f"The donors are the {other} prompts."
            return tuple(Resample("z", layer, head, prompts=donors, n=draws) for layer, head in heads), (note,)
        dest = params.integer("dest", 0, length - 1)
        if what == "knockout":
            src = params.integer("src", 0, dest)
            params.ignore("weights", "mean_pool")
            return tuple(Knockout(layer=layer, head=head, dest=dest, src=src) for layer, head in heads), ()
        weights = params.shares("weights", length)
        params.ignore("src", "mean_pool")
        return _overwritten(heads, dest, weights)


def _overwritten(
    heads: Sequence[tuple[int, int]], dest: int, weights: tuple[float, ...]
) -> tuple[tuple[Edit, ...], tuple[str, ...]]:
    import torch

    from mi_widgets.interventions.attention_edits import SetPattern

    ahead = next((src for src in range(dest + 1, len(weights)) if weights[src] != 0), None)
    if ahead is not None:
        raise BadInput(
            f"heads.effect: weights look ahead: position {dest} cannot attend to {ahead}.",
            hint="Leave 0 behind the row's own position.",
        )
    total = sum(weights)
    notes = (f"The weights sum to {total:.3g} and are used as they are.",) if abs(total - 1) > 1e-3 else ()
    row = torch.tensor(weights, dtype=torch.float32)
    with warnings.catch_warnings():
        # What the constructor warns of stands in the notes; a warning here would land in whatever cell ran last.
        warnings.simplefilter("ignore")
        edits = tuple(SetPattern(layer=layer, head=head, position=dest, weights=row) for layer, head in heads)
    return edits, notes
