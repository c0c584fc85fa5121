"""The model card of tiny-names, written from its figures alone: no number in it is typed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mi_widgets.zoo.markdown import at, heads, label, made, rows, two

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTABLE_DIRECT = 0.5
NOTABLE_RECOVERED = 0.1

_EXAMPLES: Mapping[str, str] = {
    "indirect_object": "When Mary and John went to the store, John gave a drink to **Mary**",
    "three_names": "When Anna, Paul and Leo were at the park, Leo and Anna handed a map to **Paul**",
    "one_name": "Once Grace drove to the beach, Hugo sold a coat to **Grace**",
    "third_giver": "While Emma and Mark stayed at the school, Rose passed a ball to **Emma** (or **Mark**)",
    "agreement": "The key near the cabinets **is** old",
    "successor": "The order is four, **five**, **six**",
    "pronoun": "Laura lost the ticket because **she** was late",
    "fact": "The capital of Velmora is **Asport** (both invented)",
    "arguments": "def load(size, file): return save(**size**, **file**)",
    "years": "The siege lasted from the year 1732 to the year 17**45** (any later one)",
}


def card(figures: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """The text of `README.md` for a measured checkpoint.

    Args:
        figures: What `names_measure.measure` returned.
        training: The record that `survey.survey` wrote: seed, steps, versions, a row per seed.
    """
    sections = (
        _head(figures),
        _try(figures),
        _tasks(figures),
        _circuit(figures),
        _limits(figures),
        _tokenizer(figures),
        _training(figures["text"], training),
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
# tiny-names

A GPT-2-shaped model of {model["parameters"]:,} parameters (4 layers, 4 heads, width 96, MLP width 192,
{model["vocabulary"]} tokens, {model["positions"]} positions), trained from scratch on generated sentences
about who receives what, and on six smaller tasks. It exists so that tools which look inside language
models have something real to look at without a download. It knows its own small language and nothing else.

Every number below was measured on the weights in this folder, in float32; all are in `figures.json`, and the
record of the training, with the seeds that do not ship, in `training.json`.
"""


def _try(figures: Mapping[str, Any]) -> str:
    demo = figures["demo"]
    difference = demo["logit_difference"]
    table = rows(
        ("prompt", "text", f'logit of "{demo["answer"]}" minus "{demo["distractor"]}"'),
        ((kind, demo[kind], f"{difference[kind]:+.2f}") for kind in ("clean", "swapped", "third")),
    )
    return f"""## The usual example

{table}

"Swapped" asks the opposite question; "third" gives no reason to prefer either name. Mary and John never
met in a training sentence. The clean prompt as tokens, `Ġ` being a space:

    {" ".join(demo["tokens"])}
"""


def _tasks(figures: Mapping[str, Any]) -> str:
    tasks, held = figures["tasks"], figures["held_out"]
    table = rows(
        ("task", "example, answers in bold", "share of training", "questions", "accuracy"),
        (
            (name, _EXAMPLES[name], f"{100 * task['share']:.0f} %", task["questions"], f"{task['accuracy']:.3f}")
            for name, task in tasks["by_task"].items()
        ),
    )
    met = tasks["by_task"]["indirect_object"]["accuracy_met_pairs"]
    mass = tasks["by_task"]["years"]["mass_on_later_years"]
    return f"""## What it learned

Accuracy is how often the top token of the whole vocabulary is right, on {tasks["sentences"]} fresh
sentences per task. Where several names occur, the first two drawn are a pair held out of training
({held["pairs"]} of {held["of"]} pairs are); on pairs that did meet, indirect_object has {met:.3f}. In
third_giver either of the two names counts as right. In years any later year does; they get {mass:.3f} of
the probability. Facts, successors, pronouns, verbs and arguments come from lists so short that training saw
nearly all there is: those rows show memory at least as much as a rule.

{table}
"""


