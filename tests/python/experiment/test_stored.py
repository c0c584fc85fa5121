"""`exp.save` and `Experiment.open`: everything comes back; a file of another tokenizer or a hostile one is refused."""

from __future__ import annotations

import copy
import json

import pytest
import torch

import mi_widgets as mi
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CLEAN,
    SHORT_CORRUPTED,
    build,
    byte_tokenizer,
    experiment,
    wrapped,
)

TORCH = torch.Generator().manual_seed(0)


def margin(logits, rows):
    return logits[:, 3] - logits[:, 4]


def every_edit():
    """One of each kind, and each form of source."""
    vector, basis = torch.randn(32, generator=TORCH), torch.randn(32, 2, generator=TORCH)
    weights = torch.eye(15)
    return [
        mi.Patch("resid_pre", 1, position=["s2", -1], alpha=0.5),
        mi.Patch("z", [0, 2], head=1, unit=[0, 3], source=SHORT_CLEAN, position=-1, source_position=3),
        mi.Patch("mlp_out", 0, source=torch.randn(15, 32, generator=TORCH)),
        mi.Patch("attn_out", 1, source=(1, 2, 3) * 5),
        mi.Zero("v", 1, head=0),
        mi.Scale("mlp_post", 2, unit=7, factor=-1.5),
        mi.Add("resid_mid", 1, position="end", vector=vector.to(torch.bfloat16), scale=2),
        mi.Add("attn_out", 1, vector=0.25),
        mi.Project("resid_post", 0, basis=basis, source=None),
        mi.Mean("mlp_out", 1, over=[CLEAN, CORRUPTED]),
        mi.Resample("z", 0, head=3, prompts=[CLEAN, CORRUPTED], n=2, seed=3),
        mi.Knockout(layer=1, head=1, dest=14, src=[10, -2]),
        mi.SetPattern(layer=2, head=0, weights=weights),
    ]


@pytest.fixture(scope="module")
def model():
    return wrapped("llama")


def test_everything_comes_back(model, tmp_path):
    exp = experiment(model, metric="prob", base="clean", positions={"s2": 10, "io": -13})
    for edit in every_edit():
        exp.edits.add(edit)
    exp.edits.toggle(4)
    exp.selection = ["L1H1.z@-1", "L2.resid_pre"]
    file = exp.save(tmp_path / "x.json")
    again = mi.Experiment.open(file, model)
    assert list(again.edits.entries) == list(exp.edits.entries)
    assert [type(e).__name__ for e in again.edits] == [type(e).__name__ for e in every_edit()]
    assert again.edits[6].vector.dtype == torch.bfloat16
    assert again.selection == exp.selection
    assert (again.metric, again.base, again.positions) == (exp.metric, exp.base, exp.positions)
    assert (again.answer, again.distractor) == (exp.answer, exp.distractor)
    assert again.prompt().prompts == exp.prompt().prompts
    one, other = exp.run(), again.run()
    assert torch.equal(one.logits, other.logits)
    assert one.metric != pytest.approx(exp.run(()).metric, abs=1e-4)
    assert json.loads(file.read_text())["version"] == 1
    assert file.read_text() == again.save(tmp_path / "y.json").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.json", "y.json"]


@pytest.mark.parametrize(
    "asked",
    [
        {"clean": CLEAN, "corrupted": None},
        {"clean": [CLEAN, SHORT_CLEAN], "corrupted": [CORRUPTED, SHORT_CORRUPTED], "answer_position": [-1, -2],
         "answer": [(" Mary", " Anna"), " Kate"], "distractor": [" John", (" Paul", " John")]},
        {"clean": CLEAN, "corrupted": SHORT_CORRUPTED, "align": "suffix", "positions": {"s2": 10}},
        {"clean": CLEAN, "corrupted": SHORT_CORRUPTED, "align": {0: 0, 5: 10}, "base": "corrupted"},
        {"clean": CLEAN, "answer": mi.Sequence(" Mary took"), "distractor": None, "metric": "logprob"},
        {"clean": CLEAN, "corrupted": CORRUPTED, "answer": None, "distractor": None},
        {"clean": [5, 6, 7], "corrupted": [5, 8, 7], "bos": True},
        {"clean": CLEAN, "bos": False},
    ],
)  # fmt: skip
def test_every_question_comes_back(model, tmp_path, asked):
    exp = mi.Experiment(model, **{"answer": " Mary", "distractor": " John"} | asked)
    again = mi.Experiment.open(exp.save(tmp_path / "x.json"), model)
    mine, theirs = exp.snapshot(), again.snapshot()
    assert mine.key == theirs.key
    assert (mine.align, mine.bos, mine.clean.names) == (theirs.align, theirs.bos, theirs.clean.names)
    assert mine.answer.guessed == theirs.answer.guessed
    assert exp.question()["prompts"] == again.question()["prompts"]
    assert again.run(mi.Zero("z", 1)).metric == exp.run(mi.Zero("z", 1)).metric


