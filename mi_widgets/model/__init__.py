"""A loaded causal language model, seen as a residual stream with named sites."""
