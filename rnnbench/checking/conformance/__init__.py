"""Engines and embedded projects over the golden cases: the matrix."""
