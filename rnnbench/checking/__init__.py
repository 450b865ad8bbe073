"""Artifacts against the reference: what equals, what differs, and where it begins to."""
