"""What can be changed in a run (sites, edits, metrics), and running it changed."""
