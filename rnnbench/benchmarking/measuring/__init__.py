"""What is timed, and how: samples, pairs, cold starts, the machine's limits."""
