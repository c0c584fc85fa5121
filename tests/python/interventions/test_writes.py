"""Patches and zeros at every site and many places, against the same write in a forward pass written out by hand.

Kinds of edits are in `test_edit_kinds` and beside it, all families in `test_edit_families`.
"""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from tests.python.by_hand import changed, forward, record
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CLEAN,
    SHORT_CORRUPTED,
    experiment,
    ids_of,
    wrapped,
)

GLOBAL = ("embed", "final_norm", "logits")
STREAM = ("resid_pre", "attn_out", "resid_mid", "mlp_pre", "mlp_post", "mlp_out", "resid_post")
HEADED = ("q", "k", "v", "z", "result", "scores", "pattern")
SQUARE = ("scores", "pattern")


@pytest.fixture(scope="module", params=["gpt2", "qwen2", "gemma2"])
def model(request):
    return wrapped(request.param)


@pytest.fixture(scope="module")
def exp(model):
    return experiment(model)


@pytest.fixture(scope="module")
def ids(model):
    return {"clean": ids_of(model, CLEAN), "corrupted": ids_of(model, CORRUPTED)}


@pytest.fixture(scope="module")
def sites(model, ids):
    return {run: record(model.hf, several) for run, several in ids.items()}


def several(index, count):
    return range(count) if index is None else [index] if isinstance(index, int) else list(index)


def by_hand(edit, source, alpha=None):
    """A function that writes `edit` into one layer's value, cell by cell.

    Args:
        edit: where; `alpha` None writes zeros, else x + alpha (s - x).
        source: the value that is read, or None.
    """

    def change(x):
        square = edit.site in SQUARE
        y = x.transpose(0, 1) if square else x
        s = None if source is None else source.transpose(0, 1) if square else source
        heads = several(edit.head, y.shape[1]) if edit.site in HEADED else [None]
        for p in several(edit.position, len(y)):
            for h in heads:
                cell = y[p] if h is None else y[p, h]
                old = cell.clone()
                new = torch.zeros_like(old) if alpha is None else old + alpha * ((s[p] if h is None else s[p, h]) - old)
                units = several(edit.unit, len(cell))
                # What is masked is not there: a masked score stays masked.
                for u in [u for u in units if not (edit.site == "scores" and old[u] == -math.inf)]:
                    cell[u] = new[u]
        return x

    return change


def layers_of(edit):
    return [None] if edit.site in GLOBAL else several(edit.layer, 3)


def hand_logits(model, ids, edits):
    """Logits of a run with [(edit, source sites or None, alpha)] applied in order."""
    changes = {}
    for edit, source, alpha in edits:
        for layer in layers_of(edit):
            read = None if source is None else source[edit.site, layer]
            changes.setdefault((edit.site, layer), []).append(by_hand(edit, read, alpha))
    return changed(model.hf, ids, changes)[0]


def places(site):
    yield {}
    layer = {} if site in GLOBAL else {"layer": 1}
    yield layer | {"position": 10}
    if site in GLOBAL:
        yield {"position": (3, -1)}
    else:
        yield {"layer": (0, 2), "position": (10, -1, 3)}
    if site in HEADED:
        yield layer | {"head": 1}
        yield layer | {"head": (0, 1), "position": (10, 14)}
    if site not in (*SQUARE, "logits"):
        yield layer | {"unit": (1, 4), "position": (10, 14)}
        yield {"unit": 2}


def near(logits, expected):
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def edited(exp, edits, base="corrupted"):
    """Logits [vocab] at the answer position: what `exp.run` measures, without the baselines around it."""
    return exp.snapshot(edits, base).answer_logits("edited")[0]


@pytest.mark.parametrize("site", GLOBAL + STREAM + HEADED)
def test_zero(model, exp, ids, site):
    moved = 0
    for place in places(site):
        edit = mi.Zero(site, **place)
        logits = edited(exp, [edit], "clean")
        near(logits, hand_logits(model, ids["clean"], [(edit, None, None)])[-1])
        moved += not torch.allclose(logits, edited(exp, (), "clean"), atol=1e-4)
    assert moved > 0


