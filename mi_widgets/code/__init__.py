"""Edited runs as plain PyTorch and transformers: what a reader can run, change and send on without this package."""
