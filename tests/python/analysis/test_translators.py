"""Tuned-lens translators: the library's own files, its definition written out, and what is wrong with a file."""

from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import mi_widgets as mi
from mi_widgets.analysis.translators import read_translators
from tests.families.configs import build
from tests.python import lens_by_hand
from tests.python.families import CLEAN, ids_of, word_tokenizer

LAYERS, WIDTH = 3, 32


def modules(bias=True, seed=0):
    """Translators as the library makes them: a list of affine maps."""
    torch.manual_seed(seed)
    made = torch.nn.ModuleList([torch.nn.Linear(WIDTH, WIDTH, bias=bias) for _ in range(LAYERS)])
    return made.requires_grad_(False)


def saved(folder, hf, translators, *, safe=False, **config):
    """A folder as the library's `save` leaves it."""
    weight = hf.get_output_embeddings().weight.detach().float().numpy()
    settings = {
        "base_model_name_or_path": "some/model",
        "d_model": WIDTH,
        "num_hidden_layers": LAYERS,
        "bias": translators[0].bias is not None,
        "base_model_revision": None,
        "unembed_hash": hashlib.sha256(str.encode(np.array_str(weight, precision=1))).hexdigest(),
        "lens_type": "linear_tuned_lens",
    } | config
    (folder / "config.json").write_text(json.dumps(settings))
    if safe:
        save_file(translators.state_dict(), folder / "params.safetensors")
    else:
        torch.save(translators.state_dict(), folder / "params.pt")
    return folder


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, atol=atol, rtol=1e-4)


@pytest.fixture(scope="module")
def gpt2():
    return mi.wrap(build("gpt2"), word_tokenizer(), "gpt2")


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_librarys_own_numbers(tmp_path, family, bias, safe):
    """Its definition: unembed(final_norm(h + translator_i(h))), h what enters layer i; the last output has none."""
    hf = build(family)
    model, made = mi.wrap(hf, word_tokenizer(), family), modules(bias)
    folder = saved(tmp_path, hf, made, safe=safe)
    exp = mi.Experiment(model, CLEAN)
    every = tuple(range(model.architecture.d_vocab))
    found = exp.lens(track=every, translators=folder)
    norm = hf.transformer.ln_f if family == "gpt2" else hf.model.norm
    streams = lens_by_hand.streams(hf, ids_of(model, CLEAN))
    with torch.no_grad():
        for i in range(LAYERS):
            h = streams[i]
            close(found.tracked[i], hf.lm_head(norm(h + made[i](h))))
        logits = hf(input_ids=torch.tensor([ids_of(model, CLEAN)])).logits[0]
    close(found.tracked[-1], logits)
    assert not torch.allclose(found.probs[0], exp.lens().probs[0], atol=1e-2)
    assert any("some/model" in note for note in found.provenance.notes)
    assert not any("leaves it out" in note for note in found.provenance.notes)


@pytest.mark.parametrize(("family", "says"), [("gemma2", "softcap"), ("cohere", "logit scale")])
def test_the_models_own_softcap_and_scale_come_behind_and_provenance_says_so(tmp_path, family, says):
    hf, made = build(family), modules()
    model = mi.wrap(hf, word_tokenizer(), family)
    exp = mi.Experiment(model, CLEAN)
    found = exp.lens(translators=read_translators(saved(tmp_path, hf, made)), k=4, measures=("kl", "entropy"))
    streams = lens_by_hand.streams(hf, ids_of(model, CLEAN))
    rows = [lens_by_hand.lens(hf, h + made[i](h)) for i, h in enumerate(streams[:-1])]
    rows.append(lens_by_hand.lens(hf, streams[-1]))
    expected = lens_by_hand.measured(rows, rows[-1], ids_of(model, CLEAN))
    for i, logits in enumerate(rows):
        close(found.probs[i], logits.softmax(-1).topk(4).values)
        for name in ("kl", "entropy"):
            close(found.measure(name)[i], expected[name][i])
    notes = [note for note in found.provenance.notes if "leaves it out" in note]
    assert len(notes) == 1
    assert says in notes[0]


