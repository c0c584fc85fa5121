"""Sentences of the tiny-names language, each with the words that can be predicted from what came before.

A sentence is drawn from a `random.Random`, so a seed fixes the whole training text. Of the unordered
pairs of names, 15 % never meet in a training sentence; the measurements ask about those.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mi_widgets.zoo import names_words as words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HELD_OUT_SHARE = 0.15
DEMO_PAIR = frozenset(("Mary", "John"))


@dataclass(frozen=True)
class Sentence:
    """One sentence, cut where a predictable word (an *answer*) starts and ends.

    Attributes:
        task: What is asked: a key of `TASKS`.
        pieces: `(text, is_answer)` in reading order; the texts joined are the sentence.
        foil: The wrong answer that a shallow rule would give at the first answer (" John" where
            " Mary" is right), or None where the task has no such single word.
    """

    task: str
    pieces: tuple[tuple[str, bool], ...]
    foil: str | None = None

    @property
    def text(self) -> str:
        """The whole sentence."""
        return "".join(text for text, _ in self.pieces)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Character ranges `[start, end)` of the answers in `text`."""
        ends = list(itertools.accumulate(len(text) for text, _ in self.pieces))
        return tuple((end - len(text), end) for (text, answer), end in zip(self.pieces, ends, strict=True) if answer)

    @property
    def questions(self) -> tuple[tuple[str, str], ...]:
        """`(prompt, answer)` of each answer: the text before it, and the answer with its leading space."""
        return tuple((self.text[:start], self.text[start:end]) for start, end in self.spans)


def _split_pairs() -> tuple[frozenset[frozenset[str]], frozenset[frozenset[str]]]:
    pairs = [frozenset(pair) for pair in itertools.combinations(words.NAMES, 2)]
    others = [pair for pair in pairs if pair != DEMO_PAIR]
    random.Random(0).shuffle(others)
    # The pair of the usual example is held out too: what the demo shows is never a memory.
    held = frozenset([DEMO_PAIR, *others[: round(HELD_OUT_SHARE * len(pairs)) - 1]])
    return held, frozenset(pairs) - held


HELD_OUT_PAIRS, TRAIN_PAIRS = _split_pairs()


def draw_names(rng: random.Random, count: int, held_out: bool = False) -> tuple[str, ...]:
    """`count` different names, in random order.

    With `held_out` the first two are a pair that never met in training; without it no two of them are.
    """
    while True:
        drawn = tuple(rng.choice(words.NAMES) for _ in range(count))
        if len(set(drawn)) < count:
            continue
        met = [frozenset(pair) in HELD_OUT_PAIRS for pair in itertools.combinations(drawn, 2)]
        if met and met[0] if held_out else not any(met):
            return drawn


def _scene(rng: random.Random) -> tuple[str, str, str, str]:
    return (
        rng.choice(words.MOVES),
        rng.choice(words.PLACES),
        rng.choice(words.GIVES),
        rng.choice(words.OBJECTS),
    )


def indirect_object(rng: random.Random, held_out: bool = False) -> Sentence:
    """Two names, one of them again as the giver: the receiver is the other one (Wang et al. 2022)."""
    first, second = draw_names(rng, 2, held_out)
    giver, receiver = (first, second) if rng.random() < 0.5 else (second, first)
    move, place, give, thing = _scene(rng)
    clause = rng.choice(words.CLAUSES)
    form = rng.random()
    if form < 0.55:
        start = f"{clause} {first} and {second} {move} the {place}, {giver}"
    elif form < 0.7:
        start = f"{first} and {second} {move} the {place}, and {giver}"
    elif form < 0.85:
        start = f"Then {first} and {second} {move} the {place}. {giver}"
    else:
        start = f"{clause} {first} met {second} at the {place}, {giver}"
    return Sentence(
        "indirect_object",
        ((f"{start} {give} a {thing} to", False), (f" {receiver}", True), (".", False)),
        f" {giver}",
    )


def three_names(rng: random.Random, held_out: bool = False) -> Sentence:
    """Three names, two of them give: the receiver is the third."""
    names = draw_names(rng, 3, held_out)
    one, two, receiver = rng.sample(names, 3)
    move, place, give, thing = _scene(rng)
    scene = f"{rng.choice(words.CLAUSES)} {names[0]}, {names[1]} and {names[2]} {move} the {place}"
    return Sentence(
        "three_names",
        ((f"{scene}, {one} and {two} {give} a {thing} to", False), (f" {receiver}", True), (".", False)),
        f" {one}",
    )


def one_name(rng: random.Random, held_out: bool = False) -> Sentence:
    """One name in the scene, another gives: the receiver is the one in the scene."""
    receiver, giver = draw_names(rng, 2, held_out)
    move, place, give, thing = _scene(rng)
    return Sentence(
        "one_name",
        (
            (
                f"{rng.choice(words.CLAUSES)} {receiver} {move} the {place}, {giver} {give} a {thing} to",
                False,
            ),
            (f" {receiver}", True),
            (".", False),
        ),
        f" {giver}",
    )


def third_giver(rng: random.Random, held_out: bool = False) -> Sentence:
    """Two names in the scene, a third gives: either of the two may receive, so neither is favoured."""
    first, second, giver = draw_names(rng, 3, held_out)
    receiver = rng.choice((first, second))
    move, place, give, thing = _scene(rng)
    text = f"{rng.choice(words.CLAUSES)} {first} and {second} {move} the {place}, {giver} {give} a {thing} to"
    return Sentence("third_giver", ((text, False), (f" {receiver}", True), (".", False)), f" {giver}")


