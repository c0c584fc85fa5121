"""Estimates from a gradient, against finite differences of plain runs in float64, and against exact effects."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions import estimate as module
from mi_widgets.interventions.draws import draws_of
from mi_widgets.interventions.estimate import estimate_steps
from mi_widgets.interventions.slopes import Base
from tests.families.oracle import forward, model_of, record
from tests.python.families import build, word_tokenizer, wrapped

CLEAN, CORRUPTED = (1, 17, 30, 5, 42, 9, 23), (1, 17, 8, 5, 20, 9, 23)
SHORT, SHORT_CORRUPTED = (1, 8, 33, 46, 20), (1, 12, 33, 46, 7)
ANSWER, DISTRACTOR = 11, 29
STEP = 0.02
"""Large, since some families reckon norms in float32 whatever the model is in; differences are of fourth order."""


@lru_cache
def models(name):
    """The model as the package sees it, and the user's own with plain attention; float64."""
    own = model_of(name).double()
    own.set_attn_implementation("eager")
    return mi.wrap(model_of(name).double(), word_tokenizer(), name), own


def asked(model, clean=CLEAN, corrupted=CORRUPTED, **kw):
    return mi.Experiment(model, clean, corrupted, **{"answer": ANSWER, "distractor": DISTRACTOR} | kw)


def whole(question, cells, steps=1):
    """What the steps end in, and what they have said on the way."""
    found = []

    def follow():
        found.append((yield from estimate_steps(question, cells, steps)))

    said = list(follow())
    return found[0], said


def effects(exp, cells, steps=1, edits=()):
    """What the package estimates each cell to add: [cell]."""
    return whole(exp.snapshot(edits), cells, steps)[0][0] - exp.run(edits).metric


def logit_diff(logits):
    return float(logits[-1, ANSWER] - logits[-1, DISTRACTOR])


def difference(name, own, key, place, change, others=None, ids=CORRUPTED, score=logit_diff):
    """d score / d share of a change at part of one site, by central differences of plain runs."""

    def metric(share):
        def visit(site, layer, x):
            for where, write in (others or {}).items():
                x = write(x) if where == (site, layer) else x
            if (site, layer) == key:
                x = x.clone()
                x[place] += share * change[place]
            return x

        return score(forward(own, name, torch.tensor([ids]), visit)[0])

    near, far = metric(STEP) - metric(-STEP), metric(2 * STEP) - metric(-2 * STEP)
    return (8 * near - far) / (12 * STEP)


