"""`Experiment.from_frame`: a table as one question; every bad row is told."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import mi_widgets as mi
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, wrapped

EDIT = mi.Patch("resid_pre", 1, position="s2")


@pytest.fixture(scope="module")
def model():
    return wrapped("qwen2")


def frame(**more):
    columns = {
        "clean": [CLEAN, SHORT_CLEAN],
        "corrupted": [CORRUPTED, SHORT_CORRUPTED],
        "answer": [" Mary", (" Mary", " Kate")],
        "distractor": [" John", " Anna"],
        "s2": [10, 5],
        "verb": [" gave", " gave"],
    }
    return pd.DataFrame(columns | more)


def test_a_frame_is_the_experiment_it_describes(model):
    exp = mi.Experiment.from_frame(model, frame(), metric="prob", base="clean")
    named = {"s2": [10, 5], "verb": [11, 6]}
    plain = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], [" Mary", (" Mary", " Kate")], [" John", " Anna"],
        "prob", "clean", positions=named,
    )  # fmt: skip
    assert exp.positions == plain.positions == {name: tuple(where) for name, where in named.items()}
    assert exp.base == "clean"
    one, other = exp.run(EDIT), plain.run(EDIT)
    assert one.per_prompt["metric"].tolist() == other.per_prompt["metric"].tolist()
    assert one.recovered == other.recovered
    with_dicts = mi.Experiment.from_frame(model, frame().to_dict("records"), metric="prob", base="clean")
    assert with_dicts.run(EDIT).metric == one.metric


def test_only_the_clean_column_is_needed(model):
    exp = mi.Experiment.from_frame(model, {"clean": [CLEAN]})
    assert exp.base == "clean"
    assert exp.answer.guessed
    tokens, mary = list(model.tokens(CLEAN).ids), model.tokens(" Mary").ids[-1]
    ids = mi.Experiment.from_frame(model, {"clean": [tokens], "answer": [mary]})
    assert ids.prompt().prompts[0].ids == model.tokens(CLEAN).ids


def bad_frame():
    rows = frame().to_dict("records")
    good = rows[0]
    return pd.DataFrame(
        [
            *rows,
            good | {"corrupted": SHORT_CORRUPTED},
            good | {"corrupted": None, "distractor": None},
            good | {"answer": " Mary took"},
            good | {"answer": math.nan},
            good | {"answer": " John"},
            good | {"s2": 99, "verb": " took"},
            good | {"s2": math.nan},
            good | {"clean": ""},
        ],
        index=list("abcdefghij"),
    )


def test_every_bad_row_is_listed(model):
    with pytest.raises(mi.BadInput) as caught:
        mi.Experiment.from_frame(model, bad_frame())
    lines = str(caught.value).splitlines()
    assert lines[0] == "8 of 10 rows cannot be asked:"
    for row, says in {
        "c": "differ in length", "d": "No corrupted and no distractor", "e": "is 2 tokens", "f": "No answer",
        "g": "are the same", "h": "s2 99.0 is no position: the prompt has 15 tokens. verb ' took' is no token",
        "i": "No s2", "j": "The prompt is empty",
    }.items():  # fmt: skip
        (line,) = [found for found in lines if f"row {row!r}" in found]
        assert says in line
    assert "on_error='drop'" in lines[-1]
    assert not any("row 'a'" in line or "row 'b'" in line for line in lines)


def test_bad_rows_are_dropped_and_told(model):
    with pytest.warns(UserWarning, match="8 of 10 rows were dropped: row 'c'") as caught:
        exp = mi.Experiment.from_frame(model, bad_frame(), on_error="drop")
    assert caught[0].filename == __file__
    assert exp.prompt().key == mi.Experiment.from_frame(model, frame()).prompt().key
    assert exp.positions == {"s2": (10, 5), "verb": (11, 6)}
    result = exp.run(EDIT)
    assert any("8 of 10 rows were dropped" in note for note in result.provenance.notes)
    exp.ask(metric="prob")
    assert any("8 of 10 rows were dropped" in note for note in exp.run(EDIT).provenance.notes)
    exp.ask(clean=[CLEAN, CLEAN], corrupted=[CORRUPTED, CORRUPTED], answer=" Mary", distractor=" John")
    assert not any("dropped" in note for note in exp.run(()).provenance.notes)
    with pytest.raises(mi.BadInput, match="2 of 2 rows"):
        mi.Experiment.from_frame(model, frame(answer=[" Mary took", ""]), on_error="drop")


def test_columns_that_name_no_position_are_told(model):
    table = frame(template=["ABBA", "BABA"], score=[0.5, 1.5], good=[True, False])
    with pytest.warns(UserWarning, match="names no position") as caught:
        exp = mi.Experiment.from_frame(model, table)
    for name in ("template", "score", "good"):
        assert any(f"column {name!r} names no position" in str(w.message) for w in caught)
        assert any(name in note for note in exp.run(()).provenance.notes)
    assert set(exp.positions) == {"s2", "verb"}


def test_prompts_of_different_length_with_an_alignment(model):
    table = frame(clean=[CLEAN, SHORT_CLEAN], corrupted=[SHORT_CORRUPTED, SHORT_CORRUPTED], s2=[-5, -5])
    exp = mi.Experiment.from_frame(model, table, align="suffix")
    assert exp.positions["s2"] == (10, 5)
    assert [exp.at("s2", run="corrupted", prompt=p) for p in (0, 1)] == [5, 5]
    assert math.isfinite(exp.run(EDIT).metric)


@pytest.mark.parametrize(
    "wrong",
    [pd.DataFrame({"text": [CLEAN]}), pd.DataFrame({"clean": []}), 7, None, "table", {"clean": CLEAN},
     pd.DataFrame([[CLEAN, 1, 2]], columns=["clean", "s2", "s2"])],
)  # fmt: skip
def test_what_is_no_frame(model, wrong):
    with pytest.raises(mi.BadInput):
        mi.Experiment.from_frame(model, wrong)


def test_what_is_no_argument(model):
    with pytest.raises(mi.BadInput, match="on_error"):
        mi.Experiment.from_frame(model, frame(), on_error="ignore")
    with pytest.raises(mi.BadInput, match="is a Model"):
        mi.Experiment.from_frame(frame(), model)


def test_what_is_odd_is_warned_of_where_the_experiment_was_written(model):
    with pytest.warns(UserWarning, match="no leading space") as caught:
        mi.Experiment(model, CLEAN, answer="Mary")
    assert caught[0].filename == __file__
