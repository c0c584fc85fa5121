"""What a notebook shows where the widget cannot live: untrusted, on a web page, or reopened without a kernel.

JupyterLab does not save widget state by default; the picture and the text in the output are all that stays.
"""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any

from mi_widgets.export.pen import size_of

if TYPE_CHECKING:
    from mi_widgets.widgets.base import MiWidget

__all__ = ["SECONDS", "complete"]

logger = logging.getLogger("mi_widgets")

SECONDS = 10.0
"""How long a display waits for the first result."""


def complete(widget: MiWidget, data: dict[str, Any], metadata: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Adds the static picture and text to a widget's mime bundle.

    Waits for the widget's work, on the worker, which needs nothing of the thread that waits; where there is no result
    in time, the text says why.

    Args:
        widget: the widget that is displayed.
        data: its mime bundle; not changed.
        metadata: that of the bundle; not changed.
    """
    why = ""
    try:
        widget.wait(SECONDS)
    except TimeoutError:
        why = f"The result was not ready {SECONDS:.0f} seconds after the display."
    except Exception as error:
        why = f"There is no result: {error}"
    try:
        text = widget.static_text()
        picture = widget.static_picture()
    except Exception as error:
        # A display must not fail because its picture did; the widget itself is fine.
        logger.exception("the static picture could not be made")
        widget.last_error = error
        text, picture = type(widget).__name__, None
        why = why or f"There is no picture: {error}"
    data = {**data, "text/plain": "\n".join(filter(None, (text, why)))}
    if picture is not None:
        width, height = size_of(picture)
        data["image/png"] = base64.b64encode(picture).decode("ascii")
        # The picture has two pixels per point, and is shown at its size in points.
        metadata = {**metadata, "image/png": {"width": width // 2, "height": height // 2}}
    return data, metadata
