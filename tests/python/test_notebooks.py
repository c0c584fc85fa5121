"""The notebooks on heads, patching, the lens: they run from top to bottom, and what they tell is what hooks find."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
import torch

from mi_widgets import zoo
from mi_widgets.analysis.random_tokens import random_prompts
from mi_widgets.zoo import induction_measure, induction_probe, names_probe

FOLDER = Path(__file__).parents[2] / "notebooks"
HEADS = [(1, 3), (2, 0), (2, 1), (2, 3)]
"""Those the notebook on patching calls the second hop."""


def run(name):
    """All names of a notebook after its last cell; its own asserts have held."""
    names = {"__name__": "__main__"}
    for number, cell in enumerate(nbformat.read(FOLDER / name, as_version=4).cells):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"cell {number}", "exec"), names)
    return names


@pytest.fixture(scope="module")
def told():
    return run("03_patching.ipynb")


@pytest.fixture(scope="module")
def probe(told):
    from transformers import AutoModelForCausalLM

    folder = told["model"].hf.config._name_or_path
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    return names_probe.Probe(plain, told["model"].tokenizer)


@pytest.fixture(scope="module")
def grown():
    return run("02_attention_heads.ipynb")


@pytest.fixture(scope="module")
def read_off():
    return run("04_logit_lens.ipynb")


@pytest.fixture(scope="module")
def induction():
    return induction_measure.load(zoo.path("tiny-induction"))


@pytest.fixture(scope="module")
def asked(grown, induction):
    """The notebook's 32 rows as ids, and their answers."""
    ids = induction.ids([text.split() for text in grown["table"].clean])
    return ids, torch.tensor(induction.tokenizer.convert_tokens_to_ids(list(grown["table"].answer)))


@pytest.mark.parametrize("name", sorted(file.name for file in FOLDER.glob("0[2-9]_*.ipynb")))
def test_it_is_kept_without_outputs(name):
    notebook = nbformat.read(FOLDER / name, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}
    assert notebook.metadata.kernelspec.name == "python3"


def test_the_baselines_are_those_of_a_plain_forward_pass(told, probe):
    drawn = told["drawn"]
    clean, swapped = (
        probe.difference(probe.last_logits(prompts), drawn).mean() for prompts in (drawn.clean, drawn.swapped)
    )
    assert told["heads"].baselines == pytest.approx({"clean": float(clean), "corrupted": float(swapped)}, abs=1e-4)


def test_what_each_head_recovers_is_what_plain_hooks_recover(told, probe):
    expected = probe.recovered_by_head(told["drawn"], told["drawn"].swapped)
    torch.testing.assert_close(told["heads"].recovered, expected, atol=1e-4, rtol=0)


def test_the_second_hop_looks_where_plain_hooks_see_it_look(told, probe):
    drawn = told["drawn"]
    clean = probe.read(probe.ids(drawn.clean))[2]
    z, size = probe.read(probe.ids(drawn.swapped))[1], probe.model.config.n_embd // probe.heads

    def hand(_module, args):
        changed = args[0].clone()
        changed[:, -1, 2 * size :] = z[0][:, -1, 2 * size :]  # L0H2 and L0H3 are the last two
        return (changed, *args[1:])

    handle = probe.body.h[0].attn.c_proj.register_forward_pre_hook(hand)
    edited = probe.read(probe.ids(drawn.clean))[2]
    handle.remove()
    row = torch.arange(len(drawn.clean))
    for run, attention in (("clean", clean), ("edited", edited)):
        for name, at in (("to io", drawn.io), ("to s1", drawn.s1)):
            mean = attention[:, row, :, -1, torch.tensor(at)].mean(0)  # [layer, head]
            expected = [float(mean[layer, head]) for layer, head in HEADS]
            assert told["looks"][run, name].tolist() == pytest.approx(expected, abs=1e-4)


def test_what_heads_write_directly_is_what_plain_hooks_read(told, probe):
    expected, _ = probe.direct_effects(told["drawn"])
    torch.testing.assert_close(told["receiver"] - told["giver"], expected, atol=1e-3, rtol=0)


