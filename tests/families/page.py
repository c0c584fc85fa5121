"""The page of supported models, MODELS.md, from the rows of a walk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
import transformers

from mi_widgets.model.architecture import SITES

from .offered import excluded
from .walk import Lack, Row

MODELS = Path(__file__).parents[2] / "MODELS.md"
SUPPORTED = Path(__file__).with_name("supported.txt")

GROUPS = {
    "stream": ("embed", "resid_pre", "resid_mid", "resid_post", "final_norm", "logits"),
    "attention": ("q", "k", "v", "scores", "pattern", "z", "result", "attn_out"),
    "MLP": ("mlp_pre", "mlp_post", "mlp_out"),
}
"""Sites in the order in which the table marks them."""

_HEAD = """\
# Supported models

There is no table of families in mi-widgets: `mi.load` and `mi.wrap` find a model's layers, attention, projections and
MLPs by watching it run, and prove on a few tokens what they found. What holds is offered; what does not is named with
its reason (`model.architecture`, `mi-widgets doctor`). This page is what that gave on a tiny random model of every
decoder family that transformers offers. `make models` writes it; do not edit it by hand.

Made with {versions}.

The models have three or four layers (hybrids: at least one of each kind), four heads, and widths that are all
different. Weights are drawn at about 1/√fan-in, biases and norm gains too, and multipliers are not 1 where a family has
them. Encoders are walked as the decoders their configs allow (`is_decoder=True`).

| outcome | families | meaning |
|---|---:|---|
| fully proven | {full} | every proof holds; a layer lacks a site by nature only |
| – of these, with all {sites} sites | {whole} | on every layer |
| – of these, without attention | {still} | state-space and recurrent models: the stream is what they offer |
| proven in part | {part} | something that such a layer has was not found, or did not hold |
| refused | {refused} | `mi.wrap` raises, and says why |
| not built | {unbuilt} | the installed transformers could not make a tiny one |
| not walked | {excluded} | no decoder-only causal language model of its own |

The proofs: the residual stream adds up layer by layer; the sum over heads, and their bias, is what attention adds
before its norm; pattern @ v is what attention gave; writing a site's own value back changes nothing; writing a random
value changes what follows. *Error* is the largest one of them, relative to the largest value (float32).

By nature, a layer without attention has no attention sites, parallel blocks have no `resid_mid`, and a mixture of
experts has an `mlp_out` but no MLP to look into. Where some layers' heads are of another shape than most layers', as
in gemma4, q, k, v and z are offered on most: arrays over layers hold one shape.

Prompts of different length share a batch where padding on the left changes nothing; that is proven too. In these
families they cannot, and asking for it raises `PromptMismatch`: {alone}. In glm_moe_dsa padding changes the numbers of
prompts longer than its sparse attention's top k, which no short proof shows.

Marks: ● on every layer · ◐ on some layers, the others have no such thing · `-` no layer has such a thing · ✗ not found
or not proven on at least one layer. They stand for, in this order:

{order}
"""


def versions() -> str:
    """What the page depends on besides this code."""
    return f"transformers {transformers.__version__} and torch {torch.__version__.partition('+')[0]}"


def page(rows: Iterable[Row]) -> str:
    """The whole page.

    Args:
        rows: of a walk over all families.
    """
    rows = sorted(rows, key=lambda row: row.family)
    by = {outcome: [row for row in rows if row.outcome == outcome] for outcome in {row.outcome for row in rows}}
    full, part = by.get("fully proven", []), by.get("proven in part", [])
    refused, unbuilt = by.get("refused", []), by.get("not built", [])
    left_out = excluded()
    pieces = [
        _HEAD.format(
            versions=versions(),
            full=len(full),
            whole=sum(not row.lacks for row in full),
            still=sum(not row.attending for row in full),
            part=len(part),
            refused=len(refused),
            unbuilt=len(unbuilt),
            alone=", ".join(f"`{row.family}`" for row in rows if row.padding) or "none",
            excluded=len(left_out),
            sites=len(SITES),
            order="\n".join(
                f"- {group}: {', '.join(f'`{site}`' for site in sites)}" for group, sites in GROUPS.items()
            ),
        ),
        _section("Fully proven", full, _proven_table, "What such a model does not have"),
        _section("Proven in part", part, _proven_table, "What is missing"),
        _section("Refused", refused, _reason_table),
        _section("Not built", unbuilt, _reason_table),
        "## Not walked\n\n"
        + _table(("family", "reason"), ([f"`{family}`", reason] for family, reason in sorted(left_out.items()))),
    ]
    return "\n".join(piece for piece in pieces if piece)


def supported(rows: Iterable[Row]) -> str:
    """The list of fully proven families, one a line."""
    return "".join(f"{row.family}\n" for row in sorted(rows, key=lambda r: r.family) if row.outcome == "fully proven")


def marks(row: Row, group: str) -> str:
    """One sign per site of a group."""
    return "".join(row.mark(site) for site in GROUPS[group])


def _section(title, rows, table, *more) -> str:
    return f"## {title} ({len(rows)})\n\n{table(rows, *more)}" if rows else ""


def _proven_table(rows: list[Row], last: str) -> str:
    head = ("family", "class", "layers with attention", "attention at", *GROUPS, "error", last)
    return _table(
        head,
        (
            [
                f"`{row.family}`",
                row.model,
                f"{row.attending} of {row.layers}",
                _where(row),
                *(marks(row, group) for group in GROUPS),
                f"{row.worst:.0e}",
                "; ".join(_briefly(lack) for lack in sorted(row.lacks, key=lambda lack: lack.by_nature)),
            ]
            for row in rows
        ),
    )


def _where(row: Row) -> str:
    """The output projection alone where it is part of the attention module."""
    attention, _, projection = row.attention.partition(" → ")
    return f"`{projection if projection.startswith(attention) else row.attention}`" if row.attention else ""


def _briefly(lack: Lack) -> str:
    """Without what the reason goes on to explain or advise."""
    return str(replace(lack, reason=lack.reason.partition(": ")[0]))


def _reason_table(rows: list[Row]) -> str:
    return _table(("family", "class", "reason"), ([f"`{row.family}`", row.model, row.reason] for row in rows))


def _table(head: Iterable[str], lines: Iterable[list[str]]) -> str:
    head = list(head)
    cells = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
