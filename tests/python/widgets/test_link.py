"""One selection across experiments and models."""

from __future__ import annotations

import weakref

import pytest

from mi_widgets.errors import BadInput
from mi_widgets.widgets import AttentionHeads, link
from tests.python.freed import freed


def texts(widget):
    return [str(site) for site in widget.selection]


@pytest.fixture
def pair(analysis, experiment, page_of):
    large = page_of(AttentionHeads(experiment(layers=3))).widget
    small = page_of(AttentionHeads(experiment(layers=1))).widget
    return large, small


def test_selecting_in_one_selects_in_the_other_both_ways(pair):
    large, small = pair
    link(large, small)
    large.selection = ["L0H1.pattern@2<1"]
    assert texts(small) == ["L0H1.pattern@2<1"]
    assert [str(s) for s in small._exp.selection] == ["L0H1.pattern@2<1"]
    small.selection = ["L0H0.z"]
    assert texts(large) == ["L0H0.z"]


def test_what_the_other_model_does_not_have_stays_where_it_is(pair):
    large, small = pair
    link(large, small)
    large.selection = ["L2H1.pattern", "L0H1.pattern"]
    assert texts(small) == ["L0H1.pattern"]
    assert texts(large) == ["L2H1.pattern", "L0H1.pattern"]
    large.selection = ["L2H1.pattern"]
    assert (texts(large), texts(small)) == (["L2H1.pattern"], [])


def test_what_is_selected_when_linking_is_taken_over(pair):
    large, small = pair
    small.selection = ["L0H1.pattern"]
    link(large, small)
    assert texts(large) == ["L0H1.pattern"]


def test_unlink_ends_it(pair):
    large, small = pair
    both = link(large, small)
    both.unlink()
    both.unlink()
    large.selection = ["L0H1.pattern"]
    assert texts(small) == []


def test_a_link_keeps_no_closed_widget_alive(analysis, experiment, page_of):
    kept = page_of(AttentionHeads(experiment())).widget
    other = AttentionHeads(experiment())
    both = link(kept, other)
    other.wait(120)
    gone = weakref.ref(other)
    other.close()
    del other
    assert freed(gone)
    kept.selection = ["L0H1.pattern"]
    assert both is not None


@pytest.mark.parametrize("count", [0, 1])
def test_a_link_needs_two_widgets(pair, count):
    with pytest.raises(BadInput, match="two or more widgets"):
        link(*pair[:count])
    with pytest.raises(BadInput, match="two or more widgets"):
        link(pair[0], pair[1]._exp)
