"""Reruns that begin at the first edited layer: the same numbers to the bit, and provenance that says so."""

from __future__ import annotations

import pytest
import torch

import mi_widgets as mi
from mi_widgets.interventions.rerun import rerun, start_of
from tests.families.configs import build as build_tiny
from tests.families.oracle import model_of
from tests.python.families import build, word_tokenizer, wrapped

CLEAN, CORRUPTED = (1, 17, 30, 5, 42, 9, 23), (1, 17, 8, 5, 20, 9, 23)
SHORT, SHORT_CORRUPTED = (1, 8, 33, 46, 20), (1, 12, 33, 46, 7)


def asked(model, clean=CLEAN, corrupted=CORRUPTED):
    return mi.Experiment(model, clean, corrupted, answer=11, distractor=29)


def layers_run(model, *args, **kw):
    """What a rerun gives, and which layers ran in it."""
    ran = []
    paths = [layer.path for layer in model.architecture.layers]
    handles = [
        next(model.shadow.get_submodule(path).children()).register_forward_hook(lambda *_, i=i: ran.append(i))
        for i, path in enumerate(paths)
    ]
    try:
        return rerun(model, *args, **kw), ran
    finally:
        for handle in handles:
            handle.remove()


EDITS = (
    mi.Patch("resid_pre", 2, position=4), mi.Zero("z", 1, head=2), mi.Patch("attn_out", (1, 2)), mi.Zero("final_norm"),
    mi.Scale("logits", factor=0.5), mi.Patch("resid_post", 1, position=2),
)  # fmt: skip


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "bloom", "jamba"])
def test_the_second_run_begins_at_the_first_edited_layer_and_gives_the_same_to_the_bit(family):
    model = mi.wrap(model_of(family), word_tokenizer(), family)
    assert model.resumes  # proven here, by passes of its own
    question = asked(model).snapshot()
    batch, sources = question.batch("corrupted"), question.sources()
    for edit in EDITS:
        if edit.site == "z" and family == "jamba":
            edit = edit.on(head=1)
        plain = rerun(model, batch, (edit,), "corrupted", sources)["logits", None]
        rerun(model, batch, (edit,), "corrupted", sources, resume=True)
        start = start_of(model, batch, (edit,), sources)
        first = {"final_norm": 3, "logits": 3}.get(edit.site, edit.layer if isinstance(edit.layer, int) else 1)
        assert (start.layer, start.words) == (first, f"one forward pass, resumed at layer {first}")
        again, ran = layers_run(model, batch, (edit,), "corrupted", sources, resume=True)
        assert set(ran) == set(range(first, 3))
        assert torch.equal(again["logits", None], plain)


def test_prompts_of_different_length_and_several_edits():
    model = wrapped("llama")
    question = asked(model, [list(CLEAN), list(SHORT)], [list(CORRUPTED), list(SHORT_CORRUPTED)]).snapshot()
    batch, sources = question.batch("corrupted"), question.sources()
    edits = (mi.Zero("mlp_out", 2, position=-1), mi.Patch("v", 1, head=1))
    plain = rerun(model, batch, edits, "corrupted", sources)["logits", None]
    for _ in range(2):
        assert torch.equal(rerun(model, batch, edits, "corrupted", sources, resume=True)["logits", None], plain)
    assert start_of(model, batch, edits, sources).layer == 1


def test_what_is_kept_of_earlier_layers_needs_the_whole_run():
    model = wrapped("llama")
    question = asked(model).snapshot()
    batch, sources = question.batch("corrupted"), question.sources()
    edit = mi.Zero("z", 2, head=1)
    for _ in range(2):
        kept = rerun(model, batch, (edit,), "corrupted", sources, [("z", 1), ("z", 2)], resume=True)
    assert start_of(model, batch, (edit,), sources, [("z", 1)]).words == "one full forward pass"
    plain = rerun(model, batch, (edit,), "corrupted", sources, [("z", 1), ("z", 2)])
    assert all(torch.equal(kept[key], plain[key]) for key in plain)
    assert bool((kept["z", 2][:, :, 1] == 0).all())


def test_a_stream_of_another_generation_is_not_used():
    model = mi.wrap(build("llama"), word_tokenizer())  # its weights are changed
    question = asked(model).snapshot()
    batch, sources = question.batch("corrupted"), question.sources()
    edit = mi.Zero("z", 2, head=1)
    rerun(model, batch, (edit,), "corrupted", sources, resume=True)
    assert start_of(model, batch, (edit,), sources).stream is not None
    with torch.no_grad():
        model.hf.model.layers[0].mlp.down_proj.weight.mul_(0.5)
    model.refresh()
    assert start_of(model, batch, (edit,), sources).stream is None
    fresh = rerun(model, batch, (edit,), "corrupted", sources, resume=True)["logits", None]
    assert torch.equal(fresh, rerun(model, batch, (edit,), "corrupted", sources)["logits", None])


def test_a_model_that_must_be_run_whole_is():
    model = mi.wrap(build_tiny("zaya"), word_tokenizer(), "zaya")
    question = asked(model).snapshot()
    batch, sources = question.batch("corrupted"), question.sources()
    edit = mi.Zero("z", 2, head=1)
    assert not model.resumes  # asked here, since asking runs layers too
    for _ in range(2):
        _, ran = layers_run(model, batch, (edit,), "corrupted", sources, resume=True)
        assert set(ran) == {0, 1, 2}
    assert start_of(model, batch, (edit,), sources).words == "one full forward pass"


def test_provenance_says_what_was_run():
    """Jamba's recurrent layers cannot be packed, so its edited runs are plain ones."""
    exp = asked(mi.wrap(model_of("jamba"), word_tokenizer(), "jamba"))
    edit = mi.Zero("mlp_out", 2, position=-1)
    first, again = exp.run((edit,)), exp.run((edit,))
    assert first.provenance.recomputed == "one full forward pass"
    assert again.provenance.recomputed == "one forward pass, resumed at layer 2"
    assert again.metric == first.metric
