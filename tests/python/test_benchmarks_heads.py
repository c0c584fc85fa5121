"""The benchmark of the heads widget: what it makes of frames of the wire, of times, and of its figures."""

from __future__ import annotations

import base64
import json

import pytest

from mi_widgets.widgets.arrays import bundle, weights
from tests.benchmarks.heads import peers, report
from tests.benchmarks.heads.first_paint import FirstPaint, Shown, first_shown, until
from tests.benchmarks.heads.frames import MAIN_FRAME, frame_starts, frames_of
from tests.benchmarks.heads.long import pattern_cells
from tests.benchmarks.heads.wire import carries_atlas, data_bytes, message_of, messages_of, shows_widget


def frame_of(kind: str, content: dict, buffers: tuple[bytes, ...] = (), name: str = "") -> bytes:
    """A frame as the protocol describes it."""
    said = (
        b"iopub",
        json.dumps({"msg_type": kind, "msg_id": name}).encode(),
        b"{}",
        b"{}",
        json.dumps(content).encode(),
        *buffers,
    )
    edges = [8 * (len(said) + 2)]
    for part in said:
        edges.append(edges[-1] + len(part))
    return b"".join(number.to_bytes(8, "little") for number in (len(edges), *edges)) + b"".join(said)


def test_a_frame_is_read_back():
    frame = frame_of("comm_msg", {"data": {"method": "custom"}}, (b"abc", b"", b"\x00" * 70_000))
    message = message_of(12.5, frame)
    assert (message.at, message.size, message.kind) == (12.5, len(frame), "comm_msg")
    assert message.content == {"data": {"method": "custom"}}
    assert message.buffers == (3, 0, 70_000)


def test_a_message_that_two_connections_brought_counts_once():
    frames = [frame_of("status", {}, name=name) for name in ("a", "b", "a", "", "")]
    told = [{"at": at, "base64": base64.b64encode(frame).decode()} for at, frame in enumerate(frames)]
    found = messages_of([*told, {"at": 9, "bytes": 3, "text": "not kept"}])
    assert [message.at for message in found] == [0, 1, 3, 4]


def test_program_text_is_not_data():
    script = 'const a = "x";\n'
    state = {"_esm": script, "_css": ".a {}", "question": {"rev": 1}}
    bare = message_of(0, frame_of("comm_open", {"data": {"state": {**state, "_esm": "", "_css": ""}}}))
    whole = message_of(0, frame_of("comm_open", {"data": {"state": state}}))
    assert whole.size > bare.size
    assert data_bytes([whole]) == bare.size
    shown = message_of(0, frame_of("display_data", {"data": {"application/javascript": f"{script}[0.5]"}}))
    empty = message_of(0, frame_of("display_data", {"data": {"application/javascript": "[0.5]"}}))
    assert data_bytes([shown], [script]) == empty.size
    assert data_bytes([shown], ["of another library"]) == shown.size


def test_messages_with_thumbnails_and_with_patterns_are_known():
    buffers: list[bytes] = []
    entries = bundle({"thumbs": weights([[[[1.0]]]])}, buffers)
    part = message_of(0, frame_of("comm_msg", {"data": {"method": "custom", "content": {"arrays": entries}}}, (b"a",)))
    trait = message_of(0, frame_of("comm_msg", {"data": {"method": "update", "state": {"atlas": {"arrays": entries}}}}))
    answer = {"arrays": bundle({"pattern": weights([[[0.5] * 3] * 2])}, [])}
    pattern = message_of(0, frame_of("comm_msg", {"data": {"method": "custom", "content": answer}}))
    status = message_of(0, frame_of("status", {"execution_state": "idle"}))
    assert [carries_atlas(it) for it in (part, trait, pattern, status)] == [True, True, False, False]
    assert [pattern_cells(it) for it in (part, trait, pattern, status)] == [0, 0, 6, 0]
    view = {"data": {"application/vnd.jupyter.widget-view+json": {}, "text/plain": ""}}
    assert shows_widget(message_of(0, frame_of("execute_result", view)))
    assert not shows_widget(status)