def test_a_function_that_measures_is_given_again(model, tmp_path):
    exp = experiment(model, metric=margin)
    file = exp.save(tmp_path / "x.json")
    with pytest.raises(mi.BadInput, match=r"function 'margin', which a file cannot hold.*metric=margin"):
        mi.Experiment.open(file, model)
    assert mi.Experiment.open(file, model, metric=margin).run(()).metric == exp.run(()).metric
    assert mi.Experiment.open(file, model, metric="prob").metric == "prob"


def test_edits_that_cannot_run_on_another_model_are_kept_switched_off(model, tmp_path):
    exp = experiment(model)
    for layer in (0, 2):
        exp.edits.add(mi.Zero("z", layer, head=1))
    shallow = mi.wrap(build("llama", num_hidden_layers=1), model.tokenizer, "shallow")
    again = mi.Experiment.open(exp.save(tmp_path / "x.json"), shallow)
    assert [entry.on for entry in again.edits.entries] == [True, False]
    assert "Layer 2 does not exist" in again.edits.entries[1].note
    assert again.answer == exp.answer


def test_another_tokenizer_is_refused(model, tmp_path):
    file = experiment(model).save(tmp_path / "x.json")
    other = mi.wrap(build("gpt2", vocabulary=300), byte_tokenizer(), "bytes")
    with pytest.raises(mi.BadInput, match=r"clean\[0\] was saved for another tokenizer: token id 1 reads '<s>' there"):
        mi.Experiment.open(file, other)


