"""Every script of `exp.to_code`, run in a fresh interpreter without this package, against `exp.run`."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import mi_widgets as mi
from mi_widgets.errors import BadInput, SiteUnavailable
from mi_widgets.model.architecture import SITES
from tests.families.configs import build as build_any
from tests.python.families import (
    CLEAN,
    CORRUPTED,
    SHORT_CLEAN,
    SHORT_CORRUPTED,
    build,
    byte_tokenizer,
    word_tokenizer,
)

RUNNER = """
import contextlib, io, json, runpy, sys, traceback
from pathlib import Path

sys.modules["mi_widgets"] = None  # importing it would fail
found = {}
for script in sorted(Path(sys.argv[1]).glob("*.py")):
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(script), run_name="__main__")
        found[script.stem] = printed.getvalue()
    except BaseException:
        found[script.stem] = traceback.format_exc()
Path(sys.argv[1], "printed.json").write_text(json.dumps(found))
"""

OURS = ("gpt2", "llama", "qwen2", "gemma2")
OTHERS = ("gpt_neox", "opt", "olmo2", "gpt_oss", "granite", "mixtral", "gptj", "falcon_mamba", "granitemoeshared")
STREAM = ("embed", "resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post", "final_norm", "logits")
INSIDE = ("q", "k", "v", "scores", "pattern", "z", "result")
GROUPS = {
    "stream": STREAM,
    "inside": INSIDE,
    "mlp": ("mlp_pre", "mlp_post"),
    "z": ("z", "result"),
    "open": ("attn_out", "mlp_out", "resid_post"),
    "middle": ("resid_mid", "resid_post"),
}

FIRST, SECOND, THIRD = (
    "When Anna and Paul went to the store , Kate gave a key to",
    "When Paul and John took to the home , Anna saw a drink to",
    "When Kate and Anna went to the book , John gave a key to",
)
DONORS = [FIRST, SECOND, THIRD]
SEVERAL = {"clean": [CLEAN, FIRST, SECOND], "corrupted": [CORRUPTED, THIRD, FIRST]}
UNEVEN = {"clean": [CLEAN, SHORT_CLEAN], "corrupted": [CORRUPTED, SHORT_CORRUPTED]}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Callable[[str], mi.Model]:
    """Tiny models, saved and loaded as a user would."""

    @lru_cache
    def load(name: str) -> mi.Model:
        folder = tmp_path_factory.mktemp(name)
        (build(name) if name in OURS else build_any(name)).save_pretrained(folder)
        if name == "gpt2":
            word_tokenizer().save_pretrained(folder)
            return mi.load(folder)
        more = {"attn_implementation": "eager"} if name == "qwen2" else {}
        return mi.wrap(AutoModelForCausalLM.from_pretrained(folder, **more), word_tokenizer())

    return load


@dataclass
class Case:
    """One script.

    Attributes:
        edits: what is done; tensors are drawn for a model of this shape.
        ask: arguments of the experiment that are not the usual ones.
    """

    family: str
    edits: Callable[[mi.Model], list[Any]]
    ask: dict[str, Any] = field(default_factory=dict)
    base: str | None = None


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def weights(*shape: int) -> torch.Tensor:
    """Rows of attention that see nothing later and sum to 1."""
    return draw(*shape).masked_fill(torch.ones(shape[-2:]).triu(1).bool(), -math.inf).softmax(-1)


def fixed(family: str, *edits: Any, base: str | None = None, **ask: Any) -> Case:
    """A script of edits that need not know the model."""
    return Case(family, lambda _: list(edits), ask, base)


def patches(family: str) -> dict[str, Case]:
    """Patches of every sort."""
    return {
        "cell": fixed(family, mi.Patch("resid_pre", 2, position=10)),
        "clean": fixed(family, mi.Patch("resid_pre", 1, position=10), base="clean"),
        "column": fixed(family, mi.Patch("resid_post", position=10, alpha=0.5)),
        "row": fixed(family, mi.Patch("z", 1)),
        "heads": fixed(family, mi.Patch("z", 1, head=[0, 2], position=[3, 10, 14], alpha=0.7)),
        "kv": fixed(family, mi.Patch("k", 1, head=1, position=10), mi.Patch("v", 0, head=[0, 1], position=[9, 10])),
        "units": fixed(family, mi.Patch("mlp_post", 1, None, [10, 14], [3, 5]), mi.Patch("z", 2, None, 14, [1, 4])),
        "moved": fixed(family, mi.Patch("resid_mid", 1, position=[14, 4], source_position=[10, 2])),
        "same_run": fixed(family, mi.Patch("z", 2, source="corrupted", position=14, source_position=10)),
        "turned": fixed(family, mi.Patch("k", 1, head=0, position=[12, 14], source_position=[10, 3])),
        "turned_heads": fixed(family, mi.Patch("q", 1, [0, 3], [12, 14], source_position=[10, 3])),
        "turned_units": fixed(family, mi.Patch("q", 1, [0, 3], 14, [1, 2, 5], source_position=3)),
        "turned_layers": fixed(family, mi.Patch("q", position=14, source_position=10)),
        "other_prompt": fixed(family, mi.Patch("attn_out", 1, position=10, source=FIRST)),
        "nothing": fixed(family, mi.Patch("resid_pre", 1, position=14, alpha=0)),
        "beyond": fixed(family, mi.Patch("mlp_out", [0, 2], position=14, alpha=-1.5)),
        "tensor": Case(
            family, lambda m: [mi.Patch("resid_pre", 1, position=[3, 10], source=draw(15, m.d_model), alpha=0.25)]
        ),
        "tensor_units": Case(
            family, lambda m: [mi.Patch("z", 1, None, 3, [1, 4], source=draw(15, m.n_heads, m.d_head_v))]
        ),
    }


def kinds(family: str) -> dict[str, Case]:
    """The other kinds of edit."""
    second = mi.Resample("mlp_out", 2, prompts=[CLEAN], n=3)
    some: dict[str, Callable[[mi.Model], list[Any]]] = {
        "add": lambda m: [mi.Add("resid_post", 1, position=-1, vector=draw(m.d_model), scale=4)],
        "add_heads": lambda m: [mi.Add("z", 1, [1, 3], [4, 14], vector=draw(m.n_heads, m.d_head))],
        "add_positions": lambda m: [mi.Add("resid_pre", 1, vector=draw(15, m.d_model), position=[2, 5])],
        "project": lambda m: [
            mi.Project("resid_mid", 1, basis=draw(m.d_model, 3)),
            mi.Project("z", 2, 1, 14, basis=draw(m.d_head)),
        ],
        "project_onto": lambda m: [mi.Project("resid_post", 0, position=10, basis=draw(m.d_model), source="clean")],
        "mean_tensor": lambda m: [
            mi.Mean("mlp_out", 1, over=draw(m.d_model)),
            mi.Mean("z", 1, 2, [3, 4], over=draw(2, 15, m.n_heads, m.d_head)),
        ],
        "stack": lambda _: [
            mi.Patch("resid_pre", 1, position=10),
            mi.Zero("z", 1, head=0),
            mi.Scale("resid_pre", 1, position=10, factor=0.5),
            mi.Add("result", 2, head=1, position=14, vector=0.5),
            mi.Patch("logits", position=14, alpha=0.1),
            mi.Zero("embed", position=2),
            mi.Scale("final_norm", factor=1.5),
        ],
    }
    return {name: Case(family, edits) for name, edits in some.items()} | {
        "none": fixed(family),
        "zero": fixed(
            family, mi.Zero("z", 1, 2), mi.Zero("mlp_out", 0, None, [2, 3]), mi.Zero("resid_mid", 2, None, 4)
        ),
        "scale": fixed(family, mi.Scale("attn_out", factor=0.5), mi.Scale("q", 2, head=1, factor=-2.0)),
        "add_number": fixed(family, mi.Add("mlp_pre", 1, vector=0.25, unit=[0, 7], scale=2)),
        "add_scores": fixed(family, mi.Add("scores", 1, head=2, vector=draw(15))),
        "project_units": fixed(family, mi.Project("mlp_post", 1, None, [3, 9], [2, 8, 9], basis=draw(3, 2))),
        "set_row": fixed(family, mi.SetPattern(layer=1, head=1, position=14, weights=weights(15, 15)[14])),
        "set_heads": fixed(
            family,
            mi.SetPattern(layer=1, head=[0, 3], weights=weights(2, 15, 15)),
            mi.SetPattern(layer=2, weights=weights(15, 15)),
        ),
        "knockout": fixed(
            family,
            mi.Knockout(layer=1, head=1, dest=14, src=[3, 4, 10]),
            mi.Knockout(layer=2, head=[0, 2], dest=[12, 14], src=10),
        ),
        "knockout_all": fixed(family, mi.Knockout(src=10)),
        "scores": fixed(family, mi.Patch("scores", 1, [0, 1], [10, 14]), mi.Scale("scores", 2, factor=0.5)),
        "pattern": fixed(family, mi.Patch("pattern", 1, alpha=0.5), mi.Zero("pattern", 2, head=0, position=14)),
        "mean_own": fixed(family, mi.Mean("z", 1, head=2), mi.Mean("mlp_post", 0, position=4, unit=[1, 2])),
        "mean_other": fixed(family, mi.Mean("resid_pre", 1, position=10, over="clean"), mi.Mean("k", 2, over="clean")),
        "mean_prompts": fixed(family, mi.Mean("z", [0, 1, 2], over=DONORS), mi.Mean("pattern", 1, head=1, over=DONORS)),
        "mean_all": fixed(family, mi.Mean("z", 1, [0, 2], [3, 9], over=[*DONORS, SHORT_CLEAN], pool="all")),
        "resample": fixed(family, mi.Resample("z", 1, prompts=DONORS, n=4)),
        "resample_two": fixed(family, mi.Resample("resid_pre", 1, position=10, prompts=DONORS, n=4, seed=3), second),
    }


def asked() -> dict[str, Case]:
    """Metrics, answers, and several prompts."""
    edits = (mi.Patch("resid_mid", 1, position=-1), mi.Patch("pattern", 2, head=1, position=-1))
    who = UNEVEN | {
        "positions": {"who": [10, 6], "first": [3, 3]}, "answer": [" Mary", " Anna"], "distractor": [" John", " key"],
    }  # fmt: skip
    cut = mi.Knockout(layer=2, head=[0, 1], dest=["end", "who"], src="first")
    to_end = mi.Patch("z", 1, head=[0, 2], position=["who", "end"], source_position=["end", "who"])
    turned = mi.Patch("k", 2, None, "end", source_position="first")
    long = {"answer": mi.Sequence(" Mary ,"), "distractor": None, "metric": "logprob"}
    longer = UNEVEN | long | {"answer": [mi.Sequence(" Mary ,"), mi.Sequence(" Anna gave a")]}
    apart = {"clean": SHORT_CLEAN, "align": {10: 6, 14: 9, 3: 1}}
    two = {"answer": (" Mary", " Anna")}
    return {
        **{metric: fixed("gemma2", *edits, metric=metric) for metric in ("prob", "logprob", "rank", "kl")},
        **{f"{metric}-several": fixed("gpt2", *edits, metric=metric, **SEVERAL) for metric in ("prob", "rank", "kl")},
        "alternatives": fixed("llama", *edits, **two, distractor=(" John", " key", " Kate")),
        "alternatives-prob": fixed("llama", *edits, **two, distractor=None, metric="prob"),
        "vocabulary": fixed("llama", *edits, distractor=None),
        "guessed": fixed("llama", *edits, distractor=None, answer=None),
        "one-prompt": fixed("gpt2", mi.Zero("z", 1, head=1), corrupted=None),
        "position": fixed("gpt2", mi.Patch("resid_pre", 1, position=10), answer_position=12),
        "positions": fixed("gpt2", mi.Patch("resid_pre", 1, position=10), **SEVERAL, answer_position=[12, 13, -1]),
        "sequence": fixed("llama", *edits, mi.Zero("mlp_out", 1), mi.Knockout(layer=1, src=3), **long),
        "sequence-several": fixed("gpt2", *edits, mi.Scale("q", 1, factor=0.5), **longer),
        "several": fixed("qwen2", *edits, **SEVERAL),
        "several-draws": fixed(
            "gpt2", mi.Zero("z", 1, head=0), mi.Resample("mlp_out", 1, prompts=DONORS, n=3),
            **SEVERAL, answer=[" Mary", " Anna", (" key", " book")],
        ),
        "several-lengths": fixed("llama", mi.Patch("resid_pre", 1, position="who"), cut, **who),
        "several-moved": fixed("llama", to_end, turned, **who),
        "several-clean": fixed(
            "gemma2", mi.Patch("v", 1, head=1), mi.Mean("mlp_post", 0, over="corrupted"), base="clean", **SEVERAL
        ),
        "several-others": fixed("gpt2", mi.Patch("z", 1, source=DONORS, position=[4, 10]), **SEVERAL),
        "several-tensors": Case(
            "gpt2", lambda m: [mi.Patch("resid_pre", 1, position=10, source=draw(3, 15, m.d_model))], SEVERAL
        ),
        "several-named-mean": fixed(
            "gpt2", mi.Mean("z", 0, [1, 3], ["who", "end"], over="clean"), mi.Mean("mlp_out", 1), **who
        ),
        "suffix": fixed(
            "llama", mi.Patch("resid_pre", 1), mi.Patch("z", 2, head=0, position=8),
            base="clean", clean=SHORT_CLEAN, align="suffix",
        ),
        "alignment": fixed("llama", mi.Patch("resid_pre", 1), mi.Patch("k", 2, position=14), **apart),
        "suffix-draws": fixed(
            "gpt2", mi.Resample("z", 1, prompts=[SHORT_CLEAN, FIRST], n=3), align="suffix"
        ),
        "own-metric": fixed("gpt2", *edits, metric=gap, **SEVERAL),
        "own-metric-one": fixed("gpt2", *edits, metric=gap),
    }  # fmt: skip


def gap(logits: torch.Tensor, rows: mi.Experiment) -> torch.Tensor:
    """How far the answer is above where it was in the clean run."""
    ids = torch.tensor([ids[0] for ids in rows.answer_ids])
    return (logits - rows.clean_logits).gather(1, ids[:, None])[:, 0]


def at(*sites: str) -> Callable[[mi.Model], list[Any]]:
    """Part of a patch at one position, and the half of all, at those of the sites that a model has."""

    def edits(model: mi.Model) -> list[Any]:
        found: list[Any] = []
        for site in sites:
            if site in model.architecture.sites:
                layers = model.layers_with(site)
                found += [mi.Patch(site, layers[-1], position=-1, alpha=0.5), mi.Scale(site, layers[0], factor=0.5)]
        return found

    return edits


GROUPS_OF = {"gptj": ("stream", "z", "mlp"), "falcon_mamba": ("stream",), "granitemoeshared": ("open", "middle")}
CASES: dict[str, Case] = {
    **{f"{family}-patch-{name}": case for family in ("gpt2", "llama") for name, case in patches(family).items()},
    **{f"{family}-{name}": case for family in ("gpt2", "qwen2") for name, case in kinds(family).items()},
    **{f"ask-{name}": case for name, case in asked().items()},
    **{f"{family}-at-{site}": Case(family, at(site)) for family in ("gpt2", "llama") for site in SITES},
    **{
        f"{family}-{group}": Case(family, at(*GROUPS[group]))
        for family in ("qwen2", "gemma2", *OTHERS)
        for group in GROUPS_OF.get(family, ("stream", "inside", "mlp"))
        if (family, group) != ("mixtral", "mlp")
    },
}


def experiment(model: mi.Model, case: Case) -> mi.Experiment:
    ask = {"clean": CLEAN, "corrupted": CORRUPTED, "answer": " Mary", "distractor": " John"} | case.ask
    return mi.Experiment(model, **ask)


@dataclass(frozen=True)
class Outcome:
    """What a run gave, what the script printed, and the script."""

    result: mi.Result
    name: str
    printed: str
    code: str


def told(text: str) -> list[str | None]:
    """The numbers of a line that a script prints: metric, share and its error."""
    number = r"(-?[0-9.]+)"
    line = re.fullmatch(rf"[a-z_]+ {number}(?:   recovered {number}(?: ± {number})?)?", text.strip("\n"))
    assert line, text
    return list(line.groups())


@dataclass(frozen=True)
class Made:
    """A script, and what `exp.run` gave.

    Attributes:
        printed: what the script printed.
    """

    result: mi.Result
    code: str
    printed: str = ""

    @classmethod
    def of(cls, exp: mi.Experiment, edits: Any, base: str | None = None, **more: Any) -> Made:
        return cls(exp.run(edits, base), exp.to_code(edits, base, **more))


def from_memory(folder: Path) -> Made:
    """Of a model that was made in memory, and saved when the script was asked for."""
    model = mi.wrap(build("gpt2", seed=3), word_tokenizer())
    model.hf.save_pretrained(folder / "memory")
    return Made.of(experiment(model, Case("gpt2", at())), mi.Zero("z", 1), path=folder / "memory")


def in_half(folder: Path) -> Made:
    """Of a model in half precision, with an attention kernel and a secret."""
    build("llama", seed=4).save_pretrained(folder / "half")
    word_tokenizer().save_pretrained(folder / "half")
    model = mi.load(folder / "half", dtype="bfloat16", attn_implementation="eager", token="secret")
    edits = [mi.Add("resid_post", 1, vector=draw(32)), mi.Patch("pattern", 2, 1), mi.Project("z", 1, 0, basis=draw(12))]
    return Made.of(experiment(model, Case("llama", at())), edits)


def of_a_step(folder: Path) -> Made:
    """Of a training step of a shipped model."""
    model = mi.load("tiny-induction", step=600)
    exp = mi.Experiment(model, [1, 5, 9, 7, 5], [1, 6, 9, 7, 5], answer=9, distractor=7)
    return Made.of(exp, mi.Patch("z", 1))


def with_a_file(folder: Path) -> Made:
    """With tensors too long for a script."""
    exp = experiment(mi.wrap(build("gpt2", seed=3), word_tokenizer()), Case("gpt2", at(), SEVERAL))
    edit = mi.Patch("mlp_post", 1, source=draw(3, 15, 128), alpha=0.5)
    return Made.of(exp, edit, path=folder / "memory", tensors=folder / "edits.pt")


SPECIAL = {"from-memory": from_memory, "in-half": in_half, "of-a-step": of_a_step, "with-a-file": with_a_file}


@pytest.fixture(scope="module")
def outcomes(models, tmp_path_factory) -> dict[str, Made]:
    """All scripts, run one after the other in one fresh interpreter without this package."""
    folder = tmp_path_factory.mktemp("scripts")
    made: dict[str, Made] = {}
    for name, case in CASES.items():
        model = models(case.family)
        made[name] = Made.of(experiment(model, case), case.edits(model), case.base)
    made |= {name: make(folder) for name, make in SPECIAL.items()}
    for name, one in made.items():
        (folder / f"{name}.py").write_text(one.code, encoding="utf-8")
    subprocess.run([sys.executable, "-c", RUNNER, str(folder)], check=True, cwd=folder, capture_output=True)
    printed = json.loads((folder / "printed.json").read_text())
    return {name: replace(one, printed=printed[name]) for name, one in made.items()}


@pytest.mark.filterwarnings("ignore:patch .* a residual that moves")
@pytest.mark.parametrize("name", [*CASES, *SPECIAL])
def test_a_script_prints_what_the_run_gave(name, outcomes):
    one = outcomes[name]
    # Half precision rounds differently in another batch.
    near = partial(pytest.approx, abs=0.1 if name == "in-half" else 1e-4)
    metric, share, error = told(one.printed)
    assert one.printed.startswith(f"{one.result.metric_name} ")
    assert float(metric) == near(one.result.metric)
    assert (share is None) == math.isnan(one.result.recovered)
    assert share is None or float(share) == near(one.result.recovered)
    assert error is None or float(error) == near(one.result.stderr)
    # At its top it says what it must print.
    expected = re.search(r"and measured: (.*)", one.code)
    assert expected
    assert float(told(expected[1])[0] or "nan") == pytest.approx(one.result.metric, abs=1e-4)


def test_edits_do_something(outcomes):
    plain = outcomes["gpt2-none"].result.metric
    others = [name for name in CASES if name.startswith("gpt2-") and name not in ("gpt2-none", "gpt2-patch-nothing")]
    assert [name for name in others if abs(outcomes[name].result.metric - plain) < 1e-3] == []


def test_scripts_name_the_modules_of_the_model(outcomes):
    assert "model.transformer.h[1].attn.c_proj" in outcomes["gpt2-patch-heads"].code
    assert "model.model.layers[1].self_attn.o_proj" in outcomes["llama-patch-heads"].code
    assert "for i in range(3)" not in outcomes["llama-patch-cell"].code


def test_only_what_is_needed_stands_in_a_script(outcomes):
    cell = outcomes["gpt2-patch-cell"].code
    assert "def before" in cell
    assert not any(name in cell for name in ("def after", "def attend", "def turned", "def mean_over", "def by_head"))
    assert all(len(line) <= 88 for line in cell.splitlines() if not line.startswith("MODEL"))


def test_the_live_list_and_base_are_written(models):
    exp = experiment(models("gpt2"), Case("gpt2", at()))
    exp.edits.add(mi.Patch("z", 1, head=2))
    exp.edits.add(mi.Zero("mlp_out", 0))
    exp.edits.toggle(1)
    assert exp.to_code() == exp.to_code([mi.Patch("z", 1, head=2)], "corrupted")
    assert len(exp.runs) == 0
    exp.base = "clean"
    assert "run(clean" in exp.to_code([mi.Zero("z", 1)]).splitlines()[-3]


def test_a_model_from_memory_leaves_a_place_for_where_it_is(outcomes):
    exp = experiment(mi.wrap(build("gpt2", seed=3), word_tokenizer()), Case("gpt2", at()))
    with pytest.warns(UserWarning, match="fill in MODEL"):
        code = exp.to_code(mi.Zero("z", 1))
    given = outcomes["from-memory"].code
    folder = re.search("MODEL = (.*)", given)
    assert folder
    open_place = code.replace('MODEL = "path or hub id"', folder[0])
    assert [line for line in open_place.splitlines() if line not in given.splitlines()] == [
        "# Nobody knows where this model is saved: fill in MODEL, or give exp.to_code(path=...)."
    ]


def test_changed_weights_are_warned_of(tmp_path):
    build("gpt2", seed=4).save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    model = mi.load(tmp_path)
    exp = experiment(model, Case("gpt2", at()))
    exp.to_code(mi.Zero("z", 1))
    with torch.no_grad():
        model.hf.transformer.h[0].mlp.c_fc.weight.mul_(1.1)
    with pytest.warns(UserWarning, match="changed after it was loaded"):
        exp.to_code(mi.Zero("z", 1))


def test_hooks_of_the_user_are_told():
    hf = build("gpt2", seed=6)
    hf.transformer.h[1].register_forward_hook(lambda module, args, output: output * 1.5)
    exp = experiment(mi.wrap(hf, word_tokenizer()), Case("gpt2", at()))
    with pytest.warns(UserWarning, match=r"Hooks of yours stand on transformer.h.1"):
        code = exp.to_code(mi.Zero("z", 0), path="saved")
    assert "# Hooks of yours" in code


def test_it_loads_as_it_was_loaded(outcomes):
    half = outcomes["in-half"].code
    assert "dtype=torch.bfloat16" in half
    assert 'attn_implementation="eager"' in half
    assert "secret" not in half
    assert 'variant="step600"' in outcomes["of-a-step"].code


def test_long_tensors_go_into_a_file(models, outcomes):
    exp = experiment(models("gpt2"), Case("gpt2", at(), SEVERAL))
    with pytest.raises(BadInput, match=r"5,760 numbers.*tensors='edits.pt'"):
        exp.to_code(mi.Patch("mlp_post", 1, source=draw(3, 15, 128)))
    assert "torch.load(" in outcomes["with-a-file"].code


def test_short_tensors_leave_no_file(models, tmp_path):
    exp = experiment(models("gpt2"), Case("gpt2", at()))
    code = exp.to_code(mi.Add("z", 1, vector=0.5), tensors=tmp_path / "edits.pt")
    assert "torch.load" not in code
    assert list(tmp_path.iterdir()) == []


def test_hostile_texts_stay_in_their_comments():
    model = mi.wrap(build("gpt2", vocabulary=257), byte_tokenizer())
    text = "a\nimport os\r\u2028b\u202e'\"\\"
    exp = mi.Experiment(model, text, text.replace("b", "c"), answer="x", distractor="y")
    code = exp.to_code(mi.Patch("z", 1, source=text.replace("b", "d")), path="a'\"\n")
    compile(code, "script", "exec")
    assert not [line for line in code.splitlines() if line.startswith("import os")]
    assert code.isascii() or all(ch.isprintable() or ch == "\n" for ch in code)


@pytest.mark.parametrize("site", ["q", "scores", "pattern"])
def test_attention_that_no_interface_shows_is_refused_with_its_reason(site, models):
    exp = experiment(models("gptj"), Case("gptj", at()))
    with pytest.raises(SiteUnavailable, match=r"L1\.\w+ cannot be written .* GPTJ.* computes attention by itself"):
        exp.to_code(mi.Scale(site, 1, factor=0.5))


def test_two_sites_that_are_both_told_from_one_stream_are_refused(models):
    exp = experiment(models("granitemoeshared"), Case("granitemoeshared", at()))
    with pytest.raises(SiteUnavailable, match="both told from its stream"):
        exp.to_code([mi.Zero("resid_mid", 1), mi.Zero("mlp_out", 1)])


def test_a_metric_that_cannot_stand_alone_is_refused(models):
    model, away = models("gpt2"), 3.0

    def shifted(logits, rows):
        return logits[:, 0] - away

    def scaled(logits, rows, factor=away):
        return logits[:, 0] * factor

    def read(logits, rows):
        return logits[:, 0]

    refused = {
        shifted: "it uses away",
        scaled: "it uses away",
        read: "the script's own",
        (lambda logits, rows: logits[:, 0]): "no plain function",
    }
    for metric, why in refused.items():
        exp = experiment(model, Case("gpt2", at(), {"metric": metric}))
        with pytest.raises(BadInput, match=why):
            exp.to_code(mi.Zero("z", 1))


def test_adapters_are_refused(tmp_path):
    peft = pytest.importorskip("peft")
    build("llama", seed=5).save_pretrained(tmp_path)
    hf = AutoModelForCausalLM.from_pretrained(tmp_path)
    adapted = peft.get_peft_model(hf, peft.LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    exp = experiment(mi.wrap(adapted, word_tokenizer()), Case("llama", at()))
    with pytest.raises(BadInput, match="merge_and_unload"):
        exp.to_code(mi.Zero("z", 1))
