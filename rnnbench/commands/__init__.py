"""One verb per file: each holds `command`, which prints and returns the exit code."""
