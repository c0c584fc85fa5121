"""What the intervention engine costs, beside others and beside the floor; `make bench` runs it and writes the table."""
