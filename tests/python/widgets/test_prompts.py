"""Several prompts: views of an experiment show one of them at a time, the same in all."""

from __future__ import annotations

import pytest

import mi_widgets as mi
from mi_widgets.widgets import arrays

PROMPTS = [[1, 11, 12, 10, 11, 12, 10], [1, 5, 6, 7], [1, 9, 8, 9, 8, 9]]


@pytest.fixture(scope="module")
def model():
    return mi.load("tiny-induction")


@pytest.fixture
def exp(model):
    return mi.Experiment(model, PROMPTS)


@pytest.fixture
def page(page_of, exp):
    page = page_of(mi.AttentionHeads(exp))
    page.widget.wait(120)
    return page


def asked(page):
    question = page.widget.question
    return question["prompt"], question["n_prompts"], question["prompts"]["clean"]["ids"]


def test_the_first_is_shown_until_another_is_chosen(page, model):
    assert asked(page) == (0, 3, PROMPTS[0])
    done = page.answer(page.request("question.set", base_rev=1, prompt=2))
    assert done.content["data"] == {"rev": 2}
    page.widget.wait(120)
    assert asked(page) == (2, 3, PROMPTS[2])
    entry = page.widget.atlas["arrays"]["thumbs"]
    assert (page.widget.atlas["rev"], page.widget.atlas["positions"]) == (2, len(PROMPTS[2]))
    shown = arrays.decode(entry, entry["data"])
    alone = mi.Experiment(model, PROMPTS[2]).patterns().values.numpy()
    assert abs(shown - alone).max() <= 0.5 / 254 + 1e-6


def test_all_views_of_the_experiment_follow(page, page_of, exp):
    beside = page_of(mi.AttentionHeads(exp))
    page.answer(page.request("question.set", base_rev=1, prompt=1))
    for view in (page, beside):
        view.widget.wait(120)
        assert asked(view) == (1, 3, PROMPTS[1])


def test_another_question_with_fewer_prompts_shows_its_last(page, exp):
    page.answer(page.request("question.set", base_rev=1, prompt=2))
    exp.ask(clean=PROMPTS[0])
    page.widget.wait(120)
    assert asked(page) == (0, 1, PROMPTS[0])


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"prompt": 3}, "0 to 2|prompt"),
        ({"prompt": -1}, "prompt"),
        ({"prompt": "mean"}, "prompt"),
        ({"prompt": 1, "metric": "prob"}, "two things at once"),
    ],
)
def test_what_is_no_prompt_is_refused(page, params, told):
    failed = page.answer(page.request("question.set", base_rev=1, **params)).content
    assert failed["kind"] == "failed"
    assert any(part in failed["message"] for part in told.split("|"))
    assert asked(page) == (0, 3, PROMPTS[0])


def test_python_chooses_too(exp):
    exp.show_prompt(1)
    assert exp.question()["prompts"]["clean"]["ids"] == PROMPTS[1]
    with pytest.raises(mi.BadInput, match="no prompt 3"):
        exp.show_prompt(3)
