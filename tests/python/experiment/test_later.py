"""Logits that nobody needed for the metric are computed when they are read, or refused when the model has changed."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch

import mi_widgets as mi
from mi_widgets.errors import Stale
from mi_widgets.interventions import many
from tests.python.families import build, experiment, ids_of, word_tokenizer, wrapped
from tests.python.freed import freed

EDIT = mi.Patch("resid_pre", 1, position=10)


@pytest.fixture(autouse=True)
def large(monkeypatch):
    """Every unembedding counts as large."""
    monkeypatch.setattr(many, "SMALL", 0)


def by_hooks(model, exp):
    """[vocab] at the last position of the corrupted prompt, with layer 1's input at position 10 from the clean one."""
    there = []
    layer = model.hf.model.layers[1]
    clean, corrupted = (ids_of(model, exp.prompt(run).prompts[0].text) for run in ("clean", "corrupted"))
    with torch.no_grad():
        handle = layer.register_forward_pre_hook(
            lambda _, args, kwargs: there.append((args[0] if args else kwargs["hidden_states"]).clone()),
            with_kwargs=True,
        )
        model.hf(input_ids=torch.tensor([clean]))
        handle.remove()

        def patch(_, args, kwargs):
            x = (args[0] if args else kwargs["hidden_states"]).clone()
            x[:, 10] = there[0][:, 10]
            return ((x, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": x})

        handle = layer.register_forward_pre_hook(patch, with_kwargs=True)
        try:
            return model.hf(input_ids=torch.tensor([corrupted])).logits[0, -1]
        finally:
            handle.remove()


def test_they_are_computed_when_read_and_are_those_of_plain_hooks():
    model = wrapped("llama")
    exp = experiment(model)
    result = exp.run([EDIT])
    assert result.held == 0
    expected = by_hooks(model, exp)
    torch.testing.assert_close(result.logits[0], expected, atol=1e-4, rtol=1e-4)
    assert result.held == result.logits.numel() * 4
    assert result.top(3).id.tolist() == expected.topk(3).indices.tolist()
    assert result.top(1).token[0] == model.text.piece(int(expected.argmax()))
    yes, no = exp.answer.ids[0][0], exp.distractor.ids[0][0]
    assert result.metric == pytest.approx(float(result.logits[0, yes] - result.logits[0, no]), abs=1e-5)


def test_other_metrics_have_them_at_once():
    exp = experiment(wrapped("llama"))
    exp.ask(metric="prob")
    result = exp.run([EDIT])
    assert result.held > 0
    assert result.metric == pytest.approx(float(result.logits[0].softmax(0)[exp.answer.ids[0][0]]), abs=1e-6)


def test_an_unread_run_of_a_model_that_has_changed_is_refused():
    hf = build("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    unread, read = exp.run([EDIT]), exp.run([EDIT])
    before = read.logits.clone()
    with torch.no_grad():
        hf.lm_head.weight.mul_(0.5)
    with pytest.raises(Stale, match="has changed since this run"):
        _ = unread.logits
    assert torch.equal(read.logits, before)
    assert unread.metric == pytest.approx(read.metric)


def test_a_write_through_data_is_seen_too():
    hf = build("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    unread = exp.run([EDIT])
    hf.lm_head.weight.data.mul_(0.5)
    with pytest.raises(Stale, match="has changed since this run"):
        _ = unread.logits


def test_a_result_does_not_keep_its_model_and_says_so():
    hf = build("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    result, ref = exp.run([EDIT]), weakref.ref(hf)
    del exp, hf
    assert freed(ref)
    with pytest.raises(Stale, match="is gone"):
        _ = result.logits
    assert len(result.to_frame()) == 1


def test_copies_and_files_hold_the_logits_themselves(tmp_path):
    exp = experiment(wrapped("llama"))
    whole = exp.run([EDIT]).logits
    for made in (
        copy.deepcopy(exp.run([EDIT])),
        pickle.loads(pickle.dumps(exp.run([EDIT]))),
        mi.Result.load(exp.run([EDIT]).save(tmp_path / "run.safetensors")),
    ):
        assert made.held > 0
        assert torch.equal(made.logits, whole)
        assert made.labels


def test_they_can_be_read_on_the_worker():
    """An observer, or a metric of the user's, may read another run's logits."""
    exp = experiment(wrapped("llama"))
    unread = exp.run([EDIT])

    def metric(logits, rows):
        return logits[:, 0] - unread.logits[0, 0]

    exp.ask(metric=metric)
    assert exp.run([EDIT]).metric == pytest.approx(0.0, abs=1e-5)


def test_a_small_unembedding_gives_them_at_once_so_that_they_outlive_the_model(monkeypatch):
    monkeypatch.undo()
    hf = build("llama")
    expected = by_hooks(mi.wrap(hf, word_tokenizer()), experiment(mi.wrap(hf, word_tokenizer())))
    result = experiment(mi.wrap(hf, word_tokenizer())).run([EDIT])
    del hf
    gc.collect()
    assert result.held > 0
    assert result.top(3).id.tolist() == expected.topk(3).indices.tolist()
    assert result.metric == pytest.approx(float(experiment(wrapped("llama")).run([EDIT]).metric), abs=1e-5)


def test_to_be_shown_computes_nothing_and_never_fails():
    hf = build("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    exp.edits.add(EDIT)
    result = exp.run()
    assert "logits=..." in repr(result)
    assert result.held == 0
    hf.lm_head.weight.data.mul_(0.5)
    assert f"metric={result.metric}" in repr(result)
    assert "logits=..." in repr(exp.runs[-1])
    unchanged = exp.run()
    assert str(unchanged.logits) in repr(unchanged)


def test_a_hook_on_the_unembedding_that_changes_its_mind_is_followed():
    hf = build("llama")
    exp = experiment(mi.wrap(hf, word_tokenizer()))
    factor = [1.0]
    hf.lm_head.register_forward_hook(lambda _, __, logits: logits * factor[0])
    before, map_before = exp.run([EDIT]), exp.sweep("resid_pre", layers=1, positions=10, progress=False)
    factor[0] = 2.0
    after, map_after = exp.run([EDIT]), exp.sweep("resid_pre", layers=1, positions=10, progress=False)
    assert after.metric == pytest.approx(2 * before.metric, rel=1e-5)
    assert float(map_after.metric) == pytest.approx(2 * float(map_before.metric), rel=1e-5)
    torch.testing.assert_close(after.logits, 2 * before.logits)
