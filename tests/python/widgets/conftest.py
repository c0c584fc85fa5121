"""A page without a browser: a comm that records, a question with canned answers, and no swallowed exceptions."""

from __future__ import annotations

import itertools
import json
import logging
import math
import threading
from types import SimpleNamespace

import comm
import numpy as np
import pytest
import torch
from comm.base_comm import BaseComm

from mi_widgets.analysis.attention import Atlas, AtlasPart
from mi_widgets.analysis.scores import HeadScore
from mi_widgets.errors import AnswerNotSingleToken, BadInput, SiteUnavailable
from mi_widgets.interventions.sites import Site
from mi_widgets.jobs import Scheduler
from mi_widgets.results import Progress, Provenance
from mi_widgets.widgets import AttentionHeads, arrays, assets, attention_heads
from mi_widgets.widgets.channel import RateLimit

LIMIT = 120.0


class RecordingComm(BaseComm):
    """Records what the kernel publishes, and checks that it is JSON and bytes."""

    def __init__(self, *args, **kwargs):
        self.sent = []
        self.changed = threading.Condition()
        super().__init__(*args, **kwargs)

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **_):
        copied = json.loads(json.dumps(data, allow_nan=False))
        chunks = [bytes(buffer) for buffer in buffers or []]
        with self.changed:
            self.sent.append(SimpleNamespace(type=msg_type, data=copied, buffers=chunks, metadata=metadata))
            self.changed.notify_all()


class Page:
    """One browser tab of a widget: sends what a page sends, and reads what reaches it."""

    def __init__(self, widget, client="tab"):
        self.widget, self.client = widget, client
        self.comm = widget.comm
        self._numbers = itertools.count(1)

    def deliver(self, data):
        """What the kernel does with a message from this page."""
        message = {"content": {"data": json.loads(json.dumps(data))}, "buffers": []}
        self.comm.handle_msg(message)

    def send(self, content):
        self.deliver({"method": "custom", "content": content})

    def request(self, op, slot=None, **params):
        request_id = f"{self.client}-{next(self._numbers)}"
        self.send({"v": 1, "kind": "request", "id": request_id, "op": op, "params": params, "slot": slot})
        return request_id

    def cancel(self, request_id):
        self.send({"v": 1, "kind": "cancel", "id": request_id})

    def hello(self, have=None):
        before = len(self.messages("welcome"))
        self.send({"v": 1, "kind": "hello", "client": self.client, "have": have or {}})
        return self.messages("welcome")[before]

    def unlimited(self):
        """From now on every partial reply goes out, however fast they come."""
        seconds = itertools.count()
        self.widget._channel._limit = RateLimit(clock=lambda: next(seconds))

    def messages(self, kind=None, request_id=None):
        """Custom messages so far, each with `.content` and `.buffers`."""
        with self.comm.changed:
            sent = list(self.comm.sent)
        found = [
            SimpleNamespace(content=m.data["content"], buffers=m.buffers)
            for m in sent
            if m.data.get("method") == "custom"
        ]
        return [m for m in found if kind in (None, m.content["kind"]) and request_id in (None, m.content.get("id"))]

    def wait_for(self, condition):
        """Waits until condition() is true; it is looked at after each message."""
        with self.comm.changed:
            assert self.comm.changed.wait_for(condition, LIMIT), [m.data for m in self.comm.sent][-5:]

    def answer(self, request_id):
        """The final reply to a request."""
        final = ("done", "failed", "cancelled")

        def found():
            return [m for m in self.messages(request_id=request_id) if m.content["kind"] in final]

        self.wait_for(found)
        assert len(found()) == 1
        return found()[0]

    def states(self, name):
        """Every value of a trait that was sent, in order, the one of the opening included."""
        with self.comm.changed:
            sent = list(self.comm.sent)
        return [m.data["state"][name] for m in sent if name in m.data.get("state", {})]


def decoded(message, name):
    """An array of a message, as numbers."""
    entry = message.content["arrays"][name]
    return arrays.decode(entry, message.buffers[entry["buffer"]])