def test_handing_the_reading_heads_the_right_giver_mends_a_second_scene(told, probe):
    """The same repair by a hook on the projection to queries, keys and values."""
    drawn, shape = told["drawn"], told["shapes"]["a second scene"]
    texts = []
    for answer, foil, io in zip(drawn.answers[:20], drawn.foils[:20], drawn.io[:20], strict=True):
        first, second = (answer, foil) if io == 2 else (foil, answer)
        a, b, g, r = (name.strip() for name in (first, second, foil, answer))
        texts.append(shape.format(a=a, b=b, g=g, r=r))
    ids = probe.ids(texts)
    width, size = probe.model.config.n_embd, probe.model.config.n_embd // probe.heads
    values = [2 * width + head * size + unit for head in (2, 3) for unit in range(size)]

    def hand(_module, _args, out):
        out = out.clone()
        out[:, 10, values] = out[:, 18, values]
        return out

    handle = probe.body.h[0].attn.c_attn.register_forward_hook(hand)
    with torch.no_grad():
        mended = probe.model(ids, use_cache=False).logits[:, -1]
    handle.remove()
    rows, answers, foils = range(20), probe.words(drawn.answers[:20]), probe.words(drawn.foils[:20])
    plain = probe.last_logits(texts)
    before, after = (logits[rows, answers] - logits[rows, foils] for logits in (plain, mended))
    found = told["tried"].loc["a second scene"]
    assert found["metric"] == pytest.approx(float(before.mean()), abs=1e-4)
    assert found["right"] == float((before > 0).float().mean()) == 0
    assert found["right when repaired"] == float((after > 0).float().mean()) == 1


def above_the_mean(logits, answers):
    """The answers' logits at the last position less the mean over the vocabulary, mean over rows."""
    last = logits[:, -1]
    return float((last.gather(1, answers[:, None])[:, 0] - last.mean(-1)).mean())


def share(logits, words):
    """How often the top token at the last position is the word."""
    return float((logits[:, -1].argmax(-1) == words).float().mean())


def random_scores(probe, model):
    """Attention to the token before, and to the token after the last mention, on the ids that the package draws."""
    ids = torch.tensor([prompt.ids for prompt in random_prompts(model).prompts])
    patterns = probe.run(ids).patterns
    return induction_probe.previous(patterns), induction_probe.offset_scores(patterns)[0]


def test_scores_on_random_tokens_are_read_off_plain_patterns(grown, induction):
    previous, found = random_scores(induction, grown["model"])
    scores = grown["random_scores"]
    assert scores.previous_random.tolist() == pytest.approx(previous.flatten().tolist(), abs=1e-4)
    assert scores.induction_random.tolist() == pytest.approx(found.flatten().tolist(), abs=1e-4)


def test_direct_and_total_effects_are_those_of_plain_hooks(grown, induction, asked):
    ids, answers = asked
    plain = induction.run(ids)
    assert grown["unedited"] == pytest.approx(above_the_mean(plain.logits, answers), abs=1e-3)
    direct, _ = induction.direct(plain, answers[:, None], slice(-1, None))
    torch.testing.assert_close(torch.tensor(grown["effects"].direct.tolist()), direct.flatten(), atol=1e-3, rtol=0)
    for layer in range(2):
        for head in range(4):
            changed = above_the_mean(induction.run(ids, zero=[(layer, head)]).logits, answers)
            found = grown["effects"].zero[f"L{layer}H{head}"]
            assert found == pytest.approx(changed - grown["unedited"], abs=1e-3)


def test_what_keys_queries_and_values_need_is_what_plain_hooks_find(grown, induction, asked):
    ids, answers = asked
    for head in range(4):
        for site in "qkv":
            logits = induction.run(ids, unread=(head, site)).logits
            found = grown["composition"].loc[f"without L0H{head}"]
            assert found["change", site] == pytest.approx(above_the_mean(logits, answers) - grown["unedited"], abs=1e-3)
            assert found["right", site] == pytest.approx(share(logits, answers), abs=0.04)


def masked(probe, ids, cells):
    """Logits with cells (dest, src) of L0H3 forbidden before the softmax, by the mask that attention is given."""
    length = ids.shape[1]
    causal = torch.full((length, length), -torch.inf).triu(1)
    own = causal.expand(1, probe.heads, -1, -1).clone()
    for dest, src in cells:
        own[0, 3, dest, src] = -torch.inf

    def swap(_module, args, kwargs):
        return args, {**kwargs, "attention_mask": own}

    handle = probe.layers[0].self_attn.register_forward_pre_hook(swap, with_kwargs=True)
    with torch.no_grad():
        logits = probe.model(input_ids=ids, use_cache=False).logits
    handle.remove()
    return logits