def test_other_rows_are_not_translated(tmp_path, gpt2):
    exp, at = mi.Experiment(gpt2, CLEAN), ("resid_mid", "mlp_out")
    folder = saved(tmp_path, gpt2.hf, modules())
    plain, tuned = exp.lens(at=at), exp.lens(at=at, translators=folder)
    assert torch.equal(plain.logits, tuned.logits)
    assert any("between attention and MLP" in note for note in tuned.provenance.notes)


def test_an_edited_run_is_translated_too(tmp_path, gpt2):
    exp, made = mi.Experiment(gpt2, CLEAN), modules()
    exp.edits.add(mi.Zero("mlp_out", 0))
    found = exp.lens(translators=saved(tmp_path, gpt2.hf, made), k=3)
    h = exp.read("resid_post", 0, run="edited")[0]
    expected = lens_by_hand.lens(gpt2.hf, h + made[1](h))
    close(found.logits[1], expected.topk(3).values)
    base = exp.read("resid_post", 0, run="clean")[0]
    tops = lens_by_hand.lens(gpt2.hf, base + made[1](base)).argmax(-1)
    assert torch.equal(found.changed[1], expected.argmax(-1) != tops)


class Wicked:
    """Pickled, it writes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').write('opened')",)


@pytest.mark.parametrize("how", ["torch", "plain"])
def test_no_code_of_a_file_is_run(tmp_path, gpt2, how):
    folder, trap = saved(tmp_path, gpt2.hf, modules()), tmp_path / "trap"
    bad = {**modules().state_dict(), "more": Wicked(trap)}
    if how == "torch":
        torch.save(bad, folder / "params.pt")
    else:
        (folder / "params.pt").write_bytes(pickle.dumps(bad, protocol=2))
    with pytest.raises(mi.BadInput, match=r"params\.pt"):
        read_translators(folder)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_hidden_layers": 4}, r"missing 3\.bias, 3\.weight"),
        ({"num_hidden_layers": 2}, r"unknown 2\.bias, 2\.weight"),
        ({"d_model": 16}, r"0\.weight in params\.pt is \[32, 32\].*\[16, 16\]"),
        ({"bias": False}, r"without bias.*unknown 0\.bias"),
        ({"d_model": "wide"}, "d_model = 'wide'"),
        ({"num_hidden_layers": True}, "num_hidden_layers = True"),
        ({"lens_type": "other_lens"}, "other_lens"),
    ],
)
def test_settings_and_weights_that_do_not_fit(tmp_path, gpt2, change, says):
    with pytest.raises(mi.BadInput, match=says):
        read_translators(saved(tmp_path, gpt2.hf, modules(), **change))


def test_files_that_are_missing_or_broken(tmp_path, gpt2):
    with pytest.raises(mi.BadInput, match=r"no config\.json"):
        read_translators(tmp_path / "nowhere")
    folder = saved(tmp_path, gpt2.hf, modules())
    (folder / "params.pt").write_bytes((folder / "params.pt").read_bytes()[:500])
    with pytest.raises(mi.BadInput, match="could not be read"):
        read_translators(folder)
    torch.save([1, 2], folder / "params.pt")
    with pytest.raises(mi.BadInput, match="does not hold the weights"):
        read_translators(folder)
    (folder / "params.pt").unlink()
    with pytest.raises(mi.BadInput, match="no weights"):
        read_translators(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(mi.BadInput, match=r"config\.json could not be read"):
        read_translators(folder)
    made = modules()
    made[1].weight[3, 3] = torch.nan
    with pytest.raises(mi.BadInput, match="not finite"):
        read_translators(saved(tmp_path, gpt2.hf, made))


def test_translators_of_another_model(tmp_path, gpt2):
    exp = mi.Experiment(gpt2, CLEAN)
    other = build("llama")
    with pytest.raises(mi.BadInput, match="another unembedding"):
        exp.lens(translators=saved(tmp_path, other, modules()))
    assert exp.lens(translators=read_translators(tmp_path, compare=False)).probs.shape == (4, 15, 5)
    shipped = mi.Experiment(mi.load(), "Mary went to the store")
    with pytest.raises(mi.BadInput, match=r"3 layers of width 32.*4 layers"):
        shipped.lens(translators=tmp_path)
