"""Repeated steps -> one scan: bodies, states, and what is emitted."""
