"""What an output holds for readers without a kernel: a picture and words."""

from __future__ import annotations

import base64
import io
import threading
from types import SimpleNamespace

import IPython
import pytest
from PIL import Image

from mi_widgets.export.image import LARGEST
from mi_widgets.widgets import AttentionHeads, fallback

VIEW = "application/vnd.jupyter.widget-view+json"


def test_the_output_holds_the_view_a_picture_and_words(heads):
    page = heads()
    data, metadata = page.widget._repr_mimebundle_()
    assert data[VIEW]["model_id"] == page.widget.model_id
    png = base64.b64decode(data["image/png"])
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert len(png) <= LARGEST
    assert metadata["image/png"] == {"width": image.width // 2, "height": image.height // 2}
    lines = data["text/plain"].splitlines()
    assert lines[:5] == [
        "Attention heads of toy (2 layers x 2 heads)",
        "prompt:  a b a",
        "corrupted:  a b b",
        "answer: ' a' not ' b'",
        "run: clean; the heads that stand out:",
    ]
    assert "  previous      L1H1 0.75, L1H0 0.50, L0H1 0.25" in lines
    assert "  induction     no repeated token here: use random tokens" in lines


@pytest.fixture
def published(monkeypatch):
    """Everything displayed: (data, metadata, display id, whether it is an update); `.ready` rises with each."""
    told = SimpleNamespace(all=[], ready=threading.Semaphore(0))

    def publish(data, metadata, *, transient, update=False):
        told.all.append((data, metadata, transient["display_id"], update))
        told.ready.release()

    monkeypatch.setattr("IPython.display.publish_display_data", publish)
    monkeypatch.setattr(fallback, "PAUSE", 0)
    return told


def cell_of(monkeypatch, metadata):
    """From now on code runs as if a front end had asked for it with this metadata."""
    kernel = SimpleNamespace(get_parent=lambda channel: {"metadata": metadata} if channel == "shell" else {})
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=kernel))


def test_in_an_open_notebook_a_display_waits_for_nothing_and_the_picture_follows(
    analysis, experiment, page_of, published, monkeypatch
):
    cell_of(monkeypatch, {"cellId": "a"})
    analysis.hold()
    page = page_of(AttentionHeads(experiment()))
    page.widget._ipython_display_()
    ((data, metadata, name, update),) = published.all
    assert VIEW in data
    assert "image/png" not in data
    assert data["text/plain"].splitlines()[1::3] == ["prompt:  a b a", fallback.FOLLOWS]
    assert (metadata, update) == ({}, False)
    analysis.let(9)
    assert published.ready.acquire(timeout=60)
    assert published.ready.acquire(timeout=60)
    data, metadata, again, update = published.all[1]
    assert (data, metadata) == page.widget._repr_mimebundle_()
    assert "image/png" in data
    assert (again, update) == (name, True)


def test_what_is_there_soon_is_displayed_whole_and_once(heads, published, monkeypatch):
    cell_of(monkeypatch, {"cellId": "a"})
    monkeypatch.setattr(fallback, "QUICK", 60)
    widget = heads().widget
    told = []
    monkeypatch.setattr(
        "IPython.display.publish_display_data", lambda data, metadata, **more: told.append((data, metadata, more))
    )
    widget._ipython_display_()
    ((data, metadata, more),) = told
    assert (data, metadata) == widget._repr_mimebundle_()
    assert "image/png" in data
    assert more == {}


def test_what_fails_after_the_display_is_said_there(analysis, experiment, page_of, published, monkeypatch, swallowed):
    swallowed.expect(RuntimeError)
    cell_of(monkeypatch, {"cellId": "a"})
    monkeypatch.setattr(fallback, "QUICK", 0)
    analysis.hold()
    page = page_of(AttentionHeads(experiment()))
    page.widget._ipython_display_()
    analysis.fail = RuntimeError("no luck")
    analysis.let(9)
    for _ in range(2):
        assert published.ready.acquire(timeout=60)
    assert "There is no result: no luck" in published.all[1][0]["text/plain"]