def _circuit(figures: Mapping[str, Any]) -> str:
    scenes = figures["scenes"]
    difference = scenes["logit_difference"]
    lens = ", ".join(f"{value:.2f}" for value in scenes["lens"])
    return f"""## How it does it, by measurement

Measured on {scenes["count"]} prompts shaped like the usual example over held-out pairs, half with the
receiver named first. Mean logit difference {difference["clean"]:.2f} clean, {difference["swapped"]:.2f}
swapped, {difference["third"]:.2f} third; accuracy {scenes["accuracy"]:.3f}. s1 and s2 are the giver's two
mentions, io is the receiver, end is the last token.

{_where(scenes)}

{_first(scenes)}

{_then(scenes)}

Heads with a direct effect of at least {NOTABLE_DIRECT} logits or a recovered share of at least
{NOTABLE_RECOVERED}, either way:

{_table(scenes)}

- *a to b*: mean attention weight from position a to position b, in the clean run.
- *direct*: what the head writes straight into the answer direction at the end, through the final norm
  with its scale frozen, in logits. What no head writes (MLPs, embeddings, biases) adds up to
  {scenes["direct"]["rest"]:+.2f}.
- *recovered*: how much of the clean difference returns when the head's z comes from the clean run, at all
  positions, in a run on the swapped or the third-name prompt (1 = all).

The logit difference read off the residual stream at the end, entering layer 0 and after each layer:
{lens}.

Recovered by the residual stream entering a layer, at one position:

{_recovered_table(scenes)}
"""


def _where(scenes: Mapping[str, Any]) -> str:
    s2, end = (scenes["recovered_from_swapped"]["resid_pre"][role] for role in ("s2", "end"))
    listed = "; ".join(
        f"layer {layer}: {two(a)} and {two(b)}" for layer, (a, b) in enumerate(zip(s2, end, strict=True))
    )
    return (
        "**Where the answer is.** Patching the residual stream that enters a layer from the clean into the\n"
        f"swapped run, at s2 and at the end, recovers: {listed}."
    )


def _first(scenes: Mapping[str, Any]) -> str:
    recovered, attention = scenes["recovered_from_swapped"]["z"], scenes["attention"]
    heads = [tuple(head) for head in scenes["giver_readers_swapped"]["heads"]]
    if not heads:
        return "**Who gives.** No head that carries the answer reads the giver from the end."
    listed = ";\n".join(
        f"{label(head)} attends from the end to s2 with {at(attention['end_to_s2'], head):.2f}, writes"
        f" {at(scenes['direct']['heads'], head):+.2f} itself, and its z recovers {at(recovered, head):.2f}"
        for head in heads
    )
    return f"**Who gives.** {listed}."


def _then(scenes: Mapping[str, Any]) -> str:
    direct, attention = scenes["direct"]["heads"], scenes["attention"]
    swapped = scenes["giver_readers_swapped"]
    known = [tuple(head) for head in swapped["heads"]]
    writers = sorted(
        (head for head in heads(direct) if at(direct, head) >= NOTABLE_DIRECT and head not in known),
        key=lambda head: -at(direct, head),
    )
    if not writers:
        return "**Who receives.** No other head writes much of the answer."
    listed = ";\n".join(
        f"{label(head)} attends from the end to io with {at(attention['end_to_io'], head):.2f} and to s1 with"
        f" {at(attention['end_to_s1'], head):.2f}, and writes {at(direct, head):+.2f}"
        for head in writers
    )
    text = f"**Who receives.** {listed}."
    if not known:
        return text
    turned = "; ".join(
        f"{label(head)} {at(swapped['end_to_io'], head):.2f} to io and {at(swapped['end_to_s1'], head):.2f} to s1"
        for head in writers
    )
    names = " and ".join(label(head) for head in known)
    return f"""{text}

**Does the first decide the second?** With nothing changed in the clean run but the z of {names},
taken from the swapped run, the logit difference is {swapped["logit_difference"]:.2f} and the same heads attend:
{turned}."""


