"""`exp.generate`: what comes after the prompts, against whole passes over the growing text written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

import mi_widgets as mi
from mi_widgets.model.decoding import fit_of
from tests.families.oracle import model_of
from tests.python import by_hand
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CLEAN,
    SHORT_CORRUPTED,
    build,
    experiment,
    ids_of,
    word_tokenizer,
    wrapped,
)

STEPS = 7  # past the sliding window of 4 that gemma2 and mistral have here
PAIRS = ((CLEAN, CORRUPTED), (SHORT_CLEAN, SHORT_CORRUPTED))
VECTOR = torch.linspace(-3, 3, 32)


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma2", "mistral"])
def model(request):
    return wrapped(request.param)


def two(model):
    """Prompts of 15 and 10 tokens."""
    return mi.Experiment(model, *map(list, zip(*PAIRS, strict=True)), " Mary")


def at_rows(positions, change):
    """A change of some positions (the first axis) that are there."""

    def changed(x):
        rows = [p for p in positions if p < len(x)]
        x[rows] = change(x[rows])
        return x

    return changed


def zero_head(head, positions):
    def changed(x):
        for p in positions:
            if p < len(x):
                x[p, head] = 0
        return x

    return changed


def blind(head, positions):
    """No weight at all from some destinations: [head, dest, src]."""

    def changed(x):
        for p in positions:
            if p < x.shape[1]:
                x[head, p] = 0
        return x

    return changed


def cut(src, positions):
    def changed(x):
        for p in positions:
            if src <= p < x.shape[1]:
                x[:, p, src] = -math.inf
        return x

    return changed


def ranged(phase, length):
    return {"prompt": range(length), "decode": range(length, 99), "all": range(99)}[phase]


def scenario(phase, length, kv_heads, mean):
    """Edits, and the same by hand for a prompt of some length: {(site, layer): changes}."""
    where = ranged(phase, length)
    # Near enough that a window of 4 holds it for some new tokens, and lets it go while others come.
    src = 2 if phase == "prompt" else length - 1
    dest = [3, 4] if phase == "prompt" else None
    edits = [
        mi.Zero("z", 1, head=2), mi.Zero("k", 1, head=0), mi.Zero("v", 2, head=kv_heads - 1),
        mi.Add("resid_mid", 1, vector=VECTOR), mi.Scale("resid_mid", 1, factor=0.5),
        mi.Scale("mlp_post", 0, unit=3, factor=-4), mi.Mean("attn_out", 2, over=[CLEAN], pool="all"),
        mi.Zero("pattern", 0, head=1), mi.Knockout(layer=1, src=src, dest=dest),
    ]  # fmt: skip
    return edits, {
        ("z", 1): [zero_head(2, where)],
        ("k", 1): [zero_head(0, where)],
        ("v", 2): [zero_head(kv_heads - 1, where)],
        ("resid_mid", 1): [at_rows(where, lambda x: x + VECTOR), at_rows(where, lambda x: x / 2)],
        ("attn_out", 2): [at_rows(where, lambda x: mean.expand(x.shape))],
        ("mlp_post", 0): [at_rows(where, lambda x: torch.cat([x[:, :3], -4 * x[:, 3:4], x[:, 4:]], 1))],
        ("pattern", 0): [blind(1, where)],
        ("scores", 1): [cut(src, dest or where)],
    }


def expected(hf, ids, changes, steps=STEPS):
    """A loop that runs the whole text anew: (new tokens, [step, vocab] probabilities)."""
    text, probs = list(ids), []
    for _ in range(steps):
        logits, _ = by_hand.changed(hf, text, changes)
        probs.append(logits[-1].softmax(-1))
        text.append(int(logits[-1].argmax()))
    return text[len(ids) :], torch.stack(probs)


def same(found, row, tokens, probs):
    assert list(found.ids[row]) == tokens
    best = probs.topk(5)
    torch.testing.assert_close(found.top_probs[row], best.values, atol=1e-4, rtol=1e-3)
    assert found.top_ids[row, :, 0].tolist() == best.indices[:, 0].tolist()
    torch.testing.assert_close(found.probs[row], best.values[:, 0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("phase", ["all", "prompt", "decode"])
def test_every_step_is_a_whole_pass_by_hand(model, phase):
    exp = experiment(model)
    ids = ids_of(model, CORRUPTED)
    mean = by_hand.record(model.hf, ids_of(model, CLEAN))["attn_out", 2][1:].mean(0)  # without the beginning token
    edits, changes = scenario(phase, len(ids), model.n_kv_heads, mean)
    found = exp.generate(STEPS, edits, phase, progress=False)
    assert "with the model's cache" in found.provenance.recomputed
    same(found, 0, *expected(model.hf, ids, changes))
    plain = exp.generate(STEPS, (), progress=False)
    assert not torch.allclose(plain.probs, found.probs, atol=1e-3)
    if phase == "decode":  # the first new token follows the prompt alone
        torch.testing.assert_close(found.top_probs[0, 0], plain.top_probs[0, 0])


def test_prompts_of_two_lengths_side_by_side(model):
    exp = two(model)
    edits = [mi.Zero("z", 1, head=2), mi.Patch("resid_pre", 1, position=-5), mi.Zero("v", 0, head=1)]
    found = exp.generate(STEPS, edits, progress=False)
    for row, (clean, corrupted) in enumerate(PAIRS):
        ids = ids_of(model, corrupted)
        there = by_hand.record(model.hf, ids_of(model, clean))["resid_pre", 1]
        at = len(ids) - 5

        def patch(x, at=at, there=there):
            x[at] = there[at]
            return x

        changes = {("z", 1): [zero_head(2, range(99))], ("resid_pre", 1): [patch], ("v", 0): [zero_head(1, range(99))]}
        same(found, row, *expected(model.hf, ids, changes))


def test_positions_beyond_the_prompt(model):
    """Numbers name absolute positions: each acts when its token is run, and for good on its key."""
    exp, ids = experiment(model), ids_of(model, CORRUPTED)
    n = len(ids)
    read = by_hand.record(model.hf, ids_of(model, CLEAN))["resid_pre", 1][3]
    edits = [
        mi.Zero("k", 1, position=[n - 1, n + 1]),
        mi.Patch("resid_pre", 1, position=n + 2, source_position=3),
        mi.Zero("attn_out", 2, position=n + 3),
    ]

    def patch(x):
        if len(x) > n + 2:
            x[n + 2] = read
        return x

    changes = {
        ("k", 1): [at_rows([n - 1, n + 1], torch.zeros_like)],
        ("resid_pre", 1): [patch],
        ("attn_out", 2): [at_rows([n + 3], torch.zeros_like)],
    }
    same(exp.generate(STEPS, edits, progress=False), 0, *expected(model.hf, ids, changes))


@pytest.mark.parametrize("name", ["codegen", "openai-gpt", "jamba", "gpt_oss"])
def test_other_families_give_what_whole_passes_give(name):
    """With a cache or without one: the same as a loop over the user's model, with its own hooks where they fit."""
    model = mi.wrap(model_of(name), word_tokenizer(), name)
    exp = mi.Experiment(model, CLEAN, answer=" Mary")
    ids = ids_of(model, CLEAN)
    layer = model.hf.get_submodule(model.architecture.layers[1].path)

    def scaled(module, args, output):
        tensor = output if isinstance(output, torch.Tensor) else output[0]
        new = torch.cat([tensor[:, : len(ids)], 0.5 * tensor[:, len(ids) :]], 1)
        return new if isinstance(output, torch.Tensor) else type(output)([new, *output[1:]])

    text = list(ids)
    handle = layer.register_forward_hook(scaled)
    with torch.no_grad():
        for _ in range(4):
            text.append(int(model.hf(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].argmax()))
    handle.remove()
    found = exp.generate(4, mi.Scale("resid_post", 1, factor=0.5), "decode", progress=False)
    assert list(found.ids[0]) == text[len(ids) :]
    if name == "codegen":
        # Their keys are shown only in whole passes: edited there, each step runs the whole text.
        whole = exp.generate(3, mi.Zero("k", 1, head=0, position=3), progress=False)
        assert "3 passes over the whole text, without a cache: k cannot be edited" in whole.provenance.recomputed
        assert "with the model's cache" in exp.generate(3, (), progress=False).provenance.recomputed
        for step in range(3):
            after = mi.Experiment(model, [*ids, *whole.ids[0][:step]], answer=" Mary")
            torch.testing.assert_close(
                after.run(mi.Zero("k", 1, head=0, position=3)).logits[0].softmax(-1).topk(5).values,
                whole.top_probs[0, step], atol=1e-5, rtol=1e-4,
            )  # fmt: skip
    if name == "openai-gpt":
        assert "without a cache" in found.provenance.recomputed
        assert fit_of(model).reason is not None


