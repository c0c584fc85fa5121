"""The prompts that widgets on the shipped model are tested on."""

from __future__ import annotations

CLEAN = "When Mary and John went to the store, John gave a drink to"
CORRUPTED = "When Mary and John went to the store, Mary gave a drink to"
