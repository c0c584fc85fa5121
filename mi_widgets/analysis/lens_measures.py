"""What a cell of the lens can be measured by: names, definitions, and why one cannot be here."""

from __future__ import annotations

from dataclasses import dataclass

from ..interventions.question import Question


@dataclass(frozen=True)
class Measure:
    """One measure of a row at a position.

    Attributes:
        label: how people call it.
        formula: its definition.
        source: where that is from.
        unit: of the number.
    """

    label: str
    formula: str
    source: str
    unit: str


_LENS = "logit lens (nostalgebraist 2020)"

MEASURES: dict[str, Measure] = {
    "prob": Measure(
        "probability",
        "Probability of the token on top, softmax(lens(x)); in a difference, of that token in both runs.",
        _LENS,
        "probability",
    ),
    "rank": Measure(
        "answer rank",
        "How many tokens have a strictly greater logit than the answer (0 = top); of alternatives, the best.",
        _LENS,
        "tokens",
    ),
    "entropy": Measure("entropy", "-sum p log p of the row's probabilities.", _LENS, "nats"),
    "kl": Measure(
        "KL to final",
        "KL(final || row) = sum p_final (log p_final - log p_row), final of the same run and position.",
        "tuned lens, forward KL (Belrose et al. 2023)",
        "nats",
    ),
    "logit_diff": Measure(
        "logit difference",
        "Mean logit of the answers minus that of the distractors; without any, minus the mean over the vocabulary.",
        "Wang et al. 2022",
        "logits",
    ),
    "cross_entropy": Measure(
        "cross-entropy",
        "-log p of the prompt's next token; at the last position, of the answer that is read there.",
        "tuned lens (Belrose et al. 2023)",
        "nats",
    ),
}
"""{name: what it is}."""


def reason_against(question: Question, name: str) -> str | None:
    """Why a measure of `MEASURES` cannot be here, or None when it can.

    Example:
        >>> import mi_widgets as mi
        >>> question = mi.Experiment(mi.load(), "Mary went to the store").snapshot()
        >>> reason_against(question, "entropy") is None
        True
    """
    if name in ("rank", "logit_diff") and question.answer is None:
        return "There is no answer: give one to see its rank and logit difference."
    return None