def test_cutting_one_cell_and_writing_a_row_do_what_a_mask_does(grown, induction, asked):
    ids, answers = asked
    torch.testing.assert_close(masked(induction, ids, []), induction.run(ids).logits)
    for name, dest in (("L0H3: from 11 to 10", 11), ("L0H3: from 12 to 11", 12), ("L0H3: from 10 to 9", 10)):
        logits = masked(induction, ids, [(dest, dest - 1)])
        assert grown["cut"].metric[name] == pytest.approx(above_the_mean(logits, answers), abs=1e-3)
        assert grown["cut"].right[name] == pytest.approx(share(logits, answers), abs=0.04)
    for place in (12, 16, 20):
        # A row that may look at one place only looks there with all its weight.
        lie = [(place, src) for src in range(place + 1) if src != 10]
        for name, cells in (("false note", lie), ("and true note cut", [*lie, (11, 10)])):
            logits = masked(induction, ids, cells)
            found = grown["says"].loc[place, name]
            assert found["says word 11"] == pytest.approx(share(logits, ids[:, 11]), abs=0.04)
            assert found["says this word"] == pytest.approx(share(logits, ids[:, place]), abs=0.04)


def test_scores_in_text_are_read_off_plain_patterns(grown, induction):
    each = []
    for story in grown["stories"]:
        ids = induction.ids([story["clean"].split()])
        patterns = induction.run(ids).patterns
        found, duplicate = induction_probe.text_scores(patterns, ids)
        each.append(torch.stack([induction_probe.previous(patterns), found, duplicate]))
    expected = torch.stack(each).mean(0).flatten(1)
    for name, values in zip(("previous", "induction", "duplicate"), expected, strict=True):
        assert grown["in_text"][name].tolist() == pytest.approx(values.tolist(), abs=1e-4), name


@pytest.mark.parametrize("step", [0, 500, 550, 600, 650, 1000])
def test_the_birth_is_that_of_the_plain_checkpoints(grown, asked, step):
    ids, answers = asked
    plain = induction_measure.load(zoo.path("tiny-induction"), step)
    row = grown["birth"].loc[step]
    previous, found = random_scores(plain, grown["model"])
    assert row.filter(like="previous").tolist() == pytest.approx(previous[0].tolist(), abs=1e-4)
    assert row.filter(like="induction").tolist() == pytest.approx(found[1].tolist(), abs=1e-4)
    logits = plain.run(ids).logits
    assert row["metric"] == pytest.approx(above_the_mean(logits, answers), abs=1e-3)
    assert row["right"] == pytest.approx(share(logits, answers), abs=0.04)
    without = above_the_mean(plain.run(ids, zero=[(0, 3)]).logits, answers)
    assert row["metric without L0H3"] == pytest.approx(without, abs=1e-3)
    said = logits[:, -1].softmax(-1).gather(1, ids[:, 1:21]).sum(1).mean()
    assert row["chance of words said"] == pytest.approx(float(said), abs=1e-4)


def test_each_row_of_the_lens_is_read_off_by_plain_hooks(read_off, probe):
    model, drawn = probe.model, read_off["drawn"]
    torch.testing.assert_close(
        torch.tensor(read_off["rows"]["logit difference"].tolist()), probe.lens(drawn), atol=1e-3, rtol=0
    )
    answers, foils = probe.words(drawn.answers), probe.words(drawn.foils)
    streams = probe.read(probe.ids(drawn.clean))[0][:, :, -1]
    with torch.no_grad():
        logits = model.lm_head(model.transformer.ln_f(streams))  # [row, prompt, vocab]
    ahead = logits[:, range(40), answers] > logits[:, range(40), foils]
    on_top = logits.argmax(-1) == answers
    logs = logits.log_softmax(-1)
    divergence = (logs[-1].exp() * (logs[-1] - logs)).sum(-1)
    for name, expected in (("right name ahead", ahead), ("answer on top", on_top), ("KL to the last row", divergence)):
        expected = expected.float().mean(1).tolist()
        assert read_off["rows"][name].tolist() == pytest.approx(expected, abs=1e-3), name


def test_the_lens_of_the_first_sentence_is_read_off_by_plain_hooks(read_off, probe):
    ids = probe.ids(["When Mary and John went to the store, John gave a drink to"])
    mary, john = probe.words([" Mary", " John"]).tolist()
    with torch.no_grad():
        logits = probe.model.lm_head(probe.model.transformer.ln_f(probe.read(ids)[0][:, 0]))
    probs, table = logits.softmax(-1), read_off["table"]
    torch.testing.assert_close(read_off["said"], probs[..., mary], atol=1e-4, rtol=0)
    torch.testing.assert_close(read_off["differs"], logits[..., mary] - logits[..., john], atol=1e-3, rtol=0)
    assert table["its probability"].tolist() == pytest.approx(probs[:, -1].amax(-1).tolist(), abs=1e-4)
    assert table["rank of Mary"].tolist() == (logits[:, -1] > logits[:, -1, mary, None]).sum(-1).tolist()