@pytest.mark.parametrize("site", GLOBAL + STREAM + HEADED)
def test_patch(model, exp, ids, sites, site):
    moved = 0
    for base, other in (("corrupted", "clean"), ("clean", "corrupted")):
        # Noising differs from denoising in what is read only: a few places show it.
        for place in list(places(site))[: None if base == "corrupted" else 2]:
            edit = mi.Patch(site, **place)
            logits = edited(exp, [edit], base)
            near(logits, hand_logits(model, ids[base], [(edit, sites[other], 1.0)])[-1])
            moved += not torch.allclose(logits, edited(exp, (), base), atol=1e-4)
    assert moved > 0


@pytest.mark.parametrize("site", GLOBAL + STREAM + HEADED)
def test_patch_goes_a_share_of_the_way(model, exp, ids, sites, site):
    shares = (0.0, 0.5) if site == "pattern" else (0.0, 0.5, -1.5)
    layer = {} if site in GLOBAL else {"layer": 1}
    for alpha in shares:
        edit = mi.Patch(site, position=(10, 14), alpha=alpha, **layer)
        near(edited(exp, [edit]), hand_logits(model, ids["corrupted"], [(edit, sites["clean"], alpha)])[-1])
    near(edited(exp, [mi.Patch(site, alpha=0, **layer)]), edited(exp, ()))


@pytest.mark.parametrize("site", GLOBAL + STREAM + HEADED)
def test_the_runs_own_value_changes_nothing(exp, sites, site):
    layer = {} if site in GLOBAL else {"layer": 1}
    own = sites["corrupted"][site, layer.get("layer")]
    for tensor in (own, own[None]):
        near(edited(exp, [mi.Patch(site, source=tensor, **layer)]), edited(exp, ()))
    # The cache's own copy, bit for bit.
    read = exp.read(site, **layer, run="corrupted")[0]
    near(exp.run(mi.Patch(site, source=read, **layer)).logits, exp.run(()).logits)


@pytest.mark.parametrize("site", ["resid_pre", "z", "k", "pattern", "mlp_post"])
def test_a_given_tensor_is_read_in_base_positions(model, exp, ids, sites, site):
    edit = mi.Patch(site, 1, position=(2, 14), source=sites["clean"][site, 2])
    moved = {(site, 1): sites["clean"][site, 2]}
    near(edited(exp, [edit]), hand_logits(model, ids["corrupted"], [(edit, moved, 1.0)])[-1])


def test_a_source_tensor_of_another_shape_is_refused(exp, sites):
    with pytest.raises(mi.BadInput, match="14 positions"):
        exp.run(mi.Patch("resid_pre", 1, source=sites["clean"]["resid_pre", 1][:-1]))
    with pytest.raises(mi.BadInput, match="axes"):
        exp.run(mi.Patch("z", 1, source=sites["clean"]["resid_pre", 1][0]))
    with pytest.raises(mi.BadInput, match="2 prompts"):
        exp.run(mi.Patch("resid_pre", 1, source=sites["clean"]["resid_pre", 1].expand(2, -1, -1)))
    with pytest.raises(mi.BadInput, match=r"\[15, 5\].*\[15, 32\]"):
        exp.run(mi.Patch("resid_pre", 1, source=sites["clean"]["resid_pre", 1][:, :5]))


def test_another_source_position(model, exp, ids, sites):
    for site in ("resid_pre", "z", "v", "mlp_out"):
        edit = mi.Patch(site, 1, position=(14, 12), source_position=(10, -4))
        at = dict(sites["clean"])
        at[site, 1] = at[site, 1].clone()
        at[site, 1][[14, 12]] = sites["clean"][site, 1][[10, 11]]
        near(edited(exp, [edit]), hand_logits(model, ids["corrupted"], [(edit, at, 1.0)])[-1])


