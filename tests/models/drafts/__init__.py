"""Classes in the style of published packages, for `rnnbench init`: none says how it is called."""
