"""Files that others wrote: read, their recurrences found, their hazards named. Nothing is run."""
