"""The examples in the docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import mi_widgets

ROOMS = ("model", "interventions", "analysis", "code", "experiment", "results", "errors", "jobs")


def modules():
    for room in ROOMS:
        name = f"mi_widgets.{room}"
        package = importlib.import_module(name)
        yield name
        for found in pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}."):
            yield found.name


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in modules():
        for test in finder.find(importlib.import_module(name)):
            if test.examples:
                yield pytest.param(test, id=test.name)


@pytest.mark.parametrize("test", list(examples()))
def test_an_example_runs(test):
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert tried > 0
    assert failed == 0


def test_there_are_examples():
    assert mi_widgets.__doc__
    assert len(list(examples())) >= 12