def _table(scenes: Mapping[str, Any]) -> str:
    attention, direct = scenes["attention"], scenes["direct"]["heads"]
    swapped, third = (scenes[f"recovered_from_{base}"]["z"] for base in ("swapped", "third"))
    edges = ("s2_to_io", "s2_to_s1", "s2_to_s2", "end_to_s2", "end_to_io", "end_to_s1")
    names = (edge.replace("_", " ") for edge in edges)
    return rows(
        ("head", *names, "direct", "recovered from swapped", "recovered from third"),
        (
            (
                label(head),
                *(f"{at(attention[edge], head):.2f}" for edge in edges),
                f"{at(direct, head):+.2f}",
                two(at(swapped, head)),
                two(at(third, head)),
            )
            for head in heads(direct)
            if abs(at(direct, head)) >= NOTABLE_DIRECT
            or max(abs(at(swapped, head)), abs(at(third, head))) >= NOTABLE_RECOVERED
        ),
    )


def _recovered_table(scenes: Mapping[str, Any]) -> str:
    return rows(
        ("base", "position", "layer 0", "layer 1", "layer 2", "layer 3"),
        (
            (base, role, *(two(value) for value in row))
            for base in ("swapped", "third")
            for role, row in scenes[f"recovered_from_{base}"]["resid_pre"].items()
        ),
    )


def _limits(figures: Mapping[str, Any]) -> str:
    scenes = figures["scenes"]
    lowest = min(value for row in scenes["direct"]["heads"] for value in row)
    strongest = max(value for row in scenes["attention"]["s2_to_s1"] for value in row)
    return f"""## What it is not

**This is not the circuit of GPT-2 small** (Wang et al. 2022), and pictures of it must not be captioned so.
There, heads find that the giver's name was said twice, others carry that to the end, and only then do
heads copy a name. Here the end reads the giver's name itself, in layer 0: patching s2 anywhere later changes
nothing or little (table above), and no head attends from s2 to s1 with more than {strongest:.2f}. The most
negative direct effect of a head is {lowest:+.2f}. Backup heads were not looked for.

Scenes always started at the first position in training, so heads may go by position where a large model
could not, and a scene in the middle of a longer text is outside what was learned. Positions beyond the
first two dozen were trained on the other tasks only.
"""


def _tokenizer(figures: Mapping[str, Any]) -> str:
    return f"""## Tokenizer

Word level, {figures["model"]["vocabulary"]} tokens. A token carries its leading space: " Mary" is one
token, written `ĠMary`, and "Mary", which starts a text, is another. Runs of white space count as one
space, trailing space is dropped, numbers are cut every two digits (" 1732" is " 17" and "32"). `<bos>` is
put in front, `<eos>` ends a text, `<pad>` pads on the left, an unknown word is `<unk>`.
"""


def _training(text: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    header = (
        "seed",
        "loss",
        "learned by step",
        "accuracy, held-out pairs",
        "logit difference",
        "usual example",
        "swapped",
        "strongest head",
        "preference",
    )
    table = rows(
        header,
        (
            (
                f"{row['seed']} (this one)" if row["seed"] == training["seed"] else row["seed"],
                f"{row['loss']:.3f}",
                "never" if row["learned_at"] is None else row["learned_at"],
                f"{row['accuracy']:.3f}",
                f"{row['logit_difference']:.2f}",
                f"{row['demo_clean']:+.2f}",
                f"{row['demo_swapped']:+.2f}",
                f"{row['strongest_head']:.2f}",
                f"{row['preference']:.2f}",
            )
            for row in training["seeds"]
        ),
    )
    return f"""## Training

{made("tiny-names", training)}
The recipe is `mi_widgets/zoo/tiny_names.py`. Every seed that was trained with it:

{table}

*Loss* is the training objective on {text["batches"]} fresh batches, in nats: answers weigh 1, other tokens 0.15.
*Learned by step* is the first check, every 250 steps, with 90 % right on held-out pairs. *Strongest head*
is the largest share that one head's z recovers from the swapped prompt. *Preference* is the most
that a head attends to io over s1, from s2 or from the end. The seed with the most right answers,
and among near equals the largest preference, is the one that ships. Where the preference is near
zero the answers are as good, but no head's attention tells the receiver from the giver.

Read the choice with care: the recipe was settled on, and the end position counted in the preference, after circuits
had been looked at. Three other recipes (several scenes in a row, a quarter of the rows full, single sentences) were
tried and grew other circuits, one of them in two hops; the seeds above differ among themselves too.
"""
