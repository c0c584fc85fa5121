"""The list of checkpoints and the folder they load from."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from mi_widgets import checkpoints, zoo
from mi_widgets.errors import BadInput
from mi_widgets.zoo import __main__ as command

COMPLETE = {
    "README.md",
    "config.json",
    "figures.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}


def test_the_default_is_listed_first_and_every_folder_is_complete():
    assert zoo.names() == ("tiny-names", "tiny-addition", "tiny-induction")
    assert zoo.DEFAULT == "tiny-names"
    for name in zoo.names():
        steps = {f"model.step{step}.safetensors" for step in checkpoints(name)[:-1]}
        assert {file.name for file in zoo.path(name).iterdir()} == COMPLETE | steps


def test_all_that_ships_is_small():
    sizes = [file.stat().st_size for name in zoo.names() for file in zoo.path(name).iterdir()]
    assert sum(sizes) <= 5_000_000
    finals = [(zoo.path(name) / "model.safetensors").stat().st_size for name in zoo.names()]
    assert sum(finals) < 1_000_000


def test_weights_are_stored_as_float16():
    for name in zoo.names():
        for file in zoo.path(name).glob("*.safetensors"):
            assert {value.dtype for value in load_file(file).values()} == {torch.float16}, file.name


def test_an_unknown_name_is_refused_with_the_list():
    with pytest.raises(BadInput, match=r"'tiny-nmaes'.*Shipped are: tiny-names"):
        zoo.path("tiny-nmaes")


def test_importing_the_zoo_loads_neither_torch_nor_transformers():
    script = (
        "import sys, mi_widgets.zoo as z; z.names(); z.path();"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_folder_loads_offline_with_plain_transformers_and_answers(monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = AutoModelForCausalLM.from_pretrained(zoo.path(), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(zoo.path())
    encoded = tokenizer("When Mary and John went to the store, John gave a drink to", return_tensors="pt")
    with torch.no_grad():
        top = model(**encoded).logits[0, -1].argmax()
    assert tokenizer.decode([top]) == " Mary"


def test_generation_goes_on_to_the_end_of_the_sentence():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(zoo.path(), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(zoo.path())
    encoded = tokenizer("After Anna and Leo went to the park, Anna handed a book", return_tensors="pt")
    out = model.generate(**encoded, do_sample=False, max_new_tokens=10)
    assert tokenizer.decode(out[0], skip_special_tokens=True).endswith("handed a book to Leo.")
    assert out[0, -1] == tokenizer.eos_token_id


def test_a_left_padded_batch_gives_the_logits_of_single_prompts():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(zoo.path(), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(zoo.path())
    prompts = ["After three comes", "When Mary and John went to the store, John gave a drink to"]
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    assert batch.attention_mask[0, 0] == 0
    assert batch.attention_mask[:, -1].tolist() == [1, 1]
    positions = (batch.attention_mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        together = model(**batch, position_ids=positions).logits[:, -1]
        for row, prompt in enumerate(prompts):
            alone = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1]
            torch.testing.assert_close(together[row], alone, atol=2e-4, rtol=0)


def test_the_command_lists_and_refuses(capsys):
    assert command.main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in zoo.names():
        assert str(zoo.path(name)) in printed
    assert "training steps: 0, 100, " in printed
    assert command.main(["train", "no-such"]) == 2
    assert "Shipped are: tiny-names" in capsys.readouterr().err


@pytest.mark.parametrize("module", sorted(info.name for info in pkgutil.iter_modules(zoo.__path__)))
def test_the_examples_of_a_module_run(module):
    found = doctest.DocTestFinder().find(importlib.import_module(f"mi_widgets.zoo.{module}"))
    for example in found:
        assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example).failed == 0
