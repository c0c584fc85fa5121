"""Questions asked of a run; each answer is a small frozen result."""
