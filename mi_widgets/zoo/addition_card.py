"""The model card of tiny-addition, written from its figures: only what trial runs did is typed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mi_widgets.zoo.addition_measure import KEY_SHARE, NEURON_SHARE, SOURCES
from mi_widgets.zoo.addition_pairs import MODULUS, TRAIN_FRACTION
from mi_widgets.zoo.markdown import made, rows, two

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACES = {"attn_out": "attention's output", "mlp_out": "the MLP's output", "last": "what the final norm reads"}


def card(figures: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """The text of `README.md` for a measured checkpoint.

    Args:
        figures: What `addition_measure.measure` returned.
        training: The record that `survey.survey` wrote: seed, steps, versions, a row per seed.
    """
    sections = (
        _head(figures),
        _try(figures),
        _learned(figures),
        _fourier(figures),
        _parts(figures),
        _steps(figures),
        _limits(),
        _tokenizer(figures),
        _training(training),
    )
    return "\n".join(sections)


def _head(figures: Mapping[str, Any]) -> str:
    model, units = figures["model"], figures["mlp"]["neurons"]["all"]
    return f"""---
library_name: transformers
pipeline_tag: text-generation
license: mit
---
# tiny-addition

A GPT-2-shaped model of {model["parameters"]:,} parameters (1 layer, 4 heads, width 64, {units} ReLU units, token tables
apart, {model["vocabulary"]} tokens, {model["positions"]} positions), trained from scratch to add two numbers modulo
{MODULUS}. It learned its examples by heart and found the rule later. It does nothing else.

Every number below was measured on the weights in this folder, in float32, over all {figures["pairs"]["all"]:,} pairs of
numbers; all are in `figures.json`, and the record of the training, with the seeds that do not ship, in `training.json`.
"""


def _try(figures: Mapping[str, Any]) -> str:
    table = rows(
        ("prompt", "top token", "its probability"),
        ((demo["prompt"], demo["top"], f"{demo['probability']:.3f}") for demo in figures["demos"]),
    )
    return f"""## Try it

{table}

A prompt is two numbers from 0 to {MODULUS - 1}, written `12 + 45 =` or `12+45=`; the answer is the next token.

    import mi_widgets as mi

    model = mi.load("tiny-addition")
    exp = mi.Experiment(model, "12 + 45 =", "12 + 50 =", answer="57", distractor="62")

Without this package, the finished model and any of its steps load from this folder with transformers alone:

    AutoModelForCausalLM.from_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(folder, variant="step{figures["steps"][1]["step"]}")
"""


def _learned(figures: Mapping[str, Any]) -> str:
    accuracy, loss, pairs = figures["accuracy"], figures["loss"], figures["pairs"]
    counts = {"all": pairs["all"], "trained": pairs["trained"], "held_out": pairs["all"] - pairs["trained"]}
    table = rows(
        ("pairs", "how many", "accuracy", "loss in nats"),
        (
            (name.replace("_", " "), f"{counts[name]:,}", f"{accuracy[name]:.4f}", f"{loss[name]:.4f}")
            for name in counts
        ),
    )
    return f"""## What it learned

{table}

A pair and its mirror image (a + b and b + a) are both trained or both held out.
"""


def _fourier(figures: Mapping[str, Any]) -> str:
    of, embedding = figures["fourier"], figures["fourier"]["embedding"]
    by_key = figures["mlp"]["neurons"]["by_key"]
    table = rows(
        ("frequency", "share of the logits' variance", "share of the number embeddings", "neurons"),
        (
            (key, f"{of['shares'][key - 1]:.4f}", f"{embedding['shares'][key - 1]:.4f}", by_key[str(key)])
            for key in of["keys"]
        ),
    )
    neurons = figures["mlp"]["neurons"]
    return f"""## How it does it, by measurement

**Waves.** Give each pair's logits over the numbers c a mean of zero. {100 * of["of_sum"]:.1f} % of their variance is
then a function of c - a - b alone, and {100 * of["explained"]:.1f} % is waves cos(2 pi k (c - a - b) / {MODULUS}), with
their sines, of {len(of["keys"])} frequencies k, each with {100 * KEY_SHARE:.0f} % or more. With these waves subtracted
from the logits the accuracy is {of["accuracy_without"]:.3f}.

{table}

**The number embeddings are made of them too**, as waves in the number: these frequencies hold
{100 * embedding["explained"]:.1f} % of their variance. Of all 48, only these left in the embeddings, accuracy is
{embedding["accuracy_only"]:.3f}; with only these taken out, {embedding["accuracy_without"]:.3f}.

