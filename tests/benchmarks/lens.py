"""Measure the logit lens: `python -m tests.benchmarks.lens`; everybody takes turns in one run, on CPU time, one thread.

GPT-2 small's shape with random weights, 256 tokens, 13 rows. Memory is measured in a process of its own for each
column: the peak of resident memory above what was there with the model before. Only a run with the usual shape and
rounds writes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

from .__main__ import ALONE
from .lens_ways import Found, Way, ways_of
from .measure import timed
from .report import ROOT, machine
from .rows import TINY, model_of

PAGE = ROOT / "BENCHMARKS_LENS.md"
ROUNDS = 5
TOKENS = 256
NAMES = ("products", "ours", "ours-all", "loop", "loop-all", "nnsight")
TARGETS = {"ours": 1.6, "ours-all": 3.0}
"""Times the bare products, at most."""

MEMORY = 300
"""MB above the model, at most."""

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Column:
    """One way, measured.

    Attributes:
        name, short: of the way.
        seconds: CPU time of each round.
        times: the median over rounds of its time over the bare products'.
        memory: MB above the model; None where it was not measured.
        error: how far probabilities and measures are from the plain loop's, at most; None where there are none.
    """

    name: str
    short: str
    seconds: list[float]
    times: float
    memory: float | None
    error: float | None


def config_of(tiny: bool) -> transformers.PretrainedConfig:
    """The shape that is measured."""
    return TINY["gpt2"] if tiny else transformers.GPT2Config()


def prompt_of(config: transformers.PretrainedConfig, tokens: int, seed: int) -> torch.Tensor:
    """Random ids, [position]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, config.vocab_size, (tokens,), generator=generator)


def measure(config: transformers.PretrainedConfig, tokens: int, rounds: int, memory: dict[str, float]) -> list[Column]:
    """Run every column in turn, round after round, after one round to warm up."""
    torch.set_num_threads(1)
    took: dict[str, list[float]] = {name: [] for name in NAMES}
    errors: dict[str, float] = {}
    with torch.no_grad():
        ways = ways_of(model_of(config))
        for number in range(-1, rounds):
            ids = prompt_of(config, tokens if number >= 0 else min(tokens, 8), number)
            found: dict[str, Found | None] = {}
            turn = number % len(ways)
            for way in ways[turn:] + ways[:turn]:
                way.prepare(ids)
                found[way.short], (cpu, _) = timed(way.run)
                if number >= 0:
                    took[way.short].append(cpu)
            reference = found["loop-all"]
            assert reference is not None
            for short, own in found.items():
                if own is not None:
                    errors[short] = max(errors.get(short, 0.0), _error(own, reference))
    return [
        Column(
            way.name, way.short, took[way.short], _times(took, way.short), memory.get(way.short), errors.get(way.short)
        )
        for way in ways
    ]


def _times(took: dict[str, list[float]], short: str) -> float:
    return statistics.median(a / b for a, b in zip(took[short], took["products"], strict=True))


def _error(own: Found, reference: Found) -> float:
    """Infinite where a top token is clearly another one, or where something is no number."""
    apart = own.tokens != reference.tokens
    gap = (own.probs - reference.probs).abs()
    if bool((apart & (gap > TOLERANCE)).any()):
        return float("inf")
    gaps = [gap]
    for name in own.measures.keys() & reference.measures.keys():
        off = (own.measures[name] - reference.measures[name]).abs()
        # Of two all but equal logits the one may stand before or behind the other.
        gaps.append((off - 1).clamp(min=0) if name == "rank" else off)
    found = max(float(one.max()) for one in gaps)
    return found if found == found else float("inf")


def peak(config: transformers.PretrainedConfig, tokens: int, short: str) -> float:
    """MB of resident memory above the model at the peak of one run, in this process."""
    torch.set_num_threads(1)
    with torch.no_grad():
        way: Way = ways_of(model_of(config), short)[0]
        # What a library makes once is no part of a run.
        way.prepare(prompt_of(config, min(tokens, 8), 0))
        way.run()
        way.prepare(prompt_of(config, tokens, 1))
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        way.run()
        return _status("VmHWM") - before


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def table(columns: list[Column]) -> str:
    """What people read."""
    rows = [
        "| | CPU seconds | times the products | at most | peak above the model | off the plain loop |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for c in columns:
        target = f"{TARGETS[c.short]:g}" if c.short in TARGETS else ""
        memory = "" if c.memory is None else f"{c.memory:.0f} MB"
        error = "" if c.error is None else f"{c.error:.0e}"
        rows.append(
            f"| {c.name} | {statistics.median(c.seconds):.2f} | {c.times:.2f} | {target} | {memory} | {error} |"
        )
    return "\n".join(rows)


def missed(columns: list[Column]) -> list[str]:
    """What did not reach its target, in words."""
    found = []
    for c in columns:
        if c.short in TARGETS and not c.times <= TARGETS[c.short]:
            found.append(f"{c.name}: {c.times:.2f} times the products, at most {TARGETS[c.short]:g}")
        if c.short in TARGETS and c.memory is not None and not c.memory < MEMORY:
            found.append(f"{c.name}: {c.memory:.0f} MB, less than {MEMORY}")
        if c.error is not None and not c.error <= TOLERANCE:
            found.append(f"{c.name}: {c.error:.0e} off the plain loop")
    return found


def page(columns: list[Column], tokens: int) -> str:
    """BENCHMARKS_LENS.md."""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine().items())
    return (
        "# The logit lens, measured\n\n"
        f"Written by `make bench-lens`. GPT-2 small's shape, random weights, {tokens} tokens, 13 rows, vocabulary of "
        "50,257, float32. All columns take turns in one process, on CPU time and one thread; each makes its forward "
        "pass anew on a prompt it has not seen (ours with the experiment's baselines known); the bare products are the "
        "unembedding of as many rows alone. "
        f"Medians of {ROUNDS} rounds. Memory is the peak above the loaded model, in a process of its own.\n\n"
        f"{table(columns)}\n\n{facts}\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and write the page; the exit status tells whether all targets were reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.lens", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of all columns")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of the prompt")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the benchmark itself")
    parser.add_argument("--memory", choices=NAMES, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    config = config_of(asked.tiny)
    if asked.memory:
        print(json.dumps(peak(config, asked.tokens, asked.memory)))
        return 0
    memory = {}
    for name in NAMES:
        options = ["--tokens", str(asked.tokens), "--memory", name, *(["--tiny"] if asked.tiny else [])]
        told = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.lens", *options],
            env={**os.environ, **ALONE},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        memory[name] = float(told.stdout.splitlines()[-1])
    columns = measure(config, asked.tokens, asked.rounds, memory)
    print(table(columns))
    wrong = missed(columns)
    print("\n".join(wrong) if wrong else "All targets are reached.")
    if asked.tiny or asked.rounds < ROUNDS or asked.tokens != TOKENS:
        print("Nothing was written: that was less than the page is made of.")
    else:
        PAGE.write_text(page(columns, asked.tokens), encoding="utf-8")
        print(f"wrote {PAGE.name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
