"""A plain page that hosts the built bundle over a scripted kernel, and what tests do on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from playwright.sync_api import Locator, Page

import mi_widgets
from mi_widgets.widgets.words import HEADS, SHARED

HERE = Path(__file__).parent
STATIC = Path(mi_widgets.__file__).parent / "static"
FILES = {
    "/": (HERE / "plain.html", "text/html; charset=utf-8"),
    "/shim.js": (HERE / "shim.js", "text/javascript; charset=utf-8"),
    "/shim-edits.js": (HERE / "shim-edits.js", "text/javascript; charset=utf-8"),
    "/attention-heads.js": (STATIC / "attention-heads.js", "text/javascript; charset=utf-8"),
    "/attention-heads.css": (STATIC / "attention-heads.css", "text/css; charset=utf-8"),
}


Colour: TypeAlias = tuple[int, int, int]
PIXELS = """(canvas, points) => {
  const ratio = canvas.width / canvas.clientWidth;
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return points.map(([x, y]) => {
    const at = 4 * (Math.floor(y * ratio) * canvas.width + Math.floor(x * ratio));
    return [...data.slice(at, at + 3)];
  });
}"""


def colours(canvas: Locator, points: Sequence[tuple[float, float]]) -> list[Colour]:
    """Colours of a canvas at points given in its CSS pixels, read at once."""
    found: list[list[int]] = canvas.evaluate(PIXELS, [list(it) for it in points])
    return [(red, green, blue) for red, green, blue in found]


def numbers(canvas: Locator) -> dict[str, float]:
    """The numbers of a canvas' layout, which it tells in its data attributes; NaN for one that is no number."""
    found: dict[str, float] = canvas.evaluate(
        "it => Object.fromEntries(Object.entries(it.dataset).map(([name, text]) => [name, Number(text)]))"
    )
    return found


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = FILES.get(self.path.partition("?")[0])
        if found is None:
            self.send_error(404)
            return
        body = found[0].read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", found[1])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    """The page's files on a free port of the loopback; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Plain:
    """A widget on a plain page.

    Args:
        page: the tab.
        url: of the plain page.

    Attributes:
        words: the cards of the widget, beside those that all have.
    """

    words: ClassVar[Mapping[str, str]] = HEADS

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url

    def open(self, *, dark: bool = False) -> Plain:
        """Load the page, without a widget yet."""
        self.page.goto(self.url)
        self.page.wait_for_function("window.loaded === true")
        self.page.evaluate("words => { window.words = words; }", {**SHARED, **self.words})
        if dark:
            self.page.evaluate("document.body.classList.add('dark')")
        return self

    def mount(self, options: str = "{}", views: int = 1, *, ready: bool = True) -> Plain:
        """Show a widget; `options` is a JavaScript expression for the scripted kernel's options."""
        self.page.evaluate(
            f"(async () => {{ window.shown = await shim.mount(widget, {options}, {views}); }})()",
        )
        if ready:
            self.page.wait_for_function(
                "n => document.querySelectorAll('.mi-widget[data-ready]').length === n", arg=views
            )
        return self

    @property
    def root(self) -> Locator:
        """The first view's root element."""
        return self.page.locator(".mi-widget").first

    def part(self, name: str) -> Locator:
        """A part of the first view: atlas, focus, strip, header, footer, notice, ..."""
        return self.root.locator(f'[data-part="{name}"]')

    def wait(self, **marks: str) -> None:
        """Wait until the root's data attributes are these, all at once, e.g. `wait(state="ready", run="clean")`."""
        wanted = "".join(f'[data-{name.replace("_", "-")}="{value}"]' for name, value in marks.items())
        self.page.wait_for_selector(f".mi-widget{wanted}", state="attached")

    def kernel(self, expression: str) -> Any:
        """Evaluate an expression of the scripted kernel `k` and the model `m`."""
        return self.page.evaluate(f"(() => {{ const k = shown.kernel, m = shown.model; return {expression}; }})()")

    def kernel_async(self, statement: str) -> None:
        """Let the scripted kernel do something."""
        self.page.evaluate(f"(() => {{ const k = shown.kernel, m = shown.model; {statement}; }})()")

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """Messages of a kind (or requests of an op) that the page has sent."""
        found: list[dict[str, Any]] = self.kernel("m.sent")
        return [message for message in found if message["kind"] == kind or message.get("op") == kind]

    def head_centre(self, layer: int, head: int) -> tuple[float, float]:
        """The middle of a thumbnail, in page coordinates."""
        canvas = self.part("atlas").locator("canvas[tabindex]")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        it = numbers(canvas)
        x, y = box["x"] + it["left"] + it["thumb"] / 2, box["y"] + it["top"] + it["thumb"] / 2
        return x + head * it["pitchX"], y + layer * it["pitchY"]

    def cell_centre(self, dest: int, src: int) -> tuple[float, float]:
        """The middle of a cell of the focus pattern, in page coordinates."""
        canvas = self.part("focus").locator("canvas[tabindex]")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        it = numbers(canvas)
        return box["x"] + it["left"] + (src + 0.5) * it["cell"], box["y"] + it["top"] + (dest + 0.5) * it["cell"]

    def pixels(self, part: str, points: Sequence[tuple[float, float]]) -> list[Colour]:
        """Colours of a part's canvas at points given in CSS pixels of that canvas, read at once."""
        return colours(self.part(part).locator("canvas[tabindex]"), points)

    def pixel(self, part: str, x: float, y: float) -> Colour:
        """The same at one point."""
        return self.pixels(part, [(x, y)])[0]
