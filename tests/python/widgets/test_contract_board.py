"""The golden messages of the patch board: a really trained model's, compared to what its numbers can vary by.

`MI_WRITE_CONTRACT=1 pytest tests/python/widgets/test_contract_board.py` writes them anew after a change of the format.
"""

from __future__ import annotations

import pytest

import mi_widgets as mi
from tests.python.widgets.test_contract import load
from tests.python.widgets.test_contract_lens import check

PATCH = mi.Patch("resid_post", 2, position=14)
REQUESTS = {
    "request-board": "done-board",
    "request-board-cells": "done-board-cells",
    "request-patch-preview": "done-patch-preview",
    "request-patch-preview-alpha": "done-patch-preview-alpha",
    "request-runs-list": "done-runs-list",
    "request-runs-effect": "done-runs-effect",
    "request-runs-restore": "done-runs-restore",
    "request-edits-add": "done-edits-add",
    "request-edits-replace": "done-edits-replace",
    "request-question-align": "done-question-align",
}


def settled(value):
    """A copy in which kernels are called as on any machine: which one multiplies fastest is found out on each."""
    if isinstance(value, dict):
        return {k: v.split(",")[0] if k == "kernel" else settled(v) for k, v in value.items()}
    return [settled(one) for one in value] if isinstance(value, list) else value


def snapshot(page):
    """The trait as a page that opens now gets it, with its buffers."""
    welcome = page.hello({"question": page.widget.revs["question"]})
    return welcome.content["snapshot"]["board"], welcome.buffers


@pytest.fixture
def edited(board):
    """With two runs in the history."""
    board.exp.edits.add(mi.Patch("z", 3, head=1, position=14))
    board.widget.wait(120)
    board.exp.edits.add(PATCH)
    board.widget.wait(120)
    return board


def test_the_trait(board):
    trait, buffers = snapshot(board)
    check("board", settled(trait), buffers)


def test_the_trait_of_an_edited_run(edited):
    trait, buffers = snapshot(edited)
    check("board-edited", settled(trait), buffers)


def test_the_trait_of_one_prompt(board_of):
    exp = mi.Experiment(mi.load(), "When Mary and John went to the store", answer=",")
    trait, buffers = snapshot(board_of(exp))
    check("board-alone", settled(trait), buffers)


@pytest.mark.parametrize("name", REQUESTS)
def test_replies(edited, name):
    sent = load(name)[0]
    edited.send(sent)
    done = edited.answer(sent["id"])
    assert done.content["kind"] == "done", done.content
    check(REQUESTS[name], settled(done.content), done.buffers)


def test_code_is_text(edited):
    sent = load("request-code-python")[0]
    edited.send(sent)
    told = edited.answer(sent["id"]).content
    assert (told["kind"], list(told["data"])) == ("done", ["text"])
    compile(told["data"]["text"], "script", "exec")
