"""What every analysis says about where its numbers come from."""

from __future__ import annotations

import time

from ..interventions.question import Question
from ..results import Provenance


def provenance(
    question: Question,
    run: str,
    recomputed: str,
    started: float,
    *,
    floor: float | None = None,
    notes: tuple[str, ...] = (),
    kernel: str | None = None,
) -> Provenance:
    """Provenance of a result computed just now.

    Args:
        question: what was asked.
        run: which run, in words for the reader.
        recomputed: what was rerun.
        started: `time.perf_counter()` when the work began.
        floor: noise floor in metric units.
        notes: sentences for the reader; the model's notices and the prompts' own warnings are added.
        kernel: what it ran on; None = the model's attention kernel.
    """
    model = question.model
    warned = tuple(w for tokens in question.batch(run).prompts for w in tokens.warnings)
    prompts = len(question.clean)
    what = f"{run} run of {'the prompt' if prompts == 1 else f'{prompts} prompts'}"
    if run == "edited":
        what += f" (base {question.base}; {', '.join(map(str, question.edits)) or 'no edits'})"
    edits = question.notes(question.edits) if run == "edited" else ()
    return Provenance(
        model=model.name,
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
        kernel=model.architecture.kernel if kernel is None else kernel,
        question=what,
        recomputed=recomputed,
        milliseconds=1000 * (time.perf_counter() - started),
        noise_floor=floor,
        notes=tuple(dict.fromkeys((*model.notices, *warned, *question.warnings, *edits, *notes))),
    )