SITES = (
    "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "q", "k", "v", "z", "result", "pattern", "scores",
    "mlp_pre", "mlp_post",
)  # fmt: skip


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("edit", [mi.Patch(), mi.Zero()], ids=str)
def test_first_order_effects_are_the_derivatives_of_plain_runs(name, edit):
    model, own = models(name)
    base, source = (record(own, name, torch.tensor([ids])) for ids in (CORRUPTED, CLEAN))
    cells, expected = [], []
    for i, site in enumerate(SITES):
        layer = i % 3
        key = site, layer
        change = (source[key] if isinstance(edit, mi.Patch) else torch.zeros_like(base[key])) - base[key]
        change = change.nan_to_num(0.0, 0.0, 0.0)
        position = (6, 4, (3, 6))[i // 3 % 3]
        if site in ("pattern", "scores"):
            cells.append(edit.on(site=site, layer=layer, head=1, position=position))
            place = (0, 1, position)
        elif site in ("q", "k", "v", "z", "result"):
            cells.append(edit.on(site=site, layer=layer, head=1, position=position))
            place = (0, position, 1)
        elif site.startswith("mlp_p"):
            cells.append(edit.on(site=site, layer=layer, position=position, unit=(3, 40)))
            place = (0, torch.tensor(position).reshape(-1, 1), torch.tensor([3, 40]))
        else:
            cells.append(edit.on(site=site, layer=layer, position=position))
            place = (0, position)
        expected.append(difference(name, own, key, place, change))
    found, expected = effects(asked(model), cells), torch.tensor(expected)
    assert float(expected.abs().max()) > 0.1
    torch.testing.assert_close(found, expected.float(), atol=5e-5, rtol=1e-4)


def test_a_cut_edge_is_estimated_by_the_weights_it_leaves():
    model, own = models("llama")
    base = record(own, "llama", torch.tensor([CORRUPTED]))
    after = base["pattern", 1].clone()
    after[0, 1, 5:, 2] = 0
    after = after / after.sum(-1, keepdim=True)
    expected = difference("llama", own, ("pattern", 1), (0, 1), after - base["pattern", 1])
    (found,) = effects(asked(model), [mi.Knockout(layer=1, head=1, dest=(5, 6), src=2)])
    assert abs(expected) > 1e-2
    assert float(found) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    "edit",
    [
        mi.Scale(factor=0.3),
        mi.Add(vector=0.7, scale=2.0),
        mi.Mean(over=[CLEAN, CORRUPTED, CORRUPTED[::-1]]),
        mi.Project(basis=torch.eye(12)[:, 2:5], source="other"),
        mi.Patch(source_position=(2, 4), position=(3, 5)),
        mi.Patch(alpha=-0.5),
    ],
    ids=lambda edit: type(edit).__name__,
)
def test_every_edit_is_estimated_by_what_it_writes(edit):
    """The value it leaves, seen in its own exact run, less the base's, added as a vector: the same estimate."""
    exp = asked(wrapped("llama"))
    edit = edit.on(site="v", layer=1)
    changed = exp.snapshot((edit,)).values("edited", [("v", 1)])["v", 1][0]
    vector = changed - exp.read("v", 1, run="corrupted")[0]
    found, same = effects(exp, [edit, mi.Add("v", 1, vector=vector)])
    assert abs(float(found)) > 1e-3
    assert float(found) == pytest.approx(float(same), abs=1e-5)


def test_a_resample_is_the_mean_of_its_draws():
    exp = asked(wrapped("gpt2"))
    edit = mi.Resample("z", 1, prompts=[CLEAN, CORRUPTED[::-1]], n=2)
    draws = [one for (one,) in draws_of([edit])]
    found = effects(exp, [edit, *draws])
    assert float(found[0]) == pytest.approx(float(found[1:].mean()), abs=1e-6)
    assert float((found[1] - found[2]).abs()) > 1e-3


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_behind_the_last_norm_the_logit_difference_is_linear_and_the_estimate_exact(name):
    exp = asked(wrapped(name))
    for edit in (mi.Patch("final_norm", position=-1), mi.Zero("final_norm"), mi.Patch("logits", alpha=0.4)):
        exact = exp.run((edit,)).metric - exp.run(()).metric
        assert abs(exact) > 1e-2
        assert float(effects(exp, [edit])[0]) == pytest.approx(exact, abs=2e-5)


@pytest.mark.parametrize("metric", ["prob", "logprob", "kl", lambda logits, rows: logits.square().mean(-1)])
def test_small_changes_are_estimated_right_whatever_the_metric(metric):
    exp = asked(wrapped("gemma2"), metric=metric)
    for edit in (mi.Scale("resid_mid", 1, factor=0.999), mi.Scale("pattern", 2, factor=1.002)):
        exact = exp.run((edit,)).metric - exp.run(()).metric
        assert float(effects(exp, [edit])[0]) == pytest.approx(exact, rel=0.02, abs=3e-6)


