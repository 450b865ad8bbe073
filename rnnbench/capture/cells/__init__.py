"""A scan's body -> a known cell: algebra decides."""
