"""What a page asks about the lens beside its cells: tokens over all rows, who writes the answer."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from mi_widgets.analysis.attribution import attribute
from mi_widgets.analysis.lens_trajectory import Trajectory, trajectory_steps
from mi_widgets.jobs import Priority, Progress
from mi_widgets.widgets.arrays import Array, f32
from mi_widgets.widgets.lens_table import LensTable
from mi_widgets.widgets.ops import Params, Reply, Task, op
from mi_widgets.widgets.plain import number

if TYPE_CHECKING:
    from mi_widgets.results import AttributionResult

__all__ = ["LensOps"]

MOST_TRACKED = 12
LONGEST_WORD = 200
WHOSE = {"difference": "clean", "change": "edited"}
"""Runs that are differences have no attribution of their own: whose is shown."""
SAID = {
    "difference": "The table is clean minus corrupted; this is of the clean run.",
    "change": "The table is edited minus unedited; this is of the edited run.",
}
DIRECT = {
    "title": "What each part writes straight to the answer's direction, past all later layers: a direct effect.",
    "formula": "(c - mean c) / s * gain . (W_U[answer] - W_U[distractor]), s the final norm's scale in this run",
    "source": "TransformerLens, logit_attrs (Elhage et al. 2021)",
}
BY = ("component", "head", "source")


class LensOps(LensTable):
    """A widget whose page follows tokens through a lens, and asks who writes the answer."""

    @op("lens.track", slot="track", priority=Priority.FETCH)
    def _ask_track(self, params: Params) -> Task:
        question, choice = self.asked_now(), self.chosen(params)
        position = params.integer("position", 0, self.length(question, choice.run) - 1)
        tokens = params.integers("tokens", MOST_TRACKED, question.model.architecture.d_vocab - 1)
        params.end()
        label = question.model.text.label

        def lines(found: Trajectory, prefix: str = "") -> dict[str, Array]:
            each = {"probs": found.probs, "logits": found.logits, "ranks": found.ranks}
            return {f"{prefix}{name}": f32(value.T.numpy()) for name, value in each.items()}

        def reply(found: Trajectory) -> Reply:
            data: dict[str, Any] = {
                "run": choice.run,
                "position": position,
                "tokens": [{"id": i, "label": label(i)} for i in found.tokens],
                "rows": list(range(len(found.rows))),
            }
            unedited = {} if found.unedited is None else lines(found.unedited, "unedited_")
            return Reply(question.rev, data, lines(found) | unedited)

        return Task(trajectory_steps(question, self.spec(choice), position, tokens), reply)

    @op("lens.find", slot="find", priority=Priority.PREVIEW)
    def _find_tokens(self, params: Params) -> Reply:
        text = params.text("text", LONGEST_WORD)
        params.end()
        tokenizer = self._exp.model.text
        unknown = getattr(tokenizer.hf, "unk_token_id", None)
        written = (text, f" {text.strip()}", text.strip())
        each = [tokenizer.ids_of(one) for one in written if one.strip() or one == text]
        found = dict.fromkeys(ids[0] for ids in each if len(ids) == 1 and ids[0] != unknown)
        return Reply(self.question["rev"], {"tokens": [{"id": i, "label": tokenizer.label(i)} for i in found]})

    @op("lens.attribution", slot="attribution", priority=Priority.FETCH)
    def _ask_attribution(self, params: Params) -> Task:
        question = self.asked_now()
        shown = params.choice("run", self.runs)
        run, by = WHOSE.get(shown, shown), params.choice("by", BY)
        length = question.batch(run).lengths[0]
        head: tuple[int, int] | None = None
        if by == "source":
            n_layers, n_heads = question.model.n_layers, question.model.n_heads
            head = params.integer("layer", 0, n_layers - 1), params.integer("head", 0, n_heads - 1)
        else:
            params.ignore("layer", "head")
        params.end()

        def steps() -> Generator[Any, None, AttributionResult]:
            yield Progress(0, 1)
            question.model.refresh()
            return attribute(question, by, run, 0)

        def reply(found: AttributionResult) -> Reply:
            softcap = question.model.architecture.softcap is not None
            note = " ".join([*([SAID[shown]] if shown in SAID else []), *found.provenance.notes])
            data: dict[str, Any] = {
                "run": shown,
                "by": by,
                "total": number(found.total),
                "residue": number(found.residue),
                "softcap": softcap,
                "note": note,
                "card": DIRECT,
            }
            if by == "component":
                parts = zip(found.components, found.values.tolist(), strict=True)
                data["components"] = [
                    {"name": name, "layer": layer, "head": head, "value": number(value)}
                    for (name, layer, head), value in parts
                ]
                return Reply(question.rev, data)
            values = found.values if head is None else found.values[head][:length]
            if head is not None:
                data |= {"layer": head[0], "head": head[1]}
            return Reply(question.rev, data, {"values": f32(values.numpy())})

        return Task(steps(), reply)