def test_what_each_part_writes_is_what_plain_hooks_read(read_off, probe):
    expected, _ = probe.direct_effects(read_off["drawn"])
    found = read_off["written"][["H0", "H1", "H2", "H3"]].to_numpy()
    torch.testing.assert_close(torch.tensor(found), expected, atol=1e-3, rtol=0)


def z_set(probe, values):
    """Hooks that put z of some heads, {(layer, head): [position, d_head]}, in the place of what they give."""
    size = probe.model.config.n_embd // probe.heads

    def putting(layer):
        def hand(_module, args):
            changed = args[0].clone()
            for (at, head), value in values.items():
                if at == layer:
                    changed[..., head * size : (head + 1) * size] = value
            return (changed, *args[1:])

        return hand

    return [
        probe.body.h[layer].attn.c_proj.register_forward_pre_hook(putting(layer)) for layer in {at for at, _ in values}
    ]


@pytest.mark.parametrize("name", ["first hop: L0H2, L0H3", "second hop: L1H3, L2H0, L2H1, L2H3"])
def test_an_ablation_moves_the_rows_as_plain_hooks_do(read_off, probe, name):
    drawn, size = read_off["drawn"], probe.model.config.n_embd // probe.heads
    z = probe.read(probe.ids(drawn.third))[1].mean(1)  # [layer, position, d]
    chosen = [(layer, head) for layer, heads in read_off["edits"][name].items() for head in heads]
    hooks = z_set(probe, {(i, j): z[i][:, j * size : (j + 1) * size] for i, j in chosen})
    try:
        expected = probe.lens(drawn)
    finally:
        for hook in hooks:
            hook.remove()
    found = torch.tensor(read_off["ablated"][name]["logit difference"].tolist())
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.fixture(scope="module")
def boarded():
    return run("05_patch_board.ipynb")


def test_what_the_board_recovers_is_what_plain_hooks_recover(boarded):
    model, exp, end, giver = (boarded[name] for name in ("model", "exp", "end", "giver"))
    hf = model.hf
    clean, corrupted = (torch.tensor([exp.prompt(run).prompts[0].ids]) for run in ("clean", "corrupted"))
    answer, distractor = exp.answer.ids[0][0], exp.distractor.ids[0][0]

    def difference(logits):
        return float(logits[0, -1, answer] - logits[0, -1, distractor])

    def kept(module, ids):
        seen = []
        handle = module.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
        with torch.no_grad():
            logits = hf(ids).logits
        handle.remove()
        return seen[0], difference(logits)

    def patched(module, write):
        there, high = kept(module, clean)

        def hook(_, given):
            x = given[0].clone()
            write(x, there)
            return (x, *given[1:])

        handle = module.register_forward_pre_hook(hook)
        with torch.no_grad():
            value = difference(hf(corrupted).logits)
        handle.remove()
        low = kept(module, corrupted)[1]
        return (value - low) / (high - low)

    def at(position, *dims):
        def write(x, there):
            for one in dims or [slice(None)]:
                x[0, position, one] = there[0, position, one]

        return write

    blocks = hf.transformer.h
    head = [slice(i * model.d_head, (i + 1) * model.d_head) for i in range(4)]
    z = blocks[0].attn.c_proj
    told = {name: run.recovered for name, run in (boarded["found"] | boarded["pieces"]).items()}
    assert told["input, at the giver"] == pytest.approx(patched(blocks[0], at(giver)), abs=1e-4)
    assert told["L0, at the giver"] == pytest.approx(patched(blocks[1], at(giver)), abs=1e-4)
    assert told["L0, at the end"] == pytest.approx(patched(blocks[1], at(end)), abs=1e-4)
    assert told["head L0H2"] == pytest.approx(patched(z, at(end, head[2])), abs=1e-4)
    assert told["head L0H3"] == pytest.approx(patched(z, at(end, head[3])), abs=1e-4)
    assert told["both heads"] == pytest.approx(patched(z, at(end, head[2], head[3])), abs=1e-4)
    sweep = boarded["stream"].recovered
    for layer, position in ((0, giver), (1, giver), (2, end), (3, end - 1)):
        assert float(sweep[layer, position]) == pytest.approx(patched(blocks[layer], at(position)), abs=1e-4)
