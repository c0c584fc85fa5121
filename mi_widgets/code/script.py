"""A question and its edits as one script of PyTorch and transformers which runs alone and prints the same number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .._version import __version__
from ..interventions.question import Question
from ..interventions.writes import keys_of
from ..model.architecture import SITES
from ..results import Result
from . import helpers
from .changes import Change, Writer
from .loading import loading_of
from .means import Means
from .measuring import answer_lines, at_text, metric_lines
from .places import Places, keys_in_order
from .runs import Runs, prompt_lines
from .tensors import Tensors
from .text import comment, unbroken, wrapped


def words_of(metric: str, value: float, recovered: float, stderr: float = math.nan) -> str:
    """A measured run in the words of a script: ``logit_diff 2.3123   recovered 0.7420``."""
    share = "" if math.isnan(recovered) else f"   recovered {recovered:.4f}"
    error = "" if math.isnan(stderr) or not share else f" ± {stderr:.4f}"
    return f"{metric} {value:.4f}{share}{error}"


@dataclass(frozen=True)
class Script:
    """An edited run as text.

    Attributes:
        text: the whole script.
        notes: sentences for who runs it; they stand in it as comments too.
    """

    text: str
    notes: tuple[str, ...] = ()


def script_of(question: Question, result: Result, path: str | None = None, tensors: str | None = None) -> Script:
    """The edited run of a question as a script.

    Args:
        question: with the edits.
        result: what the run gave; the script says so at its top, and leaves out a share that there is none of.
        path: where the model is, in place of where it was loaded from.
        tensors: a file for numbers that are too many for a script; written where there are such.

    Raises:
        BadInput, SiteUnavailable: what cannot be written plainly, and why.
    """
    writing = _Writing(question, result, path, tensors)
    return Script(writing.text(), writing.loading.notes)


@dataclass
class _Writing:
    question: Question
    result: Result
    path: str | None
    file: str | None

    def __post_init__(self) -> None:
        question = self.question
        self.several = question.count > 1
        self.loading = loading_of(question.model, self.path)
        self.runs = Runs(question.count)
        self.means = Means(question, self.runs)
        self.tensors = Tensors(self.file)
        self.writer = Writer(question, self.runs, self.means, self.tensors)
        self.drawn = len(self.writer.draws)
        keys = keys_in_order(key for edit in question.edits for key in keys_of(question.model, edit))
        self.places = Places(question.model, question.batch(question.base), keys)
        self.changes = self.writer.changes()
        self.sequential = question.sequential
        self.metric = "measure" if question.user_metric is not None else question.metric
        self.shared = not math.isnan(self.result.recovered)

    def text(self) -> str:
        """The whole script."""
        blocks: list[str] = [self._title(), "\n".join(self._imports())]
        blocks.append("\n".join(self.loading.lines))
        blocks.append("\n".join(self._prompts()))
        functions = [text.strip("\n") for text in self._functions()]
        return "\n\n\n".join(["\n\n".join(blocks), *functions, self._last()]).rstrip("\n") + "\n"

    def _title(self) -> str:
        question, result = self.question, self.result
        count = len(question.edits)
        what = "One edit" if count == 1 else f"{count} edits" if count else "No edit"
        prompts = f"the {question.base} prompt" if not self.several else f"{question.count} {question.base} prompts"
        words = words_of(question.metric, result.metric, result.recovered, result.stderr if self.several else math.nan)
        model = question.model
        return "\n".join(
            [
                f'"""{what} of {model.architecture.family}, run on {prompts}.',
                "",
                f"mi-widgets {__version__} wrote this, and measured: {words}",
                '"""',
            ]
        )

    def _imports(self) -> list[str]:
        # What a function of the user's is annotated with may stand elsewhere.
        own = ["from __future__ import annotations", "", "from types import SimpleNamespace", ""]
        plain = own if self.metric == "measure" else []
        others = sorted({*self.loading.imports, *self.places.imports}, key=_module_first)
        merged = [line for line in others if line.startswith("from transformers import ")]
        names = sorted({line.removeprefix("from transformers import ") for line in merged})
        rest = [line for line in others if line not in merged]
        return [*plain, "import torch", f"from transformers import {', '.join(names)}", *rest]

    def _prompts(self) -> list[str]:
        question, lines = self.question, ["# Prompts and answers as token ids."]
        for run in question.unedited:
            prompts = question.batch(run).prompts
            lines.append(prompt_lines(run, prompts[0] if not self.several else prompts))
            lines += [line for line in (at_text(question, run)[1],) if line]
        return [*lines, *answer_lines(question), *self.runs.prompts]

    def _functions(self) -> list[str]:
        names = self.writer.helpers | self.means.helpers
        edits = bool(self.question.edits)
        found = [helpers.PLAIN_RUN]
        if edits:
            found = [helpers.RUN if not self.places.inside else helpers.RUN_INSIDE]
        if self.runs.runs or self.means.helpers:
            found.append(helpers.READ)
        for name, text in (
            ("mean_over", helpers.MEAN_OVER),
            ("mean_by_position", helpers.MEAN_BY_POSITION),
            ("turned", helpers.TURNED),
        ):
            if name in names:
                found.append(text)
        if self.sequential:
            found.append(helpers.WITHIN)
        found.append("\n".join(metric_lines(self.question)))
        return [*found, *self.places.texts]

    # What is run

    def _last(self) -> str:
        table = ["# Where the edits act.", "sites = {", *self.places.table, "}"] if self.places.table else []
        once = [*self.tensors.save(), *self.tensors.lines, *self.means.once]
        read = [*self.runs.lines(drawn=False), *self.means.each]
        given = self._given()
        head = [table, once, [] if given else read]
        top = ["\n\n".join("\n".join(lines) for lines in head if lines)]
        if not self.changes:
            return self._measured()
        if given:
            return "\n\n\n".join([*top, self._edits_of(given, read), self._measured()])
        edits = ["\n".join(change.lines) for change in self.changes]
        return "\n\n\n".join([*top, *edits, f"{self._listed('edits = [')}\n\n{self._measured()}"])

    def _edits_of(self, given: str, read: list[str]) -> str:
        """The function that gives the edits of a prompt or a draw."""
        what = " and ".join("prompt" if name == "p" else name for name in given.split(", "))
        body = [f'"""The edits of one {what}: a site and a change each."""', *read, *self.runs.lines(drawn=True)]
        for change in self.changes:
            body += ["", *change.lines]
        body += ["", self._listed("return [")]
        lines = "\n".join(body).split("\n")
        return "\n".join([f"def edits_of({given}):", *(f"    {line}" if line else "" for line in lines)])

    def _given(self) -> str:
        """What the edits depend on: the prompt, the draw, or neither."""
        return ", ".join(name for name, there in (("p", self.several), ("draw", self.drawn > 1)) if there)

    def _listed(self, head: str) -> str:
        ordered = sorted(self.changes, key=_place)
        text = wrapped(head, [item for change in ordered for item in change.items], "]")
        return text if len(ordered) == 1 else f"# In the order of the computation.\n{text}"

    def _run(self, run: str, edited: bool) -> str:
        """The metric of one prompt of a run, as an expression."""
        ids = f"{run}[p]" if self.several else run
        given = self._given()
        edits = "" if not edited or not self.changes else f", edits_of({given})" if given else ", edits"
        p = ", p" if self.several else ""
        if self.sequential:
            return f"logprob({ids}{p}{edits})"
        return f"{self.metric}(run({ids}{edits})[{at_text(self.question, run)[0]}]{p})"

    def _over(self, name: str, item: str, loop: str) -> str:
        return unbroken(f"{name} = torch.stack(", f"[{item} for {loop}]", ")")

    def _measured(self) -> str:
        question, lines = self.question, list[str]()
        unedited = [run for run in question.unedited if self.shared]
        if question.metric == "kl" or question.user_metric is not None:
            lines += self._references(metric_lines(question))
        count = f"p in range({question.count})"
        for run in unedited:
            item = self._run(run, edited=False)
            lines.append(self._over(f"{run}_values", item, count) if self.several else f"{run}_value = {item}")
        item = self._run(question.base, edited=True)
        if self.drawn > 1 and self.several:
            lines += [
                "values = []",
                f"for {count}:",
                unbroken("draws = [", f"{item} for draw in range({self.drawn})", "]", "    "),
                "    values.append(torch.stack(draws).mean())",
                "values = torch.stack(values)",
            ]
        elif self.drawn > 1:
            lines.append(self._over("values", item, f"draw in range({self.drawn})"))
        elif self.several:
            lines.append(self._over("values", item, count))
        else:
            lines.append(f"value = {item}")
        if self.drawn > 1 or self.several:
            lines.append("value = values.mean()")
        return "\n".join([*lines, *self._printed()])

    def _references(self, metric: Sequence[str]) -> list[str]:
        """The unedited logits that a metric compares with."""
        text, lines = "\n".join(metric), []
        for run in self.question.unedited:
            if f"{run}_logits" not in text:
                continue
            at = at_text(self.question, run)[0]
            ids = f"run({run}[p])[{at}]" if self.several else f"run({run})[{at}]"
            lines.append(
                f"{run}_logits = [{ids} for p in range({self.question.count})]"
                if self.several
                else f"{run}_logits = {ids}"
            )
        return lines

    def _printed(self) -> list[str]:
        name = self.question.metric.replace("{", "{{").replace("}", "}}")
        if not self.shared:
            why = []
            if self.question.corrupted is not None:
                why = [comment("Between these prompts there is no share: " + self._no_share())]
            return [*why, f'print(f"{name} {{value:.4f}}")']
        if not self.several:
            return [
                "recovered = (value - corrupted_value) / (clean_value - corrupted_value)",
                f'print(f"{name} {{value:.4f}}   recovered {{recovered:.4f}}")',
            ]
        count = self.question.count
        return [
            "gained, whole = values - corrupted_values, clean_values - corrupted_values",
            "recovered = gained.mean() / whole.mean()",
            "error = (gained - recovered * whole).square().sum()",
            f"error = (error / ({count} * ({count} - 1))).sqrt() / whole.mean().abs()",
            f'print(f"{name} {{value:.4f}}   recovered {{recovered:.4f}} ± {{error:.4f}}")',
        ]

    def _no_share(self) -> str:
        if self.question.metric == "rank":
            return "rank counts tokens."
        return "they differ by less than ten noise floors."


def _place(change: Change) -> int:
    """Hooks of one module act in the order in which they were put there: that of the computation."""
    return SITES.index(change.kind)


def _module_first(line: str) -> tuple[bool, str]:
    return not line.startswith("from transformers import "), line
