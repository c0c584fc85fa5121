"""`MiWidget`: what every widget of this package does the same way.

Synced state: `protocol`, `epoch`, `experiment`, `revs`, `question`, `status` are written by the kernel only, through
`publish`; `selection` is written by both sides. Work and large arrays travel as messages (see tests/contract).
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import traitlets as t

from mi_widgets.errors import MiWidgetsError
from mi_widgets.interventions.sites import Site
from mi_widgets.jobs import Job, Priority
from mi_widgets.widgets import fallback, messages
from mi_widgets.widgets.arrays import bundle
from mi_widgets.widgets.assets import asset
from mi_widgets.widgets.channel import Channel
from mi_widgets.widgets.experiments import experiment_of
from mi_widgets.widgets.ops import Op, Params, Reply, Task, ops_of
from mi_widgets.widgets.traits import LockedTraits, Selection
from mi_widgets.widgets.words import SHARED

__all__ = ["MiWidget"]

logger = logging.getLogger("mi_widgets")

W = TypeVar("W", bound="MiWidget")
EMPTY: Mapping[str, Any] = {
    "state": "empty",
    "op": None,
    "job": None,
    "done": 0,
    "total": 0,
    "seconds_left": None,
    "error": None,
}


class MiWidget(LockedTraits):
    """A live view of an experiment.

    Args:
        *args: an `Experiment`; or a model and a prompt; or a transformers model, its tokenizer and a prompt.
        layout: the ipywidgets layout.
        **kwargs: with a model: what `Experiment` takes (`corrupted`, `answer`, ...).

    Attributes:
        selection: tuple of `Site`, shared by all views of the experiment; assign sites or texts to select.
        last_error: what went wrong last with nobody to tell, or None.
    """

    bundle_name: ClassVar[str] = ""
    """The built files are `<bundle_name>.js` and `<bundle_name>.css`."""
    words_of_its_own: ClassVar[Mapping[str, str]] = {}
    """Cards beside those that every widget has."""
    topics: ClassVar[tuple[str, ...]] = ("question",)
    """Traits that a page can fall behind on: each has a revision in `revs`."""

    _esm = t.Unicode().tag(sync=True)
    _css = t.Unicode().tag(sync=True)
    protocol = t.Int(messages.PROTOCOL, read_only=True).tag(sync=True)
    epoch = t.Unicode(read_only=True).tag(sync=True)
    experiment = t.Unicode(read_only=True).tag(sync=True)
    words = t.Dict(read_only=True).tag(sync=True)
    revs = t.Dict(read_only=True).tag(sync=True)
    question = t.Dict(read_only=True).tag(sync=True)
    status = t.Dict(read_only=True).tag(sync=True)
    selection = Selection()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Closed until it is whole: __del__ closes what a failed constructor leaves.
        self._closed = True
        self._exp: Any = None
        self._failure: BaseException | None = None
        self._route: contextvars.Context | None = None
        self._kernel_ids = itertools.count(1)
        self._ops: dict[str, Op] = ops_of(type(self))
        self._channel = Channel(self._send_message, self.trouble)
        self._stop_observing: Callable[[], None] = lambda: None
        exp, layout = experiment_of(type(self).__name__, args, kwargs)
        self._exp = exp
        self.set_trait("epoch", uuid.uuid4().hex)
        self.set_trait("experiment", exp.id)
        self.set_trait("status", dict(EMPTY))
        self.set_trait("revs", {topic: int(topic == "question") for topic in self.topics})
        self.set_trait("question", self.asked())
        self.set_trait("selection", exp.selection)
        # Opens the comm, with all of the above in its first message.
        super().__init__(**layout)
        self._closed = False
        self._stop_observing = exp.observe(self._follow)
        self._catch_up()

    @t.default("_esm")
    def _built_script(self) -> str:
        return asset(f"{self.bundle_name}.js")

    @t.default("_css")
    def _built_style(self) -> str:
        return asset(f"{self.bundle_name}.css")

    @t.default("words")
    def _all_words(self) -> dict[str, str]:
        return {**SHARED, **self.words_of_its_own}

    # State

    def publish(self, **changes: Any) -> None:
        """Sets kernel-written traits: the only place that does. Topics among them rise in `revs`."""
        with self.exclusive():
            if self._closed:
                return
            raised = {name: self.revs.get(name, 0) + 1 for name in changes if name in self.topics}
            with self.hold_sync():
                for name, value in changes.items():
                    self.set_trait(name, value)
                if raised:
                    self.set_trait("revs", {**self.revs, **raised})

    def _catch_up(self) -> None:
        """Takes over what another thread changed between the first look at the experiment and observing it."""
        if self.asked() != self.question:
            self._follow("question")
        self._mirror_selection()

    def _follow(self, topic: str) -> None:
        """Called by the experiment, on any thread, with no lock held."""
        if self._closed:
            return
        try:
            if topic == "selection":
                self._mirror_selection()
            else:
                with self.exclusive():
                    self.publish(question=self.asked())
                self.question_changed(topic)
        except Exception as error:
            self.trouble(error, f"following a change of the {topic}")

    def asked(self) -> dict[str, Any]:
        """The question as it is now, as `question` holds it."""
        found: dict[str, Any] = self._exp.question()
        return found

    def refresh_question(self) -> None:
        """Publishes the question where more is known about it than was."""
        with self.exclusive():
            now = self.asked()
            if now != self.question:
                self.publish(question=now)

    def question_changed(self, topic: str) -> None:
        """What a widget does when the question or the edits have changed."""

    def check_op(self, name: str) -> None:
        """Raises when this widget cannot do what an op asks for, whatever its parameters are."""

    def check_selection(self, sites: tuple[Site, ...]) -> None:
        """Raises unless the experiment has these sites."""
        for site in sites:
            self._exp.check_site(site)

    def _mirror_selection(self) -> None:
        with self.exclusive():
            # Not the value that was notified: of two changes in a row the later one counts, whoever comes last.
            if not self._closed and self.selection != self._exp.selection:
                self.selection = self._exp.selection

    @t.observe("selection")
    def _selection_changed(self, change: Any) -> None:
        if self._exp is not None and not self._closed and self._exp.selection != change["new"]:
            self._exp.selection = change["new"]

    # Messages

    def _send(self, msg: Any, buffers: Any = None) -> None:
        # ipykernel 7.4 routes a widget's next message to where the kernel last published on its comm, and reads that
        # from the context of the message being handled; a worker, or a busy cell, has another one. Sending inside the
        # context of the page's last message keeps a cancel off the busy main thread (measured 3.6 s late otherwise).
        route = self._route
        if route is None:
            super()._send(msg, buffers=buffers)
        else:
            # A copy: one context cannot be entered by two threads at a time.
            route.copy().run(super()._send, msg, buffers=buffers)

    def _send_message(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        with self.exclusive():
            if not self._closed:
                self.send(content, buffers=buffers or None)

    def _handle_msg(self, msg: Any) -> None:
        self._route = contextvars.copy_context()
        try:
            with self.exclusive():
                self._receive(msg)
        except Exception as error:
            # ipywidgets would swallow it.
            self.trouble(error, "handling a message")

    def _receive(self, msg: Any) -> None:
        data = msg["content"]["data"]
        method = data.get("method")
        if method == "update":
            self._take_state(data.get("state", {}))
        elif method == "request_state":
            self.send_state()
        elif method == "custom":
            self._take_message(data.get("content"))
        else:
            logger.warning("%s: a message of unknown method was dropped", type(self).__name__)

    def _take_state(self, state: Mapping[str, Any]) -> None:
        """The page writes `selection`; whatever else it claims to be is not taken over."""
        if not isinstance(state, dict) or "selection" not in state:
            return
        try:
            self.selection = state["selection"]
        except MiWidgetsError as error:
            self._refuse(error)
            self.send_state("selection")

    def _take_message(self, content: Any) -> None:
        try:
            message = messages.read(content)
        except messages.BadMessage as error:
            self._refuse(error)
            if error.request_id is not None and not self._channel.knows(error.request_id):
                self._send_message(messages.failed(error.request_id, error), [])
            return
        if isinstance(message, messages.Hello):
            self._welcome(message)
        elif isinstance(message, messages.Cancel):
            self._channel.cancel(message.id)
        elif self._channel.knows(message.id):
            # Answering it would answer the first request of that id.
            logger.warning("%s: request %s was sent twice; the second was dropped", type(self).__name__, message.id)
        else:
            self._take_request(message)

    def _refuse(self, error: MiWidgetsError) -> None:
        self.last_error = error
        logger.warning("%s: refused: %s", type(self).__name__, error)

    def _welcome(self, hello: messages.Hello) -> None:
        buffers: list[bytes] = []
        have = self.revs if hello.have is None else hello.have
        snapshot = {
            topic: _on_wire(getattr(self, topic), buffers)
            for topic in self.topics
            if self.revs[topic] > 0 and have.get(topic) != self.revs[topic]
        }
        jobs = self._channel.running()
        self._send_message(messages.welcome(hello.client, self.epoch, self.revs, snapshot, jobs), buffers)

    def _take_request(self, request: messages.Request) -> None:
        try:
            op = self._ops.get(request.op)
            if op is None:
                raise messages.BadMessage(f"There is no op {request.op!r}.", request.id)
            if request.slot not in (None, op.slot):
                raise messages.BadMessage(f"{op.name} belongs into the slot {op.slot!r}.", request.id)
            self.check_op(op.name)
            answer: Task | Reply = getattr(self, op.method)(Params(request.params, op.name))
        except MiWidgetsError as error:
            self._refuse(error)
            self._send_message(messages.failed(request.id, error), [])
            return
        except Exception as error:
            self.trouble(error, request.op)
            self._send_message(messages.failed(request.id, error), [])
            return
        if isinstance(answer, Reply):
            buffers: list[bytes] = []
            entries = bundle(answer.arrays, buffers)
            self._send_message(messages.accepted(request.id), [])
            self._send_message(messages.done(request.id, answer.rev, answer.data, entries), buffers)
            return
        slot = None if request.slot is None else (self.epoch, request.client, request.slot)
        scheduler = answer.scheduler or self._exp.scheduler
        self._channel.start(scheduler, request.id, op.name, answer, priority=op.priority, slot=slot)

    # Work

    def begin(self, op: str, task: Task, *, priority: Priority, slot: str) -> Job[Any]:
        """Starts work that no page asked for; `status` says how it goes. A newer one in the slot supersedes it."""
        with self.exclusive():
            request_id = f"{messages.KERNEL}-{next(self._kernel_ids)}"
            self._failure = None
            self.publish(status={**EMPTY, "state": "running", "op": op, "job": request_id})
            return self._channel.start(
                task.scheduler or self._exp.scheduler,
                request_id,
                op,
                task,
                priority=priority,
                slot=(self.epoch, messages.KERNEL, slot),
                settled=self._begun_settled,
            )

    def _begun_settled(self, job: Job[Any], error: BaseException | None) -> None:
        with self.exclusive():
            # A newer job has taken the status over.
            if self.status.get("job") != job.id:
                return
            self._failure = error
            total = job.progress.total if job.progress is not None else 0
            finished = job.progress.done if job.progress is not None else 0
            state = {**EMPTY, "op": job.op, "job": job.id, "done": finished, "total": total}
            if error is None:
                self.publish(status={**state, "state": "idle"})
            else:
                self.publish(status={**state, "state": "failed", "error": messages.problem(error)})

    def recover(self) -> None:
        """Takes a failure back: a page has asked again, and it went well."""
        with self.exclusive():
            self._failure = None
            if self.status.get("state") == "failed":
                self.publish(status={**EMPTY, "state": "idle"})

    @property
    def result(self) -> Any:
        """What is shown, as a result object; None before the first."""
        return None

    def wait(self: W, timeout: float | None = None) -> W:
        """Waits until the widget has no work left.

        Args:
            timeout: seconds; None = for ever.

        Returns:
            The widget, so that `AttentionHeads(exp).wait().result` reads well.

        Raises:
            TimeoutError: it still works.
            Cancelled: the widget's own work was cancelled.
            Exception: what the widget's own work raised.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while jobs := self._awaited():
            for job in jobs:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                try:
                    job.wait(left)
                except Exception:
                    # What a page asked for is answered there; the widget's own failure is raised below.
                    if not job.settled:
                        raise
        if self._failure is not None:
            raise self._failure
        return self

    @property
    def working(self) -> bool:
        """True while the widget has work left."""
        return bool(self._awaited())

    def _awaited(self) -> list[Job[Any]]:
        # On the worker, perhaps in an observer of this very widget, a settled job is one whose end is being told
        # further up this stack: it cannot get further before this returns.
        here = self.on_worker()
        return [job for job in self._channel.jobs if not (here and job.settled)]

    def on_worker(self) -> bool:
        """True on a thread that does this widget's work."""
        found: bool = self._exp.scheduler.on_worker()
        return found

    def cancel(self) -> None:
        """Stops all work of the widget; what is shown stays."""
        self._channel.cancel_all("user")

    def close(self) -> None:
        """Ends the widget: its work stops, its views go, and it lets go of the experiment."""
        # Also runs from __del__, perhaps of an object whose constructor has raised.
        if getattr(self, "_closed", True):
            return
        self._stop_observing()
        self._channel.cancel_all("closed")
        with self.exclusive():
            self._closed = True
            super().close()
            self.unobserve_all()
            self._later.clear()

    # Without a kernel

    def static_picture(self) -> bytes | None:
        """A PNG of what is shown, for readers without a kernel; None where there is nothing to draw."""
        return None

    def static_text(self) -> str:
        """What is shown, in words."""
        return type(self).__name__

    def _ipython_display_(self, **kwargs: Any) -> None:
        """Shows the widget at once where its picture may follow; elsewhere IPython asks for the whole bundle."""
        found = super()._repr_mimebundle_() if fallback.may_follow() and not self._closed else None
        if found is None:
            # IPython's word for "not this way".
            raise NotImplementedError
        fallback.show(self, *found)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        found = super()._repr_mimebundle_(**kwargs)
        return found if found is None else fallback.complete(self, *found)


def _on_wire(value: Mapping[str, Any], buffers: list[bytes]) -> dict[str, Any]:
    """A topic's trait as it stands in a message: arrays by `buffer` in place of `data`."""
    # Of a question it is a fact: whether the widget was made from arrays.
    if not isinstance(value.get("arrays"), dict):
        return dict(value)
    entries = {}
    for name, entry in value["arrays"].items():
        entries[name] = {key: part for key, part in entry.items() if key != "data"} | {"buffer": len(buffers)}
        buffers.append(entry["data"])
    return {**value, "arrays": entries}
