"""Named positions: the same role at another place in each prompt, wherever a position is taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions.positions import from_end, rows_of
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, SHORT_CORRUPTED, experiment, wrapped

NAMES = {"io": [2, 1], "s2": [10, 5], "last": -1}


@pytest.fixture(scope="module")
def model():
    return wrapped("qwen2")


@pytest.fixture(scope="module")
def exp(model):
    """Two prompts of 15 and 10 tokens."""
    return mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], " Mary", [" John", " Anna"], positions=NAMES
    )


def one(model, row, **more):
    pair = ((CLEAN, CORRUPTED, " John"), (SHORT_CLEAN, SHORT_CORRUPTED, " Anna"))[row]
    return mi.Experiment(model, *pair[:2], " Mary", pair[2], **more)


def test_what_names_stand_for(exp):
    lengths = exp.prompt("clean").lengths
    assert exp.positions == {"io": (2, 1), "s2": (10, 5), "last": tuple(n - 1 for n in lengths)}
    assert [exp.at("s2", prompt=p) for p in (0, 1)] == [10, 5]
    assert exp.at("end", prompt=1) == lengths[1] - 1
    assert exp.at(" gave") == exp.prompt("clean").prompts[0].find(" gave")
    with pytest.raises(mi.BadInput, match="No token reads 's3'"):
        exp.at("s3")
    given = np.array([10, 5])
    assert mi.Experiment(exp.model, [CLEAN, SHORT_CLEAN], positions={"s2": given}).positions["s2"] == (10, 5)


@pytest.mark.parametrize(
    ("site", "own"), [("resid_pre", {}), ("z", {"head": 2}), ("q", {}), ("v", {"head": 1}), ("mlp_post", {"unit": 3})]
)
@pytest.mark.parametrize("position", ["s2", ("io", "end"), ["s2", -1]])
def test_an_edit_at_a_name_is_one_at_each_prompts_position(model, exp, site, own, position):
    result = exp.run(mi.Patch(site, 1, position=position, **own))
    for row in (0, 1):
        several = [position] if isinstance(position, str) else position
        where = [exp.at(p, prompt=row) if isinstance(p, str) else p for p in several]
        alone = one(model, row).run(mi.Patch(site, 1, position=where, **own))
        torch.testing.assert_close(result.logits[row], alone.logits[0], atol=2e-5, rtol=1e-5)
        assert alone.metric != pytest.approx(one(model, row).run(()).metric, abs=1e-4)


@pytest.mark.parametrize(
    ("positions", "labels"), [(["io", "s2", "end"], ("io", "s2", "end")), ("from_end", range(-1, -11, -1))]
)
def test_a_sweep_over_prompts_of_different_length(exp, positions, labels):
    """Each column is another position in each prompt: the same as running the cells one by one."""
    found = exp.sweep("resid_pre", layers=[1], positions=positions, progress=False)
    assert found.positions == tuple(labels)
    for column, position in list(enumerate(labels))[:3]:
        cell = exp.run(mi.Patch("resid_pre", 1, position=position))
        assert float(found.metric[0, column]) == pytest.approx(cell.metric, abs=1e-5)
        assert found.per_prompt["metric"][:, 0, column].tolist() == pytest.approx(
            cell.per_prompt["metric"].tolist(), abs=1e-5
        )
    assert bool(found.exact.all())


def test_reading_at_names(model, exp):
    for position, shape in (("s2", (2, 3, 4, 8)), (["io", "end"], (2, 3, 2, 4, 8))):
        found = exp.read("z", position=position)
        assert found.shape == shape
        for row in (0, 1):
            several = [position] if isinstance(position, str) else position
            own = one(model, row).read("z", position=[exp.at(p, prompt=row) for p in several])[0]
            torch.testing.assert_close(found[row].reshape(own.shape), own, atol=1e-5, rtol=1e-5)


def test_a_source_position_may_be_named(exp):
    named, by_number = mi.Zero("z", 1), []
    named = mi.Patch("resid_pre", 1, position="end", source_position="s2")
    for row in (0, 1):
        edit = mi.Patch("resid_pre", 1, position=-1, source_position=exp.at("s2", prompt=row))
        by_number.append(float(one(exp.model, row).run(edit).metric))
    assert exp.run(named).per_prompt["metric"].tolist() == pytest.approx(by_number, abs=2e-5)


def test_names_read_well_and_are_remembered(exp):
    assert str(mi.Patch("resid_pre", 2, position="s2")) == "patch L2.resid_pre@s2"
    assert str(mi.Zero("z", 2, 1, ["io", -1])) == "zero L2H1.z@[io,-1]"
    assert mi.Zero("z", 1, position="s2") == mi.Zero("z", 1, position="s2") != mi.Zero("z", 1, position="io")
    assert hash(mi.Zero("z", 1, position=["s2", 3])) == hash(mi.Zero("z", 1, position=("s2", 3)))


def test_names_lie_where_the_alignment_pairs_them(model):
    short = "Mary saw Anna , Mary gave a key to"
    suffix = mi.Experiment(model, CLEAN, short, " Mary", " John", align="suffix", positions={"s2": 10, "first": 1})
    back = len(suffix.prompt().prompts[0]) - 10
    assert suffix.at("s2", run="corrupted") == len(suffix.prompt("corrupted").prompts[0]) - back
    with pytest.raises(mi.BadInput, match="named 'first'"):
        suffix.run(mi.Zero("z", 1, position="first"))
    mapped = mi.Experiment(model, CLEAN, short, " Mary", " John", align={5: 10}, positions={"s2": 10})
    assert mapped.at("s2", run="corrupted") == 5
    with pytest.raises(mi.PromptMismatch, match="Named positions are counted in the clean prompts"):
        mi.Experiment(model, CLEAN, short, " Mary", " John", positions={"s2": 10})


@pytest.mark.parametrize(
    "wrong",
    [{"s2": 99}, {"s2": [1]}, {"s2": [1, 2, 3]}, {"s2": "John"}, {"s2": 1.5}, {"s2": None}, {"s2": [1, None]}, {"": 1},
     {3: 1}, {"all": 1}, {"from_end": 1}, ["s2"], "s2", {"s2": [1, 12]}, {"s2": True}],
)  # fmt: skip
def test_what_is_no_named_position(model, wrong):
    with pytest.raises(mi.BadInput):
        mi.Experiment(model, [CLEAN, SHORT_CLEAN], positions=wrong)


def test_a_name_that_is_not_there(exp):
    for call in (
        lambda: exp.run(mi.Zero("z", 1, position="s3")),
        lambda: exp.edits.add(mi.Zero("z", 1, position=["io", "s3"])),
        lambda: exp.read("z", position="s3"),
    ):
        with pytest.raises(mi.BadInput, match=r"named 's3'.* Names: io, s2, last, end"):
            call()
    with pytest.raises(mi.BadInput):
        mi.Zero("z", "one")
    with pytest.raises(mi.BadInput):
        mi.Zero("z", 1, head="s2")


def test_a_new_prompt_keeps_names_while_lengths_stay(model):
    exp = experiment(model, positions={"s2": 10})
    exp.edits.add(mi.Patch("resid_pre", 1, position="s2"))
    exp.ask(clean=CLEAN.replace("drink", "book"), corrupted=CORRUPTED.replace("drink", "book"))
    assert exp.positions == {"s2": (10,)}
    assert exp.edits.entries[0].on
    exp.ask(clean=SHORT_CLEAN, corrupted=SHORT_CORRUPTED)
    assert exp.positions == {}
    assert not exp.edits.entries[0].on
    assert "named 's2'" in exp.edits.entries[0].note
    exp.ask(positions={"s2": 5})
    exp.edits.toggle(0)
    assert exp.run().metric == pytest.approx(exp.run(mi.Patch("resid_pre", 1, position=5)).metric)


def test_a_name_that_moves_makes_old_maps_unknown(model):
    exp, edit = experiment(model, positions={"s2": 10}), mi.Patch("resid_pre", 1, position="s2")
    exp.sweep("resid_pre", layers=[1], positions=["s2"], progress=False)
    assert exp.known(edit)[0] == pytest.approx(exp.run(edit).metric, abs=1e-5)
    exp.ask(positions={"s2": 11})
    assert exp.known(edit) is None


def test_rows_and_ends(exp):
    batch = exp.prompt()
    assert rows_of(batch, "s2") == [[10], [5]]
    assert rows_of(batch, ("io", -1)) == [[2, 14], [1, batch.lengths[1] - 1]]
    assert rows_of(batch, None) == [list(range(n)) for n in batch.lengths]
    assert from_end(batch) == tuple(range(-1, -batch.lengths[1] - 1, -1))
