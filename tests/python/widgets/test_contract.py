"""The golden messages of tests/contract: what the kernel writes, and what it must be able to read.

`MI_WRITE_CONTRACT=1 pytest tests/python/widgets/test_contract.py` writes them anew after a change of the wire format.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mi_widgets.interventions.attention_edits import Knockout
from mi_widgets.interventions.edit_kinds import Zero
from mi_widgets.widgets import AttentionHeads, arrays, base, messages
from tests.python.widgets.toy import VALUE

FOLDER = Path(__file__).parents[2] / "contract"
EDITING = (
    "request-edits-remove", "request-edits-toggle", "request-edits-move", "request-edits-clear", "request-edits-undo",
    "request-edits-redo",
)  # fmt: skip
FROM_PAGE = (
    "hello", "cancel", "request-question-set", "request-atlas", "request-pattern", "request-pattern-value",
    "request-value", "request-rank", "request-random", "request-writes", "request-effect", "request-effect-pattern",
    "request-keep", *EDITING,
)  # fmt: skip
EPOCH = "0123456789abcdef0123456789abcdef"
EDITS = (Zero("z", 0, head=1), Knockout(layer=0, head=0, dest=3, src=1))


def load(name):
    message = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    sizes = message.pop("buffer_sizes", [])
    data = (FOLDER / f"{name}.bin").read_bytes() if sizes else b""
    assert sum(sizes) == len(data)
    ends = np.cumsum([0, *sizes])
    return message, [data[a:b] for a, b in itertools.pairwise(ends)]


def check(name, message, buffers):
    """Equal to the golden file, byte for byte."""
    if os.environ.get("MI_WRITE_CONTRACT"):
        whole = dict(message) | ({"buffer_sizes": [len(b) for b in buffers]} if buffers else {})
        text = json.dumps(whole, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        if buffers:
            (FOLDER / f"{name}.bin").write_bytes(b"".join(buffers))
    assert load(name) == (message, buffers)


def timeless(content):
    """The time left is measured; everything else is the same in every run."""
    if (content.get("progress") or {}).get("seconds_left") is not None:
        content["progress"]["seconds_left"] = 0.25
    return content


@pytest.fixture
def page(heads, monkeypatch):
    fixed = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=EPOCH))
    monkeypatch.setattr(base, "uuid", fixed)
    return heads(without=(1,))


@pytest.mark.parametrize("name", FROM_PAGE)
def test_the_kernel_understands_what_a_page_sends(page, name):
    sent = load(name)[0]
    if name in EDITING:
        page.exp.edits.extend(EDITS)
    if name == "request-edits-redo":
        page.exp.edits.undo()
    page.send(sent)
    if name == "hello":
        assert page.messages("welcome")[0].content["client"] == sent["client"]
    elif sent["kind"] == "request":
        final = page.answer(sent["id"]).content
        assert final["kind"] == "done", final
        assert page.messages("accepted", sent["id"])
    else:
        assert messages.read(sent) == messages.Cancel(sent["id"])


def test_welcome_and_traits(page):
    welcome = page.hello()
    check("welcome", welcome.content, welcome.buffers)
    opened = page.comm.sent[0].data["state"]
    check("question", opened["question"], [])
    atlas, buffers = dict(page.widget.atlas), []
    thumbs = arrays.weights(page.widget.result.thumbs.numpy(), lower=True)
    atlas["arrays"] = arrays.bundle({"thumbs": thumbs}, buffers)
    check("atlas", atlas, buffers)
    assert atlas["arrays"]["thumbs"] | {"data": buffers[0]} == page.widget.atlas["arrays"]["thumbs"] | {"buffer": 0}


def test_status(page):
    idle = page.states("status")[-1]
    running = next(status for status in page.states("status") if status["state"] == "running")
    check("status-idle", idle, [])
    check("status-running", running, [])


def test_replies_to_an_atlas(page):
    page.unlimited()
    request_id = page.request("heads.atlas", slot="atlas", run="difference")
    done = page.answer(request_id)
    check("accepted", page.messages("accepted", request_id)[0].content, [])
    check("done-atlas", done.content, [])
    thumbs = [m for m in page.messages("partial", request_id) if m.content["arrays"]]
    check("partial-thumbs", timeless(thumbs[0].content), thumbs[0].buffers)
    without = arrays.decode(*entry_of(thumbs[-1], "thumbs"))[-1]  # layer 1 has no attention
    assert np.isnan(without[(..., *np.tril_indices(4))]).all()


def entry_of(message, name):
    entry = message.content["arrays"][name]
    return entry, message.buffers[entry["buffer"]]


def test_replies_to_patterns(page, canned):
    whole = {"dest": [0, 4], "src": [0, 4], "side": 256}
    for name, run, window in (
        ("done-pattern-lower", "clean", whole),
        ("done-pattern-window", "corrupted", {"dest": [1, 4], "src": [0, 2], "side": 256}),
        ("done-pattern-difference", "difference", whole),
    ):
        request_id = page.request("heads.pattern", slot="pattern", run=run, heads=[[0, 0], [0, 1]], **window)
        done = page.answer(request_id)
        check(name, done.content, done.buffers)
        (a, b), (c, d) = window["dest"], window["src"]
        expected = np.stack([canned.pattern(0, head, run)[a:b, c:d] for head in (0, 1)])
        step = 2 / 254 if run == "difference" else 1 / 254
        np.testing.assert_allclose(arrays.decode(*entry_of(done, "pattern")), expected, atol=step / 2 + 1e-6)


def test_the_reply_to_a_value(page, canned):
    done = page.answer(page.request("heads.value", slot="value", run="clean", layer=0, head=1, dest=3, src=2))
    check("done-value", done.content, [])
    assert done.content["data"]["value"] == pytest.approx(float(canned.pattern(0, 1, "clean")[3, 2]), rel=1e-5)


def test_the_reply_to_a_value_weighted_pattern_has_a_scale_of_its_own(page, canned):
    sent = load("request-pattern-value")[0]
    page.send(sent)
    done = page.answer(sent["id"])
    check("done-pattern-value", done.content, done.buffers)
    expected = VALUE * canned.pattern(0, 0, "clean")
    top = done.content["data"]["top"]
    assert top == pytest.approx(expected.max(), rel=1e-6)
    assert done.content["arrays"]["pattern"]["scale"] == pytest.approx(top / 254)
    np.testing.assert_allclose(arrays.decode(*entry_of(done, "pattern"))[0], expected, atol=top / 508 + 1e-6)


@pytest.mark.parametrize("name", ["rank", "random", "writes", "effect", "effect-pattern", "keep"])
def test_replies_about_heads(page, name):
    golden = {
        "rank": "done-rank",
        "random": "done-random",
        "writes": "done-writes",
        "effect": "done-effect",
        "effect-pattern": "done-effect-pattern",
        "keep": "done-keep",
    }[name]
    sent = load(f"request-{name}")[0]
    page.send(sent)
    check(golden, page.answer(sent["id"]).content, [])
    if name == "keep":
        check("question-edited", page.widget.question, [])


def test_replies_to_a_change_of_the_edits(page):
    page.exp.edits.extend(EDITS)
    sent = load("request-edits-toggle")[0]
    page.send(sent)
    check("done-edits", page.answer(sent["id"]).content, [])


def test_the_question_of_a_widget_made_from_arrays(page_of):
    weights = [[[[1.0, 0.0], [0.25, 0.75]]] * 2]
    page = page_of(AttentionHeads.from_arrays(["a", " b"], weights, {"mine": [[0.5, -1.0]]}, title="two heads"))
    page.widget.wait(120)
    check("question-arrays", page.widget.question, [])
    welcome = page.hello({"question": page.widget.revs["question"]})
    check("atlas-arrays", welcome.content["snapshot"]["atlas"], welcome.buffers)


def test_replies_to_a_change_of_the_question(page):
    done = page.answer(page.request("question.set", slot="question", base_rev=1, metric="prob"))
    check("done-question", done.content, [])
    failed = page.answer(page.request("question.set", slot="question", base_rev=1, metric="prob"))
    check("failed-stale", failed.content, [])
    failed = page.answer(page.request("question.set", slot="question", base_rev=2, answer=" New York"))
    check("failed", failed.content, [])


def test_progress_and_cancelled(page, analysis):
    page.unlimited()
    analysis.hold()
    request_id = page.request("heads.pattern", run="clean", heads=[[0, 0], [0, 1]], dest=[0, 4], src=[0, 4], side=8)
    analysis.let()
    page.wait_for(lambda: page.messages("partial", request_id))
    page.cancel(request_id)
    analysis.let(10)
    check("partial-progress", timeless(page.messages("partial", request_id)[0].content), [])
    check("cancelled", page.answer(request_id).content, [])


def test_every_golden_file_is_checked_here():
    kinds = {load(path.stem)[0].get("kind") for path in FOLDER.glob("*.json")}
    assert {"hello", "request", "cancel", "welcome", "accepted", "partial", "done", "failed", "cancelled"} <= kinds
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_contract*.py"))
    assert [path.stem for path in FOLDER.glob("*.json") if f'"{path.stem}"' not in text] == []
    assert [path.stem for path in FOLDER.glob("*.bin") if not (FOLDER / f"{path.stem}.json").exists()] == []
