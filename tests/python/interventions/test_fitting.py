"""Maps with cells whose edit cannot be done: NaN and a sentence, and the others as runs by themselves."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions.edits import DoesNotFit
from mi_widgets.interventions.fitting import fits_of
from tests.python.families import CLEAN, SHORT_CLEAN, experiment, wrapped

LENGTH = 15


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


@pytest.fixture
def exp(model):
    return experiment(model)


def holes(result):
    """Positions of a map at which no layer and head has a number."""
    empty = result.metric.isnan().flatten(0, -2).all(0)
    assert torch.equal(empty, result.metric.isnan().flatten(0, -2).any(0))
    return [result.positions[i] for i in empty.nonzero().flatten().tolist()]


@pytest.mark.parametrize("method", ["exact", "gradient"])
@pytest.mark.parametrize("site", ["scores", "pattern"])
def test_a_knockout_map_begins_where_its_source_is_seen(exp, site, method):
    result = exp.sweep(site, edit=mi.Knockout(src=4), positions="all", method=method, progress=False)
    assert result.axes == ("head", "position")
    assert holes(result) == [0, 1, 2, 3]
    (note,) = [note for note in result.provenance.notes if "no number" in note]
    assert note == (
        f"{3 * 4 * 4} cells have no number: their edits cannot be done there. "
        "knockout L0H0.scores@0<4 cuts nothing: position 0 sees only what is up to it."
    )
    if method == "exact":
        assert torch.equal(result.exact, result.metric.isfinite())
        for layer, head, position in ((0, 0, 4), (1, 2, 9), (2, 3, 14)):
            cell = exp.run(mi.Knockout(layer=layer, head=head, dest=position, src=4))
            assert float(result.metric[layer, head, position]) == pytest.approx(cell.metric, abs=1e-5)


def test_a_position_keeps_its_last_source(exp):
    result = exp.sweep(
        "scores", mi.Knockout(src=(0, 1)), layers=[1], heads=[0], positions=[0, 1, 2, -1], progress=False
    )
    assert holes(result) == [0, 1]
    assert any("takes the last source of position 0" in note for note in result.provenance.notes)


def test_a_map_says_of_one_cell_that_it_has_no_number(exp):
    result = exp.sweep("scores", mi.Knockout(src=1), layers=[1], heads=[0], positions=[0, 5], progress=False)
    assert any(note.startswith("1 cell has no number: its edit") for note in result.provenance.notes)


@pytest.mark.parametrize("method", ["exact", "gradient"])
def test_what_live_edits_cut_counts_too(exp, method):
    """On top of them a cell may take what they have left."""
    exp.edits.add(mi.Knockout(layer=1, head=2, dest=3, src=(1, 2)))
    exp.edits.add(mi.Knockout(layer=1, head=2, dest=(3, 4), src=0))
    asked = {"layers": [0, 1], "heads": [1, 2], "positions": [3, 4], "method": method, "progress": False}
    result = exp.sweep("scores", mi.Knockout(src=3), on_top=True, **asked)
    assert result.metric.isnan().nonzero().tolist() == [[1, 1, 0]]
    assert any("knockout L1H2.scores@3<3 takes the last source" in note for note in result.provenance.notes)
    if method == "exact":
        both = exp.run([*exp.edits, mi.Knockout(layer=1, head=2, dest=4, src=3)])
        assert float(result.metric[1, 1, 1]) == pytest.approx(both.metric, abs=1e-5)
    assert not bool(exp.sweep("scores", mi.Knockout(src=3), **asked).metric.isnan().any())


def test_weights_are_set_where_all_they_look_at_is_before(exp):
    weights = torch.eye(LENGTH)[6]
    result = exp.sweep("pattern", mi.SetPattern(weights=weights), layers=[1], positions="all", progress=False)
    assert holes(result) == [0, 1, 2, 3, 4, 5]
    cell = exp.run(mi.SetPattern(layer=1, head=3, position=6, weights=weights))
    assert float(result.metric[0, 3, 6]) == pytest.approx(cell.metric, abs=1e-5)


def test_of_several_prompts_all_must_allow_it(model):
    pair = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], answer=" Mary", distractor=" John", positions={"one": [12, 8], "two": [4, 8]}
    )
    asked = {"layers": [1], "heads": [1], "positions": ["one", "two"], "progress": False}
    result = pair.sweep("scores", mi.Knockout(src=5), **asked)
    assert holes(result) == ["two"]


def test_a_stream_has_the_same_holes(exp):
    *_, last = exp.sweep_stream("scores", mi.Knockout(src=12), layers=[2], positions="all", order="largest")
    assert holes(last) == list(range(12))
    assert any("cannot be done there" in note for note in last.provenance.notes)


def test_a_map_without_any_cell_is_refused(exp):
    with pytest.raises(mi.BadInput, match="cuts nothing: position 2"):
        exp.sweep("scores", mi.Knockout(src=4), positions=[2, 3], progress=False)


@pytest.mark.parametrize("edit", [mi.Knockout(src=40), mi.SetPattern(weights=torch.eye(14))])
def test_what_is_wrong_everywhere_is_still_refused(exp, edit):
    with pytest.raises(mi.BadInput) as raised:
        exp.sweep(edit.site, edit, positions="all", progress=False)
    assert not isinstance(raised.value, DoesNotFit)


def test_an_attention_edit_at_another_site_is_refused_in_its_own_words(exp):
    with pytest.raises(mi.BadInput, match="'z' is not attention"):
        exp.sweep("z", mi.Knockout(src=4), progress=False)
    with pytest.raises(mi.BadInput, match="not 'scores'"):
        exp.sweep("scores", mi.SetPattern(weights=torch.eye(LENGTH)), progress=False)


def test_what_fits_runs_and_what_does_not_is_refused(exp):
    """Over all destinations and sources, on top of a live edit."""
    exp.edits.add(mi.Knockout(layer=1, dest=range(3, 6), src=(0, 1, 2)))
    fits = fits_of(exp.snapshot())
    found = set()
    for dest in range(6):
        for src in ((0,), (3,), (3, 4, 5), (-LENGTH, 5)):
            edit = mi.Knockout(layer=1, head=1, dest=dest, src=src)
            found.add(fits(edit) is None)
            if fits(edit) is None:
                exp.run([*exp.edits, edit])
            else:
                with pytest.raises(DoesNotFit):
                    exp.run([*exp.edits, edit])
    assert found == {True, False}


@pytest.mark.parametrize("first", ["columns", "largest"])
def test_where_only_a_run_tells_the_cells_beside_are_still_run(first):
    """In a window of 4 the positions 3 to 6 see nothing but these; how far a model looks back only its runs tell."""
    exp = experiment(wrapped("mistral"))
    edit = mi.Knockout(src=(3, 4, 5, 6))
    asked = {"layers": [0, 1], "heads": [1, 3], "positions": "all"}
    *_, result = exp.sweep_stream("scores", edit, **asked, order=first)
    assert holes(result) == [0, 1, 2, 6]
    assert torch.equal(result.exact, result.metric.isfinite())
    (note,) = [note for note in result.provenance.notes if "no number" in note]
    assert note.startswith("16 cells have no number: their edits cannot be done there. ")
    for layer, head, position in ((0, 0, 3), (1, 1, 5), (1, 0, 7)):
        place = {"layer": result.layers[layer], "head": result.heads[head], "dest": position}
        cell = exp.run(edit.on(**place))
        assert float(result.metric[layer, head, position]) == pytest.approx(cell.metric, abs=1e-5)
    guess = exp.sweep("scores", edit, **asked, method="gradient", progress=False)
    assert holes(guess) == [0, 1, 2, 6]
    with pytest.raises(mi.BadInput, match="last source of a position"):
        exp.sweep("scores", edit, layers=[0], positions=[6], progress=False)