def test_what_cannot_be_saved(model, tmp_path):
    class Mine(mi.Zero):
        pass

    exp = experiment(model)
    exp.edits.add(Mine("z", 1))
    with pytest.raises(mi.BadInput, match="no edit of this package"):
        exp.save(tmp_path / "x.json")
    exp.edits.replace(0, mi.Mean("resid_pre", 1, over=torch.zeros(20_000, 15, 32)))
    with pytest.raises(mi.BadInput, match="more than 32 MiB of tensors"):
        exp.save(tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def _saved(model, tmp_path):
    exp = experiment(model, positions={"s2": 10})
    exp.edits.add(mi.Add("resid_mid", 1, vector=torch.ones(32)))
    exp.edits.add(mi.Resample("z", 0, prompts=[CLEAN], n=2))
    exp.selection = ["L1H1.z"]
    return json.loads(exp.save(tmp_path / "good.json").read_text())


CHANGES = [
    (("format",), "other", "holds no experiment"),
    (("version",), 2, "has the version 2; this package reads version 1"),
    (("version",), True, "has the version"),
    (("version",), 10**400, "more than 64 bits"),
    (("extra",), 1, "'extra' is not known"),
    (("clean",), None, "clean is None, not a list of prompts"),
    (("clean",), [], "not a list of prompts"),
    (("clean",), ["text"], r"clean\[0\] is 'text', not a mapping"),
    (("clean", 0, "ids"), "12", "not a list of whole numbers"),
    (("clean", 0, "ids", 3), True, r"ids\[3\] is True"),
    (("clean", 0, "ids", 3), 10**30, r"ids\[3\]"),
    (("clean", 0, "ids", 3), 4096, "token id 4096 reads .* there and is not there"),
    (("clean", 0, "ids", 3), -1, "another tokenizer"),
    (("clean", 0, "pieces", 3), " und", "another tokenizer"),
    (("clean", 0, "pieces"), [], "15 ids and 0 pieces"),
    (("clean", 0, "text"), 7, "text is 7"),
    (("clean", 0), {"text": "", "ids": [], "pieces": []}, "cannot be asked"),
    (("corrupted",), {}, "corrupted is"),
    (("answer", "ids"), [[1], [2]], "one answer for each of 1 prompts"),
    (("answer", "ids", 0), [], "is empty"),
    (("answer", "guessed"), 1, r"answer.guessed is 1"),
    (("answer", "ids", 0, 0), 7, "another tokenizer"),
    (("metric",), "prob", "metric is 'prob', not a mapping"),
    (("metric", "name"), "__import__", "metrics are logit_diff"),
    (("metric", "custom"), "yes", "metrics are"),
    (("base",), "edited", "base is 'edited'"),
    (("base",), ["clean"], "base is"),
    (("align",), "prefix", "align is 'prefix'"),
    (("align",), [[1, 2, 3]], "pairs of positions"),
    (("align",), [[0, 99]], "align names source positions"),
    (("answer_position",), 1.5, "answer_position is 1.5"),
    (("answer_position",), 99, "Position 99 does not exist"),
    (("positions",), {"s2": [99]}, "Position 99 does not exist"),
    (("positions",), {"2": [1]}, "cannot name a position"),
    (("positions",), {"s2": 10}, "not a list of whole numbers"),
    (("bos",), 1, "bos is 1"),
    (("edits",), {}, "edits is {}, not a list"),
    (("edits", 0), None, r"edits\[0\] is None"),
    (("edits", 0, "on"), 1, r"edits\[0\].on"),
    (("edits", 0, "note"), 5, r"edits\[0\].note"),
    (("edits", 0, "edit", "type"), "Popen", "edits are Patch, Zero"),
    (("edits", 0, "edit", "type"), ["Add"], "edits are Patch"),
    (("edits", 0, "edit", "shell"), "x", "'shell', which a Add does not have"),
    (("edits", 0, "edit", "site"), "os", "There is no site 'os'"),
    (("edits", 0, "edit", "layer"), {"a": 1}, "neither a number, a text, a list nor a tensor"),
    (("edits", 0, "edit", "layer"), [[1]], "layer is a whole number"),
    (("edits", 0, "edit", "scale"), "1", "scale is a finite number"),
    (("edits", 0, "edit", "scale"), 10**400, r"scale is a number of more than 64 bits"),
    (("edits", 0, "edit", "vector", "tensor"), "!!", "not base64"),
    (("edits", 0, "edit", "vector", "tensor"), 5, "holds 0 bytes"),
    (("edits", 0, "edit", "vector", "tensor"), "AAAA", "holds 3 bytes"),
    (("edits", 0, "edit", "vector", "shape"), [2**31 - 1, 2**31 - 1], "holds 128 bytes"),
    (("edits", 0, "edit", "vector", "shape"), [-1], r"shape\[0\] is -1"),
    (("edits", 0, "edit", "vector", "shape"), 32, "not a list"),
    (("edits", 0, "edit", "vector", "dtype"), "object", "dtypes are float64"),
    (("edits", 1, "edit", "n"), 10**9, "draws"),
    (("edits", 1, "edit", "prompts"), [], "prompts"),
    (("selection",), "L1", "not a list of texts"),
    (("selection",), ["L1;drop"], "is not a site"),
    (("selection",), ["L99.z"], "Layer 99 does not exist"),
]


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return _saved(model, tmp_path_factory.mktemp("saved"))


@pytest.mark.parametrize(("where", "value", "says"), CHANGES, ids=[".".join(map(str, c[0])) for c in CHANGES])
def test_a_file_that_was_tampered_with(model, saved, tmp_path, where, value, says):
    document = copy.deepcopy(saved)
    part = document
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(mi.MiWidgetsError, match=says) as caught:
        mi.Experiment.open(tmp_path / "x.json", model)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "{", "null", "[" * 100_000, '{"a": NaN}', '{"format": "mi_widgets.experiment"}', "\x00", "{}" * 2,
     '{"format": "mi_widgets.experiment", "version": 1}'],
)  # fmt: skip
def test_what_is_no_file_of_ours(model, tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(mi.BadInput):
        mi.Experiment.open(tmp_path / "x.json", model)
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(mi.BadInput, match="is no JSON"):
        mi.Experiment.open(tmp_path / "x.json", model)
    with pytest.raises(mi.BadInput, match="cannot be read"):
        mi.Experiment.open(tmp_path / "none.json", model)
    with pytest.raises(mi.BadInput, match="cannot be read"):
        mi.Experiment.open(tmp_path, model)
    with pytest.raises(mi.BadInput, match="is a Model"):
        mi.Experiment.open(tmp_path / "x.json", "llama")


def test_a_missing_part(model, saved, tmp_path):
    for name in saved:
        rest = {key: value for key, value in saved.items() if key != name}
        (tmp_path / "x.json").write_text(json.dumps(rest))
        with pytest.raises(mi.BadInput):
            mi.Experiment.open(tmp_path / "x.json", model)