def test_edits_that_never_fire_are_errors(model):
    exp = experiment(model)
    n = len(ids_of(model, CORRUPTED))
    for edit, phase in (
        (mi.Zero("z", 1, position=n + 50), "all"),
        (mi.Zero("z", 1, position=n + STEPS - 1), "all"),  # the last new token is not run
        (mi.Zero("z", 1, position=3), "decode"),
        (mi.Zero("z", 1, position=n + 1), "prompt"),
    ):
        with pytest.raises(mi.EditNeverFired):
            exp.generate(STEPS, edit, phase, progress=False)
    partly = exp.generate(STEPS, mi.Zero("z", 1, position=[3, n + 50]), progress=False)
    assert any(f"no token came to position {n + 50}" in note for note in partly.provenance.notes)
    with pytest.raises(mi.EditNeverFired):
        exp.generate(1, mi.Zero("z", 1), "decode", progress=False)


@pytest.mark.parametrize("edit", [mi.Patch("resid_pre", 1), mi.Patch("q", 1, position=20, source_position=3),
                                  mi.Patch("pattern", 1), mi.Add("z", 1, vector=torch.randn(15, 4, 8))])  # fmt: skip
def test_what_cannot_be_read_for_new_tokens(edit):
    exp = experiment(wrapped("qwen2"))
    with pytest.raises(mi.BadInput, match="reads by position"):
        exp.generate(8, edit, "all", progress=False)
    if edit.position is None:
        assert len(exp.generate(3, edit, "prompt", progress=False).ids[0]) == 3


