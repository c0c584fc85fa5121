"""`Experiment`: prompts, an answer direction and a list of edits; every widget is a view of one."""

from .experiment import Experiment

__all__ = ["Experiment"]