def test_live_edits_are_part_of_the_base_run():
    model, own = models("gpt2")
    live = (mi.Zero("attn_out", 1, position=3), mi.Scale("resid_pre", 2, factor=0.5))
    others = {
        ("attn_out", 1): lambda x: torch.cat([x[:, :3], 0 * x[:, 3:4], x[:, 4:]], 1),
        ("resid_pre", 2): lambda x: 0.5 * x,
    }
    seen = {}

    def visit(site, layer, x):
        x = others[site, layer](x) if (site, layer) in others else x
        seen[site, layer] = x
        return x

    forward(own, "gpt2", torch.tensor([CORRUPTED]), visit)
    source = record(own, "gpt2", torch.tensor([CLEAN]))
    change = source["resid_pre", 2] - seen["resid_pre", 2]
    expected = difference("gpt2", own, ("resid_pre", 2), (0, 5), change, others)
    (found,) = effects(asked(model), [mi.Patch("resid_pre", 2, position=5)], edits=live)
    assert float(found) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_with_steps_the_slope_is_a_mean_over_runs_between_the_embeddings(name):
    model, own = models(name)
    base, source = (record(own, name, torch.tensor([ids])) for ids in (CORRUPTED, CLEAN))
    embeds = [values["embed", None] for values in (base, source)]
    cells = [mi.Patch("resid_pre", 1, position=4), mi.Patch("z", 2, head=1), mi.Patch("embed", position=2)]
    keys, places = [("resid_pre", 1), ("z", 2), ("embed", None)], [(0, 4), (0, slice(None), 1), (0, 2)]
    expected = torch.zeros(3)
    for share in (0, 0.25, 0.5, 0.75):
        others = {("embed", None): lambda x, share=share: x + share * (embeds[1] - embeds[0])}
        for i, (key, place) in enumerate(zip(keys, places, strict=True)):
            expected[i] += difference(name, own, key, place, source[key] - base[key], others) / 4
    found = torch.stack([effects(asked(model), [cell], steps=4)[0] for cell in cells])
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert float((found - effects(asked(model), cells)).abs().max()) > 1e-2


# Answers of several tokens

LONG = (11, 40, 5)


def of_answer(logits):
    """log p of the tokens of LONG, each after the prompt and those before it."""
    first = len(CORRUPTED) - 1
    return sum(float(logits[first + i].log_softmax(-1)[token]) for i, token in enumerate(LONG))


def asked_long(model, **kw):
    return asked(model, answer=mi.Sequence(LONG), distractor=None, metric="logprob", **kw)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_an_answer_of_several_tokens_has_the_derivatives_of_its_plain_runs(name):
    """Those of runs over prompt and answer, in which the prompt alone is edited."""
    model, own = models(name)
    prompt = len(CORRUPTED)
    ids = (*CORRUPTED, *LONG[:-1])
    base, source = (record(own, name, torch.tensor([(*text, *LONG[:-1])])) for text in (CORRUPTED, CLEAN))
    everywhere = slice(0, prompt)
    cases = [
        (mi.Patch("resid_pre", 1, position=4), ("resid_pre", 1), (0, 4)),
        (mi.Patch("resid_post", 1, position=-1), ("resid_post", 1), (0, prompt - 1)),
        (mi.Patch("attn_out", 2), ("attn_out", 2), (0, everywhere)),
        (mi.Patch("k", 1, head=1), ("k", 1), (0, everywhere, 1)),
        (mi.Patch("z", 1, head=2, position=6), ("z", 1), (0, 6, 2)),
        (mi.Patch("pattern", 1, head=1), ("pattern", 1), (0, 1, everywhere, everywhere)),
        (mi.Zero("mlp_post", 0, position=6, unit=3), ("mlp_post", 0), (0, 6, 3)),
        (mi.Zero("pattern", 1, head=0, position=5), ("pattern", 1), (0, 0, 5)),
        (mi.Patch("logits", position=-1), ("logits", None), (0, prompt - 1)),
    ]
    cells, expected = [case[0] for case in cases], []
    for edit, key, place in cases:
        change = (source[key] if isinstance(edit, mi.Patch) else torch.zeros_like(base[key])) - base[key]
        expected.append(difference(name, own, key, place, change, ids=ids, score=of_answer))
    found, expected = effects(asked_long(model), cells), torch.tensor(expected)
    assert float(expected.abs().min()) > 1e-4
    assert float(expected.abs().max()) > 0.1
    torch.testing.assert_close(found, expected.float(), atol=5e-5, rtol=1e-4)


