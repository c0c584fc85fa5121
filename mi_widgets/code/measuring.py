"""The metric of a script: what is measured at the answer position, and the share of it that edits bring back."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
import types

from ..errors import BadInput
from ..interventions.metrics import Answer
from ..interventions.question import Question
from ..interventions.user_metric import UserMetric
from .text import WIDTH, assigned, literal, quoted

_TAKEN = frozenset({"run", "read", "measure", "model", "sites", "edits", "clean", "corrupted", "value", "first"})

_DOC = {
    "logit_diff": "Mean logit of the answers minus that of the distractors.",
    "prob": "Probability of the answers.",
    "logprob": "Log-probability of the answers in nats.",
    "rank": "How many tokens have a greater logit than the best answer.",
    "kl": "KL divergence from the unedited clean run, in nats.",
}


def answer_lines(question: Question) -> list[str]:
    """The answers and distractors as token ids."""
    lines = []
    several = question.count > 1
    for name, answer in (("answer", question.answer), ("distractor", question.distractor)):
        if answer is not None and (name == "answer" or not question.sequential):
            lines.append(_ids(f"{name}s" if several else name, answer, several))
    return lines


def _ids(name: str, answer: Answer, several: bool) -> str:
    rows = [list(ids) for ids in (answer.sequences or answer.ids)]
    if several:
        return assigned(name, rows)
    text = f"{name} = {literal(rows[0], '', WIDTH - len(name) - 3)}"
    words = f"  # {', '.join(map(quoted, answer.texts[0]))}"
    return text + words if "\n" not in text and len(text + words) <= WIDTH else text


def metric_lines(question: Question) -> list[str]:
    """The function that measures [vocab] logits of one prompt; with several prompts it takes the prompt's number.

    Raises:
        BadInput: a function of the user's own whose source cannot stand alone.
    """
    several, name = question.count > 1, question.metric
    p = ", p" if several else ""
    if question.user_metric is not None:
        return _custom(question.user_metric, question)
    answer, distractor = ("answers[p]", "distractors[p]") if several else ("answer", "distractor")
    if question.sequential:
        return [
            f"def logprob(ids{p}, edits=()):",
            '    """Log-probability of the whole answer behind a prompt, token by token."""',
            *(["    answer = answers[p]"] if several else []),
            "    logits = run(ids + answer[:-1], within(edits, len(ids)))[len(ids) - 1 :]",
            "    return logits.log_softmax(-1)[range(len(answer)), answer].sum()",
        ]
    bodies = {
        "logit_diff": f"logits[{answer}].mean() - "
        + ("logits.mean()" if question.distractor is None else f"logits[{distractor}].mean()"),
        "prob": f"logits.softmax(-1)[{answer}].sum()",
        "logprob": f"logits.log_softmax(-1)[{answer}].logsumexp(-1)",
        "rank": f"(logits > logits[{answer}].max()).sum().float()",
    }
    doc = _DOC[name]
    if name == "logit_diff" and question.distractor is None:
        doc = "Mean logit of the answers minus the mean over the vocabulary."
    head = [f"def {name}(logits{p}):", f'    """{doc}"""']
    if name != "kl":
        return [*head, f"    return {bodies[name]}"]
    return [
        *head,
        f"    clean_logprobs = clean_logits{'[p]' if several else ''}.log_softmax(-1)",
        "    difference = clean_logprobs - logits.log_softmax(-1)",
        "    return (clean_logprobs.exp() * difference).sum()",
    ]


def _custom(metric: UserMetric, question: Question) -> list[str]:
    """The user's function as it was written, and one that calls it for one prompt."""
    function = metric.function
    source = _source(metric, function)
    several = question.count > 1
    answers = "answers[p]" if several else "answer"
    given = [f"index=torch.tensor([{'p' if several else '0'}])"]
    given.append(f"answer_ids=[{answers}]" if question.answer is not None else "answer_ids=[[]]")
    if question.distractor is not None:
        given.append(f"distractor_ids=[{'distractors[p]' if several else 'distractor'}]")
    else:
        given.append("distractor_ids=None")
    given += [
        f"{run}_logits={run}_logits{'[p]' if several else ''}[None]"
        for run in question.unedited
        if f"{run}_logits" in source
    ]
    return [
        *source.split("\n"),
        "",
        "",
        f"def measure(logits{', p' if several else ''}):",
        f'    """The metric {function_name(metric)} of one prompt."""',
        "    rows = SimpleNamespace(",
        *(f"        {item}," for item in given),
        "    )",
        f"    return {function_name(metric)}(logits[None], rows)[0].float()",
    ]


def function_name(metric: UserMetric) -> str:
    """The name of a user's function."""
    return str(getattr(metric.function, "__name__", ""))


def _source(metric: UserMetric, function: object) -> str:
    """The text of a user's function.

    Raises:
        BadInput: there is none, or it speaks of what stands elsewhere.
    """
    why = "it is no plain function"
    if isinstance(function, types.FunctionType) and function.__name__.isidentifier():
        try:
            source = textwrap.dedent(inspect.getsource(function)).strip("\n")
        except (OSError, TypeError):
            why = "its source is not to be had"
        else:
            names = _elsewhere(function, source)
            if not names and source.startswith("def ") and function.__name__ not in _TAKEN:
                return source
            why = f"it uses {', '.join(names)}, which stands elsewhere" if names else "it is decorated or no def"
            why = f"its name, {function.__name__}, is the script's own" if function.__name__ in _TAKEN else why
    raise BadInput(
        f"The metric {metric.name} cannot be written into a script: {why}.",
        hint="Write it as a function of its own that uses torch alone, or take one of the named metrics.",
    )


def _elsewhere(function: types.FunctionType, source: str) -> list[str]:
    """Names a function uses that neither it, Python nor torch defines."""
    codes = [function.__code__]
    for code in codes:
        codes += [part for part in code.co_consts if isinstance(part, types.CodeType)]
    used = {name for code in codes for name in code.co_names} & set(function.__globals__)
    made = ast.parse(source).body[0]
    if isinstance(made, ast.FunctionDef):
        # Defaults are worked out where the function is defined.
        defaults = [*made.args.defaults, *(d for d in made.args.kw_defaults if d is not None)]
        used |= {node.id for d in defaults for node in ast.walk(d) if isinstance(node, ast.Name)}
    known = {"torch", *dir(builtins)}
    return sorted((used | set(function.__code__.co_freevars)) - known)


def at_text(question: Question, run: str) -> tuple[str, str]:
    """Where the answer is read in a run: an index, and the line that defines it where prompts differ."""
    batch = question.batch(run)
    places = question.answers(batch)
    if all(at == length - 1 for at, length in zip(places, batch.lengths, strict=True)):
        return "-1", ""
    if len(set(places)) == 1:
        return str(places[0]), ""
    return f"{run}_at[p]", assigned(f"{run}_at", list(places))
