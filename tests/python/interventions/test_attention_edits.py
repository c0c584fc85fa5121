"""Cut edges and weights that are set, against the same in a forward pass written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from tests.python.families import experiment, wrapped
from tests.python.interventions.edited import LENGTH, by_hand, edited, moved, near


def test_knockout_cuts_before_the_softmax(model, exp, base):
    """The rest of the row is renormalised, whatever the kernel is."""

    def change(x):
        x[1, [13, 14], 11] = x[1, [13, 14], 12] = -math.inf
        return x

    edit = mi.Knockout(layer=1, head=1, dest=(13, -1), src=(11, -3))
    logits = edited(exp, edit)
    near(logits, by_hand(model, {("scores", 1): change}))
    moved(exp, logits)
    asked = experiment(model)
    asked.edits.add(edit)
    cut = asked.read("pattern", 1, run="edited")[0]
    row = base["pattern", 1][1, 14].clone()
    row[[11, 12]] = 0
    near(cut[1, 14], row / row.sum())
    near(cut[0], base["pattern", 1][0])


def test_knockout_of_all_heads_layers_and_destinations(model, exp):
    """Without a destination every position that sees the source loses it; here each has another to look at."""

    def change(x):
        x[:, 3:, 2] = -math.inf
        return x

    edit = mi.Knockout(dest=range(3, LENGTH), src=2)
    near(edited(exp, edit), by_hand(model, {("scores", layer): change for layer in range(3)}))
    every = mi.Knockout(layer=2, src=2)

    def cut(x):
        x[:, :, 2] = -math.inf
        return x

    near(edited(exp, every), by_hand(model, {("scores", 2): cut}))


def test_the_last_source_cannot_be_cut(model, exp):
    with pytest.raises(mi.BadInput, match="last source of position 0"):
        edited(exp, mi.Knockout(layer=1, src=0))
    with pytest.raises(mi.BadInput, match="last source of position 2"):
        experiment(model).edits.add(mi.Knockout(layer=1, dest=2, src=(0, 1, 2)))
    with pytest.raises(mi.BadInput, match="cuts nothing"):
        edited(exp, mi.Knockout(layer=1, dest=2, src=3))
    # In a window of 4 the last position sees 11 to 14 only.
    with pytest.raises(mi.BadInput, match="last source"):
        edited(experiment(wrapped("mistral")), mi.Knockout(layer=0, dest=14, src=(11, 12, 13, 14)))


def test_two_cuts_of_one_row_are_both_there(model, exp):
    one = mi.Knockout(layer=1, head=2, dest=14, src=(12, 13))
    two = [mi.Knockout(layer=1, head=2, dest=14, src=12), mi.Knockout(layer=1, head=2, dest=14, src=13)]
    near(edited(exp, one), edited(exp, *two))


@pytest.mark.filterwarnings("ignore:.*do not sum to 1")
def test_set_pattern_uses_weights_as_they_are(model, exp, noise):
    whole = noise(model.n_heads, LENGTH, LENGTH).tril()
    logits = edited(exp, mi.SetPattern(layer=1, weights=whole))
    near(logits, by_hand(model, {("pattern", 1): lambda x: whole}))
    moved(exp, logits)

    def one_head(x):
        x[2] = whole[2]
        return x

    for weights in (whole, whole[2], whole[[2]], whole[None]):
        edit = mi.SetPattern(layer=1, head=2, weights=weights)
        near(edited(exp, edit), by_hand(model, {("pattern", 1): one_head}))

    def rows(x):
        x[1, [12, 14]] = whole[1, [12, 14]]
        return x

    for weights in (whole[1], whole[1, [12, 14]], whole[[1]][:, [12, 14]]):
        edit = mi.SetPattern(layer=1, head=1, position=(12, -1), weights=weights)
        near(edited(exp, edit), by_hand(model, {("pattern", 1): rows}))

    def last(x):
        x[:, 14] = whole[1, 14]
        return x

    near(
        edited(exp, mi.SetPattern(layer=1, position=14, weights=whole[1, 14])),
        by_hand(model, {("pattern", 1): last}),
    )


def test_weights_that_cannot_be(exp):
    even = torch.full((LENGTH, LENGTH), 1 / LENGTH)
    with pytest.raises(mi.BadInput, match="source comes after"):
        edited(exp, mi.SetPattern(layer=1, weights=even))
    with pytest.raises(mi.BadInput, match=r"\[14, 14\]"):
        edited(exp, mi.SetPattern(layer=1, weights=torch.eye(14)))
    with pytest.warns(UserWarning, match=r"15 of 15 rows.*the first to 2"):
        mi.SetPattern(layer=1, weights=2 * torch.eye(LENGTH))
