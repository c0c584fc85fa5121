"""Reading messages from a page that may be old, broken or hostile; and how errors are told to it."""

from __future__ import annotations

import pytest

from mi_widgets.errors import AnswerNotSingleToken, Cancelled
from mi_widgets.widgets.messages import BadMessage, Cancel, Hello, Request, failed, problem, read

GOOD = {"v": 1, "kind": "request", "id": "tab-1", "op": "heads.value", "params": {"run": "clean"}, "slot": "value"}


def test_good_messages_become_data():
    assert read(GOOD) == Request("tab-1", "tab", "heads.value", {"run": "clean"}, "value")
    assert read({"v": 1, "kind": "cancel", "id": "k-7"}) == Cancel("k-7")
    assert read({"v": 1, "kind": "hello", "client": "a", "have": {"atlas": 3}}) == Hello("a", {"atlas": 3})
    assert (
        read(GOOD | {"id": "1b4e28ba-2fa1-11d2-883f-0016d3cca427-12"}).client == "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    )


BAD = [
    None,
    7,
    "request",
    [],
    {},
    {"v": 1},
    GOOD | {"v": 2},
    GOOD | {"v": True},
    GOOD | {"v": "1"},
    GOOD | {"v": None},
    GOOD | {"kind": "done"},
    GOOD | {"kind": ["request"]},
    GOOD | {"kind": {}},
    GOOD | {"id": None},
    GOOD | {"id": 1},
    GOOD | {"id": "tab"},
    GOOD | {"id": "tab-"},
    GOOD | {"id": "tab-1\n"},
    GOOD | {"id": "tab-" + "9" * 16},
    GOOD | {"id": "x" * 65 + "-1"},
    GOOD | {"id": "k-1"},
    GOOD | {"id": "</script>-1"},
    GOOD | {"op": None},
    GOOD | {"op": "Heads.Value"},
    GOOD | {"op": "__init__\0"},
    GOOD | {"op": "a" * 65},
    GOOD | {"params": None},
    GOOD | {"params": []},
    GOOD | {"params": {str(i): i for i in range(33)}},
    GOOD | {"slot": 3},
    GOOD | {"slot": "no spaces"},
    {"v": 1, "kind": "cancel"},
    {"v": 1, "kind": "cancel", "id": ["tab-1"]},
    {"v": 1, "kind": "hello"},
    {"v": 1, "kind": "hello", "client": "k"},
    {"v": 1, "kind": "hello", "client": ""},
    {"v": 1, "kind": "hello", "client": "a b"},
    {"v": 1, "kind": "hello", "client": "a", "have": []},
    {"v": 1, "kind": "hello", "client": "a", "have": {"atlas": "3"}},
    {"v": 1, "kind": "hello", "client": "a", "have": {"atlas": True}},
    {"v": 1, "kind": "hello", "client": "a", "have": {"atlas": 1.5}},
    {"v": 1, "kind": "hello", "client": "a", "have": {str(i): i for i in range(33)}},
]


@pytest.mark.parametrize("content", BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad_messages_are_refused_in_words(content):
    with pytest.raises(BadMessage) as caught:
        read(content)
    assert str(caught.value).endswith("Reload the page; it may be older than the kernel.")
    assert len(str(caught.value)) < 300


def test_a_bad_request_is_refused_under_its_own_id_and_never_under_the_kernels():
    with pytest.raises(BadMessage) as caught:
        read(GOOD | {"op": 3})
    assert caught.value.request_id == "tab-1"
    with pytest.raises(BadMessage) as caught:
        read(GOOD | {"id": "k-1"})
    assert caught.value.request_id is None


def test_an_error_of_ours_is_told_with_its_hint_apart():
    told = failed("tab-1", AnswerNotSingleToken("It is two tokens.", hint="Give one."))
    assert told == {
        "v": 1,
        "kind": "failed",
        "id": "tab-1",
        "error": "AnswerNotSingleToken",
        "message": "It is two tokens.",
        "hint": "Give one.",
        "retryable": False,
    }
    assert problem(Cancelled("stopped"))["retryable"] is True


def test_any_other_error_is_told_in_one_line_without_a_traceback():
    try:
        raise KeyError("first line\nsecond line")
    except KeyError as error:
        told = problem(error)
    assert told["message"].startswith("KeyError: ")
    assert "Traceback" not in str(told)
    assert "widget.last_error" in told["hint"]
    assert problem(ValueError())["message"] == "ValueError."
    assert len(problem(ValueError("x" * 10_000))["message"]) == 1000


def test_every_kind_of_exhausted_memory_is_told_alike():
    class OutOfMemoryError(RuntimeError):  # the name of torch's own
        pass

    for error in (MemoryError(), OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")):
        assert problem(error) == problem(MemoryError())
        assert problem(error)["error"] == "OutOfMemory"
