"""Parameters of a request: every one is checked before it can reach the model."""

from __future__ import annotations

import pytest

from mi_widgets.errors import BadInput
from mi_widgets.jobs import Priority
from mi_widgets.widgets import AttentionHeads
from mi_widgets.widgets.ops import Op, Params, ops_of

NUMBERS = [True, False, None, "1", 1.0, -1, 4, 2**70, -(2**70), float("nan"), float("inf"), [], [1], {}, "x" * 10**6]


def test_good_values_pass():
    params = Params(
        {"n": 3, "x": -1.5, "t": "text", "none": None, "c": "b", "s": [1, 4], "p": [[0, 1], [1, 0]]}, "test.op"
    )
    assert params.integer("n", 0, 3) == 3
    assert params.number("x") == -1.5
    assert (params.text("t"), params.text_or_none("none")) == ("text", None)
    assert params.choice("c", ("a", "b")) == "b"
    assert params.span("s", 4) == (1, 4)
    assert params.pairs("p", 2, (1, 1)) == ((0, 1), (1, 0))
    params.end()


@pytest.mark.parametrize("value", NUMBERS, ids=[str(i) for i in range(len(NUMBERS))])
def test_what_is_no_index_is_refused_in_a_short_sentence(value):
    with pytest.raises(BadInput) as caught:
        Params({"n": value}, "test.op").integer("n", 0, 3)
    assert str(caught.value).startswith("test.op: n ")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("value", [True, None, "1", float("nan"), float("inf"), -float("inf"), 10**400, [], {}])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(BadInput, match="finite number"):
        Params({"x": value}, "test.op").number("x")


@pytest.mark.parametrize(
    "value",
    [None, [], [1], [1, 2, 3], "12", {"0": 1}, [2, 2], [3, 2], [-1, 2], [0, 5], [True, 2], [0.0, 2], [0, None], [4, 5]],
)
def test_what_is_no_range_of_positions_is_refused(value):
    with pytest.raises(BadInput, match="dest"):
        Params({"dest": value}, "test.op").span("dest", 4)


@pytest.mark.parametrize(
    "value", [None, [], [[0]], [[0, 0, 0]], [0, 0], [[0, 2]], [[2, 0]], [["0", 0]], [[0, 0], [0, 0]], [[0, 0]] * 17]
)
def test_what_are_no_heads_is_refused(value):
    with pytest.raises(BadInput, match="heads"):
        Params({"heads": value}, "test.op").pairs("heads", 16, (1, 1))


@pytest.mark.parametrize("value", [None, 3, ["a"], "x" * 11, "\ud800"])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(BadInput, match="t "):
        Params({"t": value}, "test.op").text("t", 10)


@pytest.mark.parametrize("value", [None, 3, ["a"], "A", "", {"a": 1}])
def test_what_is_no_choice_is_refused(value):
    with pytest.raises(BadInput, match="must be one of a, b"):
        Params({"c": value}, "test.op").choice("c", ("a", "b"))


def test_missing_and_unknown_parameters_are_named():
    with pytest.raises(BadInput, match="n is missing"):
        Params({}, "test.op").integer("n", 0, 1)
    with pytest.raises(BadInput, match="'more'"):
        Params({"more": 1}, "test.op").end()


EDITS_VERBS = ("add", "replace", "remove", "toggle", "move", "clear", "undo", "redo")


def test_ops_are_found_on_the_class_with_slot_and_priority():
    found = ops_of(AttentionHeads)
    assert found["question.set"] == Op("question.set", "question", Priority.RUN, "_set_question")
    assert {name: (op.slot, op.priority.name) for name, op in found.items()} == {
        "question.set": ("question", "RUN"),
        **{f"edits.{verb}": ("edits", "RUN") for verb in EDITS_VERBS},
        "heads.atlas": ("atlas", "SWEEP"),
        "heads.pattern": ("pattern", "FETCH"),
        "heads.value": ("value", "PREVIEW"),
        "heads.rank": ("rank", "FETCH"),
        "heads.random": ("random", "SWEEP"),
        "heads.writes": ("writes", "FETCH"),
        "heads.effect": ("effect", "PREVIEW"),
        "heads.keep": ("edits", "RUN"),
    }
