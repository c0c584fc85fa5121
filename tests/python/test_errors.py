"""The errors: one base, what to do in every message, and built-in kinds where people expect them."""

from __future__ import annotations

import pickle

import pytest

import mi_widgets as mi
from mi_widgets import errors

ALL = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("error", ALL)
def test_one_base_and_a_hint(error):
    raised = error("It is wrong.", hint="Do this.")
    assert isinstance(raised, mi.MiWidgetsError)
    assert str(raised) == "It is wrong. Do this."
    assert (raised.message, raised.hint) == ("It is wrong.", "Do this.")
    assert str(error("It is wrong.")) == "It is wrong."


@pytest.mark.parametrize("error", ALL)
def test_errors_travel_between_processes(error):
    raised = pickle.loads(pickle.dumps(error("It is wrong.", hint="Do this.")))
    assert type(raised) is error
    assert (str(raised), raised.message, raised.hint) == ("It is wrong. Do this.", "It is wrong.", "Do this.")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(mi.BadInput, ValueError), (mi.PromptMismatch, ValueError), (mi.AnswerNotSingleToken, ValueError),
     (mi.NotFinite, ArithmeticError), (mi.OutOfMemory, MemoryError)],
)  # fmt: skip
def test_the_kinds_people_catch(error, kind):
    assert issubclass(error, kind)


def test_the_contracts_names_are_public():
    for name in ("SiteUnavailable", "PromptMismatch", "AnswerNotSingleToken", "UnsupportedArchitecture", "NotFinite",
                 "Cancelled", "OutOfMemory", "MiWidgetsError"):  # fmt: skip
        assert getattr(mi, name) is getattr(errors, name)


def test_what_may_be_tried_again_says_so():
    assert {e.__name__ for e in ALL if e.retryable} == {"Stale", "Cancelled", "OutOfMemory"}
