"""What tests of the patch board ask, and what they compare it with: the model's sites carried over by hand."""

from __future__ import annotations

from mi_widgets.widgets import arrays
from tests.python.by_hand import changed, record
from tests.python.widgets.questions import CLEAN, CORRUPTED

TEXTS = {"clean": CLEAN, "corrupted": CORRUPTED}


def spec(site="resid_post", layer=1, positions=(10,), **more):
    """A patch as a page asks for it."""
    return {"kind": "patch", "site": site, "layer": layer, "positions": positions and list(positions), **more}


def ask(page, op, **params):
    """The final answer to a request."""
    return page.answer(page.request(op, **params))


def done(page, op, **params):
    """The data of an answer that went well."""
    answer = ask(page, op, **params)
    assert answer.content["kind"] == "done", answer.content
    return answer.content["data"]


def add(page, *specs, base=None):
    """Adds edits as a drop does, and waits for the picture."""
    done(page, "edits.add", edits=list(specs), base=base, base_rev=page.exp.rev)
    page.widget.wait(120)


def shown(page, name):
    """An array of the trait, as numbers."""
    entry = page.widget.board["arrays"][name]
    return arrays.decode(entry, entry["data"])


def by_hand(exp, specs, base="corrupted", texts=TEXTS):
    """The patched run in plain PyTorch: (logits [position, vocab], {(site, layer): value})."""
    hf, ids = exp.model.hf, {run: exp.model.tokenizer(text)["input_ids"] for run, text in texts.items()}
    kept = {run: record(hf, ids[run]) for run in ids}
    other = {"clean": "corrupted", "corrupted": "clean"}[base]
    changes = {}
    for one in specs:
        run = one.get("source", "other")
        there = kept[other if run == "other" else run][one["site"], one["layer"]]
        changes.setdefault((one["site"], one["layer"]), []).append(_carry(one, there))
    return changed(hf, ids[base], changes)


def _carry(one, there):
    head, alpha = one.get("head"), one.get("alpha", 1.0)

    def carry(x):
        targets = one["positions"] if one["positions"] is not None else range(len(x))
        sources = one.get("source_positions") or targets
        for p, q in zip(targets, sources, strict=True):
            if one["site"] == "pattern":
                x[head, p] += alpha * (there[head, q] - x[head, p])
            elif head is not None:
                x[p, head] += alpha * (there[q, head] - x[p, head])
            else:
                x[p] += alpha * (there[q] - x[p])
        return x

    return carry


def metric(exp, logits):
    """Logit of the answer minus that of the distractor, logits [vocab]."""
    return float(logits[exp.answer.ids[0][0]] - logits[exp.distractor.ids[0][0]])
