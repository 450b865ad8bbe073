"""Our recurrence and the functions that a graph's nodes call, and their lowering."""
