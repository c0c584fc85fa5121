"""How positions of two prompts pair, asked anew of an experiment that lives."""

from __future__ import annotations

import pytest

import mi_widgets as mi
from tests.python.by_hand import changed, logit_diff, record
from tests.python.families import CLEAN, SHORT_CORRUPTED, ids_of, wrapped

PAIRS = {10: 5, 14: 8}


@pytest.fixture
def exp():
    return mi.Experiment(wrapped("llama"), CLEAN, SHORT_CORRUPTED, " Mary", " John", base="clean")


def by_hand(exp, here, there, positions, layer):
    """The metric of one prompt whose residual before a layer is another's at some positions: {here: there}."""
    theirs = record(exp.model.hf, ids_of(exp.model, there))["resid_pre", layer]

    def write(x):
        x = x.clone()
        for p, q in positions.items():
            x[p] = theirs[q]
        return x

    logits, _ = changed(exp.model.hf, ids_of(exp.model, here), {("resid_pre", layer): [write]})
    return logit_diff(logits[-1], exp.answer.ids[0], exp.distractor.ids[0])


def test_a_pairing_is_asked_for_and_taken_back(exp):
    edit = mi.Patch("resid_pre", 1, position=10)
    with pytest.raises(mi.PromptMismatch):
        exp.run(edit)
    rev = exp.ask(align="suffix")
    assert rev == exp.rev == 2
    length = len(exp.prompt("corrupted").prompts[0])
    there = length - (len(exp.prompt().prompts[0]) - 10)
    assert exp.run(edit).metric == pytest.approx(by_hand(exp, CLEAN, SHORT_CORRUPTED, {10: there}, 1), abs=1e-4)
    exp.ask(align=PAIRS)
    assert exp.run(edit).metric == pytest.approx(by_hand(exp, CLEAN, SHORT_CORRUPTED, {10: 5}, 1), abs=1e-4)
    with pytest.raises(mi.BadInput, match="align names source positions"):
        exp.ask(align={0: 99})
    with pytest.raises(mi.BadInput, match="align is None, 'suffix', 'common' or a mapping"):
        exp.ask(align="prefix")
    assert exp.snapshot().align == PAIRS
    exp.ask(align=None)
    with pytest.raises(mi.PromptMismatch):
        exp.run(edit)
    assert exp.pairs == PAIRS  # still offered


def test_given_pairs_stay_the_same_pairs_on_the_other_base(exp):
    exp.ask(align=PAIRS)
    edit = mi.Patch("resid_pre", 1, position=5)
    expected = by_hand(exp, SHORT_CORRUPTED, CLEAN, {5: 10}, 1)
    assert exp.run(edit, base="corrupted").metric == pytest.approx(expected, abs=1e-4)
    exp.base = "corrupted"
    assert exp.pairs == {5: 10, 8: 14}
    assert exp.run(edit).metric == pytest.approx(expected, abs=1e-4)
    exp.base = "clean"
    assert exp.snapshot().align == PAIRS


def test_an_edit_without_its_partner_is_switched_off_and_the_lens_follows(exp):
    exp.ask(align={10: 5})
    exp.edits.add(mi.Patch("resid_pre", 1, position=10))
    one = exp.lens().logits
    exp.ask(align={10: 4})
    assert exp.edits.enabled
    assert not bool((exp.lens().logits == one).all())
    exp.ask(align={3: 3})
    (entry,) = exp.edits.entries
    assert not entry.on
    assert "10" in entry.note
