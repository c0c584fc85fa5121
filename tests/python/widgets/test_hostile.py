"""Whatever a page sends, the kernel answers in words, changes nothing, touches no model, and lives on."""

from __future__ import annotations

import random

import pytest

HOSTILE = [
    None,
    True,
    False,
    0,
    -1,
    3,
    4,
    2**31,
    2**63,
    -(2**63),
    10**30,
    0.5,
    -0.0,
    1e308,
    "",
    "clean",
    "L0H0.pattern",
    "</script><script>alert(1)</script>",
    "../../etc/passwd",
    "__class__",
    "\x00",
    "\u202e\u200b",
    "😀" * 10,
    "x" * 5000,
    [],
    [0],
    [0, 4],
    [0, 0],
    [4, 0],
    [[0, 0]],
    [[0, 0]] * 40,
    [[[[[[]]]]]],
    {},
    {"0": 0},
    {"__proto__": {}},
]

OPS = {
    "question.set": {"base_rev": 1, "which": "clean", "text": " b", "answer": " a", "metric": "prob", "base": "clean"},
    "heads.atlas": {"run": "clean"},
    "heads.pattern": {"run": "clean", "heads": [[0, 0]], "dest": [0, 4], "src": [0, 4], "side": 8},
    "heads.value": {"run": "clean", "layer": 0, "head": 0, "dest": 1, "src": 0, "weighting": "attention"},
    "heads.rank": {"run": "clean", "dest": 1, "src": 0, "weighting": "value"},
    "heads.random": {},
    "heads.writes": {"run": "clean", "layer": 0, "head": 0, "position": 1, "k": 7},
    "heads.effect": {"run": "clean", "what": "pattern", "heads": [[0, 1]], "dest": 1, "weights": [0.5, 0.5, 0, 0]},
    "heads.keep": {"run": "clean", "what": "knockout", "heads": [[0, 1]], "dest": 1, "src": 0, "base_rev": 1},
    "edits.remove": {"index": 0, "base_rev": 1},
    "edits.toggle": {"index": 0, "base_rev": 1},
    "edits.move": {"index": 0, "to": 0, "base_rev": 1},
    "edits.clear": {"base_rev": 1},
    "edits.undo": {"base_rev": 1},
    "edits.redo": {"base_rev": 1},
}

MEANT = {
    "base_rev": [],
    "side": [3, 4],
    "dest": [3],
    "position": [0, 3],
    "k": [3, 4],
    "heads": [[[0, 0]]],
    "weighting": [None],
}
"""Values of the list above that a parameter may have, whatever the op."""

OWN = {
    ("heads.value", "dest"): [0],
    ("heads.value", "src"): [3],
    ("heads.pattern", "dest"): [[0, 4]],
    ("heads.rank", "dest"): [0],
    ("heads.keep", "dest"): [0],
}
"""Those that it may have in one op."""


def same(a, b):
    return a == b and type(a) is type(b)


def finals(page, request_id):
    kinds = [m.content["kind"] for m in page.messages(request_id=request_id)]
    return [kind for kind in kinds if kind in ("done", "failed", "cancelled")]


def alive(page, analysis):
    """The widget still answers, and no job got in that was not asked for rightly."""
    page.widget.wait(120)
    assert (
        page.answer(page.request("heads.value", run="clean", layer=0, head=0, dest=1, src=0)).content["kind"] == "done"
    )
    assert page.hello().content["epoch"] == page.widget.epoch
    assert page.widget.last_error is None or "Traceback" not in str(page.widget.last_error)


@pytest.mark.parametrize("op", OPS)
def test_each_parameter_takes_no_hostile_value(heads, analysis, op):
    page = heads()
    started = len(analysis.started)
    for name, good in OPS[op].items():
        for value in HOSTILE:
            if op == "question.set" and name in ("text", "answer") and isinstance(value, (str, type(None))):
                continue  # any text may be asked about
            if any(same(value, meant) for meant in (good, *MEANT.get(name, ()), *OWN.get((op, name), ()))):
                continue
            request_id = page.request(op, slot=None, **OPS[op] | {name: value})
            reply = page.answer(request_id).content
            assert reply["kind"] == "failed", (name, value, reply)
            assert reply["error"] in ("BadInput", "Stale", "BadMessage"), reply
            assert len(reply["message"]) < 300
    assert len(analysis.started) == started
    assert (page.exp.asked, page.exp.tried, list(page.exp.edits)) == ([], [], [])
    alive(page, analysis)


def test_any_text_may_be_a_prompt(heads, analysis):
    page = heads()
    rev = 1
    for text in (value for value in HOSTILE if isinstance(value, str)):
        reply = page.answer(page.request("question.set", base_rev=rev, which="clean", text=text)).content
        rev = reply["data"]["rev"]
        assert page.widget.question["prompts"]["clean"]["text"] == text
    alive(page, analysis)


def mutated(rng, value, depth=0):
    """A copy with something replaced, removed, doubled or nested."""
    if isinstance(value, dict) and value and depth < 4:
        copy = dict(value)
        name = rng.choice(list(copy))
        way = rng.random()
        if way < 0.15:
            del copy[name]
        elif way < 0.3:
            copy[rng.choice(["x", "id", "v", "kind", "op", "params", "slot", "run", "__init__"])] = rng.choice(HOSTILE)
        else:
            copy[name] = mutated(rng, copy[name], depth + 1)
        return copy
    if isinstance(value, list) and value and rng.random() < 0.5:
        copy = list(value)
        copy[rng.randrange(len(copy))] = mutated(rng, rng.choice(copy), depth + 1)
        return copy
    return rng.choice(HOSTILE)


@pytest.mark.parametrize("seed", range(6))
def test_random_damage_to_messages_is_survived(heads, analysis, seed):
    rng = random.Random(seed)
    page = heads()
    for number in range(250):
        op = rng.choice(list(OPS))
        good = {
            "v": 1,
            "kind": rng.choice(["request", "request", "request", "hello", "cancel"]),
            "id": f"tab-{1000 + number}",
            "client": "tab",
            "have": {"question": 1},
            "op": op,
            "params": dict(OPS[op]),
            "slot": None,
        }
        page.send(mutated(rng, good))
        if rng.random() < 0.3:
            page.deliver({"method": rng.choice(["update", "custom", "x"]), "state": mutated(rng, {"selection": []})})
    page.widget.wait(120)
    ids = {m.content["id"] for m in page.messages() if "id" in m.content and not m.content["id"].startswith("k-")}
    assert ids
    for request_id in ids:
        assert len(finals(page, request_id)) == 1, request_id
    assert all(site in ((), page.exp.selection) for site in (page.widget.selection,))
    alive(page, analysis)
