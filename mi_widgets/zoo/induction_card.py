"""The model card of tiny-induction, written from its figures alone: no number in it is typed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mi_widgets.zoo.induction_text import DEFAULT, WORDS
from mi_widgets.zoo.markdown import at, heads, label, made, rows, two

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLAINLY = 0.5
"""A head is called by the name of a score that is at least this much; a step with this accuracy is midway."""
_READERS = {"q": "queries", "k": "keys", "v": "values"}


def card(figures: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """The text of `README.md` for a measured checkpoint.

    Args:
        figures: What `induction_measure.measure` returned.
        training: The record that `survey.survey` wrote: seed, steps, versions, a row per seed.
    """
    sections = (
        _head(figures),
        _try(figures),
        _learned(figures),
        _circuit(figures),
        _steps(figures),
        _limits(figures),
        _tokenizer(figures),
        _training(figures, training),
    )
    return "\n".join(sections)


def _head(figures: Mapping[str, Any]) -> str:
    model = figures["model"]
    return f"""---
library_name: transformers
pipeline_tag: text-generation
license: mit
language: en
---
# tiny-induction

A Llama-shaped model of {model["parameters"]:,} parameters (2 layers, 4 query heads over 2 key-value heads, rotary
positions, width 64, {model["vocabulary"]} tokens, {model["positions"]} positions), trained from scratch to go on with
a text as it went on before. Its MLPs ({model["idle_parameters"]:,} of the parameters) are zero and were never trained:
attention does everything. It ships with its training steps, so that one can watch the ability arise.

Every number below was measured on the weights in this folder, in float32; all are in `figures.json`, and the
record of the training, with the seeds that do not ship, in `training.json`.
"""


def _try(figures: Mapping[str, Any]) -> str:
    table = rows(
        ("prompt", "top token", "its probability"),
        ((demo["prompt"], demo["top"], f"{demo['probability']:.3f}") for demo in figures["demos"]),
    )
    midway = next(row["step"] for row in figures["steps"] if row["accuracy"] >= PLAINLY)
    return f"""## Try it

{table}

    import mi_widgets as mi

    model = mi.load("tiny-induction")
    midway = mi.load("tiny-induction", step={midway})
    mi.checkpoints("tiny-induction")  # all steps that ship

Without this package, the finished model and any of its steps load from this folder with transformers alone:

    AutoModelForCausalLM.from_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(folder, variant="step{midway}")
"""


def _learned(figures: Mapping[str, Any]) -> str:
    of = figures["random"]
    text = figures["sentences"]
    table = rows(
        ("words before the repeat", *figures["periods"]),
        [("accuracy", *(f"{value:.3f}" for value in figures["periods"].values()))],
    )
    shortest, longest = DEFAULT.periods
    return f"""## What it learned

{of["rows"]} rows of {of["period"]} different random words, said twice. The second time, the top token is the right
word with accuracy {of["accuracy"]:.3f} (loss {of["loss"]:.4f} nats); chance is {1 / len(WORDS):.3f}. By the number of
words (training had {shortest} to {longest}):

{table}

On {text["rows"]} rows of small sentences about four things each ("the old cat sees the green boat ."), the noun after
an adjective that the row had before is right {text["accuracy"]:.3f} of {text["questions"]} times.
"""


def _circuit(figures: Mapping[str, Any]) -> str:
    of, text = figures["random"], figures["sentences"]
    table = rows(
        ("head", "previous", "itself", "induction", "duplicate", "direct", "accuracy without",
         "previous, text", "induction, text", "duplicate, text"),
        (
            (
                label(head),
                *(two(at(of[name], head)) for name in ("previous", "own", "induction", "duplicate")),
                f"{at(of['direct']['heads'], head):+.2f}",
                f"{at(of['accuracy_without'], head):.3f}",
                *(two(at(text[name], head)) for name in ("previous", "induction", "duplicate")),
            )
            for head in heads(of["previous"])
        ),
    )  # fmt: skip
    return f"""## How it does it, by measurement

{_names(of)}

{_composition(of)}

{_together(of)}

{table}

- *previous*: mean attention to the token before, from position 2 on. *Itself*: to the token itself.
- *induction*: mean attention, the second time, to the token after the same word's first mention; *duplicate*: to that
  mention. On text, to all such tokens, over the positions where there are any.
- *direct*: what the head writes straight into the right word's logit, less the mean over the vocabulary, through the
  final norm with its scale frozen; the embedding writes {of["direct"]["rest"]:+.2f}.
- *accuracy without*: the second time, with the head's z set to zero.
"""


def _names(of: Mapping[str, Any]) -> str:
    previous = [head for head in heads(of["previous"]) if at(of["previous"], head) >= PLAINLY]
    induction = [head for head in heads(of["induction"]) if at(of["induction"], head) >= PLAINLY]
    first = "; ".join(
        f"{label(head)} attends to the token before with {at(of['previous'], head):.2f}" for head in previous
    )
    then = ", ".join(f"{label(head)} {at(of['induction'], head):.2f}" for head in induction)
    return f"""**Two steps.** {first or "No head plainly attends to the token before"}. The heads that attend, the
