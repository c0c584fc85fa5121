"""What a notebook shows where the widget cannot live: untrusted, on a web page, or reopened without a kernel.

JupyterLab does not save widget state by default; the picture and the text in the output are all that stays.
"""

from __future__ import annotations

import base64
import contextvars
import logging
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from mi_widgets.export.pen import size_of

if TYPE_CHECKING:
    from mi_widgets.widgets.base import MiWidget

__all__ = ["SECONDS", "complete", "may_follow", "show"]

logger = logging.getLogger("mi_widgets")

SECONDS = 10.0
"""How long a display waits for the first result, where nothing can be added to it later."""

QUICK = 0.5
"""How long one waits where the picture may follow: an output that is changed later is drawn twice."""

PAUSE = 0.5
"""Seconds between a result and its picture: the page draws the result meanwhile, and asks for what it needs more."""

FOLLOWS = "The picture follows when the result is there."

Bundle = tuple[dict[str, Any], dict[str, Any]]


def may_follow() -> bool:
    """True where a display can be completed after its cell has ended: in a notebook that somebody has open.

    Its front end says which of its cells it runs. nbclient does not, and keeps only what comes while the cell runs.
    """
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython and ipython.get_ipython(), "kernel", None)
    parent = kernel.get_parent("shell") if kernel is not None else None
    return "cellId" in ((parent or {}).get("metadata") or {})


def show(widget: MiWidget, data: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Displays a widget: whole where its result is there soon, else with its text, and its picture follows.

    Args:
        widget: the widget that is displayed.
        data: its mime bundle; not changed.
        metadata: that of the bundle; not changed.
    """
    from IPython.display import publish_display_data

    why: str | None = None
    try:
        # The worker has the result to make: there is nothing to wait for.
        why = None if widget.on_worker() else _wait(widget, QUICK)
    finally:
        # Who is interrupted while waiting has the widget all the same.
        if why is None:
            _show_at_once(widget, data, metadata)
        else:
            publish_display_data(*_whole(widget, data, metadata, why))


def _show_at_once(widget: MiWidget, data: dict[str, Any], metadata: dict[str, Any]) -> None:
    from IPython.display import publish_display_data

    name = {"display_id": uuid.uuid4().hex}
    text, _ = _static(widget, picture=False)
    publish_display_data({**data, "text/plain": f"{text}\n{FOLLOWS}"}, metadata, transient=name)

    def follow() -> None:
        why = _wait(widget, None) or ""
        time.sleep(PAUSE)
        if widget.comm is not None:
            publish_display_data(*_whole(widget, data, metadata, why), transient=name, update=True)

    # In the context of the cell, so that the update is a message of the same parent.
    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(follow,), name="mi-widgets picture", daemon=True).start()


def complete(widget: MiWidget, data: dict[str, Any], metadata: dict[str, Any]) -> Bundle:
    """Adds the static picture and text to a widget's mime bundle.

    Waits for the widget's work, on the worker, which needs nothing of the thread that waits; where there is no result
    in time, the text says why.

    Args:
        widget: the widget that is displayed.
        data: its mime bundle; not changed.
        metadata: that of the bundle; not changed.
    """
    why = _wait(widget, SECONDS)
    late = f"The result was not ready {SECONDS:.0f} seconds after the display."
    return _whole(widget, data, metadata, late if why is None else why)


def _wait(widget: MiWidget, seconds: float | None) -> str | None:
    """Waits for a result; why there is none, in words, or ""; None where that is not known in time."""
    try:
        widget.wait(seconds)
    except Exception as error:
        # What fails may fail with a TimeoutError of its own.
        late = isinstance(error, TimeoutError) and seconds is not None and widget.working
        return None if late else f"There is no result: {error}"
    return ""


def _static(widget: MiWidget, *, picture: bool) -> tuple[str, bytes | None]:
    """The static text and picture. A display must not fail because they did; the widget itself is fine."""
    try:
        return widget.static_text(), widget.static_picture() if picture else None
    except Exception as error:
        logger.exception("the static picture could not be made")
        widget.last_error = error
        return f"{type(widget).__name__}\nThere is no picture: {error}", None


def _whole(widget: MiWidget, data: dict[str, Any], metadata: dict[str, Any], why: str) -> Bundle:
    text, picture = _static(widget, picture=True)
    data = {**data, "text/plain": "\n".join(filter(None, (text, why)))}
    if picture is not None:
        width, height = size_of(picture)
        data["image/png"] = base64.b64encode(picture).decode("ascii")
        # The picture has two pixels per point, and is shown at its size in points.
        metadata = {**metadata, "image/png": {"width": width // 2, "height": height // 2}}
    return data, metadata