def test_small_changes_of_a_long_answers_prompt_are_estimated_right():
    exp = asked_long(wrapped("llama"))
    live = (mi.Zero("attn_out", 1, position=3), mi.Knockout(layer=2, head=1, dest=-1, src=2))
    for edit in (mi.Scale("resid_mid", 1, factor=0.999), mi.Scale("pattern", 2, factor=1.002)):
        exact = exp.run((*live, edit)).metric - exp.run(live).metric
        assert abs(exact) > 1e-4
        assert float(effects(exp, [edit], edits=live)[0]) == pytest.approx(exact, rel=0.02, abs=3e-6)


def test_long_answers_of_several_prompts_do_not_mix():
    prompts, others = [list(CLEAN), list(SHORT)], [list(CORRUPTED), list(SHORT_CORRUPTED)]
    answers = [mi.Sequence(LONG), mi.Sequence((30, 31))]
    exp = mi.Experiment(wrapped("gpt2"), prompts, others, answer=answers, metric="logprob")
    question = exp.snapshot()
    together, _ = whole(question, CELLS)
    alone = torch.cat([whole(question.one(p), CELLS)[0] for p in range(2)])
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-5)
    assert float((together[0] - together[1]).abs().min()) > 1e-3


def test_a_long_answers_map_begins_with_its_estimate():
    exp = asked_long(wrapped("llama"))
    first, *_, last = exp.sweep_stream("z", layers=[1])
    assert not bool(first.exact.any())
    torch.testing.assert_close(first.metric, exp.sweep("z", layers=[1], method="gradient", progress=False).metric)
    cells = [mi.Patch("z", 1, head=head) for head in range(4)]
    torch.testing.assert_close(first.metric[0] - exp.run(()).metric, effects(exp, cells))
    assert bool(last.exact.all())
    assert float(last.metric[0, 2]) == pytest.approx(exp.run(mi.Patch("z", 1, head=2)).metric, abs=1e-5)


def test_a_long_answer_between_the_prompts():
    """At many points between the embeddings the changes of all of them add up to that of the metric."""
    exp = asked_long(wrapped("gpt2"))
    cells = [mi.Patch("embed", position=p) for p in range(len(CORRUPTED))]
    exact = exp.run(mi.Patch("embed")).metric - exp.run(()).metric
    assert abs(exact) > 0.05
    assert float(effects(exp, cells, steps=64).sum()) == pytest.approx(exact, rel=0.05)
    assert float(effects(exp, cells, steps=64).sum()) != pytest.approx(float(effects(exp, cells).sum()), rel=0.05)


# Several prompts, chunks, maps


def several(family="llama", **kw):
    prompts = (
        [list(CLEAN), list(SHORT), [*CLEAN[:1], *CLEAN[:0:-1]]],
        [list(CORRUPTED), list(SHORT_CORRUPTED), [*CORRUPTED[:1], *CORRUPTED[:0:-1]]],
    )
    return mi.Experiment(wrapped(family), *prompts, answer=[28, 30, 31], distractor=[32, 33, 34], **kw)


CELLS = (
    mi.Patch("resid_post", 0, position=-1), mi.Zero("z", 1, head=2), mi.Patch("pattern", 1),
    mi.Zero("mlp_post", 2, unit=7), mi.Project("resid_mid", 1, basis=torch.ones(32)),
    mi.Knockout(layer=2, dest=-1, src=1),
)  # fmt: skip


