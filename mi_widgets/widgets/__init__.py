"""Widgets: thin views of an experiment. Traits and message handlers, nothing numerical."""

from mi_widgets.widgets.attention_heads import AttentionHeads
from mi_widgets.widgets.base import MiWidget
from mi_widgets.widgets.link import Link, link
from mi_widgets.widgets.logit_lens import LogitLens
from mi_widgets.widgets.patch_board import PatchBoard
from mi_widgets.widgets.patch_sweep import PatchSweep
from mi_widgets.widgets.workbench import Workbench

__all__ = ["AttentionHeads", "Link", "LogitLens", "MiWidget", "PatchBoard", "PatchSweep", "Workbench", "link"]