def test_frames_are_counted_by_the_time_between_them():
    found = frames_of([0, 16, 34, 84, 100])
    assert (found.count, found.smooth, found.median, found.worst) == (4, 0.75, 17, 50)
    with pytest.raises(ValueError, match="1 frames"):
        frames_of([3])


def test_frames_of_a_trace_are_those_of_the_busiest_page():
    page = [{"name": MAIN_FRAME, "pid": 1, "tid": 1, "ts": 1000 * at} for at in (30, 10, 20)]
    other = [{"name": MAIN_FRAME, "pid": 2, "tid": 1, "ts": 5}, {"name": "Paint", "pid": 1, "tid": 1, "ts": 7}]
    assert frame_starts({"traceEvents": [*page, *other]}) == [10, 20, 30]
    assert frame_starts({"traceEvents": []}) == []


def test_ratios_are_of_rounds_and_stand_beside_their_targets():
    shown = {
        "ours": Shown([0.1, 0.2, 0.1], 1000, 800, 2000),
        "circuitsvis": Shown([6.0, 8.0, 4.0], 30_000, 30_000, 30_000),
        "bertviz": Shown([1.0, 2.0, 1.0], 20_000, 20_000, 40_000),
    }
    found = FirstPaint(shown, [100, 140, 900], [200, 240, 950], 300_000, 200_000, {"picture": 100.0})
    figures = {it.name: it for it in report.first_paint_figures(found)}
    names = ("CircuitsVis attention_heads / ours", "BertViz model_view / ours")
    assert [figures[f"{name}: time"].value for name in names] == [40, 10]
    assert [figures[f"{name}: time"].verdict for name in names] == ["80 %", "below"]
    assert [figures[f"{name}: data"].verdict for name in names] == ["reached", "80 %"]
    assert figures["ours: data sent until it was drawn"].value == 0.8
    assert "BertViz model_view: data sent until it was drawn" not in figures
    assert figures["atlas drawn after the data arrived"].value == 140
    assert figures["atlas drawn after the data arrived"].verdict == "reached"
    written = report.page(list(figures.values()), {"processor": "a processor"})
    told = report.table(list(figures.values()))
    for figure in figures.values():
        assert figure.name in told
        assert f"| {figure.name} | {figure.told} | {figure.aim} | {figure.verdict} |" in written


def test_messages_until_the_picture_are_told_from_those_that_follow():
    sent = [message_of(at, frame_of("status", {})) for at in (1, 5, 9)]
    assert [message.at for message in until(5, sent)] == [1, 5]


def test_a_part_that_is_measured_again_stands_where_it_stood():
    first, second = (report.Figure(part, "time", 1.0, "s") for part in ("one", "two"))
    again = report.Figure("one", "time", 0.5, "s")
    assert report.merged([], [first, second]) == [first, second]
    assert report.merged([first, second], [again]) == [again, second]


def test_what_did_not_grow_reached_its_target():
    assert report.Figure("part", "heap", -2.0, "MB", 60).verdict == "reached"
    assert report.Figure("part", "told only", -2.0, "MB").verdict == ""


def test_the_message_that_makes_a_picture_possible_is_the_last_one_needed():
    thumbs = {"data": {"method": "update", "state": {"atlas": {"arrays": {"thumbs": {}}}}}}
    view = {"data": {"application/vnd.jupyter.widget-view+json": {}}}
    early, late = message_of(5, frame_of("comm_msg", thumbs)), message_of(90, frame_of("comm_msg", thumbs))
    shown = message_of(40, frame_of("execute_result", view))
    # What comes again, once the picture could be drawn, holds nothing new.
    assert first_shown([early, shown, late]) == 40
    assert first_shown([shown, late]) == 90


def test_scripts_are_looked_for_where_bertviz_asks_for_them():
    view = '<script src="https://cdnjs.cloudflare.com/ajax/libs/require.js/2.3.6/require.min.js"></script>'
    paths = "d3: 'https://cdnjs.cloudflare.com/ajax/libs/d3/5.7.0/d3.min',"
    assert peers.moved(view) == f'<script src="{peers.SERVED}/require.min.js"></script>'
    assert peers.moved(paths) == f"d3: '{peers.SERVED}/d3.min',"
