"""Training a variant on a task, and its checkpoints."""
