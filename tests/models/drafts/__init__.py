"""Classes in the style of published packages, for `rnnbench init`: none is told how it is called."""
