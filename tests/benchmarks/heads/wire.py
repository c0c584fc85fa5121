"""What a kernel sent to a page, read from the frames of JupyterLab's WebSocket, and how much of it is data."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_SCRIPTS = ("_esm", "_css")


@dataclass(frozen=True)
class Message:
    """One message of the kernel.

    Attributes:
        at: when it reached the page, in milliseconds of the page's clock.
        size: bytes of the whole frame.
        id: of the message.
        kind: of the Jupyter protocol, `comm_msg` and the like.
        content: what it says.
        buffers: sizes of the bytes beside it.
    """

    at: float
    size: int
    id: str
    kind: str
    content: dict[str, Any]
    buffers: tuple[int, ...]


def message_of(at: float, frame: bytes) -> Message:
    """A frame of the protocol `v1.kernel.websocket.jupyter.org`: offsets, then channel, four JSON parts, buffers."""
    count = int.from_bytes(frame[:8], "little")
    edges = [int.from_bytes(frame[8 * i : 8 * i + 8], "little") for i in range(1, count + 1)]
    parts = [frame[a:b] for a, b in itertools.pairwise(edges)]
    header, content = json.loads(parts[1]), json.loads(parts[4])
    return Message(
        at, len(frame), header.get("msg_id", ""), header["msg_type"], content, tuple(len(part) for part in parts[5:])
    )


def messages_of(told: Iterable[dict[str, Any]]) -> list[Message]:
    """The messages that a page noted and kept; see `probe.js`. What came over two connections counts once."""
    found: dict[str, Message] = {}
    for each in told:
        if each.get("base64"):
            message = message_of(each["at"], base64.b64decode(each["base64"]))
            found.setdefault(message.id or f"{len(found)}", message)
    return list(found.values())


def script_bytes(message: Message, scripts: Sequence[str] = ()) -> int:
    """How many bytes of a message are program text, as JSON writes it.

    Args:
        message: any.
        scripts: texts that are programs wherever they stand in an output.
    """
    state = message.content.get("data", {}).get("state", {}) if message.kind.startswith("comm_") else {}
    found = sum(_written(state[name]) for name in _SCRIPTS if isinstance(state.get(name), str))
    if message.kind in ("display_data", "execute_result"):
        for text in map(_joined, message.content.get("data", {}).values()):
            found += sum(_written(script) for script in scripts if script in text)
    return found


def data_bytes(messages: Iterable[Message], scripts: Sequence[str] = ()) -> int:
    """Bytes of messages without the program text in them."""
    return sum(message.size - script_bytes(message, scripts) for message in messages)


def carries_atlas(message: Message) -> bool:
    """Does the message hold thumbnails of heads: in the widget's state, or as a part of it?"""
    data = message.content.get("data", {}) if message.kind.startswith("comm_") else {}
    arrays = data.get("content", {}).get("arrays") or data.get("state", {}).get("atlas", {}).get("arrays") or {}
    return "thumbs" in arrays


def shows_widget(message: Message) -> bool:
    """Is it the output in which a widget is to be drawn?"""
    shown = message.content.get("data", {}) if message.kind in ("display_data", "execute_result") else {}
    return "application/vnd.jupyter.widget-view+json" in shown


def _written(text: str) -> int:
    """Bytes of a text inside a JSON string."""
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else text if isinstance(text, str) else ""