def test_a_run_may_read_itself_elsewhere(model, exp, ids, sites):
    edit = mi.Patch("resid_pre", 1, position=10, source="corrupted", source_position=2)
    at = {("resid_pre", 1): sites["corrupted"]["resid_pre", 1][[2]].expand(15, -1)}
    near(edited(exp, [edit]), hand_logits(model, ids["corrupted"], [(edit, at, 1.0)])[-1])


@pytest.mark.parametrize("where", [{}, {"position": 10}, {"position": -1, "source_position": 14}])
def test_a_patch_from_the_same_run_site_and_position_is_refused(exp, where):
    with pytest.raises(mi.BadInput, match="same run, site and position"):
        exp.run(mi.Patch("resid_pre", 1, source="corrupted", **where))
    near(exp.run(mi.Patch("resid_pre", 1, source="corrupted", alpha=0, **where)).logits, exp.run(()).logits)


def test_stacked_edits_act_in_the_order_of_the_computation(model, exp, ids, sites):
    """Given back to front: between sites the computation's order counts, at one site the list's."""
    clean = sites["clean"]
    stack = [
        (mi.Zero("mlp_out", 2, unit=(0, 1)), None, None),
        (mi.Patch("resid_post", 1, position=-1, alpha=0.5), clean, 0.5),
        (mi.Patch("resid_pre", 2, position=-1, alpha=0.25), clean, 0.25),
        (mi.Patch("z", 1, head=(0, 3), alpha=-0.5), clean, -0.5),
        (mi.Zero("z", 1, head=3, position=14), None, None),
        (mi.Patch("z", 1, head=3, unit=(0, 2), alpha=0.5), clean, 0.5),
        (mi.Patch("k", 1, head=1), clean, 1.0),
        (mi.Zero("pattern", 2, head=2, position=14), None, None),
        (mi.Patch("scores", 2, head=1), clean, 1.0),
        (mi.Patch("embed", position=10, alpha=2), clean, 2.0),
        (mi.Zero("result", 0, head=1), None, None),
        (mi.Patch("resid_mid", 0, position=10), clean, 1.0),
        (mi.Patch("attn_out", 0, position=3, alpha=0.7), clean, 0.7),
    ]
    near(exp.run([edit for edit, _, _ in stack]).logits[0], hand_logits(model, ids["corrupted"], stack)[-1])


def test_at_one_site_the_list_order_decides(model, exp, ids, sites):
    zero, patch = mi.Zero("z", 1, head=1), mi.Patch("z", 1, head=1, alpha=0.5)
    both = {}
    for name, order in (("zero first", (zero, patch)), ("patch first", (patch, zero))):
        stack = [(e, *((sites["clean"], 0.5) if e is patch else (None, None))) for e in order]
        both[name] = exp.run(order).logits[0]
        near(both[name], hand_logits(model, ids["corrupted"], stack)[-1])
    assert not torch.allclose(both["zero first"], both["patch first"], atol=1e-4)


@pytest.mark.parametrize("site", ["embed", "resid_pre", "k", "z", "scores", "pattern", "mlp_post", "result"])
def test_prompts_of_different_length_are_edited_as_each_alone(model, site):
    """Positions count in each prompt's own tokens; padding is neither read nor written, also by Zero of everything."""
    pair = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [CORRUPTED, SHORT_CORRUPTED], [" Mary", " Mary"], [" John", " Anna"]
    )
    layer = {} if site in GLOBAL else {"layer": 1}
    for place in ({"position": (-5, -1)}, {"position": 5}, {}):
        for zero in (False, True):
            edit = (mi.Zero if zero else mi.Patch)(site, **layer, **place)
            logits = pair.run(edit).logits
            for row, (clean, corrupted) in enumerate(((CLEAN, CORRUPTED), (SHORT_CLEAN, SHORT_CORRUPTED))):
                source = None if zero else record(model.hf, ids_of(model, clean))
                expected = hand_logits(model, ids_of(model, corrupted), [(edit, source, None if zero else 1.0)])
                near(logits[row], expected[-1])


