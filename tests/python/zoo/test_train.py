"""Training: reproducible, it learns, and it leaves the caller's process as it was."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from mi_widgets import zoo
from mi_widgets.errors import BadInput
from mi_widgets.zoo import recipe as recipes
from mi_widgets.zoo import survey
from mi_widgets.zoo.train import Trained, loss_of, rate_at, save, train


@pytest.fixture(scope="module")
def recipe():
    return recipes.load("tiny-names")


@pytest.fixture(scope="module")
def short(recipe):
    return train(replace(recipe, keep=(6,)), seed=3, steps=30)


def test_the_same_seed_gives_the_same_losses_and_weights(recipe, short):
    again = train(recipe, seed=3, steps=6)
    assert again.losses == short.losses[:6]
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, short.kept[6][name])
    assert train(recipe, seed=4, steps=2).losses != short.losses[:2]


def test_it_starts_knowing_nothing_and_thirty_steps_teach_it_most_of_a_nat(short):
    assert short.losses[0] == pytest.approx(math.log(len(short.tokenizer)), abs=0.1)
    assert sum(short.losses[-5:]) / 5 < short.losses[0] - 0.8


def test_training_leaves_threads_and_random_state_alone(recipe):
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    seen = []
    train(recipe, seed=0, steps=1, progress=lambda *_: seen.append(torch.get_num_threads()))
    assert seen == [1]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_the_rate_warms_up_and_falls_to_zero(recipe):
    schedule = recipe.schedule
    assert rate_at(schedule, 0) == pytest.approx(schedule.rate / schedule.warmup)
    assert rate_at(schedule, schedule.warmup) == pytest.approx(schedule.rate)
    assert rate_at(schedule, schedule.steps) == pytest.approx(0, abs=1e-12)


def test_a_rate_that_is_held_falls_later():
    schedule = replace(recipes.load("tiny-names").schedule, steps=100, warmup=10, hold=60)
    assert [rate_at(schedule, step) for step in (10, 40, 70)] == pytest.approx([schedule.rate] * 3)
    assert rate_at(schedule, 85) == pytest.approx(schedule.rate / 2)
    assert rate_at(schedule, 100) == pytest.approx(0, abs=1e-12)


def test_steps_that_are_kept_are_the_model_of_a_shorter_training(recipe, tmp_path):
    from transformers import AutoModelForCausalLM

    kept = train(replace(recipe, keep=(0, 2)), seed=3, steps=4)
    assert list(kept.kept) == [0, 2]
    until = train(recipe, seed=3, steps=2).model.state_dict()
    assert all(torch.equal(value, kept.kept[2][name]) for name, value in until.items())
    save(kept, tmp_path)
    for step, weights in kept.kept.items():
        stored = AutoModelForCausalLM.from_pretrained(tmp_path, variant=f"step{step}", dtype=torch.float32)
        for name, value in stored.state_dict().items():
            torch.testing.assert_close(value, weights[name], atol=1e-3, rtol=1e-3)
    finished = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    changed = kept.kept[2]["transformer.wte.weight"]
    assert (finished["transformer.wte.weight"] - changed).abs().max() > 1e-4


def test_weights_that_are_frozen_stay():
    induction = replace(recipes.load("tiny-induction"), keep=(0,))
    trained = train(induction, seed=1, steps=2)
    for name, value in trained.model.state_dict().items():
        if ".mlp." in name:
            assert not value.any()
        elif "post_attention" not in name:  # the norm that only the MLP reads
            assert not torch.equal(value, trained.kept[0][name]), name


def test_the_quick_loss_of_tiny_addition_is_the_loss_of_all_recipes():
    recipe = recipes.load("tiny-addition")
    tokenizer = recipe.tokenizer()
    torch.manual_seed(0)
    model = recipe.model(tokenizer)
    batch = next(recipe.batches(tokenizer, 0))
    some = replace(batch, ids=batch.ids[:200], weights=batch.weights[:200])
    losses, slopes = [], []
    for loss in (recipe.loss, loss_of):
        model.zero_grad()
        losses.append(loss(model, some))
        losses[-1].backward()
        slopes.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(*losses)
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-3)


def test_saving_writes_float16_that_keeps_every_top_token(short, tmp_path):
    from transformers import AutoModelForCausalLM

    save(short, tmp_path)
    assert short.model.dtype == torch.float32
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.float16
    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    ids = torch.tensor(short.tokenizer(["After three comes", "The capital of Velmora is"], padding=True).input_ids)
    with torch.no_grad():
        exact, stored = short.model(ids).logits, again(ids).logits
    torch.testing.assert_close(exact, stored, atol=2e-2, rtol=0)
    assert torch.equal(exact[:, -1].argmax(-1), stored[:, -1].argmax(-1))


def test_a_survey_keeps_the_best_seed_and_the_record_of_all(recipe, tmp_path):
    brief = replace(
        recipe,
        schedule=replace(recipe.schedule, steps=3),
        measure=lambda folder: {"folder": folder.name},
        merit=lambda figures: {"5": 0.2, "6": 0.9}.get(figures["folder"], 0.0),
        headline=lambda figures: {"accuracy": 0.0},
        card=lambda figures, training: f"seed {training['seed']}\n",
    )
    assert survey.survey(brief, [5, 6], tmp_path) == 6
    record = json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))
    assert record["seed"] == 6
    assert [row["seed"] for row in record["seeds"]] == [5, 6]
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "seed 6\n"
    best, kept = (folder / "model.safetensors" for folder in (tmp_path / "seeds" / "6", tmp_path))
    assert best.read_bytes() == kept.read_bytes()


def test_learned_at_is_the_first_score_high_enough(short):
    scored = replace(short, scores=((250, 0.5), (500, 0.95), (750, 0.85)))
    assert survey.learned_at(scored) == 500
    assert survey.learned_at(Trained(short.model, short.tokenizer, (), ((250, 0.1),))) is None


def test_every_listed_checkpoint_has_a_recipe_of_its_name():
    for name in zoo.names():
        assert recipes.load(name).name == name
    with pytest.raises(BadInput):
        recipes.load("no-such")
