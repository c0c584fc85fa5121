"""A browser tab without a browser: what a page sends, and what reaches it."""

from __future__ import annotations

import itertools
import json
import threading
from types import SimpleNamespace

from comm.base_comm import BaseComm

from mi_widgets.widgets import arrays
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
        self.widget._channel._quick = 0.0

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
