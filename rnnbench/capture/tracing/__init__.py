"""Module -> graph: layers stood in for, one trace, and the proof that a graph computes the same."""
