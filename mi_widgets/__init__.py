"""Live mechanistic-interpretability widgets for Hugging Face language models.

Everything is loaded when it is first used: `import mi_widgets` takes neither torch nor transformers nor pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mi_widgets._version import __version__

if TYPE_CHECKING:
    from .analysis.lens_result import LensResult
    from .errors import (
        AnswerNotSingleToken,
        BadInput,
        Cancelled,
        EditNeverFired,
        MiWidgetsError,
        NotFinite,
        OutOfMemory,
        PromptMismatch,
        SiteUnavailable,
        UnsupportedArchitecture,
    )
    from .experiment import Experiment
    from .experiment.generating import Generation
    from .interventions.attention_edits import Knockout, SetPattern
    from .interventions.edit_kinds import Add, Patch, Project, Scale, Zero
    from .interventions.edits import Edit
    from .interventions.sequences import Sequence
    from .interventions.set_edits import Mean, Resample
    from .interventions.sites import Site
    from .model.handle import Model, wrap
    from .model.loading import load
    from .model.shipped import checkpoints
    from .model.tokens import Tokens
    from .results import AttributionResult, PatternResult, Provenance, Result, SweepResult
    from .widgets import AttentionHeads, LogitLens, PatchBoard, PatchSweep, Workbench, link

_HOMES = {
    "analysis.lens_result": ("LensResult",),
    "errors": (
        "AnswerNotSingleToken", "BadInput", "Cancelled", "EditNeverFired", "MiWidgetsError", "NotFinite", "OutOfMemory",
        "PromptMismatch", "SiteUnavailable", "UnsupportedArchitecture",
    ),
    "experiment": ("Experiment",),
    "experiment.generating": ("Generation",),
    "interventions.attention_edits": ("Knockout", "SetPattern"),
    "interventions.edit_kinds": ("Add", "Patch", "Project", "Scale", "Zero"),
    "interventions.edits": ("Edit",),
    "interventions.sequences": ("Sequence",),
    "interventions.set_edits": ("Mean", "Resample"),
    "interventions.sites": ("Site",),
    "model.handle": ("Model", "wrap"),
    "model.loading": ("load",),
    "model.shipped": ("checkpoints",),
    "model.tokens": ("Tokens",),
    "results": ("AttributionResult", "PatternResult", "Provenance", "Result", "SweepResult"),
    "widgets": ("AttentionHeads", "LogitLens", "PatchBoard", "PatchSweep", "Workbench", "link"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Add", "AnswerNotSingleToken", "AttentionHeads", "AttributionResult", "BadInput", "Cancelled", "Edit",
    "EditNeverFired", "Experiment", "Generation", "Knockout", "LensResult", "LogitLens", "Mean", "MiWidgetsError",
    "Model", "NotFinite", "OutOfMemory", "Patch", "PatchBoard", "PatchSweep", "PatternResult", "Project",
    "PromptMismatch", "Provenance", "Resample", "Result", "Scale", "Sequence", "SetPattern", "Site", "SiteUnavailable",
    "SweepResult", "Tokens", "UnsupportedArchitecture", "Workbench", "Zero", "__version__", "checkpoints", "link",
    "load", "wrap",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mi_widgets' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
