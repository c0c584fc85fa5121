"""One worker thread per model, and work in steps, so that nothing long ever blocks something quick.

A job is a generator that yields after each chunk of work (about 100 ms at most). The worker takes one step
of the most urgent job, then looks again: a drag or a call in a cell waits for one chunk of a long sweep,
never for the sweep. This module knows no model, no experiment and no widget, and does not import torch: what
a step needs around it (gradient mode, autocast, device) comes in as a context manager.
"""

from mi_widgets.jobs.job import Job, Priority, Progress, current_job
from mi_widgets.jobs.scheduler import Scheduler, Stream

__all__ = ["Job", "Priority", "Progress", "Scheduler", "Stream", "current_job"]
