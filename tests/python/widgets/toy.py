"""A question with canned answers: 2 layers x 2 heads, prompts of 4 tokens, layer 1 without attention on request."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace

import numpy as np
import torch

from mi_widgets.analysis.attention import Atlas, AtlasPart
from mi_widgets.analysis.scores import HeadScore
from mi_widgets.analysis.writes import HeadWrites
from mi_widgets.errors import AnswerNotSingleToken, BadInput, SiteUnavailable
from mi_widgets.experiment.edit_list import EditList
from mi_widgets.experiment.effect import Effect, TokenShift
from mi_widgets.experiment.wire import edits_on_wire
from mi_widgets.interventions.sites import Site
from mi_widgets.interventions.writes import keys_of
from mi_widgets.jobs import Scheduler
from mi_widgets.results import Progress, Provenance
from tests.python.widgets.page import LIMIT

LABELS = {"clean": ["‹bos›", "␣a", "␣b", "␣a"], "corrupted": ["‹bos›", "␣a", "␣b", "␣b"]}
VALUE = 8.0
"""How much larger value-weighted cells are than attention."""

IDS = {"clean": [0, 5, 6, 5], "corrupted": [0, 5, 6, 6]}


def canned_pattern(layer, head, run, length=4):
    """[dest, src]: rows sum to 1, different for each head and run."""
    if run == "difference":
        return canned_pattern(layer, head, "clean", length) - canned_pattern(layer, head, "corrupted", length)
    dest = np.arange(length)[:, None]
    src = np.arange(length)[None, :]
    shift = {"clean": 1, "corrupted": 2, "edited": 3}[run]
    raw = np.where(src <= dest, 1.0 + (src * (layer + 1) + dest * (head + 2) + shift) % 5, 0.0)
    return (raw / raw.sum(-1, keepdims=True)).astype(np.float32)


class FakeText:
    def label(self, token):
        return f"␣t{token}"


class FakeModel(SimpleNamespace):
    text = FakeText()

    def refresh(self):
        """Nothing changes here."""

    def require(self, kind, layer=None):
        if layer in self.without:
            raise SiteUnavailable(f"layer {layer} of toy has no pattern: it is recurrent.", hint="Look at layer 0.")


class FakeTokens(SimpleNamespace):
    def __len__(self):
        return len(self.ids)


class FakeBatch(SimpleNamespace):
    def __len__(self):
        return len(self.prompts)


class FakeQuestion(SimpleNamespace):
    def one(self, prompt):
        assert prompt == 0
        return self

    @property
    def unedited(self):
        return ("clean", "corrupted") if self.has_corrupted else ("clean",)

    @property
    def clean(self):
        return self.batch("clean")

    @property
    def corrupted(self):
        return self.batch("corrupted") if self.has_corrupted else None

    def batch(self, run):
        name = self.base if run == "edited" else run
        if name == "corrupted" and not self.has_corrupted:
            raise BadInput("There is no corrupted prompt.", hint="Give the experiment one.")
        ids = (IDS[name] * (self.length // 4 + 1))[: self.length]
        return FakeBatch(lengths=(self.length,), prompts=(FakeTokens(ids=tuple(ids)),))


class FakeExperiment:
    """Stands for an experiment: the same surface, answers known in advance."""

    def __init__(self, corrupted=True, length=4, layers=2, heads=2, without=()):
        self.id, self.rev = "exp-1", 1
        self.scheduler = Scheduler("toy")
        self.model = FakeModel(name="toy", n_layers=layers, n_heads=heads, n_kv_heads=1, without=tuple(without))
        self.has_corrupted, self.length = corrupted, length
        self.texts = {"clean": " a b a", "corrupted": " a b b"}
        self.answers = {"answer": " a", "distractor": " b"}
        self.metric, self.base = "logit_diff", "corrupted" if corrupted else "clean"
        self.tried, self.asked, self.observers, self._selection = [], [], [], ()
        self.edits = EditList(self.check_edit, self.edited, lambda: self.base, lambda base: self.ask(base=base))

    def check_edit(self, edit, base=None):
        keys_of(self.model, edit)
        self.snapshot(base=base)

    def edited(self):
        self.rev += 1
        self.notify("edits")

    def snapshot(self, edits=None, base=None):
        question = FakeQuestion(
            rev=self.rev,
            model=self.model,
            base=base or self.base,
            has_corrupted=self.has_corrupted,
            length=self.length,
            metric=self.metric,
            edits=self.edits.enabled if edits is None else tuple(edits),
        )
        question.batch(question.base)
        return question

    def effect_steps(self, question, edits, prompt=0):
        """As if the edits had taken most of the effect away."""
        yield Progress(1, 2)
        self.tried.append((question.base, question.edits, tuple(edits)))
        share = 0.25 if question.base == "clean" else 0.5
        return Effect(
            before=4.0,
            after=1.0,
            recovered=share,
            destroyed=1 - share if question.base == "clean" else math.nan,
            tokens=(TokenShift(6, "␣b", 0.25, 0.625, 1, 0), TokenShift(5, "␣a", 0.5, 0.125, 0, 1)),
            notes=("a note",),
            base=question.base,
            clean=4.0,
            corrupted=math.nan,
            result=SimpleNamespace(
                provenance=Provenance("toy", "float32", "cpu", "sdpa", "", "one forward pass", 6.125, 1e-05)
            ),
        )

    def measure_steps(self):
        """The unedited runs stay unmeasured here."""
        yield

    def ask(self, **changes):
        for name in ("answer", "distractor"):
            if changes.get(name) == " New York":
                raise AnswerNotSingleToken(
                    "The answer ' New York' is 2 tokens: ['␣New', '␣York'].", hint="Give one token."
                )
        self.asked.append(changes)
        self.texts |= {k: v for k, v in changes.items() if k in self.texts}
        self.answers |= {k: v for k, v in changes.items() if k in self.answers}
        self.metric = changes.get("metric", self.metric)
        self.base = changes.get("base", self.base) if self.has_corrupted else "clean"
        self.rev += 1
        self.notify("question")
        return self.rev

    def observe(self, callback):
        self.observers.append(callback)
        return lambda: self.observers.remove(callback)

    def notify(self, topic):
        for callback in list(self.observers):
            callback(topic)

    @property
    def selection(self):
        return self._selection

    @selection.setter
    def selection(self, sites):
        new = tuple(site if isinstance(site, Site) else Site.parse(site) for site in sites)
        for site in new:
            self.check_site(site)
        if new != self._selection:
            self._selection = new
            self.notify("selection")

    def check_site(self, site):
        for value, end in ((site.layer, self.model.n_layers), (site.head, self.model.n_heads)):
            if value is not None and value >= end:
                raise BadInput(f"{site} is not in this model.", hint="")
        for value in (site.position, site.src):
            if value is not None and not -self.length <= value < self.length:
                raise BadInput(f"{site} is not in the prompt.", hint="")

    def question(self):
        def prompt(run):
            labels = (LABELS[run] * (self.length // 4 + 1))[: self.length]
            ids = (IDS[run] * (self.length // 4 + 1))[: self.length]
            return {"text": self.texts[run], "ids": ids, "labels": labels, "special": [0]}

        def answer(name, token):
            text = self.answers[name]
            if text is None:
                return {"texts": [" a"], "labels": ["␣a"], "ids": [5], "guessed": True}
            return {"texts": [text], "labels": [text.replace(" ", "␣")], "ids": [token], "guessed": False}

        return {
            "rev": self.rev,
            "title": None,
            "arrays": False,
            "compare": None,
            "model": {
                "name": "toy",
                "n_layers": self.model.n_layers,
                "n_heads": self.model.n_heads,
                "n_kv_heads": 1,
                "d_model": 8,
                "dtype": "float32",
                "device": "cpu",
                "missing": {},
            },
            "prompts": {"clean": prompt("clean"), "corrupted": prompt("corrupted") if self.has_corrupted else None},
            "prompt": 0,
            "n_prompts": 1,
            "answer": answer("answer", 5),
            "distractor": answer("distractor", 6),
            "metric": self.metric,
            "metric_label": "logit difference",
            "metrics": [["logit_diff", "logit difference"], ["prob", "probability"]],
            "base": self.base,
            "answer_position": self.length - 1,
            "edits": edits_on_wire(self.snapshot(), self.edits.entries),
            "history": self.edits.history,
            "baselines": None,
            "warnings": [],
        }


class Analysis:
    """The canned answers as jobs: one chunk per layer or head; a gate can hold each chunk back."""

    def __init__(self):
        self.chunks = 0
        self.started = []
        self.closed = 0
        self.gate = None
        self.fail = None

    def hold(self):
        """From now on each chunk waits until `let` allows it."""
        self.gate = threading.Semaphore(0)

    def let(self, n=1):
        for _ in range(n):
            self.gate.release()

    def _chunk(self):
        if self.gate is not None:
            assert self.gate.acquire(timeout=LIMIT)
        self.chunks += 1
        if self.fail is not None:
            raise self.fail

    def atlas_steps(self, question, run, side_limit, *, masks=None, other=None):
        self.started.append(("atlas", run, question.rev))
        layers, heads, length = question.model.n_layers, question.model.n_heads, question.length
        side = min(length, side_limit)
        thumbs = torch.full((layers, heads, side, side), math.nan)
        try:
            for layer in range(layers):
                self._chunk()
                if layer not in question.model.without:
                    for head in range(heads):
                        thumbs[layer, head] = torch.tensor(canned_pattern(layer, head, run, length)[:side, :side])
                yield AtlasPart((layer, layer + 1), thumbs[layer : layer + 1])
                yield Progress(layer + 1, layers)
        finally:
            self.closed += 1
        values = torch.arange(layers * heads).reshape(layers, heads) / (layers * heads)
        empty = torch.full((layers, heads), math.nan)
        names = ("previous", "duplicate", "first", "entropy", "logit_effect", *(masks or {}))
        scores = {name: HeadScore(name, f"card of {name}", "source", values, values, 3, None) for name in names}
        why = "no repeated token here: use random tokens"
        scores["induction"] = HeadScore("induction", "card", "source", empty, empty, 0, why)
        return Atlas(
            rev=question.rev,
            run=run,
            thumbs=thumbs,
            side=side,
            positions=length,
            scores=scores,
            missing=dict.fromkeys(question.model.without, "it is recurrent"),
            forward_ms=1.25,
            provenance=Provenance("toy", "float32", "cpu", "sdpa", recomputed=f"{layers} x {heads} patterns"),
        )

    def window_steps(self, question, run, heads, dest, src, side, *, weighting="attention", other=None):
        self.started.append(("window", run, question.rev))
        found = []
        try:
            for done, (layer, head) in enumerate(heads, start=1):
                self._chunk()
                size = VALUE if weighting == "value" else 1
                whole = size * canned_pattern(layer, head, run, question.length)[dest[0] : dest[1], src[0] : src[1]]
                found.append(torch.tensor(whole[:side, :side]))
                yield Progress(done, len(heads))
        finally:
            self.closed += 1
        return torch.stack(found)

    def edge_steps(self, question, run, dest, src, weighting="attention", *, other=None):
        self.started.append(("edge", run, question.rev))
        self._chunk()
        yield Progress(1, 1)
        layers, heads = range(question.model.n_layers), range(question.model.n_heads)
        cells = [[float(canned_pattern(layer, h, run)[dest, src]) for h in heads] for layer in layers]
        values = torch.tensor(cells)
        return HeadScore(f"cell {dest}<{src}", f"card of {weighting}", "source", values, values, None, None)

    def random_scores_steps(self, question):
        self.started.append(("random", None, question.rev))
        self._chunk()
        yield Progress(1, 1)
        values = torch.tensor([[0.5, 0.25], [0.125, 0.0]])
        names = ("induction_random", "duplicate_random", "previous_random")
        return {name: HeadScore(name.replace("_", " "), "card", "source", values, values, 25, None) for name in names}

    def head_writes(self, question, run, layer, head, position, k):
        self.started.append(("writes", run, question.rev))
        up, down = ((5, " a", 1.5), (6, " b", 0.25)), ((7, " c", -2.0), (8, " d", -0.5))
        return HeadWrites(run, layer, head, position, up[:k], down[:k], 0.75, Provenance("toy", "float32", "cpu", ""))