def test_who_interrupts_the_wait_has_the_widget_and_its_picture_follows(
    analysis, experiment, page_of, published, monkeypatch
):
    cell_of(monkeypatch, {"cellId": "a"})
    analysis.hold()
    page = page_of(AttentionHeads(experiment()))
    interrupted = iter([KeyboardInterrupt])
    plain_wait = type(page.widget).wait

    def wait(widget, timeout=None):
        for error in interrupted:
            raise error
        return plain_wait(widget, timeout)

    monkeypatch.setattr(AttentionHeads, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        page.widget._ipython_display_()
    assert len(published.all) == 1
    assert VIEW in published.all[0][0]
    analysis.let(9)
    for _ in range(2):
        assert published.ready.acquire(timeout=60)
    assert "image/png" in published.all[1][0]


def test_a_failure_that_is_a_timeout_is_told_as_one(analysis, experiment, page_of, swallowed):
    swallowed.expect(TimeoutError)
    analysis.fail = TimeoutError("the metric's server")
    page = page_of(AttentionHeads(experiment()))
    data, _ = page.widget._repr_mimebundle_()
    assert "There is no result: the metric's server" in data["text/plain"]


@pytest.mark.parametrize("where", ["without a kernel", "run by nbclient", "closed"])
def test_elsewhere_ipython_asks_for_the_whole_bundle(heads, published, monkeypatch, where):
    page = heads()
    if where == "run by nbclient":
        cell_of(monkeypatch, {})
    elif where == "closed":
        cell_of(monkeypatch, {"cellId": "a"})
        page.widget.close()
    with pytest.raises(NotImplementedError):
        page.widget._ipython_display_()
    assert published.all == []


def test_a_display_waits_for_the_first_result(analysis, experiment, page_of):
    analysis.hold()
    page = page_of(AttentionHeads(experiment()))
    found = []
    thread = threading.Thread(target=lambda: found.append(page.widget._repr_mimebundle_()))
    thread.start()
    assert page.widget.result is None
    analysis.let(9)
    thread.join(120)
    assert "image/png" in found[0][0]


def test_a_display_that_waits_too_long_says_so(analysis, experiment, page_of, monkeypatch):
    monkeypatch.setattr(fallback, "SECONDS", 0.01)
    analysis.hold()
    page = page_of(AttentionHeads(experiment()))
    data, _ = page.widget._repr_mimebundle_()
    assert VIEW in data
    assert "image/png" not in data
    assert "was not ready" in data["text/plain"]
    assert "prompt:  a b a" in data["text/plain"]


def test_a_display_of_a_failure_says_what_failed(analysis, experiment, page_of, swallowed):
    swallowed.expect(RuntimeError)
    analysis.fail = RuntimeError("no luck")
    page = page_of(AttentionHeads(experiment()))
    data, _ = page.widget._repr_mimebundle_()
    assert "There is no result: no luck" in data["text/plain"]
    assert "image/png" not in data


def test_a_picture_that_cannot_be_made_does_not_break_the_display(heads, swallowed, monkeypatch):
    swallowed.expect(OSError)
    page = heads()
    monkeypatch.setattr(AttentionHeads, "static_picture", lambda _: (_ for _ in ()).throw(OSError("no font")))
    data, _ = page.widget._repr_mimebundle_()
    assert VIEW in data
    assert "There is no picture: no font" in data["text/plain"]


def test_a_display_on_the_worker_does_not_wait_for_itself(heads):
    page = heads()
    bundles = []
    page.widget.observe(lambda _: bundles.append(page.widget._repr_mimebundle_()), "atlas")
    page.answer(page.request("heads.atlas", run="corrupted"))
    page.widget.wait(120)
    assert "image/png" in bundles[0][0]


@pytest.mark.parametrize("closed_first", [True, False])
def test_a_closed_widget_displays_nothing_and_raises_nothing(heads, closed_first):
    page = heads()
    if not closed_first:
        assert page.widget._repr_mimebundle_() is not None
    page.widget.close()
    assert page.widget._repr_mimebundle_ is None
