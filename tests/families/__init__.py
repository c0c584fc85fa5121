"""Tiny random models of every decoder family that the installed transformers offers, and the walk that proves them."""