def test_an_edited_run_is_read_with_its_edits(model, exp, ids, sites):
    """What `read` shows of the edited run is every site after its edits, at all positions."""
    asked = experiment(model)
    asked.edits.add(mi.Patch("z", 1, head=2, position=10))
    asked.edits.add(mi.Zero("attn_out", 0, position=3))
    edits = [(asked.edits[0], sites["clean"], 1.0), (asked.edits[1], None, None)]
    changes = {(e.site, e.layer): [by_hand(e, s and s[e.site, e.layer], a)] for e, s, a in edits}
    logits, kept = changed(model.hf, ids["corrupted"], changes)
    near(asked.read("logits", run="edited")[0], logits)
    for site, layer in (("z", 1), ("attn_out", 0), ("resid_mid", 0), ("resid_post", 1), ("pattern", 2), ("mlp_pre", 0)):
        near(asked.read(site, layer, run="edited")[0], kept[site, layer])
    # and the unedited runs stay unedited
    near(asked.read("z", 1, run="corrupted")[0], sites["corrupted"]["z", 1])
    near(asked.patterns(run="edited").values, torch.stack([kept["pattern", i] for i in range(3)]))


def test_a_pattern_patch_keeps_the_runs_own_values(model, exp, ids, sites):
    """z of the patched head = source pattern @ the edited run's own v, not renormalised."""
    asked = experiment(model)
    asked.edits.add(mi.Patch("pattern", 1, head=2, alpha=0.5))
    mixed = 0.5 * (sites["clean"]["pattern", 1] + sites["corrupted"]["pattern", 1])[2]
    v = sites["corrupted"]["v", 1][:, 2 * model.n_kv_heads // model.n_heads]
    near(asked.read("z", 1, head=2, run="edited")[0], mixed @ v)


def test_scores_keep_their_mask(model, exp):
    """Zeroed scores spread attention evenly over what is visible, and never over the future."""
    asked = experiment(model)
    asked.edits.add(mi.Zero("scores", 1))
    pattern = asked.patterns(run="edited").values[1]
    visible = record(model.hf, ids_of(model, CORRUPTED))["pattern", 1] > 0
    near(pattern, visible / visible.sum(-1, keepdim=True).float())


def test_unlike_lengths_refuse_what_cannot_pair(model):
    uneven = mi.Experiment(model, CLEAN, SHORT_CORRUPTED, " Mary", " John", align="suffix")
    short, long = ids_of(model, SHORT_CORRUPTED), ids_of(model, CLEAN)
    source = record(model.hf, long)
    shifted = {("resid_pre", 1): torch.cat([source["resid_pre", 1][:1], source["resid_pre", 1][-len(short) + 1 :]])}
    for place in ({}, {"position": -2}, {"position": 0}):
        edit = mi.Patch("resid_pre", 1, **place)
        near(uneven.run(edit).logits[0], hand_logits(model, short, [(edit, shifted, 1.0)])[-1])
    with pytest.raises(mi.PromptMismatch, match=r"Position 1 .*no partner"):
        uneven.run(mi.Patch("resid_pre", 1, position=1), base="clean")
    for site in SQUARE:
        with pytest.raises(mi.PromptMismatch, match="same length"):
            uneven.run(mi.Patch(site, 1))


def test_q_and_k_pair_by_position_whatever_the_padding(model):
    """Padding may differ between the base's and the source's batch; positions do not."""
    asked = mi.Experiment(
        model, [CLEAN, SHORT_CLEAN], [SHORT_CORRUPTED, SHORT_CORRUPTED], [" Mary", " Mary"],
        align={i: i for i in range(6)},
    )  # fmt: skip
    for site in ("q", "k"):
        edit = mi.Patch(site, 1, position=(3, 5))
        logits = asked.run(edit).logits
        for row, clean in enumerate((CLEAN, SHORT_CLEAN)):
            source = record(model.hf, ids_of(model, clean))
            expected = hand_logits(model, ids_of(model, SHORT_CORRUPTED), [(edit, source, 1.0)])
            near(logits[row], expected[-1])


def test_the_base_is_what_is_edited(model, exp, ids):
    for base in ("clean", "corrupted"):
        near(exp.run((), base=base).logits[0], forward(model.hf, ids[base])[-1])