class Swallowed(logging.Handler):
    """Collects exceptions that had no caller to go to."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.errors = []
        self.expected = ()

    def emit(self, record):
        if record.exc_info and record.exc_info[1] is not None:
            self.errors.append(record.exc_info[1])

    def expect(self, *types):
        """From now on these are part of the test."""
        self.expected = types


@pytest.fixture(autouse=True)
def swallowed():
    """Raises at the end of a test what ipywidgets, a comm or the widget itself swallowed meanwhile."""
    handler = Swallowed()
    names = ("mi_widgets", "traitlets", "Comm")
    for name in names:
        logging.getLogger(name).addHandler(handler)
    yield handler
    for name in names:
        logging.getLogger(name).removeHandler(handler)
    for error in handler.errors:
        if not isinstance(error, handler.expected):
            raise error


@pytest.fixture(autouse=True)
def recording(monkeypatch):
    """Every widget of a test opens a comm that records."""
    monkeypatch.setattr(comm, "create_comm", RecordingComm)


@pytest.fixture(autouse=True)
def bundle(monkeypatch, tmp_path):
    """A front end to load: these tests are about the kernel's side, with or without a built bundle."""
    (tmp_path / "attention-heads.js").write_text("export default {};\n")
    (tmp_path / "attention-heads.css").write_text(".mi { color: inherit }\n")
    monkeypatch.setattr(assets, "STATIC", tmp_path)
    return tmp_path


@pytest.fixture
def page_of():
    """Makes pages, and closes their widgets at the end."""
    pages = []

    def make(widget, client="tab"):
        pages.append(Page(widget, client))
        return pages[-1]

    yield make
    for page in pages:
        page.widget.close()


# A question with canned answers: 2 layers x 2 heads, prompts of 4 tokens, layer 1 without attention on request.

LABELS = {"clean": ["‹bos›", "␣a", "␣b", "␣a"], "corrupted": ["‹bos›", "␣a", "␣b", "␣b"]}
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


class FakeModel(SimpleNamespace):
    def require(self, kind, layer=None):
        if layer in self.without:
            raise SiteUnavailable(f"layer {layer} of toy has no pattern: it is recurrent.", hint="Look at layer 0.")


class FakeQuestion(SimpleNamespace):
    def one(self, prompt):
        assert prompt == 0
        return self

    def batch(self, run):
        name = self.base if run == "edited" else run
        if name == "corrupted" and not self.has_corrupted:
            raise BadInput("There is no corrupted prompt.", hint="Give the experiment one.")
        return SimpleNamespace(lengths=(self.length,))


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
        self.asked, self.observers, self._selection = [], [], ()

    def snapshot(self):
        return FakeQuestion(
            rev=self.rev, model=self.model, base=self.base, has_corrupted=self.has_corrupted, length=self.length
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
            "edits": [],
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

    def atlas_steps(self, question, run, side_limit):
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
        names = ("previous", "duplicate", "first", "entropy", "logit_effect")
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

    def window_steps(self, question, run, heads, dest, src, side):
        self.started.append(("window", run, question.rev))
        found = []
        try:
            for done, (layer, head) in enumerate(heads, start=1):
                self._chunk()
                whole = canned_pattern(layer, head, run, question.length)[dest[0] : dest[1], src[0] : src[1]]
                found.append(torch.tensor(whole[:side, :side]))
                yield Progress(done, len(heads))
        finally:
            self.closed += 1
        return torch.stack(found)


@pytest.fixture
def analysis(monkeypatch):
    canned = Analysis()
    monkeypatch.setattr(attention_heads, "atlas_steps", canned.atlas_steps)
    monkeypatch.setattr(attention_heads, "window_steps", canned.window_steps)
    yield canned
    if canned.gate is not None:
        canned.let(10_000)


@pytest.fixture
def experiment():
    """Makes experiments with canned answers."""
    return FakeExperiment


@pytest.fixture
def heads(analysis, page_of):
    """Makes an AttentionHeads on a canned experiment, finished, with a page."""

    def make(**options):
        page = page_of(AttentionHeads(FakeExperiment(**options)))
        page.exp = page.widget._exp
        page.widget.wait(LIMIT)
        return page

    return make


@pytest.fixture
def canned():
    """The numbers behind the canned answers, and how to read them from a message."""
    return SimpleNamespace(pattern=canned_pattern, decoded=decoded, limit=LIMIT)
