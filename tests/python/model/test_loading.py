"""Loading by name: shipped models and their training steps, folders, and what is said when it fails."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mi_widgets as mi
from mi_widgets import zoo
from tests.python.families import build, word_tokenizer

INDUCTION = "tiny-induction"


def test_the_steps_that_ship_are_ascending_and_end_with_the_finished_model():
    steps = mi.checkpoints(INDUCTION)
    assert steps[0] == 0
    assert list(steps) == sorted(set(steps))
    assert len(steps) >= 10
    files = {file.name for file in zoo.path(INDUCTION).glob("*.safetensors")}
    assert files == {"model.safetensors", *(f"model.step{step}.safetensors" for step in steps[:-1])}


def test_a_model_that_ships_in_its_final_form_alone_has_one_step():
    assert mi.checkpoints() == mi.checkpoints("tiny-names")
    (final,) = mi.checkpoints()
    assert mi.load("tiny-names", step=final).name == f"tiny-names step {final}"


def test_every_step_of_every_shipped_model_loads_with_its_own_weights():
    for name in zoo.names():
        *kept, final = mi.checkpoints(name)
        files = {step: f"model.step{step}.safetensors" for step in kept} | {final: "model.safetensors"}
        for step, file in files.items():
            loaded = mi.load(name, step=step).hf.state_dict()
            stored = load_file(zoo.path(name) / file)
            assert set(stored) <= set(loaded)
            for key, value in stored.items():
                assert torch.equal(loaded[key], value.float()), (name, step, key)


def test_the_name_says_which_step():
    assert mi.load(INDUCTION).name == INDUCTION
    assert mi.load(INDUCTION, step=600).name == f"{INDUCTION} step 600"
    assert mi.load(INDUCTION, step=np.int64(600)).name == f"{INDUCTION} step 600"


def test_the_finished_model_is_its_last_step():
    final = mi.checkpoints(INDUCTION)[-1]
    last, finished = mi.load(INDUCTION, step=final), mi.load(INDUCTION)
    for one, other in zip(last.hf.parameters(), finished.hf.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_step_can_be_loaded_in_another_dtype():
    assert mi.load(INDUCTION, step=600, dtype="bfloat16").dtype == torch.bfloat16
    assert mi.load(INDUCTION, step=600).dtype == torch.float32


@pytest.mark.parametrize("step", [601, -1, "600", 600.0, True])
def test_a_step_that_does_not_ship_is_refused_with_the_list(step):
    with pytest.raises(mi.BadInput, match=r"tiny-induction ships no training step .*: 0, 100, .*600.*1500"):
        mi.load(INDUCTION, step=step)


def test_a_model_with_one_step_says_so():
    with pytest.raises(mi.BadInput, match="It ships this step alone: 2500"):
        mi.load("tiny-names", step=600)


def test_steps_of_what_does_not_ship_are_refused(tmp_path):
    with pytest.raises(mi.BadInput, match=r"'someone/else' is none.*tiny-induction.*revision="):
        mi.load("someone/else", step=600)
    with pytest.raises(mi.BadInput, match=r"no shipped checkpoint 'tiny-gone'.*tiny-names"):
        mi.checkpoints("tiny-gone")


def test_a_step_loads_with_transformers_alone():
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(zoo.path(INDUCTION), variant="step600", dtype=torch.float32).eval()
    model = mi.load(INDUCTION, step=600)
    ids = torch.tensor([model.tokens("fox lamp river fox lamp").ids])
    with torch.no_grad():
        torch.testing.assert_close(plain(ids).logits, model.hf(ids).logits)


def test_the_cause_is_one_line_and_the_whole_of_it_is_kept(tmp_path):
    with pytest.raises(mi.BadInput) as caught:
        mi.load("no-such-owner/no-such-model")
    message, cause = str(caught.value), caught.value.__cause__
    assert message.startswith("No causal language model could be loaded from 'no-such-owner/no-such-model': ")
    assert "\n" not in message
    assert isinstance(cause, OSError)
    first, *advice = str(cause).splitlines()
    assert advice
    assert first.rstrip(".") in message
    assert not any(line in message for line in advice if line)
    assert "tiny-names" in caught.value.hint


def test_an_empty_folder_a_missing_tokenizer_and_a_broken_file_are_said_in_one_line(tmp_path):
    with pytest.raises(mi.BadInput, match=r"has no config.json, so no model"):
        mi.load(tmp_path)
    folder = tmp_path / "broken"
    build("llama").save_pretrained(folder)
    with pytest.raises(mi.BadInput, match=r"^No causal language model could be loaded from [^\n]* tokenizer [^\n]*$"):
        mi.load(folder)
    word_tokenizer().save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(mi.BadInput, match=r"^No causal language model could be loaded from [^\n]*$"):
        mi.load(folder)