def test_prompts_do_not_mix_and_chunks_change_nothing(monkeypatch):
    exp = several()
    question = exp.snapshot()
    together, said = whole(question, CELLS)
    assert [at.done for at in said] == [3]
    monkeypatch.setattr(module, "BUDGET", 1)
    by_one, said = whole(question, CELLS)
    assert [(at.done, at.total) for at in said] == [(1, 3), (2, 3), (3, 3)]
    alone = torch.cat([whole(question.one(p), CELLS)[0] for p in range(3)])
    torch.testing.assert_close(by_one, together, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(alone, together, atol=2e-5, rtol=1e-5)
    assert together.shape == (3, len(CELLS))
    assert float((together - together.mean(1, keepdim=True)).abs().min(1).values.max()) > 0


def test_a_chunk_that_does_not_fit_is_halved_until_one_is_left(monkeypatch):
    question, plain = several().snapshot(), Base.slopes
    expected, _ = whole(question, CELLS)
    room = [1]

    def slopes(base, *args):
        if len(base.rows) > room[0]:
            raise torch.OutOfMemoryError("no room")
        return plain(base, *args)

    monkeypatch.setattr(Base, "slopes", slopes)
    found, said = whole(question, CELLS)
    assert [at.done for at in said] == [1, 2, 3]
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
    room[0] = 0
    with pytest.raises(mi.OutOfMemory, match="gradient of prompt 0"):
        whole(question, CELLS)


@pytest.mark.parametrize(
    "site", ["resid_pre", "attn_out", "mlp_post", "q", "k", "v", "z", "result", "scores", "pattern"]
)
def test_cells_of_one_layer_share_what_they_read_and_are_as_each_by_itself(site):
    """A projection on all directions is a patch too, and shares nothing with other cells."""
    exp = asked(wrapped("llama"))
    headed = site not in ("resid_pre", "attn_out", "mlp_post")
    whole_site = mi.Patch(site, 1)
    places = [{}, {"position": 4}, {"position": [2, -1]}, {"position": -3}]
    places += (
        [{"head": 1}, {"head": [0, 1], "position": 5}] if headed else [{"unit": 3}, {"unit": [5, -1], "position": 4}]
    )
    cells = [whole_site.on(**place) for place in places]
    together = effects(exp, cells)
    if site in ("scores", "pattern"):
        alone = [mi.Patch(site, (1,), source=CLEAN, **place) for place in places]
    else:
        width = exp.read(site, 1).shape[-1]
        alone = [
            mi.Project(site, 1, basis=torch.eye(len(place["unit"]) if isinstance(place.get("unit"), list) else 1)
                       if "unit" in place else torch.eye(width), source="other", **place)
            for place in places
        ]  # fmt: skip
    torch.testing.assert_close(together, effects(exp, alone), atol=2e-5, rtol=1e-4)
    assert float(together.abs().max()) > 1e-2


def test_a_patch_of_what_both_prompts_share_leaves_the_metric_of_the_base():
    exp = asked(wrapped("gemma2"))
    found, _ = whole(exp.snapshot(), [mi.Patch("resid_pre", 2, position=p) for p in (0, 1)])
    assert found[0].tolist() == pytest.approx([exp.run(()).metric] * 2, abs=1e-5)


# The user's model, and what is refused


def test_the_users_weights_are_left_alone():
    hf = build("gpt2")
    hf.transformer.h[0].requires_grad_(requires_grad=False)
    marked = torch.ones_like(hf.lm_head.weight)
    hf.lm_head.weight.grad = marked
    flags = {name: p.requires_grad for name, p in hf.named_parameters()}
    model = mi.wrap(hf, word_tokenizer())
    whole(asked(model).snapshot(), CELLS[:4], steps=1)
    assert {name: p.requires_grad for name, p in hf.named_parameters()} == flags
    assert hf.lm_head.weight.grad is marked
    assert bool((marked == 1).all())
    assert [name for name, p in hf.named_parameters() if p.grad is not None] == ["lm_head.weight"]
    assert model.refresh() is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.shadow.modules())