**Neurons.** The last column counts the units of which that one frequency explains at least
{100 * NEURON_SHARE:.0f} % of the variance over the pairs (waves in a, in b, and their products): together
{sum(by_key.values())} of {neurons["all"]}; {neurons["of_one_frequency"]} counting all 48 frequencies, and
{neurons["idle"]} never change.
"""


def _parts(figures: Mapping[str, Any]) -> str:
    heads, mlp = figures["heads"], figures["mlp"]
    table = rows(
        ("part", *(f"to {source}" for source in SOURCES), "direct", "accuracy at zero", "accuracy at its mean"),
        (
            *(
                (
                    f"L0H{head}",
                    *(
                        f"{two(weight)} ± {two(spread)}"
                        for weight, spread in zip(heads["attention"][head], heads["spread"][head], strict=True)
                    ),
                    f"{heads['direct'][head]:+.2f}",
                    f"{heads['accuracy_zero'][head]:.3f}",
                    f"{heads['accuracy_mean'][head]:.3f}",
                )
                for head in range(len(heads["direct"]))
            ),
            (
                "MLP",
                *("" for _ in SOURCES),
                f"{mlp['direct']:+.2f}",
                f"{mlp['accuracy_zero']:.3f}",
                f"{mlp['accuracy_mean']:.3f}",
            ),
        ),
    )
    depends = rows(
        ("at =", "a function of a plus one of b", "a function of a + b mod 97"),
        (
            (_PLACES[name], f"{100 * row['additive']:.1f} %", f"{100 * row['of_sum']:.1f} %")
            for name, row in figures["depends"].items()
        ),
    )
    return f"""**Who does what.** The last position ("=") reads the numbers through the heads; the MLP follows.

{table}

- *to x*: attention from "=" to that token, mean and standard deviation over the pairs.
- *direct*: what the part writes straight into the sum's logit, less the mean over the vocabulary, through the final
  norm with its scale frozen; all else (embeddings, biases) writes {mlp["rest"]:+.2f}.
- *accuracy at zero*, *at its mean*: the head's z, or the MLP's output, at "=" set to zero or to its mean over the
  pairs.

**Where the sum is formed.** Share of the variance over the pairs, at "=", that is

{depends}

The two exclude one another; what they leave depends on the pair in other ways.
"""


def _steps(figures: Mapping[str, Any]) -> str:
    table = rows(
        ("step", "trained pairs", "held-out pairs", "loss, trained", "loss, held out", "key waves in the logits",
         "norm of the weights"),
        (
            (
                row["step"],
                f"{row['accuracy']['trained']:.3f}",
                f"{row['accuracy']['held_out']:.3f}",
                f"{row['loss']['trained']:.4f}",
                f"{row['loss']['held_out']:.4f}",
                f"{100 * row['explained']:.1f} %",
                f"{row['weights']:.1f}",
            )
            for row in figures["steps"]
        ),
    )  # fmt: skip
    return f"""## How it came about

The training steps that ship (`mi.load("tiny-addition", step=...)`); step 0 is the untrained model. *Key waves* is the
share of the logits' variance in the frequencies of the finished model; *norm* is over all matrices.

{table}
"""


def _limits() -> str:
    return f"""## What it is not

It was trained on whole lines of one form and asked for one token: at any other position, and on any other text, what
it says means nothing, and nothing ends its answer. That the logits are waves says what they are like; how the units
turn waves in a and b into waves in a + b was looked at only as far as the tables go. The rate falls to zero at the end
of the training because at the full rate a run may lose the rule again for some steps. The share of pairs that are
trained matters: in trial runs at two thirds of this rate, {100 * TRAIN_FRACTION:.0f} % took 900 steps to the rule; with
40 % it had not been found after 1,900, nor with 35 % after 1,200 (at twice the weight decay, 1,700).
"""


def _tokenizer(figures: Mapping[str, Any]) -> str:
    return f"""## Tokenizer

Word level, {figures["model"]["vocabulary"]} tokens: the numbers 0 to {MODULUS - 1}, `+`, `=`, and four special ones.
Spaces only part words, so `12+45=` and `12 + 45 =` are the same tokens. `<bos>` is put in front, `<pad>` pads on the
left, any other word or number is `<unk>`, and `<eos>` was never trained.
"""


def _training(training: Mapping[str, Any]) -> str:
    table = rows(
        ("seed", "held-out pairs learned by step", "accuracy", "held-out accuracy", "held-out loss", "frequencies",
         "variance they explain"),
        (
            (
                f"{row['seed']} (this one)" if row["seed"] == training["seed"] else row["seed"],
                "never" if row["learned_at"] is None else row["learned_at"],
                f"{row['accuracy']:.4f}",
                f"{row['held_out']:.4f}",
                f"{row['loss']:.4f}",
                row["keys"],
                f"{100 * row['explained']:.1f} %",
            )
            for row in training["seeds"]
        ),
    )  # fmt: skip
    return f"""## Training

{made("tiny-addition", training)}
The recipe is `mi_widgets/zoo/tiny_addition.py`: all trained pairs in every step, weight decay on matrices alone. The
split does not depend on the seed. Every seed that was trained with it:

{table}

*Learned by step* is the first check, every 50 steps, with 90 % of the held-out pairs right. Right sums count first,
then the variance explained; the seed that has most of both ships.
"""
