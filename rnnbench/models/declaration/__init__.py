"""A first draft of a declaration, from a class and trial runs."""