@pytest.mark.parametrize(
    "wrong",
    [{"tokens": 0}, {"tokens": 2.0}, {"tokens": True}, {"phase": "both"}, {"temperature": -1}, {"temperature": "hot"},
     {"temperature": math.nan}, {"seed": -1}, {"seed": 1.5}, {"tokens": 60}, {"base": "edited"}, {"edits": "zero"}],
)  # fmt: skip
def test_what_cannot_be_meant(wrong):
    exp = experiment(wrapped("gpt2"))
    with pytest.raises(mi.BadInput):
        exp.generate(**{"tokens": 3, "progress": False} | wrong)
    assert len(exp.generate(50, (), progress=False).ids[0]) == 50  # 15 + 50 - 1 positions of 64


def test_drawing_follows_the_probabilities_and_the_seed():
    exp = mi.Experiment(wrapped("gpt2"), [CLEAN] * 40, answer=" Mary")
    probs = by_hand.forward(exp.model.hf, ids_of(exp.model, CLEAN))[-1].div(2).softmax(-1)
    drawn = [exp.generate(1, temperature=2, seed=seed, progress=False).ids for seed in range(3)]
    first = [ids[0] for texts in drawn for ids in texts]
    top = int(probs.argmax())
    share, sd = first.count(top) / 120, math.sqrt(float(probs[top]) * (1 - float(probs[top])) / 120)
    assert abs(share - float(probs[top])) < 4 * sd
    assert len(set(first)) > 3
    one, again, other = (exp.generate(2, temperature=2, seed=s, progress=False).ids for s in (1, 1, 2))
    assert one == again != other


def test_an_end_token_ends_a_text():
    model = mi.wrap(build("llama", seed=3), word_tokenizer(), "llama")
    exp = mi.Experiment(model, [CLEAN, SHORT_CLEAN], answer=" Mary")
    free = exp.generate(6, progress=False)
    end = free.ids[0][2]
    model.hf.generation_config.eos_token_id = [end]
    found = exp.generate(6, progress=False)
    stop = free.ids[0].index(end) + 1
    assert found.ids[0] == free.ids[0][:stop]
    own = free.ids[1].index(end) + 1 if end in free.ids[1] else 6
    assert found.ids[1] == free.ids[1][:own]
    assert bool(found.probs[0, stop:].isnan().all())
    assert bool((found.top_ids[0, stop:] == -1).all())
    assert len(found.to_frame()) == stop + own


def test_resample_is_one_run_here():
    exp = two(wrapped("gpt2"))
    donors = [CORRUPTED, CLEAN]
    with pytest.raises(mi.BadInput, match="stand for 3 runs"):
        exp.generate(2, mi.Resample("resid_pre", 1, position=-1, prompts=donors, n=3), progress=False)
    exp = experiment(exp.model)
    one = mi.Resample("resid_pre", 1, position=3, prompts=[CLEAN], n=1)
    found = exp.generate(3, one, progress=False)
    assert found.ids == exp.generate(3, mi.Patch("resid_pre", 1, position=3, source=CLEAN), progress=False).ids


def test_the_result(tmp_path):
    model = wrapped("gpt2")
    exp = experiment(model)
    exp.edits.add(mi.Zero("z", 1, head=2))
    found = exp.generate(4, progress=False)
    assert found.ids == exp.generate(4, mi.Zero("z", 1, head=2), progress=False).ids
    frame = found.to_frame()
    assert list(frame.columns) == ["prompt", "step", "position", "id", "token", "prob", "top_token", "top_prob"]
    assert frame.position.tolist() == [15, 16, 17, 18]
    assert frame.prob.tolist() == pytest.approx(frame.top_prob.tolist())
    assert (frame.token == frame.top_token).all()
    assert found.texts[0] == "".join(model.text.piece(i) for i in found.ids[0])
    assert exp.generate(4, base="clean", progress=False).ids != () != found.base == "corrupted"
    assert type(found).load(found.save(tmp_path / "g.safetensors")).ids == found.ids
    assert "zero L1H2.z" in found.provenance.question


def test_the_users_model_is_left_alone():
    """Nothing stays on the user's model, and a step that fails leaves nothing on the shadow."""
    model = mi.wrap(build("gemma2", seed=5), word_tokenizer(), "gemma2")
    exp = mi.Experiment(model, CLEAN, answer=" Mary")
    before = {name: p.clone() for name, p in model.hf.named_parameters()}
    plain = exp.generate(4, (), progress=False)
    with pytest.raises(mi.BadInput):
        exp.generate(4, mi.Add("z", 1, vector=torch.ones(3, 3, 3, 3, 3)), progress=False)
    with pytest.raises(mi.NotFinite):
        exp.generate(4, mi.Scale("resid_pre", 1, factor=1e38), "decode", progress=False)
    again = exp.generate(4, (), progress=False)
    assert torch.equal(plain.top_probs, again.top_probs)
    assert all(torch.equal(p, before[name]) for name, p in model.hf.named_parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.hf.modules())