def test_where_no_gradients_are_kept_the_estimate_is_the_same():
    """A job's thread keeps none."""
    exp = asked(wrapped("llama"))
    expected = effects(exp, CELLS[:4])
    with torch.no_grad():
        assert torch.equal(effects(exp, CELLS[:4]), expected)
        assert not torch.is_grad_enabled()


def test_nothing_needs_a_gradient_of_the_weights():
    hf = build("llama").requires_grad_(requires_grad=False)
    frozen = asked(mi.wrap(hf, word_tokenizer()))
    torch.testing.assert_close(effects(frozen, CELLS[:4]), effects(asked(wrapped("llama")), CELLS[:4]))


def detached(logits, rows):
    return logits.detach().amax(-1)


def left(logits, rows):
    return torch.from_numpy(logits.numpy().max(-1))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"metric": "rank"}, "The metric rank has no gradient here: it counts tokens"),
        ({"metric": detached}, "The metric detached has no gradient to estimate with"),
        ({"metric": left}, "The metric left has no gradient to estimate with: Can't call numpy"),
    ],
)
def test_metrics_without_a_gradient_are_refused(change, match):
    with pytest.raises(mi.BadInput, match=match):
        whole(asked(wrapped("llama"), **change).snapshot(), CELLS)


@pytest.mark.parametrize(
    ("cells", "steps", "match"),
    [
        ([mi.Zero("z", 1)], 2, "reads no run"),
        ([mi.Patch("z", 1), mi.Patch("z", 1, source=CORRUPTED[::-1])], 2, "the edits read 2"),
        ([mi.Patch("z", 1)], 0, "steps is a whole number from 1"),
        ([mi.Patch("z", 1, head=9)], 1, "no head 9"),
        ([mi.Patch("resid_pre", 1, position=70)], 1, "70"),
        ([mi.Zero("mlp_post", 1, unit=700)], 1, "units"),
    ],
)
def test_what_cannot_be_estimated_is_said(cells, steps, match):
    with pytest.raises(mi.BadInput, match=match):
        whole(asked(wrapped("llama")).snapshot(), cells, steps)


def test_a_forward_pass_without_a_gradient_is_said():
    hf = build("llama")
    hf.model.layers[1].mlp.act_fn = Overwriting()
    model = mi.wrap(hf, word_tokenizer())
    with pytest.raises(mi.UnsupportedArchitecture, match=r"gives no gradient: .*in-?place"):
        whole(asked(model).snapshot(), CELLS[:2])


class Overwriting(torch.nn.Module):
    """An activation that writes over what its own derivative needs."""

    def forward(self, x):
        y = torch.sigmoid(x)
        return y.mul_(2.0)


def test_weights_made_in_inference_mode_are_said():
    with torch.inference_mode():
        hf = build("gpt2")
    with pytest.raises(mi.BadInput, match="made in inference mode"):
        whole(asked(mi.wrap(hf, word_tokenizer())).snapshot(), CELLS[:1])


def test_a_stream_of_maps_goes_on_without_an_estimate_and_says_why():
    hf = build("llama")
    hf.model.layers[1].mlp.act_fn = Overwriting()
    exp = asked(mi.wrap(hf, word_tokenizer()))
    *_, last = exp.sweep_stream("resid_pre", layers=[1], positions=[4, 6])
    assert bool(last.exact.all())
    assert any("There is no estimate: The forward pass of" in note for note in last.provenance.notes)
    with pytest.raises(mi.UnsupportedArchitecture, match="gives no gradient"):
        exp.sweep("resid_pre", layers=[0], method="gradient", progress=False)


def test_provenance_says_at_how_many_points_the_gradient_was_taken():
    exp = asked(wrapped("gpt2"))
    said = [exp.sweep("z", method="gradient", steps=n, progress=False).provenance.recomputed for n in (1, 3)]
    assert said == [
        "an estimate by gradients: two forward passes and one backward",
        "an estimate by gradients at 3 points between the prompts",
    ]
