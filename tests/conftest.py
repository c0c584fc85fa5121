"""Options of all Python test layers: what belongs to one layer stands in its own conftest."""

from __future__ import annotations

import os

# Before anything imports transformers: tests touch no network, and say so instead of waiting for it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Products of tiny models are too small to share: on two cores a second thread trebled the time on the processor.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