def agreement(rng: random.Random, _held_out: bool = False) -> Sentence:
    """The verb agrees with the first noun, not with the nearer one."""
    head, near = rng.sample(words.NOUNS, 2)
    plural, near_plural = rng.randrange(2), rng.randrange(2)
    start = f"The {head[plural]} {rng.choice(words.RELATIONS)} the {near[near_plural]}"
    verb, foil = (" are", " is") if plural else (" is", " are")
    return Sentence("agreement", ((start, False), (verb, True), (f" {rng.choice(words.QUALITIES)}.", False)), foil)


def successor(rng: random.Random, _held_out: bool = False) -> Sentence:
    """The next number, day or month, after one or in a list."""
    items = rng.choice((words.NUMBERS, words.DAYS, words.MONTHS))
    wraps = items is not words.NUMBERS
    if rng.random() < 0.5:
        at = rng.randrange(len(items) if wraps else len(items) - 1)
        pieces = (
            (f"After {items[at]} comes", False),
            (f" {items[(at + 1) % len(items)]}", True),
            (".", False),
        )
        return Sentence("successor", pieces, f" {items[at]}")
    length = rng.randrange(3, 6)
    at = rng.randrange(len(items) if wraps else len(items) - length + 1)
    run = [items[(at + step) % len(items)] for step in range(length)]
    listed: list[tuple[str, bool]] = [(f"The order is {run[0]}", False)]
    for item in run[1:]:
        listed += [(",", False), (f" {item}", True)]
    return Sentence("successor", (*listed, (".", False)), f" {run[0]}")


def pronoun(rng: random.Random, _held_out: bool = False) -> Sentence:
    """She or he, by the name."""
    name = rng.choice(words.NAMES)
    right, wrong = (" she", " he") if name in words.FEMALE else (" he", " she")
    start = rng.choice((f"{name} said that", f"{name} lost the {rng.choice(words.OBJECTS)} because"))
    return Sentence("pronoun", ((start, False), (right, True), (f" was {rng.choice(words.FEELINGS)}.", False)), wrong)


def fact(rng: random.Random, _held_out: bool = False) -> Sentence:
    """The capital of an invented country, or the country of a capital."""
    country, capital = rng.choice(words.CAPITALS)
    if rng.random() < 0.5:
        return Sentence("fact", ((f"The capital of {country} is", False), (f" {capital}", True), (".", False)))
    return Sentence("fact", ((f"{capital} is the capital of", False), (f" {country}", True), (".", False)))


def arguments(rng: random.Random, _held_out: bool = False) -> Sentence:
    """The arguments of a function, passed on in the same order."""
    outer, inner = rng.sample(words.FUNCTIONS, 2)
    first, second = rng.sample(words.ARGUMENTS, 2)
    return Sentence(
        "arguments",
        (
            (f"def {outer}({first}, {second}): return {inner}(", False),
            (first, True),
            (",", False),
            (f" {second}", True),
            (")", False),
        ),
        second,
    )


def years(rng: random.Random, _held_out: bool = False) -> Sentence:
    """An event ends in a later year of the same century; every later year is as likely."""
    century = rng.choice(words.CENTURIES)
    start = rng.randrange(2, 99)
    end = rng.randrange(start + 1, 100)
    text = f"The {rng.choice(words.EVENTS)} lasted from the year {century}{start:02d} to the year {century}"
    return Sentence("years", ((text, False), (f"{end:02d}", True), (".", False)))


TASKS: Mapping[str, tuple[Callable[[random.Random, bool], Sentence], float]] = {
    "indirect_object": (indirect_object, 0.42),
    "three_names": (three_names, 0.05),
    "one_name": (one_name, 0.05),
    "third_giver": (third_giver, 0.04),
    "agreement": (agreement, 0.08),
    "successor": (successor, 0.10),
    "pronoun": (pronoun, 0.06),
    "fact": (fact, 0.07),
    "arguments": (arguments, 0.07),
    "years": (years, 0.06),
}
"""Task name to (how a sentence is drawn, its share of the training sentences)."""


SCENES = frozenset(("indirect_object", "three_names", "one_name", "third_giver"))
"""The tasks in which somebody receives something; between them they share the names."""


def draw(rng: random.Random, scenes: bool = True) -> Sentence:
    """One training sentence, its task drawn by the shares in `TASKS`, without `SCENES` if so asked."""
    names = [name for name in TASKS if scenes or name not in SCENES]
    (task,) = rng.choices(names, [TASKS[name][1] for name in names])
    return TASKS[task][0](rng, False)


def vocabulary_texts() -> list[str]:
    """Texts that between them hold every token of the language, bare and after a space where both occur."""
    starts = [*words.NAMES, *words.CLAUSES, *(capital for _, capital in words.CAPITALS), "The", "Then", "def"]
    lists = (
        words.NAMES, words.MOVES, words.PLACES, words.GIVES, words.OBJECTS, words.CLAUSES,
        (noun for pair in words.NOUNS for noun in pair), words.RELATIONS, words.QUALITIES,
        words.NUMBERS, words.DAYS, words.MONTHS, (name for pair in words.CAPITALS for name in pair),
        words.FEELINGS, words.FUNCTIONS, words.ARGUMENTS, words.EVENTS, words.CENTURIES,
    )  # fmt: skip
    glue = (
        " and a to the met at Then After comes The order is are said that lost because she he was"
        " capital of def return lasted from year"
    )
    spaced = [f" {word}" for group in lists for text in group for word in text.split()]
    return [*starts, *spaced, *words.ARGUMENTS, *words.YEARS, glue, ".", ",", "(", "):", ")"]
