"""The messages of the wire contract (tests/contract/README.md): read with suspicion, written in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mi_widgets.errors import BadInput, MiWidgetsError
from mi_widgets.jobs import Job, Progress

__all__ = [
    "PROTOCOL",
    "BadMessage",
    "Cancel",
    "Hello",
    "Request",
    "accepted",
    "cancelled",
    "done",
    "failed",
    "partial",
    "problem",
    "read",
    "running",
    "welcome",
]

PROTOCOL = 1
KERNEL = "k"
_CLIENT = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_ID = re.compile(r"([A-Za-z0-9_.:-]{1,64})-([0-9]{1,15})")
_NAME = re.compile(r"[a-z_.]{1,64}")
_RELOAD = "Reload the page; it may be older than the kernel."
LONGEST_MESSAGE = 1000
OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")


class BadMessage(BadInput):
    """A message that does not follow the contract; `request_id` is its id where one could be read."""

    def __init__(self, message: str, request_id: str | None = None) -> None:
        super().__init__(message, hint=_RELOAD)
        self.request_id = request_id


@dataclass(frozen=True)
class Hello:
    """A page says which revisions it has; None = it has just opened, and all of them are on their way to it."""

    client: str
    have: Mapping[str, int] | None = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A page asks for something; `params` are still unchecked."""

    id: str
    client: str
    op: str
    params: Mapping[str, Any]
    slot: str | None


@dataclass(frozen=True)
class Cancel:
    """A page wants a request, or work of the kernel, to stop."""

    id: str


def read(content: Any) -> Hello | Request | Cancel:
    """Checks the shape of a message from the page.

    Raises:
        BadMessage: it does not follow the contract, or speaks another version.
    """
    if not isinstance(content, dict):
        raise BadMessage(f"A message is an object, not {type(content).__name__}.")
    given = content.get("id")
    request_id = given if isinstance(given, str) and _ID.fullmatch(given) else None
    version, kind = content.get("v"), content.get("kind")
    if isinstance(version, bool) or version != PROTOCOL:
        raise BadMessage(f"The page speaks another version of the protocol than {PROTOCOL}.", request_id)
    if kind == "hello":
        return _hello(content)
    if kind not in ("request", "cancel"):
        raise BadMessage("The kind of a message is hello, request or cancel.", request_id)
    if request_id is None:
        raise BadMessage("The id of a message is <client>-<number>.")
    if kind == "cancel":
        return Cancel(request_id)
    return _request(content, request_id)


def _hello(content: Mapping[str, Any]) -> Hello:
    client, have = content.get("client"), content.get("have", {})
    if not isinstance(client, str) or not _CLIENT.fullmatch(client) or client == KERNEL:
        raise BadMessage("The client of a hello is 1 to 64 letters and digits.")
    if have is None:
        return Hello(client, None)
    if not isinstance(have, dict) or len(have) > 32:
        raise BadMessage("The `have` of a hello maps topics to revisions.")
    for topic, rev in have.items():
        if not isinstance(topic, str) or isinstance(rev, bool) or not isinstance(rev, int):
            raise BadMessage("The `have` of a hello maps topics to whole numbers.")
    return Hello(client, dict(have))


def _request(content: Mapping[str, Any], request_id: str) -> Request:
    client = request_id.rpartition("-")[0]
    name, params, slot = content.get("op"), content.get("params", {}), content.get("slot")
    if client == KERNEL:
        raise BadMessage("Ids that begin with k- are the kernel's own.")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadMessage("The op of a request is written noun.verb.", request_id)
    if not isinstance(params, dict) or len(params) > 32 or not all(isinstance(key, str) for key in params):
        raise BadMessage("The params of a request are an object of at most 32 entries.", request_id)
    if slot is not None and (not isinstance(slot, str) or not _NAME.fullmatch(slot)):
        raise BadMessage("The slot of a request is a name or null.", request_id)
    return Request(request_id, client, name, params, slot)


def _message(kind: str, **content: Any) -> dict[str, Any]:
    return {"v": PROTOCOL, "kind": kind, **content}


def welcome(
    client: str, epoch: str, revs: Mapping[str, int], snapshot: Mapping[str, Any], jobs: list[dict[str, Any]]
) -> dict[str, Any]:
    """The answer to a hello."""
    return _message("welcome", client=client, epoch=epoch, revs=dict(revs), snapshot=dict(snapshot), running=jobs)


def running(job: Job[Any]) -> dict[str, Any]:
    """A running job, for `welcome`."""
    progress = job.progress
    return {
        "id": job.id,
        "op": job.op,
        "done": progress.done if progress is not None else 0,
        "total": progress.total if progress is not None else 0,
    }


def accepted(request_id: str) -> dict[str, Any]:
    """The request is valid and queued."""
    return _message("accepted", id=request_id)


def partial(
    request_id: str, seq: int, progress: Progress | None, data: Mapping[str, Any], arrays: Mapping[str, Any]
) -> dict[str, Any]:
    """Some of the result, or how far it is."""
    shown = (
        None
        if progress is None
        else {
            "done": progress.done,
            "total": progress.total,
            "seconds_left": None if progress.seconds_left is None else round(progress.seconds_left, 3),
        }
    )
    return _message("partial", id=request_id, seq=seq, progress=shown, data=dict(data), arrays=dict(arrays))


def done(request_id: str, rev: int, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The result."""
    return _message("done", id=request_id, rev=rev, data=dict(data), arrays=dict(arrays))


def failed(request_id: str, error: BaseException) -> dict[str, Any]:
    """It went wrong: what, and what to do; never a traceback."""
    return _message("failed", id=request_id, **problem(error))


def cancelled(request_id: str, reason: str) -> dict[str, Any]:
    """It was stopped."""
    return _message("cancelled", id=request_id, reason=reason)


def problem(error: BaseException) -> dict[str, Any]:
    """An exception as the page shows it: {"error", "message", "hint", "retryable"}."""
    name = type(error).__name__
    if isinstance(error, MiWidgetsError):
        message, hint, retryable = error.message, error.hint, error.retryable
    elif name in OUT_OF_MEMORY:
        name, retryable = "OutOfMemory", True
        message, hint = "The work did not fit into memory.", "Free memory or use a shorter prompt, then try again."
    else:
        lines = str(error).strip().splitlines()
        message, retryable = f"{name}: {lines[0]}" if lines else f"{name}.", True
        hint = "The whole traceback is in widget.last_error and in the log `mi_widgets`."
    return {"error": name, "message": _cut(message), "hint": _cut(hint), "retryable": bool(retryable)}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"
