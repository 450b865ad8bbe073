"""Where a graph repeats itself, what one step is, and what differs between steps."""