second time, to the token after the first mention: {then or "none"}."""


def _composition(of: Mapping[str, Any]) -> str:
    unread = of["unread"]
    table = rows(
        ("head taken out of", *_READERS.values()),
        (
            (
                f"L0H{head}",
                *(
                    f"{unread['accuracy'][reader][head]:.3f} ({two(unread['induction'][reader][head])})"
                    for reader in _READERS
                ),
            )
            for head in range(len(unread["accuracy"]["q"]))
        ),
    )
    return f"""**What layer 1 reads of layer 0.** What one head of layer 0 wrote is taken out of the stream from which
layer 1 computes its queries, its keys or its values, and out of nothing else. Accuracy the second time, and in brackets
the mean induction score of layer 1; unchanged they are {of["accuracy"]:.3f} and {two(_mean(of["induction"][1]))}:

{table}

{_read_most(of)}"""


def _read_most(of: Mapping[str, Any]) -> str:
    accuracy = of["unread"]["accuracy"]
    found = sorted(
        (value, reader, head)
        for reader, row in accuracy.items()
        for head, value in enumerate(row)
        if value < of["accuracy"] - 0.1
    )
    listed = "; ".join(f"the {_READERS[reader]} need L0H{head} ({value:.3f} without)" for value, reader, head in found)
    return f"Changes of more than 0.1: {listed or 'none'}."


def _together(of: Mapping[str, Any]) -> str:
    zero, one = of["accuracy_without_layer"]
    only = ", ".join(f"L1H{head} {value:.3f}" for head, value in enumerate(of["accuracy_with_only"]))
    least = min(of["accuracy_without"][1])
    return f"""**How far the heads stand in for one another.** Without any one head of layer 1 the accuracy is
{least:.3f} or more; with only one of them: {only}. Without all of layer 0 it is {zero:.3f}, without all of layer 1
{one:.3f}."""


def _steps(figures: Mapping[str, Any]) -> str:
    table = rows(
        ("step", "training loss", "accuracy", "loss, second time", "nouns in text", "strongest previous, layer 0",
         "weakest induction, layer 1"),
        (
            (
                row["step"],
                f"{row['text_loss']:.3f}",
                f"{row['accuracy']:.3f}",
                f"{row['loss']:.3f}",
                f"{row['noun_accuracy']:.3f}",
                two(max(row["previous"][0])),
                two(min(row["induction"][1])),
            )
            for row in figures["steps"]
        ),
    )  # fmt: skip
    return f"""## How it came about

The steps that ship; step 0 is the untrained model. Training loss is on {figures["text"]["batches"]} fresh batches, of
which most words cannot be predicted; accuracy and loss are the second time that {figures["random"]["period"]} random
words are said.

{table}
"""


def _limits(figures: Mapping[str, Any]) -> str:
    _, longest = DEFAULT.periods
    beyond = [(int(period), value) for period, value in figures["periods"].items() if int(period) > longest]
    listed = ", ".join(f"{value:.3f} at {period}" for period, value in beyond)
    return f"""## What it is not

It knows words, not what they mean, and its sentences have one shape. Random rows never asked it to find what lies
further back than {longest} words, and it finds that less and less: {listed} words. Where a text
says the same word twice with different words after it, there are several answers, and which it prefers was not
measured.
"""


def _tokenizer(figures: Mapping[str, Any]) -> str:
    return f"""## Tokenizer

Word level, {figures["model"]["vocabulary"]} tokens, of which {len(WORDS)} are words. Spaces only part words: "cat" and
" cat" are the same token. `<bos>` is put in front, `<pad>` pads on the left, an unknown word is `<unk>`, and `<eos>`
was never trained. The words are in `mi_widgets/zoo/induction_text.py`.
"""


def _training(figures: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    table = rows(
        (
            "seed",
            "loss",
            "learned by step",
            "accuracy",
            "nouns in text",
            "previous-token head",
            "weakest induction head",
        ),
        (
            (
                f"{row['seed']} (this one)" if row["seed"] == training["seed"] else row["seed"],
                f"{row['loss']:.3f}",
                "never" if row["learned_at"] is None else row["learned_at"],
                f"{row['accuracy']:.3f}",
                f"{row['noun_accuracy']:.3f}",
                two(row["previous"]),
                two(row["induction"]),
            )
            for row in training["seeds"]
        ),
    )
    shortest, longest = DEFAULT.periods
    return f"""## Training

{made("tiny-induction", training)}
The recipe is `mi_widgets/zoo/tiny_induction.py`: {DEFAULT.rows} rows of {DEFAULT.width} tokens a step,
{100 * DEFAULT.repeated:.0f} % of them {shortest} to {longest} different random words over and over, the rest sentences;
every token counts the same. Every seed that was trained with it:

{table}

*Learned by step* is the first check, every 50 steps, with 90 % right the second time. Right answers count first, then
the two scores; the seed that has most of both ships.
"""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
