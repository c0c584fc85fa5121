"""What edits of any site write, against the same write in a forward pass written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import mi_widgets as mi
from tests.python.by_hand import changed, record
from tests.python.families import CLEAN, CORRUPTED, SHORT_CLEAN, experiment, ids_of
from tests.python.interventions.edited import LENGTH, OTHERS, by_hand, edited, moved, near


@pytest.mark.parametrize("site", ["resid_mid", "z", "k", "scores", "pattern", "mlp_post", "final_norm", "logits"])
def test_scale(model, exp, site):
    layer = None if site in ("final_norm", "logits") else 1
    for factor in (-0.5, 0.0, 3.0):
        logits = edited(exp, mi.Scale(site, layer, factor=factor))
        near(logits, by_hand(model, {(site, layer): lambda x, f=factor: x.where(x == -math.inf, f * x)}))
        moved(exp, logits)
    near(edited(exp, mi.Scale(site, layer, factor=1)), edited(exp))


def test_scale_of_one_head_unit_and_position(model, exp):
    def change(x):
        x[[3, 14], 1, 2] *= 2.5
        return x

    edit = mi.Scale("z", 1, head=1, unit=2, position=(3, -1), factor=2.5)
    near(edited(exp, edit), by_hand(model, {("z", 1): change}))


def test_add_a_vector_of_any_shape(model, exp, noise):
    d, heads, width = model.d_model, model.n_heads, model.d_head_v
    one, each = noise(d), noise(LENGTH, d)
    near(edited(exp, mi.Add("resid_post", 1, vector=one)), by_hand(model, {("resid_post", 1): lambda x: x + one}))
    near(
        edited(exp, mi.Add("resid_post", 1, vector=each, scale=-2)),
        by_hand(model, {("resid_post", 1): lambda x: x - 2 * each}),
    )
    near(
        edited(exp, mi.Add("resid_post", 1, position=(2, -1), vector=each[None])),
        by_hand(model, {("resid_post", 1): lambda x: x + each * torch.eye(LENGTH)[[2, 14]].sum(0)[:, None]}),
    )
    for vector in (noise(width), noise(heads, width), noise(LENGTH, heads, width)):
        logits = edited(exp, mi.Add("z", 1, vector=vector))
        near(logits, by_hand(model, {("z", 1): lambda x, v=vector: x + v}))
        moved(exp, logits)
    third = torch.eye(heads)[2][:, None]
    by_head = noise(heads, width)
    near(edited(exp, mi.Add("z", 1, head=2, vector=by_head)), by_hand(model, {("z", 1): lambda x: x + third * by_head}))

    def neuron(x):
        x[:, 5] += 2
        return x

    near(edited(exp, mi.Add("mlp_post", 1, unit=5, vector=2)), by_hand(model, {("mlp_post", 1): neuron}))


def test_add_to_attention_unmasks_nothing(model, exp, noise):
    seen = torch.ones(LENGTH, LENGTH).tril().bool()
    for vector in (noise(LENGTH), noise(LENGTH, LENGTH), noise(model.n_heads, LENGTH, LENGTH)):
        near(
            edited(exp, mi.Add("scores", 1, vector=vector)),
            by_hand(model, {("scores", 1): lambda x, v=vector: x + v}),
        )
        near(
            edited(exp, mi.Add("pattern", 1, vector=vector)),
            by_hand(model, {("pattern", 1): lambda x, v=vector: torch.where(seen, x + v, x)}),
        )


@pytest.mark.parametrize(
    ("site", "shape"), [("resid_post", (5,)), ("resid_post", (3, 32)), ("z", (5,)), ("z", (3, 8)), ("pattern", (4,)),
                        ("resid_post", (2, 15, 32)), ("logits", (2, 3))],
)  # fmt: skip
def test_a_vector_that_does_not_fit_is_refused(exp, site, shape):
    with pytest.raises(mi.BadInput):
        edited(exp, mi.Add(site, None if site == "logits" else 1, vector=torch.ones(shape)))


def test_project_out_a_subspace(model, exp, noise):
    """Whatever the columns are (not orthogonal, dependent), what the value has in their span is gone."""
    basis = noise(model.d_model, 3)
    basis = torch.cat([basis, basis[:, :1] - 2 * basis[:, 1:2]], 1)
    span = basis[:, :3]
    keeps = torch.eye(model.d_model) - span @ torch.linalg.inv(span.T @ span) @ span.T
    logits = edited(exp, mi.Project("resid_mid", 1, basis=basis))
    near(logits, by_hand(model, {("resid_mid", 1): lambda x: x @ keeps}))
    moved(exp, logits)
    asked = experiment(model)
    asked.edits.add(mi.Project("resid_mid", 1, basis=basis))
    gone = asked.read("resid_mid", 1, run="edited")[0] @ basis
    assert float(gone.abs().max()) < 1e-4
    assert mi.Project(basis=basis).axes.shape == (model.d_model, 3)


def test_project_takes_the_subspace_from_elsewhere(model, exp, noise):
    clean = record(model.hf, ids_of(model, CLEAN))
    basis = noise(model.d_head_v)
    along = torch.outer(basis, basis) / basis.square().sum()
    for source in ("other", "clean", CLEAN, clean["z", 1]):
        near(
            edited(exp, mi.Project("z", 1, head=3, position=(9, 10, 14), basis=basis, source=source)),
            by_hand(model, {("z", 1): lambda x: _in_part(x, clean["z", 1], along)}),
        )
    whole = mi.Project("resid_pre", 1, basis=torch.eye(model.d_model), source="clean")
    near(edited(exp, whole), edited(exp, mi.Patch("resid_pre", 1)))


def _in_part(x, source, along):
    for p in (9, 10, 14):
        x[p, 3] = x[p, 3] + (source[p, 3] - x[p, 3]) @ along
    return x


def test_a_basis_of_edited_units(model, exp):
    def change(x):
        x[:, [4, 7]] = x[:, [4, 7]].mean(-1, keepdim=True)
        return x

    edit = mi.Project("mlp_post", 1, unit=(4, 7), basis=torch.tensor([1.0, -1.0]))
    near(edited(exp, edit), by_hand(model, {("mlp_post", 1): change}))
    with pytest.raises(mi.BadInput, match="2 rows"):
        edited(exp, mi.Project("mlp_post", 1, unit=4, basis=torch.tensor([1.0, -1.0])))


def test_a_patch_from_another_prompt(model, exp):
    other = record(model.hf, ids_of(model, OTHERS[0]))
    for source in (
        OTHERS[0],
        ids_of(model, OTHERS[0]),
        [OTHERS[0]],
        np.array(ids_of(model, OTHERS[0])),
        torch.tensor(ids_of(model, OTHERS[0])),
    ):
        logits = edited(exp, mi.Patch("z", 1, head=1, source=source))
        near(logits, by_hand(model, {("z", 1): lambda x: torch.cat([x[:, :1], other["z", 1][:, 1:2], x[:, 2:]], 1)}))
    with pytest.raises(mi.PromptMismatch, match="10 tokens"):
        edited(exp, mi.Patch("z", 1, source=SHORT_CLEAN))
    short = record(model.hf, ids_of(model, SHORT_CLEAN))

    def change(x):
        x[12] = short["resid_post", 0][4]
        return x

    edit = mi.Patch("resid_post", 0, position=12, source=SHORT_CLEAN, source_position=4)
    near(edited(exp, edit), by_hand(model, {("resid_post", 0): change}))


def test_one_source_prompt_for_each(model):
    pair = mi.Experiment(model, [CORRUPTED, OTHERS[0]], answer=" Mary", distractor=" John")
    logits = pair.run(mi.Patch("z", 1, source=list(OTHERS[1:]))).logits
    for row, (text, source) in enumerate(((CORRUPTED, OTHERS[1]), (OTHERS[0], OTHERS[2]))):
        z = record(model.hf, ids_of(model, source))["z", 1]
        near(logits[row], by_hand(model, {("z", 1): lambda x, z=z: z}, text))
    rows = np.array([ids_of(model, text) for text in OTHERS[1:]])
    assert torch.equal(pair.run(mi.Patch("z", 1, source=rows)).logits, logits)
    with pytest.raises(mi.BadInput, match="3 prompts"):
        pair.run(mi.Patch("z", 1, source=list(OTHERS)))


def test_other_prompts_are_tokenised_as_the_experiments_own(model):
    bare = mi.Experiment(model, CORRUPTED, answer=" Mary", distractor=" John", bos=False)
    other = record(model.hf, ids_of(model, OTHERS[0])[1:])["z", 1]
    logits = changed(model.hf, ids_of(model, CORRUPTED)[1:], {("z", 1): [lambda x: other]})[0][-1]
    near(bare.run(mi.Patch("z", 1, source=OTHERS[0])).logits[0], logits)
